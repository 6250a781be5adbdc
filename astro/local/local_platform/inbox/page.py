"""The page that shows what people would have received: readable at 3 a.m., links clickable."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from local_platform.inbox.store import Entry, Json

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; }
nav a { margin-right: .8rem; } nav a[aria-current] { font-weight: 700; text-decoration: none; }
article { border: 1px solid var(--line); border-left: 5px solid #64748b; border-radius: 6px;
  padding: .7rem 1rem; margin: 1rem 0; overflow-wrap: anywhere; }
article.slack { border-left-color: #7c3aed; } article.pagerduty { border-left-color: #16a34a; }
article.mail { border-left-color: #2563eb; } article.reply { margin-left: 2rem; }
article header { display: flex; gap: .8rem; flex-wrap: wrap; font-size: .85rem; opacity: .8; }
article h2 { font-size: 1.05rem; margin: .4rem 0; } p { margin: .4rem 0; }
.fields { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: .2rem 1.2rem; }
.context { font-size: .85rem; opacity: .8; } hr { border: 0; border-top: 1px solid var(--line); }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { white-space: pre-wrap; margin: .4rem 0; }
a.button { display: inline-block; border: 1px solid var(--line); border-radius: 5px; padding: .15rem .7rem;
  margin: .2rem .4rem .2rem 0; }
"""

KINDS = {"slack": "Slack", "pagerduty": "PagerDuty", "mail": "Mail"}

_ADDRESS = re.compile(r"(https?://[^\s<>\"']*[^\s<>\"'.,;:!?)])")
_TOKEN = re.compile(r"```.*?```|`[^`\n]+`|<[^<>\n]+>|" + _ADDRESS.pattern, re.DOTALL)


def page(entries: Iterable[Entry], kind: str = "", channel: str = "") -> str:
    """The whole page; `entries` come newest first and are already those of `kind` and `channel`."""
    shown = list(entries)
    links = [_tab("all", "/", not kind)]
    links += [_tab(name, f"/?kind={key}", kind == key) for key, name in KINDS.items()]
    body = "".join(_article(entry) for entry in shown) or "<p>Nothing was received yet.</p>"
    where = f" in {html.escape(channel)}" if channel else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Inbox</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="10"><style>{STYLE}</style></head><body>'
        "<h1>Inbox</h1><p>What Slack, PagerDuty and the mail server would have delivered."
        " Nothing left this machine.</p>"
        f"<nav>{''.join(links)}</nav><p>{len(shown)} received{where}, newest first.</p>"
        f"<main>{body}</main></body></html>"
    )


def _tab(name: str, address: str, current: bool) -> str:
    return f'<a href="{address}"{" aria-current=page" if current else ""}>{name}</a>'


def _article(entry: Entry) -> str:
    reply = entry.kind == "slack" and entry.body.get("thread_ts") not in {None, entry.body.get("ts")}
    body = {"slack": _slack, "pagerduty": _pagerduty, "mail": _mail}[entry.kind](entry)
    edited = " · edited" if entry.body.get("edited") else ""
    title = f"<h2>{html.escape(entry.title)}</h2>" if entry.title else ""
    return (
        f'<article class="{entry.kind}{" reply" if reply else ""}"><header><span>{KINDS[entry.kind]}</span>'
        f"<b>{html.escape(entry.channel)}</b><time>{entry.at}</time>{edited}</header>{title}{body}</article>"
    )


def _slack(entry: Entry) -> str:
    # With blocks Slack shows them, and the text only in the notification.
    return (
        "".join(_block(block) for block in entry.body.get("blocks") or []) or f"<p>{mrkdwn(entry.text)}</p>"
    )


def _pagerduty(entry: Entry) -> str:
    payload: Json = entry.body.get("payload") or {}
    facts = {**{key: payload[key] for key in ("severity", "source") if key in payload}}
    facts |= payload.get("custom_details") or {}
    rows = "".join(f"<span><b>{html.escape(str(k))}</b> {_linked(str(v))}</span>" for k, v in facts.items())
    links = "".join(
        _button(str(link.get("text") or link.get("href", "")), str(link.get("href", "")))
        for link in entry.body.get("links") or []
    )
    return f'<p>{_linked(entry.text)}</p><div class="fields">{rows}</div>{links}'


def _mail(entry: Entry) -> str:
    return f"<pre>{_linked(entry.text)}</pre>"


def _block(block: Json) -> str:
    kind = block.get("type")
    if kind == "divider":
        return "<hr>"
    if kind == "header":
        return f"<h2>{html.escape(_text(block.get('text')))}</h2>"
    if kind == "section":
        text = f"<p>{_rendered(block['text'])}</p>" if block.get("text") else ""
        fields = "".join(f"<span>{_rendered(field)}</span>" for field in block.get("fields") or [])
        return (
            text
            + (f'<div class="fields">{fields}</div>' if fields else "")
            + _element(block.get("accessory"))
        )
    if kind == "context":
        return f'<p class="context">{" ".join(_rendered(e) for e in block.get("elements") or [])}</p>'
    if kind == "actions":
        return "".join(_element(element) for element in block.get("elements") or [])
    return f"<pre>{html.escape(str(block))}</pre>"


def _element(element: Any) -> str:
    if not isinstance(element, dict):
        return ""
    if element.get("type") == "button":
        return _button(_text(element.get("text")), str(element.get("url", "")))
    return f"<pre>{html.escape(str(element))}</pre>"


def _button(label: str, address: str) -> str:
    if not address.startswith(("https://", "http://")):
        return f'<span class="button">{html.escape(label)}</span>'
    return f'<a class="button" href="{html.escape(address)}" rel="noreferrer">{html.escape(label)}</a>'


def _text(value: Any) -> str:
    return str(value.get("text", "")) if isinstance(value, dict) else str(value or "")


def _rendered(value: Any) -> str:
    plain = isinstance(value, dict) and value.get("type") == "plain_text"
    return html.escape(_text(value)) if plain else mrkdwn(_text(value))


def mrkdwn(text: str) -> str:
    """Slack's mark-up as HTML: `<url|text>`, mentions, bold, italic, code.

    Authors send `&lt;`, `&gt;` and `&amp;` for the three characters themselves (docs.slack.dev, "Formatting
    message text").
    """
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(_token(match[0]))
        return f"\x00{len(kept) - 1}\x00"

    plain = _escaped(_TOKEN.sub(keep, text.replace("\x00", "")))
    plain = re.sub(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])", r"<b>\1</b>", plain)
    plain = re.sub(r"(?<!\w)_([^_\n]+)_(?!\w)", r"<i>\1</i>", plain).replace("\n", "<br>")
    return re.sub("\x00(\\d+)\x00", lambda match: kept[int(match[1])], plain)


def _token(token: str) -> str:
    """HTML of code, a bare address, or what stands between angle brackets."""
    if token.startswith("```"):
        return f"<pre>{_escaped(token[3:-3].strip())}</pre>"
    if token.startswith("`"):
        return f"<code>{_escaped(token[1:-1])}</code>"
    if token.startswith("<"):
        target, _, label = token[1:-1].partition("|")
        if not target.startswith(("https://", "http://", "mailto:")):
            return _escaped(label or target.lstrip("!"))
        return _anchor(html.unescape(target), html.unescape(label) or html.unescape(target))
    return _anchor(html.unescape(token), html.unescape(token))


def _escaped(text: str) -> str:
    return html.escape(html.unescape(text), quote=False)


def _anchor(address: str, label: str) -> str:
    return f'<a href="{html.escape(address)}" rel="noreferrer">{html.escape(label, quote=False)}</a>'


def _linked(text: str) -> str:
    """Plain text as HTML with clickable addresses."""
    parts = _ADDRESS.split(text)
    return "".join(
        _anchor(part, part) if index % 2 else html.escape(part, quote=False)
        for index, part in enumerate(parts)
    )
