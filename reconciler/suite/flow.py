"""One suite played once: setup, cases in order, and teardown whatever happened.

Each case sees the captures of those before it. A case whose variables were never captured, or whose `needs` did
not pass, is skipped rather than failed: only what was asked can fail.
"""

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import httpx

from reconciler.model.suite.answer import Answer, Unreadable
from reconciler.model.suite.case import MAX_CAPTURE, Capture, Case, Part, Suite
from reconciler.model.suite.expectation import Circumstances, Contract, Mismatch, judge, shown
from reconciler.model.suite.jsonpath import PathError
from reconciler.model.suite.matcher import Missing
from reconciler.model.suite.template import Undefined, as_text
from reconciler.model.verdict import CaseResult, Outcome, SuiteResult, Verdict
from reconciler.suite import telling
from reconciler.suite.allowance import Allowance, Spent, for_teardown
from reconciler.suite.call import OUR_ID, Call, Impossible, fill_in
from reconciler.suite.exchange import Broken, Clock, TimedOut, Unreachable, ask, ask_on
from reconciler.suite.export import hurl
from reconciler.suite.extraction import TooSlow, extract
from reconciler.suite.target import Target
from reconciler.suite.telling import Redact

NEW: Final = {"uuid": lambda: str(uuid.uuid4()), "date": lambda: datetime.now(UTC).isoformat()}


class Stop(Exception):
    """The suite cannot go on; nothing more is known about the service."""


@dataclass(slots=True)
class Attempt:
    """One try of one case: what was sent, what came back, what was wrong with it."""

    call: Call | None = None
    answer: Answer | None = None
    mismatches: list[Mismatch] = field(default_factory=list)
    reason: str | None = None
    stops: bool = False

    @property
    def good(self) -> bool:
        return self.reason is None and not self.mismatches


@dataclass(slots=True)
class Flow:
    suite: Suite
    target: Target
    client: httpx.AsyncClient
    allowance: Allowance
    contract: Contract | None
    clock: Clock
    redact: Redact
    _scope: dict[str, object] = field(default_factory=dict)
    _passed: set[str] = field(default_factory=set)
    _results: list[CaseResult] = field(default_factory=list)
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _sent: int = 0
    _reason: str | None = None

    async def play(self) -> SuiteResult:
        try:
            self._define_vars()
            await self._play_setup()
            await self._play_cases("cases", self.suite.cases)
        except Stop as stop:
            self._reason = telling.line(str(stop), self.redact)
        finally:
            await self._play_teardown()
        return self._result()

    def _define_vars(self) -> None:
        self._scope = {
            "run": {
                "id": self._run,
                "service": self.target.service,
                "release": self.target.release,
                "prefix": self.target.prefix,
            },
            "new": NEW,
            "secrets": dict(self.target.secrets),
        }
        for name, value in self.suite.vars.items():
            try:
                self._scope[name] = value.render(self._scope)
            except Undefined as undefined:
                raise Stop(f"the variable `{name}` cannot be filled in: {undefined}") from None

    async def _play_setup(self) -> None:
        await self._play_cases("setup", self.suite.setup)
        failed = next((result for result in self._results if result.outcome is not Outcome.PASSED), None)
        if failed is not None:
            raise Stop(f"setup failed: {failed.name}: {failed.summary}")

    async def _play_cases(self, part: Part, cases: Sequence[Case]) -> None:
        for case in cases:
            result = await self._play_case(part, case)
            self._results.append(result)
            if result.outcome is Outcome.PASSED:
                self._passed |= {case.name, case.given_name}
            elif result.outcome is Outcome.INCONCLUSIVE:
                raise Stop(result.reason or "it could not be played")

    async def _play_teardown(self) -> None:
        """On its own allowance, so that neither a spent budget nor a cancelled sync leaves anything behind."""
        spent = self.allowance
        self.allowance = for_teardown(self.suite.budget, self.clock)
        try:
            for case in self.suite.teardown:
                self._results.append(await self._play_case("teardown", case))
        finally:
            spent.requests += self.allowance.requests
            self.allowance = spent

    async def _play_case(self, part: Part, case: Case) -> CaseResult:
        blank = CaseResult(case.name, part, Outcome.SKIPPED, case.place.file, case.place.line, case.place.excerpt)
        if missing := [need for need in case.needs if need not in self._passed]:
            return replace(blank, reason=f"it needs `{missing[0]}`, which did not pass")
        try:
            scope = self._scope | {name: value.render(self._scope) for name, value in case.row.items()}
        except Undefined as undefined:
            return replace(blank, reason=str(undefined))
        if absent := next((one.text for one in case.references if one.name not in scope), None):
            return replace(blank, reason=f"`{absent}` was never captured")
        started = self.clock()
        attempts, attempt = await self._try(case, scope)
        told = replace(blank, attempts=attempts, seconds=self.clock() - started)
        return self._told(told, case, attempt, scope)

    async def _try(self, case: Case, scope: dict[str, object]) -> tuple[int, Attempt]:
        """Until all expectations hold, or the last attempt."""
        for number in range(1, case.retry.attempts + 1):
            attempt = await self._attempt(case, scope)
            if attempt.good or attempt.stops or number == case.retry.attempts:
                break
            await asyncio.sleep(min(case.retry.every, max(self.allowance.left, 0)))
        return number, attempt

    async def _attempt(self, case: Case, scope: dict[str, object]) -> Attempt:
        attempt = Attempt()
        try:
            attempt.call = fill_in(case.request, scope, self.target.prefix, self._next_id())
            attempt.answer = await self._ask(attempt.call, case)
            around = Circumstances(scope, attempt.call.method, attempt.call.path, self.contract)
            uncaptured = [await self._capture(capture, attempt.answer, scope) for capture in case.captures]
            for expectation in case.expectations:
                if len(attempt.mismatches) < telling.MOST_MISMATCHES:
                    attempt.mismatches += judge(expectation, attempt.answer, around)
            attempt.mismatches = attempt.mismatches or [missed for missed in uncaptured if missed]
        except (Broken, Impossible, Undefined) as failure:
            attempt.reason = str(failure)
        except RecursionError:
            attempt.reason = "the answer is nested too deeply to be looked at"
        except TimedOut:
            attempt.reason, attempt.stops = self._timed_out(case)
        except (Unreachable, Spent) as failure:
            attempt.reason, attempt.stops = str(failure), True
        return attempt

    async def _ask(self, call: Call, case: Case) -> Answer:
        def within() -> float:
            seconds = self.allowance.take()
            return min(case.request.timeout or seconds, self.allowance.left)

        if not case.request.follow_redirects:
            return await ask(self.client, call, within(), self.clock)
        return (await ask_on(self.client, call, within, self.clock))[1]

    def _timed_out(self, case: Case) -> tuple[str, bool]:
        """A slow service fails its case; a suite that has no time left says nothing about the service."""
        if self.allowance.left <= 0:
            return f"its budget of {self.allowance.budget.total:g} s is spent", True
        return f"no answer within {case.request.timeout or self.allowance.budget.request:g} s", False

    async def _capture(self, capture: Capture, answer: Answer, scope: dict[str, object]) -> Mismatch | None:
        try:
            value = capture.subject.look(answer, scope)
            if capture.regex is not None and isinstance(value, str):
                value = await extract(capture.regex, value)
        except (Unreadable, PathError, TooSlow) as error:
            return self._uncaptured(capture, scope, str(error))
        if isinstance(value, Missing):
            return self._uncaptured(capture, scope, shown(value))
        if len(as_text(value)) > MAX_CAPTURE:
            return self._uncaptured(capture, scope, f"one of more than {MAX_CAPTURE >> 10} kB")
        self._scope[capture.name] = scope[capture.name] = str(value) if isinstance(value, str) else value
        return None

    def _uncaptured(self, capture: Capture, scope: dict[str, object], got: str) -> Mismatch:
        expected = f"a value of {capture.subject.label(scope)}"
        return Mismatch(f"capture {capture.name}", expected, got, None, capture.place.file, capture.place.line)

    def _next_id(self) -> str:
        self._sent += 1
        return f"{OUR_ID}{self._run}-{self._sent}"

    def _hurl(self, case: Case, attempt: Attempt, scope: dict[str, object]) -> str | None:
        if attempt.call is None:
            return None
        text = hurl(case, attempt.call, scope, self.target.prefix, self.target.public)
        return telling.paragraph(text, self.redact, telling.LONGEST_HURL)

    def _told(self, blank: CaseResult, case: Case, attempt: Attempt, scope: dict[str, object]) -> CaseResult:
        mismatches = attempt.mismatches[: telling.MOST_MISMATCHES]
        result = replace(blank, request_id=attempt.call.request_id if attempt.call else None)
        if attempt.good:
            return replace(result, outcome=Outcome.PASSED)
        return replace(
            result,
            outcome=Outcome.INCONCLUSIVE if attempt.stops else Outcome.FAILED,
            reason=telling.line(attempt.reason, self.redact) if attempt.reason else None,
            mismatches=tuple(telling.mismatch(one, self.redact) for one in mismatches),
            curl=telling.curl_line(attempt.call, self.target.public, self.redact) if attempt.call else None,
            hurl=self._hurl(case, attempt, scope),
            response=telling.response(attempt.answer, self.redact) if attempt.answer else None,
        )

    def _result(self) -> SuiteResult:
        played = [result for result in self._results if result.part == "cases"]
        failed = any(result.outcome is Outcome.FAILED for result in played)
        verdict = Verdict.FAILED if failed else Verdict.INCONCLUSIVE if self._reason else Verdict.PASSED
        return SuiteResult(
            name=self.suite.name,
            file=self.suite.file,
            verdict=verdict,
            reason=self._reason,
            cases=tuple(self._in_order()),
            seconds=self.allowance.seconds,
            requests=self.allowance.requests,
        )

    def _in_order(self) -> Iterator[CaseResult]:
        """As the file has them; those never reached are skipped, and say why."""
        known = {(result.part, result.name): result for result in self._results}
        for part, cases in self.suite.parts:
            for case in cases:
                place = case.place
                yield known.get((part, case.name)) or CaseResult(
                    case.name, part, Outcome.SKIPPED, place.file, place.line, place.excerpt, reason=self._reason
                )
