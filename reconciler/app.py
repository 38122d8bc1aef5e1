"""The control process, as a program: started by the supervisor, which starts it again when it dies.

    python -m reconciler.app --listen-fd N --lifeline-fd L --run RUN --settings FILE

Refuses to do more than to get it going quickly: everybody waits for it, at `reconciler serve` and after it was killed.
"""

import gc
import sys


def main() -> int:
    # What is imported stays to the end. Looking through it for what may go, again and again while it grows, finds
    # nothing and takes a fifth of the start; looked through later, it would hold up requests.
    gc.disable()
    from reconciler.life import main as live

    gc.freeze()
    gc.enable()
    return live()


if __name__ == "__main__":
    sys.exit(main())
