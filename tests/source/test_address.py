"""Which addresses and branches are followed at all, and what of them is ever shown."""

from pathlib import Path

import pytest

from reconciler.model.failure import Stalled
from reconciler.source.address import check_branch, parse_address
from reconciler.source.mirror import Mirror


@pytest.mark.parametrize(
    ("given", "kind", "location"),
    [
        pytest.param("https://forge.example/team/services.git", "http", None, id="https"),
        pytest.param("http://127.0.0.1:3000/a/b", "http", None, id="http with a port"),
        pytest.param("https://[::1]:8443/a", "http", None, id="an IPv6 address"),
        pytest.param("ssh://git@forge.example:2222/a/b.git", "ssh", None, id="ssh"),
        pytest.param("git@forge.example:a/b.git", "ssh", None, id="the short form of ssh"),
        pytest.param("/srv/services", "path", None, id="a path"),
        pytest.param(
            "https://u:p%40w@forge.example/a", "http", "https://forge.example/a", id="a password is taken off"
        ),
        pytest.param("https://t0ken@forge.example/a", "http", "https://forge.example/a", id="a token is taken off"),
    ],
)
def test_addresses_that_are_followed(given: str, kind: str, location: str | None) -> None:
    address = parse_address(given)
    assert (address.kind, address.location) == (kind, location or given)
    assert "p@w" not in repr(address)
    assert "t0ken" not in repr(address)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("ext::sh -c touch% /tmp/x", id="G-24 ext::"),
        pytest.param("fd::17/foo", id="G-24 fd::"),
        pytest.param("file:///etc", id="G-24 file:"),
        pytest.param("git://forge.example/a", id="git:// proves nothing about who answers"),
        pytest.param("ftp://forge.example/a", id="another scheme"),
        pytest.param("--upload-pack=touch /tmp/x", id="G-24 an option"),
        pytest.param("-oProxyCommand=x", id="G-24 an option of ssh"),
        pytest.param("ssh://-oProxyCommand=x/a", id="G-24 an option as a host"),
        pytest.param("ssh://-x@forge.example/a", id="an option as a user"),
        pytest.param("ssh://u:hunter2@forge.example/a", id="G-24 a password for ssh"),
        pytest.param("-x@forge.example:a", id="an option as the user of the short form"),
        pytest.param("git@-oProxyCommand=x:a", id="an option as the host of the short form"),
        pytest.param("git@forge.example:-x", id="an option as the path of the short form"),
        pytest.param("https://forge.example/a\nb", id="G-24 a newline"),
        pytest.param("https://forge.example/a\r", id="a carriage return"),
        pytest.param("https://u:hunter2%0ahost@forge.example/a", id="an encoded newline in a password"),
        pytest.param("https://forge.example/\u202eevil", id="a character that turns the writing direction"),
        pytest.param("https:///a", id="no host"),
        pytest.param("https://forge.example:port/a", id="a port that is none"),
        pytest.param("https://forge.example/a?x=1", id="a query"),
        pytest.param("", id="nothing"),
        pytest.param("a\0b", id="a path with a NUL"),
    ],
)
def test_addresses_that_are_refused_at_once(given: str, tmp_path: Path) -> None:
    folder = tmp_path / "mirror.git"
    with pytest.raises(Stalled, match="address is refused") as caught:
        Mirror(given, "main", folder)
    assert "hunter2" not in caught.value.message
    assert not folder.exists()


def test_a_relative_path_is_made_absolute_so_that_it_cannot_be_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert parse_address("srv").location == "/srv"
    assert parse_address(Path("srv")).location == "/srv"


@pytest.mark.parametrize("branch", ["main", "release/1.2", "feature-x", "v1", "a_b"])
def test_branches_that_are_followed(branch: str) -> None:
    assert check_branch(branch) == branch


@pytest.mark.parametrize(
    "branch",
    [
        "", "-x", "--upload-pack=x", "a..b", "a//b", "a/.b", "a.lock", "a.lock/b", "a/", "a.", "@", "a b", "a\nb",
        "$(id)", "a;ls", "a:b", "a^b", "refs\\x", "a\u202eb", "x" * 201, "/a",
    ],
)  # fmt: skip
def test_branches_that_are_refused_at_once(branch: str) -> None:
    with pytest.raises(Stalled, match="cannot be followed"):
        check_branch(branch)
