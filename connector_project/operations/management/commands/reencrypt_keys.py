"""Re-encrypts every encrypted column with the first of FIELD_ENCRYPTION_KEYS, so that old keys can be removed."""

from typing import Any

from django.apps import apps
from django.db import models, transaction

from connector_project.core.encrypted_fields import EncryptedTextField, Undecryptable, UndecryptableText
from connector_project.operations.management.base import JsonCommand

BATCH = 500


class Command(JsonCommand):
    help = "Re-encrypt every stored key with the first of FIELD_ENCRYPTION_KEYS."

    def handle(self, *_args: Any, **_options: Any) -> None:
        for model in apps.get_models():
            names = [field.name for field in model._meta.concrete_fields if isinstance(field, EncryptedTextField)]
            if names:
                self.print_json(model=model._meta.label, rows=_reencrypt(model, names))


def _reencrypt(model: type[models.Model], names: list[str]) -> int:
    """Rewrite the columns row by row; rows changed meanwhile already use the first key. Raises Undecryptable."""
    rows = 0
    for pk in model._default_manager.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=BATCH):
        with transaction.atomic():
            row = model._default_manager.select_for_update().only("pk", *names).filter(pk=pk).first()
            if row is not None:
                if any(isinstance(getattr(row, name), UndecryptableText) for name in names):
                    raise Undecryptable(f"Row {pk} cannot be decrypted: FIELD_ENCRYPTION_KEYS lacks its key.")
                row.save(update_fields=names)
                rows += 1
    return rows
