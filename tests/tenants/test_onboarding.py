"""The short name a new client gets."""

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
def test_name_is_written_in_latin_letters(db, name, slug):
    assert free_slug(name) == slug


def test_second_client_of_a_name_gets_a_number(db):
    Tenant.objects.create(name="Ромашка", slug="romashka")
    assert free_slug("Ромашка") == "romashka-2"
