"""An order of a package that takes long: 202 and the row, then whoever asks again sees how far it is."""

import os

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from tests.support.fake_installer import FakeInstaller

from keyfast.api.admin_api import guarded
from keyfast.api.gate import Gate, local_door
from keyfast.api.package_api import PackageApi
from keyfast.api.routes import ADMIN_ROUTES
from keyfast.cli.package import _built
from keyfast.core.mode import Mechanism
from keyfast.core.package import PackageKind
from keyfast.errors import ConflictError
from keyfast.services.modes import ModeService
from keyfast.services.package import PackageService
from keyfast.services.package_build import Workshop
from keyfast.services.package_files import PackageFiles
from keyfast.services.package_report import PackageReports
from keyfast.wire.admin import PackageLine, PackageOrder
from keyfast.wire.packages import DIGEST_HEADER, PackageView

PACKAGES = "/admin/v1/packages"


@pytest.fixture
def installer():
    return FakeInstaller()


@pytest.fixture
async def http(site, installer):
    workshop = Workshop(PackageFiles(site.settings.package_files), {PackageKind.MSI: installer})
    modes = ModeService(site.live, site.database, tuple(Mechanism), lambda: "", site.clock)
    service = PackageService(site.live, site.database, workshop, site.accounts, modes, site.clock, os.urandom)
    api = PackageApi(service, PackageReports(site.database, service, workshop, site.clock), wait_s=0.01)
    rows = [row for row in ADMIN_ROUTES if row.handler.startswith("package.")]
    gate = Gate(local_door, site.clock)
    routes = [
        Route(
            row.path,
            guarded(gate.known(gate.allowed(getattr(api, row.handler.partition(".")[2]), row.permission))),
            methods=[row.method],
        )
        for row in rows
    ]
    transport = httpx2.ASGITransport(Starlette(routes=routes))
    async with httpx2.AsyncClient(transport=transport, base_url="http://keyfast") as client:
        yield client
        installer.go_on.set()


async def test_a_long_build_is_answered_at_once_and_ends_by_itself(http, installer):
    installer.go_on.clear()
    ordered = await http.post(PACKAGES, json={"kind": "msi"})
    assert (ordered.status_code, ordered.json()["state"]) == (202, "building")
    path = f"{PACKAGES}/{ordered.json()['id']}"
    assert (await http.get(f"{path}/file")).status_code == 409
    assert (await http.post(f"{path}/revoke", json={})).status_code == 409
    installer.go_on.set()
    line = ordered.json()
    while line["state"] == "building":
        line = (await http.get(path)).json()["line"]
    assert (line["state"], line["faults"], line["doing"]) == ("ready", [], "")
    got = await http.get(f"{path}/file")
    assert (len(got.content), got.headers[DIGEST_HEADER][:9]) == (line["size"], "sha-256=:")


async def test_a_fault_after_the_answer_is_on_record(http, installer):
    installer.go_on.clear()
    installer.fault = ConflictError("no certificate")
    path = f"{PACKAGES}/{(await http.post(PACKAGES, json={'kind': 'msi'})).json()['id']}"
    installer.go_on.set()
    line = {"state": "building"}
    while line["state"] == "building":
        line = (await http.get(path)).json()["line"]
    assert (line["state"], line["reason"]) == ("failed", "no certificate")


class Desk:
    """An admin API that needs three looks to build a package."""

    def __init__(self, *after):
        self.first, *self.then = [_line("building", 0.1), *after]
        self.asked = 0

    def post(self, path, kind, order):
        """See ``AdminClient.post``."""
        return self.first

    def get(self, path, kind):
        """See ``AdminClient.get``."""
        line = self.then[self.asked]
        self.asked += 1
        return PackageView(line, "", "", 0, 0)


def _line(state, share=0.0, reason=""):
    made = (1, "admin", "oauth", "r", "auto", "", "", False)
    return PackageLine("p", *made, state=state, share=share, doing="the base", reason=reason, warnings=("careful",))


def test_the_command_line_waits_until_it_is_ready(capsys):
    server = Desk(_line("building", 0.5), _line("ready"))
    line = _built(server, PackageOrder())
    assert (line.state, line.warnings, server.asked) == ("ready", ("careful",), 2)
    assert "careful" in capsys.readouterr().err


def test_the_command_line_tells_why_a_build_failed():
    with pytest.raises(ConflictError, match="the disk is full"):
        _built(Desk(_line("failed", reason="the disk is full")), PackageOrder())
