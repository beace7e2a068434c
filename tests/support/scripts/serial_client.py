"""A client of RFC 2217 by pyserial: sets a line behind a port, before and after opening it, and echoes."""

import sys

import serial

line = serial.serial_for_url(f"rfc2217://127.0.0.1:{sys.argv[1]}", baudrate=9600, timeout=20)
line.write(bytes(range(256)))
assert line.read(256) == bytes(range(256)), "the bytes came changed"
print("opened at", line.baudrate, flush=True)
line.baudrate = 57600
line.stopbits = serial.STOPBITS_TWO
print("now at", line.baudrate, flush=True)
sys.stdin.readline()
line.close()
