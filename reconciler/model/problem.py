"""What is wrong with something a person wrote, told the way a good compiler tells it.

One value feeds the terminal, JSON, workflow annotations, JUnit and the status. It holds facts; the
rendering of each form lives with whoever shows it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    message: str
    """One sentence: what is wrong. Never holds a secret."""
    code: str
    """Stable, kebab-case, for tools: `unknown-field`, `duplicate-key`."""
    service: str | None = None
    file: str | None = None
    """Path in the repository, with forward slashes."""
    line: int | None = None
    """Counted from 1, like `column`."""
    column: int | None = None
    excerpt: str | None = None
    """The offending line as it stands in the file, cut to a sane width."""
    expected: str | None = None
    remedy: str | None = None
    """What to do about it, in the imperative."""

    @property
    def place(self) -> str:
        parts = [self.file or "", *(str(n) for n in (self.line, self.column) if n is not None)]
        return ":".join(part for part in parts if part)
