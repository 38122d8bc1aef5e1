"""Takes files of any size and answers with their fingerprint, without ever holding one in memory."""

import hashlib

from fastapi import APIRouter, Request, UploadFile
from pydantic import BaseModel

router = APIRouter()
CHUNK = 64 * 1024


class Fingerprint(BaseModel):
    name: str
    size: int
    sha256: str


@router.post("/", status_code=201)
async def upload(file: UploadFile) -> Fingerprint:
    """A form with one file, as a browser sends it."""
    digest, size = hashlib.sha256(), 0
    while chunk := await file.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return Fingerprint(name=file.filename or "", size=size, sha256=digest.hexdigest())


@router.put("/{name}", status_code=201)
async def put(name: str, request: Request) -> Fingerprint:
    """The bare bytes, as `curl --upload-file` sends them."""
    digest, size = hashlib.sha256(), 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return Fingerprint(name=name, size=size, sha256=digest.hexdigest())
