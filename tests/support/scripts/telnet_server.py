"""A Telnet server by telnetlib3: tells each client what it has learnt of it, then echoes lines."""

import asyncio

import telnetlib3


async def shell(reader, writer):
    get = writer.get_extra_info
    # What is negotiated beside the start may come a little later.
    while get("TERM") in (None, "unknown") or get("charset") in (None, ""):
        await asyncio.sleep(0.01)
    facts = [get("TERM"), get("cols"), get("rows"), get("LANG") or get("USER"), get("charset")]
    writer.write("facts=" + ",".join(str(fact) for fact in facts) + "\r\n")
    while line := await reader.readline():
        writer.write("you said " + line.strip() + "\r\n")
    writer.close()


async def main():
    server = await telnetlib3.create_server(
        host="127.0.0.1", port=0, shell=shell, connect_maxwait=1.0, timeout=60
    )
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
