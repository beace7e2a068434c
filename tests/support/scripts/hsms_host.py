"""A GEM host by secsgem: python hsms_host.py PORT passive|active

Says what it has got of the equipment. The active one ends by itself, at a word on its input.
"""

import sys
import time

import secsgem.common
import secsgem.gem
import secsgem.hsms

PORT, MODE = int(sys.argv[1]), sys.argv[2]


def say(line):
    """A line in one write: the library writes to the same file from other threads."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


host = secsgem.gem.GemHostHandler(
    secsgem.hsms.HsmsSettings(
        address="127.0.0.1",
        port=PORT,
        connect_mode=getattr(secsgem.hsms.HsmsConnectMode, MODE.upper()),
        device_type=secsgem.common.DeviceType.HOST,
    )
)
host.enable()
if MODE == "passive":
    wanted = f":{PORT:04X}"
    listening = False
    while not listening:
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table]
        listening = any(row[1].endswith(wanted) and row[3] == "0A" for row in rows[1:])
        time.sleep(0.01)
    say("ready")
say(f"communicating {host.waitfor_communicating(40)}")
say(f"values {host.request_svs([10]).get()}")
command = host.send_remote_command("START", [["P", "x"]])
say(f"command {command.HCACK.get()}")
say("done")
if MODE == "active":
    sys.stdin.readline()
    host.disable()
