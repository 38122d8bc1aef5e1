"""What every environment holds besides a service's own requirements: enough to be a worker.

These are further inputs of the same resolution, with floors and no ceilings, so that a service's own
pins win; where they cannot, the conflict is told as one between the service and the platform.
"""

from reconciler.model.requirement import from_list

HAS_WHEELS = "platform_python_implementation == 'CPython' and platform_machine in 'x86_64 aarch64 arm64'"

BASE = from_list(
    (
        "fastapi",
        "uvicorn>=0.35",
        "httptools>=0.6.1",
        f"uvloop>=0.19; sys_platform != 'win32' and {HAS_WHEELS}",
        "websockets>=13",
    )
)
