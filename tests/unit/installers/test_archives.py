"""What our writers write, other readers read: tarfile, gzip, ar, cpio and bsdtar."""

import gzip
import io
import subprocess
import tarfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.require import require
from tests.support.trees import PATHS, TREES

from keyfast.errors import ConflictError
from keyfast.installers import newc, odc
from keyfast.installers.archives import END_OF_TAR, ar, begin, begun_with, finish, open_end, squeeze, tar_piece
from keyfast.installers.tree import Entry
from keyfast.installers.xar import xar

TIMES = st.integers(0, 2**31 - 1)


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_what_is_finished_is_one_gzip_stream_of_both_parts(first, rest):
    begun = begin(first)
    whole = finish(begun, rest)
    single = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert single.decompress(whole) == first + rest
    assert single.eof
    assert not single.unused_data
    assert gzip.decompress(whole) == first + rest
    assert begun_with(begun) == first
    assert whole.startswith(bytes(open_end(begun)))
    assert gzip.decompress(squeeze(rest)) == rest


@given(TREES, TREES, TIMES)
def test_pieces_of_tar_are_one_archive(first, second, at):
    whole = tar_piece(first, at) + tar_piece(second, at) + END_OF_TAR
    with tarfile.open(fileobj=io.BytesIO(whole), errorlevel=2) as archive:
        found = [from_tar(archive, member, at) for member in archive.getmembers()]
    assert found == [*first, *second]


def from_tar(archive, member, at):
    assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "root", "root", at)
    path = member.name.removeprefix("./")
    if member.issym():
        return Entry(path, link=member.linkname)
    if member.isdir():
        return Entry(path, member.mode)
    return Entry(path, member.mode, archive.extractfile(member).read())


@given(st.lists(st.binary(max_size=99), max_size=5), st.integers(0, 10**11))
def test_ar_lists_and_prints_what_we_wrote(contents, at):
    names = [f"member-{number}" for number in range(len(contents))]
    data = ar(zip(names, contents, strict=True), at)
    start = 8
    for name, content in zip(names, contents, strict=True):
        head = data[start : start + 60]
        assert head[:16].decode().strip() == name
        assert int(head[48:58]) == len(content)
        assert head[58:] == b"`\n"
        assert data[start + 60 : start + 60 + len(content)] == content
        start += 60 + len(content) + len(content) % 2
    assert start == len(data)


def test_the_real_ar_reads_it(tmp_path):
    require("ar", "binutils")
    file = tmp_path / "a"
    file.write_bytes(ar([("one", b"1"), ("two", b"22")], 7))
    assert subprocess.run(["ar", "t", file], capture_output=True, check=True).stdout == b"one\ntwo\n"
    assert subprocess.run(["ar", "p", file, "two"], capture_output=True, check=True).stdout == b"22"


@given(st.lists(st.tuples(PATHS, st.binary(max_size=300)), min_size=1, max_size=6, unique_by=lambda pair: pair[0]))
def test_a_member_taken_out_of_a_cpio_archive_can_be_put_back_at_the_end(members):
    records = [newc.member(f"./{path}", content, 0o600, 5) for path, content in members]
    whole = b"".join(records) + newc.END
    rest = newc.without(whole, f"./{members[0][0]}")
    assert rest == b"".join(records[1:])
    assert newc.without(rest + records[0] + newc.END, f"./{members[0][0]}") == rest


@pytest.mark.parametrize("damaged", [b"", b"070701", newc.END[:50], newc.END])
def test_what_is_not_such_an_archive_is_refused(damaged):
    with pytest.raises(ConflictError):
        newc.without(damaged, "./a")


@pytest.mark.parametrize("kind", ["newc", "odc"])
def test_cpio_unpacks_both_kinds(kind, tmp_path):
    cpio = require("cpio", "cpio")
    if kind == "newc":
        data = newc.member("./a", b"text", 0o600, 5) + newc.END
    else:
        entries = (Entry("a", 0o600, b"text"), Entry("b", 0o700), Entry("b/c", link="../a"))
        data = odc.piece(entries, 5) + odc.END
    subprocess.run([cpio, "-idm", "--quiet"], input=data, cwd=tmp_path, check=True, timeout=20)
    assert (tmp_path / "a").read_bytes() == b"text"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    if kind == "odc":
        assert (tmp_path / "b/c").read_bytes() == b"text"


@given(TREES, TIMES)
def test_odc_has_every_entry(entries, at):
    data = odc.piece(entries, at) + odc.END
    found, start = [], 0
    while not data[start + 76 :].startswith(b"TRAILER!!!\0"):
        head = data[start : start + 76].decode()
        mode, mtime, name_size, size = (
            int(head[18:24], 8),
            int(head[48:59], 8),
            int(head[59:65], 8),
            int(head[65:76], 8),
        )
        name = data[start + 76 : start + 76 + name_size - 1].decode()
        content = data[start + 76 + name_size : start + 76 + name_size + size]
        start += 76 + name_size + size
        assert mtime == at
        path = name.removeprefix("./")
        kind = mode & 0o170000
        if kind == 0o120000:
            found.append(Entry(path, link=content.decode()))
        else:
            found.append(Entry(path, mode & 0o777, content if kind == 0o100000 else None))
    assert found == list(entries)


def test_bsdtar_reads_a_xar_archive(tmp_path):
    bsdtar = require("bsdtar", "libarchive-tools")
    files = {"Bom": b"bill", "Payload": bytes(range(256)) * 40, "Empty": b""}
    file = tmp_path / "a.xar"
    file.write_bytes(xar(files.items(), "2026-01-31T12:00:00"))
    (tmp_path / "out").mkdir()
    subprocess.run([bsdtar, "-xf", file, "-C", tmp_path / "out"], check=True, timeout=20)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files


def test_bsdtar_notices_a_changed_byte_in_a_xar_archive(tmp_path):
    bsdtar = require("bsdtar", "libarchive-tools")
    data = bytearray(xar([("Payload", b"x" * 1000)], "2026-01-31T12:00:00"))
    data[-10] ^= 1
    file = tmp_path / "a.xar"
    file.write_bytes(data)
    done = subprocess.run([bsdtar, "-xOf", file], capture_output=True, check=False, timeout=20)
    assert done.returncode != 0
