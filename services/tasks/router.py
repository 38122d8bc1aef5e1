"""Tasks in a Supabase project: a client made once, a class that knows the table, handlers that know only HTTP."""

import os
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.routing import APIRoute
from postgrest.exceptions import APIError
from pydantic import BaseModel, Field
from supabase import Client, create_client

supabase = create_client(os.environ["SUPABASE_URL"], os.environ["SUPABASE_KEY"])

ANSWERS = {
    "": (503, "the project cannot be reached"),
    "PGRST116": (404, "there is no such task"),
    "23505": (409, "there is such a task already"),
    "23514": (422, "a title has 1 to 120 characters"),
    "42501": (403, "the project's row-level security does not allow that"),
}
"""What PostgreSQL and PostgREST refuse, as HTTP says it; anything else is a mistake of ours."""


class Change(BaseModel):
    title: str | None = None
    done: bool | None = None


class Draft(BaseModel):
    title: str
    done: bool = False
    private: bool = False


class NewTask(Draft):
    slug: str = Field(pattern="^[a-z0-9-]{1,60}$")


class Task(NewTask):
    id: int


class Summary(BaseModel):
    open: int
    done: int


class Tasks:
    """The table `tasks`, as schema.sql makes it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def all(self, done: bool | None) -> list[Any]:
        query = self._client.table("tasks").select("*")
        return (query if done is None else query.eq("done", done)).order("id").execute().data

    def one(self, slug: str) -> Any:
        return self._client.table("tasks").select("*").eq("slug", slug).single().execute().data

    def add(self, task: NewTask) -> Any:
        return self._client.table("tasks").insert(task.model_dump()).execute().data[0]

    def put(self, slug: str, task: Draft) -> Any:
        row = {"slug": slug, **task.model_dump()}
        return self._client.table("tasks").upsert(row, on_conflict="slug").execute().data[0]

    def change(self, slug: str, change: Change) -> Any | None:
        rows = self._client.table("tasks").update(change.model_dump(exclude_none=True)).eq("slug", slug).execute().data
        return rows[0] if rows else None

    def drop(self, slug: str) -> bool:
        return bool(self._client.table("tasks").delete().eq("slug", slug).execute().data)

    def summary(self) -> Any:
        return self._client.rpc("summary_of_tasks").execute().data


class OnSupabase(APIRoute):
    """A route whose handler may let the project's refusals pass."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except APIError as error:
                status, message = ANSWERS.get(error.code or "", (500, None))
                if message is None:
                    raise
                raise HTTPException(status, message) from error
            except httpx.TransportError as error:
                raise HTTPException(503, "the project cannot be reached", {"Retry-After": "5"}) from error

        return told


router = APIRouter(route_class=OnSupabase)
tasks = Tasks(supabase)


@router.get("/tasks")
def list_tasks(done: bool | None = None) -> list[Task]:
    return tasks.all(done)


@router.post("/tasks", status_code=201)
def add_task(task: NewTask) -> Task:
    return tasks.add(task)


@router.get("/tasks/{slug}")
def read_task(slug: str) -> Task:
    return tasks.one(slug)


@router.put("/tasks/{slug}")
def put_task(slug: str, task: Draft) -> Task:
    return tasks.put(slug, task)


@router.patch("/tasks/{slug}")
def change_task(slug: str, change: Change) -> Task:
    changed = tasks.change(slug, change)
    if changed is None:
        raise HTTPException(404, "there is no such task")
    return changed


@router.delete("/tasks/{slug}", status_code=204)
def drop_task(slug: str) -> None:
    if not tasks.drop(slug):
        raise HTTPException(404, "there is no such task")


@router.get("/summary")
def summary() -> Summary:
    return tasks.summary()
