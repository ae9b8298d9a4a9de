"""Many packages of one base: each has its own secret and version, and nothing else of it differs or leaks."""

import gzip
import io
import tarfile
import zlib

import pytest
from tests.support import packages
from tests.support.packages import AT, stamp

from keyfast.installers.archives import open_end
from keyfast.installers.bundle import BundleInstaller

FEW, MANY = 20, 1000
COUNTS = [pytest.param(FEW), pytest.param(MANY, marks=pytest.mark.slow)]
GZIP = zlib.MAX_WBITS | 16


def members(data):
    """Contents of an ar archive by name."""
    found, start = {}, 8
    while start < len(data):
        name, size = data[start : start + 16].decode().strip(), int(data[start + 48 : start + 58])
        found[name] = data[start + 60 : start + 60 + size]
        start += 60 + size + size % 2
    return found


def added(payload, begun):
    """What a stamp added to the compressed base: nothing of the base can be in it."""
    common = bytes(open_end(begun))
    assert payload.startswith(common)
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload[len(common) :])


@pytest.mark.parametrize("count", COUNTS)
def test_debs_share_the_agent_and_nothing_else(deb, count):
    base = deb.base(packages.told)
    begun, versions, ids = (base / "data.tar.gz").read_bytes(), set(), set()
    for number in range(count):
        what = stamp(packages.bundle(number), AT + number, number)
        parts = members(deb.stamp(base, what))
        tail = added(parts["data.tar.gz"], begun)
        assert what.bundle.statement.encode() in tail
        assert tail.count(b"secret-") == 1
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(parts["control.tar.gz"]))) as control:
            texts = {one.name: control.extractfile(one).read() for one in control.getmembers()}
        assert not [name for name, text in texts.items() if b"secret-" in text]
        fields = texts["./control"].decode()
        versions.add(next(line for line in fields.splitlines() if line.startswith("Version:")))
        ids.add(what.bundle.package in fields and what.bundle.package)
    assert len(versions) == len(ids) == count


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", COUNTS)
def test_rpms_share_the_agent_and_nothing_else(rpm, count):
    base = rpm.base(packages.told)
    begun, front, fronts = (base / "payload.gz").read_bytes(), len((base / "front").read_bytes()), set()
    for number in range(count):
        what = stamp(packages.bundle(number), AT + number, number)
        data = rpm.stamp(base, what)
        start = data.index(begun[:64], front - 4096)
        tail = added(data[start:], begun)
        assert what.bundle.statement.encode() in tail
        assert tail.count(b"secret-") == 1
        assert b"secret-" not in data[:start]
        assert f"{AT + number}".encode() in data[:start]
        fronts.add(data[:start])
    assert len(fronts) == count


def test_a_plain_bundle_is_a_package_like_the_others(tmp_path):
    installer = BundleInstaller(tmp_path)
    assert installer.missing() == ()
    data = installer.stamp(installer.base(packages.told), stamp(packages.bundle()))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.extractfile("keyfast-agent/keyfast.json").read() == stamp(packages.bundle()).secret
        assert archive.getmember("keyfast-agent/keyfast.json").mode == 0o600
