"""Control's client: it waits for a gateway, comes back to it, and what it was asked is true when it says so."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.gateway.client import GatewayClient
from reconciler.gateway.table import Route, Table
from tests.gateway.neighbours import Gateway, Worker, live, unready
from tests.waiting import until


class Control:
    """What control knows; the client asks for it at each connection."""

    def __init__(self, routes: dict[str, Route]) -> None:
        self.routes = routes
        self.asked = 0

    async def table(self) -> Table:
        self.asked += 1
        return Table("/api", dict(self.routes))


@contextlib.asynccontextmanager
async def _connected(run: Path, control: Control) -> AsyncIterator[GatewayClient]:
    client = GatewayClient(run, control.table)
    try:
        await asyncio.wait_for(client.connect(), 30)
        yield client
    finally:
        await client.disconnect()


async def _status(gateway: Gateway, path: str) -> int:
    return (await asyncio.to_thread(gateway.get, path)).status


def test_it_brings_the_gateway_in_step_and_changes_it() -> None:
    async def scenario() -> None:
        with Gateway() as gateway, Worker(gateway.run) as worker, Worker(gateway.run, "gone") as gone:
            gone.die()
            control = Control({"/api/tasks": unready("tasks")})
            async with _connected(gateway.run, control) as client:
                assert client.is_connected
                assert await _status(gateway, "/api/tasks") == 503
                assert await client.route("/api/tasks", live("tasks", worker)) == ()
                assert await _status(gateway, "/api/tasks") == 200
                assert await client.route("/api/tasks", live("tasks", worker, gone)) == ("gone",)
                assert await client.remove("/api/tasks", [worker.address]) == ()
                assert await _status(gateway, "/api/tasks") == 404
                assert await client.table(Table("/v2", {"/v2/tasks": live("tasks", worker)})) == ()
                assert await _status(gateway, "/v2/tasks") == 200
                await client.mount("/v3")
                assert await _status(gateway, "/v2/tasks") == 200, "a route is left below the former mount"
                assert await client.route("/v3/tasks", live("tasks", worker)) == ()
                assert await client.remove("/v2/tasks", []) == ()
                assert await _status(gateway, "/v2/tasks") == 404
                assert await _status(gateway, "/v3/tasks") == 200
                assert (await client.stats())["workers"] == 1

    asyncio.run(scenario())


def test_it_leaves_the_gateway_as_it_is() -> None:
    async def scenario() -> None:
        with Gateway() as gateway, Worker(gateway.run) as worker:
            async with _connected(gateway.run, Control({"/api/tasks": live("tasks", worker)})):
                pass
            assert await _status(gateway, "/api/tasks") == 200

    asyncio.run(scenario())


def test_it_waits_for_a_gateway_to_come() -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            client = GatewayClient(Path(folder), Control({}).table)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.connect(), 0.05)
            assert not client.is_connected
            await client.disconnect()

    asyncio.run(scenario())


def test_a_gateway_that_comes_back_has_the_whole_table_before_anything_else() -> None:
    async def scenario() -> None:
        with Gateway() as gateway, Worker(gateway.run) as worker:
            control = Control({"/api/tasks": live("tasks", worker)})
            async with _connected(gateway.run, control) as client:
                gateway.kill()
                await until(lambda: not client.is_connected, what="the loss to be noticed")
                control.routes["/api/reports"] = unready("reports")
                call = asyncio.create_task(client.route("/api/reports", unready("reports")))
                waiting = asyncio.create_task(asyncio.to_thread(gateway.get, "/api/tasks"))
                await asyncio.sleep(0)
                assert not call.done()
                await asyncio.to_thread(_start_without_control, gateway)
                assert await asyncio.wait_for(call, 30) == ()
                assert (await waiting).status == 200
                assert await _status(gateway, "/api/reports") == 503
                assert control.asked == 2

    asyncio.run(scenario())


def test_calls_that_a_lost_gateway_left_unanswered_are_made_again() -> None:
    async def scenario() -> None:
        with Gateway() as gateway:
            control = Control({})
            async with _connected(gateway.run, control) as client:
                gateway.process.send_signal(19)  # stopped, so that it cannot answer
                calls = [
                    asyncio.create_task(client.route(f"/api/s{number}", unready(f"s{number}"))) for number in range(5)
                ]
                await asyncio.sleep(0)
                gateway.kill()
                await asyncio.to_thread(_start_without_control, gateway)
                assert await asyncio.wait_for(asyncio.gather(*calls), 30) == [()] * 5
                assert (await client.stats())["routes"] == 5

    asyncio.run(scenario())


def test_a_table_that_cannot_be_made_is_asked_for_again() -> None:
    async def scenario() -> None:
        with Gateway() as gateway:
            control = Control({})
            whole = control.table

            async def table() -> Table:
                if control.asked == 0:
                    control.asked += 1
                    raise LookupError("not yet")
                return await whole()

            control.table = table  # type: ignore[method-assign]
            async with _connected(gateway.run, control) as client:
                assert (await client.stats())["routes"] == 0

    asyncio.run(scenario())


def test_a_cancelled_call_is_forgotten() -> None:
    async def scenario() -> None:
        with Gateway() as gateway:
            async with _connected(gateway.run, Control({})) as client:
                gateway.process.send_signal(19)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.stats(), 0.05)
                gateway.process.send_signal(18)
                assert (await client.stats())["routes"] == 0

    asyncio.run(scenario())


def test_closing_stops_new_connections_only() -> None:
    async def scenario() -> None:
        with Gateway() as gateway:
            async with _connected(gateway.run, Control({})) as client:
                await client.close()
                with gateway.client():
                    assert (await client.stats())["accepted"] == 0

    asyncio.run(scenario())


def test_a_gateway_that_comes_back_to_a_platform_that_closes_stays_closed() -> None:
    async def scenario() -> None:
        with Gateway() as gateway, Worker(gateway.run) as worker:
            control = Control({"/api/tasks": live("tasks", worker)})
            async with _connected(gateway.run, control) as client:
                await client.close()
                gateway.kill()
                await until(lambda: not client.is_connected, what="the loss to be noticed")
                await asyncio.to_thread(_start_without_control, gateway)
                with gateway.client():
                    counts = await asyncio.wait_for(client.stats(), 30)
                    assert (counts["routes"], counts["accepted"]) == (1, 0)

    asyncio.run(scenario())


def _start_without_control(gateway: Gateway) -> None:
    """The test's own line would be the newest, and win."""
    gateway.control.close()
    gateway.start_process()
