"""The API scopes our key needs, and no more: requested in the marketplace and checked."""

from crm.retailcrm.types import Rights

# Scope -> method patterns. An old key has patterns instead of scopes; one is enough, version 4 has other methods.
SCOPES = {
    "integration_read": (
        "/api/integration-modules/{code}",
        "/api/telephony/setting/{code}",
    ),  # extensions that users entered in our module
    "integration_write": (
        "/api/integration-modules/{code}/edit",
        "/api/telephony/setting/{code}/edit",
    ),  # registering it
    "telephony_read": ("/api/telephony/manager",),  # a caller's manager; whether another telephony is active
    "telephony_write": ("/api/telephony/calls/upload",),  # pop-ups and history
    "user_read": ("/api/users",),  # linking employees
    "user_write": ("/api/users/{id}/status",),  # status sync in both directions
    "reference_read": ("/api/settings",),  # the account's time zone
}
# Required for activation; without one of the others only its feature fails.
REQUIRED = ("integration_read", "integration_write", "telephony_write", "user_read")


def missing(rights: Rights) -> list[str]:
    """Return the scopes this key certainly lacks."""
    return [scope for scope, patterns in SCOPES.items() if rights.lacks(scope, *patterns)]
