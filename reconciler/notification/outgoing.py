"""The operator's words about notifications, read and checked: where to, about what, and signed with what."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from reconciler.model.news import TOPICS, USUAL, Topic
from reconciler.model.standard_webhooks import Key
from reconciler.notification.destination import BadDestination, Destination, parse

FEWEST_CHARACTERS = 16
"""A shorter path is none that nobody could guess."""
VARIABLE = "RECONCILER_NOTIFY_SECRET"


@dataclass(frozen=True, slots=True)
class Outgoing:
    destinations: tuple[Destination, ...]
    topics: frozenset[Topic]
    keys: tuple[Key, ...] = field(repr=False)

    def secrets(self) -> dict[str, str]:
        """What must never be shown, by a name that may: whoever knows such an address can write to it."""
        paths = {f"--notify.{number}": one.target for number, one in enumerate(self.destinations, start=1)}
        return {name: path for name, path in paths.items() if len(path) >= FEWEST_CHARACTERS}


def outgoing(addresses: Sequence[str], topics: Sequence[str], allowed: Collection[str], secrets: str) -> Outgoing:
    """Raises `BadDestination`, which never repeats an address or a secret."""
    destinations = tuple(parse(address, frozenset(allowed)) for address in addresses)
    unknown = set(topics) - set(TOPICS)
    if unknown:
        raise BadDestination(f"--notify-on {', '.join(sorted(unknown))}: there are {', '.join(TOPICS)}")
    keys = tuple(map(_key, filter(None, (one.strip() for one in secrets.split(",")))))
    if not keys and any(one.form == "signed" for one in destinations):
        raise BadDestination(
            f"what is sent is signed: give {VARIABLE} a secret that begins with whsec_, or write slack+https://… "
            "for an address that takes Slack's messages"
        )
    return Outgoing(destinations, frozenset(one for one in TOPICS if one in topics) or USUAL, keys)


def _key(text: str) -> Key:
    try:
        key = Key.parse(text)
    except ValueError as error:
        raise BadDestination(f"{VARIABLE}: {error}") from error
    if key.is_public:
        raise BadDestination(f"{VARIABLE}: a public key signs nothing; give a secret that begins with whsec_")
    return key
