"""Rules made of Keyfast's own refusal classes: the server has said why, so there is little to find out."""

from keyfast.core.diagnosis.evidence import Evidence
from keyfast.core.diagnosis.finding import Confidence, Effort, Option, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Sign, Source
from keyfast.core.refusal import RULES as TITLES
from keyfast.core.refusal import RefusalClass as R

_REPAIRS: dict[R, tuple[Stage, str, str]] = {
    R.USE_NONCE: (Stage.STATUS, "look what strips the header DPoP-Nonce between the endpoint and the server", ""),
    R.STALE_TIME: (Stage.TOKEN, "set the clock of the client", ""),
    R.UNAUTHENTICATED: (Stage.TOKEN, "look at the refusal's detail: which part does not hold", "keyfast endpoint show"),
    R.TOKEN_EXPIRED: (Stage.TOKEN, "nothing: the endpoint asks for a new token", ""),
    R.UNKNOWN_DEVICE: (Stage.RECORD, "nothing: it registers again, or comes back by its receipt", ""),
    R.FOREIGN_INSTALLATION: (Stage.TOKEN, "point the name at the right server, or install a package of this one", ""),
    R.PENDING: (Stage.RECORD, "approve the endpoint after comparing its thumbprint", "keyfast endpoint approve ID"),
    R.REVOKED: (Stage.RECORD, "reinstate it, if it was revoked by mistake", "keyfast endpoint reinstate ID"),
    R.REPLAYED: (Stage.RECORD, "look for copies of the machine", "keyfast endpoint list --state clone_suspect"),
    R.NOT_READY: (Stage.STATUS, "look at the server's database and directory", "keyfast events"),
    R.MALFORMED: (Stage.STATUS, "upgrade the server: the agent is newer", ""),
    R.TOO_LARGE: (Stage.STATUS, "upgrade the server: the agent is newer", ""),
    R.WRONG_MEDIA_TYPE: (Stage.STATUS, "look what rewrites requests between the endpoint and the server", ""),
    R.NOT_FOUND: (Stage.STATUS, "look what is at the address, and what rewrites paths", ""),
    R.ENROLMENT_EXPIRED: (Stage.TOKEN, "build a new package and install it", "keyfast package create"),
    R.ENROLMENT_EXHAUSTED: (Stage.TOKEN, "build a new package and install it", "keyfast package create"),
    R.ENROLMENT_REVOKED: (Stage.TOKEN, "build a new package and install it", "keyfast package create"),
    R.ENROLMENT_NOT_LISTED: (
        Stage.TOKEN,
        "install a package whose allow-list names this computer, or one without a list",
        "keyfast package create",
    ),
    R.ACCOUNT_REFUSED: (
        Stage.ACCOUNT,
        "see what is wrong with the account, then lead endpoints back",
        "keyfast recover",
    ),
    R.ACCOUNT_NOT_ALLOWED: (Stage.ACCOUNT, "add the account, if it is to be allowed", "keyfast account add ACCOUNT"),
    R.MODE_CLOSED: (Stage.MODE, "open the mode again that these endpoints use", "keyfast mode list"),
    R.CONNECTION_BROKEN: (Stage.STATUS, "let TCP pass through the proxy, or leave NTLM", ""),
    R.RETIRED_GENERATION: (Stage.ACCOUNT, "nothing: they recover by their device key", "keyfast recover --status"),
    R.KEY_SUPERSEDED: (Stage.TOKEN, "nothing: they use their newest key or recover", ""),
    R.WINDOW_CLOSED: (Stage.RECORD, "open a recovery window that covers them", "keyfast window open"),
    R.QUARANTINED: (Stage.RECORD, "let the endpoint in, if it is yours", "keyfast endpoint approve ID"),
}
"""What a person does, by class. docs/protocol/refusals.md says more."""

PASSING = frozenset({R.USE_NONCE, R.STALE_TIME, R.TOKEN_EXPIRED, R.REPLAYED, R.UNKNOWN_DEVICE, R.KEY_SUPERSEDED})
"""Classes that an agent gets over by itself: a cause only where they are the rule."""
DEFERRING = frozenset({R.NOT_READY})
"""Classes that some are told beside any other trouble, as while an account is being read: certain for the most only."""
_MOST = 0.5


def _rule(kind: R) -> Rule:
    stage, sentence, command = _REPAIRS[kind]

    def count(evidence: Evidence) -> int:
        return (evidence.refusals or {}).get(kind, 0)

    def holds(evidence: Evidence) -> bool | None:
        return None if evidence.refusals is None else count(evidence) > 0

    def mostly(evidence: Evidence) -> bool | None:
        refusals = evidence.refusals
        return None if refusals is None else count(evidence) > _MOST * max(sum(refusals.values()), 1)

    def options(evidence: Evidence) -> tuple[Option, ...]:
        return (Option(sentence, Effort.MINUTES, "none known", command, count(evidence) or None),)

    def detail(evidence: Evidence) -> str:
        return evidence.refusal_said or f"{count(evidence):,} endpoints"

    refused = Sign(f"the server refuses as {kind}", holds, Source.REFUSALS, detail)
    most = Sign("it is the reason for most of them", mostly, Source.REFUSALS)
    proof = most if kind in DEFERRING else refused
    return Rule(
        f"refused-{kind.replace('_', '-')}",
        stage,
        f"The server refuses: {TITLES[kind].title[0].lower()}{TITLES[kind].title[1:]}.",
        f"The class `{kind}` and what the agent does by itself: [refusals](../../protocol/refusals.md#{kind}).",
        (refused,),
        options,
        "keyfast endpoint show, and the refusal's detail.",
        weight=Weight.CAUSE,
        base=Confidence.POSSIBLE,
        supports=(most,) if kind in PASSING else (),
        proofs=() if kind in PASSING else (proof,),
    )


RULES = tuple(_rule(kind) for kind in R)
