"""Sessions, new connections and pings on a proxy of WebSocket and TCP, and what they say of it."""

import asyncio
import base64
import json
import os
import pathlib
import socket
import statistics
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
PAYLOAD = bytes(range(64))
MASK = b"\x01\x02\x03\x04"
# Unmasked from the server, masked from the client (RFC 6455, section 5.2).
FRAME = b"\x82\xc0" + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(PAYLOAD))
ANSWER = b"\x82\x40" + PAYLOAD
LIMIT = 60


GIVEN = set()


def free():
    """A port that nobody listens on; the system may name one twice."""
    while True:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        if port not in GIVEN:
            GIVEN.add(port)
            return port


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


def echo():
    return asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)


class Session:
    """A WebSocket session by hand, so that nothing but the proxy takes time."""

    name = "WebSocket"

    @classmethod
    async def open(cls, port):
        own = cls()
        own.reader, own.writer = await asyncio.open_connection("127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        own.writer.write(head.encode())
        answer = await own.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101"), answer
        return own

    async def ping(self):
        begun = time.perf_counter()
        self.writer.write(FRAME)
        answer = await asyncio.wait_for(self.reader.readexactly(len(ANSWER)), LIMIT)
        assert answer == ANSWER, answer
        return time.perf_counter() - begun


class Tcp:
    """A session of bytes that come back."""

    name = "ssh"

    @classmethod
    async def open(cls, port):
        own = cls()
        own.reader, own.writer = await asyncio.open_connection("127.0.0.1", port)
        return own

    async def ping(self):
        begun = time.perf_counter()
        self.writer.write(PAYLOAD)
        answer = await asyncio.wait_for(self.reader.readexactly(len(PAYLOAD)), LIMIT)
        assert answer == PAYLOAD, answer
        return time.perf_counter() - begun


class Admin:
    """Requests to the admin socket, on one connection; on another one where the host has closed an idle one."""

    def __init__(self, path):
        self.path = path

    async def ask(self, method, path, body=None):
        if not hasattr(self, "reader") or self.reader.at_eof():
            self.reader, self.writer = await asyncio.open_unix_connection(self.path)
        text = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        self.writer.write(head.encode() + text)
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), LIMIT)).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = await self.reader.readexactly(length)
        assert " 200 " in head.split("\r\n")[0], (head, body)
        return json.loads(body)


class Flow:
    """New connections all the time: each opens, sends, is answered, and goes."""

    def __init__(self, port):
        self.port, self.done, self.failed, self.longest, self.ends = port, 0, [], 0.0, False

    async def run(self):
        while not self.ends:
            begun = time.perf_counter()
            try:
                session = await asyncio.wait_for(Session.open(self.port), LIMIT)
                await session.ping()
                session.writer.close()
                self.done += 1
            except Exception as error:  # whatever it is, a connection has failed
                self.failed.append(repr(error))
            self.longest = max(self.longest, time.perf_counter() - begun)


class Pings:
    """One 64-byte message after the other on one of the idle sessions."""

    def __init__(self, session):
        self.session, self.times, self.ends, self.cut = session, [], False, False

    async def run(self):
        while not self.ends:
            try:
                self.times.append(await self.session.ping())
            except (asyncio.IncompleteReadError, ConnectionError):
                self.cut = True
                return
            await asyncio.sleep(0.002)


def held(pid):
    """Memory in MiB, descriptors, threads, and CPU seconds."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    field = lambda name: int(status.split(f"{name}:")[1].split()[0])
    fds = len(os.listdir(f"/proc/{pid}/fd"))
    return {"MiB": round(field("VmRSS") / 1024, 1), "descriptors": fds, "threads": field("Threads"), "cpu": round(cpu(pid), 2)}


def cpu(pid):
    """Seconds of CPU of all threads that are there, from the scheduler's nanoseconds."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int(task.joinpath("schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended meanwhile
    return total / 1e9


async def loaded(name, port, sessions, work):
    """Does `work` under load and prints what that cost. The first session of each kind is the one that is asked."""
    flow, kinds = Flow(port), {type(session): session for session in reversed(sessions)}
    pings = [Pings(session) for session in kinds.values()]
    tasks = [asyncio.create_task(it.run()) for it in (flow, flow, *pings)]
    begun = time.perf_counter()
    await work()
    took = time.perf_counter() - begun
    for it in (flow, *pings):
        it.ends = True
    await asyncio.gather(*tasks)
    closed = dict.fromkeys(kinds, 0)
    for session in sessions:
        try:
            await session.ping()
        except (asyncio.IncompleteReadError, ConnectionError):
            closed[type(session)] += 1
    counts = ", ".join(f"{count} of {sum(type(it) is kind for it in sessions)} {kind.name}" for kind, count in closed.items())
    print(f"{name}: {took:.1f} s; idle sessions closed: {counts}; {flow.done} new connections, "
          f"{len(flow.failed)} failed, slowest {flow.longest * 1000:.0f} ms")
    for it in pings:
        print(f"    64-byte pings of {type(it.session).name}: {len(it.times)}, median "
              f"{statistics.median(it.times or [0]) * 1000:.2f} ms, longest {max(it.times or [0]) * 1000:.1f} ms"
              + ("; then it was cut" if it.cut else ""))
    for error in sorted(set(flow.failed))[:3]:
        print("   ", error)
    return not any(closed.values()) and not flow.failed
