"""The store keeps values and versions, over restarts, changed keys, lost keys and hands in the database."""

import base64
import os
import re
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.model.unusable import Unusable
from reconciler.secrets import EncryptedStore, Missing
from reconciler.secrets.encrypted_store import Locked
from reconciler.secrets.value import LARGEST, warnings
from tests.secrets.stores import current, pinned, wanted, with_store

VALUES = [
    pytest.param("k", id="one character"),
    pytest.param("abc", id="three characters"),
    pytest.param("-----BEGIN KEY-----\nMIIE\r\n\n-----END KEY-----\n", id="several lines"),
    pytest.param("pässwörd 🔑 \u2028", id="beyond ASCII"),
    pytest.param("x" * LARGEST, id="a whole megabyte"),
    pytest.param("\n".join("abc"[number % 3] for number in range(500_000)), id="as many lines as a megabyte holds"),
    pytest.param("password", id="a common word"),
    pytest.param("${HOME} $(id) `id`", id="what a shell would expand"),
]


async def trouble(store: EncryptedStore) -> str | None:
    return str(store.trouble) if store.trouble else None


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_there_after_a_restart(tmp_path: Path, value: str) -> None:
    async def put(store: EncryptedStore) -> None:
        added = await store.set("TOKEN", value, "ana")
        assert added is not None and added.version == 1

    async def get(store: EncryptedStore) -> str:
        return await current(store, "TOKEN")

    with_store(tmp_path, put)
    assert with_store(tmp_path, get) == value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "the value is empty"),
        ("a\0b", "holds a NUL"),
        ("x" * (LARGEST + 1), "has 1,048,577 bytes"),
        ("\ud800", "not text that can be written as UTF-8"),
        ("\n".join(map(str, range(100_000, 120_100))), "has over 20,000 different lines"),
    ],
    ids=["empty", "NUL", "over a megabyte", "half a character", "too many lines"],
)
def test_what_no_variable_can_hold_is_refused_in_words_without_it(tmp_path: Path, value: str, why: str) -> None:
    async def put(store: EncryptedStore) -> None:
        with pytest.raises(Unusable, match=why) as refused:
            await store.set("TOKEN", value, "ana")
        assert not value or value not in str(refused.value)
        assert store.names() == []

    with_store(tmp_path, put)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("abc", "is shorter than 4 characters, so it is not taken out"),
        ("Password", "is a common word"),
        ("xy" * 100_000, "cannot start other programs"),
        ("a-good-long-random-value", ""),
    ],
    ids=["three characters", "a common word", "very long", "good"],
)
def test_a_poor_value_is_taken_with_a_warning(value: str, told: str) -> None:
    assert told in "; ".join(warnings(value)) and bool(told) == bool(warnings(value))


def test_every_version_is_kept_for_those_that_have_it_with_who_and_when(tmp_path: Path) -> None:
    async def scenario(store: EncryptedStore) -> None:
        await store.set("TOKEN", "first", "ana")
        assert await store.set("TOKEN", "first", "ben") is None, "the same value is no new version"
        await store.set("TOKEN", "second", "ben")
        await store.remove("TOKEN", "cid")
        assert await store.remove("TOKEN", "cid") is None
        with pytest.raises(Missing, match="there is no secret TOKEN; run `reconciler secrets set TOKEN`"):
            store.version(wanted("TOKEN"))
        assert store.names() == []
        assert await store.value(pinned("TOKEN", 1)) == "first"
        assert await store.value(pinned("TOKEN", 2)) == "second"
        again = await store.set("TOKEN", "second", "ana")
        assert again is not None and again.version == 4, "a number is never used again"
        told = [(one.version, one.by, one.removed) for one in store.versions("TOKEN")]
        assert told == [(1, "ana", False), (2, "ben", False), (3, "cid", True), (4, "ana", False)]

    with_store(tmp_path, scenario)


def test_what_no_release_has_any_more_is_erased_and_its_history_stays(tmp_path: Path) -> None:
    async def scenario(store: EncryptedStore) -> None:
        for value in ("one", "two", "three"):
            await store.set("TOKEN", value, "ana")
        await store.erase_unneeded({("TOKEN", 2)})
        with pytest.raises(Missing, match="version 1 of the secret TOKEN is no longer kept"):
            await store.value(pinned("TOKEN", 1))
        assert await store.value(pinned("TOKEN", 2)) == "two"
        assert await current(store, "TOKEN") == "three"
        assert [one.version for one in store.versions("TOKEN")] == [1, 2, 3]

    with_store(tmp_path, scenario)


def test_the_key_is_a_file_of_its_own_that_only_its_owner_reads(tmp_path: Path) -> None:
    async def put(store: EncryptedStore) -> None:
        await store.set("TOKEN", "a-very-plain-value-to-look-for", "ana")

    with_store(tmp_path, put)
    key = tmp_path / "secrets.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("journal.db*"))
    assert b"a-very-plain-value-to-look-for" not in stored
    assert base64.b64decode(key.read_text()) not in stored and key.read_bytes().strip() not in stored


def move(data: Path, statement: str) -> None:
    with sqlite3.connect(data / "journal.db") as database:
        assert database.execute(statement).rowcount > 0
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "update secrets set (content, wrapped) = (select content, wrapped from secrets where name = 'B') "
        "where name = 'A' and version = 2",
        "update secrets set (content, wrapped) = "
        "(select content, wrapped from secrets where name = 'A' and version = 1) where name = 'A' and version = 2",
        "update secrets set content = (select content from secrets where name = 'B') where name = 'A' and version = 2",
        "update secrets set wrapped = (select wrapped from secrets where name = 'B') where name = 'A' and version = 2",
        "update secrets set content = zeroblob(64) where name = 'A' and version = 2",
        "update secrets set content = x'' where name = 'A' and version = 2",
    ],
    ids=["another name's", "an older version's", "another's value", "another's key", "overwritten", "emptied"],
)
def test_a_row_that_somebody_changed_or_moved_is_refused(tmp_path: Path, statement: str) -> None:
    async def put(store: EncryptedStore) -> None:
        for name, value in (("A", "a1"), ("A", "a2"), ("B", "b1")):
            await store.set(name, value, "ana")

    async def get(store: EncryptedStore) -> None:
        with pytest.raises(Missing, match="version 2 of the secret A was changed or moved there; run `reconciler sec"):
            await current(store, "A")
        assert await current(store, "B") == "b1"
        assert await store.set("A", "a2", "ana") is not None, "which mends it"
        assert await current(store, "A") == "a2"

    with_store(tmp_path, put)
    move(tmp_path, statement)
    with_store(tmp_path, get)


async def put_one(store: EncryptedStore) -> None:
    await store.set("TOKEN", "a-value", "ana")


async def get_one(store: EncryptedStore) -> str:
    return await current(store, "TOKEN")


def turn_into_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda key: key.unlink(), "is missing, which holds the key [0-9a-f]{16}; restore it from a copy"),
    "another": (
        lambda key: key.write_text(base64.b64encode(bytes(32)).decode()),
        r"holds another key \([0-9a-f]{16}\) than the one in use \([0-9a-f]{16}\); restore that one",
    ),
    "empty": (lambda key: key.write_text("\n"), "is empty; restore it from a copy"),
    "no key": (lambda key: key.write_text("hunter2\n"), "holds a line that is no key; write 32 random bytes"),
    "no text": (lambda key: key.write_bytes(os.urandom(32) + b"\xff"), "cannot be read: it is not text; mend it"),
    "a folder": (turn_into_folder, "cannot be read: Is a directory; mend it"),
    "open to all": (lambda key: key.chmod(0o644), "everybody can read .*; run `chmod 600 "),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_key_that_is_no_good_is_told_in_one_line_and_heals(tmp_path: Path, how: str) -> None:
    with_store(tmp_path, put_one)
    key = tmp_path / "secrets.key"
    kept = key.read_bytes()
    spoil, told = SPOILT[how]

    async def locked(store: EncryptedStore) -> None:
        assert store.trouble is not None and re.search(told, str(store.trouble)), store.trouble
        assert "\n" not in str(store.trouble) and "hunter2" not in str(store.trouble)
        with pytest.raises(Missing, match="the secret TOKEN cannot be read: "):
            store.version(wanted("TOKEN"))
        with pytest.raises(Missing):
            await store.value(pinned("TOKEN", 1))
        with pytest.raises(Missing):
            store.fingerprint("x")
        with pytest.raises(Locked):
            await store.set("TOKEN", "another", "ana")
        with pytest.raises(Locked):
            await store.rotate_key()
        assert store.names() == ["TOKEN"]
        before = store.pace()
        if key.is_dir():
            key.rmdir()
        key.write_bytes(kept)
        key.chmod(0o600)
        assert store.pace() != before, "whoever watches sees that it is worth trying again"
        await store.retry()
        assert await current(store, "TOKEN") == "a-value"

    spoil(key)
    with_store(tmp_path, locked)


def test_a_lost_key_costs_the_values_and_no_more(tmp_path: Path) -> None:
    with_store(tmp_path, put_one)
    (tmp_path / "secrets.key").unlink()

    async def give_up(store: EncryptedStore) -> None:
        assert store.trouble is not None
        await store.remove("TOKEN", "ana")
        await store.retry()
        assert store.trouble is None
        await store.set("TOKEN", "a-new-value", "ana")
        assert await current(store, "TOKEN") == "a-new-value"

    with_store(tmp_path, give_up)
    assert with_store(tmp_path, get_one) == "a-new-value"


def test_a_new_key_opens_everything_and_the_old_one_nothing(tmp_path: Path) -> None:
    key = tmp_path / "secrets.key"

    async def change(store: EncryptedStore) -> None:
        for value in ("one", "two"):
            await store.set("TOKEN", value, "ana")
        old, mark = key.read_text(), store.fingerprint("x")
        await store.rotate_key()
        assert key.read_text() != old and len(key.read_text().split()) == 1
        assert await store.value(pinned("TOKEN", 1)) == "one" and await current(store, "TOKEN") == "two"
        assert store.fingerprint("x") == mark, "what other providers hold has not changed"
        (tmp_path / "old.key").write_text(old)
        (tmp_path / "old.key").chmod(0o600)

    with_store(tmp_path, change)
    assert "another key" in (with_store(tmp_path, trouble, key=tmp_path / "old.key") or "")

    async def again(store: EncryptedStore) -> None:
        assert await current(store, "TOKEN") == "two"

    with_store(tmp_path, again)


def test_a_print_cannot_be_made_without_the_key(tmp_path: Path) -> None:
    async def marks(store: EncryptedStore) -> tuple[str, str]:
        return store.fingerprint("hunter2"), store.fingerprint("hunter3")

    one = with_store(tmp_path, marks)
    assert one == with_store(tmp_path, marks) and one[0] != one[1]
    other = tmp_path / "other"
    other.mkdir()
    assert with_store(other, marks)[0] != one[0]


def test_a_key_of_the_operators_is_changed_by_the_operator(tmp_path: Path) -> None:
    key = tmp_path / "given.key"
    assert "there is no secrets' key file" in (with_store(tmp_path, trouble, key=key, given=True) or "")
    first, second = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    key.write_text(f"# ours\n{first}\n")
    key.chmod(0o400)
    with_store(tmp_path, put_one, key=key, given=True)

    async def not_yet(store: EncryptedStore) -> None:
        with pytest.raises(Locked, match="write a new key on its first line"):
            await store.rotate_key()

    with_store(tmp_path, not_yet, key=key, given=True)

    async def change(store: EncryptedStore) -> None:
        key.chmod(0o600)
        key.write_text(f"{second}\n{first}\n")
        await store.rotate_key()
        assert await current(store, "TOKEN") == "a-value"
        assert key.read_text() == f"{second}\n{first}\n", "it is not ours to write"

    with_store(tmp_path, change, key=key, given=True)
    key.write_text(f"{second}\n")
    assert with_store(tmp_path, get_one, key=key, given=True) == "a-value"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("set"), st.sampled_from("AB"), st.text(min_size=1, max_size=5)),
            st.tuples(st.just("rm"), st.sampled_from("AB"), st.just("")),
            st.tuples(st.just("rotate"), st.just(""), st.just("")),
            st.tuples(st.just("reopen"), st.just(""), st.just("")),
        ),
        max_size=12,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_done_to_it_the_store_holds_what_was_set_last(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    data = tmp_path_factory.mktemp("store")

    async def scenario(store: EncryptedStore) -> None:
        held: dict[str, str] = {}
        for what, name, text in steps:
            if what == "set":
                value = text.replace("\0", "0")
                await store.set(name, value, "ana")
                held[name] = value
            elif what == "rm":
                await store.remove(name, "ana")
                held.pop(name, None)
            elif what == "rotate":
                await store.rotate_key()
            else:
                await store.open()
            assert store.names() == sorted(held)
            assert {name: await current(store, name) for name in held} == held

    with_store(data, scenario)
