"""A flood of refused requests writes one line a minute for each client and status."""

import logging

import pytest
from django.conf import settings
from django.test import RequestFactory

from connector_project.core import log_limits
from connector_project.core.log_limits import RefusedRequests

MINUTE = 1_700_000_040.0  # the beginning of one


def refused(status, *, address="203.0.113.10", at=MINUTE, path="/hooks/uis/a%b/"):
    record = logging.LogRecord("django.request", logging.WARNING, "", 0, "%s: %s", ("Refused", path), None)
    record.status_code, record.request, record.created = status, RequestFactory().get("/", REMOTE_ADDR=address), at
    return record


@pytest.fixture
def log():
    """Send records through the filter; return the texts of those that are written."""
    limit = RefusedRequests()
    return lambda *records: [record.getMessage() for record in records if limit.filter(record)]


def test_one_line_a_minute_for_each_client_and_status(log):
    records = [refused(429), refused(429), refused(429, address="203.0.113.11"), refused(404), refused(404)]
    assert len(log(*records)) == 3


def test_next_line_says_how_many_were_left_out(log):
    log(*(refused(429) for _n in range(500)))
    later = log(refused(429, at=MINUTE + 60), refused(429, at=MINUTE + 61), refused(429, at=MINUTE + 120))
    assert ["499" in later[0], "1 more" in later[1], len(later)] == [True, True, 2]
    assert later[0].startswith("Refused: /hooks/uis/a%b/ (")


def test_count_of_an_earlier_flood_is_forgotten(log):
    log(refused(429), refused(429))
    assert log(refused(429, at=MINUTE + 180)) == ["Refused: /hooks/uis/a%b/"]


def test_flood_from_many_addresses_is_bounded(log, monkeypatch):
    monkeypatch.setattr(log_limits, "MOST_CLIENTS", 3)
    records = [refused(429, address=f"2001:db8::{n}") for n in range(10)]
    assert len(log(*records)) == 3


@pytest.mark.parametrize("status", [500, 503])
def test_failures_of_ours_are_all_logged(log, status):
    assert len(log(refused(status), refused(status))) == 2


def test_other_records_are_all_logged(log):
    record = logging.LogRecord("crm.tasks", logging.WARNING, "", 0, "text", (), None)
    assert log(record, record) == ["text", "text"]


def test_every_handler_of_the_settings_has_the_limit():
    assert all("refused_requests" in handler["filters"] for handler in settings.LOGGING["handlers"].values())
