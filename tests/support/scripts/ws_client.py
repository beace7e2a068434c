"""WebSocket client: follows the steps on standard input. Steps and answers: see support/peers/ws.rs."""

import argparse
import asyncio
import hashlib
import json
import ssl
import sys

import websockets


def say(**answer):
    print(json.dumps(answer), flush=True)


def pattern(count):
    return bytes(index * 31 % 251 for index in range(count))


def received(message):
    if isinstance(message, str):
        say(text=message)
    else:
        say(bytes=len(message), sha256=hashlib.sha256(message).hexdigest())


async def follow(connection, step):
    ((name, value),) = step.items()
    if name == "send":
        await connection.send(value)
    elif name == "send_bytes":
        await connection.send(pattern(value))
    elif name == "send_fragments":
        await connection.send(value)
    elif name == "recv":
        received(await connection.recv())
    elif name == "ping":
        await (await connection.ping(value))
        say(pong=True)
    elif name == "close":
        await connection.close(*value)
        say(closed=[connection.close_code, connection.close_reason])
    elif name == "wait_closed":
        await connection.wait_closed()
        say(closed=[connection.close_code, connection.close_reason])
    else:
        raise SystemExit(f"unknown step {name}")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--ca")
    parser.add_argument("--subprotocols", default="")
    parser.add_argument("--header", action="append", default=[])
    arguments = parser.parse_args()
    steps = json.load(sys.stdin)
    options = {}
    if arguments.url.startswith("wss:"):
        options["ssl"] = ssl.create_default_context(cafile=arguments.ca)
    try:
        async with websockets.connect(
            arguments.url,
            subprotocols=[name for name in arguments.subprotocols.split(",") if name] or None,
            extra_headers=[tuple(header.split(":", 1)) for header in arguments.header],
            max_size=64 << 20,
            **options,
        ) as connection:
            say(open=connection.subprotocol)
            for step in steps:
                await follow(connection, step)
    except websockets.ConnectionClosed as error:
        say(closed=[error.code, error.reason])
    except (websockets.WebSocketException, OSError, asyncio.TimeoutError) as error:
        say(error=f"{type(error).__name__}: {error}")


asyncio.run(main())
