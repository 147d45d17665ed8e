"""Validation of CRM account URLs."""

import pytest

from connector_project.core import http_client
from tenants.account_url import validation_error

DOMAINS = ("retailcrm.ru", "simla.com")


def error_of(address: str) -> str:
    return validation_error(address, domains=DOMAINS, is_trusted=False)


@pytest.mark.parametrize(
    "address",
    [
        "https://shop.retailcrm.ru",
        "https://shop.retailcrm.ru/",
        "https://my-shop-2.simla.com",
        "HTTPS://Shop.RetailCRM.ru",
        "https://a.simla.com",
        f"https://{'a' * 63}.simla.com",
    ],
)
def test_account_url_is_valid(address):
    assert error_of(address) == ""


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", "NOT_HTTPS"),
        ("shop.retailcrm.ru", "NOT_HTTPS"),
        ("http://shop.retailcrm.ru", "NOT_HTTPS"),
        ("ftp://shop.retailcrm.ru", "NOT_HTTPS"),
        ("javascript://shop.retailcrm.ru", "NOT_HTTPS"),
        ("//shop.retailcrm.ru", "NOT_HTTPS"),
        ("https://shop.retailcrm.ru:443", "NOT_BARE"),
        ("https://shop.retailcrm.ru//", "NOT_BARE"),
        ("https://shop.retailcrm.ru:8443", "NOT_BARE"),
        ("https://shop.retailcrm.ru:0", "NOT_BARE"),
        ("https://shop.retailcrm.ru:", "NOT_BARE"),
        ("https://shop.retailcrm.ru:abc", "NOT_BARE"),
        ("https://shop.retailcrm.ru:99999", "NOT_BARE"),
        ("https://user@shop.retailcrm.ru", "NOT_BARE"),
        ("https://user:word@shop.retailcrm.ru", "NOT_BARE"),
        ("https://:word@shop.retailcrm.ru", "NOT_BARE"),
        ("https://@shop.retailcrm.ru", "NOT_BARE"),
        ("https://evil.com\\@shop.retailcrm.ru", "NOT_BARE"),
        ("https://shop.retailcrm.ru/admin", "NOT_BARE"),
        ("https://shop.retailcrm.ru/api/v5", "NOT_BARE"),
        ("https://shop.retailcrm.ru?x=1", "NOT_BARE"),
        ("https://shop.retailcrm.ru?", "NOT_BARE"),
        ("https://shop.retailcrm.ru#x", "NOT_BARE"),
        ("https://shop.retailcrm.ru#", "NOT_BARE"),
        ("https://shop.retailcrm.ru/\\evil.com", "NOT_BARE"),
        ("https://shop.retailcrm.ru\n", "NOT_BARE"),
        ("https://shop.retail\tcrm.ru", "NOT_BARE"),
        ("https://retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://evilretailcrm.ru", "NOT_A_DOMAIN"),
        ("https://shop.evilretailcrm.ru", "NOT_A_DOMAIN"),
        ("https://retailcrm.ru.evil.com", "NOT_A_DOMAIN"),
        ("https://shop.retailcrm.ru.evil.com", "NOT_A_DOMAIN"),
        ("https://shop.retailcrm.ru.", "NOT_A_DOMAIN"),
        ("https://shop.retailcrm.rus", "NOT_A_DOMAIN"),
        ("https://a.shop.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://retailcrm.ru@evil.com", "NOT_BARE"),
        ("https://127.0.0.1", "NOT_A_DOMAIN"),
        ("https://[::1]", "NOT_BARE"),
        ("https://2130706433", "NOT_A_DOMAIN"),
        ("https://169.254.169.254", "NOT_A_DOMAIN"),
        ("https://localhost", "NOT_A_DOMAIN"),
        ("https://[::1", "NOT_A_DOMAIN"),
        ("https://evil.com／.retailcrm.ru", "NOT_A_DOMAIN"),
        # URL parsers disagree about these: requests would go to "localhost", "x", …
        ("https://localhost\\.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://2130706433\\.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://x%2f.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://a b.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://*.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://-a.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://a-.retailcrm.ru", "NOT_A_DOMAIN"),
        ("https://магазин.retailcrm.ru", "NOT_A_DOMAIN"),
        (f"https://{'a' * 64}.retailcrm.ru", "NOT_A_DOMAIN"),
    ],
)
def test_other_url_is_invalid(address, expected):
    assert error_of(address) == expected
    assert not http_client.is_trusted(address)


def test_trusted_url_is_valid():
    assert validation_error("http://127.0.0.1:9000", domains=DOMAINS, is_trusted=True) == ""


def test_url_without_allowed_domains_is_invalid():
    assert validation_error("https://shop.retailcrm.ru", domains=[], is_trusted=False) == "NOT_A_DOMAIN"


def test_letter_that_becomes_a_latin_one_in_lower_case_is_refused():
    assert error_of("https://shop\u212a.retailcrm.ru") == "NOT_A_DOMAIN"
