"""The documentation tells the truth: its examples are valid, its lists complete, its links lead somewhere."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from fastapi.routing import APIRoute

from reconciler.api.application import ROUTERS, build
from reconciler.cli import app as command_line
from reconciler.model.document import parse
from reconciler.model.failure import Reason
from reconciler.model.manifest import NOT_YET, Manifest
from reconciler.model.platform import PlatformFile
from reconciler.model.status import ConditionType
from reconciler.model.suite.format import SuiteWritten
from tests.documents import PAGES, ROOT, Block, blocks, first_cells

REFERENCE = ROOT / "docs" / "reference.md"
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
WITHOUT_TITLE = {"suites.md": "tests.yaml"}
HEADING = re.compile(r"^#+ (.+)$", re.M)


def model_of(title: str) -> Any:
    return {"services.yaml": PlatformFile, "service.yaml": Manifest, "tests.yaml": SuiteWritten}[Path(title).name]


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_an_example_of_a_format_is_valid(block: Block) -> None:
    title = block.title or WITHOUT_TITLE.get(block.page.name)
    assert title is not None, "its first line names the file"
    parse(model_of(title), block.text.encode(), title)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_an_example_of_code_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def anchors(page: Path) -> set[str]:
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(page.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_of_one_machine_stands_in_a_page(page: Path) -> None:
    assert not re.search(r"/(home|root|work|tmp)/|TODO|FIXME", page.read_text())


def test_every_field_of_a_manifest_is_explained() -> None:
    explained = {name.partition(".")[0] for name in first_cells(REFERENCE, "service.yaml")}
    assert explained == set(Manifest.model_fields) - set(NOT_YET)


def test_every_command_is_listed() -> None:
    group = typer.main.get_command(command_line)
    listed = {name.split()[1] for name in first_cells(REFERENCE, "The command")}
    assert listed == set(getattr(group, "commands", {}))


def test_every_option_of_serve_is_listed() -> None:
    serve = getattr(typer.main.get_command(command_line), "commands", {})["serve"]
    options = {option for parameter in serve.params for option in parameter.opts if option.startswith("--")}
    assert set(first_cells(REFERENCE, "Options of `serve`")) == {"REPO", *options} - {"--help"}


def test_every_path_of_the_control_plane_is_listed() -> None:
    # Building it asks nobody anything: platform and access are only kept.
    schema = build(None, type("Nobody", (), {"hosts": ()})()).openapi()  # type: ignore[arg-type]
    paths = {f"{method.upper()} {path}" for path, methods in schema["paths"].items() for method in methods}
    assert set(first_cells(REFERENCE, "The control plane")) == {*paths, "GET /openapi.json"}


def test_every_page_is_listed() -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    pages = {route.path for route in routes if not route.include_in_schema and not route.path.startswith("/git/")}
    assert set(first_cells(REFERENCE, "Pages")) == pages


def test_every_condition_and_reason_is_explained() -> None:
    listed = first_cells(REFERENCE, "Status")
    assert set(listed) == {*get_args(ConditionType), *map(str, Reason)}


def test_every_decision_says_what_was_chosen_and_what_happened_since() -> None:
    for page in (ROOT / "docs" / "decisions").glob("0*.md"):
        text = page.read_text()
        assert "**Choice.**" in text and "**What happened since.**" in text and "{{" not in text, page.name
