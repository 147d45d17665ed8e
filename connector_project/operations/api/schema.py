"""The OpenAPI schema: parameters, responses and error responses."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

_WRONG = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
_PROBLEMS = {
    401: _("key missing, unknown or revoked"),
    403: _("the maker of a staff key may not view these rows"),
    404: _("page or row not found"),
    429: _("too many requests per minute with this key"),
}


class Problem(serializers.Serializer[Any]):
    """An error."""

    detail = serializers.CharField()


class ResourceSchema(AutoSchema):
    view: Any

    def get_description(self) -> str:  # type: ignore[override]
        return str(self.view.summary)

    def get_response_serializers(self) -> Any:
        """Add the error responses."""
        answers: dict[int, Any] = {200: super().get_response_serializers()}
        if self.view.action == "list":
            answers[400] = OpenApiResponse(_WRONG, description=str(_("errors by parameter")))
        return answers | {code: OpenApiResponse(Problem, description=str(text)) for code, text in _PROBLEMS.items()}


def public_endpoints_only(endpoints: list[Any]) -> list[Any]:
    """Leave out webhooks and callbacks."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/")]
