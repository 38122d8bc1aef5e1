"""The terminals in the documentation are those that a push has: played again, and compared line by line."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.end_to_end.platform import Platform
from tests.end_to_end.pushing import git, push, remote
from tests.end_to_end.repository import Files
from tests.end_to_end.samples import PLATFORM, service

RECORDED = re.compile(
    r"^<!-- push: (?P<name>\w+) -->\n```console\n\$ git push reconciler main\n(?P<text>.*?)^```$", re.M | re.S
)
PAGES = (ROOT / "docs" / "push.md", ROOT / "README.md")
SUITE = """
    version: 1
    cases:
      - name: tells the time
        GET: /version
        expect: {status: 200}
"""
PUSHES: dict[str, Files] = {
    "deploys": {**service("clock"), "services/clock/tests.yaml": SUITE},
    "declined": {"services/clock/service.yaml": "version: 1\nrequirments: [httpx]\n"},
    "fails": {**service("clock", "2"), "services/clock/tests.yaml": SUITE.replace("/version", "/time")},
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[dict[str, str]]:
    """What stood in the terminal, push by push."""
    with Platform(tmp_path_factory.mktemp("recorded"), template, receives=True) as server:
        server.start()
        server.commit({"services.yaml": PLATFORM, **service("hello")})
        assert push(server).code == 0
        server.repository.git("remote", "add", "reconciler", remote(server))
        yield {name: terminal(server, files) for name, files in PUSHES.items()}


def terminal(server: Platform, files: Files) -> str:
    good = server.repository.git("rev-parse", "HEAD")
    server.commit(files)
    pushed = git(server.repository.path, "push", "reconciler", "main")
    if pushed.code:
        server.repository.git("reset", "--quiet", "--hard", good)
    text = pushed.said.replace(f":{server.control_port}/", ":8001/").replace(f":{server.port}/", ":8000/")
    return plain(text)


def plain(text: str) -> str:
    """Without what differs from one time to the next: commits, seconds, numbers of syncs, spaces at the ends."""
    text = re.sub(r"\b[0-9a-f]{7,8}(?=\b)", "<commit>", text)
    text = re.sub(r"\b\d+\.\d+ s\b", "<seconds>", text)
    text = re.sub(r"-----> Sync \d+", "-----> Sync <number>", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


@pytest.mark.parametrize("name", PUSHES)
def test_the_guide_shows_what_a_push_shows(said: dict[str, str], name: str) -> None:
    shown = [found for page in PAGES for found in RECORDED.finditer(page.read_text()) if found["name"] == name]
    assert shown, f"no page shows the push that {name}"
    for found in shown:
        assert plain(found["text"]) == said[name]


def test_no_recorded_terminal_is_left_out() -> None:
    names = {found["name"] for page in PAGES for found in RECORDED.finditer(page.read_text())}
    assert names == set(PUSHES)
