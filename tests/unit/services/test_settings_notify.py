"""Settings of notifications: whole, or refused with a sentence that names what is wrong."""

import pytest

from keyfast import settings
from keyfast.errors import UsageError

WHOLE = """
[notify]
webhook = "https://hooks.example.com/keyfast"
webhook_secret_file = "webhook.secret"
mail_server = "mail.example.com:587"
mail_user = "keyfast"
mail_password_file = "/etc/keyfast/mail.password"
mail_from = "keyfast@example.com"
mail_to = ["a@example.com", "b@example.com"]
ca = "ca.pem"
"""


def load(folder, text):
    (folder / settings.FILE_NAME).write_text(text)
    return settings.load(folder).notify


def test_the_whole_table_is_read(tmp_path):
    found = load(tmp_path, WHOLE)
    assert (found.webhook_secret_file, found.ca) == (tmp_path / "webhook.secret", tmp_path / "ca.pem")
    assert str(found.mail_password_file) == "/etc/keyfast/mail.password"
    assert (found.mail_tls, found.mail_to) == ("starttls", ("a@example.com", "b@example.com"))
    assert load(tmp_path, "") == settings.NOBODY


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("webhook_secret_file", "secret_file", "unknown field"),
        ('"webhook.secret"', "7", "Expected `str`"),
        ('webhook_secret_file = "webhook.secret"', "", "both webhook and webhook_secret_file"),
        ("https://hooks", "http://hooks", "must be an https URL"),
        ('mail_from = "keyfast@example.com"', "", "mail_server, mail_from and mail_to"),
        (":587", "", "must be HOST:PORT"),
        ("a@example.com", "a@example.com>\\nBcc: x@example.com", "must be mail addresses"),
        ('mail_user = "keyfast"', 'mail_tls = "ssl"\nmail_user = "keyfast"', "must be one of starttls, tls, off"),
        ('mail_user = "keyfast"', "", "both mail_user and mail_password_file"),
        ('mail_user = "keyfast"', 'mail_tls = "off"\nmail_user = "keyfast"', "needs TLS"),
    ],
)
def test_half_a_table_is_refused(tmp_path, old, new, fault):
    assert old in WHOLE
    with pytest.raises(UsageError, match=fault):
        load(tmp_path, WHOLE.replace(old, new, 1))


def test_a_webhook_on_this_machine_needs_no_tls(tmp_path):
    assert load(tmp_path, WHOLE.replace("https://hooks.example.com", "http://127.0.0.1:9999")).webhook
