"""One item of news, as a destination wants to read it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from reconciler.model.news import Item
from reconciler.model.standard_webhooks import Key
from reconciler.notification.destination import Destination

LONGEST = 3_000
_SLACK_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    """The same in every attempt, so that the receiver can tell a repetition."""
    body: bytes

    @classmethod
    def of(cls, item: Item, destination: Destination) -> "Message":
        content = _for_slack(item) if destination.form == "slack" else _in_full(item)
        return cls(f"msg_{uuid4().hex}", json.dumps(content, ensure_ascii=False).encode())

    def headers(self, destination: Destination, keys: Sequence[Key], now: float) -> dict[str, str]:
        headers = {
            "Host": destination.authority,
            "Content-Type": "application/json",
            "User-Agent": "reconciler",
        }
        if destination.form == "signed":
            at = int(now)
            headers["webhook-id"] = self.id
            headers["webhook-timestamp"] = str(at)
            headers["webhook-signature"] = " ".join(key.sign(self.id, at, self.body) for key in keys)
        return headers


def _for_slack(item: Item) -> dict[str, str]:
    # Words of commits and tests are quoted: nothing in them becomes a link or calls a channel.
    title, message = (text[:LONGEST].translate(_SLACK_MARKS) for text in (item.title, item.message))
    revision = item.data.get("revision")
    after = f"\n`{revision}`" if revision else ""
    return {"text": f"*{title}*\n{message}{after}"}


def _in_full(item: Item) -> dict[str, object]:
    return {"type": item.type, "timestamp": item.at.isoformat(), "data": {"title": item.title, **item.data}}
