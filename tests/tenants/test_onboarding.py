"""The slug of a new client."""

import pytest

from tenants.models import Tenant
from tenants.onboarding import free_slug


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Ромашка", "romashka"),
        ("ООО «Съёмный Щит»", "ooo-semnyy-shchit"),
        ("Цех №7 & Co", "tsekh-no7-co"),
        ("абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "abvgdeezhziyklmnoprstufkhtschshshchyeyuya"),
        ("花", "client"),
    ],
)
def test_slug_is_transliterated(db, name, slug):
    assert free_slug(name) == slug


def test_slug_in_use_gets_a_number(db):
    Tenant.objects.create(name="Ромашка", slug="romashka")
    assert free_slug("Ромашка") == "romashka-2"
