"""A process and everything below it, ended or paused by number and never by name."""

import contextlib
import signal
import subprocess

import psutil
from tests.support.processes import until

END_SECONDS = 15


class Family:
    """Samba's parent process; winbindd below it leads a session of its own, so no process group holds them all."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._waker: subprocess.Popen[bytes] | None = None

    def alive(self) -> bool:
        """Whether the parent runs."""
        return self._process.poll() is None

    def members(self) -> list[psutil.Process]:
        """The parent and all below it, parents first; nobody when the parent has ended."""
        if not self.alive():
            return []
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def pause(self) -> None:
        """Stop all where they are, until ``resume`` or the end of this process: whoever stands still ends no more."""
        members = self.members()
        if self._waker is not None or not members:
            return
        numbers = [str(member.pid) for member in members]
        wake = ["sh", "-c", 'read -r _; kill -CONT "$@"', "wake", *numbers]
        self._waker = subprocess.Popen(wake, stdin=subprocess.PIPE, start_new_session=True)
        _send(members, signal.SIGSTOP)

    def resume(self) -> None:
        """Let all go on."""
        if self._waker is not None:
            self._waker.communicate(timeout=END_SECONDS)
            self._waker = None

    def end(self, number: signal.Signals) -> None:
        """End the parent with a signal, and then whatever is left below it; returns when all are gone."""
        members = self.members()
        _send(members if number is signal.SIGKILL else members[:1], number)
        self.resume()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        _send(members, signal.SIGKILL)
        self._process.wait(END_SECONDS)
        if self._process.stdin is not None:
            self._process.stdin.close()
        until(lambda: all(map(gone, members)), "Samba's processes to end", END_SECONDS)


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended. An orphan may stay a zombie where process 1 does not reap."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
