"""Who receives alerts, and in which language: that of each address in ALARM_EMAILS, else ALARM_LANGUAGE."""

from collections import defaultdict

from django.conf import settings

from connector_project.operations.models import AlertDelivery

Channel = AlertDelivery.Channel


def outlets() -> list[tuple[AlertDelivery.Channel, str]]:
    """Return the configured channels, each with the languages of its receivers: one message for each pair."""
    mails = [(Channel.MAIL, language) for language in _addresses()]
    return [*mails, (Channel.WEBHOOK, settings.ALARM_LANGUAGE)] if settings.ALARM_WEBHOOK_URL else mails


def is_enabled(alert: AlertDelivery) -> bool:
    """Whether somebody still receives this message."""
    return bool(settings.ALARM_WEBHOOK_URL if alert.channel == Channel.WEBHOOK else addresses(alert))


def addresses(alert: AlertDelivery) -> list[str]:
    """Return the mail addresses of this message's language."""
    return _addresses().get(alert.language, [])


def _addresses() -> dict[str, list[str]]:
    """Return the mail addresses by language, in the order in which they are configured."""
    found: dict[str, list[str]] = defaultdict(list)
    for entry in settings.ALARM_EMAILS:
        language, colon, address = entry.partition(":")
        found[language if colon else settings.ALARM_LANGUAGE].append(address if colon else entry)
    return dict(found)
