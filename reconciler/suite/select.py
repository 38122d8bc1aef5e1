"""The cases somebody asked for by tag, with whatever they need to be possible."""

from collections.abc import Collection
from dataclasses import replace

from reconciler.model.suite.case import Case, Suite


def select(suite: Suite, tags: Collection[str] | None) -> Suite:
    """Setup and teardown always belong to it; so does every earlier case a chosen one needs or captures from."""
    if not tags:
        return suite
    wanted = frozenset(tags)
    chosen: list[Case] = []
    needs: set[str] = set()
    variables: set[str] = set()
    for case in reversed(suite.cases):
        captured = {capture.name for capture in case.captures}
        if not (wanted & case.tags or needs & {case.name, case.given_name} or variables & captured):
            continue
        chosen.append(case)
        needs |= set(case.needs)
        variables = (variables - captured) | {reference.name for reference in case.references}
    return replace(suite, cases=tuple(reversed(chosen)))
