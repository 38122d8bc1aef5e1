"""What the tests start: the real supervisor over stand-ins for gateway and control."""

import logging
import sys
from pathlib import Path

from reconciler.misconfigured import Misconfigured
from reconciler.settings import Settings
from reconciler.supervisor import serve

STAND_IN = str(Path(__file__).parent / "stand_in.py")

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    programs = {name: (sys.executable, "-S", STAND_IN, name) for name in ("gateway", "control")}
    try:
        sys.exit(serve(Settings.from_json(sys.argv[1]), programs))
    except Misconfigured as error:
        sys.exit((print(f"reconciler: {error}", file=sys.stderr), 2)[1])  # noqa: T201
