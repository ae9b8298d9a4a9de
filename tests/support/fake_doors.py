"""The Windows logons of a server in memory: Basic is real, NTLM is pyspnego's with its own file of users."""

from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2
import spnego

from keyfast.core.refusal import Refusal, RefusalClass
from keyfast.wire import messages
from keyfast.wire.bundle import BundleAccount
from keyfast.wire.changes import Probe


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json"


class FakeDoors(ABC):
    """What is offered to whom, what the directory says, and what it was asked."""

    urls: tuple[str, ...]

    def __init__(self) -> None:
        self.mode = "oauth"
        self.account: BundleAccount | None = None
        self.accounts: dict[str, BundleAccount] = {}
        self.retired: set[str] = set()
        self.mechanisms: tuple[str, ...] = ("basic",)
        self.offers: tuple[str, ...] = ('Basic realm="keyfast"',)
        self.check_account: Callable[[str, str], Refusal | None] = self._same_account
        self.known_refused: Callable[[messages.CheckIn | Probe], bool] = lambda _message: False
        self.logons: list[tuple[int, str]] = []
        self.ntlm: Any = None

    def windows(self, account: BundleAccount, *mechanisms: str) -> Self:
        """Switch to Windows mode with this account."""
        self.mode, self.account, self.mechanisms = "windows", account, mechanisms or self.mechanisms
        self.accounts[f"{account.domain}\\{account.name}"] = account
        self.change_profile(self.urls)
        return self

    @abstractmethod
    def change_profile(self, urls: tuple[str, ...]) -> None: ...

    @abstractmethod
    def _refused(self, refusal: Refusal) -> Answer: ...

    def _same_account(self, user: str, password: str) -> Refusal | None:
        account = self.accounts[user]
        if user in self.retired:
            return Refusal(RefusalClass.ACCOUNT_REFUSED, "retired", retry_after=900)
        return None if password == account.password else Refusal(RefusalClass.ACCOUNT_REFUSED, "wrong password")

    def _asks(self, *offers: str) -> Answer:
        answer = self._refused(Refusal(RefusalClass.UNAUTHENTICATED))
        answer.headers["www-authenticate"] = ", ".join(offers or self.offers)
        return answer

    def _logged_on(self, request: httpx2.Request, message: messages.CheckIn | Probe) -> Answer | None:
        """The legs of a logon; None when it is granted."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        generation = message.credential_generation
        if not scheme:
            known = self.known_refused(message)
            return self._refused(Refusal(RefusalClass.ACCOUNT_REFUSED, "known")) if known else self._asks()
        assert scheme.lower() in ", ".join(self.offers).lower()
        token = b64decode(text)
        if scheme == "Basic":
            user, _, password = token.decode().partition(":")
            self.logons.append((generation, "basic"))
            refusal = self.check_account(user, password)
            return self._refused(refusal) if refusal else None
        assert scheme == "NTLM"
        if token[8] == 1:
            self.ntlm = spnego.server(protocol="ntlm")
            return self._asks("NTLM " + b64encode(self.ntlm.step(token)).decode())
        self.logons.append((generation, "ntlm"))
        try:
            self.ntlm.step(token)
        except spnego.exceptions.SpnegoError:
            return self._refused(Refusal(RefusalClass.ACCOUNT_REFUSED, "wrong password"))
        return None
