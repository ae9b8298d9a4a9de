"""A bill of materials, read by a reader of our own: every path is reached from its folder, page by page."""

import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.require import require
from tests.support.trees import TREES

from keyfast.installers.bom import ROOT, bom, cksum, line
from keyfast.installers.tree import Entry, with_folders


class Reader:
    def __init__(self, data):
        magic, version, self.count, start, length, names, _ = struct.unpack_from(">8s6I", data)
        assert (magic, version) == (b"BOMStore", 1)
        assert start + length == len(data)
        (places,) = struct.unpack_from(">I", data, start)
        self.blocks = []
        for index in range(places):
            address, size = struct.unpack_from(">II", data, start + 4 + 8 * index)
            self.blocks.append(data[address : address + size])
        assert places == self.count + 1
        self.names = {}
        (number,), at = struct.unpack_from(">I", data, names), names + 4
        for _ in range(number):
            block, size = struct.unpack_from(">IB", data, at)
            self.names[data[at + 5 : at + 5 + size].decode()] = self.blocks[block]
            at += 5 + size

    def pairs(self, name):
        """Every pair of a tree, walked along its leaves from the left."""
        magic, version, top, page, count, _ = struct.unpack(">4s4IB", self.names[name])
        assert (magic, version, page) == (b"tree", 1, 4096)
        pages = self.leaves(top)
        found = [pair for number in pages for pair in self.page(number)[1]]
        assert len(found) == count
        for before, number, after in zip([0, *pages], pages, [*pages[1:], 0], strict=False):
            assert self.page(number)[2:] == (after, before)
        return found

    def leaves(self, number):
        leaf, pairs, _, _ = self.page(number)
        if leaf:
            return [number]
        for child, key in pairs:
            assert self.page(child)[1][-1][1] == key
        return [child for child, _ in pairs]

    def page(self, number):
        block = self.blocks[number]
        assert len(block) <= 4096
        leaf, count, after, before = struct.unpack_from(">HHII", block)
        return leaf, [struct.unpack_from(">II", block, 12 + 8 * index) for index in range(count)], after, before

    def entries(self):
        paths, keys = {0: ""}, []
        for facts, key in self.pairs("Paths"):
            number, block = struct.unpack(">II", self.blocks[facts])
            (parent,), name = struct.unpack_from(">I", self.blocks[key]), self.blocks[key][4:-1].decode()
            keys.append((parent, name))
            paths[number] = f"{paths[parent]}/{name}".removeprefix("/")
            yield paths[number].removeprefix("./"), self.blocks[block]
        assert keys == sorted(keys)


def read(data):
    found = []
    for path, facts in Reader(data).entries():
        kind, _, _, mode, user, group, at, size, _, check, length = struct.unpack_from(">BBHHIIIIBII", facts)
        assert (user, group, at) == (0, 0, 7)
        link = facts[31 : 31 + length].rstrip(b"\0").decode()
        found.append((path, kind, mode & 0o777, size, check, link))
    return sorted(found)


def expected(entries):
    found = [line(entry) for entry in entries]
    return sorted((one.path, one.kind, one.mode, one.size, one.check, one.link) for one in found)


@given(TREES)
def test_every_path_is_in_the_bill(tree):
    entries = (Entry(ROOT), *tree)
    assert read(bom([line(entry) for entry in entries], 7)) == expected(entries)


def test_thousands_of_paths_take_several_pages():
    tree = with_folders(Entry(f"a/{number % 7}/{number}", 0o644, b"%d" % number) for number in range(3000))
    entries = (Entry(ROOT), *tree)
    assert read(bom([line(entry) for entry in entries], 7)) == expected(entries)


def test_every_name_that_an_installer_asks_for_is_there():
    found = Reader(bom([line(Entry(ROOT))], 7))
    assert set(found.names) == {"BomInfo", "Paths", "HLIndex", "VIndex", "Size64"}
    assert found.pairs("HLIndex") == found.pairs("Size64") == []


@given(st.binary(max_size=700))
def test_the_checksum_is_that_of_posix(content):
    crc = 0
    tail, length = b"", len(content)
    while length:
        tail, length = tail + bytes([length & 0xFF]), length >> 8
    for byte in content + tail:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
            crc &= 0xFFFFFFFF
    assert cksum(content) == crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("content", [b"", b"keyfast", b"x" * 300])
def test_the_real_cksum_agrees(content):
    tool = require("cksum", "coreutils")
    said = subprocess.run([tool], input=content, capture_output=True, check=True, timeout=20).stdout
    assert int(said.split()[0]) == cksum(content)
