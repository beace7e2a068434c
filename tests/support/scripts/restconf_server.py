"""A small RESTCONF server (RFC 8040) on Python's own `http.server`: one list of interfaces, with entity tags, errors in
JSON and XML, one operation, and a stream of five notifications, two seconds apart. Its root is told by host-meta alone."""

import http.server
import json
import re
import urllib.parse

ROOT = "/api/v1"
LIST = ROOT + "/data/ietf-interfaces:interfaces"
JSON, XML = "application/yang-data+json", "application/yang-data+xml"
STREAMS = ROOT + "/data/ietf-restconf-monitoring:restconf-state/streams"
TIMES = ["2026-12-01T08:00:0%dZ" % second for second in range(0, 10, 2)]
interfaces = {"eth0": {"name": "eth0", "type": "iana-if-type:ethernetCsmacd"}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/.well-known/host-meta":
            link = "<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'><Link rel='restconf' href='%s'/></XRD>"
            return self.say(200, link % ROOT, "application/xrd+xml")
        if self.headers.get("Authorization") != "Basic YWRtaW46c2VjcmV0":
            return self.wrong(401, "access-denied", "who are you")
        if self.path.startswith(LIST + "?content=config") or self.path == LIST:
            if XML in self.headers["Accept"]:
                return self.say(200, "<interfaces xmlns='urn:ietf:params:xml:ns:yang:ietf-interfaces'/>", XML)
            return self.say(200, {"ietf-interfaces:interfaces": {"interface": list(interfaces.values())}})
        name = self.name()
        if name in interfaces:
            return self.say(200, {"ietf-interfaces:interface": [interfaces[name]]}, etag='"%d"' % len(interfaces))
        if self.path == ROOT + "/operations":
            return self.say(200, {"ietf-restconf:operations": {"example:reboot": [None]}})
        if self.path == STREAMS:
            place = "https://inside.example:8443/streams/"
            access = [{"encoding": form, "location": place + form} for form in ("json", "xml")]
            netconf = {"name": "NETCONF", "replay-support": "", "access": access}
            only = {"name": "ONLY-XML", "access": access[1:]}
            return self.say(200, {"ietf-restconf-monitoring:streams": {"stream": [netconf, only]}})
        path, _, query = self.path.partition("?")
        assert "%2D" not in query, query
        if path in ("/streams/json", "/streams/xml"):
            return self.tell(path.endswith("json"), dict(urllib.parse.parse_qsl(query)))
        self.wrong(404, "invalid-value", "uri keypath not found", LIST)

    def tell(self, as_json, query):
        """Without a time from which: what comes from now on, which is the last one."""
        assert self.headers["Accept"] == "text/event-stream", self.headers["Accept"]
        since, until = query.get("start-time", TIMES[-1]), query.get("stop-time", TIMES[-1])
        if since not in TIMES:
            return self.wrong(400, "invalid-value", "start-time is no time")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for time in (time for time in TIMES if since <= time <= until):
            content = {"eventTime": time, "example:link": {"filter": query.get("filter", ""), "state": "up"}}
            text = json.dumps({"ietf-restconf:notification": content}, indent=1)
            if not as_json:
                text = "<notification xmlns='urn:ietf:params:xml:ns:netconf:notification:1.0'>\n" \
                       "<eventTime>%s</eventTime><link/></notification>" % time
            lines = "".join("data: %s\n" % line for line in text.splitlines())
            self.wfile.write((": silence\n\nid: %s\n%s\n" % (time, lines)).encode())
        self.close_connection = True

    def do_HEAD(self):
        self.say(200, "")

    def do_PUT(self):
        content, name = self.content(), self.name()
        if self.headers.get("If-Match") not in (None, '"%d"' % len(interfaces)):
            return self.wrong(412, "operation-failed", "the entity tag does not match")
        new = name not in interfaces
        interfaces[name] = content["ietf-interfaces:interface"][0]
        self.say(201 if new else 204, "")

    def do_POST(self):
        content = self.content()
        if self.path == ROOT + "/operations/example:reboot":
            return self.say(200, {"example:output": {"delay": content["example:input"]["delay"]}})
        entry = content["ietf-interfaces:interface"][0]
        if entry["name"] in interfaces:
            return self.wrong(409, "data-exists", "it is there already")
        interfaces[entry["name"]] = entry
        self.say(201, "", location=LIST + "/interface=" + entry["name"])

    def do_PATCH(self):
        interfaces[self.name()].update(self.content()["ietf-interfaces:interface"][0])
        self.say(204, "")

    def do_DELETE(self):
        if interfaces.pop(self.name(), None) is None:
            return self.wrong(404, "data-missing", "there is none")
        self.say(204, "")

    def name(self):
        found = re.fullmatch(re.escape(LIST) + "/interface=([a-z0-9]+)", self.path)
        return found and found.group(1)

    def content(self):
        assert self.headers["Content-Type"] == JSON, self.headers["Content-Type"]
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def wrong(self, status, tag, message, path=None):
        error = {"error-type": "application", "error-tag": tag, "error-message": message}
        if path:
            error["error-path"] = path
        if XML in (self.headers["Accept"] or ""):
            inner = "".join("<%s>%s</%s>" % (name, value, name) for name, value in error.items())
            text = "<errors xmlns='urn:ietf:params:xml:ns:yang:ietf-restconf'><error>%s</error></errors>"
            return self.say(status, text % inner, XML)
        self.say(status, {"ietf-restconf:errors": {"error": [error]}})

    def say(self, status, content, kind=JSON, **fields):
        content = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content.encode())


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("listening on port", server.server_port, flush=True)
server.serve_forever()
