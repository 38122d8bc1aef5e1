"""Closed-loop load: so many connections, each sending as soon as it was answered.

`wrk` where it is installed (`apt-get install wrk`); otherwise a client of our own in Python, which needs as much
of the machine as the server it asks, so that its figures are good for ratios only.
"""

import asyncio
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

WRK = shutil.which("wrk")
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Load:
    rate: float
    """Answers per second."""
    p99: float
    """Seconds."""
    failed: int


def drive(url: str, *, connections: int = 32, seconds: float = 3, close: bool = False) -> Load:
    if WRK:
        return _wrk(url, connections, seconds, close)
    words = [sys.executable, "-m", "bench.load", url, str(connections), str(seconds), str(int(close))]
    return Load(**json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))


def _wrk(url: str, connections: int, seconds: float, close: bool) -> Load:
    header = ["-H", "Connection: close"] if close else []
    words = [str(WRK), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", *header, url]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    failed = sum(int(number) for line in said.splitlines() if "errors" in line for number in re.findall(r"\d+", line))
    failed += sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    number, unit = _found(r"99%\s+([\d.]+)(us|ms|s)", said)
    return Load(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", said)[0]), p99=float(number) * UNITS[unit], failed=failed
    )


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    assert match, text
    return match.groups()


async def _ours(url: str, connections: int, seconds: float, close: bool) -> Load:
    host, _, path = url.removeprefix("http://").partition("/")
    name, port = host.split(":")
    ending = "Connection: close\r\n" if close else ""
    request = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n{ending}\r\n".encode()
    until = time.perf_counter() + seconds
    took: list[float] = []
    failed = 0

    async def client() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(name, int(port))
        while time.perf_counter() < until:
            begun = time.perf_counter()
            try:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(_found(r"(?i)content-length: (\d+)", head.decode("latin-1"))[0]))
                took.append(time.perf_counter() - begun)
            except (OSError, EOFError):
                failed += 1
            if close:
                writer.close()
                reader, writer = await asyncio.open_connection(name, int(port))
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return Load(rate=len(took) / seconds, p99=statistics.quantiles(took, n=100)[98], failed=failed)


if __name__ == "__main__":
    address, many, long, closing = sys.argv[1:]
    outcome = asyncio.run(_ours(address, int(many), float(long), closing == "1"))
    print(json.dumps({"rate": outcome.rate, "p99": outcome.p99, "failed": outcome.failed}))
