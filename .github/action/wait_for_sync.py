"""Wait until a commit is live and tested on a reconciler, and say why not when it is not.

Exit code 0: live. 1: it failed, or a newer commit took its place and failed. 2: it cannot be asked. 3: nobody
answered in time.
Only the standard library: it also runs where nothing is installed.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

LOOK_EVERY = 2.0
ANSWERS_WITHIN = 20.0


class CannotAsk(Exception):
    """Another try would end the same way."""


def main() -> int:
    url, sha = os.environ["RECONCILER_URL"].rstrip("/"), os.environ["SHA"]
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        return say_error("`server` must be the control plane's address, http:// or https://", 2)
    try:
        deadline = time.monotonic() + float(os.environ.get("SECONDS_AT_MOST", "600"))
    except ValueError:
        return say_error("`timeout` must be a number of seconds", 2)
    print(f"waiting for {sha[:8]} at {url}", flush=True)
    trouble = ""
    while True:
        try:
            syncs = ask(f"{url}/v1/syncs?limit=100")["items"]
            sync = newest_about(syncs, sha)
            trouble = f"sync {sync['id']} is not over yet" if sync is not None else not_followed(syncs)
            if sync is not None and sync["state"] not in ("waiting", "running"):
                return conclude(sync, sha)
        except CannotAsk as error:
            return say_error(str(error), 2)
        except (OSError, ValueError) as error:
            trouble = f"{url} does not answer: {error}"
        if time.monotonic() > deadline:
            output(verdict="timeout")
            return say_error(f"{sha[:8]} is not live in time: {trouble}", 3)
        time.sleep(min(LOOK_EVERY, max(0.05, deadline - time.monotonic())))


def newest_about(syncs: list[dict[str, Any]], sha: str) -> dict[str, Any] | None:
    """The last sync that followed the commit; a later one of another commit stands for one it superseded."""
    about = next((sync for sync in syncs if (sync["revision"] or "").endswith(f":{sha}")), None)
    if about is None or about["state"] != "superseded":
        return about
    newer = [sync for sync in syncs if int(sync["id"]) > int(about["id"])]
    return newer[0] if newer else about


def not_followed(syncs: list[dict[str, Any]]) -> str:
    last = next((f", the last one followed {sync['revision']}" for sync in syncs if sync["revision"]), "")
    return (
        f"no sync has followed this commit{last}; is it on that branch, or did a newer one come before anybody looked?"
    )


def conclude(sync: dict[str, Any], sha: str) -> int:
    is_other = not (sync["revision"] or "").endswith(f":{sha}")
    failed = [one for one in sync["actions"] if one["outcome"] == "failed" or (one["verb"] == "hold" and one["reason"])]
    if sync["state"] == "done" and not failed:
        output(verdict="superseded" if is_other else "live", sync=sync["id"])
        done = ", ".join(one["service"] for one in sync["actions"] if one["outcome"] == "done") or "nothing to change"
        print(f"live: {done}" + (f" (a newer commit, {sync['revision']}, took its place)" if is_other else ""))
        return 0
    output(verdict="failed", sync=sync["id"])
    for one in failed:
        say_error(f"{one['service']}: {one['reason']}: {one['message']}", 1)
    return say_error(sync["message"] or f"{len(failed)} of this commit's services did not go live", 1)


def ask(address: str) -> Any:
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {credential()}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN) as response:  # noqa: S310
            return json.load(response)
    except urllib.error.HTTPError as error:
        # The server may have to fetch the forge's keys first; and it may be starting.
        if error.code in (403, 404) or (error.code == 401 and os.environ.get("RECONCILER_TOKEN")):
            raise CannotAsk(f"the server says {error.code}: {detail(error)}") from error
        raise


def credential() -> str:
    """A token, or the identity that GitHub gives to a job with `id-token: write`."""
    token = os.environ.get("RECONCILER_TOKEN")
    if token:
        return token
    address, key = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL"), os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not address or not key:
        raise CannotAsk("give `token`, or let the job have `permissions: {id-token: write}`")
    audience = urllib.parse.quote(os.environ["RECONCILER_URL"].rstrip("/"), safe="")
    request = urllib.request.Request(f"{address}&audience={audience}", headers={"Authorization": f"Bearer {key}"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN) as response:  # noqa: S310
        return str(json.load(response)["value"])


def detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error).get("detail") or error.reason)
    except ValueError:
        return str(error.reason)


def output(**values: str) -> None:
    file = os.environ.get("GITHUB_OUTPUT")
    if file:
        with open(file, "a", encoding="utf-8") as stream:  # noqa: PTH123
            stream.writelines(f"{name}={value}\n" for name, value in values.items())


def say_error(message: str, code: int) -> int:
    """On one line, with what the runner would obey taken out."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::error title=reconciler::{escaped}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
