"""What a person asks of one service: go back, be left alone, start afresh, be tested.

Needs neither git nor the forge. Wishes about one service are carried out one after another; asking twice is asking
once. Whatever a sync does to the service meanwhile is respected: when another release took the traffic, the wish was
about something that is no more, and is refused. Refuses to decide anything by itself.
"""

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from reconciler.control.cron import Cron
from reconciler.control.cron.status import run_status
from reconciler.control.deployment import Workshop
from reconciler.control.lane import Lane
from reconciler.control.live import Live
from reconciler.control.loop import Loop
from reconciler.control.recipe import Recipe
from reconciler.control.stage import given_back
from reconciler.model.document import Invalid
from reconciler.model.failure import Failure, Stalled
from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName
from reconciler.model.notice import Kind
from reconciler.model.refusal import Refusal, Unknown
from reconciler.model.status import ActionTaken, RunStatus
from reconciler.model.verdict import Report
from reconciler.model.word import Word
from reconciler.store.rows import Phase, ReleaseRow
from reconciler.worker.crew import Crew
from reconciler.worker.slot import take_turn
from reconciler.worker.spec import ReleaseSpec

log = logging.getLogger(__name__)

Verb = Literal["rollback", "suspend", "resume", "restart"]
OVERTAKEN = "another release took the traffic meanwhile; look at the status, and ask again"


class Actions:
    def __init__(self, loop: Loop, shop: Workshop, cron: Cron) -> None:
        self._loop = loop
        self._cron = cron
        self._shop = shop
        self._journal = shop.journal

    async def rollback(self, name: str, to: str | None, actor: str) -> ActionTaken:
        """Give the traffic to an earlier release, and hold it there until there is a new digest, or `resume`."""
        lane = self._lane(name)
        async with lane.acting:
            live = _live_of(lane)
            if to == live.release or (to is None and _has_gone_back(lane)):
                return _taken(lane, "rollback", f"{live} serves already", changed=False)
            good = await self._earlier(lane, ReleaseId(to) if to is not None else _before(lane))
            word = _word_of(lane, live, good, actor)
            with_workers_of_its_own = good is not lane.stage.parked
            try:
                if not await lane.stage.go_back(live, good, word):
                    raise Refusal(OVERTAKEN)
            finally:
                if with_workers_of_its_own and lane.stage.live is not good:
                    await good.crew.discard()
            await live.crew.withdrawn()
            message = f"{actor} gave the traffic from {live.release} back to {good.release}"
            lane.account.happened(Kind.ROLLED_BACK, message, live.release, data=given_back(live, good))
            log.warning(message, extra={"service": lane.name, "release": good.release})
            return _taken(lane, "rollback", f"{good} serves again")

    async def suspend(self, name: str, actor: str) -> ActionTaken:
        """Let syncs pass it by, whatever git says, until `resume`. What serves goes on."""
        lane = self._lane(name)
        async with lane.acting:
            word = lane.account.word
            if word.suspended is not None:
                return _taken(lane, "suspend", f"{name} is suspended already", changed=False)
            said = f"suspended by {actor}"
            await self._journal.note_service(lane.name, suspended=said)
            lane.obey(replace(word, suspended=said))
            lane.account.happened(Kind.SERVICE_SUSPENDED, said)
            return _taken(lane, "suspend", f"{name} is suspended: syncs pass it by")

    async def resume(self, name: str, actor: str) -> ActionTaken:
        """End a suspension and a rollback's hold; the sync that follows does what git asks for."""
        lane = self._lane(name)
        async with lane.acting:
            word = lane.account.word
            if word == Word():
                if lane.account.suspended:
                    raise Refusal(f"git suspends {name}: its manifest says `suspend: true`")
                return _taken(lane, "resume", f"{name} follows git already", changed=False)
            await self._journal.note_service(lane.name, suspended=None, held=None, held_digest=None)
            lane.obey(Word())
            lane.account.happened(Kind.SERVICE_RESUMED, f"resumed by {actor}")
            self._loop.reconsider(lane.name)
            await self._loop.triggers.ask("person", actor)
            return _taken(lane, "resume", f"{name} follows git again")

    async def restart(self, name: str, actor: str) -> ActionTaken:
        """New workers of the same release, which take over without losing a request."""
        lane = self._lane(name)
        async with lane.acting:
            live = _live_of(lane)
            crew = await self._start(live.crew.spec)
            if not await lane.stage.renew(live, crew):
                await crew.discard()
                raise Refusal(OVERTAKEN)
            await live.crew.withdrawn()
            lane.account.happened(Kind.WORKERS_RESTARTED, f"{actor} asked for new workers", live.release)
            return _taken(lane, "restart", f"{live.release} has new workers")

    async def test(self, name: str) -> Report:
        """Play the suite against what serves. It reports, and changes nothing for anyone."""
        lane = self._lane(name)
        live = _live_of(lane)
        try:
            report = await self._shop.gate.play_again(live.ingredients.in_git, live.recipe, live.crew)
        except (Stalled, Invalid) as error:
            raise Refusal(f"the suite of {live.release} cannot be played: {error}") from error
        lane.played(report)
        with suppress(LookupError):
            await self._journal.learn(live.release, report=report.to_json())
        return report

    async def run(self, name: str, job: str, actor: str) -> RunStatus:
        """Begin a run of a cron job beside its times."""
        return run_status(await self._cron.run_now(self._lane(name).name, job, actor))

    def _lane(self, name: str) -> Lane:
        lane = self._loop.lanes.get(ServiceName(name))
        if lane is None:
            raise Unknown(f"there is no service {name}")
        return lane

    async def _earlier(self, lane: Lane, release: ReleaseId) -> Live:
        """A release that was live before, with workers that are ready."""
        parked = lane.stage.parked
        if parked is not None and parked.release == release:
            return parked
        row = await self._journal.release(release)
        if row is None or row.service != lane.name:
            raise Unknown(f"{lane.name} has no release {release}")
        _check_that_it_can_return(row, lane)
        recipe, environment = Recipe.from_plain(row.config), EnvironmentId(row.environment or "")
        crew = await self._start(recipe.spec(release, environment, self._shop.folders))
        return Live.again(row, crew, datetime.now(UTC))

    async def _start(self, spec: ReleaseSpec) -> Crew:
        used = await self._journal.workers_begun(spec.release)
        try:
            return await take_turn(self._shop.starts, lambda: self._shop.engine.start(spec, used=used), Crew.discard)
        except Failure as failure:
            message = f"{spec.release} could not be started, and nothing was changed: {failure.message}"
            raise Refusal(message) from failure


def _live_of(lane: Lane) -> Live:
    if lane.stage.live is None:
        raise Refusal(f"no release of {lane.name} serves")
    return lane.stage.live


def _has_gone_back(lane: Lane) -> bool:
    """By somebody's word, or by itself: going back once more takes a name."""
    return lane.account.word.held is not None or lane.account.rolled_back is not None


def _before(lane: Lane) -> ReleaseId:
    stage = lane.stage
    if stage.parked is not None:
        return stage.parked.release
    if not stage.past:
        raise Refusal(f"{lane.name} has no earlier release to go back to")
    return stage.past[-1].release


def _check_that_it_can_return(row: ReleaseRow, lane: Lane) -> None:
    if row.live_at is None:
        raise Refusal(f"{row.id} never served, so there is nothing to go back to")
    if row.phase is Phase.FAILED:
        raise Refusal(f"{row.id} is no good ({row.reason}: {row.message}); `sync --retry` tries its digest again")
    kept = [past.release for past in lane.stage.past]
    if row.id not in kept:
        raise Refusal(f"{row.id} is not kept any more; {lane.name} can go back to {', '.join(kept) or 'nothing'}")


def _word_of(lane: Lane, live: Live, good: Live, actor: str) -> Word:
    """What git asks for stays away, whoever serves by now; when it is what returns, there is nothing to hold."""
    word = lane.account.word
    away = word.held_digest or live.ingredients.digest
    if good.ingredients.digest == away:
        return Word(word.suspended)
    return Word(word.suspended, f"{actor} rolled back from {live.release} to {good.release}", away)


def _taken(lane: Lane, action: Verb, message: str, *, changed: bool = True) -> ActionTaken:
    live = lane.stage.live
    return ActionTaken(
        service=lane.name, action=action, changed=changed, message=message, release=live.release if live else None
    )
