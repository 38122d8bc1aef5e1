"""The one case that goes through the public door after a switch, and the relay for who cannot speak to a socket."""

import asyncio
import urllib.request
from pathlib import Path

import httpx
import pytest

from reconciler.model.names import ReleaseId, ServiceName
from reconciler.model.verdict import Verdict
from reconciler.suite.relay import relay
from reconciler.suite.smoke import play_smoke, smoke_of
from reconciler.suite.target import Target
from tests.suite.declaring import suite
from tests.suite.serving import serve_on_loopback
from tests.suite.tasks_service import PREFIX, tasks_app

READS = "  - {name: reads, GET: /tasks, expect: {status: 200, json: {'$': {count: 0}}}}\n"
WRITES = "  - {name: writes, POST: /tasks, json: {title: a}, expect: {status: 201}}\n"
CAPTURES = "  - {name: captures, POST: /tasks, json: {title: a}, expect: {status: 201}, capture: {id: $.id}}\n"
USES = "  - {name: uses, GET: '/tasks/${id}', expect: {status: 200}}\n"
NEEDS = "  - {name: needs, GET: /tasks, expect: {status: 200}, needs: [writes]}\n"
TABLE = [
    ("the first that reads", WRITES + READS, "reads"),
    ("what uses a capture is passed over", CAPTURES + USES + READS, "reads"),
    ("so is what needs another case", WRITES + NEEDS, None),
    ("a suite that only writes has none", WRITES, None),
]


@pytest.mark.parametrize(("cases", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_which_case_goes_through_the_door(cases: str, expected: str | None) -> None:
    smoke = smoke_of([suite("setup:\n" + WRITES.replace("writes", "sets up") + "cases:\n" + cases)])
    assert (smoke.cases[0].name if smoke else None) == expected
    assert smoke is None or (len(smoke) == 1 and not smoke.setup and not smoke.teardown)


def target(public: str) -> Target:
    return Target("", PREFIX, ServiceName("tasks"), ReleaseId("tasks-1"), public)


def test_it_asks_where_people_ask_and_only_for_an_answer_that_is_no_failure() -> None:
    smoke = smoke_of([suite("cases:\n" + READS)])
    assert smoke is not None
    with serve_on_loopback(tasks_app()) as public:
        httpx.post(f"{public}{PREFIX}/tasks", json={"title": "left by the suite"}).raise_for_status()
        assert asyncio.run(play_smoke(smoke, target(public))).verdict is Verdict.PASSED


def test_nobody_behind_the_door_is_no_failure_of_the_service() -> None:
    smoke = smoke_of([suite("cases:\n" + READS)])
    assert smoke is not None
    result = asyncio.run(play_smoke(smoke, target("http://127.0.0.1:9")))
    assert result.verdict is Verdict.INCONCLUSIVE


def test_a_relay_leads_to_its_socket_for_as_long_as_it_is_held(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await reader.readline():
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n" + b"x" * 200_000)
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_unix_server(answer, tmp_path / "s")
        async with relay(str(tmp_path / "s")) as port:
            url = f"http://127.0.0.1:{port}/"
            read = lambda: urllib.request.urlopen(url, timeout=30).read()  # noqa: E731
            bodies = await asyncio.gather(*(asyncio.to_thread(read) for _ in range(4)))
            assert {len(body) for body in bodies} == {200_000}
            reader, idle = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 30) == b"", "who is still connected is let go of"
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        server.close()

    asyncio.run(scenario())
