"""One case through the public door, right after a switch: does the service answer where people ask for it?

What the suite proved in private is not proved again. It only reads, so that asking costs nothing, and needs nothing
that other cases left behind: a good release must never lose its traffic for this.
"""

import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import httpx

from reconciler.model.suite.case import Budget, Case, Retry, Suite
from reconciler.model.suite.expectation import StatusIs
from reconciler.model.suite.template import template
from reconciler.model.verdict import SuiteResult
from reconciler.suite.allowance import Allowance
from reconciler.suite.flow import Flow
from reconciler.suite.target import Target
from reconciler.suite.telling import Redact, identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READING: Final = ("GET", "HEAD")
BUDGET: Final = Budget(total=3.0, requests=4, request=1.0)
TWICE: Final = Retry(attempts=2, every=0.1)
NO_FAILURE: Final = tuple(template(form) for form in ("2xx", "3xx", "4xx"))
GIVEN: Final = ("run", "new", "secrets")


def smoke_of(suites: Sequence[Suite]) -> Suite | None:
    """The first case that only reads and needs no capture, as a suite of its own; None where there is none."""
    for suite in suites:
        for case in suite.cases:
            reads = case.request.method in READING and not case.needs
            if reads and all(one.name in {*suite.vars, *GIVEN} for one in case.references):
                return replace(suite, cases=(_only_asked(case),), setup=(), teardown=(), budget=BUDGET)
    return None


def _only_asked(case: Case) -> Case:
    """The suite has left its traces by now, so the answer may be another than the case expects: it must not fail."""
    return replace(case, expectations=(StatusIs(NO_FAILURE, case.place),), captures=(), retry=TWICE)


async def play_smoke(smoke: Suite, target: Target, *, redact: Redact = identity) -> SuiteResult:
    """Ask at the address that people use."""
    async with _door(target.public) as client:
        return await Flow(smoke, target, client, Allowance(BUDGET, time.monotonic), None, time.monotonic, redact).play()


@asynccontextmanager
async def _door(public: str) -> "AsyncIterator[httpx.AsyncClient]":
    async with httpx.AsyncClient(
        transport=_Door(httpx.URL(public)),
        timeout=None,  # noqa: S113 - `ask` limits the whole exchange
        trust_env=False,
    ) as client:
        yield client


class _Door(httpx.AsyncHTTPTransport):
    """Whatever host a request names, it goes to this address."""

    def __init__(self, public: httpx.URL) -> None:
        super().__init__(trust_env=False)
        self._public = public

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme=self._public.scheme, host=self._public.host, port=self._public.port)
        return await super().handle_async_request(request)
