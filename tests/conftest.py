"""How the whole suite is run; what single tests need stands beside them."""

import os


def pytest_xdist_auto_num_workers() -> int:
    """Most tests wait for processes and sockets: two of them share a core well."""
    return 2 * (os.cpu_count() or 1)
