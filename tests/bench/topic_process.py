"""Measures a topic in a process of its own: each has its own settings, and ends without traces of the others.

A topic whose process is interrupted, or ends because its parent does, still removes its databases and processes.
"""

import multiprocessing
import signal
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import NoReturn

from tests.bench.figures import Figure
from tests.bench.topics import Topic
from tests.processes.servers import Missing
from tests.simulator.processes import end_with_parent

LONGEST_LINE = 200
REMOVAL_SECONDS = 30.0  # what a topic gets to end its processes


@dataclass
class TopicResult:
    """What a topic measured, and why not all of it was."""

    topic: str
    figures: list[Figure] = field(default_factory=list)
    seconds: float = 0.0
    missing: str = ""  # a program or server that is not there
    failure: str = ""  # an error, in one line
    traceback: str = field(default="", repr=False)

    @property
    def problem(self) -> str:
        """Why something is not measured."""
        return self.missing or self.failure


def measure(topic: Topic, *, rows: int) -> TopicResult:
    """Measure a topic. On KeyboardInterrupt, end its process before raising it."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(topic, rows, sender))
    started_at = time.monotonic()
    process.start()
    sender.close()
    try:
        result = _receive(receiver, topic)
    except BaseException:
        process.terminate()
        raise
    else:
        if result.failure:
            process.terminate()
    finally:
        _wait(process)
    result.seconds = time.monotonic() - started_at
    return result


def _receive(receiver: Connection, topic: Topic) -> TopicResult:
    """Receive figures until the topic has ended, or its time is over."""
    result = TopicResult(topic.name)
    ends_at = time.monotonic() + topic.limit_seconds
    while receiver.poll(max(0.0, ends_at - time.monotonic())):
        try:
            kind, content = receiver.recv()
        except EOFError:
            result.failure = "the process ended before it had measured all"
            return result
        if kind == "ended":
            return result
        if kind == "figure":
            result.figures.append(content)
        else:
            setattr(result, kind, content)
    result.failure = f"not finished after {topic.limit_seconds:.0f} seconds"
    return result


def _wait(process: BaseProcess) -> None:
    """Wait until the process has removed what it made, and ended."""
    process.join(REMOVAL_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def _measure(topic: Topic, rows: int, sender: Connection) -> None:
    """Measure in the new process; send each figure, and what went wrong."""
    end_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        for figure in topic.measure(rows=rows):
            sender.send(("figure", figure))
    except Missing as exc:
        sender.send(("missing", str(exc)))
    except Exception as exc:  # noqa: BLE001 -- the other topics are measured nevertheless
        sender.send(("failure", traceback.format_exception_only(exc)[0].partition("\n")[0][:LONGEST_LINE]))
        sender.send(("traceback", traceback.format_exc()))
    sender.send(("ended", None))


def _interrupt(received: int, _frame: FrameType | None) -> NoReturn:
    """Leave the topic through its `finally`; ignore further signals, which would interrupt that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _ignore)  # not SIG_IGN, about which Python complains if a signal is waiting
    raise SystemExit(128 + received)


def _ignore(_received: int, _frame: FrameType | None) -> None:
    pass
