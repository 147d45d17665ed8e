"""Short seeds pass, a seed is reproducible, and the comparison finds bugs of the product."""

import itertools
import os
import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest

from tests.chaos.run import Run, Size

pytestmark = [
    pytest.mark.exhaustive,  # every push plays one seed whole instead: python -m tests.chaos 1
    pytest.mark.timeout(240),  # one test plays minutes of many clients
]


@pytest.fixture
def play(transactional_db, real_pacing):
    """Play a run; return its outcome."""

    def run(seed=1, **size):
        return Run(seed, Size(**size)).play()

    return run


@pytest.fixture
def quiet(play):
    """Play a few calls of some kinds without faults but those of the network; return the differences."""

    def run(*kinds, tenants=2, calls=3, seed=1):
        short = {"lasts": timedelta(minutes=10), "quiet": timedelta(minutes=30)}
        return play(seed, tenants=tenants, calls=calls, kinds=kinds, has_faults=False, **short).differences

    return run


@pytest.mark.parametrize("seed", [1, 2])
def test_short_seed_passes(play, seed):
    outcome = play(seed, tenants=3, calls=4, lasts=timedelta(minutes=20))
    assert outcome.differences == []
    assert sum(line.counts["uis_calls"] for line in outcome.lines) >= 8
    assert outcome.met["notifications"] >= 25


def test_seed_prints_the_same_report_each_time():
    def report_of(hash_seed):
        command = [sys.executable, "-m", "tests.chaos", "3", "--tenants", "2", "--calls", "3", "--minutes", "20"]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "DATABASE_URL": "sqlite:///:memory:"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    report = report_of("1")
    assert "differences: 0" in report
    assert report_of("2") == report


def test_calls_without_notifications_are_found_by_reconciliation(quiet, play, monkeypatch):
    from telephony.calls import apply_event

    monkeypatch.setattr(apply_event, "apply_event", lambda *_args, **_kwargs: False)
    outcome = play(1, tenants=2, calls=3, kinds=("missed", "answered"), has_faults=False)
    assert outcome.differences == []
    assert [line.counts["recovered"] for line in outcome.lines] == [3, 3]


# --- bugs that the comparison must find


def has_difference(found, *texts):
    """Return whether a difference contains all these texts."""
    return any(all(text in line for text in texts) for line in found)


def test_missing_call_is_detected(quiet, monkeypatch):
    from telephony.calls import apply_event
    from telephony.reconciliation import compare

    monkeypatch.setattr(apply_event, "apply_event", lambda *_args, **_kwargs: False)
    monkeypatch.setattr(compare, "find_missing", lambda _reported, _known: [])
    found = quiet("missed")
    assert has_difference(found, "the connector has no row")
    assert has_difference(found, "the connector has not found it by itself")
    assert has_difference(found, "reconciliation: unexplained is 3, not 0")


def test_second_record_of_a_call_is_detected(quiet, monkeypatch):
    from crm import call_records

    number = itertools.count()
    monkeypatch.setattr(call_records, "external_id", lambda session_id: f"uis-{session_id}{next(number)}")
    assert has_difference(quiet("missed"), "which UIS does not have")


def test_duplicate_row_is_detected(quiet, monkeypatch):
    from telephony.models import Call

    monkeypatch.setattr(type(Call.objects), "locked", lambda *_args: None)
    assert has_difference(quiet("missed"), "the product logged an error")


def test_wrong_owner_of_a_missed_call_is_detected(quiet, monkeypatch):
    from telephony.calls.evidence import CallEvidence

    monkeypatch.setattr(
        CallEvidence, "rung_id", property(lambda evidence: next(iter(evidence.rung_employee_ids), None))
    )
    assert has_difference(
        quiet("missed", tenants=8, calls=5), "its manager is"
    )  # not every tenant's rule names an owner


def test_wrong_owner_of_a_transferred_call_is_detected(quiet, monkeypatch):
    from telephony.calls import legs

    monkeypatch.setattr(legs, "_owner_leg", lambda talks, _owner: min(talks, key=lambda leg: leg.leg_id))
    assert has_difference(quiet("transferred", tenants=8, calls=5), "its manager is")


def test_wrong_time_zone_is_detected(quiet, monkeypatch):
    from zoneinfo import ZoneInfo

    from tenants.models import CrmConnection

    monkeypatch.setattr(CrmConnection, "zone", property(lambda _crm: ZoneInfo("UTC")))
    assert has_difference(quiet("missed"), "date is")


def test_wrong_duration_is_detected(quiet, monkeypatch):
    from telephony.calls import legs

    monkeypatch.setattr(legs, "_talked", lambda talks: len(talks))
    assert has_difference(quiet("answered"), "duration is")


def test_call_in_another_clients_crm_is_detected(quiet, monkeypatch):
    from crm import client_factory, uploads
    from tenants.models import CrmConnection

    def first(_connection):
        return client_factory.crm_client(CrmConnection.objects.order_by("pk")[0])

    monkeypatch.setattr(uploads, "client_factory", SimpleNamespace(crm_client=first))
    found = quiet("missed")
    assert has_difference(found, "tenant-02", "not in the CRM")


def test_second_call_of_a_click_is_detected(quiet, monkeypatch):
    from telephony import outbound

    real = outbound.start_call

    def twice(*args, **kwargs):
        real(*args, **kwargs)
        return real(*args, **kwargs)

    monkeypatch.setattr(outbound, "start_call", twice)
    assert has_difference(quiet("click"), "a click rang 2 times")


def test_replay_that_is_not_what_was_sent_is_detected(quiet, monkeypatch):
    from tenants import replay

    monkeypatch.setattr(replay, "_of_party", lambda _party: {})
    assert has_difference(quiet("answered"), "its replay differs from what was sent")


def test_details_that_are_not_what_the_crm_has_are_detected(quiet, monkeypatch):
    from crm import call_records

    real = call_records.upload_details
    monkeypatch.setattr(
        call_records, "upload_details", lambda prepared, known: real(prepared, known) | {"code": "999", "user": 999}
    )
    assert has_difference(quiet("answered"), "of its replay is", "999", "the CRM has")


def test_rules_change_in_the_traffic_and_each_version_judges_its_calls(play):
    outcome = play(2, tenants=3, calls=4, lasts=timedelta(minutes=20))
    assert outcome.differences == []
    assert outcome.met["published versions of rules"] >= 1


def test_upload_against_a_rule_is_detected(quiet, monkeypatch):
    from tenants.transfer_rules import RuleSet

    monkeypatch.setattr(RuleSet, "upload_skip_reason", lambda _choices, _call: None)
    assert has_difference(quiet("internal", seed=4), "it was uploaded against")


def test_call_skipped_without_a_rule_is_detected(quiet, monkeypatch):
    from tenants.transfer_rules import RuleSet, SkipReason

    monkeypatch.setattr(RuleSet, "upload_skip_reason", lambda _choices, _call: SkipReason.CONTACT)
    assert has_difference(quiet("missed"), "it was skipped by CONTACT, but the rules allow")


def test_upload_before_the_recording_is_detected(quiet, monkeypatch):
    from telephony.calls import recording_selection

    monkeypatch.setattr(recording_selection, "is_awaited", lambda *_args, **_kwargs: False)
    assert has_difference(quiet("answered", calls=6), "its recording was not waited for")


def test_missing_recording_is_detected(quiet, monkeypatch):
    from telephony.calls import recording_selection

    monkeypatch.setattr(recording_selection, "url", lambda *_args: "")
    assert has_difference(quiet("answered", calls=6), "its recording was reported by UIS")


def test_late_popup_is_detected(quiet, monkeypatch):
    from crm import popups
    from tests.chaos import workers

    monkeypatch.setitem(workers.LAG_SECONDS, "fast", 60)
    monkeypatch.setattr(popups, "POPUP_TTL", timedelta(hours=1))
    monkeypatch.setattr(popups, "_obsolete_reason", lambda *_args: "")
    assert has_difference(quiet("answered"), "s after the ring")


def test_wait_inside_a_transaction_is_detected(quiet, monkeypatch):
    from django.db import transaction

    from crm import uploads

    real = uploads.upload
    monkeypatch.setattr(uploads, "upload", transaction.atomic(real))
    assert has_difference(quiet("missed"), "waits inside a transaction")


def test_logged_error_is_detected(quiet, monkeypatch):
    from crm import uploads

    monkeypatch.setattr(uploads, "_upload", lambda *_args, **_kwargs: 1 / 0)
    found = quiet("missed")
    assert has_difference(found, "raised ZeroDivisionError")
