"""NTLM logons, verified by a domain controller through winbind's ``ntlm_auth`` (MS-NLMP, MS-APDS 3.1).

The server joins the domain as Samba does it; the helper asks winbind, winbind asks a domain controller.
Each logon has two legs and holds one process from the first to the last.
"""

import shutil
import time
from collections.abc import Callable, Sequence

import msgspec

from keyfast.core.directory import Logon
from keyfast.errors import MissingToolError, NotReadyError
from keyfast.trust import ntlm_message
from keyfast.trust.negotiate import ntlm_message as inner_message
from keyfast.trust.ntlm_helper import BARE, WRAPPED, Answer, Helper, Said
from keyfast.trust.ntlm_pool import Hold, Pool
from keyfast.trust.ntlm_status import REPAIR, REPAIRS, Trouble, status_of, verdict_of


class Granted(msgspec.Struct, frozen=True):
    """The domain controller knows name and password.

    Attributes:
        domain: NetBIOS name of the account's domain.
        name: logon name as the directory spells it.
        answer: last token of a negotiation, for ``WWW-Authenticate``; empty for bare NTLM.
    """

    domain: str
    name: str
    answer: bytes = b""


class Denied(msgspec.Struct, frozen=True):
    """The domain controller refuses name and password.

    Attributes:
        reason: why.
        status: name of the NT status.
    """

    reason: Logon
    status: str


class Malformed(msgspec.Struct, frozen=True):
    """What the client sent is not the leg it should be; no password was tried.

    Attributes:
        sentence: what is wrong.
    """

    sentence: str


class Exchange:
    """A logon under way.

    Attributes:
        challenge: token for the client, to be answered on the same connection.
    """

    def __init__(self, hold: Hold, challenge: bytes) -> None:
        self._hold = hold
        self.challenge = challenge

    async def finish(self, token: bytes) -> Granted | Denied | Malformed:
        """Judge the client's last token, once.

        Raises:
            NotReadyError: nobody could be asked, or the exchange was given up because it took too long.
        """
        helper = self._hold.resume()
        try:
            message = inner_message(token)
            if message is None or not ntlm_message.is_authenticate(message):
                return Malformed("the token is not the last message of an NTLM logon, or names nobody")
            return _judge(await helper.ask("KK", token))
        finally:
            self._hold.release()

    def drop(self) -> None:
        """Give it up; nothing happens if it is over."""
        self._hold.release()


class NtlmHelpers:
    """Verifies NTLM logons with a bounded number of helper processes, started as they are needed.

    Args:
        command: ``ntlm_auth`` or a wrapper of it, with arguments.
        processes: most processes for bare NTLM, and again for NTLM in a negotiation.
        waiting: most logons that wait for a process.
        wait_s: longest time that one waits.
        idle_s: a process that was idle this long is ended when the next logon begins.
        exchange_s: longest time between the legs of a logon.
        answer_s: longest time a helper may take.
        clock: monotonic seconds.

    Raises:
        MissingToolError: there is no such program.
    """

    def __init__(
        self,
        command: Sequence[str] = ("ntlm_auth",),
        *,
        processes: int = 16,
        waiting: int = 256,
        wait_s: float = 5.0,
        idle_s: float = 300.0,
        exchange_s: float = 10.0,
        answer_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        program = shutil.which(command[0])
        if program is None:
            raise MissingToolError(f"NTLM needs {command[0]}", repair="apt-get install winbind")

        def pool(protocol: str) -> Pool:
            return Pool(
                lambda: Helper.start((program, *command[1:]), protocol, answer_s),
                processes=processes,
                waiting=waiting,
                wait_s=wait_s,
                idle_s=idle_s,
                exchange_s=exchange_s,
                clock=clock,
            )

        self._bare, self._wrapped = pool(BARE), pool(WRAPPED)

    async def begin(self, token: bytes, *, spnego: bool = False) -> Exchange | Malformed:
        """Begin a logon.

        Args:
            token: the client's first token, bare NTLM or, with ``spnego``, in a negotiation.
            spnego: see there.

        Raises:
            NotReadyError: all processes are taken, none can be started, or winbind is down.
        """
        message = inner_message(token)
        if message is None or not ntlm_message.is_negotiate(message) or (message is token) is spnego:
            return Malformed("the token is not the first message of an NTLM logon")
        hold = await (self._wrapped if spnego else self._bare).take()
        try:
            answer = await hold.helper.ask("YR", token)
            if answer.said is Said.CHALLENGE:
                hold.pause()
                return Exchange(hold, answer.token)
            told = _judge(answer)
        except BaseException:
            hold.release()
            raise
        hold.release()
        if isinstance(told, Malformed):
            return told
        raise NotReadyError("the NTLM helper answered a first message with a verdict", repair=REPAIR)

    async def close(self) -> None:
        """End all processes."""
        await self._bare.close()
        await self._wrapped.close()


def _judge(answer: Answer) -> Granted | Denied | Malformed:
    if answer.said is Said.GRANTED:
        domain, separator, name = answer.text.partition("\\")
        if not (domain and separator and name):
            raise NotReadyError(
                "winbind names accounts in a way that hides their domain",
                repair="leave 'winbind separator' and 'winbind use default domain' of smb.conf at their defaults",
            )
        return Granted(domain, name, answer.token)
    status = status_of(answer.text)
    verdict = verdict_of(status)
    if verdict is Trouble.MALFORMED:
        return Malformed("winbind cannot read the NTLM message")
    if isinstance(verdict, Trouble) or answer.said is not Said.DENIED:
        raise NotReadyError(f"winbind cannot verify NTLM logons: {status}", repair=REPAIRS.get(status, REPAIR))
    return Denied(verdict, status)
