#!/usr/bin/env bash
# The action's own reconciler, in an environment of its own.
set -euo pipefail

place="$RUNNER_TEMP/reconciler"
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$ACTION"
echo "$place/venv/bin" >> "$GITHUB_PATH"
