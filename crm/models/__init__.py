"""Models: commands of the CRM, pop-ups with their counts, unknown ids and upload verification."""

from crm.models.command import Command
from crm.models.daily_popups import DailyPopups, DailyPopupsOfAll, PopupDelta
from crm.models.popup import Popup
from crm.models.unknown_id import UnknownId
from crm.models.upload_verification import UploadVerification

__all__ = [
    "Command",
    "DailyPopups",
    "DailyPopupsOfAll",
    "Popup",
    "PopupDelta",
    "UnknownId",
    "UploadVerification",
]
