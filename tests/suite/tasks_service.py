"""A small tasks service with every kind of answer that suites have to deal with."""

import asyncio
import uuid
from typing import Any

from fastapi import APIRouter, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel, Field

PREFIX = "/api/tasks"


class NewTask(BaseModel):
    title: str = Field(min_length=1)
    tags: list[str] = ["a", "b"]


class Task(NewTask):
    id: int


def tasks_app() -> FastAPI:
    app = FastAPI(openapi_url=f"{PREFIX}/openapi.json")
    router = APIRouter(prefix=PREFIX)
    tasks: dict[int, Task] = {}
    seen: dict[str, int] = {}

    @router.post("/tasks", status_code=201)
    def create(task: NewTask, response: Response) -> Task:
        created = Task(id=len(tasks) + 1, **task.model_dump())
        tasks[created.id] = created
        response.headers["etag"] = f'"{created.id}"'
        return created

    @router.get("/tasks/{task_id}")
    def read(task_id: int) -> Task:
        if task_id not in tasks:
            raise HTTPException(404, "no such task")
        return tasks[task_id]

    @router.get("/tasks")
    def read_all() -> list[Task]:
        return list(tasks.values())

    @router.delete("/tasks/{task_id}", status_code=204)
    def remove(task_id: int) -> None:
        tasks.pop(task_id, None)

    @router.get("/promised")
    def promised() -> Task:
        return JSONResponse({"id": "one", "title": "t"})  # type: ignore[return-value]

    @router.api_route("/echo", methods=["GET", "POST", "PUT", "PATCH", "PURGE"], include_in_schema=False)
    async def echo(request: Request) -> dict[str, Any]:
        return {
            "method": request.method,
            "query": request.query_params.multi_items(),
            "headers": dict(request.headers),
            "body": (await request.body()).decode("utf-8", "replace"),
            "cookies": request.cookies,
        }

    @router.get("/soon/{key}")
    def soon(key: str, after: int = 3) -> dict[str, Any]:
        seen[key] = seen.get(key, 0) + 1
        return {"state": "done" if seen[key] >= after else "pending", "asked": seen[key]}

    @router.get("/login")
    def login(response: Response) -> dict[str, Any]:
        response.set_cookie("session", "s3ss10n", secure=True, httponly=True)
        return {"token": "t0k3n"}

    @router.get("/who")
    def who(authorization: str = Header("")) -> dict[str, Any]:
        return {"authorization": authorization}

    @router.get("/text")
    def text() -> PlainTextResponse:
        return PlainTextResponse("order=17; name=Ada\n")

    @router.get("/big")
    def big(size: int = 2 << 20) -> Response:
        return Response(b"x" * size, media_type="text/plain")

    @router.get("/endless")
    def endless() -> StreamingResponse:
        async def stream() -> Any:
            while True:
                yield b"y" * 65536
                await asyncio.sleep(0)

        return StreamingResponse(stream())

    @router.get("/hang")
    async def hang(key: str = "hang") -> None:
        seen[key] = seen.get(key, 0) + 1
        await asyncio.sleep(3600)

    @router.get("/asked/{key}")
    def asked(key: str) -> int:
        return seen.get(key, 0)

    @router.get("/moved")
    def moved(to: str = f"{PREFIX}/tasks") -> RedirectResponse:
        return RedirectResponse(to)

    @router.get("/circle")
    def circle() -> RedirectResponse:
        return RedirectResponse(f"{PREFIX}/circle?again")

    @router.get("/deep")
    def deep(levels: int) -> Response:
        return Response("[" * levels + "]" * levels, media_type="application/json")

    @router.get("/broken")
    def broken() -> None:
        raise HTTPException(500, {"run": uuid.uuid4().hex})

    app.include_router(router)
    return app
