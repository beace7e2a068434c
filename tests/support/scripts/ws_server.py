"""WebSocket server on a free port of 127.0.0.1. Paths and log lines: see support/peers/ws.rs."""

import argparse
import asyncio
import json
import socket
import ssl
import struct

import websockets


def reset(connection):
    """Ends the TCP connection with a reset instead of a close."""
    raw = connection.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.transport.abort()


async def fragments():
    for index in range(256):
        yield bytes([index]) * 65536


async def serve(connection):
    path = connection.path.split("?")[0]
    try:
        if path == "/headers":
            await connection.send(json.dumps({k.lower(): v for k, v in connection.request_headers.raw_items()}))
        elif path == "/close":
            await connection.close(4001, "because")
        elif path == "/drop":
            reset(connection)
        elif path == "/big":
            await connection.send(fragments())
        elif path == "/slow":
            connection.transport.pause_reading()
            await connection.wait_closed()
        elif path == "/ping":
            await (await connection.ping(b"p"))
            await connection.send("pong")
        async for message in connection:
            await connection.send(message)
    except (websockets.ConnectionClosed, websockets.InvalidState):
        pass
    await connection.wait_closed()
    print("closed", connection.close_code, connection.close_reason, flush=True)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--subprotocols", default="")
    parser.add_argument("--cert")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    context = None
    if arguments.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.cert, arguments.key)
    subprotocols = [name for name in arguments.subprotocols.split(",") if name]
    server = await websockets.serve(
        serve,
        "127.0.0.1",
        0,
        ssl=context,
        subprotocols=subprotocols or None,
        max_size=64 << 20,
        max_queue=4,
    )
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Future()


asyncio.run(main())
