"""Notifications by e-mail: plain text over SMTP, by the standard library, in a thread."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from keyfast.core.secret import Secret
from keyfast.core.visible import visible
from keyfast.errors import NotReadyError
from keyfast.wire.notification import Message

TIMEOUT = 15.0
_SUBJECT = 150


@dataclass(frozen=True, slots=True)
class MailServer:
    """How to reach a mail server.

    Attributes:
        host, port: of the server.
        tls: ``starttls``, ``tls`` from the beginning, or ``off``.
        user: empty to log on as nobody.
        password: of the user.
    """

    host: str
    port: int
    tls: str
    user: str
    password: Secret


class Mail:
    """Implements ``services.notify.Receiver``.

    Args:
        server: takes the mail.
        sender: address it comes from.
        to: addresses it goes to.
        trusted: authorities behind the server's certificate.
    """

    name = "mail"

    def __init__(self, server: MailServer, sender: str, to: tuple[str, ...], trusted: ssl.SSLContext) -> None:
        self._server = server
        self._sender = sender
        self._to = to
        self._trusted = trusted

    async def deliver(self, message: Message) -> None:
        """Send a mail."""
        try:
            await asyncio.to_thread(self._send, self._mail(message))
        except (smtplib.SMTPException, OSError) as cause:
            raise NotReadyError(_why(cause)) from None  # what the library says may hold what was sent

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = visible(f"[{message.name}] {message.title}", _SUBJECT)
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._to)
        mail["Date"] = format_datetime(datetime.fromtimestamp(message.at, UTC))
        mail["Message-ID"] = f"<{message.id}.{message.installation}@keyfast.invalid>"
        lines = [visible(message.title, 1000), "", f"kind: {message.kind}"]
        lines += [f"{name}: {visible(text, 1000)}" for name, text in sorted(message.detail.items())]
        mail.set_content("\n".join([*lines, "", f"installation: {message.installation}"]) + "\n")
        return mail

    def _send(self, mail: EmailMessage) -> None:
        server = self._server
        with self._connected() as smtp:
            if server.tls == "starttls":
                smtp.starttls(context=self._trusted)
            if server.user:
                smtp.login(server.user, server.password.reveal().decode())
            smtp.send_message(mail)

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.tls == "tls":
            return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=self._trusted)
        return smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)


def _why(cause: Exception) -> str:
    if isinstance(cause, smtplib.SMTPResponseException):
        return f"the mail server answered {cause.smtp_code}"
    return f"the mail server could not be used: {type(cause).__name__}"
