"""Cookies that are none of a service's business: those of somebody who is signed in to the control plane.

Cookies know no ports, so a browser sends them to every service on the same host.
"""

SESSION = b"reconciler_session"
"""What the names of those cookies begin with."""

Header = tuple[bytes, bytes]


def without_sessions(headers: list[Header]) -> list[Header]:
    kept = []
    for name, value in headers:
        if name == b"cookie" and SESSION in value:
            rest = b";".join(cookie for cookie in value.split(b";") if not cookie.lstrip().startswith(SESSION)).strip()
            if rest:
                kept.append((name, rest))
        else:
            kept.append((name, value))
    return kept
