"""Basic credentials: whose, and never without a password."""

from base64 import b64encode

import pytest

from keyfast.trust import basic


def header(text, scheme="Basic"):
    return f"{scheme} {b64encode(text if isinstance(text, bytes) else text.encode()).decode()}"


@pytest.mark.parametrize(
    ("text", "domain", "name", "password"),
    [
        ("CORP\\svc-see:pw", "CORP", "svc-see", "pw"),
        ("svc-see@corp.example.test:pw", "corp.example.test", "svc-see", "pw"),
        ("svc-see:pw", "", "svc-see", "pw"),
        ("svc-see:p:w:", "", "svc-see", "p:w:"),
        ("svc see: ", "", "svc see", " "),
        ("a@b@corp:pw", "corp", "a@b", "pw"),
        ("CORP\\a@b:pw", "CORP", "a@b", "pw"),
        ("CORP\\jörg:pässwörd€", "CORP", "jörg", "pässwörd€"),
        ("n" * 256 + ":" + "p" * 1024, "", "n" * 256, "p" * 1024),
    ],
)
def test_read(text, domain, name, password):
    found = basic.read(header(text))
    assert found is not None
    assert (found.domain, found.name, found.password.reveal().decode()) == (domain, name, password)
    assert repr(found).endswith("password=Secret(****))")


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic "])
def test_the_scheme_is_not_case_sensitive(scheme):
    assert basic.read(header("a:b", scheme)) is not None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !",
        "Basic YTp",
        "Basic YTpi YTpi",
        "Bearer YTpi",
        "NTLM TlRMTVNTUAABAAAA",
        *map(
            header,
            [
                "",
                ":",
                "a",
                "a:",
                ":b",
                "CORP\\:b",
                "\\a:b",
                "CORP\\a\\c:b",
                "@corp:b",
                "a@:b",
                "a\0:b",
                "a:b\n",
                "a\x7f:b",
                b"a:\xff",
                "n" * 257 + ":b",
                "d" * 257 + "\\a:b",
                "a:" + "b" * 4096,
            ],
        ),
    ],
)
def test_what_names_nobody(value):
    assert basic.read(value) is None
