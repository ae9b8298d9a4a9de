"""What .deb and .rpm do beside putting files in place: start the agent, stop it, say goodbye.

None of them touches the client database but the one that purges. What systemd has enabled is a link in ``/etc``, so
it can be set and removed in a root folder in which nothing runs.
"""

from keyfast.core.package import LINUX
from keyfast.core.systemd_unit import NAME

_ROOT = """\
#!/bin/sh
set -eu
# Set where packages are put into another root than the running system's: then nothing is started or stopped.
root=${DPKG_ROOT:-}
running() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
units() { if command -v systemctl >/dev/null 2>&1; then systemctl --root="${root:-/}" --quiet "$@" || true; fi; }
"""

# The agent keeps running through the exchange of its files and is started again after it: an upgrade that is cut
# off in between must not leave an endpoint without one.
_START = f"""\
units enable {NAME}
if running; then
    systemctl daemon-reload || true
    systemctl restart {NAME} || echo "keyfast-agent: not started; see: journalctl -u {NAME}" >&2
    keyfast-agent self-check --wait 10 || true
fi
"""

_STOP = f"""\
if running; then systemctl stop {NAME} || true; fi
units disable {NAME}
if [ -z "$root" ]; then
    keyfast-agent uninstall --keep-state || echo "keyfast-agent: the server could not be told" >&2
fi
"""

_RELOAD = """\
if running; then systemctl daemon-reload || true; fi
"""

_PURGE = f"""\
rm -rf -- "$root{LINUX.state}" "$root{LINUX.package.rsplit("/", 1)[0]}"
"""


def deb_scripts(version: str) -> dict[str, str]:
    """Return the maintainer scripts by name (deb-preinst(5) and so on).

    Args:
        version: of the agent; an older one refuses to replace a newer one, whose state it might not understand.
    """
    return {
        "preinst": _ROOT
        + f"""\
if [ "$1" = upgrade ] && dpkg --compare-versions "${{2%%+*}}" gt {version}; then
    echo "keyfast-agent: ${{2%%+*}} is installed and newer than {version}; remove it first" >&2
    exit 1
fi
""",
        "postinst": _ROOT + f'if [ "$1" = configure ]; then\n{_START}fi\n',
        "prerm": _ROOT + f'if [ "$1" = remove ]; then\n{_STOP}fi\n',
        "postrm": _ROOT + _RELOAD + f'if [ "$1" = purge ]; then\n{_PURGE}fi\n',
    }


def rpm_scripts() -> dict[str, str]:
    """Return the scriptlets: ``post``, ``preun`` and ``postun``; rpm has no purge, so the state stays.

    The first argument counts the versions that are installed when the step is over.
    """
    return {
        "post": _ROOT + _START,
        "preun": _ROOT + f'if [ "$1" = 0 ]; then\n{_STOP}fi\n',
        "postun": _ROOT + _RELOAD,
    }
