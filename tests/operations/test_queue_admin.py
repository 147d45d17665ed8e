"""The admin has no page of the queue's own tables: functions called by name, and pickles that a page would load."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success, Task
from picklefield import PickledObjectField

HOLDS_CODE = {"func", "function", "hook", "callback", "module", "import_path", "pickle"}


def shown_models():
    """Return the models that somebody may see or save in the admin, those of inlines too."""
    for model, model_admin in admin.site._registry.items():
        yield model
        yield from (inline.model for inline in model_admin.inlines)


def test_no_page_holds_a_function_or_a_pickle():
    for model in shown_models():
        assert not issubclass(model, Task | Schedule | OrmQ)
        assert model._meta.app_label != "django_q"
        for field in model._meta.get_fields():
            assert not isinstance(field, PickledObjectField | models.BinaryField), field
            assert not (isinstance(field, models.CharField | models.TextField) and field.name in HOLDS_CODE), field


@pytest.mark.parametrize("model", list(apps.get_app_config("django_q").get_models()), ids=lambda model: model.__name__)
@pytest.mark.parametrize("page", ["changelist", "add"])
def test_pages_of_the_queue_are_gone(admin_client, model, page):
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:django_q_{model._meta.model_name}_{page}")
    address = f"/admin/django_q/{model._meta.model_name}/{'add/' if page == 'add' else ''}"
    typed = {"func": "os.system", "name": "x", "schedule_type": "O", "repeats": "-1", "args": "'true'"}
    typed |= {"next_run_0": "2026-01-01", "next_run_1": "00:00:00", "action": "resubmit_task"}
    assert {admin_client.get(address).status_code, admin_client.post(address, typed).status_code} == {404}
    assert not Schedule.objects.filter(func="os.system").exists()


def test_pages_of_rows_of_the_queue_are_gone(admin_client):
    at = timezone.now()
    schedule = Schedule.objects.create(func="a.b")
    task = Task.objects.create(id="1" * 32, name="x", func="a.b", started=at, stopped=at, success=False)
    for model, pk in ((Schedule, schedule.pk), (Failure, task.pk), (Success, task.pk)):
        for page in ("", "change/", "delete/", "history/"):
            assert admin_client.get(f"/admin/django_q/{model._meta.model_name}/{pk}/{page}").status_code == 404


def test_no_page_leads_to_the_queue(admin_client):
    assert "django_q" not in admin_client.get(reverse("admin:index")).content.decode()
    assert admin_client.get("/admin/django_q/").status_code == 404
