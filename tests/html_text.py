"""Reads pages as a browser would: form fields, error messages, visible text."""

import html as entities
import re
from typing import Any


def fields(html: str) -> dict[str, Any]:
    """Return the form fields that a browser would submit."""
    form: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", html):
        name = re.search(r'name="([^"]+)"', tag)
        kind = re.search(r'type="([^"]+)"', tag)
        if not name or (kind and kind.group(1) in {"submit", "button"}):
            continue
        if kind and kind.group(1) == "checkbox" and " checked" not in tag:
            continue
        value = re.search(r'value="([^"]*)"', tag)
        form[name.group(1)] = value.group(1) if value else ("on" if kind and kind.group(1) == "checkbox" else "")
    for tag, name, inner in re.findall(r'(<select name="([^"]+)"[^>]*>)(.*?)</select>', html, re.DOTALL):
        chosen = re.findall(r'<option value="([^"]*)" selected', inner)
        if "multiple" not in tag:
            form[name] = chosen[0] if chosen else ""
        elif chosen:
            form[name] = chosen
    for name, inner in re.findall(r'<textarea name="([^"]+)"[^>]*>(.*?)</textarea>', html, re.DOTALL):
        form[name] = inner.strip()
    return {name: _unescaped(value) for name, value in form.items()}


def submit(client: Any, url: str, typed: Any = None, *, follow: bool = False, **options: Any) -> Any:
    """Open a page, and send its form with what is typed; return the answer."""
    form = fields(client.get(url, **options).content.decode())
    return client.post(url, form | (typed or {}), follow=follow, **options)


def _unescaped(value: Any) -> Any:
    return [entities.unescape(one) for one in value] if isinstance(value, list) else entities.unescape(value)


def errors(answer: Any) -> list[str]:
    """Return the lists of form errors, as HTML."""
    return re.findall(r'class="errorlist[^>]*>(.*?)</ul>', answer.content.decode(), re.DOTALL)


def text(answer: Any) -> str:
    """Return the visible text: without tags and repeated spaces."""
    text = re.sub(r"<(script|style)[^>]*>.*?</\1>|<[^>]+>", " ", answer.content.decode(), flags=re.DOTALL)
    return " ".join(entities.unescape(text).split())
