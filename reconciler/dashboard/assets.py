"""The files that pages load: stylesheet, scripts, the icon, and somebody else's reader of API documents.

Each has an address that holds a hash of its content, so that a browser may keep it for ever and still never shows an
old page with a new server. Refuses to load anything from elsewhere: what is served is what lies in the folder.
"""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"
MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    path: Path
    """As it is kept: a big one is compressed already."""

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(".gz")

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[Path(self.name).suffix]

    @cached_property
    def compressed(self) -> bytes:
        kept = self.path.read_bytes()
        return kept if self.path.suffix == ".gz" else gzip.compress(kept, mtime=0)

    @property
    def plain(self) -> bytes:
        return gzip.decompress(self.compressed)

    @cached_property
    def address(self) -> str:
        """Its path on the server."""
        stem, _, suffix = self.name.rpartition(".")
        return f"/assets/{stem}.{hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]}.{suffix}"


def _found() -> list[Asset]:
    every = (Asset(path) for path in sorted(FOLDER.iterdir()))
    return [asset for asset in every if Path(asset.name).suffix in MEDIA_TYPES]


ASSETS = {asset.name: asset for asset in _found()}
SERVED = {asset.address: asset for asset in ASSETS.values()}
