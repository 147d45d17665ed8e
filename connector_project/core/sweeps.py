"""Sweeps of several parts: what one part cannot do must not stop the others."""

from collections.abc import Callable
from typing import Any

from connector_project.core import logging

logger = logging.logger(__name__)


def run_all(*parts: Callable[..., object], **arguments: Any) -> None:
    """Call every part with the arguments, whatever another one raises.

    Then the first error is raised, for the caller to log or to retry.
    """
    errors = list[Exception]()
    for part in parts:
        try:
            part(**arguments)
        except Exception as exc:  # noqa: BLE001 -- raised or logged below
            errors.append(exc)
    for further in errors[1:]:
        logger.error("another part of a sweep failed", exc_info=further)
    if errors:
        raise errors[0]
