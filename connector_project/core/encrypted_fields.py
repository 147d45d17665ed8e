"""A model field whose text is encrypted in the database; the first key encrypts, all keys decrypt."""

import functools
from collections.abc import Callable
from typing import Any, NoReturn, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class Undecryptable(ImproperlyConfigured):
    """A text that cannot be decrypted was used: FIELD_ENCRYPTION_KEYS lacks the key that encrypted it."""


def _fernet() -> MultiFernet:
    return _fernet_for(tuple(settings.FIELD_ENCRYPTION_KEYS))


@functools.cache
def _fernet_for(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def encrypt(text: str) -> str:
    """Return the text encrypted with the first key."""
    return _fernet().encrypt(text.encode()).decode()


def decrypt(token: str) -> str | None:
    """Return the text of what `encrypt` returned; None if no key fits."""
    try:
        return _decrypt(tuple(settings.FIELD_ENCRYPTION_KEYS), token)
    except InvalidToken:
        return None


# A list of calls has the same few clients in each row.
@functools.lru_cache(maxsize=2048)
def _decrypt(keys: tuple[str, ...], token: str) -> str:
    return _fernet_for(keys).decrypt(token.encode()).decode()


class UndecryptableText(str):
    """What a row has instead of a text that cannot be decrypted. Saving writes what was read: the key may be found."""

    __slots__ = ("token",)
    token: str

    @classmethod
    def create(cls, token: str, text: str = "") -> Self:
        value = cls(text)
        value.token = token
        return value


class UnusableText(UndecryptableText):
    """Raises Undecryptable as soon as it is used: only its own row fails, not the query that reads it."""

    __slots__ = ()

    def _use(self, *_args: object) -> NoReturn:
        raise Undecryptable("A stored text cannot be decrypted: FIELD_ENCRYPTION_KEYS lacks the key that encrypted it.")

    __bool__ = __len__ = __iter__ = __str__ = __format__ = __add__ = __contains__ = __getitem__ = _use
    encode: Any = _use


class EncryptedTextField(models.TextField[str, str]):
    """Stores text as a Fernet token; empty text stays empty, so SQL can query for “not set”.

    A text that cannot be decrypted is read as what `if_undecryptable` returns; without that, using it raises.
    """

    def __init__(self, *args: Any, if_undecryptable: Callable[[], str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.if_undecryptable = if_undecryptable  # not in migrations: the database does not know of it

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, UndecryptableText):
            return value.token
        text = super().get_prep_value(value)
        return encrypt(text) if text else text

    def from_db_value(self, value: str | None, *_args: object) -> str | None:
        if not value:
            return value
        text = decrypt(value)
        if text is not None:
            return text
        if self.if_undecryptable is None:
            return UnusableText.create(value)
        return UndecryptableText.create(value, self.if_undecryptable())
