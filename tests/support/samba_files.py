"""The files of a test domain controller: smb.conf, krb5.conf, certificates, stand-ins for winbind's tools."""

import datetime as dt
import ipaddress
import shlex
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_FOLDERS = ("etc", "bin", "tls", "keytabs", "private", "state", "cache", "lock", "bind-dns")
_RUN_FOLDERS = ("run/ncalrpc", "run/winbindd", "run/ntp")

# The mask of `interfaces` matters: with /32 Samba finds no interface and listens nowhere. NetBIOS would listen on
# 127.255.255.255, which two domains would share.
_SMB = """[global]
  server role = active directory domain controller
  netbios name = DC1
  realm = {realm}
  workgroup = {netbios}
  interfaces = {address}/8
  bind interfaces only = yes
  server services = rpc, ldap, cldap, kdc, winbindd
  disable netbios = yes
  private dir = {d}/private
  state directory = {d}/state
  cache directory = {d}/cache
  lock directory = {d}/lock
  pid directory = {d}/run
  ncalrpc dir = {d}/run/ncalrpc
  winbindd socket directory = {d}/run/winbindd
  ntp signd socket directory = {d}/run/ntp
  binddns dir = {d}/bind-dns
  log file = {d}/samba.log
  logging = file
  panic action =
  ldap server require strong auth = allow_sasl_over_tls
  old password allowed period = {old_password_minutes}
  tls enabled = yes
  tls cafile = {d}/tls/ca.pem
  tls certfile = {d}/tls/dc.pem
  tls keyfile = {d}/tls/dc.key
  allow dns updates = disabled
  printcap name = /dev/null
  load printers = no
[sysvol]
  path = {d}/state/sysvol
  read only = no
[netlogon]
  path = {d}/state/sysvol/{dns}/scripts
  read only = no
"""
_KRB5 = """[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  kdc_timeout = 3
  max_retries = 1
[realms]
  {realm} = {{
    kdc = {address}
    kpasswd_server = {address}
  }}
[domain_realm]
  .{dns} = {realm}
  {dns} = {realm}
  localhost = {realm}
  127.0.0.1 = {realm}
"""
# For ntlm_auth alone: it decrypts Kerberos tokens with the web server's keys, not with the controller's own.
_NTLM_AUTH = """include = {d}/etc/smb.conf
[global]
  kerberos method = dedicated keytab
  dedicated keytab file = {d}/keytabs/http.keytab
"""
# These tools know the socket of winbindd by a compiled-in path only; as in Samba's own tests nss_wrapper moves it.
_STAND_IN = """#!/bin/sh
export LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_HOSTS={d}/etc/hosts
export NSS_WRAPPER_PASSWD={d}/etc/passwd NSS_WRAPPER_GROUP={d}/etc/group
export SELFTEST_WINBINDD_SOCKET_DIR={d}/run/winbindd KRB5_CONFIG={d}/etc/krb5.conf
exec /usr/bin/{tool} {options} "$@"
"""


def write_settings(directory: Path, realm: str, netbios: str, address: str, old_password_minutes: int) -> None:
    """Write everything but the certificates below ``directory``."""
    for folder in (*_FOLDERS, *_RUN_FOLDERS):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    (directory / "private").chmod(0o700)
    (directory / "run/ntp").chmod(0o750)
    directory.chmod(0o755)  # winbindd refuses a socket below a folder that others can write
    dns, etc = realm.lower(), directory / "etc"
    values = {"d": directory, "realm": realm, "dns": dns, "netbios": netbios, "address": address}
    (etc / "smb.conf").write_text(_SMB.format(**values, old_password_minutes=old_password_minutes))
    (etc / "krb5.conf").write_text(_KRB5.format(**values))
    (etc / "ntlm_auth.conf").write_text(_NTLM_AUTH.format(**values))
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n{address} dc1.{dns} dc1 {dns}\n")
    (etc / "passwd").write_text("root:x:0:0:root:/:/bin/false\n")
    (etc / "group").write_text("root:x:0:\n")
    quoted = shlex.quote(str(directory))
    for tool, options in (("ntlm_auth", f"--configfile={quoted}/etc/ntlm_auth.conf"), ("wbinfo", "")):
        path = directory / "bin" / tool
        path.write_text(_STAND_IN.format(d=quoted, tool=tool, options=options))
        path.chmod(0o755)


def write_authority(directory: Path, realm: str) -> None:
    """Make the certificate authority of a realm: one for all its controllers."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test authority of {realm}")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = _certificate(name, name, key, key, days=3650)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(usage, critical=True)
    _write(directory / "tls/ca", key, builder.sign(key, hashes.SHA256()))


def write_certificate(directory: Path, realm: str, address: str) -> None:
    """Make the controller's certificate: its name, its domain, its address."""
    authority = x509.load_pem_x509_certificate((directory / "tls/ca.pem").read_bytes())
    signer = serialization.load_pem_private_key((directory / "tls/ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key, dns = ec.generate_private_key(ec.SECP256R1()), realm.lower()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"dc1.{dns}")])
    names: list[x509.GeneralName] = [x509.DNSName(f"dc1.{dns}"), x509.DNSName(dns)]
    names.append(x509.IPAddress(ipaddress.ip_address(address)))
    builder = _certificate(name, authority.subject, key, signer, days=30)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    _write(directory / "tls/dc", key, builder.sign(signer, hashes.SHA256()))


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    days: int,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1))
    builder = builder.not_valid_after(now + dt.timedelta(days=days))
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return builder.add_extension(subject_key, critical=False).add_extension(issuer_key, critical=False)


def _write(stem: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private = stem.with_suffix(".key")
    private.touch(0o600)  # Samba refuses a key that others can read
    private.write_bytes(pem)
    stem.with_suffix(".pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
