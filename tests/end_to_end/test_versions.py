"""Two versions of one library side by side, FastAPI itself included."""

from tests.end_to_end.platform import Platform
from tests.end_to_end.samples import PLATFORM, service

STARTUP = """

from importlib.metadata import version as of

happened = []


async def opened():
    happened.append("startup")


router.on_startup.append(opened)


@router.get("/happened")
async def what_happened():
    return happened


@router.get("/of")
async def of_(name: str):
    return of(name)
"""
LIFESPAN = """

from contextlib import asynccontextmanager
from importlib.metadata import version as of

happened = []


@asynccontextmanager
async def lifespan(app):
    happened.append("startup")
    yield {"greeting": "from the lifespan"}
    print("closed properly")


old, router = router, APIRouter(lifespan=lifespan)
router.include_router(old)


@router.get("/happened")
async def what_happened(request: Request):
    return [*happened, request.state.greeting]


@router.get("/of")
async def of_(name: str):
    return of(name)
"""


def test_the_newest_fastapi_and_one_two_years_old_serve_side_by_side(platform: Platform) -> None:
    platform.commit(
        {
            "services.yaml": PLATFORM,
            **service("new", also=LIFESPAN),
            **service("old", also=STARTUP, manifest="requirements: ['fastapi==0.115.*']\n"),
            **service("old-lifespan", also=LIFESPAN, manifest="requirements: ['fastapi==0.115.*']\n"),
        }
    )
    platform.start(ready_within=180)
    newest = platform.services.get("/api/new/of", params={"name": "fastapi"}).json()
    assert platform.services.get("/api/old/of", params={"name": "fastapi"}).json().startswith("0.115.")
    assert int(newest.split(".")[1]) > 115
    assert platform.services.get("/api/old/happened").json() == ["startup"], "once, not twice"
    for name in ("new", "old-lifespan"):
        assert platform.services.get(f"/api/{name}/happened").json() == ["startup", "from the lifespan"]
    environments = {name: platform.service(name)["environment"]["id"] for name in ("new", "old", "old-lifespan")}
    assert environments["old"] == environments["old-lifespan"] != environments["new"]
