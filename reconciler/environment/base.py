"""What every environment holds besides a service's own requirements: enough to be a worker.

These are further inputs of the same resolution, with floors and no ceilings, so that a service's own
pins win; where they cannot, the conflict is told as one between the service and the platform.

Before FastAPI 0.109, which brings Starlette 0.35, a path was matched without what the service is mounted below:
such a service starts, and answers everything with 404.
"""

from reconciler.model.requirement import from_list

HAS_WHEELS = "platform_python_implementation == 'CPython' and platform_machine in 'x86_64 aarch64 arm64'"

BASE = from_list(
    (
        "fastapi>=0.109",
        "uvicorn>=0.35",
        "httptools>=0.6.1",
        f"uvloop>=0.19; sys_platform != 'win32' and {HAS_WHEELS}",
        "websockets>=13",
    )
)
