"""What a service may write as its requirements. Rows D-01 to D-03 and D-18 of the corpus, and their kin."""

import time
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.model.failure import Reason, Stalled
from reconciler.model.package_change import difference
from reconciler.model.requirement import Requirements, from_list, from_lock, from_pyproject, from_text
from reconciler.model.requirement_line import Line

SHA = "sha256:" + "a" * 64
FILE = "services/tasks/requirements.txt"

REFUSED = {
    # D-01
    "another index": ("--index-url https://evil.example/simple", "option-not-allowed"),
    "a short option": ("-i https://evil.example/simple", "option-not-allowed"),
    "a further index": ("--extra-index-url=https://evil.example/simple", "option-not-allowed"),
    "a folder of links": ("--find-links /etc", "option-not-allowed"),
    "a trusted host": ("--trusted-host evil.example", "option-not-allowed"),
    "another file": ("-r /etc/passwd", "option-not-allowed"),
    "another file, glued": ("-r/etc/passwd", "option-not-allowed"),
    "itself": ("-r requirements.txt", "option-not-allowed"),
    "a constraint file": ("-c constraints.txt", "option-not-allowed"),
    "an editable": ("-e .", "option-not-allowed"),
    "pre-releases": ("--pre", "option-not-allowed"),
    "an option behind a requirement": ("httpx --global-option=x", "option-not-allowed"),
    "an option behind a marker": ("httpx; python_version>'3' --index-url=x", "option-not-allowed"),
    # D-02
    "a file URL": ("httpx @ file:///etc/passwd", "url-not-allowed"),
    "a bare file URL": ("file:///etc/passwd", "url-not-allowed"),
    "a wheel by URL": ("https://evil.example/x-1.0-py3-none-any.whl", "url-not-allowed"),
    "a named wheel by URL": ("x @ https://evil.example/x-1.0-py3-none-any.whl", "url-not-allowed"),
    "a repository": ("git+https://github.com/a/b", "url-not-allowed"),
    "a named repository": ("b @ git+https://github.com/a/b", "url-not-allowed"),
    "a repository over ssh": ("git+ssh://git@github.com/a/b", "url-not-allowed"),
    "a plain http URL": ("x @ http://allowed.example/x-1.0-py3-none-any.whl", "url-not-allowed"),
    "a password in a URL": ("x @ https://u:p@allowed.example/x-1.0-py3-none-any.whl", "url-not-allowed"),
    "a URL that is none": ("x @ https://[::1/x.whl", "url-not-allowed"),
    "a path": ("./local", "path-not-allowed"),
    "a path upwards": ("../local", "path-not-allowed"),
    "an absolute path": ("/opt/local", "path-not-allowed"),
    "a path without a dot": ("vendor/local", "path-not-allowed"),
    "a home folder": ("~/local", "path-not-allowed"),
    "a file of this folder": ("x-1.0-py3-none-any.whl", "path-not-allowed"),
    "a Windows path": ("C:\\x", "path-not-allowed"),
    # D-03
    "a variable": ("httpx==${VERSION}", "variable-not-allowed"),
    "a secret in a URL": ("x @ https://evil.example/${STRIPE_SECRET_KEY}/x.whl", "variable-not-allowed"),
    "a bare variable": ("$HOME", "variable-not-allowed"),
    # and what is simply wrong
    "two names": ("foo bar", "bad-requirement"),
    "no version": ("httpx>=", "bad-requirement"),
    "an unknown marker": ("httpx; planet == 'earth'", "bad-requirement"),
    "a weak hash": ("httpx==1.0 --hash=md5:abc", "bad-hash"),
    "half a hash": ("httpx==1.0 --hash=sha256:abc", "bad-hash"),
    "a control character": ("htt\x08px", "bad-character"),
    "a lone surrogate": ("htt\ud800px", "bad-character"),
    "a long line": ("a" * 3_000, "too-long"),
}


@pytest.mark.parametrize(("text", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_whatever_is_more_than_a_requirement(text: str, code: str) -> None:
    with pytest.raises(Stalled) as failed:
        from_list([Line(text, "services/tasks/service.yaml", 4, 5)], hosts=("allowed.example",))
    (problem,) = failed.value.problems
    assert failed.value.reason is Reason.REQUIREMENTS_FAILED
    assert (problem.code, problem.file, problem.line) == (code, "services/tasks/service.yaml", 4)
    assert problem.excerpt
    assert problem.remedy


def test_a_place_is_the_word_itself_even_on_a_continued_line() -> None:
    text = f"# ours\n\nhttpx==0.28.1 \\\n    --hash={SHA} \\\n    --hash=md5:abc\n"
    with pytest.raises(Stalled) as failed:
        from_text(text.encode(), FILE)
    (problem,) = failed.value.problems
    assert (problem.place, problem.excerpt) == (f"{FILE}:5:12", "    --hash=md5:abc")


def test_a_secret_is_never_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_1")
    with pytest.raises(Stalled) as failed:
        from_text(b"x @ https://evil.example/${STRIPE_SECRET_KEY}/x.whl", FILE)
    assert "sk_live_1" not in f"{failed.value.message}{failed.value.problems}"


def test_tells_all_problems_at_once() -> None:
    with pytest.raises(Stalled) as failed:
        from_text(b"-e .\nhttpx\n./x\nfoo bar\n", FILE)
    assert [problem.line for problem in failed.value.problems] == [1, 3, 4]
    assert failed.value.message.endswith("(and 2 more)")


def test_reads_names_versions_markers_extras_and_hashes_in_an_order_of_its_own() -> None:
    text = f"""
    # ours
    Typing_Extensions>=4   # a comment
    Supabase[Realtime] >=2, <3 ; python_version >= '3.11'
    httpx==0.28.1 \\
        --hash={SHA}\r
    """
    read = from_text(text.encode(), FILE)
    assert read.lines == (
        f"httpx==0.28.1 --hash={SHA}",
        'supabase[realtime]<3,>=2; python_version >= "3.11"',
        "typing-extensions>=4",
    )
    assert read == from_list(reversed(read.lines))
    assert read.key == from_list(read.lines).key


def test_a_url_is_read_where_the_operator_allows_its_host() -> None:
    line = "x @ https://allowed.example/x-1.0-py3-none-any.whl"
    assert from_list([line], hosts=("allowed.example",)).lines == (line,)


def test_the_same_package_twice_is_explained() -> None:
    with pytest.raises(Stalled) as failed:
        from_text(b"httpx>=0.27\nfastapi\nHTTPX<0.25\n", FILE)
    (problem,) = failed.value.problems
    assert problem.message == "httpx is required twice: `>=0.27` in line 1 and `<0.25` here"
    assert problem.line == 3


def test_the_same_package_twice_is_fine_where_only_one_counts_or_both_agree() -> None:
    text = b"httpx>=0.27; sys_platform=='linux'\nhttpx<0.25; sys_platform!='linux'\nfastapi\nfastapi\n"
    assert len(from_text(text, FILE).lines) == 3


WHOLE_FILES = {
    "one line of 1 MB": (b"a" * 1_000_000, "too-large"),
    "10,000 lines": (b"a\n" * 10_000, "too-many-lines"),
    "a NUL": (b"httpx\nfast\x00api\n", "bad-character"),
    "Latin-1": ("httpx\n# ñ\n".encode("latin-1"), "bad-encoding"),
    "UTF-16": ("httpx\n".encode("utf-16"), "bad-encoding"),
    "256 kB of continued lines": (b"a \\\n" * 60_000, "too-many-lines"),
    "256 kB without a blank": (b"a" * 250_000, "too-long"),
    "256 kB of brackets": (b"a" + b"[" * 1_900, "bad-requirement"),
    "markers within markers": (b"a; " + b"(" * 1_900, "bad-requirement"),
}


@pytest.mark.parametrize(("content", "code"), WHOLE_FILES.values(), ids=WHOLE_FILES.keys())
def test_refuses_a_hostile_file_at_once(content: bytes, code: str) -> None:
    began = time.monotonic()
    with pytest.raises(Stalled) as failed:
        from_text(content, FILE)
    assert failed.value.problems[0].code == code
    assert time.monotonic() - began < 1


PYPROJECTS: Mapping[str, tuple[str, str, int | None]] = {
    "no TOML": ("[project\n", "bad-toml", 1),
    "deep TOML": ("x=" + "[" * 100_000, "bad-toml", None),
    "no project": ("[tool.poetry.dependencies]\nhttpx = '^0.28'\n", "no-project", None),
    "a string": ("[project]\nname='x'\ndependencies = 'httpx'\n", "wrong-type", None),
    "a table": ("[project]\nname='x'\ndependencies = [{httpx='1'}]\n", "wrong-type", None),
    "dynamic": ("[project]\nname='x'\ndynamic = ['dependencies']\n", "dynamic-dependencies", 3),
    "a caret": ("[project]\nname='x'\nrequires-python = '^3.11'\n", "bad-python", 3),
    "a number": ("[project]\nname='x'\nrequires-python = 3.11\n", "bad-python", 3),
    "a path": ("[project]\nname='x'\ndependencies = [\n  'httpx',\n  'a @ file:///a',\n]\n", "url-not-allowed", 5),
}


@pytest.mark.parametrize(("text", "code", "line"), PYPROJECTS.values(), ids=PYPROJECTS.keys())
def test_refuses_what_of_a_pyproject_is_no_plain_list(text: str, code: str, line: int | None) -> None:
    with pytest.raises(Stalled) as failed:
        from_pyproject(text.encode(), "services/tasks/pyproject.toml")
    (problem,) = failed.value.problems
    assert (problem.code, problem.line) == (code, line)


def test_reads_only_the_project_table_of_a_pyproject() -> None:
    text = """
    [project]
    name = "tasks"
    requires-python = ">=3.11"
    dependencies = ["HTTPX>=0.27", 'anyio']
    [project.optional-dependencies]
    dev = ["pytest"]
    [tool.uv]
    index-url = "https://evil.example/simple"
    """
    assert from_pyproject(text.encode(), "pyproject.toml") == Requirements(("anyio", "httpx>=0.27"), python=">=3.11")


LOCKS = {
    "a range": (f"httpx>=1 --hash={SHA}", "not-pinned"),
    "a wildcard": (f"httpx==1.* --hash={SHA}", "not-pinned"),
    "no version": (f"httpx --hash={SHA}", "not-pinned"),
    "no hash": ("httpx==1.0", "hash-missing"),
}


@pytest.mark.parametrize(("text", "code"), LOCKS.values(), ids=LOCKS.keys())
def test_a_lock_pins_and_hashes_every_line(text: str, code: str) -> None:
    with pytest.raises(Stalled) as failed:
        from_lock(text.encode(), "services/tasks/service.lock")
    assert failed.value.problems[0].code == code


def test_a_lock_may_be_longer_than_what_people_write() -> None:
    hashes = "".join(f" \\\n    --hash=sha256:{number:064x}" for number in range(150))
    text = "".join(f"package{number}==1.0{hashes}\n" for number in range(50))
    read = from_lock(text.encode(), "service.lock")
    assert read.exact
    assert len(read.lines) == 50


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet=st.sampled_from("ab-r=<>~!;@$ {}[]()'\"\\#,.*1:/\n\r\t\0é\ud800"), max_size=60)
    | st.text(max_size=60)
)
def test_any_text_is_read_or_refused_and_what_was_read_reads_again(text: str) -> None:
    with suppress(Stalled):
        read = from_list(text.splitlines())
        assert from_list(read.lines) == read
    with suppress(Stalled):
        from_text(text.encode(errors="surrogatepass"), FILE)
    with suppress(Stalled):
        from_pyproject(text.encode(errors="surrogatepass"), "pyproject.toml")


def test_says_which_python_it_accepts() -> None:
    assert Requirements(python=">=3.11,<3.13").accepts("3.12.4")
    assert not Requirements(python=">=3.12").accepts("3.11.7")
    assert Requirements().accepts("3.11.7")


def test_the_difference_of_two_locks_reads_like_a_sentence() -> None:
    old = {"httpx": "0.27.2", "idna": "3.7", "h2": "4.1"}
    new = {"httpx": "0.28.1", "idna": "3.7", "h3": "1.0"}
    assert [str(change) for change in difference(old, new)] == [
        "h2 4.1 removed",
        "h3 1.0 added",
        "httpx 0.27.2 → 0.28.1",
    ]
