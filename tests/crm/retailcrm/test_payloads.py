"""Every sample of the reference is used by a test."""

from pathlib import Path

from tests.crm.retailcrm.samples import FOLDER

TESTS = Path(__file__).parents[2]


def test_every_payload_is_used_by_a_test():
    written = "".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    names = [path.name for path in FOLDER.iterdir()]
    assert len(names) >= 50
    assert [name for name in names if f'"{name}"' not in written] == []
