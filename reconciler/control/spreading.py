"""Listens to everything that happens, and hands on what is news to those who carry it.

Hears notices as every listener does: in its own time, from a bounded queue, already without secrets.
"""

import asyncio
from collections.abc import Collection, Sequence

from reconciler.control.feed import Feed
from reconciler.model.news import News, Topic
from reconciler.model.notice import Kind, Notice
from reconciler.notification.courier import Courier
from reconciler.store.journal import Journal

LOOKED_BACK = 1_000
KNOWN = frozenset(map(str, Kind))


async def what_was_told(journal: Journal) -> News:
    """What a former control told last, so that nothing is told again and a recovery is known for one."""
    news = News()
    for row in reversed(await journal.last_events(limit=LOOKED_BACK)):
        if row.kind in KNOWN:
            kind = Kind(row.kind)
            past = Notice(
                kind=kind, at=row.at, message=row.message, service=row.service, revision=row.revision, data=row.data
            )
            news.hear(past)
    return news


async def spread(feed: Feed, couriers: Sequence[Courier], topics: Collection[Topic], news: News) -> None:
    async with asyncio.TaskGroup() as group:
        for courier in couriers:
            group.create_task(courier.run())
        with feed.listen() as listener:
            async for notice in listener:
                item = news.hear(notice)
                if item is not None and item.topic in topics:
                    for courier in couriers:
                        courier.give(item)
