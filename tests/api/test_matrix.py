"""The page of who may do what is made from the API's own description, and is the newest."""

from reconciler.model.access import SCOPES, Caller, Scope
from tests.api.asking import openapi
from tests.documents import ROOT

PAGE = ROOT / "docs" / "reference" / "access.md"
ORDER: tuple[Scope, ...] = ("read", "deploy", "secrets", "admin")


def matrix() -> list[str]:
    """Every endpoint with every scope, in lines of a table."""
    assert set(ORDER) == SCOPES
    lines = [f"| endpoint | no token | {' | '.join(f'`{scope}`' for scope in ORDER)} |", "|---" * 6 + "|"]
    for path, item in openapi()["paths"].items():
        for method, operation in item.items():
            needed = operation.get("x-scope")
            may = [needed is None or Caller("somebody", frozenset({scope})).may(needed) for scope in ORDER]
            cells = " | ".join("✓" if one else "–" for one in (needed is None, *may))
            lines.append(f"| `{method.upper()} {path}` | {cells} |")
    return lines


def test_the_page_shows_the_matrix_as_it_is() -> None:
    shown = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert shown == matrix(), "copy the table from here:\n" + "\n".join(matrix())
