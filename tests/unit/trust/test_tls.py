"""Certificates of the own authority convince OpenSSL, for the right names and times."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from keyfast.core.secret import Secret
from keyfast.errors import TrustError, UsageError
from keyfast.trust import tls
from keyfast.trust.device import DeviceKey

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def authority():
    return tls.create_authority("Keyfast kf-1", NOW)


def handshake(tmp_path, authority, certificate, key, name):
    """Serve one TLS connection on loopback; return the protocol version, or raise what the client saw."""
    chain, private = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(certificate)
    private.write_bytes(key.reveal())
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(chain, private)
    trusting = ssl.create_default_context(cadata=authority.decode())
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        peer, _ = listener.accept()
        with peer:
            try:
                serving.wrap_socket(peer, server_side=True).close()
            except (ssl.SSLError, OSError):
                return  # the client has the story

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with (
            listener,
            socket.create_connection(listener.getsockname(), timeout=10) as raw,
            trusting.wrap_socket(raw, server_hostname=name) as secure,
        ):
            return secure.version()
    finally:
        thread.join()


@pytest.mark.parametrize("name", ["keyfast.example", "localhost", "127.0.0.1", "::1"])
def test_a_strict_client_connects(tmp_path, authority, name):
    ca, ca_key = authority
    certificate, key = tls.issue_certificate(ca, ca_key, ["keyfast.example", "localhost", "127.0.0.1", "::1"], NOW)
    assert handshake(tmp_path, ca, certificate, key, name) == "TLSv1.3"


def test_a_name_that_was_not_issued_is_refused(tmp_path, authority):
    certificate, key = tls.issue_certificate(*authority, ["localhost"], NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, authority[0], certificate, key, "keyfast.example")


def test_a_second_verifier_agrees(authority):
    certificate, _ = tls.issue_certificate(*authority, ["keyfast.example"], NOW)
    store = Store([x509.load_pem_x509_certificate(authority[0])])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName("keyfast.example"))
    assert len(verifier.verify(x509.load_pem_x509_certificate(certificate), [])) == 2


def test_days_left(authority):
    ca, ca_key = authority
    certificate, _ = tls.issue_certificate(ca, ca_key, ["a"], NOW, days=10)
    assert tls.days_left(certificate, NOW) == 10
    assert tls.days_left(certificate, NOW + timedelta(days=11)) < 0
    assert tls.days_left(ca, NOW) == 20 * 365
    assert tls.days_left(tls.issue_certificate(ca, ca_key, ["a"], NOW)[0], NOW) == 397


def test_a_certificate_does_not_outlive_its_authority(authority):
    ca, ca_key = authority
    late = NOW + timedelta(days=20 * 365 - 5)
    assert tls.days_left(tls.issue_certificate(ca, ca_key, ["a"], late)[0], late) == 5


def test_international_names_are_written_as_dns_does(authority):
    certificate, _ = tls.issue_certificate(*authority, ["bücher.example"], NOW)
    names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["xn--bcher-kva.example"]


@pytest.mark.parametrize("names", [[], [""], ["a" * 64 + ".example"], ["a..b"]])
def test_names_that_are_not(authority, names):
    with pytest.raises(UsageError):
        tls.issue_certificate(*authority, names, NOW)


def test_certificate_and_key_must_belong_together(authority):
    with pytest.raises(TrustError, match="belong together"):
        tls.issue_certificate(authority[0], DeviceKey.generate().to_pem(), ["a"], NOW)


def test_what_is_not_a_certificate(authority):
    with pytest.raises(TrustError):
        tls.days_left(b"x", NOW)
    with pytest.raises(TrustError):
        tls.issue_certificate(b"", authority[1], ["a"], NOW)
    with pytest.raises(TrustError):
        tls.issue_certificate(authority[0], Secret(b""), ["a"], NOW)
