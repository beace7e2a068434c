"""HTTP/3 that no honest peer speaks, by aioquic's QUIC alone.

As a client it connects once for each case and says what came of it, one JSON object for each line: the code
with which the server closed the connection, the codes of streams it gave up, or that nothing happened. As a
server it plays the cases to one connection after the other.
"""
import argparse
import asyncio
import json

import pylsqpack
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.buffer import encode_uint_var as var
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic import events

HUGE = 2**62 - 1


def frame(kind, payload):
    return var(kind) + var(len(payload)) + payload


def headers(pairs):
    return frame(1, pylsqpack.Encoder().encode(0, pairs)[1])


SETTINGS = b"".join(var(part) for part in (0x08, 1, 0x33, 1, 0x2B603742, 1, 0xC671706A, 1))
CONTROL = var(0) + frame(4, SETTINGS)
CONNECT = headers([
    (b":method", b"CONNECT"), (b":protocol", b"webtransport"), (b":scheme", b"https"),
    (b":authority", b"localhost"), (b":path", b"/"), (b"sec-webtransport-http3-draft02", b"1"),
])
GRANTED = headers([(b":status", b"200")])


def capsule(kind, length, payload):
    return frame(0, var(kind) + var(length) + payload)


def cases(head):
    """Name, whether the peer may go on, bytes of the control stream, of the request's stream."""
    return [
        ("data before headers", False, CONTROL, frame(0, b"x")),
        ("settings twice", False, CONTROL + frame(4, SETTINGS), b""),
        ("settings cut", False, var(0) + frame(4, b"\x40"), b""),
        ("no settings", False, var(0) + frame(7, b"\x00"), b""),
        ("settings too long", False, var(0) + var(4) + var(HUGE) + b"x" * 50000, b""),
        ("frame too long", False, CONTROL, var(1) + var(HUGE) + b"x" * 50000),
        ("head of nonsense", False, CONTROL, frame(1, b"\xff" * 50)),
        ("head that is empty", False, CONTROL, frame(1, b"")),
        ("capsule too long", False, CONTROL, head + capsule(0x2843, 2**30, b"x" * 50000)),
        ("capsule cut", False, CONTROL, head + capsule(0x2843, 2, b"xx")),
        ("unknown frames", True, CONTROL + frame(0x21, b"grease"), head + frame(0x40, b"grease")),
    ]


class Peer(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.over = asyncio.get_event_loop().create_future()
        self.given_up = []

    def quic_event_received(self, event):
        if isinstance(event, events.ConnectionTerminated) and not self.over.done():
            self.over.set_result(event.error_code)
        elif isinstance(event, (events.StreamReset, events.StopSendingReceived)):
            self.given_up.append(event.error_code)


class Server(Peer):
    played = 0

    def quic_event_received(self, event):
        super().quic_event_received(event)
        if isinstance(event, events.HandshakeCompleted):
            all = cases(GRANTED)
            _, _, control, self.answer = all[Server.played % len(all)]
            Server.played += 1
            self._quic.send_stream_data(3, control)
            self.transmit()
        elif isinstance(event, events.StreamDataReceived) and event.stream_id == 0:
            self._quic.send_stream_data(0, self.answer)
            self.answer = b""
            self.transmit()


async def attack(configuration, port, case):
    name, _, control, request = case
    async with connect(
        "127.0.0.1", port, configuration=configuration, create_protocol=Peer
    ) as peer:
        peer._quic.send_stream_data(2, control)
        if request:
            peer._quic.send_stream_data(0, request)
        peer.transmit()
        for _ in range(300):
            if peer.over.done() or peer.given_up:
                break
            # A peer that has closed does not answer this.
            await asyncio.wait([peer.over], timeout=0.1)
            peer._quic.send_ping(1)
            peer.transmit()
            if case[1] and _ > 3:
                break
        code = peer.over.result() if peer.over.done() else None
        print(json.dumps({
            "case": name, "closed": code, "given_up": peer.given_up, "allowed": case[1],
        }), flush=True)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--ca")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    configuration = QuicConfiguration(
        is_client=args.ca is not None, alpn_protocols=["h3"], max_datagram_frame_size=65536
    )
    if args.ca is None:
        configuration.load_cert_chain(args.cert, args.key)
        server = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Server)
        print(f"cases {len(cases(GRANTED))}", flush=True)
        print(f"listening on {server._transport.get_extra_info('sockname')[1]}", flush=True)
        await asyncio.Event().wait()
    configuration.load_verify_locations(args.ca)
    configuration.server_name = "localhost"
    for case in cases(CONNECT):
        await attack(configuration, args.port, case)


asyncio.run(main())
