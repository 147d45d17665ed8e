"""Finds the changes of models that need a migration: labels and help texts need none."""

from typing import Any

from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector

FIELD_TEXTS = ("verbose_name", "help_text")
MODEL_TEXTS = ("verbose_name", "verbose_name_plural")


class TextIgnoringAutodetector(MigrationAutodetector):
    def deep_deconstruct(self, obj: Any) -> Any:
        deconstructed = super().deep_deconstruct(obj)
        if isinstance(obj, models.Field):
            path, args, kwargs = deconstructed
            return path, args, {name: value for name, value in kwargs.items() if name not in FIELD_TEXTS}
        return deconstructed

    def generate_altered_options(self) -> None:
        for state in (self.from_state, self.to_state):
            for model in state.models.values():
                for name in MODEL_TEXTS:
                    model.options.pop(name, None)
        super().generate_altered_options()
