"""What services are usually made of, for the zygote to try and to rehearse: it is served to nobody."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Cookie, Depends, Header, Query, Request, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

router = APIRouter()


class Model(BaseModel):
    name: str
    price: float = Field(gt=0)
    tags: list[str] = []
    note: str | None = None


@dataclass
class Thing:
    text: str
    number: int = 0


def page(limit: int = 10, offset: int = 0) -> int:
    return limit + offset


@router.get("/{number}")
async def read(number: int, request: Request, text: str = "") -> dict[str, int]:
    return {text: number}


@router.post("/", status_code=201)
async def make(thing: Thing) -> Thing:
    return thing


@router.put("/models/{name}", response_model=Model)
async def put(
    name: str,
    model: Model,
    page: Annotated[int, Depends(page)],
    agent: Annotated[str | None, Header()] = None,
    session: Annotated[str | None, Cookie()] = None,
) -> Model:
    return model


@router.get("/models/")
def models(seconds: float = 1.0, flag: bool = False, text: str | None = None) -> list[Model]:
    return []


@router.get("/events/")
async def events(names: Annotated[list[str], Query()] = []) -> StreamingResponse:  # noqa: B006
    return StreamingResponse(iter([b"a"]))


@router.websocket("/talk")
async def talk(socket: WebSocket) -> None:
    await socket.accept()
