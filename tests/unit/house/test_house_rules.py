"""The rules of tests/conftest.py and the two scripts that guard docs and lock do bite."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import check_docs, lock

ROOT = Path(__file__).resolve().parents[3]


def _run_pytest(folder: Path, source: str, **environ: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "conftest.py")
    (folder / "test_inner.py").write_text(source)
    environment = {**os.environ, "CI": "", **environ}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        str(folder),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


@pytest.mark.parametrize("where", [("192.0.2.1", 80), ("2001:db8::1", 80)])
def test_a_test_cannot_leave_this_machine(where):
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    with socket.socket(family) as sock, pytest.raises(RuntimeError, match="this machine only"):
        sock.connect(where)


def test_a_foreign_name_is_not_looked_up():
    with pytest.raises(RuntimeError, match="this machine only"):
        socket.getaddrinfo("keyfast.example", 443)


def test_a_name_under_invalid_does_not_resolve():
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nobody.invalid", 443)


def test_loopback_and_unix_sockets_are_open(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))


@pytest.mark.parametrize(
    ("ci", "reason", "code"), [("true", "missing x", 1), ("", "missing x", 0), ("true", "slow", 0)]
)
def test_in_ci_nothing_may_be_missing(tmp_path, ci, reason, code):
    source = f"import pytest\ndef test_it():\n    pytest.skip({reason!r})\n"
    assert _run_pytest(tmp_path, source, CI=ci).returncode == code


def test_in_ci_no_module_may_be_missing(tmp_path):
    source = "import pytest\npytest.skip('missing y', allow_module_level=True)\n"
    assert _run_pytest(tmp_path, source, CI="true").returncode != 0


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](there.md)", ""),
        ("[a](there.md#two-words)", ""),
        ("[a](#own-heading)\n\n# Own heading", ""),
        ("`[a](gone.md)`", ""),
        ("```\n[a](gone.md)\n```", ""),
        ("[a](gone.md)", "no such file"),
        ("[a](there.md#gone)", "no such heading"),
        ("[a](/etc/passwd)", "absolute path"),
        ("[a](../../outside.md)", "outside this tree"),
        ("[a]: gone.md", "no such file"),
    ],
)
def test_links_lead_somewhere(tmp_path, text, fault):
    (tmp_path / "there.md").write_text("# Two `words`\n")
    page = tmp_path / "page.md"
    page.write_text(text)
    found = list(check_docs.link_faults(page, tmp_path))
    assert [fault in line for line in found] == ([True] if fault else [])


def test_headings_of_the_same_name_get_numbers():
    assert check_docs.anchors("# A b\n## A b\n") == {"a-b", "a-b-1"}


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("https://keyfast.example.com/x https://127.0.0.1:1 https://www.rfc-editor.org/rfc/rfc9449", 0),
        ("http://a.b.io", 1),
    ],
)
def test_hosts_are_chosen(tmp_path, text, faults):
    page = tmp_path / "page.md"
    page.write_text(text)
    assert len(list(check_docs.host_faults(page, tmp_path))) == faults


def _declared(dependency: str) -> dict[str, object]:
    return {
        "project": {"requires-python": ">=3.11", "dependencies": [dependency], "optional-dependencies": {}},
        "dependency-groups": {},
        "build-system": {"requires": []},
    }


def test_the_lock_knows_what_it_was_made_from():
    assert lock.inputs_digest(_declared("a>=1")) == lock.inputs_digest(_declared("a>=1"))
    assert lock.inputs_digest(_declared("a>=1")) != lock.inputs_digest(_declared("a>=2"))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("a==1 \\\n    --hash=sha256:00\n", ""),
        ("a==1\n", "not pinned with a hash"),
        ("a>=1 \\\n    --hash=sha256:00\n", "not pinned with a hash"),
        ("a @ https://files.example/a.whl \\\n    --hash=sha256:00\n", "names a host"),
        ("--find-links x\n", "names a host"),
    ],
)
def test_the_lock_has_hashes_and_no_hosts(tmp_path, line, fault):
    file = tmp_path / "requirements.lock"
    declared = _declared("a>=1")
    file.write_text(f"{lock.INPUTS}{lock.inputs_digest(declared)}\n{line}")
    found = list(lock.faults(file, declared))
    assert any(fault in text for text in found) if fault else not found


def test_a_lock_that_is_behind_is_found(tmp_path):
    file = tmp_path / "requirements.lock"
    file.write_text(f"{lock.INPUTS}{lock.inputs_digest(_declared('a>=1'))}\n")
    assert ["has changed" in text for text in lock.faults(file, _declared("a>=2"))] == [True]
