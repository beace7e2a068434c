"""A device by pymodbus: python modbus_device.py tcp|rtu-tcp|rtu|ascii PORT|PATH

All units have the same memory: holding registers whose values are their addresses, input registers with twice that, coils
that are on at odd addresses, discrete inputs that are on at even ones.
"""

import asyncio
import sys

from pymodbus import ModbusDeviceIdentification, FramerType
from pymodbus.datastore import (
    ModbusDeviceContext,
    ModbusSequentialDataBlock,
    ModbusServerContext,
)
from pymodbus.server import ModbusSerialServer, ModbusTcpServer

MODE, PLACE = sys.argv[1:3]
MOST = 1000


def block(value):
    # Its first address is 1, which is 0 on the wire.
    return ModbusSequentialDataBlock(1, [value(address) for address in range(MOST)])


context = ModbusServerContext(
    devices=ModbusDeviceContext(
        di=block(lambda address: address % 2 == 0),
        co=block(lambda address: address % 2 == 1),
        ir=block(lambda address: address * 2),
        hr=block(lambda address: address),
    ),
    single=True,
)
identity = ModbusDeviceIdentification(
    info_name={
        "VendorName": "pymodbus",
        "ProductCode": "device",
        "MajorMinorRevision": "3",
        "VendorUrl": "http://a.test",
        "ProductName": "a device",
        "ModelName": "one",
        "UserApplicationName": "tests",
    }
)


async def main():
    framer = {
        "tcp": FramerType.SOCKET,
        "rtu-tcp": FramerType.RTU,
        "rtu": FramerType.RTU,
        "ascii": FramerType.ASCII,
    }[MODE]
    if MODE in ("tcp", "rtu-tcp"):
        server = ModbusTcpServer(
            context, framer=framer, identity=identity, address=("127.0.0.1", int(PLACE))
        )
    else:
        server = ModbusSerialServer(
            context, framer=framer, identity=identity, port=PLACE, baudrate=115200
        )
    if not await server.listen():
        sys.exit("it cannot listen")
    print("ready", flush=True)
    await server.serving


asyncio.run(main())
