"""The rights our key needs in the CRM, no more: they are asked for in the marketplace, and each is checked."""

from crm.retailcrm.types import Rights

# Scope, and the patterns of methods that an old key has in its place, one of them: version 4 has methods of its own.
SCOPES = {
    "integration_read": (
        "/api/integration-modules/{code}",
        "/api/telephony/setting/{code}",
    ),  # extensions that people typed into our module
    "integration_write": (
        "/api/integration-modules/{code}/edit",
        "/api/telephony/setting/{code}/edit",
    ),  # registering it
    "telephony_read": ("/api/telephony/manager",),  # whose customer calls; whether another telephony is at work
    "telephony_write": ("/api/telephony/calls/upload",),  # cards and history
    "user_read": ("/api/users",),  # linking people
    "user_write": ("/api/users/{id}/status",),  # statuses that go both ways
    "reference_read": ("/api/settings",),  # the account's time zone
}
# Without these nothing can be switched on; what the others are for fails alone.
INDISPENSABLE = ("integration_read", "integration_write", "telephony_write", "user_read")


def missing(rights: Rights) -> list[str]:
    """Return the scopes this key surely lacks."""
    return [scope for scope, patterns in SCOPES.items() if rights.lacks(scope, *patterns)]
