"""A service with work of its own: a scheduler that it starts itself, and jobs that the platform runs."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import digest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import APIRouter, FastAPI, Header

scheduler = AsyncIOScheduler()


@scheduler.scheduled_job("interval", seconds=0.2)
async def tick() -> None:
    """Runs from the start on. Work that only one release may do is left out while this one has not got the traffic."""
    digest.seen.append("idle" if "RECONCILER_CANDIDATE" in os.environ else "work")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    scheduler.start()
    yield
    scheduler.shutdown()
    print("the scheduler has stopped")


router = APIRouter(lifespan=lifespan)


@router.get("/seen")
def seen() -> dict[str, int]:
    return {"ticks": len(digest.seen), "work": digest.seen.count("work")}


@router.get("/summaries")
def summaries() -> list[dict[str, int]]:
    return digest.summaries


@router.post("/jobs/nightly")
def nightly(x_reconciler_scheduled: str | None = Header(None)) -> dict[str, int]:
    """What the job `nightly` asks for; harmless when somebody else does."""
    print("summarises", x_reconciler_scheduled or "because somebody asked")
    return digest.summarise()
