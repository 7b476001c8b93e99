"""Who may connect to the cockpit: its token, and the checks of Host and Origin.

A page of another site, opened in the same browser, can send requests to loopback. It can't choose Origin, and
with a name that it points to loopback afterwards (DNS rebinding) it can't choose Host; so both are checked.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from udacity_gym.errors import OptionError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
COOKIE = "udacity_gym_cockpit"
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer."""


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


class Guard:
    """ASGI middleware that lets in whoever may, and puts `HEADERS` on every answer.

    Attributes:
        token: what a browser must know; None needs none.
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None = None, names: Iterable[str] = ()) -> None:
        """Guard an application.

        Args:
            app: the application.
            host: address that it listens on.
            token: what a browser must know, once, in the address; None needs none, on loopback only.
            names: further host names by which the page may be opened.

        Raises:
            OptionError: There is no token, and others can connect.
        """
        if token is None and not is_loopback(host):
            raise OptionError(f"on {host} others can connect: a token is required")
        self.token = token
        self._app = app
        self._names = LOOPBACK_NAMES | {name.lower() for name in names}
        if not is_loopback(host):
            self._names |= {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
        self._takes_addresses = not is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request or a WebSocket, and pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope)
        query_token = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if problem is None and not self._knows_token(scope, query_token):
            problem = "the token is missing or wrong: open the address that udacity-gym cockpit printed"
        if problem is not None:
            if scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 4403, "reason": problem[:120]})
            else:
                await PlainTextResponse(f"{problem}\n", 403)(scope, receive, self._with_headers(send))
            return
        if scope["type"] == "http" and self.token is not None and query_token:
            # The token leaves the address bar, and the history with it.
            answer = RedirectResponse(scope["path"], 303)
            answer.set_cookie(COOKIE, quote(self.token), httponly=True, samesite="strict")
            await answer(scope, receive, self._with_headers(send))
            return
        await self._app(scope, receive, self._with_headers(send) if scope["type"] == "http" else send)

    def _problem(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_own(host):
            return f"this cockpit is not called {host!r}: open it by its address, or start it with --name"
        origin = headers.get("origin")
        if origin is None:
            is_websocket = scope["type"] == "websocket"
            return "a WebSocket must say from which page it comes" if is_websocket else None
        if urlsplit(origin).netloc.lower() != host.lower():
            return f"pages of {origin!r} may not use this cockpit"
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        if not self._takes_addresses:
            return False
        try:
            ipaddress.ip_address(name)  # nobody can point an address elsewhere, as they can a name
        except ValueError:
            return False
        return True

    def _knows_token(self, scope: Scope, given: str) -> bool:
        if self.token is None:
            return True
        try:
            cookies = SimpleCookie(Headers(scope=scope).get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        kept = cookies[COOKIE].value if COOKIE in cookies else ""
        return any(
            hmac.compare_digest(candidate.encode("utf-8", "replace"), known.encode())
            for candidate in (given, kept)
            for known in (self.token, quote(self.token))
        )

    @staticmethod
    def _with_headers(send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in given),
                ]
            await send(message)

        return send_with_headers
