"""Why somebody's wish cannot be carried out. A person made it, so it is answered, and never becomes a condition."""


class Refusal(Exception):
    """It cannot be done as things stand: another state, or another wish, would do."""


class Unknown(Refusal):
    """It names something that is not there."""
