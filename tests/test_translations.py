"""The Russian texts: complete, and really served."""

import shutil

import pytest
from django.apps import apps
from django.utils import translation

from telephony.models import Call
from tests import translations


@pytest.fixture
def po(tmp_path):
    for name in ("django.po", "django.mo"):
        shutil.copy(translations.PO.with_name(name), tmp_path / name)
    return tmp_path / "django.po"


def test_every_text_has_its_russian():
    assert list(translations.faults(translations.PO)) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('msgstr "выгружен"', 'msgstr ""', "not translated: 'uploaded'"),
        ('msgid "uploaded"', 'msgid "uplaoded"', "missing: 'uploaded'"),
        ('msgid "uploaded"', 'msgid "uplaoded"', "no longer used: 'uplaoded'"),
        ('"нет доступа: %(sides)s"', '"нет доступа: %(side)s"', "other placeholders: 'denied by %(sides)s'"),
        ('msgstr "выгружен"', 'msgstr "загружен"', "django.mo is not what django.po says"),
    ],
)
def test_each_fault_is_named(po, old, new, says):
    text = po.read_text("utf-8")
    assert old in text
    po.write_text(text.replace(old, new, 1), "utf-8")
    assert any(fault.startswith(says) for fault in translations.faults(po))


def test_writing_mends_and_keeps_what_is_translated(po):
    po.write_text(po.read_text("utf-8").replace('msgid "uploaded"', 'msgid "uplaoded"', 1), "utf-8")
    translations.write(po)
    assert list(translations.faults(po)) == ["not translated: 'uploaded'"]


def test_russian_is_served():
    with translation.override("ru"):
        assert str(Call.State.UPLOADED.label) == "выгружен"


def test_every_choice_has_words_of_its_own_in_russian():
    for model in apps.get_models():
        if model._meta.app_label not in {"tenants", "telephony", "crm"}:
            continue
        for field in model._meta.get_fields():
            for _value, label in getattr(field, "choices", None) or []:
                with translation.override("en"):
                    english = str(label)
                with translation.override("ru"):
                    russian = str(label)
                is_name = english in {"", "v4", "v5"} or (english[:1].isupper() and " " not in english)
                assert russian != english or is_name, f"{field}: {english}"
