"""A secret as one release has it: which variable receives it, where it is kept, in which version. Never the value."""

from dataclasses import dataclass

from reconciler.model.secret_reference import split


@dataclass(frozen=True, slots=True)
class PinnedSecret:
    name: str
    """The environment variable that receives the value."""
    reference: str
    """`provider:place`, in full."""
    version: str
    """A number where the provider counts versions; a keyed print of the value where it does not."""

    @property
    def provider(self) -> str:
        return self.reference.partition(":")[0]

    @property
    def place(self) -> str:
        """What the provider knows it by."""
        return split(self.reference)[1]

    @property
    def key(self) -> str:
        """Which of several values in that place; the variable's own name where nothing is said."""
        return split(self.reference)[2] or self.name
