"""API keys in the admin: created, shown once, revoked."""

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from connector_project.readonly import ReadOnlyAdmin
from tenants import clock, journal, tokens
from tenants.models import ApiToken, Change


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    title_of_new = _("New API key")
    columns = (clock.short(ApiToken, "made_at"), "made_by", clock.short(ApiToken, "used_at"), "is_good")
    list_display = ("name", "whose", *columns)
    list_filter = ("tenant",)
    list_select_related = ("tenant", "made_by")
    empty_value_display = "–"  # label of the filter for keys without a client
    show_facets = admin.ShowFacets.NEVER
    fields = ("tenant", "name")
    moments = tuple(clock.whole(ApiToken, name) for name in ("made_at", "used_at", "revoked_at"))
    shown = ("name", "whose", "made_by", *moments)
    actions = ("revoke",)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.fields if obj is None else self.shown

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return () if obj is None else self.shown

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("tenants.add_apitoken")

    def title_of(self, obj: ApiToken) -> str:
        return obj.name

    @admin.display(description=_("client"), ordering="tenant")
    def whose(self, token: ApiToken) -> str:
        return str(token.tenant or _("all clients"))

    @admin.display(description=_("valid"), boolean=True, ordering="revoked_at")
    def is_good(self, token: ApiToken) -> bool:
        return token.revoked_at is None

    @transaction.atomic
    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if change:
            return  # Nothing of a key can be changed.
        now, user = timezone.now(), request.user
        created, key = tokens.make(obj.tenant, obj.name, by=user, now=now)  # type: ignore[arg-type]
        obj.pk, obj.made_at = created.pk, created.made_at
        journal.note(obj.tenant, Change.Verb.TOKEN_MADE, now=now, by=user, part=obj.name)
        message = gettext("The API key, shown only now. Copy it; programs send it as “Authorization: Bearer …”.")
        messages.success(request, format_html('{}<br><code class="desk-link">{}</code>', message, key))

    @admin.action(description=_("Revoke the selected keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        revoked = [token for token in queryset.select_related("tenant") if _revoke(request, token)]
        message = ngettext("%(count)d key is revoked.", "%(count)d keys are revoked.", len(revoked))
        self.message_user(request, message % {"count": len(revoked)}, messages.SUCCESS)


@transaction.atomic
def _revoke(request: HttpRequest, token: ApiToken) -> bool:
    now = timezone.now()
    is_revoked = tokens.revoke(token, now=now)
    if is_revoked:
        journal.note(token.tenant, Change.Verb.TOKEN_ENDED, now=now, by=request.user, part=token.name)
    return is_revoked
