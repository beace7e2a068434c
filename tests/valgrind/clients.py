"""Sends bytes, messages and requests through a host that runs under valgrind, and compares what comes back.

usage: clients.py JACKFIELD FOLDER PID     FOLDER has the host's log and configuration
"""
import os, re, socket, subprocess, sys, threading, time

binary, folder, pid = sys.argv[1], sys.argv[2], int(sys.argv[3])
log, config = folder + "/log", folder + "/jackfield.toml"
LIMIT = 600
end = time.monotonic() + LIMIT


def text():
    with open(log, errors="replace") as file:
        return file.read()


def wait_for(words):
    """Waits until the log has the words; the host must live that long."""
    while words not in text():
        if time.monotonic() > end or not os.path.exists("/proc/%d" % pid):
            sys.exit("no %r in the log:\n%s" % (words, text()))
        time.sleep(0.1)


def read_all(stream, count):
    got = b""
    while len(got) < count:
        piece = stream.recv(65536)
        if not piece:
            sys.exit("the stream ended after %d of %d bytes" % (len(got), count))
        got += piece
    return got


def stack(port, size, pieces):
    """Bytes through a relay of two hops: into the driver `tcp`, to the handler, and back."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as stream:
        data = bytes(range(256)) * (size // 256)
        for _ in range(pieces):
            sender = threading.Thread(target=stream.sendall, args=(data,))
            sender.start()
            if read_all(stream, len(data)) != data:
                sys.exit("other bytes came back")
            sender.join()


def run(command, given):
    ran = subprocess.run(command, input=given, capture_output=True, timeout=LIMIT)
    if ran.returncode != 0:
        sys.exit("%s: %s" % (command[0], ran.stderr.decode(errors="replace")))
    return ran.stdout


def main():
    wait_for("ready")
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:([1-9][0-9]*)", text())]
    tcp, ws, http = list(dict.fromkeys(ports))[:3]
    stack(tcp, 64 << 10, 8)
    with socket.create_connection(("127.0.0.1", tcp), LIMIT) as stream:
        stream.sendall(b"cut")
    lines = b"".join(b"line %d %s\n" % (number, b"x" * 2000) for number in range(50))
    url = "ws://127.0.0.1:%d/" % ws
    if run([binary, "connect", "--config", config, url], lines) != lines:
        sys.exit("other messages came back")
    for version in ("--http1.1", "--http2-prior-knowledge"):
        url = "http://127.0.0.1:%d/" % http
        said = run(["curl", "-sS", "-m", str(LIMIT), version, "-d", "content", url], b"")
        if b"content" not in said:
            sys.exit("another answer came: %r" % said)
    # What is no HTTP and no WebSocket.
    for port in (ws, http):
        with socket.create_connection(("127.0.0.1", port), LIMIT) as stream:
            stream.sendall(os.urandom(2048))
    print("512 KiB of tcp, 50 messages of ws, http/1.1, h2, noise")


main()
