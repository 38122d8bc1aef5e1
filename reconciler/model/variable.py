"""Names of environment variables that a service may set.

Some names change what a process loads or runs, or carry the platform's own word; a manifest cannot have them.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from reconciler.model.diagnosis import refuse

PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
RESERVED: Final = ("PATH", "BASH_ENV", "IFS", "LD_*", "DYLD_*", "PYTHON*", "UV_*", "PIP_*", "RECONCILER_*")

_REFUSED: Final = re.compile("|".join(each.replace("*", ".*") for each in RESERVED), re.IGNORECASE)


def is_variable(name: str) -> bool:
    return re.fullmatch(PATTERN, name) is not None


def is_reserved(name: str) -> bool:
    return _REFUSED.fullmatch(name) is not None


def check_variable(name: str) -> str:
    if not is_variable(name):
        refuse(
            "bad-name",
            "{name} is not a name for an environment variable",
            expected="letters, digits and `_`, not beginning with a digit",
        )
    if is_reserved(name):
        refuse(
            "reserved-name",
            f"`{name}` is reserved: it would change how the service is run",
            expected=f"any name but {', '.join(f'`{each}`' for each in RESERVED)}",
            remedy="choose another name",
        )
    return name


_ALLOWED: Final = "|".join(each.replace("*", ".*") for each in RESERVED)
VariableName = Annotated[
    str,
    AfterValidator(check_variable),
    WithJsonSchema({"type": "string", "pattern": rf"^(?!({_ALLOWED})$){PATTERN[1:]}", "examples": ["PAGE_SIZE"]}),
]
