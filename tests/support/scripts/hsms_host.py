"""A GEM host by secsgem: python hsms_host.py PORT passive|active|server|client, or PATH line

The last three are SECS-I. Says what it has got of the equipment. One that connects ends by itself, at a word on its
input. With `-wrong` behind the mode it asks for what the equipment does not know, and says what it is told by stream 9.
"""

import queue
import sys
import time

import secsgem.common
import secsgem.gem
import secsgem.hsms
import secsgem.secsi
import secsgem.secsitcp

PLACE = sys.argv[1]
MODE, _, WRONG = sys.argv[2].partition("-")


def settings(kind):
    """HSMS for `passive` and `active`, SECS-I over TCP for `server` and `client`, and on a serial line for `line`."""
    kind = {"device_type": getattr(secsgem.common.DeviceType, kind)}
    if MODE == "line":
        return secsgem.secsi.SecsISettings(port=PLACE, speed=9600, **kind)
    where = {"address": "127.0.0.1", "port": int(PLACE)}
    if MODE in ("server", "client"):
        mode = getattr(secsgem.secsitcp.SecsITcpConnectMode, MODE.upper())
        return secsgem.secsitcp.SecsITcpSettings(connect_mode=mode, **where, **kind)
    mode = getattr(secsgem.hsms.HsmsConnectMode, MODE.upper())
    return secsgem.hsms.HsmsSettings(connect_mode=mode, **where, **kind)


def say(line):
    """A line in one write: the library writes to the same file from other threads."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def ask_wrong():
    """S2F17 and S1F3, each of which is to be followed by a message of stream 9 about it."""
    told = queue.Queue()
    for function in (1, 3, 5, 7, 9, 11, 13):
        host.register_stream_function(9, function, lambda _, message: told.put(message))
    for stream, function, data in ((2, 17, None), (1, 3, [10])):
        host.send_stream_function(host.stream_function(stream, function)(data))
        message = told.get(timeout=40)
        say(f"told S{message.header.stream}F{message.header.function} {message.data.hex()}")


host = secsgem.gem.GemHostHandler(settings("HOST"))
host.enable()
if MODE in ("passive", "server"):
    wanted = f":{int(PLACE):04X}"
    listening = False
    while not listening:
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table]
        listening = any(row[1].endswith(wanted) and row[3] == "0A" for row in rows[1:])
        time.sleep(0.01)
    say("ready")
say(f"communicating {host.waitfor_communicating(40)}")
if WRONG:
    ask_wrong()
    sys.stdin.readline()
    host.disable()
    sys.exit()
say(f"values {host.request_svs([10]).get()}")
command = host.send_remote_command("START", [["P", "x"]])
say(f"command {command.HCACK.get()}")
say("done")
if MODE in ("active", "client"):
    sys.stdin.readline()
    host.disable()
