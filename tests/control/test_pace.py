"""How often the poll looks while webhooks come, when they stop, and when one was missed."""

import asyncio

import pytest

from reconciler.control.pace import LONGEST, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("usual", "slower"), [(60.0, 600.0), (5.0, 50.0), (300.0, 600.0), (3600.0, 3600.0)])
def test_it_looks_less_often_while_webhooks_come(usual: float, slower: float) -> None:
    pace = Pace(usual, clock := Clock())
    assert pace.interval == usual
    pace.heard()
    assert pace.interval == slower
    assert slower <= max(usual, LONGEST)
    clock.now += 24 * 3600 + 1
    assert pace.interval == usual, "a day without a webhook"
    pace.heard()
    assert pace.interval == slower


def test_one_commit_that_no_webhook_announced_brings_the_usual_interval_back() -> None:
    pace = Pace(60.0, clock := Clock())
    pace.heard()
    clock.now += 30
    pace.surprised()
    assert pace.interval == 600.0, "its sync may just not have fetched it yet"
    clock.now += 31
    pace.surprised()
    assert pace.interval == 60.0
    pace.heard()
    assert pace.interval == 600.0


def test_who_asks_for_a_look_gets_one_with_all_others_who_ask_meanwhile() -> None:
    async def scenario() -> int:
        pace, looks = Pace(3600.0), 0

        async def look() -> None:
            nonlocal looks
            while True:
                await pace.wait(3600.0, patient=False)
                looks += 1

        looking = asyncio.create_task(look())
        begun = asyncio.get_running_loop().time()
        while not looks:
            pace.look_soon()
            await asyncio.sleep(0.001)
        assert 0.9 < asyncio.get_running_loop().time() - begun < 5
        looking.cancel()
        return looks

    assert asyncio.run(scenario()) == 1


def test_nobodys_asking_makes_a_source_in_trouble_be_asked_sooner() -> None:
    async def scenario() -> None:
        pace = Pace(3600.0)
        pace.look_soon()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pace.wait(3600.0, patient=True)

    asyncio.run(scenario())
