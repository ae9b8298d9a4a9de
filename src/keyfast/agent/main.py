"""The agent's command line: install, run, check-in, status, self-check, diagnose, uninstall."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from keyfast import __version__
from keyfast.agent import commands
from keyfast.agent.platform import here
from keyfast.errors import EXIT_FAILED, KeyfastError

STATE_VARIABLE = "KEYFAST_AGENT_STATE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit codes are those of ``keyfast.errors``."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=options.log_level, format="%(levelname)s %(message)s")
    # httpx2 logs request lines of its own; ours say what came of them.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        return int(options.command(options))
    except KeyfastError as fault:
        _say(fault.message)
        if fault.repair:
            _say(f"to repair: {fault.repair}")
        return fault.exit_code
    except KeyboardInterrupt:
        return EXIT_FAILED


def _say(text: str) -> None:
    sys.stderr.write(f"keyfast-agent: {text}\n")


def _diagnose(options: argparse.Namespace) -> int:
    from keyfast.agent.diagnosis import command  # noqa: PLC0415 - an agent that runs does not need its rules

    return command.diagnose(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keyfast-agent", description="Enrols this endpoint once and keeps it checking in."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(log_level=logging.INFO)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    state = argparse.ArgumentParser(add_help=False)
    state.add_argument(
        "--state-dir",
        type=Path,
        default=Path(os.environ.get(STATE_VARIABLE) or here().state()),
        help=f"folder of the client database (default: ${STATE_VARIABLE} or the operating system's own)",
    )
    packages = argparse.ArgumentParser(add_help=False)
    packages.add_argument(
        "--package-dir",
        type=Path,
        default=here().package(),
        help="folder where installers leave packages (default: the operating system's own)",
    )

    install = verbs.add_parser(
        "install", parents=[state, packages], help="take a package's bundle; never overwrites an enrolment"
    )
    install.add_argument(
        "--bundle", type=Path, help="keyfast.json, or the folder that holds it; else what an installer left"
    )
    install.add_argument("--service", action="store_true", help="install and start the systemd service")
    install.set_defaults(command=commands.install)

    run = verbs.add_parser("run", parents=[state, packages], help="keep checking in until stopped")
    run.add_argument("--until-eof", action="store_true", help="stop when standard input ends, too")
    run.set_defaults(command=commands.run)

    check_in = verbs.add_parser("check-in", parents=[state], help="check in now and print the outcome")
    check_in.set_defaults(command=commands.check_in)

    status = verbs.add_parser("status", parents=[state, packages], help="say whether this endpoint is well")
    status.add_argument("--json", action="store_true", help="for programs")
    status.set_defaults(command=commands.status)

    self_check = verbs.add_parser(
        "self-check", parents=[state, packages], help="say whether this endpoint has reached its server, or why not"
    )
    self_check.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="how long to wait for it")
    self_check.add_argument("--json", action="store_true", help="for programs")
    self_check.set_defaults(command=commands.self_check)

    diagnose = verbs.add_parser(
        "diagnose", parents=[state], help="find out why this endpoint is silent, and what can be done; changes nothing"
    )
    diagnose.add_argument("--json", action="store_true", help="for programs")
    diagnose.add_argument("--to", type=Path, metavar="FILE", help="write it to this file, too")
    # The result says what came of every request; a terminal shows nothing but how far it is.
    diagnose.set_defaults(command=_diagnose, log_level=logging.ERROR)

    uninstall = verbs.add_parser(
        "uninstall", parents=[state], help="stop the service, tell the server, forget this endpoint"
    )
    uninstall.add_argument("--keep-state", action="store_true", help="keep the client database")
    uninstall.set_defaults(command=commands.uninstall)
    return parser


if __name__ == "__main__":
    sys.exit(main())
