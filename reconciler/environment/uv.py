"""The uv program, as it is allowed to run here.

It came from the package index as a dependency of ours. It sees no secret of any service, no configuration
file, no home folder, and never the folder of a service; which index it asks is the operator's word alone.
Index addresses may hold a password, so they travel in its environment, not in its arguments.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import uv as distribution

from reconciler.environment.command import Bounds, Ran, run
from reconciler.environment.failures import killed, unusable
from reconciler.model.progress import Progress, silent

INHERITED = (
    *("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
ARCHIVES = (".whl", ".tar.gz", ".zip")


@dataclass(slots=True)
class Uv:
    folder: Path
    """Its cache, its empty home and its working folders."""
    indexes: tuple[str, ...] = ()
    """The first that knows a name is the only one asked for it. Folders of wheels may stand among them."""
    program: Path | None = None
    bounds: Bounds = field(default_factory=Bounds)
    retries: int = 3
    inherited: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    _running: int = 0

    @property
    def cache(self) -> Path:
        return self.folder / "uv"

    def open(self) -> None:
        """Make the folders, and remove what crashed runs left in them."""
        for folder in (self.folder, self.home, self.work, self.cache):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self.work.iterdir():
            shutil.rmtree(left, ignore_errors=True)
        self._sweep()

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def places(self) -> dict[str, str]:
        """Paths that its words may hold, and what a reader should see in their stead."""
        return {str(self.cache): "cache", str(self.folder): "cache"}

    async def run(self, *arguments: str, folder: Path | None = None, progress: Progress = silent) -> Ran:
        """Run it to its end. A death by signal is a failure of the attempt; any exit code is the caller's to judge."""
        command = (str(self.find()), "--no-config", "--color=never", *arguments)
        heard, environ = _translating(progress), self.environment()
        self._running += 1
        try:
            ran = await run(command, environ=environ, folder=folder or self.home, bounds=self.bounds, heard=heard)
            if ran.code < 0:
                raise killed(-ran.code)
            return ran
        finally:
            self._running -= 1
            await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        """What an uv that was ended had begun to unpack may be what filled the disk."""
        if not self._running:
            for left in self.cache.glob(".tmp*"):
                shutil.rmtree(left, ignore_errors=True)

    def find(self) -> Path:
        try:
            program = self.program or Path(distribution.find_uv_bin())
        except FileNotFoundError:
            raise unusable("it is missing") from None
        if not program.is_file():
            raise unusable("it is missing")
        if not os.access(program, os.X_OK):
            raise unusable("it is not executable")
        return program

    def environment(self) -> dict[str, str]:
        kept = {name: self.inherited[name] for name in INHERITED if name in self.inherited}
        *others, last = self._registries() or ("",)
        asked = {"UV_DEFAULT_INDEX": last, "UV_INDEX": " ".join(others)}
        return {
            **kept,
            **{name: value for name, value in asked.items() if value},
            "HOME": str(self.home),
            "UV_CACHE_DIR": str(self.cache),
            "UV_HTTP_RETRIES": str(self.retries),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
        }

    def sources(self) -> tuple[str, ...]:
        """Arguments for the folders among the indexes; with nothing else, no network is asked at all."""
        folders = tuple(f"--find-links={folder}" for folder in map(_flat_folder, self.indexes) if folder)
        return (*folders, "--no-index") if folders and not self._registries() else folders

    def _registries(self) -> tuple[str, ...]:
        return tuple(_address(index) for index in self.indexes if _flat_folder(index) is None)


def _flat_folder(index: str) -> Path | None:
    """A folder that holds archives itself, unlike one that is laid out as an index."""
    folder = _folder(index)
    if folder is None or not folder.is_dir():
        return folder
    entries = [entry.name for entry in folder.iterdir()]
    return folder if not entries or any(name.endswith(ARCHIVES) for name in entries) else None


def _folder(index: str) -> Path | None:
    parts = urlsplit(index)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if "://" in index else Path(index).absolute()


def _address(index: str) -> str:
    folder = _folder(index)
    return index if folder is None else folder.as_uri()


DOWNLOADING = re.compile(r"Downloading (\S+) \((\S+?)(Ki|Mi|Gi)?B\)")
COUNTED = re.compile(r"(Prepared|Installed) (\d+) packages? in")
BUILDING = re.compile(r"Building (\S+)")
VERBS = {"Prepared": "downloaded", "Installed": "installed"}


def _translating(progress: Progress) -> Callable[[str], None]:
    def heard(line: str) -> None:
        for told in _told(line.strip()):
            progress(told)

    return heard


def _told(line: str) -> Iterator[str]:
    """What of its chatter a person wants to hear, in our words."""
    if found := DOWNLOADING.match(line):
        unit = {"Ki": "kB", "Mi": "MB", "Gi": "GB"}.get(found.group(3), "B")
        yield f"downloading {found.group(1)} ({found.group(2)} {unit})"
    elif found := COUNTED.match(line):
        number = int(found.group(2))
        yield f"{VERBS[found.group(1)]} {number} {'package' if number == 1 else 'packages'}"
    elif found := BUILDING.match(line):
        yield f"building {found.group(1)} from source"
