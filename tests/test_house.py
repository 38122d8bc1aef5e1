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
NOT_AT_THE_START = {
    "alembic": "once in the life of a version",
    "prometheus_client": "when /metrics is asked",
    "psycopg": "with --database-url",
    "supabase": "with --supabase-mirror",
    "websockets": "never: the control plane has none",
}
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
    """Neither itself nor anything of ours that it imports needs more than the standard library."""
    ours, seen = ["reconciler.supervisor"], set()
    while ours:
        module = ours.pop()
        seen.add(module)
        needed = imports(source_of(module))
        foreign = {name for name in needed if name.partition(".")[0] not in sys.stdlib_module_names | {"reconciler"}}
        assert not foreign, f"{module} imports {foreign}"
        ours += [name for name in needed - seen if name.startswith("reconciler.")]


def test_control_starts_without_what_is_needed_rarely() -> None:
    """Everybody waits for it, at `reconciler serve` and after it was killed."""
    assert not loaded_with("reconciler.life") & NOT_AT_THE_START.keys()


def test_the_gateway_starts_with_next_to_nothing() -> None:
    foreign = loaded_with("reconciler.gateway.__main__") - loaded_with("json") - sys.stdlib_module_names
    assert foreign == {"reconciler"}


def test_only_what_both_ends_must_agree_on_is_shared_with_the_inside() -> None:
    shared = {
        f"reconciler.inside.{name}"
        for name in ("head", "prefix", "passing", "output", "redaction", "disguises", "tally", "usage")
    }
    for module in MODULES:
        taken = {name for name in imports(module) if name.startswith("reconciler.inside")}
        assert taken <= shared, f"{module.relative_to(PACKAGE)} imports {taken - shared}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_why_it_exists(module: Path) -> None:
    text = module.read_text()
    is_mere_folder = module.name == "__init__.py" and not text.strip()
    assert is_mere_folder or ast.get_docstring(ast.parse(text)), "it opens with a short paragraph"
    assert module.stem not in NOUNS_IN_HIDING, "the noun is still hiding"


def test_settings_are_read_in_one_place() -> None:
    readers = {
        str(module.relative_to(PACKAGE))
        for module in MODULES
        if "reconciler.settings" in imports(module) and module.parent.name != "cli"
    }
    assert readers <= {"life.py", "assembly.py", "heralds.py", "supervisor.py"}


def loaded_with(module: str) -> set[str]:
    """The packages that are there after its import in a process of its own."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


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
