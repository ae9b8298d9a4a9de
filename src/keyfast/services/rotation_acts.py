"""Do what rotations decided. Every act may be done twice; how far it has come is written down with its work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from keyfast.core.mode import Mode
from keyfast.core.rotation_effects import EffectKind as K
from keyfast.core.rotation_evidence import BACK
from keyfast.core.rotation_plan import Kind, cuts, portion
from keyfast.core.rotation_state import OFFERING, Rotation, RotationState
from keyfast.services.keyring import KeyringService
from keyfast.services.modes import ModeService
from keyfast.services.rotation_canary import chosen_canary
from keyfast.services.rotation_evidence import newest_proven, scope_of
from keyfast.services.rotation_generations import Generations
from keyfast.services.rotation_ledger import changed_row, locked, rotation_of
from keyfast.services.rotation_password import PasswordSetter
from keyfast.services.rotation_profile import ProfileSigner
from keyfast.store import events, profiles, rotation_counts, rotation_targets, rotations
from keyfast.store.database import Database
from keyfast.store.rotations import EffectRow, RotationRow
from keyfast.trust.roles import KeyStatus, Role
from keyfast.wire.changes import CHANGE_WEB_ACCESS_SERVER
from keyfast.wire.renewal import RENEW_DEVICE_KEY

PORTION = 2000
"""Endpoints changed in one transaction."""
BY = "rotation"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a portion of an act came to.

    Attributes:
        done: nothing of it is left.
        document: how far it has come.
        facts: members of ``core.rotation_state.Facts`` that it brought about.
        rotation: members of the rotation itself.
        told: particulars for the event that tells of it.
    """

    done: bool
    document: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)
    rotation: dict[str, int] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What an act works with, inside a transaction that holds the rotation."""

    conn: AsyncConnection
    row: RotationRow
    rotation: Rotation
    effect: EffectRow
    now: int

    @property
    def document(self) -> dict[str, Any]:
        """What the act is about, and how far it has come."""
        return self.effect.document


Portion = Callable[[Work], Awaitable[Outcome]]
"""What is done of an act in one transaction."""


class RotationActs:
    """Does effects.

    Args:
        database: the store.
        passwords: sets and verifies passwords.
        signer: signs access profiles.
        modes: opens and closes authentication modes.
        keyring: rotates the token key.
        generations: changes credential generations.
        clock: unix seconds.
        chance: 0 to 1, for the size of portions.
    """

    def __init__(
        self,
        database: Database,
        passwords: PasswordSetter,
        signer: ProfileSigner,
        modes: ModeService,
        keyring: KeyringService,
        generations: Generations,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._signer = signer
        self._modes = modes
        self._keyring = keyring
        self._generations = generations
        self._clock = clock
        self._chance = chance
        self._in_store: dict[K, Portion] = {
            K.SIGN_PROFILE: self._sign_profile,
            K.PLAN_TARGETS: self._plan_targets,
            K.PLAN_BACK: self._plan_back,
            K.RELEASE_WAVE: self._release,
            K.RETRY: self._all_of(rotation_targets.retry),
            K.RECALL: self._all_of(rotation_targets.recall),
            K.WITHDRAW: self._all_of(rotation_targets.withdraw),
            K.PUT_IN_FORCE: self._put_in_force,
            K.ERASE: self._erase,
            K.DESTROY: self._change_generations,
            K.RETIRE: self._change_generations,
            K.RETRUST: self._change_generations,
        }

    async def perform(self, row: RotationRow, effect: EffectRow) -> bool:
        """Do an act, or a portion of it; tell whether it is done.

        Raises:
            KeyfastError: it could not be done now.
        """
        kind = K(effect.kind)
        if kind is K.SET_PASSWORD:
            await self._passwords.set_(effect, str(effect.document["account"]))
            return True
        if kind is K.ROTATE_KEY:
            return await self._rotate_key(row, effect)
        return await self._recorded(row, effect, await self._outside(kind, row, effect))

    async def _outside(self, kind: K, row: RotationRow, effect: EffectRow) -> Portion:
        """Do what lies outside the store; return what is left to do, and to note, inside it."""
        if kind is K.VERIFY_ACCOUNT:
            return await self._verified(row, str(effect.document["account"]))
        if kind is K.OPEN_MODE:
            await self._modes.open_(Mode(str(effect.document["mode"])), rotation_of(row).plan.ring, BY)
            return _done
        if kind in {K.RETIRE, K.RETRUST} and "mode" in effect.document:
            await self._switch_mode(kind, effect)
            return _done
        return self._in_store[kind]

    async def _verified(self, row: RotationRow, account: str) -> Portion:
        if rotation_of(row).state is RotationState.ROLLING_BACK:
            return _done  # whoever goes back does not need it to work
        generation = await self._passwords.verify(account)
        return lambda work: _done(work, {"generation": generation}, generation=generation)

    async def _recorded(self, row: RotationRow, effect: EffectRow, work: Portion) -> bool:
        """Do a portion in one transaction with the note of it. What is done already is not done again."""
        now = int(self._clock())
        async with self._database.write() as conn:
            held = await locked(conn, row.id)
            known = await rotations.effect(conn, row.id, effect.number)
            if known is None or known.done_at is not None:
                return True
            rotation = rotation_of(held)
            outcome = await work(Work(conn, held, rotation, known, now))
            document = {name: value for name, value in known.document.items() if name not in _TROUBLE}
            done_at = now if outcome.done else None
            await rotations.progress(conn, known, document | outcome.document, done_at)
            after = replace(rotation, facts=replace(rotation.facts, **outcome.facts), **outcome.rotation)
            if after != rotation:
                await rotations.save(conn, changed_row(held, after, now))
            if outcome.done:
                detail = {"rotation": row.id, "act": effect.kind, **outcome.told}
                await events.add(conn, at=now, kind="rotation_acted", endpoint_id=None, detail=detail)
        return outcome.done

    async def _sign_profile(self, work: Work) -> Outcome:
        back = bool(work.document.get("back"))
        seq, epoch, old = await self._signer.sign(work.conn, work.rotation, back=back)
        if back:
            return Outcome(done=True, facts={"back_seq": seq}, told={"profile": seq})
        old_seq = work.rotation.facts.old_seq or old
        facts = {"profile_seq": seq, "profile_epoch": epoch, "old_seq": old_seq}
        return Outcome(done=True, facts=facts, told={"profile": seq})

    async def _put_in_force(self, work: Work) -> Outcome:
        back, facts = bool(work.document.get("back")), work.rotation.facts
        seq = facts.back_seq if back else facts.profile_seq
        await profiles.put_in_force(work.conn, seq, in_force=True)
        if back and facts.profile_seq:
            await profiles.put_in_force(work.conn, facts.profile_seq, in_force=False)
        return Outcome(done=True, told={"profile": seq})

    async def _plan_targets(self, work: Work) -> Outcome:
        plan, facts, scope = work.rotation.plan, work.rotation.facts, scope_of(work.rotation.plan)
        action = RENEW_DEVICE_KEY if plan.kind is Kind.DEVICE_KEY else CHANGE_WEB_ACCESS_SERVER
        document, known = work.document, {}
        if "cuts" not in document:
            found = await rotation_counts.tally(work.conn, scope, work.now)
            steps = [facts.targets] * facts.waves if facts.waves else cuts(plan, found["targets"])
            known = {"cuts": list(steps), "before": facts.targets, "cursor": work.row.id, "wrapped": False}
            known["gap"] = max(facts.longest_gap_s, work.now - found["first"])
            if not facts.waves:
                chance = self._chance()
                known["before"] = await chosen_canary(work.conn, work.row.id, scope, steps, action, chance, work.now)
            document = document | known
        added = await rotation_targets.add_portion(
            work.conn,
            work.row.id,
            scope,
            document["cuts"],
            action=action,
            before=document["before"],
            cursor=document["cursor"],
            wrapped=document["wrapped"],
            limit=PORTION,
            now=work.now,
        )
        before = document["before"] + added.added
        progress = {"before": before, "cursor": added.cursor, "wrapped": added.wrapped}
        if not added.finished:
            return Outcome(done=False, document=known | progress)
        learned = {"targets": before, "waves": len(document["cuts"]), "longest_gap_s": document["gap"]}
        return Outcome(done=True, document=known | progress, facts=learned, told={"targets": before})

    async def _plan_back(self, work: Work) -> Outcome:
        cursor = str(work.document.get("cursor", rotation_targets.ZERO))
        cursor, finished = await rotation_targets.add_following(
            work.conn, work.row.id, erase=False, cursor=cursor, limit=PORTION, now=work.now
        )
        source = work.rotation.plan.source
        row = await newest_proven(work.conn, source) if source else None
        facts = {"back_generation": row.generation if row else 0}
        return Outcome(done=finished, document={"cursor": cursor}, facts=facts)

    async def _erase(self, work: Work) -> Outcome:
        cursor = str(work.document.get("cursor", rotation_targets.ZERO))
        cursor, finished = await rotation_targets.add_following(
            work.conn, work.row.id, erase=True, cursor=cursor, limit=PORTION, now=work.now
        )
        return Outcome(done=finished, document={"cursor": cursor})

    async def _release(self, work: Work) -> Outcome:
        """A portion within the rate; nothing once the rotation is paused or has turned round."""
        wave, rotation = int(work.document["wave"]), work.rotation
        forward = OFFERING | {RotationState.DRAINING, RotationState.REFUSED}
        wanted = rotation.state is RotationState.ROLLING_BACK if wave == BACK else rotation.state in forward
        if not wanted or rotation.paused:
            return Outcome(done=True, told={"wave": wave, "released": work.document.get("released", 0)})
        elapsed = work.now - int(work.document.get("at", work.effect.decided_at - 60))
        limit = min(PORTION, portion(rotation.plan.waves.rate_per_minute, elapsed, self._chance()))
        if limit == 0:
            return Outcome(done=False)
        queued = await rotation_targets.release(work.conn, work.row.id, wave=wave, limit=limit, now=work.now)
        document = {"at": work.now, "released": int(work.document.get("released", 0)) + queued}
        if queued == limit:
            return Outcome(done=False, document=document)
        told = {"wave": wave, "released": document["released"]}
        return Outcome(done=True, document=document, rotation={"wave_at": work.now}, told=told)

    def _all_of(self, change: Callable[..., Awaitable[int]]) -> Portion:
        async def work_(work: Work) -> Outcome:
            changed = await change(work.conn, work.row.id, limit=PORTION, now=work.now)
            total = int(work.document.get("changed", 0)) + changed
            return Outcome(done=changed < PORTION, document={"changed": total}, told={"changed": total})

        return work_

    async def _change_generations(self, work: Work) -> Outcome:
        account = str(work.document.get("account", ""))
        what = {K.RETIRE: "retired", K.RETRUST: "retrusted", K.DESTROY: "destroyed"}[K(work.effect.kind)]
        if account:
            await self._generations.change(work.conn, account, what, work.now)
        return Outcome(done=True, told={"account": account} if account else {})

    async def _switch_mode(self, kind: K, effect: EffectRow) -> None:
        mode, ring = Mode(str(effect.document["mode"])), str(effect.document["ring"])
        if kind is K.RETRUST:
            await self._modes.open_(mode, ring, BY)
        elif any(row.mode == mode and row.ring == ring for row in await self._modes.list_()):
            await self._modes.close(mode, ring, BY, despite_endpoints=True)

    async def _rotate_key(self, row: RotationRow, effect: EffectRow) -> bool:
        """Bring the published key into use; which one is written down first, so that twice is once."""
        kid = str(effect.document.get("kid", ""))
        lines = [line for line in self._keyring.lines() if line.role == Role.TOKEN]
        if not kid:
            kid = next((line.kid for line in lines if line.status == KeyStatus.NEXT), "")

            async def intend(work: Work) -> Outcome:  # noqa: ARG001 - the signature of a portion
                return Outcome(done=False, document={"kid": kid})

            await self._recorded(row, effect, intend)
        if any(line.kid == kid and line.status == KeyStatus.NEXT for line in lines):
            await self._keyring.rotate(Role.TOKEN, BY)
        return await self._recorded(row, effect, lambda work: _done(work, kid=kid))


_TROUBLE = frozenset({"trouble", "retry_at"})


async def _done(work: Work, facts: dict[str, int] | None = None, **told: object) -> Outcome:  # noqa: ARG001
    return Outcome(done=True, facts=facts or {}, told=told)
