"""What the console ships: files of others as written down, templates with nothing inline, all of it in the wheel."""

import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest
from jinja2 import Environment
from scripts import vendor

from keyfast.api.console.assets import Assets
from keyfast.api.console.headers import DIRECTIVES

ROOT = Path(__file__).resolve().parents[3]
CONSOLE = ROOT / "src" / "keyfast" / "api" / "console"
TEMPLATES = sorted((CONSOLE / "templates").glob("*.html"))


@pytest.mark.parametrize("listed", vendor.LISTS, ids=lambda path: path.parent.parent.name)
def test_files_of_others_are_those_written_down(listed):
    assert list(vendor.faults(listed)) == []


def test_a_changed_file_of_others_is_found(tmp_path):
    listed = tmp_path / "vendor.toml"
    listed.write_text(
        '[[package]]\nname = "x"\nversion = "1"\nlicence = "MIT"\n'
        f'files = [{{ file = "x.js", member = "x.js", sha256 = "{"0" * 64}" }},'
        ' { file = "y.js", member = "y.js", sha256 = "" }]\n'
    )
    (tmp_path / "x.js").write_text("changed")
    (tmp_path / "z.js").write_text("nobody knows it")
    found = list(vendor.faults(listed))
    assert [Path(fault.partition(":")[0]).name for fault in found] == ["x.js", "y.js", "z.js"]


def test_every_licence_is_there():
    for listed in vendor.LISTS:
        for package in vendor.read(listed):
            assert any(file["file"].endswith(".LICENSE") for file in package["files"]), package["name"]


class _Judge(HTMLParser):
    """Collects what the policy would stop, or what would ask another host."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.faults.append(f"inline {tag}")
        if tag in {"iframe", "object", "embed", "base"}:
            self.faults.append(tag)
        for name, value in attrs:
            if name == "style" or name.startswith(("on", "hx-on")) or name in {"hx-vals", "hx-headers"}:
                self.faults.append(f"{tag} {name}")
            if name in {"href", "src", "action", "formaction", "hx-get", "hx-post"} and value:
                self._address(tag, name, value)
            if name == "hx-trigger" and "[" in (value or ""):
                self.faults.append(f"{tag}: a filter in {name} is evaluated")

    def _address(self, tag, name, value):
        if not value.startswith(("/", "#", "{{")) or value.startswith("//"):
            self.faults.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(template):
    judge = _Judge()
    text = template.read_text("utf-8")
    judge.feed(text)
    assert judge.faults == []
    assert "|safe" not in text
    assert "autoescape" not in text
    assert not re.search(r"\s[\w-]+=\{\{", text), "an attribute without quotes"
    Environment(autoescape=True).parse(text)


def test_scripts_evaluate_nothing_and_write_no_markup():
    for script in (CONSOLE / "static").glob("*.js"):
        text = script.read_text("utf-8")
        for word in ("eval(", "Function(", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "http"):
            assert word not in text, (script.name, word)


def test_the_style_sheet_asks_nobody():
    assert "url(" not in (CONSOLE / "static" / "console.css").read_text("utf-8")


def test_urls_carry_the_digest_of_what_they_bring():
    assets = Assets()
    for name in ("console.css", "trusted.js", "plot.js", "icons.svg", "vendor/htmx.min.js", "vendor/uplot.min.js"):
        assert re.fullmatch(rf"/static/[0-9a-f]{{16}}/{re.escape(name)}", assets.url(name))


def test_every_icon_that_a_template_names_is_in_the_sprite():
    sprite = (CONSOLE / "static" / "icons.svg").read_text("utf-8")
    for template in TEMPLATES:
        for name in re.findall(r'icon\("(\w+)"\)', template.read_text("utf-8")):
            assert f'id="{name}"' in sprite, (template.name, name)


def test_the_policy_lets_nothing_in_by_default():
    assert DIRECTIVES["default-src"] == "'none'"
    assert "unsafe" not in " ".join(DIRECTIVES.values())
    assert set(DIRECTIVES.values()) <= {"'none'", "'self'", "'script'", "default"}


def test_the_wheel_brings_all_of_it(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        check=True,
        cwd=ROOT,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        packed = set(opened.namelist())
    console = resources.files("keyfast.api.console")
    here = [path for folder in ("templates", "static") for path in Path(str(console / folder)).rglob("*")]
    wanted = {f"keyfast/api/console/{path.relative_to(str(console))}" for path in here if path.is_file()}
    assert len(wanted) > 30
    assert wanted <= packed
