"""Access tokens, and the log of what was changed with them. For admins."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from reconciler.api.access import scope
from reconciler.api.asked import Keys, refusals
from reconciler.api.pages import Limit, Older, Page, page_of_newest
from reconciler.api.problems import described
from reconciler.model.access import Caller, Scope
from reconciler.model.access_status import AuditStatus, NewToken, TokenStatus
from reconciler.model.names import SERVICE_NAME

router = APIRouter(tags=["access"])
Admin = Annotated[Caller, Depends(scope("admin"))]
ServiceNames = list[Annotated[str, Field(pattern=f"^{SERVICE_NAME.pattern}$")]]


class Wish(BaseModel):
    """What a new token shall be worth."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, description="Whom or what it is for; shown as the actor.")
    scopes: list[Scope] = Field(min_length=1, max_length=20)
    services: ServiceNames | None = Field(None, min_length=1, max_length=1000, description="Only these.")
    lasts: int | None = Field(None, ge=60, le=10 * 365 * 86400, description="Seconds; without it, until revoked.")


@router.get("/v1/tokens")
async def list_tokens(keys: Keys, _caller: Admin) -> Page[TokenStatus]:
    """All of them, the oldest first, never their secrets."""
    listed = keys.listed()
    return Page(items=listed, total=len(listed), next=None)


@router.post("/v1/tokens", status_code=201, responses=described(409))
async def create_token(keys: Keys, caller: Admin, wish: Wish) -> NewToken:
    """A new token. The answer is the only place where it ever stands."""
    lasts = timedelta(seconds=wish.lasts) if wish.lasts is not None else None
    with refusals():
        return await keys.create(wish.name, set(wish.scopes), wish.services, lasts, caller)


@router.delete("/v1/tokens/{token}", responses=described(404))
async def revoke_token(
    keys: Keys,
    _caller: Admin,
    token: Annotated[str, Path(max_length=12, description="A token's id.", examples=["0b1c2d3e4f50"])],
) -> TokenStatus:
    """It is worth nothing from now on, nor is what was made with it. Asking twice is asking once."""
    with refusals():
        return await keys.revoke(token)


@router.get("/v1/audit")
async def list_changes(keys: Keys, _caller: Admin, limit: Limit = 50, after: Older = None) -> Page[AuditStatus]:
    """Everything that somebody asked to be changed, the newest first."""
    return page_of_newest(*await keys.audits(limit + 1, after), limit)
