"""How the API describes itself: parameters, answers, and what is answered when something is wrong."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

_WRONG = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
_PROBLEMS = {
    401: _("no key, or one that is unknown or revoked"),
    404: _("no such page, or no such row"),
    429: _("too many requests a minute with this key"),
}


class Problem(serializers.Serializer[Any]):
    """Why an answer is not what was asked for."""

    detail = serializers.CharField()


class ResourceSchema(AutoSchema):
    """What is said of a resource."""

    view: Any

    def get_override_parameters(self) -> list[Any]:
        return [self.view.query] if self._is_list() else []

    def get_tags(self) -> list[str]:
        return [self.view.basename]

    def get_description(self) -> str:  # type: ignore[override]
        return str(self.view.about)

    def get_response_serializers(self) -> Any:
        """Name every answer: a program that reads us has to know them all."""
        answers: dict[int, Any] = {200: super().get_response_serializers()}
        if self._is_list():
            answers[400] = OpenApiResponse(_WRONG, description=str(_("what is wrong, by parameter")))
        return answers | {code: OpenApiResponse(Problem, description=str(says)) for code, says in _PROBLEMS.items()}

    def _is_list(self) -> bool:
        return bool(self.view.action == "list")


def only_ours(endpoints: list[Any]) -> list[Any]:
    """Keep the other addresses out: hooks are described by those who call them."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/")]
