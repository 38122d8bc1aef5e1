"""Suites played against one candidate, side by side, each with a client, captures and a budget of its own.

A suite that fails is played once more, within the seconds it has left: when it passes then, it passed, and is
reported as flaky with both results. What cannot be played is `inconclusive`, and is not tried again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from reconciler.model.suite.case import Suite
from reconciler.model.suite.expectation import FitsOpenApi
from reconciler.model.verdict import CaseResult, Report, SuiteResult, Verdict, worst
from reconciler.suite import telling
from reconciler.suite.allowance import Allowance, for_replay
from reconciler.suite.call import Call
from reconciler.suite.exchange import Broken, Clock, TimedOut, Unreachable, ask, connect
from reconciler.suite.flow import Flow
from reconciler.suite.openapi import WHERE, NoContract, OpenApi
from reconciler.suite.select import select
from reconciler.suite.target import Target
from reconciler.suite.telling import Redact, identity

Logs: TypeAlias = Callable[[str], Awaitable[Sequence[str]]]
"""The service's own log lines for one request id."""

SIDE_BY_SIDE: Final = 4
CONTRACT_SECONDS: Final = 5.0
MOST_LOGS: Final = 10
"""Failing cases whose log lines are fetched."""


async def play(
    suites: Sequence[Suite],
    target: Target,
    *,
    clock: Clock = time.monotonic,
    redact: Redact = identity,
    tags: Collection[str] | None = None,
    logs: Logs | None = None,
    replay: bool = True,
) -> Report:
    """Play them all and say what they concluded."""
    started = clock()
    chosen = [one for one in (select(suite, tags) for suite in suites) if one.cases]
    stage = _Stage(target, clock, redact, replay)
    # When it is cancelled, a group waits for every teardown that is under way.
    async with asyncio.TaskGroup() as group:
        played = [group.create_task(stage.play(suite)) for suite in chosen]
    results = [task.result() for task in played]
    if logs is not None:
        results = [await _with_logs(result, logs, redact) for result in results]
    verdict = worst([result.verdict for result in results])
    return Report(target.service, target.release, verdict, tuple(results), clock() - started)


@dataclass(slots=True)
class _Stage:
    """What the suites of one play share: whom they ask, and the document the service promises to keep."""

    target: Target
    clock: Clock
    redact: Redact
    replay: bool
    _contract: "asyncio.Task[OpenApi] | None" = None
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SIDE_BY_SIDE))

    async def play(self, suite: Suite) -> SuiteResult:
        async with self._room:
            try:
                contract = await self._read_contract() if _needs_contract(suite) else None
            except NoContract as missing:
                return SuiteResult(
                    suite.name, suite.file, Verdict.INCONCLUSIVE, telling.line(str(missing), self.redact)
                )
            first = await self._once(suite, contract, Allowance(suite.budget, self.clock))
            if first.verdict is not Verdict.FAILED or not self.replay:
                return first
            second = await self._once(
                suite, contract, for_replay(suite.budget, suite.budget.total - first.seconds, self.clock)
            )
            if second.verdict is not Verdict.PASSED:
                return first
            return replace(
                second,
                first=first,
                seconds=first.seconds + second.seconds,
                requests=first.requests + second.requests,
            )

    async def _once(self, suite: Suite, contract: OpenApi | None, allowance: Allowance) -> SuiteResult:
        async with connect(self.target.socket) as client:
            return await Flow(suite, self.target, client, allowance, contract, self.clock, self.redact).play()

    async def _read_contract(self) -> OpenApi:
        if self._contract is None:
            self._contract = asyncio.ensure_future(_fetch_contract(self.target, self.clock))
        return await asyncio.shield(self._contract)


async def _fetch_contract(target: Target, clock: Clock) -> OpenApi:
    call = Call("GET", target.prefix + WHERE, (("X-Request-Id", "suite-openapi"),))
    try:
        async with connect(target.socket) as client:
            return OpenApi.read(await ask(client, call, CONTRACT_SECONDS, clock), target.prefix)
    except TimedOut:
        raise NoContract(f"{WHERE} does not answer within {CONTRACT_SECONDS:g} s") from None
    except (Broken, Unreachable) as error:
        raise NoContract(f"{WHERE} cannot be read: {error}") from None


def _needs_contract(suite: Suite) -> bool:
    cases = (case for _part, cases in suite.parts for case in cases)
    return any(isinstance(expectation, FitsOpenApi) for case in cases for expectation in case.expectations)


async def _with_logs(result: SuiteResult, logs: Logs, redact: Redact) -> SuiteResult:
    wanted = [case.name for case in result.cases if case.curl is not None][:MOST_LOGS]
    cases = [await _with_lines(case, logs, redact) if case.name in wanted else case for case in result.cases]
    first = await _with_logs(result.first, logs, redact) if result.first else None
    return replace(result, cases=tuple(cases), first=first)


async def _with_lines(case: CaseResult, logs: Logs, redact: Redact) -> CaseResult:
    if case.request_id is None:
        return case
    return replace(case, logs=telling.logs(await logs(case.request_id), redact))
