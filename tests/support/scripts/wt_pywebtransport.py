"""WebTransport by pywebtransport (a later draft, with limits of a session's own), as a server or as a
client; both do what those of wt_aioquic.py do.
"""
import argparse
import asyncio
import json

from pywebtransport import ClientConfig, ServerApp, ServerConfig, WebTransportClient
from pywebtransport.types import EventType

LIMITS = {
    "initial_max_data": 1 << 18, "initial_max_streams_bidi": 4, "initial_max_streams_uni": 4,
}


def say(**answer):
    print(json.dumps(answer), flush=True)


async def answer(session, stream):
    data = await stream.read_all()
    if not hasattr(stream, "write_all"):
        stream = await session.create_unidirectional_stream()
    await stream.write_all(data=data)


async def echo(session):
    async def datagrams():
        transport = await session.create_datagram_transport()
        while True:
            await transport.send(data=await transport.receive())

    async def closed(event):
        say(closed=[event.data.get("code", 0), event.data.get("reason", "")])

    session.protocol_handler.on(event_type=EventType.SESSION_CLOSED, handler=closed)
    waiting = asyncio.create_task(datagrams())
    async for stream in session.incoming_streams():
        asyncio.create_task(answer(session, stream))
    waiting.cancel()


async def serve(args):
    app = ServerApp(
        config=ServerConfig(
            bind_host="127.0.0.1", bind_port=4433, certfile=args.cert, keyfile=args.key, **LIMITS
        )
    )
    app.route(path="/wt")(echo)

    @app.route(path="/close")
    async def close(session):
        await session.close(code=7, reason="bye", close_connection=False)

    async with app:
        await app.server.listen(host="127.0.0.1", port=0)
        print(f"listening on {app.server.local_address[1]}", flush=True)
        await app.server.serve_forever()


async def ask(args):
    config = ClientConfig(ca_certs=args.ca, **LIMITS)
    async with WebTransportClient(config=config) as client:
        session = await client.connect(url=f"https://127.0.0.1:{args.port}{args.path}")
        say(status="200")
        over = asyncio.get_running_loop().create_future()

        async def closed(event):
            if not over.done():
                over.set_result([event.data.get("code", 0), event.data.get("reason", "")])

        session.protocol_handler.on(event_type=EventType.SESSION_CLOSED, handler=closed)
        both = await session.create_bidirectional_stream()
        await both.write_all(data=b"bidi")
        say(stream=0, text=(await both.read_all()).decode())
        one = await session.create_unidirectional_stream()
        await one.write_all(data=b"uni")
        async for back in session.incoming_streams():
            say(stream=3, text=(await back.read_all()).decode())
            break
        transport = await session.create_datagram_transport()
        await transport.send(data=b"datagram")
        say(datagram=(await transport.receive()).decode())
        if args.close:
            await session.close(code=9, reason="done", close_connection=False)
            await asyncio.sleep(0.2)
        else:
            say(closed=await over)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--path", default="/wt")
    parser.add_argument("--close", action="store_true")
    args = parser.parse_args()
    await (serve(args) if args.ca is None else ask(args))


asyncio.run(main())
