"""What was received, in SQLite: written before it is acknowledged, so a kill loses nothing that was."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS channels (
    id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS slack (
    channel TEXT NOT NULL REFERENCES channels (id), ts TEXT NOT NULL, thread_ts TEXT, message TEXT NOT NULL,
    PRIMARY KEY (channel, ts));
CREATE TABLE IF NOT EXISTS incidents (
    routing_key TEXT NOT NULL, dedup_key TEXT NOT NULL, number INTEGER NOT NULL, status TEXT NOT NULL,
    PRIMARY KEY (routing_key, dedup_key, number));
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, routing_key TEXT NOT NULL, dedup_key TEXT NOT NULL,
    incident INTEGER NOT NULL, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mails (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, sender TEXT NOT NULL, recipients TEXT NOT NULL,
    subject TEXT NOT NULL, text TEXT NOT NULL, source BLOB NOT NULL);
"""

OPEN = ("triggered", "acknowledged")


@dataclass(frozen=True)
class Entry:
    """One thing that a person would have got, whatever the way: what the page and its JSON show."""

    kind: str
    """slack, pagerduty or mail."""
    at: str
    """When, RFC 3339 in UTC."""
    channel: str
    """`#channel`, the PagerDuty incident or the mail's recipients."""
    title: str
    text: str
    body: Json
    """The message, event or mail as it came."""


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All tables; times are arguments, in Unix seconds."""

    def __init__(self, file: Path) -> None:
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    # Slack: channels and users

    def add_channel(self, name: str, now: float) -> Json | None:
        """The new channel, None when the name is taken."""
        identity = _identity("C", name)
        added = self._db.execute(
            "INSERT OR IGNORE INTO channels VALUES (?, ?, ?)", (identity, name, int(now))
        )
        return self.channel(name) if added.rowcount else None

    def channel(self, reference: str) -> Json | None:
        """A channel by id, `name` or `#name`."""
        row = self._db.execute(
            "SELECT * FROM channels WHERE id = ? OR name = ?", (reference, reference.removeprefix("#"))
        ).fetchone()
        return dict(row) if row else None

    def channels(self) -> list[Json]:
        return [dict(row) for row in self._db.execute("SELECT * FROM channels ORDER BY name")]

    def add_user(self, email: str) -> None:
        name = email.partition("@")[0]
        self._db.execute("INSERT OR IGNORE INTO users VALUES (?, ?, ?)", (_identity("U", email), name, email))

    def user(self, email: str) -> Json | None:
        row = self._db.execute("SELECT * FROM users WHERE email = ?", (email.lower(),)).fetchone()
        return dict(row) if row else None

    # Slack: messages

    def post(self, channel: str, message: Json, now: float) -> str:
        """Store a message and return its `ts`, which is unique in the channel and rises."""
        newest = self._db.execute("SELECT max(ts) FROM slack WHERE channel = ?", (channel,)).fetchone()[0]
        micros = max(int(now * 1_000_000), int((newest or "0").replace(".", "")) + 1)
        ts = f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
        self._db.execute(
            "INSERT INTO slack VALUES (?, ?, ?, ?)",
            (channel, ts, message.get("thread_ts"), json.dumps({**message, "ts": ts})),
        )
        return ts

    def message(self, channel: str, ts: str) -> Json | None:
        row = self._db.execute(
            "SELECT message FROM slack WHERE channel = ? AND ts = ?", (channel, ts)
        ).fetchone()
        return json.loads(row["message"]) if row else None

    def replace(self, channel: str, ts: str, message: Json) -> None:
        self._db.execute(
            "UPDATE slack SET message = ? WHERE channel = ? AND ts = ?", (json.dumps(message), channel, ts)
        )

    def messages(self, channel: str) -> list[Json]:
        """All messages of a channel with the replies in its threads, newest first."""
        rows = self._db.execute("SELECT message FROM slack WHERE channel = ? ORDER BY ts DESC", (channel,))
        return [json.loads(row["message"]) for row in rows]

    # PagerDuty

    def add_event(self, event: Json, dedup_key: str, now: float) -> None:
        """Store an event and move its incident: a trigger opens one or joins the open one.

        An acknowledgement or resolution without an open incident changes nothing, as in the real service.
        """
        key = (event["routing_key"], dedup_key)
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            row = self._db.execute(
                "SELECT number, status FROM incidents WHERE routing_key = ? AND dedup_key = ?"
                " ORDER BY number DESC LIMIT 1",
                key,
            ).fetchone()
            number, status = (row["number"], row["status"]) if row else (0, "resolved")
            action = event["event_action"]
            if action == "trigger" and status not in OPEN:
                number += 1
                self._db.execute("INSERT INTO incidents VALUES (?, ?, ?, 'triggered')", (*key, number))
            elif action != "trigger" and status in OPEN:
                self._db.execute(
                    "UPDATE incidents SET status = ? WHERE routing_key = ? AND dedup_key = ? AND number = ?",
                    ("resolved" if action == "resolve" else "acknowledged", *key, number),
                )
            self._db.execute(
                "INSERT INTO events (at, routing_key, dedup_key, incident, event) VALUES (?, ?, ?, ?, ?)",
                (rfc3339(now), *key, number, json.dumps(event)),
            )

    # Mail

    def add_mail(
        self, sender: str, recipients: list[str], subject: str, text: str, source: bytes, now: float
    ) -> None:
        self._db.execute(
            "INSERT INTO mails (at, sender, recipients, subject, text, source) VALUES (?, ?, ?, ?, ?, ?)",
            (rfc3339(now), sender, ", ".join(recipients), subject, text, source),
        )

    # Reading everything

    def entries(self) -> list[Entry]:
        """All that was received, newest first."""
        found = [*self._slack_entries(), *self._event_entries(), *self._mail_entries()]
        return sorted(found, key=lambda entry: entry.at, reverse=True)

    def _slack_entries(self) -> list[Entry]:
        rows = self._db.execute(
            "SELECT name, message FROM slack JOIN channels ON channels.id = slack.channel ORDER BY ts DESC"
        )
        found = []
        for row in rows:
            message = json.loads(row["message"])
            found.append(
                Entry("slack", rfc3339(float(message["ts"])), f"#{row['name']}", "", message["text"], message)
            )
        return found

    def _event_entries(self) -> list[Entry]:
        rows = self._db.execute(
            "SELECT at, events.dedup_key, incident, event, status FROM events LEFT JOIN incidents"
            " ON incidents.routing_key = events.routing_key AND incidents.dedup_key = events.dedup_key"
            " AND incidents.number = events.incident ORDER BY events.id DESC"
        )
        found = []
        for row in rows:
            event = json.loads(row["event"])
            # The routing key is a credential.
            body = {
                **event,
                "routing_key": "…",
                "dedup_key": row["dedup_key"],
                "incident_status": row["status"],
            }
            title = f"{event['event_action']}: incident {row['status'] or 'none'}"
            summary = event.get("payload", {}).get("summary", "")
            found.append(Entry("pagerduty", row["at"], row["dedup_key"], title, summary, body))
        return found

    def _mail_entries(self) -> list[Entry]:
        rows = self._db.execute("SELECT * FROM mails ORDER BY id DESC")
        return [
            Entry("mail", row["at"], row["recipients"], row["subject"], row["text"], {"from": row["sender"]})
            for row in rows
        ]


def _identity(kind: str, name: str) -> str:
    """A Slack-like id that stays the same for a name, also in a fresh folder."""
    return kind + hashlib.sha256(name.encode()).hexdigest()[:10].upper()
