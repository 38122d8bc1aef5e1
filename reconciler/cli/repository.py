"""Which repository and branch the operator means.

A path is looked at with GitPython; a URL is asked for its default branch only when none was named. What an
address may be is the source's to say.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.data_folder import read_followed
from reconciler.misconfigured import Misconfigured
from reconciler.model.failure import Failure
from reconciler.model.names import is_service_name
from reconciler.source.address import Address, check_branch, parse_address
from reconciler.source.program import configured

if TYPE_CHECKING:
    from git import HEAD

HEAD_OF_REMOTE = re.compile(r"^ref: refs/heads/(\S+)\tHEAD$", re.MULTILINE)
REMOTE_ANSWERS_WITHIN = 20.0
QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}


@dataclass(frozen=True, slots=True)
class Followed:
    repository: str
    branch: str


def to_host(name: str, repository: str | None, branch: str | None, data: Path) -> Followed:
    """The repository that is hosted here, to be pushed to."""
    if repository is not None:
        raise Misconfigured(f"--receive hosts a repository here, so it cannot follow {repository} too; give one")
    if not is_service_name(name):
        raise Misconfigured(f"--receive {name[:80]!r} is no name; write a small letter, then those, digits, - and _")
    try:
        return Followed(str(data.resolve() / "git" / f"{name}.git"), check_branch(branch or "main"))
    except Failure as failure:
        raise Misconfigured(failure.message) from failure


def find_or_remember(repository: str, branch: str | None, data: Path) -> Followed:
    """As `find`; but what was followed with this data folder before needs not be there now: what it held still runs."""
    try:
        return find(repository, branch)
    except Misconfigured:
        before = read_followed(data)
        if before is None or before[0] not in (repository, str(Path(repository).resolve())):
            raise
        return Followed(before[0], branch or before[1])


def find(repository: str, branch: str | None) -> Followed:
    try:
        address = parse_address(repository)
        if address.kind == "path":
            folder, current = _look_at(Path(repository), branch)
            return Followed(str(folder), check_branch(current))
        return Followed(repository, check_branch(branch or _default_branch(address)))
    except Failure as failure:
        raise Misconfigured(failure.message) from failure


def _look_at(path: Path, branch: str | None) -> tuple[Path, str]:
    import git

    try:
        repository = git.Repo(path, search_parent_directories=True)
    except git.exc.NoSuchPathError as error:
        raise Misconfigured(f"{path} does not exist") from error
    except git.exc.InvalidGitRepositoryError as error:
        raise Misconfigured(f"{path.resolve()} is no git repository; `git init` makes one, or name another") from error
    with repository:
        root = Path(repository.working_tree_dir or repository.git_dir).resolve()
        return root, branch or _current_branch(repository.head, root)


def _current_branch(head: "HEAD", root: Path) -> str:
    if head.is_detached:
        raise Misconfigured(f"{root} is at no branch (detached HEAD); name one with --branch")
    return str(head.reference.name)


def _default_branch(address: Address) -> str:
    import git

    try:
        answer = git.cmd.Git().ls_remote(
            "--symref",
            "--",
            address.location,
            "HEAD",
            env={**os.environ, **QUIET, **_credentials(address)},
            kill_after_timeout=REMOTE_ANSWERS_WITHIN,
        )
    except git.exc.GitCommandError as error:
        why = _last_words(str(error.stderr), address)
        raise Misconfigured(
            f"{address.location} does not say its default branch ({why}); name one with --branch"
        ) from error
    found = HEAD_OF_REMOTE.search(str(answer))
    if found is None:
        raise Misconfigured(f"{address.location} has no default branch; name one with --branch")
    return found[1]


def _credentials(address: Address) -> dict[str, str]:
    """Through the environment: an argument could be read by everybody on the machine."""
    if address.authorization is None:
        return {}
    return configured({"http.extraHeader": f"Authorization: {address.authorization}"})


def _last_words(said: str, address: Address) -> str:
    lines = said.strip().removeprefix("stderr: ").strip("' \n").splitlines()
    words = lines[-1] if lines else "no answer"
    for secret in address.secrets:
        words = words.replace(secret, "***")
    return words
