"""A small RESTCONF server (RFC 8040) on Python's own `http.server`: one list of interfaces, with entity tags, errors in
JSON and XML, and one operation. Its root is told by host-meta alone."""

import http.server
import json
import re

ROOT = "/api/v1"
LIST = ROOT + "/data/ietf-interfaces:interfaces"
JSON, XML = "application/yang-data+json", "application/yang-data+xml"
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
        self.wrong(404, "invalid-value", "uri keypath not found", LIST)

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
