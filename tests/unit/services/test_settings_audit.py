"""Settings of the audit trail: what is wrong is said by name."""

import pytest

from keyfast import settings
from keyfast.errors import UsageError
from keyfast.settings_audit import FOR_EVER, AuditSettings


def _load(folder, text):
    (folder / settings.FILE_NAME).write_text(text)
    return settings.load(folder).audit


def test_what_is_set(tmp_path):
    assert _load(tmp_path, "") == _load(tmp_path, "[audit]\n") == FOR_EVER == AuditSettings(0, None)
    assert _load(tmp_path, "[audit]\nkeep_days = 90\n") == AuditSettings(90)
    folder = _load(tmp_path, '[audit]\nkeep_days = 365\nexport_to = "removed"\n').export_to
    assert folder == tmp_path / "removed"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("keep_days = 89", "keep_days"),
        ("keep_days = -1", "keep_days"),
        ("keep_days = 36501", "keep_days"),
        ("keep_days = true", "keep_days"),
        ('keep_days = "90"', "keep_days"),
        ("export_to = 1", "export_to"),
        ("keep = 90", "keep"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path, text, named):
    with pytest.raises(UsageError, match=named):
        _load(tmp_path, f"[audit]\n{text}\n")
