"""A real browser: Debian's chromium, driven by Playwright; and a visitor who notices what no page of ours may do."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, FloatRect, Page, expect, sync_playwright

from tests.npm import package

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = ("axe-core", "4.14.1")
Scheme = Literal["light", "dark"]
SOURCE = ".source > code:first-child"
EXAMPLE = "https://git.example/team/services.git"
SCREENSHOTS = "RECONCILER_TEST_SCREENSHOTS"
"""A folder: where pictures are put for the documentation."""
# A page that took long to fetch waits ten times as long before it fetches again.
expect.set_options(timeout=20_000)


def chromium() -> str:
    """Where it is; where there is none it comes from Debian."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", *words], env=quiet, check=True, timeout=300, stdout=subprocess.DEVNULL)
        found = _found()
    if found is None:
        pytest.skip("there is no chromium, and nobody here may install one")
    return found


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()


class Visitor:
    """One tab of somebody who is signed in, and everything that it did and should not have."""

    def __init__(self, page: Page, home: str) -> None:
        self.page = page
        self.home = home
        self.strangers: list[str] = []
        """Addresses of others that the page asked."""
        self.complaints: list[str] = []
        """What the browser forbade, and what broke in a script."""
        self.transferred = 0
        page.on("request", lambda request: self._note(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def go(self, path: str) -> Page:
        self.page.goto(self.home + path)
        return self.page

    def faults(self) -> list[str]:
        """What axe finds against WCAG 2.2 AA."""
        self.page.evaluate((package(*AXE) / "axe.min.js").read_text())
        # What draws the API reference is not ours; its page is asked for what is.
        told: dict[str, Any] = self.page.evaluate("() => axe.run({exclude: ['#reference']})")
        return [
            f"{each['id']}: {each['help']}: {node['html'][:200]} {node['failureSummary']}"
            for each in told["violations"]
            for node in each["nodes"]
        ]

    def picture(self, name: str, height: int | None = None) -> None:
        """For the documentation, which has no business with where a test keeps its repository."""
        folder = os.environ.get(SCREENSHOTS)
        if not folder:
            return
        self.page.evaluate(f"for (const one of document.querySelectorAll('{SOURCE}')) one.textContent = '{EXAMPLE}'")
        path = Path(folder) / f"{name}.png"
        if height is None:
            self.page.screenshot(path=path, animations="disabled")
        else:
            clip = FloatRect(x=0, y=0, width=1280, height=height)
            self.page.screenshot(path=path, animations="disabled", full_page=True, clip=clip)

    def _note(self, address: str) -> None:
        if not address.startswith((self.home + "/", "data:", "blob:")):
            self.strangers.append(address)


@contextmanager
def visiting(browser: Browser, home: str, cookie: tuple[str, str] | None = None, **how: Any) -> Iterator[Visitor]:
    """`how` is Playwright's: `color_scheme`, `viewport`, `reduced_motion`."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 820}, **how})
    if cookie is not None:
        context.add_cookies([{"name": cookie[0], "value": cookie[1], "url": home}])
    try:
        yield Visitor(context.new_page(), home)
    finally:
        context.close()


def _found() -> str | None:
    return next((found for found in map(shutil.which, NAMES) if found), None)
