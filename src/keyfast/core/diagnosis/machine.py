"""Rules about the client's own state on the machine: without it nothing is ever sent."""

from shlex import quote

from keyfast.core.diagnosis.evidence import ClientDatabase, Evidence, Product
from keyfast.core.diagnosis.finding import Confidence, Effort, Option, Stage
from keyfast.core.diagnosis.rule import Options, Rule, Sign, Source, is_value
from keyfast.core.package import LINUX, MACOS

_FOLDERS = {"linux": LINUX.state, "darwin": MACOS.state}


def _database(how: ClientDatabase, what: str) -> Sign:
    return Sign(what, lambda e: is_value(e.machine.database, how), Source.MACHINE, lambda e: e.machine.said)


def _bring_back(sentence: str) -> Options:
    """Bring back what is missing, in the words of whoever could not read it; else begin anew with a package."""

    def options(evidence: Evidence) -> tuple[Option, ...]:
        count, told = evidence.affected.count, evidence.machine.repair or sentence
        first = Option(told, Effort.HOURS, "none known; the machine stays who it is", "", count)
        anew = Option(
            "keep aside what cannot be read, and install a package again",
            Effort.MINUTES,
            "the machine enrols as a new one; its old record, with the recovery keys, stays on the server",
            _anew(evidence),
            count,
        )
        return first, anew

    return options


def _install(evidence: Evidence) -> tuple[Option, ...]:
    count = evidence.affected.count
    return (Option("install a package on it", Effort.MINUTES, "none known", _package(evidence), count),)


def _package(evidence: Evidence) -> str:
    if evidence.product is not Product.KEYFAST:
        return ""
    folder = evidence.machine.folder
    return "keyfast-agent install --bundle FOLDER" + (f" --state-dir {quote(folder)}" if folder else "")


def _anew(evidence: Evidence) -> str:
    """Move the file aside and install; the agent of a service must not hold it meanwhile. Registries have no file."""
    place = evidence.machine.folder or _FOLDERS.get(evidence.machine.system or "linux", "")
    if not place or evidence.product is not Product.KEYFAST:
        return ""
    file = f"{place}/client-database"
    command = f"mv {quote(file)} {quote(f'{file}.kept')} && {_package(evidence)}"
    if evidence.machine.folder or place != LINUX.state:
        return command
    return f"systemctl stop keyfast-agent; {command}; systemctl start keyfast-agent"


RULES = (
    Rule(
        "client-not-installed",
        Stage.REACH,
        "The machine's client database holds nothing: no package was installed, and it knows no server.",
        "The program is there and its client database holds nothing. It was never given a package, the package was"
        " refused, or the state folder is another one than the service uses. A file of nothing but zeros, which a power"
        " cut may leave of a first write, counts as empty too.",
        (_database(ClientDatabase.ABSENT, "the client database holds nothing"),),
        _install,
        "Whether a package lies there, and why it is not taken (keyfast-agent status).",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "client-database-damaged",
        Stage.REACH,
        "The machine's client database is damaged: it does not know who it is.",
        "What lies there is no record that holds, and none before it either. The client deletes nothing, sends nothing,"
        " and waits. A file system that lost writes, a disk that fails, or somebody edited it.",
        (_database(ClientDatabase.DAMAGED, "the client database cannot be read"),),
        _bring_back("bring the client database back from a backup of this very machine"),
        "The disk's own health, and what else on it is damaged.",
        base=Confidence.CERTAIN,
    ),
    Rule(
        "client-vault-closed",
        Stage.REACH,
        "The machine's vault does not open the client database.",
        "The key that sealed it is gone or changed: the host key was lost, the TPM cleared, the disk put into another"
        " computer. The client deletes nothing and tries again: the key may come back.",
        (_database(ClientDatabase.SEALED, "the client database is sealed and does not open"),),
        _bring_back("bring back the key that the vault keeps, or the TPM"),
        "What was changed on the machine: firmware, TPM, host key, or the disk's computer.",
        base=Confidence.CERTAIN,
    ),
)
