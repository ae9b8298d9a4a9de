"""The services that endpoints speak to, without HTTP, and one endpoint in front of them."""

import time
import uuid
from contextlib import asynccontextmanager

import msgspec
from tests.support.device import INVENTORY, read_bundle
from tests.support.fake_windows import FakeAcceptor, FakeHelpers, Heard, basic

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.core.secret import Secret
from keyfast.server.packages import open_workshop
from keyfast.services.authenticate import SignedRequest
from keyfast.services.basic_cache import BasicCache
from keyfast.services.change import ChangeService
from keyfast.services.check_in import CheckInService
from keyfast.services.enrol import EnrolService
from keyfast.services.enrolment_refusals import EnrolmentRefusals
from keyfast.services.package import PackageService
from keyfast.services.probe import ProbeService
from keyfast.services.progress import NoWindows
from keyfast.services.recover import RecoverService
from keyfast.services.refusal_tally import RefusalTally
from keyfast.services.replay import SeenOnce
from keyfast.services.went_back import WentBack
from keyfast.services.windows_check_in import WindowsCheckInService
from keyfast.services.windows_logon import Doors, WindowsLogon
from keyfast.store import commands, endpoints
from keyfast.store.identities import open_identities
from keyfast.store.writer import open_writer
from keyfast.trust import dpop, hpke
from keyfast.trust.device import DeviceKey
from keyfast.trust.encoding import digest_text
from keyfast.trust.roles import CHANGE_TYP
from keyfast.wire import messages
from keyfast.wire.admin import PackageOrder
from keyfast.wire.bundle import BundleAccount
from keyfast.wire.changes import Change, Probe, Recover, Recovered
from keyfast.wire.messages import CheckIn, CheckInAnswer, Join

KEY = "CORP\\svc-see"
PASSWORD = "Old-Passw0rd"
NEW = "New-Passw0rd"
PATH = "/endpoint/v1/check-in"
UNKNOWN = "3d1219c7-c4c5-404a-aa1f-6d2a48adfda4"


def entropy(size):
    """Random bytes."""
    return uuid.uuid4().bytes[:size]


class FakeTargets:
    """One rotation's target, for every endpoint."""

    wanted = None

    async def target(self, conn, endpoint):
        """See ``Targets``."""
        return self.wanted


class FakeWindows(NoWindows):
    """A recovery window that covers the endpoints in it, and remembers."""

    def __init__(self):
        self.covered: set[str] = set()
        self.told: list[tuple[str, str]] = []

    async def covering(self, endpoint_id, address, now):
        """See ``Windows``."""
        return "window" if endpoint_id in self.covered else None

    async def reached(self, conn, window_id, endpoint_id, now):
        """See ``Windows``."""
        self.told.append(("reached", endpoint_id))

    async def proven(self, conn, endpoint_id, change, now):
        """See ``Windows``."""
        self.told.append(("proven", endpoint_id))


class Desk:
    """The service, and one endpoint in front of it that can get everything wrong."""

    def __init__(self, site, writer, modes):
        self.site, self.modes = site, modes
        self.doors = Doors(
            kerberos=FakeAcceptor(),
            ntlm=FakeHelpers(),
            directory=site.directory,
            binding=None,
            binding_required=False,
            realm="CORP.EXAMPLE.TEST",
            domain="CORP",
        )
        self.heard = Heard()
        cache = BasicCache(Secret(bytes(32)), site.clock)
        logon = WindowsLogon(site.live, self.doors, cache, self.heard, site.clock)
        self.identities = open_identities(site.settings.database_url)
        ahead = WentBack(site.live, site.database, site.clock)
        self.targets, self.windows, self.ahead = FakeTargets(), FakeWindows(), ahead
        self.changes = ChangeService(site.live, self.targets, entropy, "CORP.EXAMPLE.TEST")
        self.tally = RefusalTally(site.database, site.clock)
        check_ins = CheckInService(
            site.live, writer, site.database, self.identities, self.changes, ahead, self.tally, site.clock, lambda: 0.5
        )
        refusals = EnrolmentRefusals(site.live, self.tally)
        enrolments = self.enrolments = EnrolService(site.live, site.database, refusals, site.clock, entropy)
        self.service = WindowsCheckInService(
            site.live, logon, check_ins, enrolments, refusals, site.database, self.identities, ahead, site.clock
        )
        self.workshop = open_workshop(site.settings, "Keyfast", site.clock)
        self.packages = PackageService(
            site.live, site.database, self.workshop, site.accounts, modes, site.clock, entropy
        )
        self.key, self.seal = DeviceKey.generate(), DeviceKey.generate()
        self.nonce, self.seq, self.generation = "", 0, 1
        self.id, self.receipt, self.bundled = "", "", None

        self.recoveries = self.recovery()
        self.probes = ProbeService(site.live, site.database, self.identities, self.service, self.windows, site.clock)

    def recovery(self, *, always=True):
        site = self.site
        return RecoverService(
            site.live,
            site.database,
            self.identities,
            self.changes,
            self.enrolments,
            self.windows,
            self.ahead,
            SeenOnce(),
            self.tally,
            site.clock,
            lambda: 0.5,
            always=always,
        )

    async def bundle(self, **order):
        asked = PackageOrder(**({"mode": "windows", "account": KEY} | order))
        return read_bundle(self.packages.path(await self.packages.create(asked, "admin")))

    def body(self, **changes):
        self.seq += 1
        message = CheckIn(
            seq=self.seq,
            boot_id=str(uuid.UUID(int=1, version=4)),
            instance=str(uuid.UUID(int=2, version=4)),
            agent_version="test",
            inventory_digest=digest_text(messages.inventory_bytes(INVENTORY)),
            inventory=INVENTORY,
            credential_generation=self.generation,
        )
        return messages.encode(msgspec.structs.replace(message, **changes))

    async def send(self, body, authorization="", *, kdc_refused=False, **proof):
        parts = {"nonce": self.nonce, "jti": uuid.uuid4().hex, "issued_at": int(time.time())} | proof
        key, parts["body"] = parts.pop("key", self.key), parts.pop("proven", body)
        made = dpop.make_proof(key, method="POST", url=self.site.settings.urls[0] + PATH, **parts)
        request = SignedRequest("POST", PATH, authorization, made, "192.0.2.7", 1, kdc_refused=kdc_refused)
        reply = await self.service.check_in(request, body)
        self.nonce = reply.nonce
        return reply

    async def post(self, serve, path, body, authorization="", proof=None, **parts):
        """Send anything that a proof covers; ``proof`` replaces the one that would be made."""
        made = self.prove(path, body, **parts) if proof is None else proof
        reply = await serve(SignedRequest("POST", path, authorization, made, "192.0.2.7", 1), body)
        self.nonce = reply.nonce
        return reply

    def fresh(self):
        """A nonce of this moment, as any refusal brings one."""
        return self.site.live.current.nonces.issue(int(self.site.clock()))

    def prove(self, path, body, **parts):
        parts = {"nonce": self.nonce, "jti": uuid.uuid4().hex, "issued_at": int(time.time())} | parts
        key, parts["body"] = parts.pop("key", self.key), parts.pop("proven", body)
        return dpop.make_proof(key, method="POST", url=self.site.settings.urls[0] + path, **parts)

    def recover_body(self, **changes):
        message = Recover(
            challenge="c", endpoint=self.id, account=KEY, credential_generation=self.generation, profile_seq=2
        )
        return messages.encode(msgspec.structs.replace(message, **changes))

    async def recover(self, *, service=None, send=None, **changes):
        body = self.recover_body(**changes)
        serve = (service or self.recoveries).recover
        return await self.post(serve, "/endpoint/v1/recover", body, **(send or {}))

    async def probe(self, command=UNKNOWN, authorization=None, *, send=None, **changes):
        message = Probe(challenge="p", command=command, account=KEY, credential_generation=self.generation)
        body = messages.encode(msgspec.structs.replace(message, **changes))
        given = basic(KEY, PASSWORD) if authorization is None else authorization
        return await self.post(self.probes.probe, "/endpoint/v1/probe", body, given, **(send or {}))

    async def record(self):
        async with self.site.database.read() as conn:
            return await endpoints.get(conn, self.id)

    async def rows(self):
        async with self.site.database.read() as conn:
            return await commands.list_page(conn, self.id, limit=10)

    def opened(self, jws, key=None):
        """Verify a change and open the account in it."""
        change = self.site.live.current.keyset.verify(jws, CHANGE_TYP, Change)
        if not change.account:
            return change, None
        text = hpke.open_sealed(
            change.account,
            key or self.seal,
            purpose="web access server",
            endpoint=self.id,
            reference=f"{change.epoch}.{change.seq}",
        )
        return change, msgspec.json.decode(text.reveal(), type=BundleAccount)

    async def enrol(self, **order):
        """Join with a fresh package, and keep what came of it."""
        self.bundled = await self.bundle(**order)
        told = answered(await self.join(self.bundled))
        self.id, self.receipt = told.registered.client_id, told.registered.keyfast_receipt
        self.site.directory.tried.clear()

    def joining(self, bundle):
        return Join(bundle.statement, self.seal.public_jwk())

    async def join(self, bundle, authorization=None, **changes):
        join = msgspec.structs.replace(self.joining(bundle), **changes.pop("join", {}))
        shown = basic(KEY, PASSWORD) if authorization is None else authorization
        return await self.send(self.body(join=join, **changes), shown)

    async def check_in(self, authorization=None, **changes):
        return await self.send(self.body(**changes), basic(KEY, PASSWORD) if authorization is None else authorization)


@asynccontextmanager
async def open_desk(site, modes):
    """A desk whose endpoint holds a nonce."""
    writer = await open_writer(site.settings.database_url, gap_s=0)
    made = Desk(site, writer, modes)
    assert (await made.check_in("")).outcome.kind is RefusalClass.USE_NONCE
    site.directory.tried.clear()
    yield made
    await made.identities.close()
    await writer.close()


def kind(reply):
    assert isinstance(reply.outcome, Refusal), reply
    return reply.outcome.kind


async def rotated(desk):
    """The password was changed, and the new one is on record."""
    await desk.site.change(NEW)
    await desk.site.record(NEW)
    desk.site.directory.tried.clear()


def answered(reply):
    assert isinstance(reply.outcome, bytes), reply
    return msgspec.json.decode(reply.outcome, type=CheckInAnswer)


def recovered(reply):
    """The answer to a recovery check-in."""
    assert isinstance(reply.outcome, bytes), reply
    return msgspec.json.decode(reply.outcome, type=Recovered)
