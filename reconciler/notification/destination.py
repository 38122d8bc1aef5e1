"""Where news goes: an address as the operator wrote it, judged before anything is sent.

The path of such an address is often the secret itself, so nothing but the host is ever shown.
"""

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

SLACK_HOST = "hooks.slack.com"
SLACK = "slack+"
PORTS = {"https": 443, "http": 80}


class BadDestination(ValueError):
    """Says what is wrong without repeating the address."""


@dataclass(frozen=True, slots=True)
class Destination:
    form: Literal["slack", "signed"]
    scheme: str
    host: str
    port: int
    target: str = field(repr=False)
    """Path and query."""
    is_allowed: bool = False
    """The operator vouches for this host, public or not."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"

    def __str__(self) -> str:
        return self.authority


def parse(text: str, allowed: frozenset[str] = frozenset()) -> Destination:
    """`https://…`, or `slack+https://…` for what takes Slack's messages and is not Slack."""
    try:
        parts = urlsplit(text.removeprefix(SLACK))
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise BadDestination("it is no address") from error
    if parts.scheme not in PORTS or not host or not host.isascii():
        raise BadDestination("it is neither https://… nor slack+https://…")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadDestination("it has a user name, a password or a #, which are not sent")
    is_allowed = host in allowed
    if parts.scheme == "http" and not is_allowed:
        raise BadDestination(f"http is not secret; use https, or allow the host with --allow-notify {host}")
    is_slack = text.startswith(SLACK) or host == SLACK_HOST
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Destination(
        "slack" if is_slack else "signed", parts.scheme, host, port or PORTS[parts.scheme], target, is_allowed
    )
