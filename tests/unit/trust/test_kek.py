"""The key file: each way it can be wrong has its own message and repair."""

import os

import msgspec
import pytest

from keyfast.core.secret import Secret
from keyfast.errors import ForeignError, KeyFileError, TrustError
from keyfast.trust.encoding import b64u
from keyfast.trust.kek import Kek, create_kek_file, load_kek, parse_kek


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "kek.json"
    create_kek_file(file, "kf-1")
    return file


def kek(installation="kf-1", name="k1", byte=b"k"):
    return Kek(installation, name, {name: Secret(byte * 32)})


def test_the_file_is_its_owners_and_opens_what_it_sealed(path):
    assert path.stat().st_mode & 0o777 == 0o600
    assert [*path.parent.iterdir()] == [path]
    sealed = load_kek(path, "kf-1").seal(b"secret", bound_to="row/1")
    assert load_kek(path, "kf-1").open(sealed, bound_to="row/1").reveal() == b"secret"


def test_a_file_is_never_overwritten(path):
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="exists"):
        create_kek_file(path, "kf-1")
    assert path.read_bytes() == before
    assert [*path.parent.iterdir()] == [path]


def test_what_a_crash_left_beside_the_file_does_not_stop_it(tmp_path):
    (tmp_path / ".kek.json.new").write_bytes(b"torn")
    create_kek_file(tmp_path / "kek.json", "kf-1")
    load_kek(tmp_path / "kek.json", "kf-1").save(tmp_path / "kek.json")
    assert [*tmp_path.iterdir()] == [tmp_path / "kek.json"]


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be written"):
        create_kek_file(tmp_path / "gone" / "kek.json", "kf-1")


def test_a_missing_file(tmp_path):
    with pytest.raises(KeyFileError, match="missing") as caught:
        load_kek(tmp_path / "kek.json", "kf-1")
    assert "backup" in caught.value.repair


def test_an_unreadable_file(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be read") as caught:
        load_kek(tmp_path, "kf-1")
    assert "chmod 600" in caught.value.repair


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_others_can_reach(path, mode):
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="by others") as caught:
        load_kek(path, "kf-1")
    assert caught.value.repair == f"chmod 600 {path}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user(path):
    os.chown(path, 12345, -1)
    with pytest.raises(KeyFileError, match="user 12345") as caught:
        load_kek(path, "kf-1")
    assert "chown" in caught.value.repair


def test_a_foreign_file(path):
    with pytest.raises(ForeignError, match="'kf-1', not 'kf-2'"):
        load_kek(path, "kf-2")


SHORT = {"installation": "kf-1", "current": "a", "keys": {"a": b64u(bytes(31))}}
LOST = {"installation": "kf-1", "current": "b", "keys": {"a": b64u(bytes(32))}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "{}",
        "[" * 100_000,
        "\ufffd",
        *(msgspec.json.encode(content).decode() for content in (SHORT, LOST)),
    ],
)
def test_a_damaged_file(path, text):
    path.write_text(text)
    with pytest.raises(KeyFileError, match="damaged") as caught:
        load_kek(path, "kf-1")
    assert "backup" in caught.value.repair


def test_the_content_may_come_from_elsewhere(path):
    sealed = load_kek(path, "kf-1").seal(Secret(b"s"), bound_to="x")
    assert parse_kek(path.read_text(), "kf-1", "KEYFAST_KEK").open(sealed, bound_to="x").reveal() == b"s"
    with pytest.raises(KeyFileError, match="KEYFAST_KEK"):
        parse_kek("", "kf-1", "KEYFAST_KEK")


def test_a_seal_holds_for_its_place_only():
    sealed = kek().seal(b"secret", bound_to="row/1")
    for other, place in ((kek(), "row/2"), (kek("kf-2"), "row/1"), (kek(byte=b"j"), "row/1")):
        with pytest.raises(TrustError, match="altered"):
            other.open(sealed, bound_to=place)


def test_the_same_secret_never_looks_the_same():
    assert kek().seal(b"s", bound_to="x") != kek().seal(b"s", bound_to="x")


def test_a_key_that_is_not_here_is_named():
    with pytest.raises(TrustError, match="'k1'"):
        kek(name="k2").open(kek().seal(b"s", bound_to="row"), bound_to="row")


@pytest.mark.parametrize("sealed", ["", "v1", "v1.k1", "v1.k1.", "v1.k1.AAAA", "v1.k1.!", "v1.k1." + "A" * 40])
def test_what_is_not_sealed(sealed):
    with pytest.raises(TrustError):
        kek().open(sealed, bound_to="row")


def test_a_later_form_is_said_to_be_one():
    with pytest.raises(TrustError, match="not in a form"):
        kek().open("v2.k1.AAAA", bound_to="row")


def test_rewrap_keeps_everything_readable_at_each_step(path):
    old = load_kek(path, "kf-1")
    first = old.seal(b"s", bound_to="x")
    old.add_key()
    old.save(path)
    both = load_kek(path, "kf-1")
    second = both.seal(both.open(first, bound_to="x"), bound_to="x")
    assert first.split(".")[1] != second.split(".")[1] == both.current
    both.drop_keys()
    both.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    only = load_kek(path, "kf-1")
    assert only.open(second, bound_to="x").reveal() == b"s"
    with pytest.raises(TrustError, match="not here"):
        only.open(first, bound_to="x")


def test_keys_are_not_shown():
    assert repr(kek()) == "Kek(kf-1, current k1, 1 keys)"
