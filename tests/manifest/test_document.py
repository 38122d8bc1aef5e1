"""What strangers write as YAML is refused with its place, or read as exactly what they wrote."""

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from reconciler.model.document import Document, Invalid, Part, load, parse, validate
from reconciler.model.problem import Problem

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


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        pytest.param("a: &x 1", "anchor", (1, 4), id="an anchor"),
        pytest.param("a: *x", "alias", (1, 4), id="an alias"),
        pytest.param("a: &a [*a]", "anchor", (1, 4), id="a list inside itself"),
        pytest.param("<<: {a: 1}", "merge-key", (1, 1), id="a merge key"),
        pytest.param("a: !!int abc", "tag", (1, 4), id="a tag with a wrong value"),
        pytest.param('a: !!int ""', "tag", (1, 4), id="a tag with an empty value"),
        pytest.param("a: !!bool maybe", "tag", (1, 4), id="a boolean tag"),
        pytest.param("a: !!float x", "tag", (1, 4), id="a float tag"),
        pytest.param("a: !!python/object/apply:os.system [id]", "tag", (1, 4), id="a Python tag"),
        pytest.param("!x a: 1", "tag", (1, 1), id="a tag on a key"),
        pytest.param("%YAML 1.1\n---\na: 1", "directive", (1, 1), id="a directive"),
        pytest.param("a: 1\na: 2", "duplicate-key", (2, 1), id="a key written twice"),
        pytest.param("a: {b: 1, 'b': 2}", "duplicate-key", (1, 11), id="a key written twice, quoted once"),
        pytest.param("1: a\n'1': b", "duplicate-key", (2, 1), id="a number and its text as keys"),
        pytest.param("[" * 100_000, "too-deep", (1, 33), id="brackets without end"),
        pytest.param("{" * 100_000, "too-deep", (1, 33), id="braces without end"),
        pytest.param("a: " + "[" * 40 + "]" * 40, "too-deep", (1, 36), id="balanced brackets, too deep"),
        pytest.param("- " * 100_000, "too-deep", (1, 65), id="dashes without end"),
        pytest.param("? " * 500, "too-deep", (1, 65), id="question marks without end"),
        pytest.param("".join(" " * n + "a:\n" for n in range(300)), "too-deep", (33, 33), id="indentation without end"),
        pytest.param("".join(f"k{n}: v\n" for n in range(20_000)), "too-many-values", (2500, 8), id="20,000 keys"),
        pytest.param("a: [" + "1," * 100_000 + "]", "too-many-values", (1, 9999), id="100,000 numbers"),
        pytest.param("a" * 10_000_000, "file-too-large", (1, 1), id="10 MB"),
        pytest.param("", "not-a-mapping", (1, 1), id="nothing"),
        pytest.param("\n\n", "not-a-mapping", (1, 1), id="blank lines"),
        pytest.param("# only\n# comments\n", "not-a-mapping", (1, 1), id="only comments"),
        pytest.param("- a\n- b", "not-a-mapping", (1, 1), id="a list"),
        pytest.param("text", "not-a-mapping", (1, 1), id="a scalar"),
        pytest.param("---\n", "not-a-mapping", (2, 1), id="an empty document"),
        pytest.param("a: 1\n---\nb: 2", "several-documents", (2, 1), id="two documents"),
        pytest.param("a: " + "1" * 5_000, "number-too-long", (1, 4), id="a number of 5,000 digits"),
        pytest.param("a: .nan", "not-finite", (1, 4), id="not a number"),
        pytest.param("a: -.inf", "not-finite", (1, 4), id="minus infinity"),
        pytest.param("a: 1e999", "not-finite", (1, 4), id="a number that overflows"),
        pytest.param("a: \x00", "hidden-character", (1, 4), id="NUL"),
        pytest.param("a: \x1b[31m", "hidden-character", (1, 4), id="a terminal's escape"),
        pytest.param("a: b\rc: d", "hidden-character", (1, 5), id="a lone carriage return"),
        pytest.param("a: \u202egpj.exe", "hidden-character", (1, 4), id="text turned around"),
        pytest.param("a: b\u2028c: d", "hidden-character", (1, 5), id="a line separator"),
        pytest.param("a\u200b: 1", "hidden-character", (1, 2), id="a space without width in a name"),
        pytest.param('a: "\\u202e"', "hidden-character", (1, 4), id="text turned around by an escape"),
        pytest.param('a: "\\ud800"', "hidden-character", (1, 4), id="half a surrogate pair"),
        pytest.param('a: "\\0"', "hidden-character", (1, 4), id="NUL by an escape"),
        pytest.param('"\\u202e": 1', "hidden-character", (1, 1), id="a name turned around by an escape"),
        pytest.param("a: 1\n".encode("utf-16"), "not-utf-8", (1, 1), id="UTF-16 with its mark"),
        pytest.param("a: 1\n".encode("utf-16-le"), "hidden-character", (1, 2), id="UTF-16 without a mark"),
        pytest.param(b"a: 1\nb: \xff\xfe", "not-utf-8", (2, 4), id="bytes that are no text"),
        pytest.param("\ud800".encode("utf-8", "surrogatepass"), "not-utf-8", (1, 1), id="a surrogate in bytes"),
        pytest.param("? [a]\n: b", "key-not-text", (1, 3), id="a list as a key"),
        pytest.param("{a: 1}: 2", "key-not-text", (1, 1), id="a mapping as a key"),
        pytest.param("? \n: x", "empty-key", (1, 2), id="no key at all"),
        pytest.param("a:\n\t- b", "syntax", (2, 1), id="a tab"),
        pytest.param("a: @b", "syntax", (1, 4), id="a reserved character"),
        pytest.param("a: b: c", "syntax", (1, 5), id="two colons"),
        pytest.param("a: 'b", "syntax", (1, 6), id="a quote left open"),
        pytest.param("a: [b, c\nd: e", "syntax", (2, 2), id="a bracket left open"),
        pytest.param("a:\n  b: 1\n c: 2", "syntax", (3, 2), id="indentation that fits nothing"),
        pytest.param("a\nb: 1", "syntax", (2, 2), id="a line without a colon"),
        pytest.param('a: "\\q"', "syntax", (1, 6), id="an unknown escape"),
        pytest.param("a: |x\n  b", "syntax", (1, 5), id="words after a bar"),
        pytest.param("a: [b]]", "syntax", (1, 7), id="a bracket too many"),
        pytest.param("a: - b", "syntax", (1, 4), id="a list on the line of its name"),
    ],
)
def test_is_refused_with_its_place(text: str | bytes, code: str, place: tuple[int, int]) -> None:
    problem = refused(text)[0]
    assert (problem.code, (problem.line, problem.column)) == (code, place)


def test_an_alias_bomb_costs_nothing() -> None:
    levels = ["l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    levels += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert {problem.code for problem in refused("\n".join(levels))} == {"anchor", "alias", "more-problems"}


def test_a_merge_bomb_costs_nothing() -> None:
    levels = ["l0: {a: 1}"] + [f"l{n}:\n  <<: [{', '.join(['{a: 1}'] * 9)}]" for n in range(1, 9)]
    assert {problem.code for problem in refused("\n".join(levels))} == {"merge-key"}


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
