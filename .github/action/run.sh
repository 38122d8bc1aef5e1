#!/usr/bin/env bash
# What the action does. Everything comes in variables, never in the script's text: names of branches are written by strangers.
set -euo pipefail

case "$RUN" in
check)
    data="$RUNNER_TEMP/reconciler/data"
    since=()
    if [ -n "${SINCE:-}" ] && [ "$SINCE" != 0000000000000000000000000000000000000000 ]; then
        if git -C "$CHECKED" cat-file -e "$SINCE^{commit}" 2>/dev/null || git -C "$CHECKED" fetch --quiet --depth 1 origin "$SINCE"; then
            since=(--changed-since "$SINCE")
        else
            # It was rewritten since, or the checkout kept no credentials to ask with.
            echo "::warning title=reconciler::the commit to compare with cannot be fetched, so all services are checked"
        fi
    fi
    status=0
    reconciler check "$CHECKED" ${since[@]+"${since[@]}"} --format github --data "$data" || status=$?
    if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ ${#since[@]} -gt 0 ] && [ "$status" -lt 2 ]; then
        # What a merge would change; that some of it would fail has been said above.
        planned=$(reconciler plan "$CHECKED" "${since[@]}" --data "$data" 2>/dev/null) || true
        printf '\n### What a merge would change\n\n```text\n%s\n```\n' "${planned//\`/\'}" >> "$GITHUB_STEP_SUMMARY"
    fi
    verdict=passed
    [ "$status" -eq 0 ] || verdict=failed
    echo "verdict=$verdict" >> "$GITHUB_OUTPUT"
    exit "$status"
    ;;
wait-for-sync)
    exec python3 "$ACTION/.github/action/wait_for_sync.py"
    ;;
*)
    echo "::error::run must be check or wait-for-sync, not $RUN"
    exit 2
    ;;
esac
