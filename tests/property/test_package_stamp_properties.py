"""A thousand packages: every code of its own, no secret where it does not belong, and settings that make no sense."""

import os
import secrets
from collections import Counter

import pytest
from tests.support.databases import NOW, new_database
from tests.support.device import read_bundle

from keyfast.core.mode import Mechanism
from keyfast.core.package import PackageKind
from keyfast.errors import UsageError
from keyfast.installers.bundle import BundleInstaller
from keyfast.services.founding import found_installation
from keyfast.services.live import LiveState
from keyfast.services.modes import ModeService
from keyfast.services.package import PackageService
from keyfast.services.package_build import Workshop, prepare
from keyfast.services.package_files import PackageFiles
from keyfast.settings import Settings, load
from keyfast.store import packages
from keyfast.store.database import Database
from keyfast.trust.enrolment import TYP, EnrolmentToken
from keyfast.trust.kek import load_kek
from keyfast.wire.admin import PackageOrder
from keyfast.wire.bundle import BundleAccount

MANY = 1000


@pytest.fixture
def url(tmp_path):
    return new_database("sqlite", tmp_path)


@pytest.fixture
async def site(tmp_path, url):
    settings = Settings(tmp_path, database=url)
    database = await Database.open(settings.database_url)
    await found_installation(settings, database, "Example", NOW)
    live = LiveState(database, lambda installation: load_kek(settings.kek_file, installation), settings.urls)
    await live.refresh()
    yield settings, database, live
    await database.close()


@pytest.mark.slow
async def test_a_thousand_packages_share_no_code_and_no_secret(site):
    """The whole way, onto the disk: bundles, half of them for a ring of their own."""
    settings, database, live = site
    workshop = Workshop(PackageFiles(settings.package_files), {PackageKind.BUNDLE: BundleInstaller(settings.data)})
    modes = ModeService(live, database, tuple(Mechanism), lambda: "", lambda: NOW)
    service = PackageService(live, database, workshop, None, modes, lambda: NOW, os.urandom)
    rows = [await service.create(PackageOrder(ring=f"ring {number % 500}"), "admin") for number in range(MANY)]
    for what in ("id", "file_name", "sha256", "product_code"):
        assert len({getattr(row, what) for row in rows}) == MANY, what
    bundles = [read_bundle(service.path(row)) for row in rows]
    assert [bundle.package for bundle in bundles] == [row.id for row in rows]
    tokens = [live.current.keyset.verify(bundle.statement, TYP, EnrolmentToken) for bundle in bundles]
    assert len({token.jti for token in tokens}) == MANY
    assert [(token.package, token.ring) for token in tokens] == [(row.id, row.ring) for row in rows]
    async with database.read() as conn:
        held = await packages.tokens(conn, [row.id for row in rows])
    assert {held[token.package].jti for token in tokens} == {token.jti for token in tokens}


async def test_a_stamp_holds_its_account_s_password_in_its_secret_file_alone(site):
    """Windows packages of two accounts in turn, as every builder gets them."""
    _, _, live = site
    passwords = [f"Passw0rd {secrets.token_hex(8)}" for _ in range(2)]
    accounts = [BundleAccount(f"svc-{number}", "CORP", password, 1) for number, password in enumerate(passwords)]
    orders = [PackageOrder(mode="windows", account=f"CORP\\{account.name}") for account in accounts]
    made = [
        prepare(live.current, orders[number % 2], accounts[number % 2], "admin", NOW, os.urandom)
        for number in range(MANY)
    ]
    codes = Counter(code for one in made for code in (one.stamp.product_code, one.stamp.package_code, one.row.id))
    assert set(codes.values()) == {1}
    assert len({one.stamp.bundle.statement for one in made}) == MANY
    for number, one in enumerate(made):
        own, other = passwords[number % 2], passwords[1 - number % 2]
        public = repr(one) + repr(one.stamp.values())
        assert own.encode() in one.stamp.secret
        assert other.encode() not in one.stamp.secret
        assert own not in public


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keep = 0", "keep must be a number"),
        ("keep = true", "keep must be a number"),
        ("keep = 101", "keep must be a number"),
        ('signing_key = "k"', "both signing_certificate and signing_key"),
        ('signing_certificate = "c"', "both signing_certificate and signing_key"),
        ('python_embed = "p"', "both python_embed and python_embed_sha256"),
        ('python_embed_sha256 = "p"', "both python_embed and python_embed_sha256"),
        ("wheels = 1", "wheels must be a string"),
        ("colour = 1", "unknown settings: colour"),
    ],
)
def test_settings_that_make_no_sense_are_told(tmp_path, text, said):
    (tmp_path / "server.toml").write_text(f"[packages]\n{text}\n")
    with pytest.raises(UsageError, match=said):
        load(tmp_path)


def test_files_named_in_settings_lie_in_the_data_directory(tmp_path):
    text = '[packages]\nsigning_certificate = "c.pem"\nsigning_key = "/k.pem"\nkeep = 2\nrpm_key = "r.asc"\n'
    (tmp_path / "server.toml").write_text(text)
    found = load(tmp_path).packages
    told = (str(found.signing_certificate), str(found.signing_key), found.keep, str(found.rpm_key))
    assert told == (f"{tmp_path}/c.pem", "/k.pem", 2, f"{tmp_path}/r.asc")
