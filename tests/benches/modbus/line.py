"""A device that takes one connection and one request after the other: python line.py PORT SECONDS.

Each answer takes SECONDS, as on a slow line. What is read is the address that was asked for.
"""

import asyncio
import sys

PORT, PAUSE = int(sys.argv[1]), float(sys.argv[2])


async def serve(reader, writer):
    while True:
        try:
            header = await reader.readexactly(6)
            body = await reader.readexactly(int.from_bytes(header[4:], "big"))
        except asyncio.IncompleteReadError:
            return
        if PAUSE:
            await asyncio.sleep(PAUSE)
        count = int.from_bytes(body[4:6], "big")
        answer = body[:2] + bytes([2 * count]) + body[2:4] * count
        writer.write(header[:4] + len(answer).to_bytes(2, "big") + answer)


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    await server.serve_forever()


asyncio.run(main())
