"""Install: verify a package's bundle and seed an empty client database, never a used one.

An endpoint that is enrolled ignores the package, but for one thing: a newer package of Windows mode brings
it a new credential. One that never managed to enrol takes the newer package's enrolment token. Either keeps
everything else, its keys above all; an older package never writes an old credential back.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from keyfast.agent.client_database import Admission, ClientDatabase, Record, Slots
from keyfast.agent.evidence import check_bundle, trust_chain
from keyfast.agent.tls import strict_context
from keyfast.core.mode import Mode
from keyfast.errors import ForeignError, NotFoundError, TrustError
from keyfast.trust.enrolment import EnrolmentToken
from keyfast.trust.roles import ENROLMENT_TYP
from keyfast.wire.messages import Bundle

BUNDLE_FILE = "keyfast.json"
MAX_BUNDLE_BYTES = 256 * 1024


def read_bundle(path: Path) -> Bundle:
    """Read a bundle from a file, or from ``keyfast.json`` in a folder.

    Raises:
        NotFoundError: there is none.
        TrustError: it is not a bundle.
    """
    file = path / BUNDLE_FILE if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BUNDLE_BYTES + 1)
    except OSError as cause:
        raise NotFoundError(f"cannot read the package's bundle {file}: {cause.strerror}") from cause
    if len(content) > MAX_BUNDLE_BYTES:
        raise TrustError(f"{file} is too large to be a bundle")
    try:
        return msgspec.json.decode(content, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise TrustError(f"{file} is not a bundle: {cause}") from cause


class Seeded(StrEnum):
    """What an installation did to the client database."""

    NEW = "new"
    RENEWED = "renewed"
    KEPT = "kept"


def seed(database: ClientDatabase, bundle: Bundle) -> Seeded:
    """Write the first record, or renew the enrolment token of an endpoint that is not enrolled yet.

    Raises:
        TrustError: the bundle does not hold.
        ForeignError: the endpoint belongs to another installation.
        ClientDatabaseError: the record cannot be read or written.
    """
    profile = check_bundle(bundle)
    strict_context(profile.profile.ca)
    held = database.load()
    if held is not None:
        check_same_installation(held, bundle)
        return _renew(database, held, bundle)
    database.store(
        Record(
            installation=bundle.installation,
            root=bundle.root,
            delegations=bundle.delegations,
            slots=Slots(factory=bundle.profile, current=bundle.profile),
            profile_seq=profile.profile.seq,
            statement=bundle.statement,
            package=bundle.package,
            mode=Mode(profile.profile.mode),
            **_account(bundle),
        )
    )
    return Seeded.NEW


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


def check_same_installation(held: Record, bundle: Bundle) -> None:
    """Refuse a package of another installation.

    Raises:
        ForeignError: it is.
    """
    if held.installation != bundle.installation:
        raise ForeignError(
            f"this endpoint is of installation {held.installation}, the package of {bundle.installation}",
            repair="keyfast-agent uninstall, then install again",
        )


def _renew(database: ClientDatabase, held: Record, bundle: Bundle) -> Seeded:
    registered = held.admission is Admission.REGISTERED
    account = _account(bundle)
    same = all(getattr(held, name) == value for name, value in account.items() if name != "hold")
    if held.statement == bundle.statement and same:
        return Seeded.KEPT
    if registered and held.last_success_at > 0 and (same or _is_better_off(held) or not _newer(bundle, held)):
        return Seeded.KEPT
    database.store(
        replace(
            held,
            statement=bundle.statement,
            package=bundle.package,
            delegations=tuple(dict.fromkeys((*held.delegations, *bundle.delegations))),
            # The server must hear which package it is now: the old one's use ceiling may be reached, and in
            # Windows mode it judges the credential generation by the package's account.
            enrol_again=held.enrol_again or registered,
            due=None,
            **({} if same else account),
        )
    )
    return Seeded.RENEWED


def _is_better_off(held: Record) -> bool:
    """Tell whether an endpoint has no use for a package's account: it has none, or the server gave it one that works.

    A package that was built after the endpoint's own may still be older than what the server has moved it to.
    """
    return held.mode is not Mode.WINDOWS or (held.watch is not None and held.failures == 0)


def _newer(bundle: Bundle, held: Record) -> bool:
    """Tell whether a package was built after the one this endpoint has."""
    now = _built_at(bundle.installation, held.root, bundle.delegations, bundle.statement)
    return now > _built_at(held.installation, held.root, held.delegations, held.statement)


def _built_at(installation: str, root: str, delegations: tuple[str, ...], statement: str) -> int:
    """When a package was built (server time), by its signed enrolment token; 0 for one that does not verify."""
    try:
        return trust_chain(installation, root, delegations).verify(statement, ENROLMENT_TYP, EnrolmentToken).issued_at
    except TrustError:
        return 0
