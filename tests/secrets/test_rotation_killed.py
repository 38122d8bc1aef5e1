"""The change of the master key, killed with SIGKILL before and after every step: nothing is lost; it is finished."""

import shutil
import subprocess
import sys
from pathlib import Path

from reconciler.secrets import EncryptedStore
from tests.secrets.stores import pinned, with_store

# One child per step: each works on a copy of its own, and kills itself when its turn has come.
SCRIPT = """
import asyncio, itertools, os, shutil, signal, sys
from pathlib import Path
from reconciler.secrets import EncryptedStore, KeyFile
from reconciler.store.journal import Journal

base = Path(sys.argv[1])
steps, last = itertools.count(), 0


def counted(function):
    def call(*args, **kwargs):
        step()
        answer = function(*args, **kwargs)
        step()
        return answer
    return call


def step():
    if next(steps) == last:
        os.kill(os.getpid(), signal.SIGKILL)


async def rotate(data):
    journal = Journal(data / "journal.db")
    await journal.open()
    store = EncryptedStore(journal, KeyFile(data / "secrets.key"))
    await store.open()
    os.open, os.fsync, os.replace = counted(os.open), counted(os.fsync), counted(os.replace)
    Journal.wrapped_keys, Journal.set_wrapped_keys = counted(Journal.wrapped_keys), counted(Journal.set_wrapped_keys)
    # Inside of the transaction too, which is then taken back.
    from reconciler.store.secrets import SecretEntries
    SecretEntries.set_wrapped_keys = counted(SecretEntries.set_wrapped_keys)
    await store.rotate_key()


for last in itertools.count():
    data = base / f"killed-{last}"
    shutil.copytree(base / "whole", data)
    child = os.fork()
    if child == 0:
        asyncio.run(rotate(data))
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(last)
"""


def test_a_change_of_keys_survives_a_kill_at_any_step(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()

    async def fill(store: EncryptedStore) -> str:
        for name, value in (("A", "a-one"), ("A", "a-two"), ("B", "b-one")):
            await store.set(name, value, "ana")
        return store.fingerprint("x")

    mark = with_store(whole, fill)
    first = (whole / "secrets.key").read_text()
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    steps = int(done.stdout)
    assert steps >= 18, "the file twice, with its syncs and renames, and the journal between them"
    changed = 0
    for step in range(steps):
        data = tmp_path / f"killed-{step}"

        async def look(store: EncryptedStore) -> None:
            assert store.trouble is None, store.trouble
            assert await store.value(pinned("A", 1)) == "a-one"
            assert await store.value(pinned("A", 2)) == "a-two"
            assert await store.value(pinned("B", 1)) == "b-one"
            assert store.fingerprint("x") == mark
            await store.set("B", "b-two", "ana")

        with_store(data, look)
        keys = (data / "secrets.key").read_text().split()
        assert len(keys) == 1, f"step {step}: the change was carried on to its end"
        changed += keys != first.split()
        shutil.rmtree(data)
    assert 0 < changed < steps, "some were killed before the point of no return, some after it"
