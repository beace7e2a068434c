"""A client of RFC 2217 by pyserial: sets a line behind a port, before and after opening it, echoes, empties its
queues, and sends a break."""

import sys

import serial

line = serial.serial_for_url(f"rfc2217://127.0.0.1:{sys.argv[1]}", baudrate=9600, timeout=20)
line.write(bytes(range(256)))
assert line.read(256) == bytes(range(256)), "the bytes came changed"
print("opened at", line.baudrate, flush=True)
line.baudrate = 57600
line.stopbits = serial.STOPBITS_TWO
print("now at", line.baudrate, flush=True)
line.reset_output_buffer()
line.reset_input_buffer()
line.send_break(0.05)
line.dtr = False
line.dtr = True
line.write(b"after")
print("all done", flush=True)
sys.stdin.readline()
line.close()
