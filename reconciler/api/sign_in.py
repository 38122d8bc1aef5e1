"""Signing in with a browser: by the link that the server printed, or by a token.

The link holds a code that is worth something once. What the browser keeps afterwards is a session: a token of its own,
in a cookie that no script can read and no other site can send.
"""

import hmac
import secrets
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from reconciler.api.access import Access, comes_from_here, cookie_name, sessions
from reconciler.api.asked import Keys
from reconciler.api.dashboard import HEADERS
from reconciler.dashboard.page import render
from reconciler.model.access import SCOPES, Caller, Token

router = APIRouter(include_in_schema=False)

LONGEST_FORM = 4096
MONTH = 30 * 86400


class SignInCode:
    """What the printed link holds. Worth something until somebody uses it."""

    def __init__(self) -> None:
        self.text: str | None = secrets.token_urlsafe(24)

    def use(self, given: str) -> bool:
        if self.text is None or not hmac.compare_digest(self.text.encode(), given.encode()):
            return False
        self.text = None
        return True


@router.get("/sign-in")
async def page(request: Request, keys: Keys, code: Annotated[str | None, Query(max_length=200)] = None) -> Response:
    printed: SignInCode = request.app.state.sign_in_code
    if code is None:
        return _page()
    if not printed.use(code):
        return _page("This link was used already, or the server has started again since. A token works as well.", 403)
    return await _signed_in(request, keys, Caller("admin", SCOPES))


@router.post("/sign-in")
async def sign_in(request: Request, keys: Keys) -> Response:
    # Otherwise another site could sign somebody in as somebody else, and watch what he does.
    if not comes_from_here(request):
        raise HTTPException(403, "sign in from this server's own page")
    form = await _form(request)
    access: Access = request.app.state.access
    try:
        caller = access.recognise(form.get("token", "").strip(), request.client.host if request.client else "")
    except HTTPException as refused:
        return _page(f"{str(refused.detail).capitalize()}.", refused.status_code)
    return await _signed_in(request, keys, caller)


@router.post("/sign-out")
async def sign_out(request: Request, keys: Keys) -> Response:
    if not comes_from_here(request):
        raise HTTPException(403, "sign out from this server's own page")
    for carried in map(Token.read, sessions(request)):
        if carried is not None and keys.recognise(str(carried)) is not None:
            await keys.revoke(carried.id)
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(cookie_name(request), path="/")
    return answer


async def _signed_in(request: Request, keys: Keys, caller: Caller) -> Response:
    session = await keys.sign_in(caller)
    request.state.caller = caller
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        cookie_name(request),
        session,
        max_age=MONTH,
        path="/",
        secure=request.headers.get("origin", str(request.url)).startswith("https:"),
        httponly=True,
        samesite="strict",
    )
    return answer


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise HTTPException(413, "that is no token")
    return {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}


def _page(message: str = "", status: int = 200) -> HTMLResponse:
    return HTMLResponse(render("sign_in.html", message=message), status, headers=HEADERS)
