"""Wheels that want to run, or to write, where they have no business. Row D-10, and what D-05 forbids before."""

import asyncio
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.environment import command, inspection
from reconciler.model.failure import Stalled
from reconciler.model.requirement import Requirements, from_list
from tests.environment.conftest import Make
from tests.environment.wheels import source, wheel

NAMESPACE = (
    "import sys, types, os;p = os.path.join(sys._getframe(1).f_locals['sitedir'], *('zope',));"
    "importlib = __import__('importlib.util');__import__('importlib.machinery');"
    "m = sys.modules.setdefault('zope', importlib.util.module_from_spec(importlib.machinery.PathFinder.find_spec("
    "'zope', [os.path.dirname(p)])));m = m or sys.modules.setdefault('zope', types.ModuleType('zope'));"
    "mp = (m or []) and m.__dict__.setdefault('__path__',[]);(p not in mp) and mp.append(p)\n"
)
COVERAGE = (
    'import sys; exec(\'import os\\n\\nif os.getenv("COVERAGE_PROCESS_START") or '
    'os.getenv("COVERAGE_PROCESS_CONFIG"):\\n try:\\n  import coverage\\n except:\\n  pass\\n else:\\n'
    '  coverage.process_startup(slug="pth")\')\n'
)
RUN = "import os; open('WITNESS', 'w').close()\n"
DATA = "bad-1.0.data"


def build(make: Make, tmp_path: Path, **options: object) -> None:
    async def scenario() -> None:
        environments = make(**options)
        await environments.open()
        environment = await environments.build(await environments.lock(from_list(["bad"])))
        await environments.settled()
        assert environment.python.exists()

    asyncio.run(scenario())


def refused(make: Make, tmp_path: Path) -> Stalled:
    with pytest.raises(Stalled) as failed:
        build(make, tmp_path)
    assert list((tmp_path / "data" / "environments").iterdir()) == []
    assert not (tmp_path / "ran").exists(), "nothing of it ran"
    assert str(tmp_path) not in f"{failed.value.message}{failed.value.detail}"
    return failed.value


HOSTILE: Mapping[str, tuple[dict[str, str], str]] = {
    "a .pth that runs": ({"bad.pth": RUN}, "runs-at-start"),
    "a .pth under a harmless name": ({"distutils-precedence.pth": RUN}, "runs-at-start"),
    "a .pth that runs behind a harmless line": ({"bad.pth": f"import _virtualenv\n{RUN}"}, "runs-at-start"),
    "a harmless line with more to it": ({"bad.pth": NAMESPACE.strip() + ";" + RUN}, "runs-at-start"),
    "a .pth that leads outside": ({"bad.pth": "/tmp\n"}, "runs-at-start"),
    "a .pth that leads upwards": ({"bad.pth": "../../../..\n"}, "runs-at-start"),
    "a .pth by the data scheme": ({f"{DATA}/purelib/bad.pth": RUN}, "runs-at-start"),
    "sitecustomize": ({"sitecustomize.py": RUN}, "runs-at-start"),
    "sitecustomize as a package": ({"sitecustomize/__init__.py": RUN}, "runs-at-start"),
    "usercustomize": ({"usercustomize.py": RUN}, "runs-at-start"),
    "its own uvicorn": ({"uvicorn/__init__.py": RUN}, "replaces-framework"),
    "one module of its own FastAPI": ({"fastapi/routing.py": RUN}, "replaces-framework"),
    "its own Starlette by the data scheme": ({f"{DATA}/purelib/starlette/__init__.py": RUN}, "replaces-framework"),
    "a second pyvenv.cfg": ({f"{DATA}/scripts/pyvenv.cfg": "home = /tmp\n"}, "environment-altered"),
    "its own pyvenv.cfg": ({f"{DATA}/data/pyvenv.cfg": "home = /tmp\n"}, "environment-altered"),
    "its own python": ({f"{DATA}/data/bin/python": "#!/bin/sh\n"}, "wheel-invalid"),
    "its own python, as a script": ({f"{DATA}/scripts/python3": "#!python\n"}, "wheel-invalid"),
    "its own activate": ({f"{DATA}/data/bin/activate": "rm -rf /\n"}, "environment-altered"),
    "an entry point outside": (
        {"bad-1.0.dist-info/entry_points.txt": "[console_scripts]\n../../../x = bad:main\n"},
        "wheel-invalid",
    ),
    "an entry point named python": (
        {"bad-1.0.dist-info/entry_points.txt": "[console_scripts]\npython = bad:main\n"},
        "wheel-invalid",
    ),
}


@pytest.mark.parametrize(("files", "code"), HOSTILE.values(), ids=HOSTILE.keys())
def test_is_refused_and_nothing_runs(
    make: Make, wheels: Path, tmp_path: Path, files: dict[str, str], code: str
) -> None:
    witness = str(tmp_path / "ran")
    wheel(wheels, "bad", files={name: text.replace("WITNESS", witness) for name, text in files.items()})
    failure = refused(make, tmp_path)
    assert failure.problems[0].code == code
    assert failure.problems[0].remedy


def test_the_package_that_brings_it_is_named(make: Make, wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "bad", files={"evil.pth": "import os\n"})
    (problem,) = refused(make, tmp_path).problems
    assert problem.message == "bad brings evil.pth, which acts at every start of Python"
    assert problem.excerpt == "import os"
    assert "--allow-builds bad" in (problem.remedy or "")


def test_the_package_that_replaces_the_framework_is_named(make: Make, wheels: Path, tmp_path: Path) -> None:
    """Row D-19, for a package that brings another's files; a version that does not fit is a conflict."""
    wheel(wheels, "bad", files={"fastapi/__init__.py": "__version__ = '0.1'\n"})
    (problem,) = refused(make, tmp_path).problems
    assert problem.message == "bad brings fastapi, which every worker has from the package of that name"


def test_what_a_wheel_does_not_record_is_seen_as_well(make: Make, wheels: Path, tmp_path: Path) -> None:
    """Row D-10: its RECORD is only its own word."""
    wheel(wheels, "bad", unrecorded={"sitecustomize.py": f"open({str(tmp_path / 'ran')!r}, 'w')\n"})
    assert refused(make, tmp_path).problems[0].message.startswith("bad brings sitecustomize.py")


def test_a_bomb_is_not_unpacked(make: Make, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row D-10: a few kilobytes that become more than any file of a package is."""
    monkeypatch.setattr(command, "LARGEST_FILE", 4 * 2**20)
    with zipfile.ZipFile(wheel(wheels, "bad"), "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bad/zeros", bytes(8 * 2**20))
    assert refused(make, tmp_path).problems[0].code == "file-too-large"


def test_what_the_operator_trusts_may_act_at_the_start(make: Make, wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "bad", files={"evil.pth": "import os\n"})
    build(make, tmp_path, allow_builds=("bad",))


def test_the_starters_that_everybody_has_are_harmless(make: Make, wheels: Path, tmp_path: Path) -> None:
    precedence = (
        "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; "
        "enabled and __import__('_distutils_hack'); "
    )
    files = {
        "distutils-precedence.pth": precedence,
        "zope-nspkg.pth": NAMESPACE,
        "a1_coverage.pth": COVERAGE,
        "plain.pth": "# a comment\n\nbad\n",
        "bad/sitecustomize.py": "",
    }
    wheel(wheels, "bad", files=files)
    build(make, tmp_path)


def test_a_file_outside_is_not_written(make: Make, wheels: Path, tmp_path: Path) -> None:
    up = "../" * 12
    names = (f"{up}{tmp_path}/outside.txt", f"{tmp_path}/outside.txt", "../outside.txt", "../../../../outside.txt")
    wheel(wheels, "bad", files=dict.fromkeys(names, "x"))
    build(make, tmp_path)
    assert not list(tmp_path.rglob("outside.txt"))


def test_links_in_a_wheel_never_become_links(make: Make, wheels: Path, tmp_path: Path) -> None:
    path = wheel(wheels, "bad")
    entry = zipfile.ZipInfo("bad/passwd")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, "/etc/passwd")
    build(make, tmp_path)
    (environment,) = (tmp_path / "data" / "environments").iterdir()
    (inside,) = environment.rglob("passwd")
    assert not inside.is_symlink()


def test_more_files_than_anybody_needs_are_refused(
    make: Make, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "MOST_FILES", 100)
    wheel(wheels, "bad", files={f"bad/file{number}.txt": "" for number in range(120)})
    assert refused(make, tmp_path).problems[0].code == "too-many-files"


def test_a_broken_module_is_the_services_own_trouble(make: Make, wheels: Path, tmp_path: Path) -> None:
    """It compiles nothing at build; whoever imports it will hear."""
    wheel(wheels, "bad", files={"bad/broken.py": "def (:\n", "bad/deep.py": "x = " + "(" * 5_000, "bad/nul.py": "\0"})
    build(make, tmp_path)


def test_a_build_that_the_operator_allows_sees_nothing_of_ours(
    make: Make, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_live_1")
    monkeypatch.setenv("RECONCILER_TOKEN", "rt_1")
    source(wheels, "bad", tmp_path / "ran")
    build(make, tmp_path, allow_builds=("bad",))
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "ran").read_text().splitlines())
    assert not {"STRIPE_SECRET_KEY", "RECONCILER_TOKEN"} & seen.keys()
    assert seen["HOME"] == str(tmp_path / "data" / "cache" / "home")
    assert "sk_live_1" not in str(seen)
    assert os.environ["HOME"] != seen["HOME"]


def test_one_package_that_may_be_built_does_not_allow_another(make: Make, wheels: Path, tmp_path: Path) -> None:
    source(wheels, "bad", tmp_path / "ran")

    async def scenario() -> None:
        environments = make(allow_builds=("alpha",))
        await environments.open()
        with pytest.raises(Stalled) as failed:
            await environments.lock(Requirements(("bad",)))
        assert failed.value.problems[0].code == "no-wheel"

    asyncio.run(scenario())
    assert not (tmp_path / "ran").exists()
