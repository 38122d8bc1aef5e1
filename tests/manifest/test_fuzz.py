"""Whatever the bytes, reading them ends in a manifest or in problems with lines: nothing else, and soon."""

import os
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.diagnosis import MAX_PROBLEMS
from reconciler.model.document import Invalid, load
from reconciler.model.manifest import Manifest
from reconciler.model.names import ServiceName
from reconciler.model.platform import Platform, effective, read_platform

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
"""Without it, the same few examples each time: enough to notice a broken boundary within two seconds."""

bounded = settings(
    max_examples=int(EXAMPLES or 150),
    derandomize=EXAMPLES is None,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

VALID = (
    b"version: 1\ndescription: text\nentry: router:router\nrequirements:\n  - httpx>=0.28\nenv: {A: 'b', C: \"d\"}\n"
    b"tests: [tests.yaml]\ngate: tests\nreplicas: 2\ndrain: 30s\ntimeout: {start: 30s}\nlimits:\n  memory: 512MiB\n"
    b"depends_on: [auth]\nwatch: [shared/*]\nsuspend: false\n# comment\ntext: |\n  a\n  b\n"
)
FRAGMENTS = st.sampled_from(
    [b"\n", b"  ", b"- ", b": ", b"? ", b"[", b"]", b"{", b"}", b",", b"&a ", b"*a", b"!!int ", b"<<: ", b"'", b'"',
     b"|\n", b">\n", b"---\n", b"...\n", b"%YAML 1.1\n", b"#", b"\t", b"\r", b"\x00", b"\xff", b"\xef\xbb\xbf",
     b"\xe2\x80\xae", b"\\", b"\\ud800", b"\\UFFFFFFFF", b"1e999", b".nan", b"0777", b"true", b"~", b"null", b"9" * 200,
     b"version", b"env", b"limits", b"cron", b"drain: ", b"secrets", b"a" * 300, "é😀".encode(), b"\xc2\x85"]
)  # fmt: skip
SOUP = st.lists(FRAGMENTS | st.binary(max_size=8), max_size=40).map(b"".join)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid manifest with a few bytes taken out, put in or moved."""
    text = bytearray(VALID)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(text)))
        until = min(len(text), at + draw(st.integers(0, 12)))
        text[at:until] = draw(FRAGMENTS | st.binary(max_size=6))
    return bytes(text)


def read(text: bytes) -> Manifest | tuple[Any, ...]:
    start = time.process_time()
    try:
        return effective(Platform(), load(text, "services/x/service.yaml"), ServiceName("x"))
    except Invalid as invalid:
        assert invalid.problems
        assert len(invalid.problems) <= MAX_PROBLEMS + 1
        assert all(problem.line and problem.column and problem.message for problem in invalid.problems)
        assert all("\x1b" not in f"{problem}" and "\x00" not in f"{problem}" for problem in invalid.problems)
        return invalid.problems
    finally:
        assert time.process_time() - start < 2.0


@bounded
@given(SOUP | mutated())
def test_any_bytes_end_in_a_manifest_or_in_problems(text: bytes) -> None:
    read(text)


@bounded
@given(st.dictionaries(st.sampled_from([*Manifest.model_fields, "other"]), PLAIN, max_size=6))
def test_any_values_end_in_a_manifest_or_in_problems(values: dict[str, Any]) -> None:
    lines = "\n".join(f"{name}: {_flow(value)}" for name, value in values.items())
    read(lines.encode("utf-8", "surrogatepass"))


@bounded
@given(SOUP)
def test_any_platform_file_ends_in_a_platform_or_in_problems(text: bytes) -> None:
    try:
        read_platform(text)
    except Invalid as invalid:
        assert invalid.problems


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(name)}: {_flow(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return (
        {None: "", True: "true", False: "false"}.get(value, str(value)) if not isinstance(value, float) else str(value)
    )
