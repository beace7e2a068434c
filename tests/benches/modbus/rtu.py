"""A device on a serial line, unit 1: python rtu.py PATH SECONDS.

Each answer takes SECONDS, from the end of its request. What is read is the address that was asked for.
"""

import os
import sys
import time

PATH, PAUSE = sys.argv[1], float(sys.argv[2])


def checksum(frame):
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


line = os.open(PATH, os.O_RDWR | os.O_NOCTTY)
print("ready", flush=True)
got = b""
while True:
    got += os.read(line, 256)
    while len(got) >= 8:
        request, got = got[:8], got[8:]
        assert request[6:] == checksum(request[:6]), request.hex()
        if PAUSE:
            time.sleep(PAUSE)
        count = int.from_bytes(request[4:6], "big")
        answer = request[:2] + bytes([2 * count]) + request[2:4] * count
        os.write(line, answer + checksum(answer))
