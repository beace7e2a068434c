"""A Telnet client by telnetlib3: says one line, prints the answer and what it has agreed on."""

import asyncio
import sys

import telnetlib3


async def main():
    reader, writer = await telnetlib3.open_connection(
        "127.0.0.1", int(sys.argv[1]), term="vt220", cols=132, rows=43, connect_maxwait=1.0
    )
    writer.write("h\u00e9llo from python\r\n")
    text = ""
    while "from python" not in text:
        text += await reader.read(100)
    print(text.strip())
    print("local", writer.local_option.enabled(telnetlib3.telopt.NAWS))
    print("remote", writer.remote_option.enabled(telnetlib3.telopt.SGA))
    writer.close()


asyncio.run(main())
