from . import (
    client as client,
    clock as clock,
    dialects as dialects,
    images as images,
    listener as listener,
    numbers as numbers,
    ports as ports,
    server as server,
    websocket as websocket,
)
