"""The failure that the documentation shows is what a failing case really says."""

import re
from pathlib import Path

from reconciler.model.names import ReleaseId, ServiceName
from reconciler.suite.report.text import text
from reconciler.suite.target import Target
from tests.documents import ROOT
from tests.suite.declaring import played
from tests.suite.serving import serve
from tests.suite.tasks_service import PREFIX, tasks_app

SUITE = """\
cases:
  - {name: list them, GET: /tasks, expect: {status: 200}}

  - name: create a task
    POST: /tasks
    json: {title: "Write the docs"}
    expect:
      status: 200
      json:
        $.title: "Write the tests"
        $.tags[*]: {count: 3}
  - {name: read it, GET: /tasks/1, needs: [create a task], expect: {status: 200}}
"""


def test_the_page_shows_what_a_terminal_shows(tmp_path: Path) -> None:
    async def logs(_request: str) -> list[str]:
        return ["WARNING tasks: the title looks unfinished"]

    with serve(tasks_app(), tmp_path / "s") as socket:
        target = Target(socket, PREFIX, ServiceName("tasks"), ReleaseId("tasks-7"))
        report = played(SUITE, target, logs=logs, replay=False)
    page = (ROOT / "docs" / "reference" / "suites.md").read_text()
    shown = page.partition("## A failure")[2].partition("```text\n")[2].partition("```")[0]
    assert _without_time(text(report)) == _without_time(shown)


def _without_time(told: str) -> str:
    return re.sub(r" in [0-9.]+ m?s$", " in a moment", told, flags=re.M)
