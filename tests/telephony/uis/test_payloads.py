"""Every sample payload of the reference is used by a test."""

from pathlib import Path

from tests.telephony.uis.samples import FOLDER

TESTS = Path(__file__).parents[2]


def test_every_payload_is_used_by_a_test():
    sources = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    names = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()]
    assert len(names) >= 57
    assert [name for name in names if f'"{name}"' not in sources] == []
