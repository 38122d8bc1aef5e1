"""`reconciler check`: what a push would be told, from a folder with uncommitted changes."""

from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from tests.check.running import ROOT, reconciler, service, told
from tests.end_to_end.repository import Repository

TEN = ROOT / "tests" / "manifest" / "ten_mistakes"


def put(repository: Repository, files: dict[str, str]) -> None:
    """Into the folder, and not into any commit."""
    for name, content in files.items():
        path = repository.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_the_services_of_this_repository_are_good(data: Path) -> None:
    done = reconciler("check", "services", "--data", str(data), cwd=ROOT, within=240)
    assert done.returncode == 0, done.stdout + done.stderr
    services = len(list((ROOT / "services").glob("*/service.yaml")))
    assert done.stdout.startswith(f"{services} checked: all good (")
    assert done.stderr == ""


def test_the_ten_mistakes_are_told_as_the_docs_show_them(data: Path) -> None:
    """Renew the block in docs/errors.md with what this prints."""
    done = reconciler("check", str(TEN), "--data", str(data), cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"```text\n{done.stdout}```\n" in (ROOT / "docs" / "errors.md").read_text()


@pytest.fixture
def troubled(repository: Repository) -> Repository:
    """Nothing of its trouble is committed."""
    files = {
        **service("red", version="2", expected="1"),
        **service("reported", version="2", expected="1", manifest="version: 1\ngate: none\n"),
        **service("asleep", manifest="version: 1\nsuspend: true\n"),
        "services/asleep/router.py": "raise RuntimeError('never started')\n",
        **service("broken"),
        "services/broken/router.py": "import no_such_module\n",
        **service("vague"),
        "services/vague/tests.yaml": "version: 1\ncases:\n  - name: shows nothing\n    GET: /\n",
        "services/nearly/router.py": "router = None\n",
        "services.yaml": "version: 1\nmuont: /api\n",
        "services/ignored/service.yaml": "nonsense\n",
        ".gitignore": "ignored/\n",
    }
    put(repository, files)
    return repository


def test_everything_that_is_wrong_is_told_at_once(troubled: Repository, data: Path, tmp_path: Path) -> None:
    done = reconciler("check", "--format", "json", "--data", str(data), cwd=troubled.path)
    assert (done.returncode, done.stderr) == (1, "")
    subjects = told(done)
    assert {name: subject["codes"] for name, subject in subjects.items()} == {
        "services.yaml": ["unknown-field"],
        "services/nearly": ["no-manifest"],
        "good": [],
        "red": ["case-failed"],
        "reported": ["case-failed"],
        "asleep": [],
        "broken": ["import-failed"],
        "vague": ["expects-nothing"],
    }
    assert {name for name, subject in subjects.items() if subject["good"]} == {
        "services/nearly",
        "good",
        "reported",
        "asleep",
    }
    assert (subjects["good"]["cases"], subjects["asleep"]["cases"]) == (1, 0)
    assert 'expected  "1"\n      got       "2"' in subjects["red"]["told"]
    assert 'File "services/broken/router.py", line 1' in subjects["broken"]["told"]
    assert str(tmp_path) not in done.stdout


def test_github_gets_annotations_and_a_summary(troubled: Repository, data: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    words = ("check", "services/red", "--format", "github", "--data", str(data))
    done = reconciler(*words, cwd=troubled.path, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 1
    assert "::error file=services.yaml,line=2,col=1,title=unknown-field::" in done.stdout
    assert "::error file=services/red/tests.yaml,line=5,title=red%3A case-failed::" in done.stdout
    assert "| ❌ | services/red/tests.yaml:5 |" in summary.read_text()


def test_junit_has_a_case_for_each_service(troubled: Repository, data: Path) -> None:
    put(troubled, {"services.yaml": "version: 1\nservices: services/[gr]*\n"})
    done = reconciler("check", "--format", "junit", "--data", str(data), cwd=troubled.path)
    assert done.returncode == 1
    cases = {case.get("name"): case for case in Xml.fromstring(done.stdout).iter("testcase")}
    assert set(cases) == {"services.yaml", "good", "red", "reported"}
    assert cases["good"].find("failure") is None
    failure = cases["red"].find("failure")
    assert failure is not None and 'got       "2"' in (failure.text or "")
    assert cases["reported"].find("system-out") is not None


def test_without_tests_a_red_suite_is_not_asked(troubled: Repository, data: Path) -> None:
    put(troubled, {"services.yaml": "version: 1\n"})
    done = reconciler("check", "services/red", "--no-tests", "--data", str(data), cwd=troubled.path)
    assert (done.returncode, done.stdout) == (0, "1 checked: all good\n")


def test_only_what_changed_is_looked_at(repository: Repository, data: Path) -> None:
    """Each service changes in another way, and one does not."""
    watching = "version: 1\nwatch: [shared/*]\n"
    repository.commit(
        {
            **service("edited"),
            **service("watching", manifest=watching),
            "shared/rates.py": "RATE = 1\n",
            **service("overridden"),
            **service("gone"),
        }
    )
    repository.git("rm", "-r", "--quiet", "services/gone")
    changes = {
        **service("edited", version="2"),
        "shared/rates.py": "RATE = 2\n",
        "services.yaml": "version: 1\noverrides: {overridden: {env: {COLOUR: red}}}\n",
        **service("new"),
    }
    put(repository, changes)
    words = ("check", "--changed-since", "main", "--format", "json", "--no-tests", "--data", str(data))
    done = reconciler(*words, cwd=repository.path)
    assert done.returncode == 0, done.stdout
    subjects = told(done)
    assert set(subjects) == {"edited", "watching", "overridden", "gone", "new"}
    assert subjects["gone"]["codes"] == ["service-gone"]


def test_one_mistake_hides_no_other(repository: Repository, data: Path) -> None:
    files = {
        **service("wrong", manifest="version: 1\nreplcas: 2\nsleep: 15m\n"),
        "services/wrong/tests.yaml": "version: 1\ncases:\n  - name: shows nothing\n    GET: /\n",
        **service("lonely", manifest="version: 1\ndepends_on: [goood]\n"),
    }
    put(repository, files)
    done = reconciler("check", "--format", "json", "--data", str(data), cwd=repository.path)
    subjects = told(done)
    assert subjects["wrong"]["codes"] == ["unknown-field", "not-available", "expects-nothing"]
    assert (subjects["lonely"]["good"], subjects["lonely"]["codes"]) == (True, ["unknown-service"])


def test_nothing_changed_is_nothing_to_check(repository: Repository, data: Path) -> None:
    done = reconciler("check", "--changed-since", "HEAD", "--data", str(data), cwd=repository.path)
    assert (done.returncode, done.stdout) == (0, "nothing to check\n")


def test_a_folder_without_git_is_checked_as_well(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "services" / "tasks"
    folder.mkdir(parents=True)
    (folder / "service.yaml").write_text("version: 1\nentry: router.py\n")
    done = reconciler("check", "--data", str(data), cwd=tmp_path)
    assert done.returncode == 1
    assert "services/tasks/service.yaml:2:8" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no/such/folder"], "does not exist"),
        (["services.yaml"], "is no folder"),
        (["--changed-since", "nonsense"], "there is no commit 'nonsense'"),
        (["docs"], "there is no service in"),
    ],
)
def test_a_wrong_question_is_2(repository: Repository, data: Path, words: list[str], said: str) -> None:
    repository.commit({"docs/page.md": "# A page\n"})
    done = reconciler("check", *words, "--data", str(data), cwd=repository.path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_repository_is_left_as_it_was(repository: Repository, data: Path) -> None:
    put(repository, {"notes.txt": "not added\n", "services/good/tests.yaml": "version: 1\ncases: 7\n"})
    index = (repository.path / ".git" / "index").read_bytes()
    objects = sorted((repository.path / ".git" / "objects").rglob("*"))
    assert reconciler("check", "--data", str(data), cwd=repository.path).returncode == 1
    assert (repository.path / ".git" / "index").read_bytes() == index
    assert sorted((repository.path / ".git" / "objects").rglob("*")) == objects


def test_what_new_makes_passes(repository: Repository, data: Path) -> None:
    assert reconciler("new", "greeter", cwd=repository.path).returncode == 0
    done = reconciler("check", "services/greeter", "--data", str(data), cwd=repository.path)
    assert (done.returncode, done.stdout) == (0, "1 checked: all good (2 cases)\n")
