"""The event that ends the processes of a cluster."""

import threading
import time

from connector_project.core.stop_event import StopEvent


def test_event_stays_set():
    event = StopEvent()
    assert not event.is_set()
    event.set()
    assert event.is_set()
    assert event.wait()


def test_wait_ends_with_the_event_or_its_time():
    event = StopEvent()
    started_at = time.monotonic()
    assert not event.wait(0.01)
    threading.Timer(0.05, event.set).start()
    assert event.wait(10)
    assert time.monotonic() - started_at < 5
