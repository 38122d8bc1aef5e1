"""The one error of a text that cannot be the value of a secret."""


class Unusable(Exception):
    """Why it cannot. Never holds the text."""
