"""Open the receivers of notifications that are configured."""

import ssl
from collections.abc import Callable
from pathlib import Path

from keyfast.core.secret import Secret
from keyfast.errors import UsageError
from keyfast.server.windows import read_password
from keyfast.services.notify import Receiver
from keyfast.services.notify_mail import Mail, MailServer
from keyfast.services.notify_webhook import Webhook
from keyfast.settings_notify import NotifySettings


def open_receivers(settings: NotifySettings, clock: Callable[[], float]) -> tuple[Receiver, ...]:
    """The receivers; none if nobody is to be told.

    Raises:
        UsageError: a file that they need cannot be read, or is exposed.
    """
    if not (settings.webhook or settings.mail_server):
        return ()
    trusted = _trusted(settings.ca)
    found: list[Receiver] = []
    if settings.webhook and settings.webhook_secret_file is not None:
        secret = read_password(settings.webhook_secret_file, "the webhook's secret")
        found.append(Webhook(settings.webhook, secret, trusted, clock))
    if settings.mail_server:
        found.append(Mail(_mail_server(settings), settings.mail_from, settings.mail_to, trusted))
    return tuple(found)


def _mail_server(settings: NotifySettings) -> MailServer:
    host, _, port = settings.mail_server.rpartition(":")
    file = settings.mail_password_file
    password = Secret(b"") if file is None else read_password(file, "the password of the mail server's user")
    return MailServer(host, int(port), settings.mail_tls, settings.mail_user, password)


def _trusted(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except OSError as cause:
        raise UsageError(f"cannot read the authorities in {ca}: {cause.strerror or cause}") from cause
