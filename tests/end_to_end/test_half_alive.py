"""A control that has lost a part of itself ends, and another one takes its place."""

import signal
import subprocess
import sys
from pathlib import Path

from reconciler.settings import Settings
from tests.end_to_end.platform import Platform, environ, eventually
from tests.end_to_end.samples import PLATFORM, service

CONTROL = """
import sys
from pathlib import Path
import reconciler.life as life

mark = Path({mark!r})

async def broken(*_):
    raise RuntimeError("the poll broke")

if not mark.exists():
    mark.touch()
    life.poll = broken
sys.exit(life.main())
"""

SERVE = """
import sys
from reconciler import log, supervisor
from reconciler.settings import Settings

log.configure()
control = (sys.executable, "-P", "-c", {control!r})
sys.exit(supervisor.serve(Settings.from_json({settings!r}), {{**supervisor.PROGRAMS, "control": control}}))
"""


def test_a_control_whose_poll_broke_is_replaced(platform: Platform, tmp_path: Path) -> None:
    platform.commit({"services.yaml": PLATFORM, **service("tasks")})
    platform._take_over_template()
    settings = Settings(
        repository=str(platform.repository.path),
        branch="main",
        data=platform.data,
        port=platform.port,
        control_port=platform.control_port,
    )
    control = CONTROL.format(mark=str(tmp_path / "broken"))
    with platform.output.open("ab") as output:
        platform.server = subprocess.Popen(
            [sys.executable, "-c", SERVE.format(control=control, settings=settings.to_json())],
            env=environ(),
            stdout=output,
            stderr=output,
        )
    eventually(lambda: "control ended and is started again  code=1" in platform.said(), within=30, what="its end")
    eventually(lambda: platform.version("tasks") == "1", within=30, what="the service")
    assert "the poll ended, and control with it" in platform.said()
    assert platform.stop(signal.SIGTERM) == 0
