"""A Celery worker beside a router, both of one release, with a broker that is a folder."""

from pathlib import Path

from tests.end_to_end.platform import Platform, eventually
from tests.end_to_end.samples import PLATFORM
from tests.waiting import until_sync

TASKS = """
import os
from pathlib import Path

from celery import Celery

place = Path(os.environ["HOME"]) / "queue"
for name in ("messages", "processed", "results"):
    (place / name).mkdir(parents=True, exist_ok=True)

app = Celery("tasks", broker="filesystem://", backend=f"file://{place / 'results'}")
app.conf.broker_transport_options = {
    "data_folder_in": str(place / "messages"),
    "data_folder_out": str(place / "messages"),
    "processed_folder": str(place / "processed"),
    "store_processed": True,
}
app.conf.broker_connection_retry_on_startup = True


@app.task
def add(left, right):
    print(f"adds {left} {right}")
    return {"sum": left + right, "by": os.environ["RECONCILER_RELEASE"]}
"""
ROUTER = """
from fastapi import APIRouter

from tasks import add, app

router = APIRouter()


@router.post("/sums", status_code=202)
def order(left: int, right: int):
    return {"id": add.delay(left, right).id}


@router.get("/sums/{id}")
def look(id: str):
    result = app.AsyncResult(id)
    return result.result if result.successful() else None
"""
MANIFEST = """
version: 1
requirements: ["celery>=5.5,<6"]
processes: {worker: celery -A tasks worker --pool solo --loglevel INFO}
watch_window: 0s
"""


def sum_of(platform: Platform, left: int, right: int) -> dict[str, object]:
    ordered = platform.services.post("/api/sums/sums", params={"left": left, "right": right}).raise_for_status()
    place = f"/api/sums/sums/{ordered.json()['id']}"
    found: dict[str, object] = eventually(
        lambda: platform.services.get(place).json(), within=30, what="what the worker makes of it"
    )
    return found


def test_a_celery_worker_runs_beside_the_router_and_is_replaced_with_it(platform: Platform) -> None:
    files = {"services/sums/tasks.py": TASKS, "services/sums/router.py": ROUTER, "services/sums/service.yaml": MANIFEST}
    platform.commit({"services.yaml": PLATFORM, **files})
    platform.start(ready_within=180)
    assert platform.condition("sums")["reason"] == "Live", platform.service("sums")
    assert sum_of(platform, 2, 3) == {"sum": 5, "by": "sums-1"}
    (first,) = platform.service("sums")["processes"]
    assert Path(f"/proc/{first['pid']}/cmdline").read_bytes().split(b"\0")[2:5] == [b"-A", b"tasks", b"worker"]
    platform.deploy({"services/sums/router.py": ROUTER + "# another release\n"})
    until_sync(lambda: not Path(f"/proc/{first['pid']}").exists(), within=20, what="the end of the first worker")
    assert sum_of(platform, 4, 5) == {"sum": 9, "by": "sums-2"}
    said = platform.control.get("/v1/services/sums/logs", params={"format": "text"}).text
    assert "adds 2 3" in said
    assert "Warm shutdown" in said
    assert platform.stop() == 0
