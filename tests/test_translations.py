"""The check of translations, and the Russian translation itself."""

import importlib
import shutil

import pytest
from django.utils import translation
from django.utils.translation import ngettext

from connector_project.core.choices import Choices
from telephony.models import Call
from tenants import rule_labels
from tests import translations
from tests.translations import Text

OURS = ("connector_project.core", "connector_project.operations", "tenants", "telephony", "crm")
NAMES = {"UIS", "CoMagic", "CallGear", "Novofon", "retailCRM", "v4", "v5", ""}
CODE = """
from django.utils.translation import gettext as _, ngettext, pgettext, npgettext

_("first %(name)s"), _("last {name}"), _("once %s"), _("of a %d kind"), _(anything)
ngettext("%(count)d card", "%(count)d cards", 2)
pgettext("month", "May")
npgettext("telephone", "line", "lines", 2)
"""
TEMPLATE = """{% load i18n %}<p>{% translate "heading" %} {% translate "May" context "modal verb" %}</p>
{% blocktranslate count n=n %}{{ n }} key{% plural %}{{ n }} keys{% endblocktranslate %}{# _("no text") #}"""
RUSSIAN = r"""
msgid ""
msgstr ""
"Plural-Forms: nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\n"
"Content-Type: text/plain; charset=utf-8\n"

msgid "first %(name)s"
msgstr "первый %(name)s"

msgid "last {name}"
msgstr "последний {name}"

msgid "once %s"
msgstr "однажды %s"

msgid "of a %d kind"
msgstr "вида %d"

msgid "%(count)d card"
msgid_plural "%(count)d cards"
msgstr[0] "%(count)d карточка"
msgstr[1] "%(count)d карточки"
msgstr[2] "%(count)d карточек"

msgctxt "month"
msgid "May"
msgstr "май"

msgctxt "modal verb"
msgid "May"
msgstr "можно"

msgctxt "telephone"
msgid "line"
msgid_plural "lines"
msgstr[0] "линия"
msgstr[1] "линии"
msgstr[2] "линий"

msgid "heading"
msgstr "заголовок"

msgid "%(n)s key"
msgid_plural "%(n)s keys"
msgstr[0] "%(n)s ключ"
msgstr[1] "%(n)s ключа"
msgstr[2] "%(n)s ключей"
"""


@pytest.fixture
def root(tmp_path):
    """Return a small project with a code file, a template, and texts in ignored folders."""
    for folder in ("shop/migrations", "tests", ".venv/lib"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "hidden.py").write_text('_("ignored")', "utf-8")
    (tmp_path / "shop" / "templates").mkdir()
    (tmp_path / "shop" / "code.py").write_text(CODE, "utf-8")
    (tmp_path / "shop" / "templates" / "page.html").write_text(TEMPLATE, "utf-8")
    return tmp_path


@pytest.fixture
def po(root):
    """Return a complete catalogue of that project, compiled."""
    file = root / "locale" / "django.po"
    file.parent.mkdir()
    file.write_text(RUSSIAN, "utf-8")
    translations.write(file, root)
    return file


def change(file, old, new):
    text = file.read_text("utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), "utf-8")


@pytest.mark.slow
def test_every_text_is_translated():
    assert list(translations.faults()) == []


def test_texts_are_found_in_code_and_templates(root):
    assert translations.texts(root) == {
        Text("first %(name)s"): {"shop/code.py"},
        Text("last {name}"): {"shop/code.py"},
        Text("once %s"): {"shop/code.py"},
        Text("of a %d kind"): {"shop/code.py"},
        Text("%(count)d card", "%(count)d cards"): {"shop/code.py"},
        Text("May", "", "month"): {"shop/code.py"},
        Text("line", "lines", "telephone"): {"shop/code.py"},
        Text("heading"): {"shop/templates/page.html"},
        Text("May", "", "modal verb"): {"shop/templates/page.html"},
        Text("%(n)s key", "%(n)s keys"): {"shop/templates/page.html"},
    }


def test_text_with_and_without_plural_is_one_entry(root):
    (root / "shop" / "more.py").write_text('_("%(count)d card")', "utf-8")
    found = translations.texts(root)
    assert Text("%(count)d card", "%(count)d cards") in found
    assert Text("%(count)d card") not in found


def test_complete_catalogue_has_no_faults(po, root):
    assert list(translations.faults(po, root)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('msgstr "заголовок"', 'msgstr ""', "“heading” is not translated."),
        ('msgstr[1] "%(count)d карточки"', 'msgstr[1] ""', "“%(count)d card” is not translated."),
        ('msgstr[2] "линий"\n', "", "“line” (in the sense “telephone”) is not translated."),
        (
            'msgid "heading"',
            '#, fuzzy\nmsgid "heading"',
            "“heading” is marked as fuzzy: check the translation and remove the mark.",
        ),
        (
            'msgid "heading"',
            'msgid "haeding"',
            "“heading” (shop/templates/page.html) is missing from django.po; run `make translations`, "
            "then translate it.",
        ),
        (
            'msgctxt "month"',
            'msgctxt "mouth"',
            "“May” (in the sense “month”) (shop/code.py) is missing from django.po; run `make translations`, "
            "then translate it.",
        ),
        (
            'msgid "heading"',
            'msgid "haeding"',
            "“haeding” is in django.po, but unused; run `make translations`.",
        ),
        (
            'msgid_plural "lines"',
            'msgid_plural "queues"',
            "“line” (in the sense “telephone”) is in django.po, but unused; run `make translations`.",
        ),
        (
            'msgid "heading"',
            '#~ msgid "gone"\n#~ msgstr "нет"\n\nmsgid "heading"',
            "“gone” is obsolete in django.po; run `make translations`.",
        ),
        (
            "первый %(name)s",
            "первый %(имя)s",
            "“first %(name)s” has other placeholders in its translation “первый %(имя)s”.",
        ),
        ("первый %(name)s", "первый", "“first %(name)s” has other placeholders in its translation “первый”."),
        (
            "первый %(name)s",
            "первый %(name)",
            "“first %(name)s” has other placeholders in its translation “первый %(name)”.",
        ),
        ("последний {name}", "последний {}", "“last {name}” has other placeholders in its translation “последний {}”."),
        ("однажды %s", "однажды", "“once %s” has other placeholders in its translation “однажды”."),
        ("вида %d", "вида %s", "“of a %d kind” has other placeholders in its translation “вида %s”."),
        (
            "%(count)d карточка",
            "одна карточка",
            "“%(count)d card” has other placeholders in its translation “одна карточка”.",
        ),
        (
            '#: shop/templates/page.html\nmsgid "heading"',
            '#: shop/code.py\nmsgid "heading"',
            "“heading” is in other files than django.po says; run `make translations`.",
        ),
        ("заголовок", "шапка", "django.mo is not what django.po compiles to; run `make translations`."),
    ],
)
def test_each_fault_is_reported(po, root, old, new, expected):
    change(po, old, new)
    assert expected in list(translations.faults(po, root))


def test_order_of_named_placeholders_may_differ(po, root):
    (root / "shop" / "code.py").write_text('_("%(a)s of %(b)s, {c}")', "utf-8")
    translations.write(po, root)
    change(
        po, 'msgid "%(a)s of %(b)s, {c}"\nmsgstr ""', 'msgid "%(a)s of %(b)s, {c}"\nmsgstr "{c}: %(b)s, %(a)s, %(b)s"'
    )
    translations.write(po, root)
    assert list(translations.faults(po, root)) == []


@pytest.mark.parametrize("content", [None, b"", b"no catalogue"])
def test_missing_or_damaged_compiled_file_is_reported(po, root, content):
    compiled = po.with_suffix(".mo")
    compiled.unlink() if content is None else compiled.write_bytes(content)
    assert list(translations.faults(po, root)) == [
        "django.mo is not what django.po compiles to; run `make translations`."
    ]


def test_missing_or_damaged_catalogue_is_reported(po, root):
    change(po, 'msgid "heading"', "heading")
    damaged = list(translations.faults(po, root))
    po.unlink()
    absent = list(translations.faults(po, root))
    assert [fault.partition(":")[0] for fault in damaged + absent] == ["django.po cannot be read"] * 2


def test_write_creates_a_missing_catalogue(root):
    file = root / "new" / "ru" / "django.po"
    translations.write(file, root)
    expected = {f"{text} is not translated." for text in translations.texts(root)}
    assert set(translations.faults(file, root)) == expected


def test_write_drops_unused_and_fuzzy_texts_and_keeps_the_rest(po, root):
    change(po, 'msgid "heading"', '# For all users.\nmsgid "heading"')
    change(po, 'msgid "once %s"', '#, fuzzy\nmsgid "once %s"')
    change(po, 'msgid "last {name}"', 'msgid "latest {name}"')
    po.write_text(po.read_text("utf-8") + '\n#~ msgid "gone"\n#~ msgstr "нет"\n', "utf-8")
    translations.write(po, root)
    written = po.read_text("utf-8")
    assert sorted(translations.faults(po, root)) == ["“last {name}” is not translated.", "“once %s” is not translated."]
    assert '# For all users.\n#: shop/templates/page.html\nmsgid "heading"\nmsgstr "заголовок"' in written
    assert [word for word in ("gone", "latest", "fuzzy", "#~", "Date", "page.html:") if word in written] == []


@pytest.mark.slow
def test_write_is_idempotent(tmp_path):
    files = [tmp_path / name for name in ("django.po", "django.mo")]
    for file in files:
        shutil.copy(translations.PO.with_name(file.name), file)
    before = [file.read_bytes() for file in files]
    translations.write(files[0])
    assert [file.read_bytes() for file in files] == before


def test_entries_are_sorted(po):
    lines = [line for line in po.read_text("utf-8").splitlines() if line.startswith("msgid ")]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("arguments", "damage", "code"), [([], "", 0), ([], "заголовок", 1), (["--write"], "заголовок", 0)]
)
def test_check_with_faults_returns_1_and_write_returns_0(po, root, monkeypatch, capsys, arguments, damage, code):
    monkeypatch.setattr(translations, "write", lambda: None)
    found = [f"“heading” {damage}"] if damage else []
    monkeypatch.setattr(translations, "faults", lambda: iter(found))
    assert translations.main(arguments) == code
    assert capsys.readouterr().err.splitlines() == found


def test_labels_are_in_the_active_language():
    with translation.override("ru"):
        assert str(Call.State.UPLOADED.label) == "выгружен"
    with translation.override("en"):
        assert str(Call.State.UPLOADED.label) == "uploaded"


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, "1 звонок снова в очереди."),
        (2, "2 звонка снова в очереди."),
        (5, "5 звонков снова в очереди."),
        (11, "11 звонков снова в очереди."),
        (21, "21 звонок снова в очереди."),
    ],
)
def test_russian_plurals(count, expected):
    with translation.override("ru"):
        text = ngettext("%(count)d call is queued again.", "%(count)d calls are queued again.", count)
    assert text % {"count": count} == expected


def our_choices():
    for package in OURS:
        importlib.import_module(f"{package}.models")
    return Choices.__subclasses__()


def test_our_choices_are_found():
    found = {one.__qualname__ for one in our_choices()}
    assert found >= {
        "State",
        "FailureReason",
        "Command.Reason",
        "Popup.State",
        "Responsible",
    }


@pytest.mark.parametrize("labels", rule_labels.LABELS, ids=lambda one: type(next(iter(one))).__name__)
def test_every_code_of_rules_is_translated(labels):
    assert set(labels) == set(type(next(iter(labels))))
    with translation.override("en"):
        english = {str(label) for label in labels.values()}
    with translation.override("ru"):
        assert english.isdisjoint({str(label) for label in labels.values()})


@pytest.mark.parametrize("choices", our_choices(), ids=lambda one: f"{one.__module__}.{one.__qualname__}")
def test_every_choice_except_names_is_translated(choices):
    labels = {}
    for language in ("en", "ru"):
        with translation.override(language):
            labels[language] = [str(label) for label in choices.labels]
    same = {english for english, russian in zip(labels["en"], labels["ru"], strict=True) if english == russian}
    assert same - NAMES == set()
