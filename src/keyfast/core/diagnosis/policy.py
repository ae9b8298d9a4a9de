"""Rules about policies and versions of machines that do check in, and about the consoles of administrators."""

from keyfast.core.diagnosis.evidence import Evidence
from keyfast.core.diagnosis.finding import Confidence, Effort, Stage, Weight
from keyfast.core.diagnosis.rule import Rule, Sign, Source, do, negated

POLICY_REFRESH = 2 * 3600
AUTOLOGON_SINCE = (11, 3, 1)
REGISTRATION_SINCE = (12, 0, 1)
_SERVER = Source.SERVER


def _older(version: tuple[int, ...]) -> Sign:
    def holds(evidence: Evidence) -> bool | None:
        oldest = evidence.policy.oldest_version
        return None if oldest is None else oldest < version

    return Sign(
        f"a client is older than {'.'.join(map(str, version))}",
        holds,
        Source.MACHINE,
        lambda e: "the oldest is " + ".".join(map(str, e.policy.oldest_version or ())),
    )


_CHECKS_IN = Sign("the machine checks in", lambda e: e.policy.checks_in, _SERVER)


def _fresh(evidence: Evidence) -> bool | None:
    return None if (age := evidence.policy.policy_age_s) is None else age < POLICY_REFRESH


RULES = (
    Rule(
        "unassigned",
        Stage.POLICY,
        "The machine checks in, and is in no group that gets policy.",
        "Directory synchronisation is off, or the machine lies outside what is synchronised. It keeps the settings it"
        " was installed with.",
        (Sign("its record is not assigned", lambda e: negated(e.policy.assigned), _SERVER), _CHECKS_IN),
        do("switch synchronisation on for its domain, or assign it a policy", Effort.MINUTES, brings=False),
        "The group of the machine in the console.",
        weight=Weight.NOTE,
    ),
    Rule(
        "policy-pending",
        Stage.POLICY,
        "A changed group policy has not arrived yet, and need not have.",
        "Group policy is refreshed every 90 to 120 minutes.",
        (Sign("it was changed less than two hours ago", _fresh, _SERVER),),
        do("wait, or refresh it", Effort.MINUTES, command="gpupdate /force", brings=False),
        "gpresult /r on the machine.",
        weight=Weight.NOTE,
    ),
    Rule(
        "autologon-unknown",
        Stage.POLICY,
        "Autologon is not reported by clients of this version.",
        "Clients before 11.3.1 do not report it: unknown is not off.",
        (
            Sign("its state is not reported", lambda e: negated(e.policy.autologon_reported), _SERVER),
            _older(AUTOLOGON_SINCE),
        ),
        do("upgrade the client", Effort.DAYS, brings=False),
        "eedadmincli --check-autologon --au USER, on the machine.",
        weight=Weight.NOTE,
        base=Confidence.CERTAIN,
    ),
    Rule(
        "users-unregistered",
        Stage.POLICY,
        "Users are not registered although they logged on: a known fault of older clients.",
        "A stale cache of users in 11.x; Windows 11 24H2 wants 12.0.1 with its second hotfix.",
        (
            Sign(
                "nobody was registered a quarter of an hour after logon",
                lambda e: negated(e.policy.users_registered),
                _SERVER,
            ),
            _older(REGISTRATION_SINCE),
        ),
        do("upgrade the client", Effort.DAYS, brings=False),
        "The client's version, and the screen for registration.",
        weight=Weight.NOTE,
    ),
    Rule(
        "console-rights",
        Stage.POLICY,
        "The console opens and its lists fail: the administrator has no rights in the database.",
        "A refused EXECUTE on a stored procedure. It says nothing about clients.",
        (Sign("lists fail for lack of rights", lambda e: e.policy.console_denied, _SERVER),),
        do("give the administrator a server role, or the right in SQL Server", Effort.MINUTES, brings=False),
        "The error's text: which procedure, which database.",
        weight=Weight.NOTE,
        base=Confidence.CERTAIN,
    ),
    Rule(
        "console-sign-in",
        Stage.POLICY,
        "Single sign-on to the console fails.",
        "Wrong discovery address, a claim that differs from the directory's attribute, a redirect address that is not"
        " registered, or IIS not restarted after a change. It has nothing to do with how clients authenticate.",
        (Sign("sign-in to the console fails", lambda e: e.policy.sign_in_fails, _SERVER),),
        do("check discovery address, claim and redirect address; restart IIS", Effort.MINUTES, brings=False),
        "The identity provider's log of the same moment.",
        weight=Weight.NOTE,
    ),
)
