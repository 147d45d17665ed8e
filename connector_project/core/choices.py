"""The base of stored choices."""

from typing import Any

from django.db import models


class Choices(models.TextChoices):
    """Stored codes with their labels. Fields take `choices=Kind.as_choices`: a reworded label makes no migration."""

    @classmethod
    def as_choices(cls) -> list[tuple[Any, Any]]:
        return cls.choices
