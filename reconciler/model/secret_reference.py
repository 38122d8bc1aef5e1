"""A reference to a secret: which variable gets it, and where its value is kept. Never the value."""

import re
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, ConfigDict, Field, field_validator

from reconciler.model.diagnosis import refuse
from reconciler.model.strict import Strict
from reconciler.model.suggestion import did_you_mean, one_of
from reconciler.model.variable import VariableName, check_variable

PROVIDERS: Final = ("store", "env", "file")
NOT_YET: Final = ("vault", "aws", "sops", "supabase")
"""Providers that are planned; refused by name so that nobody waits for a value that cannot come."""

_REFERENCE: Final = re.compile(r"([a-z][a-z0-9-]*):([^\s#]+)(?:#([^\s#]+))?")


class SecretReference(Strict):
    """One secret: the environment variable that receives it and the reference to its value."""

    model_config = ConfigDict(populate_by_name=True)
    SYNONYMS: ClassVar[dict[str, str]] = {
        "value": "never write a secret into the repository; store it with `reconciler secrets set`",
        "key": "write it into `from`, as in `from: store:OTHER_NAME`",
        "required": "write `optional: true` for the opposite",
        "env": "write `name:` for the variable",
    }

    name: VariableName = Field(description="The environment variable that receives the value.")
    source: str | None = Field(
        None,
        alias="from",
        max_length=500,
        description="Where the value is kept, `provider:path#key`; without it, the default store under the same name.",
        examples=["store:OTHER_NAME", "env:STRIPE_KEY", "file:secrets.env#STRIPE_KEY"],
        json_schema_extra={"pattern": rf"^({'|'.join((*PROVIDERS, *NOT_YET))}):[^\s#]+(#[^\s#]+)?$"},
    )
    optional: bool = Field(False, description="Start without it when there is no such secret.")

    @field_validator("source")
    @classmethod
    def _known_provider(cls, source: str | None) -> str | None:
        if source is None:
            return None
        match = _REFERENCE.fullmatch(source)
        if match is None:
            refuse(
                "not-valid",
                "{name} is not a reference to a secret",
                expected="`provider:path#key`, such as `env:STRIPE_KEY`",
                remedy="never write the secret itself here",
            )
        provider = match[1]
        if provider in NOT_YET:
            refuse(
                "not-available",
                f"secrets from `{provider}:` are not available in this version",
                expected=one_of([f"{each}:" for each in PROVIDERS]),
            )
        if provider not in PROVIDERS:
            refuse(
                "unknown-value",
                "{name} names an unknown provider of secrets",
                expected=one_of([f"{each}:" for each in PROVIDERS]),
                remedy=did_you_mean(provider, PROVIDERS),
            )
        if provider in ("env", "store"):
            if match[3] is not None:
                refuse("not-valid", f"`{provider}:` takes a name and no `#`", expected=f"`{provider}:NAME`")
            check_variable(match[2])
        return source

    @property
    def reference(self) -> str:
        """The full form: `store:NAME` where nothing else is said."""
        return self.source or f"store:{self.name}"


def split(reference: str) -> tuple[str, str, str | None]:
    """Provider, place and key of a full reference."""
    provider, _, rest = reference.partition(":")
    place, _, key = rest.partition("#")
    return provider, place, key or None


def _written_short(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Secret = Annotated[
    SecretReference, BeforeValidator(_written_short, json_schema_input_type=VariableName | SecretReference)
]
