"""Releases, syncs and events in the tables of a Supabase project, for applications to read and subscribe to.

It writes what `docs/supabase-mirror.sql` makes room for, through the project's own API, and nothing else: no
configuration, no worker, no secret. Rows are put as they became, in order and by their key, so that what is told twice
is there once. It never deletes: how long a project keeps what it was told is its own affair.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import httpx
from postgrest import ReturnMethod
from postgrest.exceptions import APIError
from supabase import Client, ClientOptions, SupabaseException, create_client

from reconciler.store.project import Project
from reconciler.store.spool import Change, Spool
from reconciler.store.unusable import StoreUnusable

ANSWERS_WITHIN = 15.0
TOLD: Mapping[str, tuple[str, ...]] = {
    "releases": (
        "id", "service", "number", "digest", "revision", "sync", "phase", "phase_at", "reason", "message",
        "created_at", "live_at", "retired_at",
    ),
    "syncs": (
        "id", "trigger", "revision", "state", "requested_at", "started_at", "finished_at", "message", "actions",
        "kept", "phases",
    ),
    "events": ("id", "at", "kind", "service", "release", "sync", "revision", "message"),
}  # fmt: skip
"""What is told of each table; in the project its name begins with `reconciler_`."""

_NO_TABLE = ("42P01", "PGRST205")
_NOT_ALLOWED = ("42501", "401", "403", "PGRST301", "PGRST302")


class SupabaseMirror:
    """The destination of a spool that is a Supabase project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._http = httpx.Client(timeout=ANSWERS_WITHIN)
        self._client: Client | None = None

    @property
    def place(self) -> str:
        return urlsplit(self._project.url).hostname or "?"

    def deliver(self, changes: Spool) -> None:
        upto, done = changes.last(), changes.position()
        if done < upto:
            platform = changes.keeper().history
            while batch := changes.after(done, upto):
                for table, rows in _rows(batch, platform):
                    self._put(table, rows)
                done = batch[-1].seq
                changes.delivered(done)

    def leave(self, changes: Spool) -> None:
        """Nobody waits for us there."""

    def close(self) -> None:
        self._http.close()

    def _put(self, table: str, rows: list[dict[str, Any]]) -> None:
        try:
            self._client = self._client or self._connect()
            self._client.table(table).upsert(rows, on_conflict="platform,id", returning=ReturnMethod.minimal).execute()
        except APIError as refused:
            raise _refused(table, refused) from refused
        except httpx.HTTPError as away:
            raise StoreUnusable(
                f"Supabase cannot be reached ({type(away).__name__}).", "It is tried again.", may_pass=True
            ) from away

    def _connect(self) -> Client:
        options = ClientOptions(httpx_client=self._http, auto_refresh_token=False, postgrest_client_retry=False)
        try:
            return create_client(self._project.url, self._project.key, options)
        except SupabaseException as wrong:
            raise StoreUnusable("The URL or key of the Supabase project is none.", "Look at both.") from wrong


def _rows(changes: Iterable[Change], platform: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Table by table in order; of several changes to one row, which no statement takes twice, the last."""
    told = (change for change in changes if change.table is not None and not change.gone)
    for name, some in groupby(told, key=lambda change: change.table.name if change.table is not None else ""):
        if name in TOLD:
            rows = {change.row["id"]: change.row for change in some}
            yield (
                f"reconciler_{name}",
                [
                    {"platform": platform, **{column: _plain(row[column]) for column in TOLD[name]}}
                    for row in rows.values()
                ],
            )


def _told(row: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    return {column: _plain(row[column]) for column in columns}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _refused(table: str, error: APIError) -> StoreUnusable:
    # PostgREST 12 answers a write to a table that is not there with 404 and nothing else.
    if error.code in _NO_TABLE or (error.code is None and error.message is None):
        return StoreUnusable(f"The Supabase project has no table {table}.", "Run docs/supabase-mirror.sql there.")
    if error.code in _NOT_ALLOWED or "api key" in (error.message or "").lower():
        return StoreUnusable(
            "The Supabase project does not let this key write there.",
            "Give its secret key (or `service_role`) in RECONCILER_SUPABASE_KEY.",
        )
    return StoreUnusable(f"Supabase refused what it was told ({error.code}): {error.message}.", "It is tried again.")
