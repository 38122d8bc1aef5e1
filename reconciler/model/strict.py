"""What every model of a file has in common: nothing unknown, nothing converted, nothing changed afterwards."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

T = TypeVar("T")

List = Annotated[tuple[T, ...], Field(strict=False)]
"""A YAML list, kept as a tuple: strictness would otherwise refuse the one for the other. Its entries stay strict."""


class Strict(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_empty_fields(cls, data: Any) -> Any:
        """A known field with nothing behind its colon is as if it were not written."""
        if not isinstance(data, dict):
            return data
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {name: value for name, value in data.items() if value is not None or name not in known}
