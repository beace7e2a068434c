"""Joins standard input and output to a TCP port of 127.0.0.1; each direction ends by itself."""

import os
import socket
import sys
import threading

far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))


def give(data):
    while data:
        data = data[os.write(1, data):]


def to_output():
    try:
        while data := far.recv(65536):
            give(data)
    except OSError:
        # What was reset carries nothing any more, in either direction.
        os._exit(1)
    try:
        # One socket may be both input and output.
        socket.socket(fileno=os.dup(1)).shutdown(socket.SHUT_WR)
    except OSError:
        pass
    os.close(1)
    # An SSH server tells of the end only when errors cannot come any more either.
    os.close(2)


output = threading.Thread(target=to_output)
output.start()
try:
    while data := os.read(0, 65536):
        far.sendall(data)
    far.shutdown(socket.SHUT_WR)
except OSError:
    os._exit(1)
output.join()
