"""A master by pymodbus: python modbus_master.py tcp|rtu-tcp|rtu|ascii PORT|PATH

Writes and reads what `modbus_memory` holds, and prints what it has read, one line for each step.
"""

import asyncio
import sys

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

MODE, PLACE = sys.argv[1:3]


async def main():
    framer = {
        "tcp": FramerType.SOCKET,
        "rtu-tcp": FramerType.RTU,
        "rtu": FramerType.RTU,
        "ascii": FramerType.ASCII,
    }[MODE]
    if MODE in ("tcp", "rtu-tcp"):
        client = AsyncModbusTcpClient("127.0.0.1", port=int(PLACE), framer=framer, timeout=30)
    else:
        client = AsyncModbusSerialClient(PLACE, baudrate=115200, framer=framer, timeout=30)
    assert await client.connect()
    unit = {"device_id": 1}
    await client.write_coils(3, [True, False, True], **unit)
    print("coils", (await client.read_coils(2, count=5, **unit)).bits[:5])
    await client.write_registers(10, [1, 2, 3], **unit)
    await client.write_register(11, 77, **unit)
    print("registers", (await client.read_holding_registers(10, count=3, **unit)).registers)
    await client.mask_write_register(address=10, and_mask=0xFFF0, or_mask=0x000F, **unit)
    both = await client.readwrite_registers(
        read_address=10, read_count=2, write_address=20, values=[5], **unit
    )
    print("both", both.registers)
    print("inputs", (await client.read_discrete_inputs(0, count=2, **unit)).bits[:2])
    print("input registers", (await client.read_input_registers(7, count=1, **unit)).registers)
    print("refused", (await client.read_coils(65535, count=2, **unit)).exception_code)
    identity = await client.read_device_information(read_code=1, object_id=0, **unit)
    print("identity", identity.information[0].decode())
    client.close()


asyncio.run(main())
