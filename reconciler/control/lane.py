"""One service: what a sync asks of it is done in order, whatever happens to the others.

This is the edge at which a failure becomes a condition, an event and perhaps another try; a bug is logged whole and
harms this service only.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from reconciler.control.account import Account
from reconciler.control.cron import Cron
from reconciler.control.deployment import Candidate, Deployment, Workshop
from reconciler.control.fuzzing import Fuzzing
from reconciler.control.live import Live
from reconciler.control.memory import NOTHING, Memory
from reconciler.control.order import DONE, SUPERSEDED, Order, Outcome, Work, dependency_not_ready, outcome_of
from reconciler.control.retry import Retry
from reconciler.control.stage import Stage
from reconciler.control.stopwatch import Stopwatch
from reconciler.control.traffic import Traffic
from reconciler.control.wanted import Wanted
from reconciler.model.failure import Failure, Reason, Stalled, Wait
from reconciler.model.names import Digest, EnvironmentId, ReleaseId, ServiceName, SyncId
from reconciler.model.notice import Kind
from reconciler.model.plan import Running
from reconciler.model.verdict import Report
from reconciler.model.word import Word
from reconciler.store.unusable import StoreUnusable

log = logging.getLogger(__name__)

NOT_STARTED = "could not be started"
BUG = "the reconciler itself failed; its log says how"
PROBLEMS_TOLD = 20


class Lane:
    def __init__(
        self,
        name: ServiceName,
        prefix: str,
        shop: Workshop,
        traffic: Traffic,
        cron: Cron,
        retry: Callable[[], None],
        memory: Memory = NOTHING,
    ) -> None:
        self.name = name
        self.account = Account(name, shop.journal, shop.feed, memory)
        self.stage = Stage(self.account, prefix, shop.journal, traffic, cron)
        self._shop = shop
        self._retry = Retry(retry)
        self._watch = Stopwatch()
        self._aim: Digest | None = None
        self._work: Work | None = None
        """What was asked for last."""
        self._unfinished: set[Work] = set()
        """That, and what was called off before and still cleans up."""
        self._committed: asyncio.Task[Any] | None = None
        """Can no longer be taken back, only waited for."""
        self._asked_to_leave = False
        self._fuzzing = Fuzzing(shop, self.account, self._serves, self.played)
        self.acting = asyncio.Lock()
        """Held by whoever carries out a person's wish: those come one after another."""

    # What the plan and the upkeep ask

    def running(self) -> Running:
        live = self.stage.live
        word = self.account.word
        return Running(
            live.ingredients if live else None,
            frozenset(self.account.failed),
            word.held,
            word.held_digest,
            word.suspended,
        )

    @property
    def busy(self) -> bool:
        return self._work is not None and not self._work.done()

    @property
    def left(self) -> bool:
        """Git no longer holds it, and nothing of it serves."""
        return self._asked_to_leave and not self.busy and self.stage.live is None

    def is_waiting_for(self, digest: Digest) -> bool:
        """It failed for a reason that may pass, and is tried again when its time has come."""
        return self._retry.is_to_come and self._aim == digest and not self.busy

    @property
    def needed(self) -> set[ReleaseId]:
        """Releases whose folders must stay."""
        candidate = self.account.candidate
        return self.stage.releases | ({candidate} if candidate is not None else set())

    @property
    def environments(self) -> set[EnvironmentId]:
        return self.stage.environments

    # What a sync asks for

    def keep(self, revision: str, sync: SyncId) -> None:
        """What serves is what git asks for."""
        self._abandon()
        account = self.account
        account.attempted = account.applied = revision
        account.rolled_back = None
        account.suspended = False
        self._retry.start_over()
        self._end_hold()
        if self.stage.live is None or not self.stage.live.crew.in_trouble:
            if account.trouble is not None:
                account.sync = sync
                account.happened(Kind.SERVICE_RECOVERED, "git asks for what serves")
            account.trouble = None
        account.tell()

    def hold(
        self,
        revision: str,
        failure: Failure | None,
        sync: SyncId,
        *,
        suspended: bool = False,
        look_again: bool = False,
    ) -> None:
        """Leave things as they are, and say why. `look_again`: it may pass without a commit."""
        self._abandon()
        account = self.account
        account.attempted, account.sync = revision, sync
        account.suspended = suspended
        if failure is not None:
            failure = self._shop.gate.veil.failure(failure)
            if not suspended and (account.trouble is None or account.trouble.message != failure.message):
                told = f"{failure.reason}: {failure.message}"
                account.happened(Kind.SERVICE_HELD, told, data={"reason": failure.reason})
                self._warn(failure)
        account.trouble = None if suspended else failure or account.trouble
        account.tell()
        if failure is not None and look_again:
            self._retry.after(failure)

    def unserved(self, prefix: str) -> None:
        """Tell those who ask for it there why nobody serves, unless somebody does: he does where he was proved."""
        held = self.account.suspended or self.account.word.suspended is not None
        code, why = ("suspended", "is suspended") if held else ("failed", NOT_STARTED)
        self.stage.refuse_soon(prefix, code, f"{self.name} {why}")

    def pursue(self, order: Order) -> Work:
        """Make this digest live. A candidate of another digest has become pointless and is thrown away."""
        digest = order.wanted.ingredients.digest
        if self._work is not None and self.busy and self._aim == digest:
            return self._work
        self._aim = digest
        self._asked_to_leave = False
        self.account.suspended = False
        self.account.attempted = str(order.wanted.revision)
        self.account.sync = order.sync
        return self._begin(partial(self._follow, order), partial(self._failed, order.wanted))

    def obey(self, word: Word) -> None:
        """A person's word. Once suspended, what is being tried is let go of."""
        if word.suspended is not None and self._aim is not None:
            self._abandon()
        self.account.word = word
        self.account.tell()

    def remove(self, sync: SyncId) -> Work:
        self._aim = None
        self.account.sync = sync
        self._asked_to_leave = True
        return self._begin(self._leave, self._could_not_leave)

    async def stop(self) -> None:
        """The platform is going down: throw away what was being tried, let what serves finish."""
        self._abandon()
        await _end_of(self._unfinished)
        await self._fuzzing.stop()
        await self.stage.stop()

    async def settle(self) -> None:
        """Wait for whatever is under way here, retirements included."""
        await _end_of(self._unfinished)
        await self.stage.settle()

    # What a deployment tells

    @property
    def candidate(self) -> ReleaseId | None:
        return self.account.candidate

    @candidate.setter
    def candidate(self, release: ReleaseId | None) -> None:
        self.account.candidate = release

    def played(self, report: Report) -> None:
        self.account.report = report
        told = {"verdict": report.verdict.value, "cases": len(report.cases), "seconds": report.seconds}
        self.account.passes(Kind.SUITE_PLAYED, report.summary, data=told)

    def say(self, phase: str) -> None:
        """What is being done at the moment, for whoever watches."""
        self.account.syncing = phase
        self.account.tell()
        self.account.passes(Kind.PHASE_BEGAN, phase)
        log.info(phase, extra=self._about())

    def _about(self, **facts: str) -> dict[str, str | None]:
        """What stands beside a line of the log."""
        return {"service": self.name, "sync": self.account.sync, **facts}

    def _warn(self, failure: Failure) -> None:
        place = next((problem.place for problem in failure.problems if problem.file), None)
        where = {} if place is None or place in failure.message else {"at": place}
        log.warning(failure.message, extra=self._about(reason=failure.reason, **where))

    # The work itself

    def _abandon(self) -> None:
        """Cancel what is under way, unless it can no longer be taken back: that is finished first."""
        self._retry.cancel()
        if self._work is not None and self._work is not self._committed:
            self._work.cancel()

    def _begin(self, work: Callable[[], Awaitable[Outcome]], failed: Callable[[Failure], Outcome]) -> Work:
        self._abandon()
        # All of it: who is called off while he waits for another is at his end before that other is.
        before = frozenset(self._unfinished)
        task = self._work = asyncio.create_task(self._in_turn(before, work, failed))
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        return task

    async def _in_turn(
        self,
        before: Collection[Work],
        work: Callable[[], Awaitable[Outcome]],
        failed: Callable[[Failure], Outcome],
    ) -> Outcome:
        await _end_of(before)
        self._watch = Stopwatch()
        return await self._at_the_edge(work, failed)

    async def _at_the_edge(
        self, work: Callable[[], Awaitable[Outcome]], failed: Callable[[Failure], Outcome]
    ) -> Outcome:
        """The one place where what goes wrong with a service becomes something to tell."""
        try:
            return self._timed(await work())
        except asyncio.CancelledError:
            return self._timed(SUPERSEDED)
        except Failure as failure:
            return self._timed(failed(self._shop.gate.veil.failure(failure)))
        except StoreUnusable as unusable:
            return failed(Wait(Reason.START_FAILED, str(unusable)))
        except OSError as error:
            return failed(Wait(Reason.START_FAILED, f"the machine refused: {error.strerror or error}"))
        except Exception:
            log.exception("a bug stopped what was done about a service", extra=self._about())
            return failed(Wait(Reason.START_FAILED, BUG))
        finally:
            self.account.syncing = self.account.candidate = None
            self.account.tell()

    def _timed(self, outcome: Outcome) -> Outcome:
        return replace(outcome, phases=tuple(self._watch.phases))

    async def _follow(self, order: Order) -> Outcome:
        await self._wait_for(order.after)
        return await self._deploy(order)

    async def _leave(self) -> Outcome:
        await self._whole(self.stage.leave())
        log.info("removed", extra=self._about())
        return DONE

    async def _wait_for(self, others: Sequence[tuple[ServiceName, Work]]) -> None:
        for name, work in others:
            self.say(f"waiting for {name}")
            await asyncio.wait([work])
            if outcome_of(work).state != "done":
                raise dependency_not_ready(name)

    async def _deploy(self, order: Order) -> Outcome:
        self.say("preparing")
        await self.stage.refuse(order.wanted.prefix, "starting", f"{self.name} is starting")
        deployment = Deployment(self._shop, order.wanted, order.open_tree, order.sync, self)
        self._watch = deployment.watch
        try:
            candidate = await deployment.prove()
            live = Live.from_candidate(candidate, order.wanted.ingredients, datetime.now(UTC))
            try:
                with deployment.phase("switch"):
                    await self._whole(self._switch(order.wanted, live))
            except BaseException as error:
                if self.stage.live is not live:
                    await asyncio.shield(deployment.throw_away(candidate, error))
                raise
        finally:
            deployment.close()
        outcome = await self._look_again(deployment, candidate, live)
        if order.wanted.manifest.fuzz is True and self._serves(live.release):
            self._fuzzing.begin(order.wanted, order.open_tree, live.release)
        return outcome

    def _serves(self, release: ReleaseId) -> bool:
        return self.stage.live is not None and self.stage.live.release == release

    async def _look_again(self, deployment: Deployment, candidate: Candidate, live: Live) -> Outcome:
        """It serves; whoever has something newer need not wait for this."""
        try:
            trouble = await deployment.look_again(candidate)
        except asyncio.CancelledError:
            return DONE
        except Exception:
            log.exception("a bug stopped a look at what serves", extra=self._about())
            return DONE
        if trouble is None:
            return DONE
        await self._whole(self.stage.distrust(live, trouble))
        return Outcome("failed", trouble)

    async def _whole(self, step: Coroutine[object, object, None]) -> None:
        """Half a switch is none: whoever cancels now waits for it."""
        self._committed = asyncio.current_task()
        task = asyncio.create_task(step)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            task.result()
        finally:
            self._committed = None

    async def _switch(self, wanted: Wanted, live: Live) -> None:
        await self.stage.switch(live, wanted.manifest.watch_window)
        account = self.account
        account.trouble = account.rolled_back = None
        account.word = Word(account.word.suspended)
        account.applied = account.changed = str(wanted.revision)
        self._retry.start_over()
        log.info("live", extra=self._about(release=live.release, revision=wanted.revision.short))

    def _end_hold(self) -> None:
        """Git asks for what serves: there is nothing to hold against it any more."""
        word = self.account.word
        if word.held is not None:
            self.account.word = Word(word.suspended)
            self._shop.journal.later(lambda entries: entries.note_service(self.name, held=None, held_digest=None))

    def _failed(self, wanted: Wanted, failure: Failure) -> Outcome:
        self.account.trouble = failure
        if isinstance(failure, Stalled):
            self.account.condemn(wanted.ingredients.digest, failure)
        elif failure.reason is not Reason.SUPERSEDED:
            self._retry.after(failure)
        self._warn(failure)
        message = f"{failure.reason}: {failure.message}"
        told = {"reason": failure.reason, "problems": [asdict(one) for one in failure.problems[:PROBLEMS_TOLD]]}
        self.account.happened(Kind.RELEASE_FAILED, message, self.account.candidate, data=told)
        self.stage.refuse_soon(wanted.prefix, "failed", f"{self.name} {NOT_STARTED}")
        return Outcome("failed", failure)

    def _could_not_leave(self, failure: Failure) -> Outcome:
        self.account.trouble = failure
        self._retry.after(failure)
        self._warn(failure)
        return Outcome("failed", failure)


async def _end_of(works: Collection[Work]) -> None:
    if works:
        await asyncio.wait(works)
