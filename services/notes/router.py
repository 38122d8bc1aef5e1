"""Keeps notes in memory: a small resource with everything a resource has."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field


class Draft(BaseModel):
    title: str = Field(min_length=1, max_length=120)
    text: str = ""
    tags: list[str] = []


class Note(Draft):
    id: int
    written_at: datetime


class Shelf:
    def __init__(self) -> None:
        self._ids = count(1)
        self._notes: dict[int, Note] = {}

    def put(self, draft: Draft, number: int | None = None) -> Note:
        note = Note(id=number or next(self._ids), written_at=datetime.now(UTC), **draft.model_dump())
        self._notes[note.id] = note
        return note

    def get(self, number: int) -> Note:
        try:
            return self._notes[number]
        except KeyError:
            raise HTTPException(404, f"there is no note {number}") from None

    def drop(self, number: int) -> None:
        del self._notes[self.get(number).id]

    def tagged(self, tag: str | None) -> list[Note]:
        return [note for note in self._notes.values() if tag is None or tag in note.tags]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Shelf]]:
    shelf = Shelf()
    shelf.put(Draft(title="Read me first", text="Notes live as long as this release does.", tags=["help"]))
    yield {"shelf": shelf}


def the_shelf(request: Request) -> Shelf:
    shelf: Shelf = request.state.shelf
    return shelf


router = APIRouter(lifespan=lifespan)
OneShelf = Annotated[Shelf, Depends(the_shelf)]


@router.get("/notes")
async def all_notes(shelf: OneShelf, tag: Annotated[str | None, Query()] = None) -> list[Note]:
    return shelf.tagged(tag)


@router.post("/notes", status_code=201)
async def write(draft: Draft, shelf: OneShelf, response: Response) -> Note:
    note = shelf.put(draft)
    response.headers["location"] = f"notes/{note.id}"
    return note


@router.get("/notes/{number}")
async def one_note(number: int, shelf: OneShelf) -> Note:
    return shelf.get(number)


@router.put("/notes/{number}")
async def rewrite(number: int, draft: Draft, shelf: OneShelf) -> Note:
    return shelf.put(draft, shelf.get(number).id)


@router.delete("/notes/{number}", status_code=204)
async def discard(number: int, shelf: OneShelf) -> None:
    shelf.drop(number)
