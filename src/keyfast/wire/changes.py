"""Messages by which an endpoint is moved to another access, or comes back to one (docs/protocol/change.md)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from keyfast.wire import limits
from keyfast.wire.messages import Join, Message

CHANGE_WEB_ACCESS_SERVER = "ChangeWebAccessServer"
ERASE = "Erase"


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """Claims of a change of the web access server (typ ``keyfast-change+jwt``, profile role).

    It comes with the answer to a check-in, like any command, or with the answer to a recovery check-in.

    Attributes:
        installation: id of the installation.
        id: command id (UUID).
        endpoint: the only endpoint it is for.
        seq: rises per endpoint within an epoch, in one row with its other commands.
        epoch: of the installation.
        issued_at: server time.
        expires_at: server time.
        action: ``ChangeWebAccessServer``, or ``Erase`` for what the endpoint keeps of its previous access.
        profile: the access profile to move to (JWS); may be the one in use, with another account.
        account: in Windows mode a ``BundleAccount`` in JSON, sealed for the endpoint's HPKE key.
        rotation: id of the rotation it belongs to, empty for a recovery.
    """

    installation: str
    id: str
    endpoint: str
    seq: int
    epoch: int
    issued_at: int
    expires_at: int
    action: str
    profile: str = ""
    account: str = ""
    rotation: str = ""


class Probe(Message, frozen=True):
    """Body of ``POST /endpoint/v1/probe``: tries a candidate access as a check-in would, and changes nothing.

    Attributes:
        challenge: random text of the endpoint's.
        command: id of the change.
        account: key of the account it logs on with (Windows mode).
        credential_generation: of that account.
    """

    challenge: Annotated[str, Meta(min_length=1, max_length=64)]
    command: limits.Uuid
    account: limits.Short = ""
    credential_generation: limits.Count = 0


class ProbeAnswer(msgspec.Struct, frozen=True):
    """Answer to a probe that held.

    Attributes:
        statement: ``ProbeProof`` (JWS).
        delegations: the root's delegations, for an endpoint that does not know the signing key yet.
    """

    statement: str
    delegations: tuple[str, ...] = ()


class ProbeProof(msgspec.Struct, frozen=True):
    """Claims of a probe's proof (typ ``keyfast-probe+jwt``, receipt role): this server let this endpoint in.

    Attributes:
        installation: id of the installation.
        endpoint: who was let in.
        command: id of the change that was probed.
        challenge: the endpoint's own.
        time: server time.
    """

    installation: str
    endpoint: str
    command: str
    challenge: str
    time: int


class PriorPassword(Message, frozen=True):
    """Proves that an endpoint holds a former password of an account, without sending it.

    Attributes:
        account: key of the account.
        generation: credential generation that the endpoint holds.
        mac: HMAC-SHA-256 (base64url) over nonce and both key thumbprints, by a key derived from the password.
    """

    account: limits.Short
    generation: limits.Count
    mac: limits.Digest


class Recover(Message, frozen=True):
    """Body of a recovery check-in, ``POST /endpoint/v1/recover``. It brings an access back and nothing else.

    Attributes:
        challenge: random text of the endpoint's; the signed time of the answer repeats it.
        endpoint: endpoint id, empty for one that never got one.
        receipt: the endpoint's receipt (JWS), empty if it has none.
        seal_jwk: public HPKE key, for a server that forgot the endpoint.
        hostname: for a server that forgot the endpoint.
        epoch: of the installation, as last heard.
        profile_seq: access profile in use.
        account: key of the account in use (Windows mode).
        credential_generation: of that account.
        last_refusal: class of the refusal that made it ask, empty if none.
        command: id of a change that it has staged already, so that it is not sent again.
        command_seq: highest command number that it has seen.
        join: asks to join, for one that never enrolled.
        prior: proof of a former password, together with ``join``.
        renewal: statement (JWS) by which another device key asks to take the place of the one on record.
    """

    challenge: Annotated[str, Meta(min_length=1, max_length=64)]
    endpoint: Annotated[str, Meta(max_length=64)] = ""
    receipt: limits.Statement = ""
    seal_jwk: dict[str, limits.Short] = msgspec.field(default_factory=dict)
    hostname: Annotated[str, Meta(max_length=253)] = ""
    epoch: limits.Count = 0
    profile_seq: limits.Count = 0
    account: limits.Short = ""
    credential_generation: limits.Count = 0
    last_refusal: Annotated[str, Meta(max_length=64)] = ""
    command: Annotated[str, Meta(max_length=64)] = ""
    command_seq: limits.Count = 0
    join: Join | None = None
    prior: PriorPassword | None = None
    renewal: limits.Statement = ""


class Recovered(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to a recovery check-in.

    Attributes:
        statement: signed time (JWS) with the endpoint's challenge.
        delegations: root changes and delegations, from which every signature can be checked.
        state: of the endpoint's record.
        next_try_s: seconds from now after which asking again makes sense.
        change: a ``Change`` (JWS), empty if the server has nothing newer than what the endpoint holds.
        receipt: a newer receipt (JWS), where the server took the endpoint back, or a new key of it.
        epoch: of the installation.
    """

    statement: str
    delegations: tuple[str, ...]
    state: str
    next_try_s: int
    change: str = ""
    receipt: str = ""
    epoch: int = 1


decode_probe = msgspec.json.Decoder(Probe).decode
decode_recover = msgspec.json.Decoder(Recover).decode
