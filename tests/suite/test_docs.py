"""Every suite that the documentation shows can be read."""

import re
from pathlib import Path

import jsonschema_rs
import pytest

from reconciler.model.document import load
from reconciler.model.schema import schema_of
from reconciler.model.suite.format import CaseWritten, Expect, SuiteWritten
from reconciler.model.suite.matcher import NAMES
from tests.suite.declaring import declare

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "suites.md").read_text()
SHARED = {
    "shared/login.yaml": "version: 1\ncases: [{name: log in, POST: /login, expect: {status: 200}}]",
    "shared/crud.yaml": "version: 1\ncases: [{name: list, GET: '${path}', expect: {status: 200}}]",
}
SHOWN = re.findall(r"```(yaml|hurl|http)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("form", "text"), SHOWN, ids=[f"{form} {number}" for number, (form, _) in enumerate(SHOWN)])
def test_a_suite_in_the_documentation_can_be_read(form: str, text: str) -> None:
    found = declare({"service.yaml": f"version: 1\ntests: [t.{form}]", f"t.{form}": text, **SHARED})
    assert len(found) > 0


@pytest.mark.parametrize("text", [text for form, text in SHOWN if form == "yaml"])
def test_an_editor_has_no_complaint_about_it(text: str) -> None:
    schema = jsonschema_rs.validator_for(schema_of("suite"))
    assert [error.message for error in schema.iter_errors(load(text.encode(), "tests.yaml").data)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        "cases: [{name: a, get: /x}]",
        "cases: [{name: a, GET: x}]",
        "cases: [{expect: {json: {$.a: {contians: 1}}}}]",
        "a: 1",
    ],
)
def test_an_editor_underlines_what_is_wrong(wrong: str) -> None:
    schema = jsonschema_rs.validator_for(schema_of("suite"))
    assert not schema.is_valid(load(f"version: 1\n{wrong}".encode(), "tests.yaml").data)


def test_every_key_of_the_format_is_in_the_documentation() -> None:
    fields = [
        field.alias or name
        for model in (CaseWritten, Expect, SuiteWritten)
        for name, field in model.model_fields.items()
    ]
    missing = [name for name in (*fields, *NAMES) if not name.isupper() and f"`{name}" not in PAGE]
    assert not missing
