"""The simulator's page: buttons that send webhooks, and what was received. Loads nothing from other hosts."""

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from tests.simulator.texts import WORDS

# key of the button's text -> scenario; the status button is added separately, with a list of statuses
BUTTONS: dict[str, dict[str, dict[str, Any]]] = {
    "call": {"ringing": {"scene": "ringing"}, "missed": {"scene": "missed"}, "answered": {"scene": "answered"}},
    "webhooks": {
        **{
            name: {"scene": "event", "event": name}
            for name in ("incoming", "waiting", "outgoing", "talk_started", "talk_finished", "call_end")
        },
        "call_end_lost": {"scene": "event", "event": "call_end", "is_lost": True},
        "lost_call": {"scene": "event", "event": "lost_call"},
        "recorded": {"scene": "event", "event": "recorded"},
        "broken": {"scene": "broken"},
    },
    "in_crm": {
        "click": {"scene": "click"},
        "dialled": {"scene": "dialled"},
        "hang_up": {"scene": "end"},
        "sync": {"scene": "sync"},
        "reset": {},
    },
}
STYLE = """
:root{color-scheme:light dark;--line:#8886;--accent:#0b6bcb}
*{box-sizing:border-box}body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:75rem}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.05rem;margin:1.4rem 0 .4rem}
form{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center}
button,select{font:inherit;padding:.5rem .8rem;border:1px solid var(--line);border-radius:.4rem;min-height:2.75rem}
button{cursor:pointer}button:hover,button:focus-visible{border-color:var(--accent);outline:2px solid var(--accent)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem}
th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top;white-space:nowrap}
.screens{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.6rem}
.screen,.note{border:1px solid var(--line);border-radius:.5rem;padding:.6rem}
.card{border-left:.25rem solid var(--accent);padding:.2rem .5rem;margin-top:.4rem;overflow-wrap:anywhere}
.quiet{opacity:.7}nav{float:right}
"""
SCRIPT = """
setInterval(async()=>{try{const r=await fetch(location.href);if(!r.ok)return;
const d=new DOMParser().parseFromString(await r.text(),"text/html");
const n=d.getElementById("state"),o=document.getElementById("state");
if(n&&n.innerHTML!==o.innerHTML)o.innerHTML=n.innerHTML}catch(e){}},1000)
"""


def render(state: Mapping[str, Any], *, language: str, last_reply: str = "") -> str:
    words = WORDS[language]
    other = "en" if language == "ru" else "ru"
    notice = "" if state["hook_is_known"] else f'<p class="note" role="status">{escape(words["no_hook"])}</p>'
    answer = (
        f'<p class="note" role="status">{words["reply"]}: <code>{escape(last_reply)}</code></p>' if last_reply else ""
    )
    forms = "".join(_form(group, words, language=language) for group in BUTTONS)
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{words["title"]}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head><body><header>"
        f'<nav><a href="/?lang={other}" hreflang="{other}" lang="{other}">'
        f"{'English' if other == 'en' else 'Русский'}</a></nav>"
        f"<h1>{words['title']}</h1><p>{words['intro']}</p></header><main>{notice}{answer}{forms}"
        f'<p><a href="/?lang={language}">{words["refresh"]}</a></p><div id="state">{_state(state, words)}</div></main>'
        f"<script>{SCRIPT}</script></body></html>"
    )


def _form(group: str, words: Mapping[str, str], *, language: str) -> str:
    buttons = "".join(f'<button name="button" value="{group}/{name}">{words[name]}</button>' for name in BUTTONS[group])
    if group == "in_crm":
        options = "".join(f"<option>{status}</option>" for status in ("free", "busy", "dinner", "break"))
        buttons += (
            f'<label class="quiet" for="status">{words["status"]}:</label>'
            f'<select id="status" name="status">{options}</select>'
            f'<button name="button" value="in_crm/status">{words["status"]}</button>'
        )
    return f'<h2>{words[group]}</h2><form method="post" action="/press?lang={language}">{buttons}</form>'


def _state(state: Mapping[str, Any], words: Mapping[str, str]) -> str:
    crm, uis = state["crm"], state["uis"]
    refused = crm["requests"]["refused"] + uis["requests"]["refused"]
    counts = {"uis": uis["requests"]["count"], "crm": crm["requests"]["count"], "refused": refused}
    modules = [{"code": code, **module} for code, module in crm["modules"].items()]
    tables = {
        "history": [_without_recording_url(call, words) for call in reversed(crm["calls"])],
        "events": list(reversed(crm["events"])),
        "users": crm["users"],
        "modules": modules,
        "people": uis["employees"],
        "numbers_dialled": list(reversed(uis["dialled"])),
    }
    return (
        f"<h2>{words['screens']}</h2>{_screens(crm, words)}"
        + "".join(f"<h2>{words[name]}</h2>{_table(rows, words)}" for name, rows in tables.items())
        + f'<p class="quiet">{words["requests"].format(**counts)}</p>'
    )


def _without_recording_url(call: Mapping[str, Any], words: Mapping[str, str]) -> dict[str, Any]:
    """Replace the URL of the recording, because anyone with it can play the recording."""
    return {**call, "recordUrl": words["yes"] if call.get("recordUrl") else None}


def _screens(crm: Mapping[str, Any], words: Mapping[str, str]) -> str:
    html = "".join(
        f'<section class="screen" data-user="{user["id"]}"><strong>{escape(user["name"])}</strong>'
        f' <span class="quiet">{escape(str(user["extension"] or "–"))} · {escape(user["status"])}</span>'
        f"{_popups(crm['popups'].get(str(user['id']), []), words)}</section>"
        for user in crm["users"]
    )
    return f'<div class="screens">{html}</div>'


def _popups(popups: Iterable[Mapping[str, Any]], words: Mapping[str, str]) -> str:
    html = "".join(f'<div class="card">{escape(_card(popup, words))}</div>' for popup in popups)
    return html or f'<div class="quiet">{words["no_card"]}</div>'


def _card(card: Mapping[str, Any], words: Mapping[str, str]) -> str:
    if "missed" in card:
        return words["missed_card"]
    return " · ".join(str(card[name]) for name in ("type", "phone", "callExternalId") if card.get(name))


def _table(rows: list[Mapping[str, Any]], words: Mapping[str, str]) -> str:
    """Render rows with the vendor's field names as headings."""
    if not rows:
        return f'<p class="quiet">{words["nothing"]}</p>'
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_cell(row.get(name))}</td>" for name in names) + "</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return escape(json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value))
