"""Redacts secrets in texts: keys, hooks, clientIds, links, passwords in URLs, what follows a secret's name."""

import re

# A slash may be escaped in JSON and percent-encoded in a URL.
_SLASH = r"(?:\\?/|%2[Ff])"
_SECRET_PATHS = re.compile(
    rf"({_SLASH}(?:hooks{_SLASH}(?:uis|retailcrm)|activate|reconnect|records){_SLASH})(?:(?!{_SLASH})[^\s\"'?&])+"
)
_NAMES = (
    "clientId|client_id|apiKey|api_key|access_token|keys?|tokens?|secrets?|secret_key|password|passwd|pwd|hook"
    "|sessionid|session_key|dsn"
)
_NAME = re.compile(rf"(?:{_NAMES}|authorization|cookie)$", re.IGNORECASE)
# What stands for a secret after its name: to the end of the quotes, or to the next separator.
_VALUE = r"(?:(\\*[\"'])[^\"'\\]+|[^&\s\\\"',}\])]+)"
_PARAMETERS = re.compile(rf"((?:{_NAMES})[\\\"']*\s*(?:=|%3[Dd]|:(?!//))\s*){_VALUE}", re.IGNORECASE)
# A pair, as headers are shown: ("X-API-KEY", "…").
_PAIRS = re.compile(rf"((?:{_NAMES})\\*[\"'],\s*b?)(\\*[\"'])[^\"'\\]+", re.IGNORECASE)
# An option of a command: --crm-key X, '--crm-key', 'X'; a file's name is no secret.
_OPTIONS = re.compile(
    rf"(--[a-z_-]{{0,40}}?(?:key|token|secret|password|hook)s?[\\\"']?,?(?:\s+|=)){_VALUE}", re.IGNORECASE
)
# Authorization: Bearer X; the scheme also stands alone.
_AUTHORIZATION = re.compile(r"((?i:Bearer)\s+|(?i:Basic)\s+(?=[a-z+/]*[A-Z0-9=]))[\w.~+/-]{6,}=*")
_HEADERS = re.compile(
    r"((?:Authorization|Set-Cookie|Cookie)[\\\"']*\s*[=:]\s*[\\\"']*(?:Bearer\s+|Basic\s+)?)[^\s\\\"',}][^\\\"'\r\n]*",
    re.IGNORECASE,
)
# A name that is no English word is followed by its value; after an ordinary word, only what looks like a secret.
_WORDS = "is|was|has|not|of|for|in|and|or|to|from|expired|invalid|missing|unknown|wrong|revoked|required|must|cannot"
_AFTER_BLANK = re.compile(
    rf"(\b(?:clientId|client_id|apiKey|api_key|access_token)\s+)(?!(?:{_WORDS})\b)[\w.~+/-]{{3,}}=*"
    rf"|(\b(?:key|token|secret|password|hook)\s+)(?=[\w.~+/-]*\d)[\w.~+/-]{{16,}}=*",
    re.IGNORECASE,
)
# postgres://user:password@host, redis://:password@host, https://user@host; a password may have a slash in it.
_CREDENTIALS = re.compile(
    r"(?<=://)[^\s/\"'<>@]{0,200}(?:@[^\s/\"'<>@]{0,100})?@|(?<=://)[^\s/\"'<>@:]{0,100}:[^\s\"'<>@]{0,200}@"
)
# Secrets that are known by their form: Fernet ciphertext, secrets of Standard Webhooks.
_FORMS = re.compile(r"\bgAAAA[\w-]{20,}=*|\bwhsec_[\w+/-]{8,}=*")
# Bounded, so that repeated prefixes cannot make matching quadratic.
_RECORDINGS = re.compile(
    rf"https?(?::|%3[Aa]){_SLASH}{{2}}[^\s\"']{{0,300}}(?:{_SLASH}system{_SLASH}media{_SLASH}|media\.)[^\s\"']*"
)
# Any host: a tenant may keep recordings on their own host.
_LINKS = re.compile(r"(file_links?[\\\"']*\s*[=:]\s*\[?\s*[\\\"']*)https?[^\s\"'&]+")


def redact_secrets(text: str) -> str:
    """Return a text with secrets removed; phone numbers stay, for readers who may see them."""
    text = _SECRET_PATHS.sub(r"\1***", text)
    text = _RECORDINGS.sub("[recording]", _LINKS.sub(r"\1[recording]", text))
    text = _FORMS.sub("***", _CREDENTIALS.sub("***@", text))
    text = _HEADERS.sub(r"\1***", _AUTHORIZATION.sub(r"\1***", text))
    for pattern in (_PARAMETERS, _PAIRS, _OPTIONS):
        text = pattern.sub(r"\1\2***", text)
    return _AFTER_BLANK.sub(r"\1\2***", text)


def is_secret_name(name: str) -> bool:
    """Return whether what has this name is a secret."""
    return _NAME.search(name) is not None
