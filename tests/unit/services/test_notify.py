"""Messages reach a real web server and a real mail server, or it is on record that they did not."""

import datetime as dt
import hashlib
import hmac
import ssl

import msgspec
import pytest
from tests.support.receivers import Hook, Mailbox, serving

from keyfast.core.notification import FIRST_PAUSE, GIVE_UP_AFTER
from keyfast.core.secret import Secret
from keyfast.errors import UsageError
from keyfast.server.receivers import open_receivers
from keyfast.services.notify import KEPT, LEASE, NotificationService, Notifier
from keyfast.services.notify_mail import Mail, MailServer
from keyfast.services.notify_webhook import Webhook
from keyfast.settings_notify import NotifySettings
from keyfast.store import events, outbox
from keyfast.trust.tls import create_authority, issue_certificate
from keyfast.wire.notification import Message

SECRET = Secret(b"a shared secret")
PASSWORD = Secret(b"the mailer's password")
EVIL = "away\r\nBcc: all@example.com\r\n\r\n<b>\x1b[31m"
LOCKED = ("account_locked", {"account": "CORP\\svc", "endpoints": 7, "servers": ["dc1"]})


@pytest.fixture
def service(site):
    return NotificationService(site.database, site.clock)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server's context, and the file of the authority behind it."""
    folder = tmp_path_factory.mktemp("tls")
    now = dt.datetime.now(dt.UTC)
    ca, key = create_authority("mail authority", now)
    pem, private = issue_certificate(ca, key, ["localhost", "127.0.0.1"], now)
    for name, content in (("ca.pem", ca), ("server.pem", pem), ("server.key", private.reveal())):
        (folder / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context, folder / "ca.pem"


async def tell(site, kind, detail):
    async with site.database.write() as conn:
        await events.add(conn, at=int(site.clock()), kind=kind, endpoint_id=None, detail=detail)


def notifier(site, *receivers):
    return Notifier(site.live, site.database, receivers, site.clock)


def webhook(site, hook):
    return Webhook(f"http://127.0.0.1:{hook.port}/keyfast", SECRET, ssl.create_default_context(), site.clock)


def mail(box, tls, how="starttls", password=PASSWORD):
    server = MailServer("localhost", box.port, how, "keyfast", password)
    trusted = ssl.create_default_context(cafile=str(tls[1]))
    return Mail(server, "keyfast@example.com", ("a@example.com", "b@example.com"), trusted)


async def lines(service):
    return [(line.kind, line.state, line.reached, line.tries) for line in await service.list_page(None, 100)]


async def test_a_webhook_gets_the_message_signed(site, service):
    hook = Hook()
    async with serving(hook):
        await tell(site, *LOCKED)
        await notifier(site, webhook(site, hook)).tick()
    ((headers, body),) = hook.posts
    message = msgspec.json.decode(body, type=Message)
    assert (message.kind, message.title, message.detail["endpoints"]) == (LOCKED[0], "CORP\\svc is locked out", "7")
    assert message.installation == site.live.current.installation.id
    at, said = headers["keyfast-signature"].split(",")
    mac = hmac.new(SECRET.reveal(), at.removeprefix("t=").encode() + b"." + body, hashlib.sha256)
    assert (said, int(at.removeprefix("t="))) == (f"v1={mac.hexdigest()}", int(site.clock()))
    assert await lines(service) == [(LOCKED[0], "sent", ("webhook",), 1)]


async def test_mail_is_sent_over_tls_and_says_nothing_that_a_stranger_wrote_into_its_head(site, service, tls):
    box = Mailbox(tls[0], PASSWORD.reveal().decode())
    async with serving(box):
        await tell(site, "window_opened", {"window": "w1", "reason": EVIL, "endpoints": 3, "by": "anna"})
        await notifier(site, mail(box, tls)).tick()
    assert box.encrypted
    assert box.said.index("STARTTLS") < box.said.index("AUTH")
    assert box.to == ["a@example.com", "b@example.com"]
    (sent,) = box.mails
    assert sent["To"] == "a@example.com, b@example.com"
    assert sent["Bcc"] is None
    assert sent["Subject"].startswith("[Example] a recovery window was opened: away\\x0d\\x0aBcc:")
    text = sent.get_content()
    assert "\x1b" not in text
    assert "by: anna" in text
    assert await lines(service) == [("window_opened", "sent", ("mail",), 1)]


async def test_tls_from_the_first_byte(site, service, tls):
    box = Mailbox(tls[0], PASSWORD.reveal().decode())
    async with serving(box, tls[0]):
        await service.test("anna")
        await notifier(site, mail(box, tls, "tls")).tick()
    assert box.mails[0]["Subject"] == "[Example] this is a test, ordered by anna"


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"refuse": True}, "mail: the mail server could not be used: SMTPRecipientsRefused"),
        ({"password": "another"}, "mail: the mail server answered 535"),
    ],
)
async def test_a_mail_server_that_takes_nothing_is_told_of_without_a_secret(site, service, tls, change, trouble):
    box = Mailbox(**({"tls": tls[0], "password": PASSWORD.reveal().decode()} | change))
    async with serving(box):
        await service.test("anna")
        await notifier(site, mail(box, tls)).tick()
    (line,) = await service.list_page(None, 10)
    assert (line.state, line.trouble) == ("pending", trouble)


async def test_a_mail_server_with_a_strange_certificate_gets_no_password(site, service, tls):
    box = Mailbox(tls[0], PASSWORD.reveal().decode())
    async with serving(box):
        await service.test("anna")
        strange = Mail(
            MailServer("localhost", box.port, "starttls", "keyfast", PASSWORD),
            "k@example.com",
            ("a@example.com",),
            ssl.create_default_context(),
        )
        await notifier(site, strange).tick()
    assert "AUTH" not in box.said
    assert "SSLCertVerificationError" in (await service.list_page(None, 10))[0].trouble


async def test_a_mail_server_without_tls_gets_neither_password_nor_mail(site, service, tls):
    box = Mailbox(None, PASSWORD.reveal().decode())
    async with serving(box):
        await service.test("anna")
        await notifier(site, mail(box, tls)).tick()
    assert {"AUTH", "MAIL", "DATA"}.isdisjoint(box.said)
    assert "SMTPNotSupportedError" in (await service.list_page(None, 10))[0].trouble


async def test_who_has_it_is_not_told_again_and_the_other_is_tried_until_it_has(site, service, tls, clock):
    hook, box = Hook(status=503), Mailbox(tls[0], PASSWORD.reveal().decode())
    async with serving(hook), serving(box):
        both = notifier(site, webhook(site, hook), mail(box, tls))
        await tell(site, *LOCKED)
        await both.tick()
        (line,) = await service.list_page(None, 10)
        assert (line.state, line.reached, line.trouble) == ("pending", ("mail",), "webhook: it answered 503")
        await both.tick()
        assert len(hook.posts) == 1
        hook.status = 302
        clock.now += FIRST_PAUSE
        await both.tick()
        hook.status = 204
        clock.now += 2 * FIRST_PAUSE
        await both.tick()
    assert len({post[1] for post in hook.posts}) == 1
    assert (len(hook.posts), len(box.mails)) == (3, 1)
    assert await lines(service) == [(LOCKED[0], "sent", ("mail", "webhook"), 3)]


async def test_a_receiver_that_is_gone_is_given_up_after_a_day(site, service, clock):
    gone = notifier(site, Webhook("http://127.0.0.1:1/", SECRET, ssl.create_default_context(), site.clock))
    await tell(site, *LOCKED)
    await gone.tick()
    clock.now += GIVE_UP_AFTER
    await gone.tick()
    (line,) = await service.list_page(None, 10)
    assert (line.state, line.tries, line.trouble) == ("failed", 2, "webhook: it did not answer: ConnectError")
    clock.now += KEPT + 1
    await gone.tick()
    await gone.tick()
    assert await service.list_page(None, 10) == []


async def test_the_same_news_is_one_message_and_nobody_to_tell_is_an_end(site, service, clock):
    for _ in range(3):
        await tell(site, *LOCKED)
    await tell(site, "endpoint_registered", {"name": "x"})
    await notifier(site).tick()
    assert await lines(service) == [(LOCKED[0], "unaddressed", (), 1)]
    clock.now += 3600
    await tell(site, *LOCKED)
    assert len(await lines(service)) == 2
    assert len(await service.list_page(2, 10)) == 1


async def test_a_message_that_was_rolled_back_with_its_event_is_none(site, service):
    async def fail():
        async with site.database.write() as conn:
            await events.add(conn, at=7, kind=LOCKED[0], endpoint_id=None, detail=LOCKED[1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await lines(service) == []


async def test_two_servers_deliver_a_message_once_and_take_over_when_one_dies(site, service, clock):
    await tell(site, *LOCKED)
    now = int(site.clock())
    async with site.database.write() as conn:
        (row,) = await outbox.due(conn, now=now, limit=9)
        assert await outbox.claim(conn, row, until=now + LEASE)  # and this one dies
        assert not await outbox.claim(conn, row, until=now + LEASE)
    hook = Hook()
    async with serving(hook):
        other = notifier(site, webhook(site, hook))
        await other.tick()
        assert hook.posts == []
        clock.now += LEASE
        await other.tick()
    assert await lines(service) == [(LOCKED[0], "sent", ("webhook",), 1)]


def test_receivers_are_opened_with_secrets_from_private_files(tmp_path, tls):
    for name in ("hook.secret", "mail.password"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text("secret\n")
    settings = NotifySettings(
        webhook="https://hooks.example.com/x",
        webhook_secret_file=tmp_path / "hook.secret",
        mail_server="mail.example.com:587",
        mail_user="keyfast",
        mail_password_file=tmp_path / "mail.password",
        mail_from="k@example.com",
        mail_to=("a@example.com",),
        ca=tls[1],
    )
    assert [receiver.name for receiver in open_receivers(settings, lambda: 0)] == ["webhook", "mail"]
    assert open_receivers(NotifySettings(), lambda: 0) == ()
    (tmp_path / "hook.secret").chmod(0o644)
    with pytest.raises(UsageError, match="can be read by others"):
        open_receivers(settings, lambda: 0)
    with pytest.raises(UsageError, match="cannot read the authorities"):
        open_receivers(_with_ca(settings, tmp_path / "none"), lambda: 0)


def _with_ca(settings, ca):
    return NotifySettings(
        mail_server=settings.mail_server, mail_from=settings.mail_from, mail_to=settings.mail_to, ca=ca
    )
