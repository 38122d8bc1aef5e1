"""A kanban board on one page, as a complete FastAPI application with middleware of its own.

`entry: board:app` in the manifest names it; the folder needs no router then.
"""

from html import escape
from typing import Literal

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from starlette.middleware.gzip import GZipMiddleware

Column = Literal["todo", "doing", "done"]
COLUMNS: tuple[Column, ...] = ("todo", "doing", "done")
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; }
main { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1rem; }
section { background: #f4f4f2; border-radius: .5rem; padding: 1rem; }
article { background: #fff; border-radius: .3rem; padding: .5rem .8rem; margin: .5rem 0; }
"""


class Card(BaseModel):
    title: str = Field(min_length=1, max_length=120)
    column: Column = "todo"


cards: dict[str, Card] = {
    "read": Card(title="Read the guide", column="done"),
    "push": Card(title="Push a service", column="doing"),
}

app = FastAPI(title="Board")
app.add_middleware(GZipMiddleware, minimum_size=500)


@app.get("/", response_class=HTMLResponse)
async def board() -> str:
    columns = "".join(_column(name) for name in COLUMNS)
    return f"<!doctype html><title>Board</title><style>{STYLE}</style><h1>Board</h1><main>{columns}</main>"


@app.get("/cards")
async def all_cards() -> dict[str, Card]:
    return cards


@app.put("/cards/{name}")
async def put(name: str, card: Card) -> Card:
    cards[name] = card
    return card


@app.delete("/cards/{name}", status_code=204)
async def drop(name: str) -> None:
    if cards.pop(name, None) is None:
        raise HTTPException(404, f"there is no card {name!r}")


def _column(name: Column) -> str:
    titles = [card.title for card in cards.values() if card.column == name]
    return f"<section><h2>{name}</h2>{''.join(f'<article>{escape(title)}</article>' for title in titles)}</section>"
