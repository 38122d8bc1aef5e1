"""What is kept elsewhere: the server's environment, dotenv files, and what a command is given."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model.pinned_secret import PinnedSecret
from reconciler.secrets import DotenvFiles, Given, Missing, Provider, ServerEnvironment
from tests.secrets.stores import wanted


def fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def value(provider: Provider, name: str, reference: str | None = None) -> str:
    reference = reference or f"store:{name}"
    version = provider.version(wanted(name, reference))
    return asyncio.run(provider.value(PinnedSecret(name, reference, version)))


def environment(*allowed: str, **variables: str) -> ServerEnvironment:
    return ServerEnvironment(variables, allowed, fingerprint)


def test_a_variable_of_the_server_is_taken_under_another_name() -> None:
    assert value(environment(STRIPE="sk_live"), "STRIPE_KEY", "env:STRIPE") == "sk_live"


@pytest.mark.parametrize(
    ("provider", "told"),
    [
        (environment(), "the server's environment has no STRIPE; set it where the server is started"),
        (environment(STRIPE=""), "the server's environment has no STRIPE"),
        (environment("APP_*", STRIPE="x"), "may not have STRIPE .*; allow it with `reconciler serve --secrets-env ST"),
    ],
    ids=["not set", "empty", "not allowed"],
)
def test_a_variable_that_cannot_be_had_is_named(provider: Provider, told: str) -> None:
    with pytest.raises(Missing, match=told):
        value(provider, "STRIPE_KEY", "env:STRIPE")


def test_an_operator_allows_variables_by_pattern() -> None:
    assert value(environment("APP_*", APP_KEY="x"), "KEY", "env:APP_KEY") == "x"


def test_another_value_is_another_version() -> None:
    versions = {environment(A=one).version(wanted("A", "env:A")) for one in ("1", "1", "2")}
    assert len(versions) == 2


DOTENV = """\
# what the payments need
STRIPE_KEY="sk live"
export SENTRY_DSN=https://key@sentry.example/1   # who watches
PEM="-----BEGIN
two lines"
PRICE='$5 ${HOME}'
EMPTY=
this is no setting
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "payments.env"
    path.write_text(DOTENV)
    yield path


@pytest.mark.filterwarnings("ignore")
def test_a_line_of_a_dotenv_file_is_taken_as_it_stands(file: Path) -> None:
    files = DotenvFiles([file], fingerprint)
    assert value(files, "STRIPE_KEY", "file:payments.env") == "sk live"
    assert value(files, "DSN", "file:payments.env#SENTRY_DSN") == "https://key@sentry.example/1"
    assert value(files, "PEM", f"file:{file}") == "-----BEGIN\ntwo lines"
    assert value(files, "PRICE", "file:payments.env") == "$5 ${HOME}"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("file:payments.env#NOPE", "the file payments.env has no NOPE; add a line `NOPE=…` to it"),
        ("file:payments.env#EMPTY", "the file payments.env has no EMPTY"),
        ("file:other.env", "no file other.env was allowed by the operator; allow it with `reconciler serve --secrets-"),
        ("file:/etc/passwd#root", "no file /etc/passwd was allowed"),
        ("file:../payments.env", "no file ../payments.env was allowed"),
    ],
)
def test_what_cannot_be_had_of_files_is_named(file: Path, source: str, told: str) -> None:
    with pytest.raises(Missing, match=told):
        value(DotenvFiles([file], fingerprint), "KEY", source)


def test_two_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / ".env").write_text(f"KEY={folder}\n")
        files.append(tmp_path / folder / ".env")
    provider = DotenvFiles(files, fingerprint)
    with pytest.raises(Missing, match=r"2 allowed files are called \.env; name the one that is meant by its path"):
        value(provider, "KEY", "file:.env")
    assert value(provider, "KEY", f"file:{files[1]}") == "b"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "there is no file payments.env; make it"),
        (b"\xff\xfe", "is no dotenv file"),
        (b"A=1\n" * 2_000_000, "is no dotenv"),
    ],
    ids=["gone", "no text", "eight megabytes"],
)
def test_a_file_that_is_no_good_is_told(file: Path, content: bytes | None, told: str) -> None:
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Missing, match=told):
        value(DotenvFiles([file], fingerprint), "KEY", "file:payments.env")


def test_a_file_that_was_replaced_or_changed_or_came_keeps_another_pace(file: Path) -> None:
    files = DotenvFiles([file], fingerprint)
    paces = [files.pace()]
    file.write_text(DOTENV + "MORE=1\n")
    paces.append(files.pace())
    beside = file.with_name("new")
    beside.write_text(file.read_text())
    beside.replace(file)
    paces.append(files.pace())
    file.unlink()
    paces.append(files.pace())
    assert len(set(paces)) == 4 and files.pace() == paces[-1]


def test_a_command_takes_what_it_is_given_under_the_variables_own_name() -> None:
    given = Given({"A": "from a file"}, {"A": "from the environment", "B": "b", "SOURCE": "by its source"})
    assert value(given, "A") == "from a file"
    assert value(given, "B", "file:payments.env#OTHER") == "b"
    assert value(given, "C", "env:SOURCE") == "by its source"
    with pytest.raises(Missing, match="the secret D is not given; set D in the environment, or in a file given with"):
        value(given, "D")
