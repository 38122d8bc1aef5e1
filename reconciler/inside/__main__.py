"""Load this folder as a package under a private name and start what the first argument asks for.

The interpreter puts the folder itself on `sys.path` when it is run; a service that has a `worker.py` or an
`output.py` of its own would then get ours. So the folder is taken off the path and becomes the package `_reconciler`.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

PRIVATE_NAME = "_reconciler"


def load_package(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        PRIVATE_NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} cannot be loaded as a package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PRIVATE_NAME] = package
    spec.loader.exec_module(package)


def main() -> None:
    folder = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != folder]
    load_package(folder)
    if sys.argv[1:2] not in (["zygote"], ["tester"]):
        sys.exit("usage: python -I reconciler/inside zygote --socket S --lifeline-fd L --log FILE")
    importlib.import_module(f"{PRIVATE_NAME}.{sys.argv[1]}").main(sys.argv[2:])


if __name__ == "__main__":
    main()
