"""Secrets that others present to us: looked up by their digest, and encrypted if they must be shown again."""

import hashlib
import secrets
from typing import Any

from django.db import models
from django.db.models.lookups import Exact

from connector_project.core.encrypted_fields import UndecryptableText

DIGEST_LENGTH = 64
# Shown in place of a secret whose encryption key is lost; no secret is like this.
LOST = "undecryptable"


def generate_token() -> str:
    """Return a URL-safe secret of 256 random bits."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return what a secret is looked up by. It has at least 160 random bits, so a plain hash is enough."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def lost() -> str:
    """Return the text shown for a secret that cannot be decrypted; looking it up still works."""
    return LOST


class DigestField(models.CharField[str | None, str | None]):
    """The digest of a secret, unique over all rows; the lookup `of` takes the secret: `filter(hook_digest__of=hook)`.

    With `of`, the secret is in that encrypted field of the row, and saving the row computes its digest. Where only
    some columns are written, name both: `update_fields=["hook", "hook_digest"]`, `.update(**columns("hook", token))`.
    """

    def __init__(self, *args: Any, of: str = "", **options: Any) -> None:
        super().__init__(*args, **{"max_length": DIGEST_LENGTH, "unique": True, "editable": False} | options)
        self.of = of

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, options | ({"of": self.of} if self.of else {})

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        token = getattr(model_instance, self.of) if self.of else None
        if token is not None and not isinstance(token, UndecryptableText):
            setattr(model_instance, self.attname, digest(token))
        return super().pre_save(model_instance, add)


@DigestField.register_lookup
class DigestOf(Exact):
    """Finds the row of a secret that somebody presents."""

    lookup_name = "of"

    def get_prep_lookup(self) -> Any:
        return digest(self.rhs)

    def get_rhs_op(self, connection: Any, rhs: str) -> str:
        return f"= {rhs}"


def columns(name: str, token: str) -> dict[str, str]:
    """Return the values of both columns of a secret, for `QuerySet.update`."""
    return {name: token, f"{name}_digest": digest(token)}
