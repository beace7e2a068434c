"""A QUIC client that follows steps, one JSON object for each line of its input.

{"echo": TEXT} sends a bidirectional stream and reads it to its end, {"uni": TEXT} sends a
unidirectional one, {"accept": true} reads one that the server opens, {"datagram": TEXT} sends one and
waits for one, {"half": TEXT} sends without an end, {"streams": COUNT} opens that many at once and says
how many the server has let begin, {"close": [CODE, REASON]}, {"wait_closed": true}. It answers with one
JSON object for each.
"""
import argparse
import asyncio
import json
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic import events


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.streams = {}
        self.ended = asyncio.Queue()
        self.datagrams = asyncio.Queue()
        self.over = asyncio.get_event_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, events.StreamDataReceived):
            self.streams.setdefault(event.stream_id, bytearray()).extend(event.data)
            if event.end_stream:
                self.ended.put_nowait(event.stream_id)
        elif isinstance(event, events.StreamReset):
            self.streams[event.stream_id] = bytearray(f"reset {event.error_code}".encode())
            self.ended.put_nowait(event.stream_id)
        elif isinstance(event, events.DatagramFrameReceived):
            self.datagrams.put_nowait(event.data)
        elif isinstance(event, events.ConnectionTerminated) and not self.over.done():
            self.over.set_result([event.error_code, event.reason_phrase])

    async def whole(self):
        stream = await self.ended.get()
        return {"stream": stream, "text": self.streams.pop(stream).decode()}

    async def step(self, step):
        (name, value), quic = next(iter(step.items())), self._quic
        if name in ("echo", "uni", "half"):
            stream = quic.get_next_available_stream_id(is_unidirectional=name == "uni")
            quic.send_stream_data(stream, value.encode(), name != "half")
            self.transmit()
            return await self.whole() if name == "echo" else {"sent": stream}
        if name == "accept":
            return await self.whole()
        if name == "datagram":
            quic.send_datagram_frame(value.encode())
            self.transmit()
            return {"datagram": (await self.datagrams.get()).decode()}
        if name == "streams":
            opened = []
            for _ in range(value):
                opened.append(quic.get_next_available_stream_id())
                quic.send_stream_data(opened[-1], b"x")
            self.transmit()
            await self.ping()
            return {"begun": sum(not quic._streams[stream].is_blocked for stream in opened)}
        if name == "close":
            quic.close(error_code=value[0], reason_phrase=value[1])
            self.transmit()
        return {"closed": await self.over}


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--ca")
    parser.add_argument("--alpn", default="jackfield")
    args = parser.parse_args()
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=[args.alpn], max_datagram_frame_size=65536,
        server_name="localhost",
    )
    if args.ca:
        configuration.load_verify_locations(args.ca)
    else:
        configuration.verify_mode = ssl.CERT_NONE
    say = lambda answer: print(json.dumps(answer), flush=True)
    try:
        async with connect(
            "127.0.0.1", args.port, configuration=configuration, create_protocol=Client
        ) as client:
            say({"open": True})
            loop = asyncio.get_event_loop()
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                say(await client.step(json.loads(line)))
    except ConnectionError as error:
        say({"error": str(error)})


asyncio.run(main())
