"""A package index of our own: tiny wheels in a folder, or behind a server that can misbehave."""

import hashlib
import http.server
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    requires: Sequence[str] = (),
    *,
    python: str | None = None,
    files: Mapping[str, str | bytes] = {},
    unrecorded: Mapping[str, str] = {},
) -> Path:
    """Write a wheel by hand; `files` come on top of a module that knows its version."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    metadata += [f"Requires-Python: {python}"] if python else []
    content = {
        f"{name}/__init__.py": f"__version__ = {version!r}\n",
        **files,
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*content, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in {**content, **unrecorded}.items():
            archive.writestr(inner, text)
    return path


BACKEND = """
import os, pathlib, zipfile
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(folder, config_settings=None, metadata_directory=None):
    pathlib.Path({witness!r}).write_text("\\n".join(f"{{k}}={{v}}" for k, v in os.environ.items()))
    path = pathlib.Path(folder, "{name}-1.0-py3-none-any.whl")
    tag = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("{name}/__init__.py", "")
        archive.writestr("{name}-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        archive.writestr("{name}-1.0.dist-info/WHEEL", tag)
        archive.writestr("{name}-1.0.dist-info/RECORD", "")
    return path.name
"""


def source(folder: Path, name: str, witness: Path) -> Path:
    """Write a source archive that is its own build backend, and writes its environment to `witness` when it runs."""
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        "backend.py": BACKEND.format(name=name, witness=str(witness)),
        "setup.py": f"open({str(witness)!r}, 'w').write('setup.py ran')\n",
    }
    path = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for inner, text in files.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{inner}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def sha256(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@dataclass
class PackageIndex:
    """The folder's wheels as a simple index; `instead` answers for paths that end in its keys."""

    folder: Path
    url: str = ""
    requested: list[str] = field(default_factory=list)
    instead: dict[str, Answer] = field(default_factory=dict)
    yanked: set[str] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)

    def stall(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Say nothing until the gate opens, then answer as usual."""
        self.gate.wait(20)
        self.answer(handler)

    def pause(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Send half of the file, then say nothing until the gate opens."""
        content = (self.folder / Path(handler.path).name).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        self.gate.wait(20)
        handler.wfile.write(content[len(content) // 2 :])

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = handler.path
        if path.startswith("/simple/"):
            send(handler, *self._page(path.removeprefix("/simple/").strip("/")))
        elif path.endswith(".metadata"):
            with zipfile.ZipFile(self.folder / Path(path).name.removesuffix(".metadata")) as archive:
                name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
                send(handler, 200, archive.read(name))
        else:
            send(handler, 200, (self.folder / Path(path).name).read_bytes())

    def _page(self, name: str) -> tuple[int, bytes]:
        paths = [path for path in sorted(self.folder.iterdir()) if re.match(rf"{name}-\d", path.name)]
        links = (
            f'<a href="/files/{path.name}#{sha256(path).replace(":", "=")}" data-core-metadata="true"'
            f"{' data-yanked' if path.name in self.yanked else ''}>{path.name}</a>"
            for path in paths
        )
        return 200 if paths else 404, "\n".join(links).encode()


def send(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes = b"") -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def status(code: int) -> Answer:
    return lambda handler: send(handler, code)


def truncated(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b"PK")
    handler.close_connection = True


def garbage(handler: http.server.BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"<html>Please sign in to this network</html>")


@contextmanager
def serving(folder: Path) -> Iterator[PackageIndex]:
    index = PackageIndex(folder)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.requested.append(self.path)
            special = (answer for end, answer in index.instead.items() if self.path.endswith(end))
            try:
                next(special, index.answer)(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def do_HEAD(self) -> None:
            send(self, 405)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield index
    finally:
        index.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
