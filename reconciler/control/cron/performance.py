"""One run, carried out by the release that is live when it begins: a request on its private socket, or a call in a
worker.

Says how it came to its end, whatever that was. An answer is read no further than its beginning tells, and a run that
lasts when its release has to go is interrupted by the release, not by us. What nobody was asked for yet is tried again,
or given back for the release that took over.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC
from typing import Protocol

import httpx

from reconciler.control.live import Live
from reconciler.inside.redaction import Redactor
from reconciler.model.failure import Failure
from reconciler.model.job import Job
from reconciler.model.run import Outcome, RunState
from reconciler.model.utf8 import decoded
from reconciler.store.rows import RunRow
from reconciler.suite.exchange import HOST, transport
from reconciler.worker.crew import Crew
from reconciler.worker.worker import Worker

READY_WITHIN = 60.0
LOOKED_EVERY = 0.02
READ = 8 << 20
"""Bytes of an answer after which it is not read any further."""
SHOWN = 2_000
"""Bytes of a bad answer that are kept."""
DEATH_KNOWN_WITHIN = 1.0
LEFT = Outcome(RunState.INTERRUPTED, "its release had to go before it was done")

Serves = Callable[[], bool]


class NotBegun(Exception):
    """The release lost the traffic before anybody was asked for anything."""


class Perform(Protocol):
    async def __call__(self, job: Job, run: RunRow, live: Live, serves: Serves) -> Outcome:
        """Carry out a run; `serves` says whether that release still has the traffic. Raises `NotBegun`."""


async def perform(job: Job, run: RunRow, live: Live, serves: Serves) -> Outcome:
    deadline = asyncio.get_running_loop().time() + min(job.timeout, READY_WITHIN)
    while (worker := await _ready(live.crew, run, serves, deadline)) is not None:
        # No await between choosing a worker and asking it: told to go after that, it still does this.
        if job.call is not None:
            return await worker.call(run.id, job.call, job.arguments, job.timeout)
        try:
            return await _request(worker, job, run, live, serves)
        except httpx.ConnectError:
            # It died or was told to go in this very moment, and has heard of nothing.
            await asyncio.sleep(LOOKED_EVERY)
    return Outcome(RunState.FAILED, f"no worker of {live.release} was ready")


async def _ready(crew: Crew, run: RunRow, serves: Serves, deadline: float) -> Worker | None:
    """One of the workers, another one for another run."""
    while asyncio.get_running_loop().time() < deadline:
        if not serves():
            raise NotBegun
        if ready := crew.ready:
            return ready[hash(run.id) % len(ready)]
        await asyncio.sleep(LOOKED_EVERY)
    return None


async def _request(worker: Worker, job: Job, run: RunRow, live: Live, serves: Serves) -> Outcome:
    method, path = (job.request or "").split(" ", 1)
    headers = {
        "X-Request-Id": run.id,
        "X-Reconciler-Scheduled": run.scheduled_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "User-Agent": "reconciler-cron",
        "Accept-Encoding": "identity",
    }
    try:
        request = httpx.Request(method, f"{HOST}{live.recipe.prefix}{path}", headers=headers)
        async with asyncio.timeout(job.timeout), transport(str(worker.sockets.private)) as door:
            response = await door.handle_async_request(request)
            try:
                beginning, size = await _beginning(response)
            finally:
                await response.aclose()
    except TimeoutError:
        return Outcome(RunState.TIMED_OUT, f"it took longer than {job.timeout:g} s")
    except httpx.ConnectError:
        raise
    except (httpx.TransportError, httpx.InvalidURL) as error:
        return await _broken(worker, serves, error)
    return await _judged(response, beginning, size, live.crew)


async def _redactor(crew: Crew) -> Redactor | None:
    """None where the service's secrets cannot be had at the moment: then nothing that it answers is quoted."""
    try:
        return Redactor((await crew.secrets()).items())
    except Failure:
        return None


async def _beginning(response: httpx.Response) -> tuple[bytes, int]:
    """And how many bytes there were."""
    kept, size = b"", 0
    async for chunk in response.aiter_raw():
        kept += chunk[: max(0, 2 * SHOWN - len(kept))]
        size += len(chunk)
        if size > READ:
            break
    return kept, size


async def _judged(response: httpx.Response, beginning: bytes, size: int, crew: Crew) -> Outcome:
    status = response.status_code
    said = f"answered {status}" + (f", and more than {READ >> 20} MiB, which were not read" if size > READ else "")
    if status < 300:
        return Outcome(RunState.DONE, said)
    redactor = await _redactor(crew)
    if response.is_redirect:
        place = redactor.cut(response.headers.get("location", ""), 200, "…") if redactor else "another place"
        return Outcome(RunState.FAILED, f"{said}, a redirect to {place}: write the path that it leads to")
    if status < 400:
        return Outcome(RunState.DONE, said)
    goes_on = size > len(beginning)
    quoted = redactor.cut(decoded(beginning, goes_on=goes_on), SHOWN, "…", goes_on=goes_on) if redactor else ""
    return Outcome(RunState.FAILED, said, quoted or None)


async def _broken(worker: Worker, serves: Serves, error: Exception) -> Outcome:
    """The connection ended without a whole answer: cut by a drain, or by the death of the worker."""
    if not serves():
        return LEFT
    try:
        async with asyncio.timeout(DEATH_KNOWN_WITHIN):
            end = await worker.gone()
    except TimeoutError:
        return Outcome(RunState.FAILED, f"it closed the connection without a whole answer ({error or 'reset'})")
    return Outcome(RunState.FAILED, f"its worker {end}") if serves() else LEFT
