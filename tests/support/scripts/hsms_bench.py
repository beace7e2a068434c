"""secsgem as the active side, for the bench: python hsms_bench.py PORT linktest|S1F1 SECONDS

Prints calls a second and the microseconds of the middle one.
"""

import sys
import time

import secsgem.common
import secsgem.gem
import secsgem.hsms

PORT, WHAT, SECONDS = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])

host = secsgem.gem.GemHostHandler(
    secsgem.hsms.HsmsSettings(
        address="127.0.0.1",
        port=PORT,
        connect_mode=secsgem.hsms.HsmsConnectMode.ACTIVE,
        device_type=secsgem.common.DeviceType.HOST,
    )
)
host.enable()
if not host.waitfor_communicating(30):
    sys.exit("not communicating")
call = host.are_you_there if WHAT == "S1F1" else host.protocol.send_linktest_req
times = []
begun = time.perf_counter()
while time.perf_counter() - begun < SECONDS:
    start = time.perf_counter()
    if call() is None:
        sys.exit("no answer")
    times.append(time.perf_counter() - start)
took = time.perf_counter() - begun
times.sort()
print(len(times) / took, times[len(times) // 2] * 1e6)
host.disable()
