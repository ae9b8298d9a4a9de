"""Packages: nothing enrols with one that is not whole, and no account goes into one that will not last."""

import asyncio
import hashlib
import os
import uuid

import msgspec
import pytest
from tests.support.databases import NOW
from tests.support.desk import KEY
from tests.support.fake_installer import FakeInstaller
from tests.support.rotation_site import MortalDatabase

from keyfast.core.account import DAY
from keyfast.core.embedding import SOON
from keyfast.core.mode import Mechanism
from keyfast.core.package import PackageKind
from keyfast.core.package_life import PackageState
from keyfast.errors import ConflictError, MissingToolError, NotFoundError, NotReadyError, TransitionError, UsageError
from keyfast.installers.stamp import Missing
from keyfast.services.modes import ModeService
from keyfast.services.package import PackageService
from keyfast.services.package_build import Workshop
from keyfast.services.package_files import BASES, PackageFiles
from keyfast.services.package_report import PackageReports
from keyfast.store import packages
from keyfast.wire.admin import PackageOrder
from keyfast.wire.packages import FileCheck

MSI = PackageOrder(kind=PackageKind.MSI)
WINDOWS = PackageOrder(kind=PackageKind.MSI, mode="windows", account=KEY)


class Factory:
    """A package service over a fake builder, and what is read of it."""

    def __init__(self, site, database=None):
        self.site = site
        self.installer = FakeInstaller()
        self.folder = site.settings.data / "packages"
        self.files = PackageFiles(self.folder, keep=2)
        workshop = Workshop(self.files, {PackageKind.MSI: self.installer})
        modes = ModeService(site.live, site.database, tuple(Mechanism), lambda: "", site.clock)
        used = database or site.database
        self.service = PackageService(
            site.live, used, workshop, site.accounts, modes, site.clock, os.urandom, retry_s=0.0
        )
        self.reports = PackageReports(site.database, self.service, workshop, site.clock)

    async def rows(self):
        async with self.site.database.read() as conn:
            return await packages.list_page(conn, after="", limit=100)

    def left(self):
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture
def factory(site):
    return Factory(site)


async def test_a_package_is_on_record_with_all_that_made_it(site, factory):
    row = await factory.service.create(MSI, "admin")
    content = factory.service.path(row).read_bytes()
    assert (row.state, row.sha256, row.size) == (PackageState.READY, hashlib.sha256(content).hexdigest(), len(content))
    assert (row.kind, row.built_at, row.policy_version) == (PackageKind.MSI, NOW, site.live.current.policy.version)
    assert row.version
    assert factory.service.path(row).stat().st_mode & 0o777 == 0o600
    view = await factory.reports.show(row.id)
    assert (view.line.state, view.line.faults, view.line.expires_at) == ("ready", (), NOW + 30 * DAY)
    (stamp,) = factory.installer.stamps
    assert (stamp.bundle.package, stamp.product_code, stamp.built_at) == (row.id, view.product_code, NOW)
    assert [told["package"] for _, told in await site.events("package_created")] == [row.id]


async def test_whoever_waits_sees_how_far_it_is_and_the_base_is_built_in_turn(factory):
    factory.installer.go_on.clear()
    begun = [await factory.service.begin(MSI, "admin") for _ in range(3)]
    await asyncio.to_thread(factory.installer.told.wait, 30)
    line = await factory.reports.line(begun[0].package)
    assert (line.state, line.doing, line.share, line.faults) == ("building", "building the base", 0.5, ("building",))
    assert factory.left() == []
    factory.installer.go_on.set()
    assert await asyncio.gather(*(one.task for one in begun)) == [None, None, None]
    assert {line.state for line in await factory.reports.list_page("", 10)} == {"ready"}


async def test_a_missing_program_is_told_with_its_package_before_anything_is_written(factory):
    factory.installer.needs = (Missing("wixl", "wixl"), Missing("msibuild", "msitools"), Missing("msiinfo", "msitools"))
    with pytest.raises(MissingToolError, match="wixl, msibuild, msiinfo") as refused:
        await factory.service.create(MSI, "admin")
    assert refused.value.repair == "apt install wixl msitools"
    (line,) = factory.reports.kinds()
    assert [need.package for need in line.missing] == ["wixl", "msitools", "msitools"]
    with pytest.raises(UsageError, match="builds no packages of kind rpm"):
        await factory.service.create(PackageOrder(kind=PackageKind.RPM), "admin")
    assert await factory.rows() == []


@pytest.mark.parametrize(
    ("fault", "reason"), [(ConflictError("no certificate"), "no certificate"), (OSError("full"), "the server failed")]
)
async def test_a_build_that_fails_is_on_record_with_its_reason_and_leaves_nothing(site, factory, fault, reason):
    factory.installer.fault = fault
    with pytest.raises(Exception, match=r"no certificate|could not be built"):
        await factory.service.create(msgspec.structs.replace(MSI, serials=("a",)), "admin")
    (row,) = await factory.rows()
    assert (row.state, factory.left()) == (PackageState.FAILED, [])
    assert reason in row.reason
    async with site.database.read() as conn:
        assert await packages.tokens(conn, [row.id]) == {}
        assert not await packages.lists(conn, row.id, ["A"])
    assert [kind for kind, _ in await site.events("package_failed", "package_created")] == ["package_failed"]
    with pytest.raises(TransitionError):
        await factory.service.revoke(row.id, "admin")
    with pytest.raises(ConflictError, match="is failed"):
        await factory.service.artefact(row.id, "admin")


class KilledError(BaseException):
    """The process ends here: nobody handles it."""


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("die_at", [1, 2])
async def test_a_process_may_die_at_any_write_and_the_next_ends_what_it_began(site, die_at, after_commit):
    """Two writes make a package: its intent, and that it is ready."""
    database = MortalDatabase(site.database, KilledError)
    database.die_at, database.after_commit = die_at, after_commit
    doomed = Factory(site, database)
    with pytest.raises(KilledError):
        await doomed.service.create(MSI, "admin")
    assert database.writes == die_at
    artefact = doomed.installer.stamps[0].bundle if doomed.installer.stamps else None
    later = Factory(site)
    for _ in range(2):
        await later.service.resume()
    rows = await later.rows()
    done = (die_at, after_commit) == (2, True)
    expected = [] if (die_at, after_commit) == (1, False) else [PackageState.READY if done else PackageState.FAILED]
    assert [row.state for row in rows] == expected
    assert later.left() == ([rows[0].file_name] if done else [])
    async with site.database.read() as conn:
        tokens = await packages.tokens(conn, [row.id for row in rows])
    assert bool(tokens) is done
    assert (artefact is not None) is (die_at == 2)
    assert len(await site.events("package_failed")) == expected.count(PackageState.FAILED)


async def test_a_start_ends_no_build_of_its_own_process(factory):
    factory.installer.go_on.clear()
    begun = await factory.service.begin(MSI, "admin")
    await factory.service.resume()
    factory.installer.go_on.set()
    assert await begun.task is None


async def test_a_build_that_another_process_has_ended_is_not_taken_for_whole(site, factory):
    factory.installer.go_on.clear()
    begun = await factory.service.begin(MSI, "admin")
    await Factory(site).service.resume()
    factory.installer.go_on.set()
    fault = await begun.task
    assert "another server process" in fault.message
    (row,) = await factory.rows()
    assert (row.state, factory.left()) == (PackageState.FAILED, [])


class Flaky:
    """A store that is down for some writes."""

    def __init__(self, database):
        self.read, self._write, self.down = database.read, database.write, 0

    def write(self):
        """See ``Database.write``."""
        if self.down:
            self.down -= 1
            raise NotReadyError("the store is down")
        return self._write()


async def test_a_failure_that_cannot_be_recorded_is_recorded_later(site, caplog):
    flaky = Flaky(site.database)
    factory = Factory(site, flaky)
    factory.installer.go_on.clear()
    begun = await factory.service.begin(MSI, "admin")
    flaky.down = 3
    factory.installer.go_on.set()
    assert isinstance(await begun.task, NotReadyError)
    (row,) = await factory.rows()
    assert row.state is PackageState.FAILED


async def test_a_revoked_package_has_no_file_and_is_revoked_twice_without_harm(site, factory):
    row = await factory.service.create(MSI, "admin")
    for _ in range(2):
        await factory.service.revoke(row.id, "admin")
    assert factory.left() == []
    assert len(await site.events("package_revoked")) == 1
    assert (await factory.reports.line(row.id)).faults == ("revoked",)
    with pytest.raises(ConflictError, match="is revoked"):
        await factory.service.artefact(row.id, "admin")
    with pytest.raises(NotFoundError):
        await factory.service.revoke(str(uuid.uuid4()), "admin")


async def test_a_download_is_noted_and_a_lost_file_told(site, factory):
    row = await factory.service.create(MSI, "admin")
    assert (await factory.service.artefact(row.id, "alice"))[1].read_bytes()
    assert [told for _, told in await site.events("package_downloaded")] == [{"package": row.id, "by": "alice"}]
    factory.files.remove(row.file_name)
    with pytest.raises(NotFoundError, match="not on this server any more"):
        await factory.service.artefact(row.id, "alice")


async def test_a_file_is_recognised_by_its_bytes_and_else_by_what_it_names(factory):
    row = await factory.service.create(MSI, "admin")
    same = await factory.reports.check_file(FileCheck(row.sha256.upper()))
    assert (same.genuine, same.package.id) == (True, row.id)
    other = await factory.reports.check_file(FileCheck("00" * 32, ("nonsense", str(uuid.uuid4()), row.id)))
    assert (other.genuine, other.package.id) == (False, row.id)
    assert (await factory.reports.check_file(FileCheck("00" * 32))).package is None


def test_base_artefacts_of_old_versions_are_forgotten(factory):
    for age, version in enumerate(["3", "2", "1"]):
        made = factory.folder / BASES / version
        made.mkdir(parents=True)
        (made / "base").write_bytes(b"x")
        os.utime(made, (NOW - age, NOW - age))
    factory.files.forget_old_bases()
    assert sorted(path.name for path in (factory.folder / BASES).iterdir()) == ["2", "3"]


# --- the account inside


TROUBLES = {
    "disabled": {"disabled": True},
    "locked": {"locked": True},
    "account_expired": {"expires_at": NOW},
    "account_expires_soon": {"expires_at": NOW + 3 * DAY},
    "expired": {"password_expired": True, "never_expires": False},
    "expires_soon": {"password_expires_at": NOW + 3 * DAY, "never_expires": False},
    "must_change": {"must_change": True},
}


@pytest.mark.parametrize("condition", TROUBLES)
async def test_no_package_is_built_with_an_account_in_trouble(site, factory, condition):
    await site.add()
    site.directory.alter("svc-see", **TROUBLES[condition])
    site.directory.tried.clear()
    with pytest.raises(ConflictError, match="CORP") as refused:
        await factory.service.create(WINDOWS, "admin")
    assert refused.value.repair
    assert site.directory.tried == []
    assert await factory.rows() == []
    order = msgspec.structs.replace(WINDOWS, despite=(condition,))
    if condition in SOON:
        assert f"--despite {condition}" in refused.value.repair
        begun = await factory.service.begin(order, "admin")
        assert await begun.task is None
        assert [found.condition for found in begun.warnings] == [condition]
    else:
        with pytest.raises(ConflictError):
            await factory.service.create(order, "admin")


async def test_a_password_that_may_expire_is_a_warning_in_the_answer_and_in_the_event(site, factory):
    await site.add()
    site.directory.alter("svc-see", password_expires_at=NOW + 300 * DAY, never_expires=False)
    begun = await factory.service.begin(WINDOWS, "admin")
    assert await begun.task is None
    line = await factory.reports.line(begun.package, begun.warnings)
    assert "'password never expires' is not set" in line.warnings[0]
    ((_, told),) = await site.events("package_created")
    assert told["warnings"] == ["may_expire"]


async def test_a_password_that_does_not_work_now_is_in_no_package(site, factory):
    await site.add()
    site.directory.down = {"dc1"}
    with pytest.raises(NotReadyError):
        await factory.service.create(WINDOWS, "admin")
    site.directory.down = set()
    await site.change()
    with pytest.raises(ConflictError, match="its password was changed"):
        await factory.service.create(WINDOWS, "admin")
    with pytest.raises(UsageError, match="embeds a client authentication account"):
        await factory.service.create(msgspec.structs.replace(WINDOWS, account=""), "admin")
    assert await factory.rows() == []


async def test_a_package_whose_account_has_changed_since_says_so(site, factory):
    await site.add()
    row = await factory.service.create(WINDOWS, "admin")
    await site.change()
    await site.add("New-Passw0rd")
    view = await factory.reports.show(row.id)
    assert (view.line.faults, view.line.generation, view.newest_generation) == (("account_changed",), 1, 2)
