"""Fuzzing beside what serves: a private start of the same release is asked, for as long as that release serves.

Not the live workers: what is found would count as their failures, and a worker that dies of it would take the
traffic back. Nobody waits for it, and nothing follows from it but a report.
"""

import asyncio
import logging
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from reconciler.control.account import Account
from reconciler.control.deployment import Workshop
from reconciler.control.trial import OpenTree, TrialFolders, trials
from reconciler.control.wanted import Wanted
from reconciler.model.names import ReleaseId
from reconciler.model.verdict import Report, SuiteResult, Verdict

LOOK_EVERY = 0.2

log = logging.getLogger(__name__)


class Fuzzing:
    """Of one service: of the release that was switched to last."""

    def __init__(
        self, shop: Workshop, account: Account, serves: Callable[[ReleaseId], bool], tell: Callable[[Report], None]
    ) -> None:
        self._shop = shop
        self._account = account
        self._serves = serves
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def begin(self, wanted: Wanted, open_tree: OpenTree, release: ReleaseId) -> None:
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._fuzz(wanted, open_tree, release))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _fuzz(self, wanted: Wanted, open_tree: OpenTree, release: ReleaseId) -> None:
        about = {"service": wanted.name, "sync": self._account.sync, "release": release}
        try:
            found = await _beside(self._shop, wanted, open_tree, partial(self._serves, release))
        except Exception as error:
            log.warning("could not be fuzzed", extra={**about, "why": str(error)})
            return
        if found is None:
            return
        report = _with_findings(self._account.report, found, _nothing_played(wanted, release))
        self._tell(report)
        self._shop.journal.later(lambda entries: entries.learn(release, report=report.to_json()))
        log.info("fuzzed", extra={**about, "found": found.summary})


async def _beside(
    shop: Workshop, wanted: Wanted, open_tree: OpenTree, serves: Callable[[], bool]
) -> SuiteResult | None:
    """What was found; None when something else serves by now."""
    fuzzing = asyncio.create_task(_fuzz(shop, wanted, open_tree))
    try:
        while serves() and not (await asyncio.wait([fuzzing], timeout=LOOK_EVERY))[0]:
            pass
        return await fuzzing if fuzzing.done() and serves() else None
    finally:
        fuzzing.cancel()
        await asyncio.wait([fuzzing])


async def _fuzz(shop: Workshop, wanted: Wanted, open_tree: OpenTree) -> SuiteResult:
    place = shop.folders.data / "fuzzing" / wanted.name
    run = shop.folders.run / f"f-{secrets.token_hex(2)}"
    folders = TrialFolders(place, run, shop.folders.data / "environments")
    await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
    try:
        async with (
            trials(folders, shop.environments, shop.secrets, shop.preparing) as room,
            room.start(wanted, open_tree) as crew,
        ):
            return await shop.gate.fuzz(wanted, crew)
    finally:
        with suppress(OSError):
            await asyncio.to_thread(shutil.rmtree, place)


def _with_findings(report: Report | None, found: SuiteResult, blank: Report) -> Report:
    """The report of a release with what fuzzing found, and the verdict as it was."""
    base = report if report is not None and report.release == blank.release else blank
    others = tuple(suite for suite in base.suites if suite.name != found.name)
    return replace(base, suites=(*others, replace(found, only_reports=True)), seconds=base.seconds + found.seconds)


def _nothing_played(wanted: Wanted, release: str) -> Report:
    return Report(wanted.name, release, Verdict.PASSED)
