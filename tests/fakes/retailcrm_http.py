"""Requests, answers and errors of the fake retailCRM."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"

BLANK = "This value should not be blank."
NOT_A_CHOICE = "The value you selected is not a valid choice."
TOO_LONG = "This value is too long."
INVALID = "This value is not valid."
NOT_A_URL = "This value is not a valid URL."
NOT_A_DATE = "This value is not a valid datetime."

BAD_ENTITY = "Errors in the entity format"
BAD_INPUT = "Errors in the input parameters"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True)
class ApiRequest:
    """One received request, for assertions; JSON form fields are decoded."""

    host: str
    method: str
    path: str
    form: dict[str, Any]
    query: dict[str, str]
    key_in_header: bool
    at: datetime
    status: int


@dataclass(frozen=True)
class Incoming:
    """One request on its way to the method that answers it."""

    host: str
    method: str
    path: str
    query: dict[str, str]
    fields: dict[str, Any]
    header_key: str | None
    at: datetime
    version: str = ""
    args: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str | None:
        """The API key, from the header, the query or the form."""
        value = self.header_key or self.query.get("apiKey") or self.fields.get("apiKey")
        return value if isinstance(value, str) else None


class ApiError(Exception):
    """An error answer: status, message, and errors by field."""

    def __init__(self, status: int, message: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = dict(errors or {})

    def answer(self, *, errors_as_list: bool) -> Answer:
        """Return the error in one of the two shapes in which the vendor sends `errors`."""
        fields: dict[str, Any] = {"success": False, "errorMsg": self.message}
        if self.errors:
            lines = [f"{name}: {text}" for name, text in self.errors.items()]
            fields["errors"] = lines if errors_as_list else self.errors
        return as_json(self.status, fields)


def as_json(status: int, fields: Mapping[str, Any]) -> Answer:
    return Answer(status=status, headers={"Content-Type": JSON_TYPE}, body=json.dumps(fields, ensure_ascii=False))


def done(**fields: Any) -> Answer:
    """Answer with success."""
    return as_json(200, {"success": True, **fields})


def saved(*, is_new: bool, **fields: Any) -> Answer:
    """Answer that something was created or changed."""
    return as_json(201 if is_new else 200, {"success": True, **fields})


def page(status: int, title: str) -> Answer:
    """Answer with an HTML page, as the vendor's web server does."""
    body = f"<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center></body></html>"
    return Answer(status=status, headers={"Content-Type": HTML_TYPE}, body=body)


def plain(status: int, text: str) -> Answer:
    """Answer with plain text."""
    return Answer(status=status, headers={"Content-Type": "text/plain; charset=utf-8"}, body=text)
