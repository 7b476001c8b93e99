import contextlib
import socket
import threading

import pytest
from hypothesis import given, settings, strategies as st
from wire_tools import PATIENCE

from udacity_gym.errors import SimulatorError
from udacity_gym.protocol.websocket import WebSocket, WebSocketClosedError


@contextlib.contextmanager
def pair(**there):
    """Two ends of a connection: a client's and a server's."""
    a, b = socket.socketpair()
    client, server = WebSocket(a, masks=True, **there), WebSocket(b, masks=False, max_message=200_000)
    try:
        yield client, server
    finally:
        client.abort()
        server.abort()


def receive_all(websocket):
    while websocket.receive(PATIENCE) is not None:
        pass


@settings(max_examples=50)
@given(st.text(max_size=3000), st.sampled_from([None, 1, 125, 126, 1016]))
def test_text_arrives_as_it_was_sent(text, fragment):
    with pair(fragment=fragment) as (client, server):
        sender = threading.Thread(target=client.send, args=(text,))
        sender.start()
        assert server.receive(PATIENCE) == text
        sender.join()
        server.send(text)
        assert client.receive(PATIENCE) == text


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 150_000])
def test_messages_of_every_length_arrive(size):
    with pair() as (client, server):
        sender = threading.Thread(target=client.send, args=("x" * size,))
        sender.start()
        assert server.receive(PATIENCE) == "x" * size
        sender.join()


def test_a_timeout_loses_nothing():
    with pair() as (client, server):
        frame = client._frame(1, b"hello")
        client.socket.sendall(frame[:4])
        assert server.receive(0.05) is None
        client.socket.sendall(frame[4:])
        assert server.receive(PATIENCE) == "hello"
        assert server.receive(0) is None


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux delays acknowledgements so")
def test_every_message_is_acknowledged_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        a = socket.create_connection(listening.getsockname())
        b, _ = listening.accept()
    client, server = WebSocket(a, masks=True, fragment=100), WebSocket(b, masks=False)
    for _ in range(5):  # a connection that answers is one for which Linux delays acknowledgements
        client.send("x" * 1000)
        assert server.receive(PATIENCE) == "x" * 1000
        assert server.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
        server.send("y")
        assert client.receive(PATIENCE) == "y"
    client.abort()
    server.abort()


def test_pings_are_answered_in_between():
    with pair() as (client, server):
        client._send_frame(9, b"anybody?")
        client.send("text")
        assert server.receive(PATIENCE) == "text"
        assert client._fill(PATIENCE)
        assert client._take_frame() == (10, True, b"anybody?")


def test_closing_wakes_who_waits():
    with pair() as (client, server):
        threading.Timer(0.05, client.close).start()
        with pytest.raises(WebSocketClosedError):
            server.receive(PATIENCE)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05hello",  # a continuation of nothing
        b"\xf1\x05hello",  # reserved bits
        b"\x83\x05hello",  # an opcode that does not exist
        b"\x81\x02\xff\xfe",  # no UTF-8
        b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",  # eight exabytes
        b"\x01\x01a\x81\x01b",  # a message within a message
    ],
)
def test_a_broken_protocol_closes_the_connection(data):
    with pair() as (client, server):
        client.socket.sendall(data)
        with pytest.raises(WebSocketClosedError):
            server.receive(PATIENCE)


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_messages_or_a_closed_connection(data):
    with pair() as (client, server):
        client.socket.sendall(data)
        client.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError, match=r"closed|sent|file descriptor|reset"):
            receive_all(server)


def test_a_server_that_speaks_no_websocket_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 404 NOT FOUND\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(SimulatorError, match="404 NOT FOUND"):
            WebSocket.connect("127.0.0.1", port, "/socket.io/")
        thread.join()
