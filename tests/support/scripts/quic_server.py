"""A QUIC server on 127.0.0.1: echoes what it gets, each way in kind.

A bidirectional stream is answered on itself, a unidirectional one on a new one, a datagram with a
datagram. A stream that is exactly `close CODE REASON` closes the connection, `reset CODE` gives the
stream up, `blob BYTES` is answered with that many bytes; the end of a line will do for that of the stream.
"""
import argparse
import asyncio

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic import events

PIECE = bytes(range(256)) * 256


class Echo(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.back = {}
        self.words = {}

    def quic_event_received(self, event):
        quic = self._quic
        if isinstance(event, events.StreamDataReceived):
            self.stream(event.stream_id, event.data, event.end_stream)
        elif isinstance(event, events.DatagramFrameReceived):
            quic.send_datagram_frame(event.data)
        elif isinstance(event, events.StreamReset):
            print(f"reset {event.error_code}", flush=True)
        elif isinstance(event, events.StopSendingReceived):
            print(f"stopped {event.error_code}", flush=True)
        elif isinstance(event, events.ConnectionTerminated):
            print(f"closed {event.error_code} {event.reason_phrase}", flush=True)
        elif isinstance(event, events.HandshakeCompleted):
            print(f"handshake {event.alpn_protocol}", flush=True)
        self.transmit()

    def stream(self, stream, data, end):
        words = self.words[stream] = self.words.get(stream, b"")[:100] + data
        text = words.decode("latin-1")
        if (end or text.endswith("\n")) and self.command(stream, text.strip().split(" ", 2)):
            return
        if stream % 4 in (2, 3):
            if stream not in self.back:
                self.back[stream] = self._quic.get_next_available_stream_id(is_unidirectional=True)
            stream = self.back[stream]
        self._quic.send_stream_data(stream, data, end)

    def command(self, stream, words):
        if words[0] == "close":
            self._quic.close(error_code=int(words[1]), reason_phrase=words[2])
        elif words[0] == "reset":
            self._quic.reset_stream(stream, int(words[1]))
        elif words[0] == "blob":
            left = int(words[1])
            while left > 0:
                piece = PIECE[:left]
                left -= len(piece)
                self._quic.send_stream_data(stream, piece, left == 0)
        else:
            return False
        return True


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--alpn", default="jackfield")
    parser.add_argument("--retry", action="store_true")
    args = parser.parse_args()
    configuration = QuicConfiguration(
        alpn_protocols=[args.alpn], is_client=False, max_datagram_frame_size=65536
    )
    configuration.load_cert_chain(args.cert, args.key)
    server = await serve(
        "127.0.0.1", 0, configuration=configuration, create_protocol=Echo, retry=args.retry
    )
    port = server._transport.get_extra_info("sockname")[1]
    print(f"listening on {port}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
