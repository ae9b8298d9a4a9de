"""Install: what a package's bundle changes in the record of an endpoint. Pure but for ``seed``.

It seeds an empty client database. An endpoint that is enrolled keeps everything, with three exceptions: a newer
package of Windows mode brings it a newer credential, a newer OAuth package takes it out of Windows mode, and
where a newer package names other servers they are one more way to reach one. An endpoint that never managed to
check in takes all of a newer package but keeps its keys. An older package, or the same one again, writes nothing
back.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from keyfast.agent import transaction
from keyfast.agent.client_database import Admission, ClientDatabase, HeldChange, Record, Slots
from keyfast.agent.evidence import check_bundle, trust_chain
from keyfast.agent.tls import strict_context
from keyfast.core.change import ChangeState
from keyfast.core.mode import Mode
from keyfast.errors import ForeignError, TrustError
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.trust.roles import ENROLMENT_TYP
from keyfast.wire.bundle import Bundle
from keyfast.wire.messages import AccessProfile


class Seeded(StrEnum):
    """What an installation did to the client database."""

    NEW = "new"
    RENEWED = "renewed"
    MIGRATED = "migrated"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Taken:
    """What comes of a package: the record to store, and what was done to it."""

    record: Record
    done: Seeded


def seed(database: ClientDatabase, bundle: Bundle) -> Seeded:
    """Store what a package changes.

    Raises:
        TrustError: the bundle does not hold.
        ForeignError: the endpoint belongs to another installation.
        ClientDatabaseError: the record cannot be read or written.
    """
    taken = take(database.load(), bundle)
    if taken.done is not Seeded.KEPT:
        database.store(taken.record)
    return taken.done


def take(held: Record | None, bundle: Bundle) -> Taken:
    """Return what a package makes of a record.

    Raises:
        TrustError: the bundle does not hold.
        ForeignError: the endpoint belongs to another installation.
    """
    if held is not None:
        check_same_installation(held, bundle)
    profile = check_bundle(bundle).profile
    strict_context(profile.ca)
    if held is None:
        return Taken(_first(bundle, profile), Seeded.NEW)
    return _renewed(held, bundle, profile)


def check_same_installation(held: Record, bundle: Bundle) -> None:
    """Refuse a package of another installation, and one that pins a root of its own under this one's name.

    Raises:
        ForeignError: it is of another installation.
        TrustError: it is of this one by name alone.
    """
    if held.installation != bundle.installation:
        raise ForeignError(
            f"this endpoint is of installation {held.installation}, the package of {bundle.installation}",
            repair="keyfast-agent uninstall, then install again",
        )
    known = _both(held, bundle)
    if trust_chain(held.installation, held.root, known).root != trust_chain(held.installation, bundle.root, known).root:
        raise TrustError("the root key it pins is not this installation's")


def _both(held: Record, bundle: Bundle) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*held.delegations, *bundle.delegations)))


def _first(bundle: Bundle, profile: AccessProfile) -> Record:
    return Record(
        installation=bundle.installation,
        root=bundle.root,
        delegations=bundle.delegations,
        slots=Slots(factory=bundle.profile, current=bundle.profile),
        profile_seq=profile.seq,
        statement=bundle.statement,
        package=bundle.package,
        mode=Mode(profile.mode),
        **_account(bundle),
    )


def _account(bundle: Bundle) -> dict[str, Any]:
    """Return the members of a record that come from the package's account."""
    account = bundle.account
    if account is None:
        return {}
    return {
        "account_name": account.name,
        "account_domain": account.domain,
        "account_realm": account.realm,
        "account_password": account.password,
        "credential_generation": account.generation,
        "hold": None,
    }


def _renewed(held: Record, bundle: Bundle, profile: AccessProfile) -> Taken:
    age = _built_at(held, bundle, bundle.statement) - _built_at(held, bundle, held.statement)
    works = held.admission is Admission.REGISTERED and held.last_success_at > 0
    account = _account(bundle)
    same = all(getattr(held, name) == value for name, value in account.items() if name != "hold")
    if _moves(held, bundle, profile, age) and works:
        return Taken(_migrated(held, bundle, profile), Seeded.MIGRATED)
    if age < 0 or (held.statement == bundle.statement and same):
        return Taken(held, Seeded.KEPT)
    if not works:
        return Taken(replace(_of_package(held, bundle), **_access(held, bundle, profile), **account), Seeded.RENEWED)
    if age > 0 and not same and not _is_better_off(held):
        return Taken(replace(_of_package(held, bundle), **account), Seeded.RENEWED)
    if age > 0 and profile.mode == held.mode.value and held.slots.factory != bundle.profile:
        return Taken(replace(held, slots=replace(held.slots, factory=bundle.profile)), Seeded.RENEWED)
    return Taken(held, Seeded.KEPT)


def _of_package(held: Record, bundle: Bundle) -> Record:
    """Return the record that joins with a package's enrolment token.

    The server must hear which package it is now: the old one's use ceiling may be reached, and in Windows mode it
    judges the credential generation by the package's account.
    """
    return replace(
        held,
        statement=bundle.statement,
        package=bundle.package,
        delegations=_both(held, bundle),
        enrol_again=held.enrol_again or held.admission is Admission.REGISTERED,
        due=None,
    )


def _access(held: Record, bundle: Bundle, profile: AccessProfile) -> dict[str, Any]:
    """Return the members of a record that say where to go, for one that never got there; not over a server's word."""
    if held.watch is not None or held.change is not None:
        return {}
    return {
        "slots": Slots(factory=bundle.profile, current=bundle.profile),
        "profile_seq": profile.seq,
        "profile_epoch": profile.epoch,
        "mode": Mode(profile.mode),
    }


def _moves(held: Record, bundle: Bundle, profile: AccessProfile, age: int) -> bool:
    """Tell whether a package takes an endpoint out of Windows mode: a newer one, or one that failed to before."""
    if held.mode is not Mode.WINDOWS or profile.mode != Mode.OAUTH.value:
        return False
    failed = held.watch is not None and held.watch.state is ChangeState.REVERTED and held.watch.id == bundle.package
    return age > 0 or failed


def _migrated(held: Record, bundle: Bundle, profile: AccessProfile) -> Record:
    """Return the record in OAuth mode: watched like any change, with the access it had to fall back on."""
    move = HeldChange(
        bundle.package,
        held.command_seq,
        held.epoch,
        ChangeState.PROVEN,
        mode=Mode.OAUTH,
        profile_seq=profile.seq,
        profile_epoch=profile.epoch,
    )
    before = transaction.without_candidate(_of_package(held, bundle), "a package came before it was committed")
    ready = replace(before, change=move, slots=replace(before.slots, candidate=bundle.profile))
    # No command brought it, so there is no result to tell.
    told = {"results": before.results, "done": before.done, "enrol_again": True}
    return replace(transaction.committed(ready, ""), **told)


def _is_better_off(held: Record) -> bool:
    """Tell whether an endpoint has no use for a package's account: it has none, or the server gave it one that works.

    A package that was built after the endpoint's own may still be older than what the server has moved it to.
    """
    return held.mode is not Mode.WINDOWS or (held.watch is not None and held.failures == 0)


def _built_at(held: Record, bundle: Bundle, statement: str) -> int:
    """When a package was built (server time), by its signed enrolment token; 0 for one that does not verify."""
    chain = trust_chain(held.installation, held.root, _both(held, bundle))
    try:
        return chain.verify(statement, ENROLMENT_TYP, EnrolmentToken).issued_at
    except TrustError:
        return 0
