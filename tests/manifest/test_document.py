"""What strangers write as YAML is refused with its place, or read as exactly what they wrote."""

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from reconciler.model.diagnosis import MAX_PROBLEMS
from reconciler.model.document import Document, Invalid, Part, load, parse, validate
from reconciler.model.names import ServiceName
from reconciler.model.platform import Platform, effective
from reconciler.model.problem import Problem
from tests.manifest.corpus import CORPUS, Hostile

FILE = "services/tasks/service.yaml"


def read(text: str | bytes) -> Document:
    return load(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"), FILE)


def refused(text: str | bytes) -> list[Problem]:
    with pytest.raises(Invalid) as raised:
        read(text)
    assert all(problem.file == FILE and problem.line and problem.column for problem in raised.value.problems)
    return list(raised.value.problems)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("+3", 3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("22:22", "22:22"),
        ("0777", "0777"),
        ("0o17", "0o17"),
        ("0xff", "0xff"),
        ("1_000", "1_000"),
        ("2026-02-30", "2026-02-30"),
        ("2026-02-30T12:00:00+99:99", "2026-02-30T12:00:00+99:99"),
        ("=", "="),
        ("<<", "<<"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("word more  words # comment", "word more  words"),
        ("a#b", "a#b"),
        ("https://a.b/c?d=e", "https://a.b/c?d=e"),
        ('"\\ud83d\\ude00"', "😀"),
        ("|\n  x\n  y", "x\ny"),
        (">\n  x\n  y", "x y"),
        ("word\n  goes\n\n  on", "word goes\non"),
        ("[a b, {c: d}, 'e', f]", ["a b", {"c": "d"}, "e", "f"]),
        ("\n- a\n- b: c\n  d: e", ["a", {"b": "c", "d": "e"}]),
    ],
)
def test_a_scalar_is_what_was_written(written: str, value: object) -> None:
    data = read(f"field: {written}").data
    assert data == {"field": value}
    assert type(data["field"]) is type(value)


@pytest.mark.parametrize("key", ["on", "NO", "true", "null", "200", "1.5", "0777", "$.tags[*]"])
def test_a_key_is_its_text(key: str) -> None:
    assert read(f"{key}: x").data == {key: "x"}


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\r\nb: 2\r\n",
        "\ufeffa: 1\n",
        "--- # one document\na: 1\n...\n",
        "# comment\n\n   # another\na:   1   # and one more\n\n\n",
        "a: {b: [1, 2], c: {}}\n",
        "? a\n: b\n",
        'a: "x\n  y"\n',
        "a:\n  - - 1\n    - 2\n  -\n  - x: y\n    z: |-\n      text\nb: 'it''s'\n",
        "a: [b\n  , c\n]\nd: multi\n   line plain\n   # ends it\ne: f\n",
        "a: b\n#c: d\n  # e\nf: >-\n\n  folded\n  text\n\nlast: x",
    ],
)
def test_ordinary_files_read_as_pyyaml_reads_them(text: str) -> None:
    assert read(text).data == yaml.safe_load(text)


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
def test_is_refused_with_its_place(hostile: Hostile) -> None:
    with pytest.raises(Invalid) as raised:
        effective(Platform(), load(hostile.content, FILE), ServiceName("tasks"))
    problem = raised.value.problems[0]
    assert (problem.code, (problem.line, problem.column)) == (hostile.code, hostile.place)
    assert len(raised.value.problems) <= MAX_PROBLEMS + 1
    assert len(repr(raised.value.problems)) < 100_000


def test_the_corpus_does_not_shrink() -> None:
    assert len(CORPUS) >= 75
    assert len({hostile.code for hostile in CORPUS}) >= 20


def test_bombs_cost_no_more_than_their_text() -> None:
    bombs = [hostile for hostile in CORPUS if hostile.name.endswith("bomb")]
    codes = {problem.code for bomb in bombs for problem in refused(bomb.content)}
    assert codes == {"anchor", "alias", "merge-key", "more-problems"}


def test_both_lines_of_a_duplicate_key_are_named() -> None:
    problem = refused("version: 1\nreplicas: 1\nreplicas: 2\n")[0]
    assert problem.line == 3
    assert "line 2" in problem.message
    assert problem.excerpt == "replicas: 2"


def test_everything_wrong_with_the_yaml_is_told_at_once() -> None:
    problems = refused("a: &x 1\nb: *x\nc: 1\nc: 2\nd: !!str e\nf: .inf\n")
    assert [problem.line for problem in problems] == [1, 2, 4, 5, 6]


def test_no_more_is_told_than_a_person_reads() -> None:
    problems = refused("".join("a: 1\n" for _ in range(1_000)))
    assert len(problems) <= 50 + 1
    assert problems[-1].code == "more-problems"


def test_hidden_characters_are_shown_and_do_not_act() -> None:
    problem = refused("a: \x1b[31mred\u202e\n")[0]
    assert problem.excerpt == "a: ␛[31mred�"


def test_a_long_line_is_cut() -> None:
    excerpt = refused("a: &x " + "b" * 100_000)[0].excerpt
    assert excerpt is not None
    assert len(excerpt) < 200


def test_settings_are_not_shown() -> None:
    for text in (
        "env:\n  KEY: @hunter2",
        "env: {A: 1, A: hunter2}",
        "env: {A: [hunter2",
        "secrets:\n  - &hunter2 hunter2",
    ):
        for problem in refused(text):
            assert "hunter2" not in (problem.excerpt or "")


def test_every_value_has_its_place() -> None:
    document = read("a: 1\nb:\n  - c: 2\n    d: [x, y]\n  - e\nf: {g: 3.10}\n")
    assert [
        (position.line, position.column)
        for position in (
            document.position(("a",)),
            document.key(("b", 0, "d")),
            document.position(("b", 0, "d", 1)),
            document.position(("b", 1)),
            document.position(("f", "g")),
            document.position(("f", "missing")),
            document.position(("missing",)),
        )
    ] == [(1, 4), (4, 5), (4, 12), (5, 5), (6, 8), (6, 4), (1, 1)]
    assert document.position(("f", "g")).excerpt == "f: {g: 3.10}"
    assert document.written(("f", "g")) == "3.10"
    assert document.written(("b", 1)) is None
    assert document.holds(("b", 0, "c"))
    assert not document.holds(("b", 2))


class Inner(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    size: int


class Outer(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    name: str
    inner: Inner | None = None


def test_a_file_becomes_a_model() -> None:
    assert parse(Outer, b"name: x\ninner: {size: 3}\n", FILE) == Outer(name="x", inner=Inner(size=3))


def test_all_that_a_model_refuses_is_told_at_once_with_the_service() -> None:
    with pytest.raises(Invalid) as raised:
        parse(Outer, b"nam: 3.10\ninner: {size: '07'}\n", FILE, "tasks")
    assert [(p.service, p.line, p.column, p.code, p.remedy) for p in raised.value.problems] == [
        ("tasks", 1, 1, "missing-field", "add `name: …`"),
        ("tasks", 1, 1, "unknown-field", "did you mean `name`?"),
        ("tasks", 2, 15, "wrong-type", "write 7, without quotes, leading zeros or separators"),
    ]


def test_a_part_of_a_file_is_validated_in_its_place() -> None:
    document = read("cases:\n  - inner: {size: x}\n")
    with pytest.raises(Invalid) as raised:
        validate(Inner, document.data["cases"][0]["inner"], Part(document, ("cases", 0, "inner")))
    problem = raised.value.problems[0]
    assert (problem.line, problem.column) == (2, 19)
