"""What stands in the source below the fields of models, for whoever reads the OpenAPI document.

Read when the document is made, which is seldom; pydantic would read it whenever the models are imported, which is
at every start of every command.
"""

import ast
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType

from reconciler.api import events, pages, reports, webhooks
from reconciler.model import secret_status, status, verdict
from reconciler.model.suite import expectation

TOLD_FROM = (status, secret_status, verdict, expectation, pages, reports, webhooks, events)


@cache
def wording() -> dict[tuple[str, str], str]:
    """By class and field, those inherited included."""
    classes = {one.name: one for module in TOLD_FROM for one in _classes(module)}
    return {(name, field): text for name in classes for field, text in _fields(name, classes)}


def _classes(module: ModuleType) -> Iterator[ast.ClassDef]:
    tree = ast.parse(Path(module.__file__ or "").read_text())
    return (node for node in tree.body if isinstance(node, ast.ClassDef))


def _fields(name: str, classes: dict[str, ast.ClassDef]) -> Iterator[tuple[str, str]]:
    for base in classes[name].bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _fields(base.id, classes)
    for field, below in pairwise(classes[name].body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and (text := _text(below)):
            yield field.target.id, text


def _text(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None
