"""What `check` does before anything is started: read every file of a folder and say what is wrong."""

from pathlib import Path

from reconciler.cli.render.report import Report, Subject
from reconciler.model.document import Invalid, load
from reconciler.model.platform import (
    FILE,
    MANIFEST,
    Gathered,
    Platform,
    effective,
    gather,
    read_platform,
    unused_overrides,
)


def check_folder(root: Path) -> Report:
    platform_file = root / FILE
    platform = read_platform(platform_file.read_bytes() if platform_file.exists() else None)
    folders = [str(each.parent.relative_to(root)) for each in sorted(root.glob(f"{platform.services}/{MANIFEST}"))]
    gathered = gather(folders)
    return Report(
        (
            Subject(FILE, FILE, warnings=unused_overrides(platform, gathered.folders)),
            *(Subject(problem.file or "", problem.file, (problem,)) for problem in gathered.misnamed),
            *_services(root, platform, gathered),
        )
    )


def _services(root: Path, platform: Platform, gathered: Gathered) -> list[Subject]:
    subjects = []
    for name, folder in gathered.folders.items():
        file = f"{folder}/{MANIFEST}"
        try:
            effective(platform, load((root / file).read_bytes(), file), name)
        except Invalid as invalid:
            subjects.append(Subject(name, file, invalid.problems))
        else:
            subjects.append(Subject(name, file))
    return subjects
