"""Files of several versions and processors become one tree, and nothing is lost or mixed up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyfast.errors import ConflictError
from keyfast.installers.base import publish
from keyfast.installers.tree import Entry, digest, merged, shared, with_folders

TOPS = st.sampled_from(["pure", "compiled", "single.py"])
FILES = st.dictionaries(
    st.builds(lambda top, name: top if "." in top else f"{top}/{name}", TOPS, st.sampled_from("abc")),
    st.binary(max_size=3),
    max_size=6,
)


@given(FILES, FILES)
def test_every_processor_gets_exactly_its_files(intel, arm):
    parts = shared({"x86_64": intel, "aarch64": arm})
    assert {**parts[""], **parts["x86_64"]} == intel
    assert {**parts[""], **parts["aarch64"]} == arm
    tops = {kind: {path.split("/")[0] for path in files} for kind, files in parts.items()}
    assert not tops[""] & (tops["x86_64"] | tops["aarch64"])


def test_versions_of_python_are_merged_by_name(tmp_path):
    for version in ("311", "312"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "same.py").write_text("same")
        (folder / f"core.{version}.so").write_text(version)
    assert set(merged([tmp_path / "311", tmp_path / "312"])) == {"same.py", "core.311.so", "core.312.so"}
    (tmp_path / "312/same.py").write_text("different")
    with pytest.raises(ConflictError, match=r"same\.py"):
        merged([tmp_path / "311", tmp_path / "312"])


def test_folders_come_before_what_is_in_them():
    paths = [entry.path for entry in with_folders([Entry("a/b/c", content=b""), Entry("a", 0o700)])]
    assert paths == ["a", "a/b", "a/b/c"]


def test_a_digest_tells_every_difference():
    one = Entry("a", 0o600, b"x")
    others = (
        Entry("b", 0o600, b"x"),
        Entry("a", 0o644, b"x"),
        Entry("a", 0o600, b"y"),
        Entry("a", 0o600),
        Entry("a", 0o600, link="x"),
    )
    assert len({digest([entry]) for entry in (one, *others)}) == 6


def test_a_base_is_published_once(tmp_path):
    place = publish(tmp_path / "bases" / "one", {"file": b"first"})
    assert publish(place, {"file": b"second"}) == place
    assert (place / "file").read_bytes() == b"first"
    assert [path.name for path in place.parent.iterdir()] == ["one"]
