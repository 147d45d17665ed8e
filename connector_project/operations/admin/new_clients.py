"""Several new clients from a CSV: upload or paste, preview, confirm; the links are shown once."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from connector_project.core import tabular
from connector_project.core.admin.base import BaseAdmin, page
from connector_project.operations.onboarding import client_csv, new_clients
from connector_project.operations.onboarding.new_clients import Line
from crm import integration_module
from tenants import datetime_display, rule_presets
from tenants.models import Tenant
from tenants.visibility import Reader, visible_to

SALT = "links of new clients"
LINKS_SECONDS = 60 * 60  # how long the page of the created clients offers their links as a file
PERMISSION = "tenants.add_tenant"
TEMPLATES = "admin/tenants/tenant"


class ListForm(forms.Form):
    """The list of new clients: a file, or else the text."""

    rules = forms.ChoiceField(label=_("Transfer rules of rows that name none"), initial=rule_presets.DEFAULT)
    file = forms.FileField(label=_("CSV file"), required=False, allow_empty_file=True)
    text = forms.CharField(
        label=_("or the text"),
        required=False,
        max_length=client_csv.MAX_BYTES,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 10, "cols": 100, "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, reader: Reader, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reader = reader
        self.rows: list[dict[str, str]] = []
        self.fields["rules"].choices = rule_presets.choices(reader)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        try:
            if uploaded := cleaned.get("file"):
                self._show(client_csv.decode(uploaded.read()))
                cleaned["text"] = self.data["text"]
            self.rows = client_csv.parse(cleaned.get("text") or "")
        except client_csv.UnreadableCsv as exc:
            if isinstance(exc, client_csv.HasKeys):
                self._show("")
            self.add_error(None, str(exc))
        return cleaned

    def _show(self, text: str) -> None:
        """Let the page show this text, to be corrected there."""
        data: Any = self.data.copy()  # type: ignore[attr-defined]  # a QueryDict
        data["text"] = text
        self.data = data


class NewClientsMixin(BaseAdmin):
    """Adds the pages; each is for those who may add a client."""

    @page("from-file/", name="tenants_tenant_from_file", permission=PERMISSION)
    def from_file_view(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "POST":
            return self._list_page(request, ListForm(reader=request.user))
        form = ListForm(request.POST, request.FILES, reader=request.user)
        if not form.is_valid():
            return self._list_page(request, form)
        lines = new_clients.read(form.rows, reader=request.user, rules=form.cleaned_data["rules"])
        if "confirm" not in request.POST:
            return self._list_page(request, form, lines=lines)
        new_clients.create(lines, by=request.user, now=timezone.now())
        return self._result_page(request, lines)

    @page("from-file/links/", name="tenants_tenant_from_file_links", permission=PERMISSION, post_only=True)
    def from_file_links_view(self, request: HttpRequest) -> HttpResponseBase:
        """Return the links of the clients just created as a file, to the person who created them."""
        pks = _signed_pks(request)
        if pks is None:
            self.message_user(request, gettext("The links are offered for an hour. Create new ones."), "warning")
            return redirect("admin:tenants_tenant_changelist")
        rows = visible_to(Tenant.objects.filter(pk__in=pks, offboarded_at=None), request.user).order_by("name", "pk")
        answer = HttpResponse(tabular.BYTE_ORDER_MARK, content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="links.csv"'
        cells = ([row.name, row.slug, integration_module.activation_url(row), _until(row)] for row in rows)
        answer.writelines(tabular.csv_lines(["name", "slug", "link", "valid_until"], cells))
        return answer

    def _list_page(self, request: HttpRequest, form: ListForm, *, lines: Sequence[Line] = ()) -> HttpResponse:
        context = {"form": form, "lines": lines, "good": [line for line in lines if not line.problems]}
        return self.render_page(
            request,
            f"{TEMPLATES}/from_file.html",
            title=gettext("New clients from a file"),
            previewed=client_csv.write([line.row for line in lines]) if lines else "",
            headers=client_csv.HEADERS.items(),
            presets=rule_presets.PRESETS.items(),
            max_rows=client_csv.MAX_ROWS,
            **context,
        )

    def _result_page(self, request: HttpRequest, lines: Sequence[Line]) -> HttpResponse:
        created = [line.tenant for line in lines if line.tenant]
        signed = signing.dumps({"pks": [tenant.pk for tenant in created], "user": request.user.pk}, salt=SALT)
        links = [
            {"line": line, "link": integration_module.activation_url(line.tenant), "until": _until(line.tenant)}
            for line in lines
            if line.tenant
        ]
        return self.render_page(
            request,
            f"{TEMPLATES}/from_file_done.html",
            title=gettext("New clients from a file"),
            links=links,
            refused=[line for line in lines if line.problems],
            signed=signed if created else "",
        )


def _until(tenant: Tenant) -> str:
    return datetime_display.day(tenant, tenant.activation_expires_at or tenant.created_at)


def _signed_pks(request: HttpRequest) -> list[int] | None:
    """Return the clients that the page was made for; None if it is too old, or was somebody else's."""
    try:
        signed = signing.loads(request.POST.get("signed", ""), salt=SALT, max_age=LINKS_SECONDS)
    except signing.BadSignature:
        return None
    return list(signed["pks"]) if signed["user"] == request.user.pk else None
