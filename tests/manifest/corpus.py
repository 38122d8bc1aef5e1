"""Manifests an enemy would write, each with the verdict it must get. The bench measures what the verdicts cost."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hostile:
    name: str
    text: str | bytes
    code: str
    place: tuple[int, int]
    """Line and column of the first problem."""

    @property
    def content(self) -> bytes:
        return self.text if isinstance(self.text, bytes) else self.text.encode("utf-8", "surrogatepass")


def _alias_bomb() -> str:
    levels = ["l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    return "\n".join(levels + [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)])


def _merge_bomb() -> str:
    return "\n".join(
        ["l0: &l0 {a: 1}"] + [f"l{n}: &l{n}\n  <<: [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    )


CORPUS = (
    Hostile("an alias bomb", _alias_bomb(), "anchor", (1, 5)),
    Hostile("a merge bomb", _merge_bomb(), "anchor", (1, 5)),
    Hostile("an anchor", "a: &x 1", "anchor", (1, 4)),
    Hostile("an alias", "a: *x", "alias", (1, 4)),
    Hostile("a list inside itself", "a: &a [*a]", "anchor", (1, 4)),
    Hostile("a merge key", "<<: {a: 1}", "merge-key", (1, 1)),
    Hostile("a tag with a wrong value", "a: !!int abc", "tag", (1, 4)),
    Hostile("a tag with an empty value", 'a: !!int ""', "tag", (1, 4)),
    Hostile("a boolean tag", "a: !!bool maybe", "tag", (1, 4)),
    Hostile("a float tag", "a: !!float x", "tag", (1, 4)),
    Hostile("a Python tag", "a: !!python/object/apply:os.system [id]", "tag", (1, 4)),
    Hostile("a tag on a key", "!x a: 1", "tag", (1, 1)),
    Hostile("a directive", "%YAML 1.1\n---\na: 1", "directive", (1, 1)),
    Hostile("a key written twice", "a: 1\na: 2", "duplicate-key", (2, 1)),
    Hostile("a key written twice, quoted once", "a: {b: 1, 'b': 2}", "duplicate-key", (1, 11)),
    Hostile("a number and its text as keys", "1: a\n'1': b", "duplicate-key", (2, 1)),
    Hostile("brackets without end", "[" * 100_000, "too-deep", (1, 33)),
    Hostile("braces without end", "{" * 100_000, "too-deep", (1, 33)),
    Hostile("balanced brackets, too deep", "a: " + "[" * 40 + "]" * 40, "too-deep", (1, 36)),
    Hostile("dashes without end", "- " * 100_000, "too-deep", (1, 65)),
    Hostile("question marks without end", "? " * 500, "too-deep", (1, 65)),
    Hostile("indentation without end", "".join(" " * n + "a:\n" for n in range(300)), "too-deep", (33, 33)),
    Hostile("9,000 keys", "".join(f"k{n}: v\n" for n in range(9_000)), "too-many-values", (2500, 8)),
    Hostile("100,000 numbers", "a: [" + "1," * 100_000 + "]", "too-many-values", (1, 9999)),
    Hostile("10 MB", "a" * 10_000_000, "file-too-large", (1, 1)),
    Hostile("nothing", "", "not-a-mapping", (1, 1)),
    Hostile("blank lines", "\n\n", "not-a-mapping", (1, 1)),
    Hostile("only comments", "# only\n# comments\n", "not-a-mapping", (1, 1)),
    Hostile("a list", "- a\n- b", "not-a-mapping", (1, 1)),
    Hostile("a scalar", "text", "not-a-mapping", (1, 1)),
    Hostile("an empty document", "---\n", "not-a-mapping", (2, 1)),
    Hostile("two documents", "a: 1\n---\nb: 2", "several-documents", (2, 1)),
    Hostile("a number of 5,000 digits", "a: " + "1" * 5_000, "number-too-long", (1, 4)),
    Hostile("not a number", "a: .nan", "not-finite", (1, 4)),
    Hostile("minus infinity", "a: -.inf", "not-finite", (1, 4)),
    Hostile("a number that overflows", "a: 1e999", "not-finite", (1, 4)),
    Hostile("NUL", "a: \x00", "hidden-character", (1, 4)),
    Hostile("a terminal's escape", "a: \x1b[31m", "hidden-character", (1, 4)),
    Hostile("a lone carriage return", "a: b\rc: d", "hidden-character", (1, 5)),
    Hostile("text turned around", "a: \u202egpj.exe", "hidden-character", (1, 4)),
    Hostile("a line separator", "a: b\u2028c: d", "hidden-character", (1, 5)),
    Hostile("a space without width in a name", "a\u200b: 1", "hidden-character", (1, 2)),
    Hostile("text turned around by an escape", 'a: "\\u202e"', "hidden-character", (1, 4)),
    Hostile("half a surrogate pair", 'a: "\\ud800"', "hidden-character", (1, 4)),
    Hostile("NUL by an escape", 'a: "\\0"', "hidden-character", (1, 4)),
    Hostile("a name turned around by an escape", '"\\u202e": 1', "hidden-character", (1, 1)),
    Hostile("UTF-16 with its mark", "a: 1\n".encode("utf-16"), "not-utf-8", (1, 1)),
    Hostile("UTF-16 without a mark", "a: 1\n".encode("utf-16-le"), "hidden-character", (1, 2)),
    Hostile("bytes that are no text", b"a: 1\nb: \xff\xfe", "not-utf-8", (2, 4)),
    Hostile("a surrogate in bytes", "\ud800".encode("utf-8", "surrogatepass"), "not-utf-8", (1, 1)),
    Hostile("a list as a key", "? [a]\n: b", "key-not-text", (1, 3)),
    Hostile("a mapping as a key", "{a: 1}: 2", "key-not-text", (1, 1)),
    Hostile("no key at all", "? \n: x", "empty-key", (1, 2)),
    Hostile("a quoted text of 10,000 lines", 'version: "' + "x\n" * 9_990 + '"', "unknown-value", (1, 10)),
    Hostile("a block text of 10,000 lines", "a: |\n" + "  x\n" * 9_990, "unknown-field", (1, 1)),
    Hostile("a folded text of 10,000 lines", "a: >\n" + "  x\n" * 9_990, "unknown-field", (1, 1)),
    Hostile("a plain text of 10,000 lines", "a: x\n" + "  y\n" * 9_990, "unknown-field", (1, 1)),
    Hostile("a block text of 60,000 lines", "a: |\n" + "  x\n" * 60_000, "file-too-large", (1, 1)),
    Hostile("a comment of 250 kB", "#" + "x" * 250_000 + "\nversion: 2", "unknown-value", (2, 10)),
    Hostile("250,000 blank lines", "\n" * 250_000 + "version: 2", "file-too-large", (1, 1)),
    Hostile("a name of 250 kB", "x" * 250_000 + ": 1", "syntax", (1, 250_001)),
    Hostile("2,000 unknown fields", "".join(f"k{n}: v\n" for n in range(2_000)), "unknown-field", (1, 1)),
    Hostile("escapes without end", 'a: "' + "\\n" * 120_000 + '"', "unknown-field", (1, 1)),
    Hostile("an escape beyond all characters", 'a: "\\UFFFFFFFF"', "syntax", (1, 7)),
    Hostile("a version of 5,000 digits", "%YAML " + "1" * 5_000 + ".1\n---\na: 1", "syntax", (1, 7)),
    Hostile("a tag of 250 kB", "a: !" + "x" * 250_000, "syntax", (1, 4)),
    Hostile("entries nested in one setting", "env: {A: " + "{b: " * 25 + "1" + "}" * 25 + "}", "wrong-type", (1, 10)),
    Hostile("a tab", "a:\n\t- b", "syntax", (2, 1)),
    Hostile("a reserved character", "a: @b", "syntax", (1, 4)),
    Hostile("two colons", "a: b: c", "syntax", (1, 5)),
    Hostile("a quote left open", "a: 'b", "syntax", (1, 6)),
    Hostile("a bracket left open", "a: [b, c\nd: e", "syntax", (2, 2)),
    Hostile("indentation that fits nothing", "a:\n  b: 1\n c: 2", "syntax", (3, 2)),
    Hostile("a line without a colon", "a\nb: 1", "syntax", (2, 2)),
    Hostile("an unknown escape", 'a: "\\q"', "syntax", (1, 6)),
    Hostile("words after a bar", "a: |x\n  b", "syntax", (1, 5)),
    Hostile("a bracket too many", "a: [b]]", "syntax", (1, 7)),
    Hostile("a list on the line of its name", "a: - b", "syntax", (1, 4)),
)
