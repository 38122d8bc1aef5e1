"""Secrets: from a reference in a manifest to the value that a worker gets.

Every place where values are kept stands behind one small interface, `Provider`: it tells which version a release made
now would get, and gives the value of a version to a worker that starts. Refuses to log, cache or return a value for any
other purpose, and knows neither releases nor the database: control introduces them.
"""

from reconciler.secrets.dotenv_files import DotenvFiles
from reconciler.secrets.encrypted_store import EncryptedStore, Locked
from reconciler.secrets.given import Given
from reconciler.secrets.key_file import KeyFile
from reconciler.secrets.provider import Absent, Missing, Provider
from reconciler.secrets.server_environment import ServerEnvironment

__all__ = [
    "Absent",
    "DotenvFiles",
    "EncryptedStore",
    "Given",
    "KeyFile",
    "Locked",
    "Missing",
    "Provider",
    "ServerEnvironment",
]
