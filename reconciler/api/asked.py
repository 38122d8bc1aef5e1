"""What endpoints ask for beside their parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Request

from reconciler.api import platform as platforms
from reconciler.api.platform import Platform
from reconciler.model.refusal import Unknown


async def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


async def _keys(request: Request) -> platforms.Keys:
    keys: platforms.Keys = request.app.state.platform.keys
    return keys


Keys = Annotated[platforms.Keys, Depends(_keys)]
Asked = Annotated[Platform, Depends(_platform)]
Release = Annotated[str, Path(max_length=100, description="A release, `tasks-7`.")]
Name = Annotated[str, Path(max_length=63, description="A service's name.")]


def no_service(name: str) -> HTTPException:
    return HTTPException(404, f"there is no service {name}")


@contextmanager
def unknown_is_404() -> Iterator[None]:
    try:
        yield
    except Unknown as unknown:
        raise HTTPException(404, str(unknown)) from unknown
