"""The encrypted store: names, versions, and who set them when. Values go in and never come out."""

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi import Path as PathParameter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, WithJsonSchema
from pydantic_core import PydanticCustomError

from reconciler.api.access import scope
from reconciler.api.asked import Asked, refusals
from reconciler.api.pages import After, Limit, Page, page_by_name
from reconciler.api.problems import described
from reconciler.model.access import Caller
from reconciler.model.secret_status import KeyTaken, SecretHistory, SecretStatus, SecretTaken
from reconciler.model.variable import VariableName, is_reserved, is_variable

router = APIRouter(tags=["secrets"])
VARIABLE = TypeAdapter(VariableName).json_schema()
MayKeepSecrets = Annotated[Caller, Depends(scope("secrets"))]


def _variable(name: str) -> str:
    if not is_variable(name):
        raise PydanticCustomError("name", "a secret is named like an environment variable, such as `STRIPE_KEY`")
    if is_reserved(name):
        raise PydanticCustomError("name", "a variable of this name would change how a service is run")
    return name


Secret = Annotated[
    str,
    AfterValidator(_variable),
    WithJsonSchema(VARIABLE),
    PathParameter(
        max_length=128,
        description="The name of an environment variable, such as `STRIPE_KEY`.",
        examples=["STRIPE_KEY"],
    ),
]


class Value(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: SecretStr = Field(
        description="Text without NUL, up to a megabyte. It is never told again.",
        json_schema_extra={"minLength": 1, "pattern": "^[^\\u0000]*$"},
    )


@router.get("/v1/secrets")
async def list_secrets(
    platform: Asked, _caller: MayKeepSecrets, limit: Limit = 100, after: After = None
) -> Page[SecretStatus]:
    """What is set, by name."""
    found = {one.name: one for one in platform.safekeeping.secrets()}
    return page_by_name(list(found), limit, after, found.get)


@router.get("/v1/secrets/{secret}", responses=described(404))
async def get_secret(platform: Asked, secret: Secret, _caller: MayKeepSecrets) -> SecretHistory:
    """Every version: who set it and when, and whether a release still has it."""
    with refusals():
        return platform.safekeeping.history(secret)


@router.put("/v1/secrets/{secret}", responses=described(409))
async def set_secret(platform: Asked, secret: Secret, value: Value, caller: MayKeepSecrets) -> SecretTaken:
    """A new version, and a sync: services that name it get a release with it, tested like any other."""
    with refusals():
        return await platform.safekeeping.set(secret, value.value.get_secret_value(), caller.name)


@router.delete("/v1/secrets/{secret}", responses=described(404, 409))
async def remove_secret(platform: Asked, secret: Secret, caller: MayKeepSecrets) -> SecretTaken:
    """From here on there is none. What runs keeps the value that it was made with."""
    with refusals():
        return await platform.safekeeping.remove(secret, caller.name)


@router.post("/v1/secrets-key/rotate", responses=described(409))
async def rotate_secrets_key(platform: Asked, caller: MayKeepSecrets) -> KeyTaken:
    """Put everything under a new master key. Nothing is released anew."""
    with refusals():
        return await platform.safekeeping.rotate_key(caller.name)
