"""A real Prometheus and its promtool, from Debian's package."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.downloads import kept
from tests.postgres import free_port
from tests.waiting import until_sync


class Prometheus:
    """Scrapes one control plane every few seconds, and gives each scrape as long."""

    def __init__(self, target: str, token: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
        port = free_port()
        job = {
            "job_name": "reconciler",
            "authorization": {"credentials": token},
            "static_configs": [{"targets": [target]}],
        }
        configuration = {"global": {"scrape_interval": "3s", "scrape_timeout": "3s"}, "scrape_configs": [job]}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        words = [str(_program("prometheus")), f"--config.file={self.folder}/prometheus.yml"]
        words += [f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        self._server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._api = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def __enter__(self) -> Self:
        until_sync(self._answers, within=60, what="Prometheus")
        return self

    def __exit__(self, *_: object) -> None:
        self._api.close()
        self._server.kill()
        self._server.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, query: str) -> dict[str, float]:
        """The values of an instant query, by their labels."""
        answer = self._api.get("/api/v1/query", params={"query": query}).raise_for_status().json()
        return {_labels(one["metric"]): float(one["value"][1]) for one in answer["data"]["result"]}

    def values(self, query: str) -> dict[str, list[float]]:
        """Every sample of a series within some time, in order."""
        answer = self._api.get("/api/v1/query", params={"query": query}).raise_for_status().json()
        return {
            _labels(one["metric"]): [float(value) for _, value in one["values"]] for one in answer["data"]["result"]
        }

    def targets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (
            self._api.get("/api/v1/targets").raise_for_status().json()["data"]["activeTargets"]
        )
        return found

    def _answers(self) -> bool:
        try:
            return self._api.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False


def promtool(*words: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(_program("promtool")), *words], input=text, capture_output=True, timeout=60)


def _labels(metric: dict[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(metric.items()) if name not in ("instance", "job"))


def _program(name: str) -> Path:
    return kept("prometheus", _fetch) / "usr" / "bin" / name


def _fetch(into: Path) -> None:
    with tempfile.TemporaryDirectory(dir=into) as packages:
        fetched = subprocess.run(
            ["apt-get", "download", "prometheus"], cwd=packages, capture_output=True, text=True, timeout=120
        )
        assert fetched.returncode == 0, fetched.stderr
        (package,) = Path(packages).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", str(package), str(into)], check=True, timeout=60)
