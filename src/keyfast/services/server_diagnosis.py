"""``keyfast diagnose server``: the server's own evidence, and what it finds about itself and each account now."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.diagnosis.engine import CANNOT_TELL, diagnose
from keyfast.core.diagnosis.finding import Finding
from keyfast.core.directory import Unreachable
from keyfast.core.mode import Mode
from keyfast.core.roll_call import EVERYBODY, Group, Key, Kind, credential_name
from keyfast.core.server_check import Check, Seen, checks
from keyfast.core.visible import visible
from keyfast.errors import TrustError
from keyfast.services.known_account import outcomes
from keyfast.services.live import LiveState
from keyfast.services.roll_call import INTERVAL_SECONDS
from keyfast.services.server_evidence import LOOK_BACK, ServerEvidence, Shape
from keyfast.store import accounts, nodes, roll_calls, traffic
from keyfast.store.database import Database
from keyfast.trust import tls
from keyfast.wire.incident import CheckLine, ServerDiagnosis, SubjectFindings


class ServerDiagnosisService:
    """Looks at the server. It tries no password and reads no endpoint.

    Args:
        database: the store.
        live: what this server accepts.
        evidence: collects what findings are made of.
        folder: of the server's certificates.
        clock: unix seconds.
    """

    def __init__(
        self,
        database: Database,
        live: LiveState,
        evidence: ServerEvidence,
        folder: Path,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._live = live
        self._evidence = evidence
        self._folder = folder
        self._clock = clock

    async def diagnose(self) -> ServerDiagnosis:
        """What stands well and what does not; findings of each account, and of the server.

        Raises:
            NotReadyError: the database is down.
        """
        now, live = int(self._clock()), self._live.current
        async with self._database.read() as conn:
            subjects = [("this server", EVERYBODY)]
            subjects += [
                (account.key, (Kind.CREDENTIAL, credential_name(account.key, account.newest)))
                for account in live.accounts.values()
            ]
            counted = await roll_calls.groups(conn, [key for _, key in subjects])
            counted |= await roll_calls.worst(conn, Kind.MODE, len(Mode))
            groups = {key: found.group for key, found in counted.items()}
            seen = await self._seen(conn, groups, counted[EVERYBODY].counted_at if EVERYBODY in counted else 0, now)
            told = [(name, await self._findings(conn, key, groups)) for name, key in subjects]
        return ServerDiagnosis(
            now,
            tuple(_line(check) for check in checks(seen)),
            tuple(SubjectFindings(visible(name), findings) for name, findings in told if findings),
        )

    async def _findings(self, conn: AsyncConnection, key: Key, groups: dict[Key, Group]) -> tuple[Finding, ...]:
        """What is found, whether or not anybody is silent; that nothing is, is no finding here."""
        silent = groups.get(key, Group()).silent
        found = diagnose(await self._evidence.collect(conn, Shape(key, silent), groups))
        return tuple(finding for finding in found if finding.code != CANNOT_TELL)

    async def _seen(self, conn: AsyncConnection, groups: dict[Key, Group], counted_at: int, now: int) -> Seen:
        live, hour = self._live.current, await traffic.counted(conn, now - LOOK_BACK, now + traffic.MINUTE)
        refusals: dict[str, int] = {}
        for minute in hour:
            for kind, count in minute.refusals.items():
                refusals[kind] = refusals.get(kind, 0) + count
        read = outcomes(await accounts.readings(conn))
        directory = {found.server: 0 for found in read}
        directory |= {found.server: found.read_at for found in read if isinstance(found, Unreachable)}
        ends_at, trusted = self._certificate()
        return Seen(
            now=now,
            directory=directory,
            certificate_ends_at=ends_at,
            trusted=trusted,
            nodes={node.name: node.seen_at for node in await nodes.load(conn)},
            modes=live.modes,
            holders={name: group.endpoints for (kind, name), group in groups.items() if kind is Kind.MODE},
            counted_at=counted_at,
            roll_call_s=INTERVAL_SECONDS,
            check_ins=sum(minute.check_ins for minute in hour),
            refusals=refusals,
            restored_at=live.installation.restored_at,
        )

    def _certificate(self) -> tuple[int | None, bool | None]:
        try:
            pem = (self._folder / "server.pem").read_bytes()
            return tls.facts(pem).ends_at, tls.signed_by(pem, (self._folder / "ca.pem").read_bytes())
        except (OSError, TrustError):
            return None, None


def _line(check: Check) -> CheckLine:
    return CheckLine(check.what, check.state.value, check.sentence)
