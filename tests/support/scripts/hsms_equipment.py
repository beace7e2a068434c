"""GEM equipment by secsgem: python hsms_equipment.py PORT passive|active|server|client, or PATH line

The last three are SECS-I. With a status variable 10 whose value is 123, and a remote command START.
"""

import logging
import sys
import time

import secsgem.common
import secsgem.gem
import secsgem.hsms
import secsgem.secs
import secsgem.secsi
import secsgem.secsitcp

PLACE, MODE = sys.argv[1:3]


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


class Equipment(secsgem.gem.GemEquipmentHandler):
    def __init__(self, settings):
        super().__init__(settings)
        self.MDLN, self.SOFTREV = "tool", "1.0.0"
        variable = secsgem.gem.StatusVariable(10, "count", "pieces", secsgem.secs.variables.U4)
        variable.value = 123
        self.status_variables[10] = variable
        event = secsgem.gem.CollectionEvent(50, "started", [])
        self.collection_events[50] = event
        self.remote_commands["START"] = secsgem.gem.RemoteCommand("START", "start", ["P"], 50)

    def on_rcmd_START(self, P=None):
        sys.stdout.write(f"started {P}\n")
        sys.stdout.flush()
        self.trigger_collection_events([50])


def listens():
    """Whether the port is listened at: connecting would use up the only connection."""
    wanted = f":{int(PLACE):04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return any(row[1].endswith(wanted) and row[3] == "0A" for row in rows[1:])


logging.basicConfig(level=logging.INFO)
equipment = Equipment(settings("EQUIPMENT"))
equipment.enable()
while MODE in ("passive", "server") and not listens():
    time.sleep(0.01)
print("ready", flush=True)
while True:
    time.sleep(1)
