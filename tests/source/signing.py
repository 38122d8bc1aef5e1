"""People who sign their commits, with real keys of ssh and of gpg."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.repository import AUTHOR, Repository

PACKAGES = {"ssh-keygen": "openssh-client", "gpg": "gnupg"}
LONG_AGO = "20200101T000000"


def install_what_is_missing() -> None:
    """Both programs belong to nearly every system; where they do not, they come from Debian."""
    missing = [package for tool, package in PACKAGES.items() if shutil.which(tool) is None]
    if missing:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *missing]):
            subprocess.run(["apt-get", *words], env=quiet, check=True, timeout=300, stdout=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody with a key: what git needs to sign with it, and what a list of signers holds of it."""

    options: tuple[str, ...]
    listed: str
    gnupg: str = ""

    def commit(self, repository: Repository, message: str, *words: str) -> str:
        return signed(repository, (*self.options, "commit", "-S", "--allow-empty", "-m", message, *words), self.gnupg)


def signed(repository: Repository, words: tuple[str, ...], gnupg: str = "") -> str:
    environ = {**AUTHOR, "PATH": os.environ["PATH"], "GNUPGHOME": gnupg}
    done = subprocess.run(
        ["git", *words], cwd=repository.path, env=environ, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return repository.git("rev-parse", "HEAD")


def ssh_signer(folder: Path, name: str, restriction: str = "") -> Signer:
    key = folder / name
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]
    subprocess.run(make, check=True, timeout=60)
    public = key.with_suffix(".pub").read_text()
    listed = " ".join(filter(None, (f"{name}@example.com", restriction, public)))
    return Signer(("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}"), listed)


class Keyring:
    """A home of gpg, with as many people in it as one likes."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def signer(self, name: str, *, expired: bool = False) -> Signer:
        address, then = f"{name}@example.com", ("--faked-system-time", LONG_AGO) if expired else ()
        self.run(*then, "--passphrase", "", "--quick-gen-key", address, "ed25519", "sign", "1d" if expired else "never")
        program = self.home / f"gpg-{name}"
        program.write_text(f'#!/bin/sh\nexec gpg {" ".join(then)} "$@"\n')
        program.chmod(0o755)
        options = ("-c", f"gpg.program={program}", "-c", f"user.signingKey={address}")
        return Signer(options, self.exported(address), str(self.home))

    def revoked(self, name: str) -> str:
        """What a list holds of somebody's key once it was revoked."""
        (line,) = [one for one in self.run("--list-keys", "--with-colons", name).splitlines() if one.startswith("fpr:")]
        certificate = self.home / "openpgp-revocs.d" / f"{line.split(':')[9]}.rev"
        prepared = certificate.read_text().replace(":-----BEGIN", "-----BEGIN")
        self.run("--import", text=prepared)
        return self.exported(f"{name}@example.com")

    def exported(self, address: str) -> str:
        return self.run("--armor", "--export", address)

    def run(self, *words: str, text: str = "") -> str:
        done = subprocess.run(
            ["gpg", "--homedir", str(self.home), "--batch", "--quiet", *words],
            input=text, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def keyring() -> Iterator[Keyring]:
    """At a short path, since gpg's agent has a socket in it."""
    home = Path(tempfile.mkdtemp(prefix="ring-", dir="/tmp"))
    try:
        yield Keyring(home)
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False, timeout=30)
        shutil.rmtree(home, ignore_errors=True)
