"""What it costs to take a hundred secrets out of 100 MB of log, beside copying the same bytes line by line.

The log is what services write: moments, levels, ids, words and numbers; one line of five hundred holds a secret. The
secrets are those that services have: keys, tokens, database addresses, passwords and private keys.
"""

import random
import string
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figure import Figure, at_most, ratio, told
from reconciler.inside.redaction import Redactor

ROUNDS = 5
SIZE = 100_000_000
SECRETS = 100
PIECE = 64 * 1024
"""As much as a pipe gives at once."""
SPOILT = 500
LINES_TOLD = 100_000
TOKENS = string.ascii_letters + string.digits
WORDS = (
    "accepted account after already attempt before cache change client closed commit connection created customer "
    "database deleted delivery dispatch empty error event failed fetch finished for from handler index invoice item "
    "job latency limit loaded message missing not object order page payment pending process product queue quota ready "
    "received refused request response result retry returned row save schedule sent service session skipped slow "
    "started state stored stream table task timeout took update upload user value waited webhook which with worker"
)


def run() -> list[Figure]:
    chance = random.Random(8)
    secrets = [(f"SECRET_{number}", _secret(number, chance)) for number in range(SECRETS)]
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        log, out = Path(place) / "log", Path(place) / "out"
        _write_log(log, [value for _, value in secrets], chance)
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(ROUNDS):
            sides = [(ours, lambda: _redact(secrets, log, out)), (theirs, lambda: _copy(log, out))]
            for seconds, work in sides if number % 2 == 0 else reversed(sides):
                seconds.append(_seconds_of(work))
        _redact(secrets, log, out)
        assert not any(value in out.read_text() for _, value in secrets), "a secret was told"
        lines = log.read_text().splitlines()[:LINES_TOLD]
    redactor = Redactor(secrets)
    building = _seconds_of(lambda: redactor.text("the first text"))
    singly = _seconds_of(lambda: [redactor.text(line) for line in lines])
    return [
        at_most("100 secrets out of 100 MB of log ÷ copying it line by line", ratio(ours, theirs), 5),
        told("the same, for a second", SIZE / 1e6 / min(ours), "MB/s"),
        told("one line by itself", singly / len(lines) * 1e6, "µs"),
        told("getting ready for 100 secrets", building * 1e3, "ms"),
    ]


def _redact(secrets: list[tuple[str, str]], log: Path, out: Path) -> None:
    pieces = Redactor(secrets).pieces()
    with log.open("rb") as source, out.open("wb") as target:
        while piece := source.read(PIECE):
            target.write(pieces.feed(piece))
        target.write(pieces.finish())


def _copy(log: Path, out: Path) -> None:
    with log.open("rb") as source, out.open("wb") as target:
        for line in source:
            target.write(line)


def _secret(number: int, chance: random.Random) -> str:
    def token(length: int) -> str:
        return "".join(chance.choices(TOKENS, k=length))

    lines = "\n".join(token(64) for _ in range(26))
    kinds = (
        f"sk_live_{token(32)}",
        f"postgresql://app:{token(16)}@db.example.com:5432/app",
        token(12),
        f"{token(36)}.{token(180)}.{token(43)}",
        f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n",
    )
    return kinds[number % len(kinds)]


def _write_log(log: Path, secrets: list[str], chance: random.Random) -> None:
    lines, words = [], WORDS.split()
    for number in range(20_000):
        clock = (
            f"2026-03-{chance.randint(10, 28)}T{chance.randint(10, 23)}:{chance.randint(10, 59)}:07.{number % 1000:03}Z"
        )
        said = " ".join(chance.choices(words, k=chance.randint(3, 14)))
        spoilt = (
            chance.choice(secrets).partition("\n")[0] if number % SPOILT == 0 else f"{chance.random() * 100:.2f} ms"
        )
        lines.append(f"{clock} INFO shop.orders request={chance.getrandbits(64):016x} {said} {spoilt}\n")
    block = "".join(lines).encode()
    with log.open("wb") as target:
        for _ in range(SIZE // len(block) + 1):
            target.write(block)


def _seconds_of(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
