"""How a service's files get onto the disk: into a private folder beside the place, then there by one rename.

A crash leaves a folder called `.<name>.partial` and never half a release. Nothing is synced to the disk:
the folder can be written again from git at any time, and the journal knows whether it was finished. Links
are made last, so that no file is ever written through one.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from reconciler.model.failure import Reason, Wait
from reconciler.source.survey import EXECUTABLE_MODE, LINK_MODE, File

Read = Callable[[File], bytes]


def write_files(files: tuple[File, ...], read: Read, into: Path) -> None:
    partial = into.with_name(f".{into.name}.partial")
    try:
        _remove(partial)
        partial.mkdir(parents=True, mode=0o755)
        _fill(partial, files, read)
        _remove(into)
        partial.rename(into)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise Wait(
            Reason.SOURCE_UNAVAILABLE,
            f"The code could not be written to the disk: {error.strerror}. Make room below the data folder, "
            "and see that it can be written to.",
        ) from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _fill(folder: Path, files: tuple[File, ...], read: Read) -> None:
    for parent in sorted({Path(file.path).parent for file in files}):
        folder.joinpath(parent).mkdir(parents=True, exist_ok=True)
    for file in files:
        if file.mode != LINK_MODE:
            _write(folder / file.path, file, read(file))
    for file in files:
        if file.mode == LINK_MODE:
            folder.joinpath(file.path).symlink_to(os.fsdecode(read(file)))


def _write(place: Path, file: File, content: bytes) -> None:
    mode = 0o755 if file.mode == EXECUTABLE_MODE else 0o644
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as stream:  # noqa: PTH123 - made safely above
        os.fchmod(descriptor, mode)
        stream.write(content)


def _remove(place: Path) -> None:
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)
