"""Every `${…}` and every `needs` of a suite leads to something earlier, or the suite is refused before it is played."""

from collections.abc import Collection, Iterator

from reconciler.model.position import Position
from reconciler.model.suggestion import did_you_mean, listed
from reconciler.model.suite.case import Case, Suite
from reconciler.model.suite.template import Reference
from reconciler.suite.reading import Reading

RUN = ("id", "service", "release", "prefix")
NEW = ("uuid", "date")


def trace(suite: Suite, secrets: Collection[str], reading: Reading) -> None:
    known = _trace_vars(suite, secrets, reading)
    later = {capture.name: case.name for case in _all(suite) for capture in case.captures}
    named: set[str] = set()
    for case in _all(suite):
        for reference in case.references:
            _trace_reference(reference, case, known, later, secrets, reading)
        _trace_needs(case, named, reading)
        known |= {capture.name for capture in case.captures}
        named |= {case.name, case.given_name}


def _trace_vars(suite: Suite, secrets: Collection[str], reading: Reading) -> set[str]:
    known: set[str] = set()
    for name, value in suite.vars.items():
        for reference in value.references:
            if reference.name not in known and not _is_given(reference, secrets):
                place = reading.pinpoint(_top(suite), _spellings(reference))
                problem = f"the variable `{reference.text}` is not defined above `{name}`"
                reading.refuse("unknown-variable", problem, place, remedy=did_you_mean(reference.name, known))
        known.add(name)
    return known


def _trace_reference(
    reference: Reference,
    case: Case,
    known: Collection[str],
    later: dict[str, str],
    secrets: Collection[str],
    reading: Reading,
) -> None:
    if reference.name in known or _is_given(reference, secrets):
        return
    place = reading.pinpoint(case.place, _spellings(reference))
    if reference.name == "secrets":
        problem = f"the service has no secret `{'.'.join(reference.steps)}`"
        reading.refuse("unknown-secret", problem, place, expected=listed(sorted(secrets)) or None)
    elif reference.name in later:
        problem = f"the variable `{reference.name}` is captured only later, by `{later[reference.name]}`"
        reading.refuse("unknown-variable", problem, place, remedy="put that case before this one")
    else:
        names = {*known, *case.row, "run", "new", "secrets"}
        problem = f"the variable `{reference.text}` is not defined"
        remedy = did_you_mean(reference.name, names) or "define it under `vars`, or capture it in an earlier case"
        reading.refuse("unknown-variable", problem, place, remedy=remedy)


def _is_given(reference: Reference, secrets: Collection[str]) -> bool:
    given: dict[str, Collection[str]] = {"run": RUN, "new": NEW, "secrets": secrets}
    return len(reference.steps) == 1 and reference.steps[0] in given.get(reference.name, ())


def _trace_needs(case: Case, named: Collection[str], reading: Reading) -> None:
    for need in case.needs:
        if need not in named:
            place = reading.pinpoint(case.place, ("needs",))
            problem = f"`needs` names `{need[:80]}`, and no case before this one is called that"
            reading.refuse("unknown-case", problem, place, remedy=did_you_mean(need, named))


def _all(suite: Suite) -> Iterator[Case]:
    yield from suite.setup
    yield from suite.cases
    yield from suite.teardown


def _spellings(reference: Reference) -> tuple[str, ...]:
    return f"${{{reference.text}", f"{{{{{reference.text}"


def _top(suite: Suite) -> Position:
    return Position(1, 1, "", suite.file)
