"""What was asked for cannot be done as asked: the operator gets one line, and exit code 2."""


class Misconfigured(Exception):
    """Its text is the whole line: what is wrong, and what to do instead."""
