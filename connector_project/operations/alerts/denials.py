"""Why a vendor denies access, in words, and who must act."""

from connector_project.core.check_results import Responsible
from connector_project.core.redaction import redact
from tenants.access_errors import AccessError


def describe(code: str, answered: str = "") -> str:
    """Return what must be changed to get access back; the vendor's text for an unknown code."""
    return str(AccessError(code).label) if code in set(AccessError) - {""} else redact(answered)


def responsible(code: str) -> Responsible:
    others = {AccessError.ACCOUNT_INACTIVE: Responsible.UIS, AccessError.KEY_UNDECRYPTABLE: Responsible.OPERATOR}
    return others.get(AccessError(code), Responsible.CLIENT) if code in set(AccessError) else Responsible.CLIENT
