"""Everything a service declares as tests becomes suites that can be played, or the list of all that is wrong.

Files are found, includes are put in place, rows of `each` become cases, and every `${…}` is traced to something
earlier, so that what can be known before playing is told before playing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel

from reconciler.model.diagnosis import in_order
from reconciler.model.document import Document, Invalid, Part, load, validate
from reconciler.model.names import ServiceName
from reconciler.model.position import Origin, Path, Position, shown
from reconciler.model.suite.case import MAX_CASES, Budget, Case, Suite
from reconciler.model.suite.case import Part as CasePart
from reconciler.model.suite.format import BudgetWritten, CaseWritten, SuiteWritten
from reconciler.suite.build import build
from reconciler.suite.files import Files
from reconciler.suite.formats.http_file import read_http
from reconciler.suite.formats.hurl import read_hurl
from reconciler.suite.reading import Fragment, Reading, merged
from reconciler.suite.trace import trace

M = TypeVar("M", bound=BaseModel)

DEFAULT: Final = "tests.yaml"
DEEPEST: Final = 8
"""How far one file may include another."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a service's manifest names as its tests."""

    suites: tuple[Suite, ...] = ()
    pytest_files: tuple[str, ...] = ()
    """Repository paths; pytest plays them, in the service's own environment."""

    def __len__(self) -> int:
        return sum(len(suite.cases) for suite in self.suites)


class TooMany(Exception):
    """More cases than are ever played; whatever else is wrong can wait."""


def declared(
    service: ServiceName,
    tests: Sequence[str | Mapping[str, Any]] | None,
    files: Files,
    origin: Origin,
    *,
    secrets: Collection[str] = (),
) -> Declared:
    """Read what the manifest's `tests` names; raises `Invalid` with everything that is wrong.

    `tests` is None where the manifest is silent. `origin` points into the manifest, at `("tests", n)`; `secrets` are
    the names that `${secrets.NAME}` may use.
    """
    reading = Reading(service, files)
    names = _named(tests, origin, reading)
    suites: list[Suite] = []
    try:
        suites = [*_inline(tests or (), origin, reading), *(_suite(name, reading) for name in names.suites)]
        for suite in suites:
            trace(suite, secrets, reading)
    except TooMany:
        pass
    if reading.problems:
        raise Invalid(in_order(reading.problems))
    return Declared(tuple(suites), names.pytest_files)


@dataclass(slots=True)
class _Named:
    suites: tuple[str, ...] = ()
    pytest_files: tuple[str, ...] = ()


def _named(tests: Sequence[str | Mapping[str, Any]] | None, origin: Origin, reading: Reading) -> _Named:
    """The files meant, each once, in the order they are named."""
    if tests is None:
        return _Named(reading.files.matching(DEFAULT))
    found: dict[str, None] = {}
    for number, glob in enumerate(tests):
        if isinstance(glob, str):
            names = reading.files.matching(glob) or _one(glob, origin.position(("tests", number)), reading)
            found.update(dict.fromkeys(names))
    pytest_files = tuple(name for name in found if name.endswith(".py"))
    return _Named(tuple(name for name in found if not name.endswith(".py")), pytest_files)


def _one(reference: str, at: Position, reading: Reading) -> tuple[str, ...]:
    if "*" in reference or "?" in reference:
        reading.refuse("missing-file", f"no file of the service matches `{reference[:120]}`", at)
        return ()
    name = reading.find(reference, at)
    return (name,) if name else ()


def _suite(name: str, reading: Reading) -> Suite:
    fragment = _file(name, reading, ())
    if not fragment.cases and not reading.problems:
        reading.refuse("no-cases", "a suite without cases shows nothing", Position(1, 1, "", name))
    return _assembled(fragment, reading.files.shown(name), name, reading)


def _inline(tests: Sequence[str | Mapping[str, Any]], origin: Origin, reading: Reading) -> list[Suite]:
    """Cases written in the manifest itself are one suite, named after its file."""
    whole = Fragment()
    for number, data in enumerate(tests):
        if not isinstance(data, str):
            at: Path = ("tests", number)
            written = _valid(CaseWritten, data, Part(origin, at), reading)
            whole.cases += _case(written, origin, at, reading, (), whole) if written else []
    if not whole.cases:
        return []
    file = origin.position(("tests",)).file
    return [_assembled(whole, reading.files.shown(file), file, reading)]


def _assembled(fragment: Fragment, name: str, file: str, reading: Reading) -> Suite:
    first: dict[str, Case] = {}
    for case in (*fragment.setup, *fragment.cases, *fragment.teardown):
        if case.name in first:
            _refuse_twin(case, first[case.name], reading)
        first.setdefault(case.name, case)
    return Suite(
        name=name,
        file=file,
        vars=fragment.vars,
        setup=tuple(fragment.setup),
        cases=tuple(fragment.cases),
        teardown=tuple(fragment.teardown),
        budget=fragment.budget,
    )


def _refuse_twin(case: Case, first: Case, reading: Reading) -> None:
    where = (
        f"{first.place.file}:{first.place.line}" if first.place.file != case.place.file else f"line {first.place.line}"
    )
    reading.refuse(
        "duplicate-name",
        f"two cases are called {shown(case.name)}; the other stands at {where}",
        case.place,
        remedy="give each its own name; a `name` beside `include` goes before those of its cases",
    )


def _file(name: str, reading: Reading, above: tuple[str, ...]) -> Fragment:
    """One file with all it includes. What cannot be read is a problem, and contributes nothing."""
    content = reading.files.read(name)
    try:
        if name.endswith(".hurl"):
            return read_hurl(content, name, reading)
        if name.endswith((".http", ".rest")):
            return read_http(content, name, reading)
        written, document = reading.once(name, lambda: _written(content, name, reading))
    except Invalid as invalid:
        reading.problems.extend(replace(problem, service=reading.service) for problem in invalid.problems)
        return Fragment()
    return _fragment(written, document, reading, (*above, name))


def _written(content: bytes, name: str, reading: Reading) -> tuple[SuiteWritten, Document]:
    document = load(content, name)
    return validate(SuiteWritten, document.data, document, reading.service), document


def _fragment(written: SuiteWritten, origin: Origin, reading: Reading, above: tuple[str, ...]) -> Fragment:
    whole = Fragment(budget=_budget(written.budget))
    for number, reference in enumerate(written.include):
        at: Path = ("include", number) if isinstance(written.include, tuple) else ("include",)
        _append(whole, _included(reference, origin.position(at), reading, above))
    whole.vars.update(written.vars)
    parts: tuple[tuple[CasePart, tuple[CaseWritten, ...]], ...] = (
        ("setup", written.setup),
        ("cases", written.cases),
        ("teardown", written.teardown),
    )
    for part, cases in parts:
        for number, case in enumerate(cases):
            getattr(whole, part).extend(_case(case, origin, (part, number), reading, above, whole))
            if len(whole) > MAX_CASES:
                _refuse_crowd(origin.position((part, number)), reading)
    return whole


def _case(
    written: CaseWritten, origin: Origin, at: Path, reading: Reading, above: tuple[str, ...], whole: Fragment
) -> list[Case]:
    """The cases that one entry stands for; what an included file brings besides goes into the whole."""
    if written.include is None:
        return list(build(written, origin, at, reading))
    place = origin.position((*at, "include"))
    included = _included(written.include, place, reading, above)
    cases = [_placed(case, written, place) for case in included.cases]
    whole.vars.update(merged(included.vars, whole.vars))
    whole.setup += [_placed(case, written, place) for case in included.setup]
    whole.teardown += [_placed(case, written, place) for case in included.teardown]
    return cases


def _placed(case: Case, written: CaseWritten, place: Position) -> Case:
    named = replace(case, name=f"{written.name} / {case.name}") if written.name else case
    return replace(named, row={**case.row, **written.vars}) if written.vars else named


def _included(reference: str, at: Position, reading: Reading, above: tuple[str, ...]) -> Fragment:
    reading.includes += 1
    if reading.includes > MAX_CASES:
        _refuse_crowd(at, reading)
    name = reading.find(reference, at)
    if name is None:
        return Fragment()
    if name in above:
        reading.refuse(
            "include-cycle", f"`{name}` includes itself, by way of {' and '.join(above[above.index(name) :])}", at
        )
        return Fragment()
    if len(above) >= DEEPEST:
        reading.refuse("include-too-deep", f"includes are more than {DEEPEST} deep here", at)
        return Fragment()
    return _file(name, reading, above)


def _append(whole: Fragment, more: Fragment) -> None:
    whole.vars.update(more.vars)
    whole.setup += more.setup
    whole.cases += more.cases
    whole.teardown += more.teardown


def _refuse_crowd(at: Position, reading: Reading) -> NoReturn:
    reading.refuse(
        "too-many-cases",
        f"a suite has at most {MAX_CASES:,} cases, rows and includes counted",
        at,
        remedy="split it, or show with fewer rows what they show",
    )
    raise TooMany


def _budget(written: BudgetWritten) -> Budget:
    return Budget(written.total, written.requests, written.request)


def _valid(model: type[M], data: Mapping[str, Any], origin: Origin, reading: Reading) -> M | None:
    try:
        return validate(model, data, origin, reading.service)
    except Invalid as invalid:
        reading.problems.extend(invalid.problems)
        return None
