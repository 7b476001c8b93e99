"""HTTP and WebSocket of the cockpit.

One WebSocket for each page. To the page:

- binary: length of a JSON header, 4 bytes little-endian; the header; JPEG files, whose names and lengths are
  in the header. Of several images only the newest is sent, and at most `UNSHOWN` that the page has not drawn
  yet: nothing is queued.
- text: ``{"id": 7, "ok": ...}`` or ``{"id": 7, "error": "..."}``, the answer to a request; and
  ``{"poll": ...}``, see `Desk.poll`, where it has changed.

From the page, as text:

- ``["shown", stamp]``: an image was drawn;
- ``["drive", stamp, sequence, keys, steering, throttle, brake]``: what is held, see `Controls`; at least 20
  times a second. ``keys`` is a string of l, r, u and d;
- ``{"id": 7, "do": "record", "with": {"folder": "laps"}}``: a request, see `Desk`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import socket
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import anyio.to_thread
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from udacity_gym.cockpit.desk import Desk
from udacity_gym.cockpit.link import NEUTRAL, Controls
from udacity_gym.cockpit.security import Guard
from udacity_gym.cockpit.session import Session, Shot
from udacity_gym.cockpit.workspace import Workspace
from udacity_gym.errors import OptionError, SimulatorError, UdacityGymError

STATIC = Path(__file__).parent / "static"
UNSHOWN = 2
"""Images that may be on their way to a page."""
POLL = 0.5
"""s between two looks at the jobs."""
MESSAGE_LIMIT = 1 << 20
"""Bytes of a message from a page."""
KEYS = {"l": "left", "r": "right", "u": "up", "d": "down"}
SANDBOX = {
    "content-security-policy": (
        "sandbox; default-src 'none'; img-src data: 'self'; media-src data: 'self'; style-src 'unsafe-inline'"
    )
}
"""Of files of the workspace: a report from elsewhere must not act in the name of this page."""

_logger = logging.getLogger(__name__)


class Cockpit:
    """The server of the cockpit: a car, a workspace and the pages that look at them.

    Example:
        >>> with Cockpit(Workspace("workspace"), Session()) as cockpit:             # doctest: +SKIP
        ...     print(cockpit.url)
        ...     cockpit.wait()

    Attributes:
        workspace: the folder that the page may read and write.
        session: the car.
        host: address that it listens on.
        port: port that it listens on.
        token: what a browser must know; None needs none.
    """

    def __init__(
        self,
        workspace: Workspace,
        session: Session,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        names: Iterable[str] = (),
        device: str | None = None,
        precision: str | None = None,
    ) -> None:
        """Listen; the context manager, or `start`, lets pages in.

        Args:
            workspace: the folder that the page may read and write.
            session: the car, not started; this server closes it.
            host: address to listen on; with another one than loopback a token is required.
            port: to listen on; 0 takes a free one.
            token: what a browser must know.
            names: further host names by which the page may be opened.
            device: where policies compute, see `udacity_gym.driving.load_policy`.
            precision: arithmetic of the policies.

        Raises:
            OptionError: A token is required.
            SimulatorError: The port is in use.
        """
        self.workspace, self.session, self.host, self.token = workspace, session, host, token
        self._desk = Desk(workspace, session, device, precision)
        session.use_loader(self._desk.load)
        session.on_shot = self._take
        self._shot: Shot | None = None
        self._news: set[asyncio.Event] = set()
        self._connections: set[_Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.app = Guard(self._starlette(), host, token, names)
        self._socket = _listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            self.app,
            log_level="warning",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=MESSAGE_LIMIT,
            ws_ping_interval=None,  # a page that is silent for a second has lost the wheel anyway
            server_header=False,
            lifespan="on",
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/" + ("" if self.token is None else f"?token={self.token}")

    def start(self) -> None:
        """Let pages in, in a thread of its own."""
        self._thread = threading.Thread(target=self._serve, name="cockpit-server", daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.02)

    def wait(self) -> None:
        """Wait until it is closed from elsewhere, or Ctrl-C."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """End the drive, the jobs and all connections, and save what is recorded."""
        self._server.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)
        if self._thread is not None:
            self._thread.join(10.0)
        self.session.close()
        self._desk.close()
        self._socket.close()

    def __enter__(self) -> Cockpit:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def _starlette(self) -> Starlette:
        @contextlib.asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            self._loop = asyncio.get_running_loop()
            self.session.start()
            poll = asyncio.create_task(self._poll())
            yield
            poll.cancel()

        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/image", self._image),
                Route("/file/{name:path}", self._file),
                WebSocketRoute("/socket", self._page),
                Mount("/static", StaticFiles(directory=STATIC)),
            ],
            lifespan=lifespan,
        )

    # Moments come from the session's thread.

    def _take(self, shot: Shot) -> None:
        if self._loop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop was closed in between
                self._loop.call_soon_threadsafe(self._spread, shot)

    def _spread(self, shot: Shot) -> None:
        if not shot.images and self._shot is not None and self._shot.images:
            # Nothing has changed but words: whoever has not got the last image yet still gets it.
            shot = Shot(shot.number, shot.state, self._shot.images, shot.sequence)
            shot = _with_image_number(shot, self._shot.state["image"])
        else:
            shot = _with_image_number(shot, shot.number)
        self._shot = shot
        self._wake()

    def _wake(self) -> None:
        for event in self._news:
            event.set()

    # HTTP.

    async def _index(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def _image(self, request: Request) -> Response:
        query = request.query_params
        try:
            row = int(query.get("row", ""))
            data, kind = await anyio.to_thread.run_sync(
                self._desk.browser.image, query.get("recording", ""), row, query.get("camera", "center")
            )
        except (UdacityGymError, ValueError) as error:
            return PlainTextResponse(f"{error}\n", 404)
        return Response(data, media_type=kind, headers={"cache-control": "private, max-age=3600"})

    async def _file(self, request: Request) -> Response:
        try:
            path = self._desk.file(request.path_params["name"])
        except OptionError as error:
            return PlainTextResponse(f"{error}\n", 404)
        return FileResponse(path, headers=SANDBOX)

    # WebSocket.

    async def _page(self, socket: WebSocket) -> None:
        await socket.accept()
        page, seats = self.session.seats.join(), self.session.seats
        self.session.watch(len(seats.pages))
        news = asyncio.Event()
        news.set()
        self._news.add(news)
        connection = _Connection(socket, page)
        self._connections.add(connection)
        sender = asyncio.create_task(self._send_images(connection, news))
        requests: set[asyncio.Task[None]] = set()
        try:
            await connection.send({"page": page, "poll": await anyio.to_thread.run_sync(self._desk.poll)})
            while True:
                message = json.loads(await socket.receive_text())
                if isinstance(message, list):
                    self._hear(connection, message)
                    if message[:1] == ["shown"]:
                        news.set()
                elif not isinstance(message, dict):
                    raise ValueError(f"no message {message!r}")
                else:
                    task = asyncio.create_task(self._answer(connection, message))
                    requests.add(task)
                    task.add_done_callback(requests.discard)
        except (WebSocketDisconnect, RuntimeError):
            pass  # it is gone
        except (ValueError, TypeError, KeyError, IndexError):
            _logger.warning("a page sent something that is no message; it was disconnected")
            with contextlib.suppress(RuntimeError):
                await socket.close(1003)
        finally:
            self._news.discard(news)
            self._connections.discard(connection)
            sender.cancel()
            seats.leave(page)
            self.session.watch(len(seats.pages))

    def _hear(self, connection: _Connection, message: list[Any]) -> None:
        """Take a message about driving."""
        kind, stamp, *rest = message
        seats = self.session.seats
        if kind == "shown":
            seats.show(connection.page, int(stamp))
            connection.unshown = max(0, connection.unshown - 1)
        elif kind == "drive":
            sequence, keys, steering, throttle, brake = rest
            seats.command(
                connection.page, int(stamp), int(sequence), _controls(keys, steering, throttle, brake)
            )
        else:
            raise ValueError(f"no message {kind!r}")

    async def _send_images(self, connection: _Connection, news: asyncio.Event) -> None:
        """Send the newest moment whenever the page has drawn the ones before."""
        sent, image = 0, -1
        seats = self.session.seats
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, KeyError):
            while not self._server.should_exit:
                await news.wait()
                news.clear()
                shot = self._shot
                if shot is None or shot.number == sent or connection.unshown >= UNSHOWN:
                    continue
                images = shot.images if shot.state["image"] != image else {}
                sent, image = shot.number, shot.state["image"]
                round_trip = seats.round_trip(connection.page)
                header = {
                    **shot.state,
                    "stamp": seats.send(connection.page),
                    "page": connection.page,
                    "sequence": shot.sequence if seats.driver == connection.page else 0,
                    "round_trip": None if math.isnan(round_trip) else round(round_trip, 4),
                    "images": {name: len(data) for name, data in images.items()},
                }
                text = json.dumps(header).encode()
                connection.unshown += 1
                await connection.send_bytes(
                    b"".join((len(text).to_bytes(4, "little"), text, *images.values()))
                )

    async def _answer(self, connection: _Connection, message: Any) -> None:
        """Do what a page asks for, in a thread, as it may read from the disk or wait for the car."""
        number = message.get("id")
        try:
            result = await anyio.to_thread.run_sync(
                self._desk.answer, connection.page, message.get("do"), message.get("with", {})
            )
            answer = {"id": number, "ok": result}
        except UdacityGymError as error:
            answer = {"id": number, "error": str(error)}
        except TimeoutError:
            answer = {"id": number, "error": "the car does not answer; is it waiting for a simulator?"}
        except Exception as error:
            _logger.exception("a request failed")
            answer = {"id": number, "error": f"{type(error).__name__}: {error}"}
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await connection.send(answer)

    async def _poll(self) -> None:
        """Tell all pages what has changed by itself."""
        before = ""
        while True:
            await asyncio.sleep(POLL)
            try:
                now = await anyio.to_thread.run_sync(self._desk.poll)
            except UdacityGymError:
                continue
            text = json.dumps(now)
            if text != before:
                before = text
                for connection in list(self._connections):
                    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                        await connection.send({"poll": now})


class _Connection:
    """A page's WebSocket; one message is sent after the other."""

    def __init__(self, socket: WebSocket, page: int) -> None:
        self.page = page
        self.unshown = 0
        self._socket = socket
        self._lock = asyncio.Lock()

    async def send(self, message: Any) -> None:
        async with self._lock:
            await self._socket.send_text(json.dumps(message, default=str))

    async def send_bytes(self, data: bytes) -> None:
        async with self._lock:
            await self._socket.send_bytes(data)


def _controls(keys: Any, steering: Any, throttle: Any, brake: Any) -> Controls:
    """What a page says is held, checked."""
    numbers = [0.0 if value is None else float(value) for value in (steering, throttle, brake)]
    if not all(math.isfinite(number) for number in numbers):
        return NEUTRAL
    return Controls(
        frozenset(KEYS[key] for key in str(keys)),
        None if steering is None else min(1.0, max(-1.0, numbers[0])),
        min(1.0, max(0.0, numbers[1])),
        min(1.0, max(0.0, numbers[2])),
    )


def _with_image_number(shot: Shot, number: int) -> Shot:
    return Shot(shot.number, {**shot.state, "image": number}, shot.images, shot.sequence)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise SimulatorError(
            f"the cockpit can't listen on {host}:{port} ({error.strerror or error}); choose another --port"
        ) from error
    return listening
