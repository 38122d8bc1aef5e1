"""What is sealed opens with its own key and label, and with no other; and nothing of it shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.secret_version import Sealed, Wrapped
from reconciler.secrets.seal import Damaged, MasterKey, NoSuchKey, label, rewrap, seal, unseal

names = st.from_regex(r"[A-Z_]{1,12}", fullmatch=True)
versions = st.integers(1, 10_000)
KEY, OTHER = MasterKey.fresh(), MasterKey.fresh()
MASTERS = {KEY.id: KEY, OTHER.id: OTHER}


@given(st.binary(max_size=2_000), names, versions)
def test_a_value_comes_back_whole_also_after_its_key_was_changed(value: bytes, name: str, version: int) -> None:
    bound = label(name, version)
    sealed = seal(value, bound, KEY)
    assert unseal(sealed, bound, {KEY.id: KEY}) == value
    moved = Sealed(sealed.content, rewrap(sealed.key, bound, {KEY.id: KEY}, OTHER))
    assert unseal(moved, bound, {OTHER.id: OTHER}) == value
    with pytest.raises(NoSuchKey):
        unseal(moved, bound, {KEY.id: KEY})


@given(st.binary(min_size=1, max_size=200), st.tuples(names, versions), st.tuples(names, versions))
def test_a_value_opens_under_its_own_name_and_version_only(
    value: bytes, own: tuple[str, int], other: tuple[str, int]
) -> None:
    sealed = seal(value, label(*own), KEY)
    if own != other:
        with pytest.raises(Damaged):
            unseal(sealed, label(*other), MASTERS)
        with pytest.raises(Damaged):
            rewrap(sealed.key, label(*other), MASTERS, OTHER)


@given(st.binary(min_size=1, max_size=200), st.integers(0), st.integers(1, 255), st.booleans())
def test_one_changed_byte_is_noticed(value: bytes, where: int, change: int, in_key: bool) -> None:
    sealed = seal(value, "x", KEY)
    changed = bytearray(sealed.key.wrapped if in_key else sealed.content)
    changed[where % len(changed)] ^= change
    bent = Sealed(sealed.content, Wrapped(bytes(changed), KEY.id)) if in_key else Sealed(bytes(changed), sealed.key)
    with pytest.raises(Damaged):
        unseal(bent, "x", MASTERS)


def test_halves_of_two_values_do_not_make_one() -> None:
    one, two = seal(b"one", "x", KEY), seal(b"two", "x", KEY)
    with pytest.raises(Damaged):
        unseal(Sealed(one.content, two.key), "x", MASTERS)


@pytest.mark.parametrize("content", [b"", b"short", b"exactly-twelve"[:12]])
def test_what_is_cut_short_is_damaged(content: bytes) -> None:
    with pytest.raises(Damaged):
        unseal(Sealed(content, seal(b"v", "x", KEY).key), "x", MASTERS)


def test_neither_keys_nor_sealed_values_print_what_they_hold() -> None:
    sealed = seal(b"a-rather-secret-value", "x", KEY)
    shown = f"{KEY!r} {sealed!r} {KEY.id}"
    assert "a-rather-secret-value" not in shown and repr(KEY.material) not in shown
    assert b"a-rather-secret-value" not in sealed.content
    assert seal(b"same", "x", KEY).content != seal(b"same", "x", KEY).content
