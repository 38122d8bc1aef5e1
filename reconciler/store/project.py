"""A Supabase project that is told what happens here: where it is, and the key that may write there."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Project:
    url: str
    key: str = field(repr=False)
