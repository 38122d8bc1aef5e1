"""Stands in for gateway and control: notes what happens to it, and ends the way its name's variable says.

`GATEWAY_DOES` and `CONTROL_DOES` hold words: `exit=N` at once, `deaf` to SIGTERM, `linger=S` after it,
`child` with a descendant of its own that knows nothing of the lifeline, `slow=S` before it hears anything,
`unless=FILE`: none of the others once that file is there.
"""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

name = sys.argv[1]
words = dict(word.partition("=")[::2] for word in os.environ.get(f"{name.upper()}_DOES", "").split())
if "unless" in words and Path(words["unless"]).exists():
    words = {}
flags = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=False))
stopped = False


def note(what: str) -> None:
    descriptor = os.open(os.environ["STAND_IN_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{name} {what} {os.getpid()} {time.monotonic()}\n".encode())
    os.close(descriptor)


def hear(_number: int, _frame: object) -> None:
    global stopped
    note("told")
    stopped = "deaf" not in words


time.sleep(float(words.get("slow", "0")))
signal.signal(signal.SIGTERM, hear)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
signal.signal(signal.SIGINT, lambda *_: note("interrupted"))
if "child" in words:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    note(f"child={child.pid}")
note("started")
if "exit" in words:
    sys.exit(int(words["exit"]))
lifeline = int(flags["--lifeline-fd"])
while not stopped:
    if select.select([lifeline], [], [], 0.02)[0]:
        note("orphaned")
        os._exit(9)
time.sleep(float(words.get("linger", "0")))
note("ended")
