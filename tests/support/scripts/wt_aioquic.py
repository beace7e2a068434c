"""WebTransport by aioquic (draft-02), as a server or as a client.

The server answers each stream and datagram in kind; at /close it closes at once with code 7 and the
reason `bye`; it refuses any path but /wt and /close. The client goes through one dialogue with a server
that does the same and says what came, one JSON object for each line.
"""
import argparse
import asyncio
import json
import struct

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3 import events as h3
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic import events


def close_capsule(code, reason):
    body = struct.pack(">I", code) + reason.encode()
    return bytes([0x68, 0x43, len(body)]) + body


def say(**answer):
    print(json.dumps(answer), flush=True)


class Peer(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.h3 = H3Connection(self._quic, enable_webtransport=True)
        self.heard = asyncio.Queue()
        self.own = set()
        self.capsules = b""

    def quic_event_received(self, event):
        # What comes back on a stream of our own has no header for HTTP/3 to read.
        if isinstance(event, events.StreamDataReceived) and event.stream_id in self.own:
            self.heard.put_nowait(("stream", event.stream_id, event.data, event.end_stream))
            return
        for one in self.h3.handle_event(event):
            self.http(one)
        self.transmit()

    def capsule(self, data):
        self.capsules += data
        if self.capsules[:2] == b"\x68\x43":
            code = struct.unpack(">I", self.capsules[3:7])[0]
            self.closed([code, self.capsules[7:].decode()])


class Server(Peer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.back = {}

    def closed(self, how):
        say(closed=how)

    def http(self, event):
        if isinstance(event, h3.HeadersReceived):
            path = dict(event.headers)[b":path"]
            known = path in (b"/wt", b"/close")
            headers = [(b":status", b"200" if known else b"404")]
            self.h3.send_headers(event.stream_id, headers, end_stream=not known)
            if path == b"/close":
                self.h3.send_data(event.stream_id, close_capsule(7, "bye"), end_stream=True)
        elif isinstance(event, h3.DataReceived):
            self.capsule(event.data)
        elif isinstance(event, h3.DatagramReceived):
            self.h3.send_datagram(event.stream_id, event.data)
        elif isinstance(event, h3.WebTransportStreamDataReceived):
            stream = event.stream_id
            if stream % 4 == 2:
                if stream not in self.back:
                    self.back[stream] = self.h3.create_webtransport_stream(event.session_id, True)
                stream = self.back[stream]
            self._quic.send_stream_data(stream, event.data, event.stream_ended)


class Client(Peer):
    def closed(self, how):
        self.heard.put_nowait(("over", how))

    def http(self, event):
        if isinstance(event, h3.HeadersReceived):
            self.heard.put_nowait(("status", dict(event.headers)[b":status"].decode()))
        elif isinstance(event, h3.DatagramReceived):
            self.heard.put_nowait(("datagram", event.data))
        elif isinstance(event, h3.WebTransportStreamDataReceived):
            self.heard.put_nowait(("stream", event.stream_id, event.data, event.stream_ended))
        elif isinstance(event, h3.DataReceived):
            self.capsule(event.data)

    async def whole(self):
        text = b""
        while True:
            _, stream, data, ended = await self.heard.get()
            text += data
            if ended:
                return {"stream": stream % 4, "text": text.decode()}

    async def run(self, args):
        quic, session = self._quic, self._quic.get_next_available_stream_id()
        headers = [
            (b":method", b"CONNECT"), (b":protocol", b"webtransport"), (b":scheme", b"https"),
            (b":authority", f"localhost:{args.port}".encode()), (b":path", args.path.encode()),
            (b"sec-webtransport-http3-draft02", b"1"),
        ]
        if args.origin:
            headers.append((b"origin", args.origin.encode()))
        self.h3.send_headers(session, headers)
        self.transmit()
        status = (await self.heard.get())[1]
        say(status=status)
        if status != "200":
            return
        for uni in (False, True):
            stream = self.h3.create_webtransport_stream(session, is_unidirectional=uni)
            if not uni:
                self.own.add(stream)
            quic.send_stream_data(stream, b"uni" if uni else b"bidi", True)
            self.transmit()
            say(**await self.whole())
        self.h3.send_datagram(session, b"datagram")
        self.transmit()
        say(datagram=(await self.heard.get())[1].decode())
        if args.close:
            self.h3.send_data(session, close_capsule(9, "done"), end_stream=True)
            self.transmit()
            await self.wait_closed()
        else:
            say(closed=(await self.heard.get())[1])


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--path", default="/wt")
    parser.add_argument("--origin")
    parser.add_argument("--close", action="store_true")
    args = parser.parse_args()
    configuration = QuicConfiguration(
        is_client=args.ca is not None, alpn_protocols=H3_ALPN, max_datagram_frame_size=65536
    )
    if args.ca is None:
        configuration.load_cert_chain(args.cert, args.key)
        server = await serve(
            "127.0.0.1", 0, configuration=configuration, create_protocol=Server
        )
        print(f"listening on {server._transport.get_extra_info('sockname')[1]}", flush=True)
        await asyncio.Event().wait()
    configuration.load_verify_locations(args.ca)
    configuration.server_name = "localhost"
    async with connect(
        "127.0.0.1", args.port, configuration=configuration, create_protocol=Client
    ) as client:
        await client.run(args)


asyncio.run(main())
