"""The control plane over HTTP: status, logs and actions for those who hold a token.

`build` makes the application; what it shows and does is asked of a `Platform`, which control implements.
"""

from reconciler.api.access import Access, Recogniser
from reconciler.api.application import build
from reconciler.api.platform import Platform

__all__ = ["Access", "Platform", "Recogniser", "build"]
