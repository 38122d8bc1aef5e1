"""A worker that talks without end: control goes on with its work, keeps nothing of it, and cuts it off."""

import asyncio
import json
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from reconciler.model.names import ReleaseId, WorkerId
from reconciler.worker import lines
from reconciler.worker import worker as workers
from reconciler.worker.calls import UNCLAIMED
from reconciler.worker.forked import start_time
from reconciler.worker.lines import MOST_SAID, SHORT, Lines, Patience
from reconciler.worker.spec import WorkerSockets
from reconciler.worker.worker import Worker
from tests.waiting import until

Speak = Callable[[asyncio.StreamWriter], None]


@asynccontextmanager
async def talking(speak: Speak) -> AsyncIterator[tuple[Worker, "subprocess.Popen[bytes]"]]:
    """A worker, as control sees it: a process, and a socket on which something is said."""
    with tempfile.TemporaryDirectory(prefix="rcl-") as folder, subprocess.Popen(["sleep", "600"]) as body:  # noqa: ASYNC220
        sockets = WorkerSockets(Path(folder, "c"), Path(folder, "p"))

        said: list[asyncio.StreamWriter] = []

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            said.append(writer)
            speak(writer)

        async with await asyncio.start_unix_server(answer, sockets.control):
            worker = Worker(WorkerId("tasks-1.1"), ReleaseId("tasks-1"), sockets, body.pid, start_time(body.pid))
            await worker.watch(None)
            try:
                yield worker, body
            finally:
                body.kill()
                for writer in said:
                    writer.close()
                await worker.gone()


def test_others_have_their_turn_while_a_worker_talks() -> None:
    async def scenario() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(b"{}\n" * 5_000)
        reader.feed_eof()
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        going = asyncio.create_task(others())
        heard = [message async for message in Lines(reader, create_autospec(asyncio.StreamWriter)).messages()]
        going.cancel()
        assert len(heard) == 5_000
        assert turns >= 5_000 // lines.AT_ONCE

    asyncio.run(scenario())


@pytest.mark.parametrize("unread", [pytest.param(0, id="and hangs up"), pytest.param(1, id="and does not listen")])
def test_what_a_worker_said_last_is_heard_whatever_is_being_said_to_it(unread: int) -> None:
    """The one that fails at its import says why, and is gone before it is asked to count its requests."""

    async def scenario() -> None:
        with tempfile.TemporaryDirectory(prefix="rcl-") as folder, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/c")
            listener.listen()
            line = await Lines.connect(Path(folder, "c"))
            worker, _ = listener.accept()
            for _ in range(unread):
                line.send({"op": "stats"})
            worker.sendall(b'{"op":"hello"}\n' + b'{"op":"state","state":"failed"}\n')
            worker.close()
            for _ in range(3):
                line.send({"op": "count"})
                await asyncio.sleep(0)
            heard = [message async for message in line.messages()]
            assert [message["op"] for message in heard] == ["hello", "state"]
            line.close()

    asyncio.run(scenario())


def test_a_worker_that_talks_without_end_is_cut_off_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SPELL", 3600.0)
    monkeypatch.setattr(workers, "FAREWELL", 0.1)

    async def scenario() -> None:
        async with talking(lambda writer: writer.write(b"{}\n" * (MOST_SAID + 1))) as (worker, body):
            await until(lambda: worker.is_gone, what="its end")
            assert worker.state == "stopped"
            assert await asyncio.to_thread(body.wait, 30) == -9

    asyncio.run(scenario())


def test_what_nobody_asked_for_is_not_kept() -> None:
    said = [{"op": "called", "run": f"{number}", "state": "done"} for number in range(1_000)]

    def speak(writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(json.dumps(one).encode() + b"\n" for one in said))

    async def scenario() -> None:
        async with talking(speak) as (worker, _):
            await until(lambda: worker.knows("999"), what="the last of them")
            assert len(worker.calls) == UNCLAIMED
            assert (await worker.called("999", 5)).state == "done"
            assert not worker.knows("999") and not worker.knows("0")

    asyncio.run(scenario())


def test_patience_is_renewed_and_long_lines_cost_more() -> None:
    now = [0.0]
    patience = Patience(lambda: now[0])
    assert all(patience.takes(b"{}\n") for _ in range(MOST_SAID))
    assert not patience.takes(b"{}\n")
    now[0] += lines.SPELL
    long = b"x" * SHORT * 99
    assert all(patience.takes(long) for _ in range(MOST_SAID // 100))
    assert not patience.takes(long)
