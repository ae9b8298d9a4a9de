"""Notifications by webhook: a POST of JSON, signed with a shared secret."""

import ssl
from collections.abc import Callable

import httpx2
import msgspec

from keyfast.core.secret import Secret
from keyfast.errors import NotReadyError
from keyfast.trust.webhook import signature
from keyfast.wire.notification import SIGNATURE_HEADER, Message

TIMEOUT = 15.0


class Webhook:
    """Implements ``services.notify.Receiver``.

    Args:
        url: where to post.
        secret: shared with the receiver.
        trusted: authorities behind an https URL.
        clock: unix seconds.
    """

    name = "webhook"

    def __init__(self, url: str, secret: Secret, trusted: ssl.SSLContext, clock: Callable[[], float]) -> None:
        self._url = url
        self._secret = secret
        self._trusted = trusted
        self._clock = clock

    async def deliver(self, message: Message) -> None:
        """Post a message; every status but 2xx is a miss, and no redirect is followed."""
        body, at = msgspec.json.encode(message), int(self._clock())
        headers = {
            "content-type": "application/json",
            "user-agent": "keyfast",
            SIGNATURE_HEADER: signature(self._secret, at, body),
        }
        try:
            async with httpx2.AsyncClient(verify=self._trusted, timeout=TIMEOUT, trust_env=False) as http:
                answer = await http.post(self._url, content=body, headers=headers)
        except httpx2.HTTPError as cause:
            raise NotReadyError(f"it did not answer: {type(cause).__name__}") from cause
        if not answer.is_success:
            raise NotReadyError(f"it answered {answer.status_code}")
