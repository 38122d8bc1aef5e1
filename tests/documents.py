"""The pages of documentation, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^(?:<!-- run: (?P<run>[a-z]+) -->\n)?```(?P<language>[a-z]+)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    line: int
    language: str
    run: str | None
    """Where it is to be run, for blocks that are."""
    text: str

    @property
    def title(self) -> str | None:
        """The file it shows, when its first line says so."""
        first = self.text.partition("\n")[0]
        return first.removeprefix("# ").split()[0] if first.startswith("# ") else None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in _blocks(page) if block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match["language"], match["run"], match["text"])


def first_cells(page: Path, heading: str) -> list[str]:
    """What stands in backquotes in the first column of the tables below a heading."""
    section = re.split(rf"^#+ {re.escape(heading)}$", FENCE.sub("", page.read_text()), maxsplit=1, flags=re.M)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.M)[0]
    return re.findall(r"^\| `([^`]+)`", section, flags=re.M)
