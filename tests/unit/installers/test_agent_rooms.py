"""What goes to an endpoint is the agent and what it imports, and nothing of the server."""

import shutil
import subprocess
import sys

from keyfast.installers.agent_rooms import agent_files

ALLOWED = {"agent", "core", "disks", "errors.py", "trust", "wire", "__init__.py"}
EVERY_MODULE = """
import importlib, sys
sys.path[:0] = sys.argv[1:2]
for name in sys.argv[2:]:
    importlib.import_module(name)
import keyfast
print(keyfast.__file__)
"""


def test_only_the_agents_rooms_are_packed():
    assert {path.split("/")[1] for path in agent_files()} == ALLOWED


def test_nothing_that_only_a_server_needs_is_packed():
    served = ("trust/kek.py", "trust/ntlm.py", "wire/admin.py", "settings.py", "core/rotation_guards.py")
    assert not {f"keyfast/{name}" for name in served} & set(agent_files())


def test_what_is_packed_imports_without_the_rest(tmp_path):
    for path, place in agent_files().items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place, target)
    # Those of another operating system say so when they are used, not when they are imported.
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in agent_files()]
    command = [sys.executable, "-I", "-B", "-c", EVERY_MODULE, str(tmp_path), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "keyfast/__init__.py")
