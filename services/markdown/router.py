"""Renders Markdown with today's CommonMark rules."""

from importlib.metadata import version

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from markdown_it import MarkdownIt
from pydantic import BaseModel

router = APIRouter()
renderer = MarkdownIt("commonmark", {"html": False}).enable("table")


class Document(BaseModel):
    text: str


@router.get("/about")
def about() -> dict[str, str]:
    return {"library": "markdown-it-py", "version": version("markdown-it-py")}


@router.post("/", response_class=HTMLResponse)
def render(document: Document) -> str:
    return str(renderer.render(document.text))
