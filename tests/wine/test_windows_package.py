"""The whole life of a Windows package, under Wine: MSI, service, agent and a real server on loopback."""

import json
import re
import shutil
import time
import uuid

import msgspec
import pytest
from tests.support import processes
from tests.support.device import read_bundle
from tests.support.wine import PROGRAMS, REFUSED, until_running
from tests.wine.conftest import NEW, OLD

from keyfast.core.package import BUNDLE_FILE
from keyfast.installers.msi import inspect, names
from keyfast.installers.stamp import Stamp
from keyfast.wire.admin import AccountOrder, AccountView, Changed, ModeOrder
from keyfast.wire.bundle import Bundle
from keyfast.wire.directory import LocalAccountLine, LocalAccountOrder
from keyfast.wire.messages import encode
from keyfast.wire.packages import PackageView

pytestmark = [pytest.mark.wine, pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(900)]

ACCOUNT = "svc-endpoints"
FIRST, SECOND = "first-Passw0rd-of-the-account", "second-Passw0rd-of-the-account"
PATIENCE = 120.0


class Site:
    """A server, one Windows, and the packages that go from the one to the other."""

    def __init__(self, server, wine, newer, folder):
        self.server, self.wine, self.newer, self.folder = server, wine, newer, folder
        self.secrets = [FIRST, SECOND]

    def set_password(self, password):
        """As somebody does one day in the directory, and then tells Keyfast."""
        self.server.admin.post("/admin/v1/directory/accounts", LocalAccountLine, LocalAccountOrder(ACCOUNT, password))
        return self.server.admin.post("/admin/v1/accounts", AccountView, AccountOrder(ACCOUNT, password)).account

    def package(self, version, **order):
        """An MSI, and what it was made from. Those of the server's own version are the server's work, all of it."""
        own = version == OLD
        line = self.server.package(kind="msi" if own else "bundle", **order)
        while line.state == "building":
            line = self.server.admin.get(f"/admin/v1/packages/{line.id}", PackageView).line
        assert line.state == "ready", line.reason
        msi = self.folder / f"{line.id}.msi"
        if own:
            shutil.copy(line.path, msi)
            stamp = self.stamp_of(msi, line)
        else:
            stamp = self.stamp(line, read_bundle(line.path), str(uuid.uuid4()), str(uuid.uuid4()))
            msi.write_bytes(self.newer.stamp(self.newer.base(lambda what, share: None), stamp))
        assert inspect.faults(inspect.read(msi), stamp, version) == []
        self.secrets.append(stamp.bundle.statement)
        return msi, stamp

    def stamp(self, line, bundle, *codes):
        return Stamp(bundle, line.built_at, self.server.url, line.mode, *codes)

    def stamp_of(self, msi, line):
        """What the server made an MSI from, by what is in it."""
        contents = inspect.read(msi)
        cabinet = contents.streams[names.BUNDLE_CABINET]
        bundle = msgspec.json.decode(cabinet[cabinet.index(b"{") :], type=Bundle)
        product = contents.by("Property", "Property")["ProductCode"]["Value"]
        package = re.search(r"UUID\): \{(\S+)\}", contents.summary)[1]
        return self.stamp(line, bundle, product.strip("{}"), package)

    def install(self, msi, *more):
        """Install, and see that nothing secret was logged."""
        said = self.wine.install(msi, *more)
        assert said.code == 0, said.text[-3000:]
        assert "Action ended" in said.text, "the log is there"
        self.demand_secrecy(said.text)
        until_running(self.wine)

    def demand_secrecy(self, text):
        assert not [secret for secret in self.secrets if secret in text]

    def endpoint(self):
        """The one endpoint that the server knows."""
        (line,) = self.server.endpoints()
        return self.server.endpoint(line.id)

    def until(self, read, what):
        """Wait; when it takes too long, show what the agent said meanwhile."""
        try:
            processes.until(read, what, PATIENCE)
        except AssertionError as fault:
            raise AssertionError(f"{fault}; the agent's log:\n{self.wine.log()[-3000:]}") from None

    def until_heard(self, since):
        """Wait until the server has heard from the endpoint since a moment."""

        def heard():
            lines = self.server.endpoints()
            return bool(lines) and lines[0].state == "active" and lines[0].seen_at >= since

        self.until(heard, "a check-in")
        return self.endpoint()

    def until_taken(self):
        """Wait until the agent has taken the package, and nothing of it is left."""
        file = self.wine.prefix / PROGRAMS / "package" / BUNDLE_FILE
        processes.until(
            lambda: not file.exists(), f"the package to be taken; log:\n{self.wine.log()[-3000:]}", PATIENCE
        )

    def status(self):
        """The agent's own view."""
        return json.loads(self.wine.agent("status", "--json").text)


@pytest.fixture
def site(server, start_wine, newer, tmp_path):
    return Site(server, start_wine(), newer, tmp_path)


def test_an_endpoint_keeps_its_identity_through_the_life_of_its_packages(site):
    wine, server = site.wine, site.server

    # 1. An account, and a package of Windows mode with its password inside.
    account = site.set_password(FIRST)
    server.admin.post("/admin/v1/modes/open", Changed, ModeOrder("windows"))
    first, first_stamp = site.package(OLD, mode="windows", account=account)

    # 2. A silent installation with a property: the service runs, the agent enrols and checks in over TLS.
    site.install(first, f"SERVERURL={server.url}/")
    enrolled = site.until_heard(0)
    site.until(
        lambda: f"first contact: endpoint {enrolled.line.id}" in wine.log(), "the self-check of the installation"
    )

    # 3. The registry shows who it is, and nothing secret; the file that was secret is gone.
    site.until_taken()
    values = wine.values(names.DATABASE_KEY)
    said = (values["AuthenticationMode"], values["AccountName"], values["EndpointId"], values["ServerUrl"])
    assert said == ("windows", ACCOUNT, enrolled.line.id, server.url)
    assert values["AccountDomain"] == first_stamp.bundle.account.domain
    assert wine.values(names.PACKAGE_KEY)["PackageId"] == first_stamp.bundle.package
    assert wine.values(names.PACKAGE_KEY)[names.SERVER_URL_VALUE] == f"{server.url}/"
    site.demand_secrecy(wine.registry())
    assert wine.products() == [first_stamp.product_code.upper()]

    # 4. The password changes; a package of the same version brings the new one, and replaces the first.
    site.set_password(SECOND)
    second, second_stamp = site.package(OLD, mode="windows", account=account)
    since = int(time.time())
    site.install(second)
    site.until_taken()
    assert wine.products() == [second_stamp.product_code.upper()]
    assert wine.values(names.PACKAGE_KEY)[names.SERVER_URL_VALUE] == f"{server.url}/", "kept over the replacement"
    wine.agent("check-in")
    assert site.until_heard(since).line.id == enrolled.line.id

    # 5. An upgrade.
    third, third_stamp = site.package(NEW, mode="windows", account=account)
    since = int(time.time())
    site.install(third)
    site.until_taken()
    assert wine.products() == [third_stamp.product_code.upper()]
    wine.agent("check-in")
    assert site.until_heard(since).line.id == enrolled.line.id

    # 6. A downgrade is refused, and changes nothing.
    assert wine.install(second).code == REFUSED
    assert wine.products() == [third_stamp.product_code.upper()]
    until_running(wine)

    # 7. A repair brings back files. What the agent lives by is newer, and stays.
    before = site.status()
    (wine.prefix / PROGRAMS / "_ssl.pyd").unlink()
    assert wine.repair(third).code == 0
    assert (wine.prefix / PROGRAMS / "_ssl.pyd").exists()
    until_running(wine)
    site.until_taken()
    assert site.status()["endpoint"] == before["endpoint"]

    # 8. Even the first package's file, put there by hand, does not bring back the old password.
    wine.run("net", "stop", names.SERVICE)
    old = wine.prefix / PROGRAMS / "package" / BUNDLE_FILE
    old.write_bytes(encode(first_stamp.bundle))
    wine.run("net", "start", names.SERVICE)
    site.until_taken()
    since = int(time.time())
    wine.agent("check-in")
    site.until_heard(since)

    # 9. A package of OAuth mode moves the endpoint out of Windows mode, with its record and history.
    fourth, fourth_stamp = site.package(NEW, mode="oauth")
    site.install(fourth)
    site.until_taken()
    site.until(lambda: wine.values(names.DATABASE_KEY)["AuthenticationMode"] == "oauth", "the migration")
    since = int(time.time())
    wine.agent("check-in")
    migrated = site.until_heard(since)
    assert (migrated.line.id, migrated.registered_at) == (enrolled.line.id, enrolled.registered_at)

    # 10. It is removed: the server is told, and the record stays.
    removed = wine.uninstall(fourth_stamp.product_code)
    assert removed.code == 0, removed.text[-3000:]
    site.demand_secrecy(removed.text)
    assert wine.products() == []
    assert not wine.service_runs()
    site.until(lambda: site.endpoint().line.state == "retired", "the farewell")
    assert wine.values(names.PACKAGE_KEY) == {}

    # 11. It is installed again, and is the same endpoint.
    fifth, _ = site.package(NEW, mode="oauth")
    since = int(time.time())
    site.install(fifth)
    site.until_taken()
    wine.agent("check-in")
    assert site.until_heard(since).line.id == enrolled.line.id
    site.demand_secrecy(wine.registry())
    site.demand_secrecy(wine.log())
