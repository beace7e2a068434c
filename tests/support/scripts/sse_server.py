"""Tells three numbered server-sent events, those after `Last-Event-ID`, in every form that there is."""

import http.server

EVENTS = [
    b": hello\r\ndata: one\r\nid: 1\r\nretry: 250\r\n\r\n",
    b"event: tick\rdata: two\rdata:  lines\rid: 2\r\r",
    b"data\ndata: caf\xc3\xa9\nid: 3\nunknown: x\n\n",
]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/moved":
            return self.say(302, ("Location", "/events"), ("Content-Length", "0"))
        if self.path != "/events":
            return self.say(204)
        if self.headers["Accept"] != "text/event-stream":
            return self.say(406, ("Content-Length", "0"))
        self.say(200, ("Content-Type", "text/event-stream; charset=utf-8"), ("Transfer-Encoding", "chunked"))
        heard = int(self.headers.get("Last-Event-ID", "0"))
        for byte in b"\xef\xbb\xbf" + b"".join(EVENTS[heard:]) + b"data: cut off":
            self.wfile.write(b"1\r\n" + bytes([byte]) + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def say(self, status, *fields):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("listening on port", server.server_port, flush=True)
server.serve_forever()
