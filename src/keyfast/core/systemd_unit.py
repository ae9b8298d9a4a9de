"""The agent's systemd unit: one text for packages, and for an agent that installs itself."""

from keyfast.errors import EXIT_START_AGAIN

NAME = "keyfast-agent.service"
STATES = "/var/lib"
"""Where systemd makes and guards folders of state."""

_UNIT = """\
[Unit]
Description=Keyfast agent
Documentation=man:keyfast-agent(8)
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart="{program}" run --state-dir "{state}"
{folder}Restart=always
RestartSec=10
SuccessExitStatus={again}
TimeoutStopSec=10
UMask=0077
NoNewPrivileges=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""
_FOLDER = "StateDirectory={name}\nStateDirectoryMode=0700\n"


def unit_text(program: str, state: str) -> str:
    """Return the unit: restarted for ever, and hardened as far as the inventory allows.

    ProtectSystem, ProtectHome and PrivateTmp would show the agent mounts that the machine does not have,
    and ProtectClock would take the block devices whose LUKS headers it reads.

    Args:
        program: absolute path.
        state: absolute path of the client database's folder; systemd makes it, where that is systemd's to do.
    """
    parent, _, name = state.rpartition("/")
    folder = _FOLDER.format(name=name) if parent == STATES else ""
    return _UNIT.format(program=_escaped(program), state=_escaped(state), folder=folder, again=EXIT_START_AGAIN)


def _escaped(path: str) -> str:
    """Quote for a unit file (systemd.syntax(7), systemd.service(5)): specifiers, variables, quotes."""
    text = path.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("%", "%%").replace("$", "$$")
