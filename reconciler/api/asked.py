"""What endpoints ask for beside their parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request

from reconciler.api import platform as platforms
from reconciler.api.platform import Platform
from reconciler.model.refusal import Refusal, Unknown
from reconciler.model.unusable import Unusable


async def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


async def _keys(request: Request) -> platforms.Keys:
    keys: platforms.Keys = request.app.state.platform.keys
    return keys


Keys = Annotated[platforms.Keys, Depends(_keys)]
Asked = Annotated[Platform, Depends(_platform)]
Release = Annotated[str, Path(max_length=100, description="A release, `tasks-7`.", examples=["tasks-7"])]
Name = Annotated[str, Path(max_length=63, description="A service's name.", examples=["tasks"])]


def no_service(name: str) -> HTTPException:
    return HTTPException(404, f"there is no service {name}")


@contextmanager
def refusals() -> Iterator[None]:
    """What the platform will not do for whoever asks, as HTTP says it."""
    try:
        yield
    except Unusable as unusable:
        raise HTTPException(422, str(unusable)) from unusable
    except Unknown as unknown:
        raise HTTPException(404, str(unknown)) from unknown
    except Refusal as refusal:
        raise HTTPException(409, str(refusal)) from refusal
