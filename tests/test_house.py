"""The house rules that a machine can hold: who may import whom, and what a file must look like."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "reconciler"
MODULES = sorted(PACKAGE.rglob("*.py"))
NOUNS_IN_HIDING = {"helper", "helpers", "util", "utils", "manager", "managers", "handler", "handlers", "common", "misc"}
FRAMEWORK_OF_A_SERVICE = {"fastapi", "starlette", "uvicorn", "httptools", "uvloop", "websockets"}


def test_every_import_goes_downwards() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_what_runs_inside_a_service_needs_nothing_that_it_may_not_have() -> None:
    allowed = sys.stdlib_module_names | FRAMEWORK_OF_A_SERVICE
    for module in sorted((PACKAGE / "inside").glob("*.py")):
        strangers = {name for name in absolute_imports(module) if name not in allowed}
        assert not strangers, f"{module.name} imports {strangers}"


def test_the_supervisor_has_nothing_to_break_on() -> None:
    for name in absolute_imports(PACKAGE / "supervisor.py"):
        assert name in sys.stdlib_module_names or name == "reconciler", name
    assert {part for part in imports(PACKAGE / "supervisor.py") if part.startswith("reconciler")} <= {
        "reconciler",
        "reconciler.settings",
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_why_it_exists(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text())), "it opens with a short paragraph"
    assert module.stem not in NOUNS_IN_HIDING, "the noun is still hiding"


def test_settings_are_read_in_one_place() -> None:
    readers = {
        str(module.relative_to(PACKAGE))
        for module in MODULES
        if "reconciler.settings" in imports(module) and module.parent.name != "cli"
    }
    assert readers <= {"app.py", "supervisor.py"}


def imports(module: Path) -> set[str]:
    return set(_imports(ast.parse(module.read_text())))


def absolute_imports(module: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(module)}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
