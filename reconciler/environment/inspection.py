"""What a new environment holds, looked at before any interpreter starts in it.

A wheel runs nothing while it is installed, but it can leave what runs at every start of Python, in every
service that shares the environment, and before any isolation: `.pth` files, `sitecustomize`, a second
`pyvenv.cfg`, another package's FastAPI. This refuses to judge the code of packages: they are imported by the
service on its own account.
"""

import csv
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from reconciler.model.problem import Problem

MOST_FILES = 150_000
STARTERS = re.compile(r"(?:sitecustomize|usercustomize)(?:\.|$)")

_NAME = r"'[\w.]+'"
_NAMESPACE = re.compile(
    r"import sys, types, os;(?:has_mfs = sys\.version_info > \(3, 5\);)?"
    rf"p = os\.path\.join\(sys\._getframe\(1\)\.f_locals\['sitedir'\], \*\({_NAME}(?:, ?{_NAME})*,?\)\);"
    r"importlib = (?:has_mfs and )?__import__\('importlib\.util'\);"
    r"(?:has_mfs and )?__import__\('importlib\.machinery'\);"
    rf"m = (?:has_mfs and )?sys\.modules\.setdefault\({_NAME}, importlib\.util\.module_from_spec\("
    rf"importlib\.machinery\.PathFinder\.find_spec\({_NAME}, \[os\.path\.dirname\(p\)\]\)\)\);"
    rf"m = m or sys\.modules\.setdefault\({_NAME}, types\.ModuleType\({_NAME}\)\);"
    r"mp = \(m or \[\]\) and m\.__dict__\.setdefault\('__path__',\[\]\);"
    r"\(p not in mp\) and mp\.append\(p\)"
    rf"(?:;m and setattr\(sys\.modules\[{_NAME}\], {_NAME}, m\))?"
)
_DISTUTILS = re.compile(
    r"import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os\.environ\.get\(var, '(?:local|stdlib)'\) == 'local'; "
    r"enabled and __import__\('_distutils_hack'\)(?:\.add_shim\(\))?;?"
)
_VIRTUALENV = re.compile(r"import _virtualenv")
_COVERAGE = re.compile(
    r"import sys; exec\('(?:\\n)*import os\\n\\n"
    r'if os\.getenv\("COVERAGE_PROCESS_START"\)(?: or os\.getenv\("COVERAGE_PROCESS_CONFIG"\))?:\\n'
    r" try:\\n  import coverage\\n except:\\n  pass\\n else:\\n"
    r'  coverage\.process_startup\((?:slug="pth")?\)(?:\\n)*'
    r"'\)"
)
FRAMEWORK = frozenset(
    {"fastapi", "starlette", "pydantic", "pydantic_core", "uvicorn", "httptools", "uvloop", "websockets"}
)
"""What a worker serves with. Two packages that bring the same files leave it to chance whose are there."""

HARMLESS = (_NAMESPACE, _DISTUTILS, _VIRTUALENV, _COVERAGE)
"""By their whole text and not by the name of the file, which anybody can take."""

REMEDY = "Choose a version without it, or let the operator trust the package: --allow-builds {package}"


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The files of an environment before anything was installed: none of them may change."""

    content: Mapping[str, bytes]


def skeleton(folder: Path) -> Skeleton:
    paths = [folder / "pyvenv.cfg", *(folder / "bin").iterdir()]
    return Skeleton({str(path.relative_to(folder)): _content(path) for path in paths})


def inspect(folder: Path, before: Skeleton, trusted: Collection[str]) -> tuple[Problem, ...]:
    """Everything that would run by itself, or alter how Python starts. Files beyond the folder uv never writes."""
    packages = next((folder / "lib").glob("python*/site-packages"))
    brought = frozenset(_owners(packages))
    owners = dict(brought)
    return (
        *_changed(folder, before),
        *_strange(folder, before),
        *_starting(packages, owners, trusted),
        *_replacing(brought, trusted),
    )


def _content(path: Path) -> bytes:
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()


def _changed(folder: Path, before: Skeleton) -> Iterator[Problem]:
    for name, content in before.content.items():
        path = folder / name
        if not os.path.lexists(path) or _content(path) != content:
            yield _problem("environment-altered", f"a package replaces the environment's own {name}", "a package")


def _strange(folder: Path, before: Skeleton) -> Iterator[Problem]:
    """Links, a second configuration of the interpreter, and more files than anybody needs."""
    count = 0
    for root, folders, files in os.walk(folder):
        count += len(files)
        for name in (*folders, *files):
            path = Path(root, name)
            shown = path.relative_to(folder).as_posix()
            if path.is_symlink() and shown not in before.content and shown != "lib64":
                yield _problem("link-in-package", f"a package brings the link {shown}", "a package")
            if name == "pyvenv.cfg" and Path(root) != folder:
                yield _problem("environment-altered", f"a package brings {shown}", "a package")
        if count > MOST_FILES:
            yield Problem(f"the packages have more than {MOST_FILES} files", "too-many-files", remedy="Require less")
            return


def _starting(packages: Path, owners: Mapping[str, str], trusted: Collection[str]) -> Iterator[Problem]:
    for entry in sorted(os.scandir(packages), key=lambda entry: entry.name):
        owner = owners.get(entry.name, "a package")
        if "*" in trusted or owner in trusted:
            continue
        if STARTERS.match(entry.name):
            message = f"{owner} brings {entry.name}, which runs at every start of Python"
            yield _problem("runs-at-start", message, owner)
        elif entry.name.endswith(".pth") and (line := _suspicious(Path(entry.path), packages)):
            message = f"{owner} brings {entry.name}, which acts at every start of Python"
            yield _problem("runs-at-start", message, owner, line)


def _replacing(brought: Collection[tuple[str, str]], trusted: Collection[str]) -> Iterator[Problem]:
    for name, owner in sorted(brought):
        if name in FRAMEWORK and owner != canonicalize_name(name) and not {"*", owner} & {*trusted}:
            message = f"{owner} brings {name}, which every worker has from the package of that name"
            yield _problem("replaces-framework", message, owner)


def _suspicious(path: Path, packages: Path) -> str | None:
    """The first line that runs code nobody knows, or puts a folder outside the packages on the path."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.strip()
        if words.startswith(("import ", "import\t")):
            if not any(known.fullmatch(words) for known in HARMLESS):
                return words
        elif (
            words and not words.startswith("#") and not (packages / words).resolve().is_relative_to(packages.resolve())
        ):
            return words
    return None


def _owners(packages: Path) -> Iterator[tuple[str, str]]:
    """Which distribution brought each top-level name."""
    for record in packages.glob("*.dist-info/RECORD"):
        owner = _owner(record)
        for path in _recorded(record):
            yield path.partition("/")[0], owner


def _owner(record: Path) -> str:
    return canonicalize_name(record.parent.name.removesuffix(".dist-info").partition("-")[0])


def _recorded(record: Path) -> Iterator[str]:
    with record.open(encoding="utf-8", errors="replace", newline="") as file:
        yield from (row[0] for row in csv.reader(file) if row)


def _problem(code: str, message: str, owner: str, excerpt: str | None = None) -> Problem:
    return Problem(message, code, excerpt=excerpt and excerpt[:120], remedy=REMEDY.format(package=owner))
