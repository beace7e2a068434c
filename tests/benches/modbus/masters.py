"""Masters that each ask one thing after the other: python masters.py PORT MASTERS SECONDS.

Prints requests a second, the longest wait in milliseconds, and the least and the most requests of one master.
"""

import asyncio
import sys
import time

PORT, MASTERS, SECONDS = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])


async def master(number, end):
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    done, longest = 0, 0.0
    while (begun := time.monotonic()) < end:
        address = (number * 100 + done % 100).to_bytes(2, "big")
        transaction = (done & 0xFFFF).to_bytes(2, "big")
        writer.write(transaction + b"\0\0\0\6\1\3" + address + b"\0\1")
        answer = await reader.readexactly(11)
        assert answer == transaction + b"\0\0\0\5\1\3\2" + address, answer.hex()
        longest = max(longest, time.monotonic() - begun)
        done += 1
    writer.close()
    return done, longest


async def main():
    begun = time.monotonic()
    both = await asyncio.gather(*(master(it, begun + SECONDS) for it in range(MASTERS)))
    took = time.monotonic() - begun
    counts = [done for done, _ in both]
    longest = max(longest for _, longest in both) * 1000
    print(f"{sum(counts) / took:.0f} {longest:.1f} {min(counts)} {max(counts)}")


asyncio.run(main())
