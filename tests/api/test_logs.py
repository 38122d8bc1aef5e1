"""Reading logs while others write and rotate them."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from reconciler.api import Access, build
from reconciler.api.followers import Followers
from reconciler.api.logs import moment
from reconciler.api.records import Filter, RecordFile, Records, newest
from reconciler.inside.output import OutputFile
from tests.api.asking import GOOD, TOKEN, get
from tests.api.platform import Still
from tests.api.statuses import service
from tests.waiting import until

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def record(number: int, **changes: Any) -> bytes:
    given = {
        "time": (START + timedelta(seconds=number)).isoformat(),
        "service": "tasks",
        "release": "tasks-1",
        "worker": "tasks-1.1",
        "request": None,
        "stream": "stdout",
        "level": "INFO",
        "message": f"line {number}",
    }
    return json.dumps({**given, **changes}, ensure_ascii=False).encode() + b"\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks").mkdir()
    return tmp_path / "tasks"


@pytest.fixture
def platform(tmp_path: Path) -> Still:
    return Still(service("tasks"), logs=tmp_path)


def messages(text: bytes | str) -> list[str]:
    return [json.loads(line)["message"] for line in text.splitlines()]


def read(platform: Still, query: str = "") -> list[str]:
    answer = get(platform, f"/v1/services/tasks/logs?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return messages(answer.content)


def test_a_service_that_never_said_anything_has_empty_logs(tmp_path: Path) -> None:
    assert read(Still(service("tasks"), logs=tmp_path / "none")) == []


def test_both_files_are_read_the_older_first(platform: Still, folder: Path) -> None:
    (folder / "previous.jsonl").write_bytes(record(1) + record(2))
    (folder / "current.jsonl").write_bytes(record(3))
    assert read(platform) == ["line 1", "line 2", "line 3"]
    assert read(platform, "limit=2") == ["line 2", "line 3"]
    assert read(platform, "limit=1") == ["line 3"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("request=r-1", ["line 2", "line 4"]),
        ("release=tasks-2", ["line 3", "line 4"]),
        ("request=r-1&release=tasks-2", ["line 4"]),
        ("request=r-1&limit=1", ["line 4"]),
        ("request=tasks-2", []),
        ("since=2026-01-02T03:04:08Z", ["line 3", "line 4", "line 5"]),
        ("since=2026-01-02T03:04:08%2B01:00", ["line 0", "line 1", "line 2", "line 3", "line 4", "line 5"]),
        ("since=1s", []),
        ("since=999999999d", ["line 0", "line 1", "line 2", "line 3", "line 4", "line 5"]),
        ("until=2026-01-02T03:04:06Z", ["line 0", "line 1"]),
        ("until=2026-01-02T03:04:09Z&limit=2", ["line 3", "line 4"]),
        ("since=2026-01-02T03:04:07Z&until=2026-01-02T03:04:08Z", ["line 2", "line 3"]),
        ("level=debug", ["line 0", "line 1", "line 2", "line 3", "line 4", "line 5"]),
        ("level=warning", ["line 4", "line 5"]),
        ("level=error", ["line 5"]),
        ("level=critical", []),
        ("level=warning&request=r-1", ["line 4"]),
    ],
)
def test_records_can_be_filtered(platform: Still, folder: Path, query: str, expected: list[str]) -> None:
    lines = [
        record(0),
        record(1, request="r-10"),
        record(2, request="r-1"),
        record(3, release="tasks-2"),
        record(4, request="r-1", release="tasks-2", level="WARNING"),
        record(5, level="ERROR"),
    ]
    (folder / "current.jsonl").write_bytes(b"".join(lines))
    assert read(platform, query) == expected


@pytest.mark.parametrize("query", ["level=loud", "until=yesterday", "until=1h&follow=true"])
def test_what_cannot_be_asked_is_refused(platform: Still, query: str) -> None:
    answer = get(platform, f"/v1/services/tasks/logs?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_the_platforms_own_are_for_whoever_may_see_all_of_it(platform: Still, folder: Path) -> None:
    (folder.parent / "_platform").mkdir()
    lines = record(1, service=None, process="control", release=None) + record(2, sync="7") + record(3, service="notes")
    (folder.parent / "_platform" / "current.jsonl").write_bytes(lines)
    assert messages(get(platform, "/v1/logs").content) == ["line 1", "line 2", "line 3"]
    assert messages(get(platform, "/v1/logs?service=tasks&sync=7").content) == ["line 2"]
    assert get(platform, "/v1/logs?format=text&limit=3").text.splitlines()[0].endswith("INFO     control line 1")
    assert get(platform, "/v1/services/_platform/logs").status_code == 404


def test_a_word_for_a_level_in_a_message_is_no_level(platform: Still, folder: Path) -> None:
    (folder / "current.jsonl").write_bytes(record(1, message='"level":"ERROR"', logger="ERROR") + record(2))
    assert read(platform, "level=error") == []


def test_a_request_id_with_quotes_and_other_letters_is_found(platform: Still, folder: Path) -> None:
    (folder / "current.jsonl").write_bytes(record(1, request='ü"\\') + record(2))
    answer = get(platform, "/v1/services/tasks/logs?request=%C3%BC%22%5C")
    assert messages(answer.content) == ["line 1"]


def test_a_record_that_is_being_written_waits_for_its_end(platform: Still, folder: Path) -> None:
    (folder / "current.jsonl").write_bytes(record(1) + record(2)[:-10])
    assert read(platform) == ["line 1"]


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 300_000, b"not json\n" * 3, b"[" * 100_000 + b"\n", b"\n\n\n", b'{"time": 3}\n', b"1\n"]
)
def test_garbage_between_records_harms_nobody(platform: Still, folder: Path, garbage: bytes) -> None:
    (folder / "current.jsonl").write_bytes(record(1) + garbage + b"\n" + record(2) + record(3))
    assert read(platform, "release=tasks-1")[-2:] == ["line 2", "line 3"]
    assert get(platform, "/v1/services/tasks/logs?format=text").status_code == 200


def test_a_large_file_is_read_in_small_pieces(folder: Path) -> None:
    text = "x" * 1000
    (folder / "current.jsonl").write_bytes(b"".join(record(number, message=text) for number in range(5000)))

    async def scenario() -> list[int]:
        return [len(piece) async for piece in newest(folder, Filter(), 4000)]

    sizes = asyncio.run(scenario())
    assert max(sizes) <= 128 * 1024
    assert len(sizes) > 30


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 131_072])
@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_walking_backwards_finds_the_same_lines_across_blocks(folder: Path, length: int, limit: int) -> None:
    lines = [
        b"a" * (length // 3) + b"\n",
        b"b" * (length // 2) + b"\n",
        b"c" * 10 + b"\n",
        b"d" * (length // 2) + b"\n",
    ]
    (folder / "current.jsonl").write_bytes(b"".join(lines))
    file = RecordFile(folder / "current.jsonl")
    file.seek(Filter(), limit)
    read = b"".join(iter(lambda: file.read(growing=False) or b"", b""))
    file.close()
    assert read == b"".join(lines[-limit:])


def test_a_file_that_grows_while_it_is_read_has_an_end(folder: Path) -> None:
    path = folder / "current.jsonl"
    path.write_bytes(record(1))
    with Records(folder, growing=False) as records, path.open("ab") as writer:
        writer.write(record(2))
        writer.flush()
        records.seek(Filter(), 10)
        assert messages(records.read(Filter()) or b"") == ["line 1"]
        assert records.read(Filter()) is None


def test_text_is_for_people_and_moves_no_cursor(platform: Still, folder: Path) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\u202eevil\r"
    (folder / "current.jsonl").write_bytes(record(1, message=f"{evil}\nsecond", request="r-1") + b"\x1b[1m broken\n")
    text = get(platform, "/v1/services/tasks/logs?format=text").text
    assert not set(text) & {"\x1b", "\x07", "\u202e", "\r"}
    assert "INFO     tasks-1 [r-1]" in text
    assert "\n  second\n" in text


def test_moments() -> None:
    assert moment("2026-01-02T03:04:05", "since") == START
    assert datetime.now(UTC) - moment("2h", "since") - timedelta(hours=2) < timedelta(seconds=5)


@contextmanager
def bound() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@asynccontextmanager
async def served(platform: Still, followers: Followers | None = None) -> AsyncIterator[str]:
    app = build(platform, Access(TOKEN))
    app.state.followers = followers or app.state.followers
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with bound() as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: server.started, what="the server")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def following(url: str, query: str = "") -> AsyncIterator[AsyncIterator[str]]:
    async with (
        httpx.AsyncClient(headers=GOOD, timeout=30) as asked,
        asked.stream("GET", f"{url}/v1/services/tasks/logs?follow=true{query}") as answer,
    ):
        assert answer.status_code == 200
        yield (json.loads(line)["message"] async for line in answer.aiter_lines())


def test_a_follower_gets_what_is_written_through_every_rotation(platform: Still, folder: Path) -> None:
    async def scenario() -> list[str]:
        writer = OutputFile(folder, limit=2_000)
        idle = OutputFile(folder, limit=2_000)
        writer.append(record(0))
        seen = []
        async with served(platform) as url, following(url) as lines:
            seen.append(await anext(lines))
            for number in range(1, 30):
                # One that was silent through a rotation still writes into the renamed file.
                (idle if number == 15 else writer).append(record(number))
                seen.append(await anext(lines))
        writer.close()
        idle.close()
        return seen

    assert asyncio.run(scenario()) == [f"line {number}" for number in range(30)]


def test_a_follower_may_come_before_the_first_record_and_sees_only_what_it_wants(platform: Still, folder: Path) -> None:
    async def scenario() -> str:
        folder.rmdir()
        async with served(platform) as url, following(url, "&request=r-7") as lines:
            writer = OutputFile(folder, limit=1_000_000)
            writer.append(record(1))
            writer.append(record(7, request="r-7"))
            writer.close()
            return await anext(lines)

    assert asyncio.run(scenario()) == "line 7"


def test_a_reader_that_does_not_read_delays_nobody(platform: Still, folder: Path) -> None:
    text = "x" * 10_000

    async def scenario() -> None:
        (folder / "current.jsonl").write_bytes(b"".join(record(number, message=text) for number in range(2_000)))
        async with served(platform) as url, httpx.AsyncClient(headers=GOOD, timeout=30) as asked:
            port = int(url.rpartition(":")[2])
            _, stuck = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            path = "/v1/services/tasks/logs?follow=true&limit=10000"
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {GOOD['Authorization']}\r\n\r\n"
            stuck.write(head.encode())
            for _ in range(20):
                assert (await asked.get(f"{url}/v1/status")).status_code == 200
            stuck.transport.abort()

    asyncio.run(scenario())


def test_too_many_followers_are_told_so_and_leaving_makes_room(platform: Still, folder: Path) -> None:
    followers = Followers(most=1)

    async def scenario() -> None:
        (folder / "current.jsonl").write_bytes(record(1))
        async with served(platform, followers) as url, httpx.AsyncClient(headers=GOOD) as asked:
            async with following(url) as lines:
                await anext(lines)
                refused = await asked.get(f"{url}/v1/services/tasks/logs?follow=true")
                assert refused.status_code == 429
                assert refused.headers["content-type"] == "application/problem+json"
            await until(lambda: followers.count == 0, what="the follower gone")
            async with following(url) as lines:
                assert await anext(lines) == "line 1"

    asyncio.run(scenario())
