"""Renders the pages written before 2023 as they looked then.

The rules of CommonMark changed since; the old pages were proof-read against the old ones, so this service
stays on the release that knows them. It runs next to `markdown`, which requires the new one.
"""

from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt
from pydantic import BaseModel

router = APIRouter()
renderer = MarkdownIt("commonmark", {"html": False})


class Page(BaseModel):
    text: str


@router.get("/about")
def about() -> dict[str, str]:
    return {"library": "markdown-it-py", "version": version("markdown-it-py")}


@router.post("/", response_class=HTMLResponse)
def render(page: Page) -> str:
    return str(renderer.render(page.text))
