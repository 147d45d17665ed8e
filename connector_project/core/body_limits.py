"""How large a request's body may be, by address: decided from the head alone, before anything of the body is read."""

from urllib.parse import unquote

KIBIBYTE = 1024
# Machines' addresses, the sign-in and every other page: their forms have a few fields.
LARGEST_BODY = 64 * KIBIBYTE
# The page of a tenant with a thousand employees is one form; DATA_UPLOAD_MAX_MEMORY_SIZE is the same.
LARGEST_STAFF_BODY = 2560 * KIBIBYTE

LONGEST_LENGTH = 12  # digits of a Content-Length
STAFF_PAGES = "/admin/"
BEFORE_SIGN_IN = ("/admin/login/",)


def largest_body(path: str) -> int:
    """Return the limit in bytes for a decoded path without its query."""
    if path.startswith(STAFF_PAGES) and not path.startswith(BEFORE_SIGN_IN):
        return LARGEST_STAFF_BODY
    return LARGEST_BODY


def largest_body_of_target(target: str) -> int:
    """Return the limit for a request's target as it stands in the first line."""
    return largest_body(unquote(target.partition("?")[0]))


def is_within(length: str, limit: int) -> bool:
    """Return whether a stated Content-Length is a number up to the limit."""
    return length.isascii() and length.isdigit() and len(length) <= LONGEST_LENGTH and int(length) <= limit
