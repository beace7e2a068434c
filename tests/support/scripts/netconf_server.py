"""A NETCONF server by the package `netconf`, behind its own SSH (paramiko): a configuration that is a list of texts.
Its host key is the first argument, a file of ssh-keygen with a key of RSA; its user is `tester`, the password `secret`."""

import errno
import socket
import sys
import time


class Loopback(socket.socket):
    """The package listens everywhere, by IPv6 if it can; here nothing listens beyond loopback."""

    def __init__(self, family=-1, *rest, **named):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "IPv4 is enough")
        super().__init__(family, *rest, **named)

    def bind(self, address):
        super().bind(("127.0.0.1", address[1]))


socket.socket = Loopback

import netconf.error
import netconf.server
import netconf.util

values = ["first"]


class Methods:
    def nc_append_capabilities(self, capabilities):
        name = "urn:ietf:params:netconf:capability:writable-running:1.0"
        netconf.util.subelm(capabilities, "capability").text = name

    def rpc_get(self, session, rpc, chosen):
        return self.data(chosen)

    def rpc_get_config(self, session, rpc, source, chosen):
        return self.data(chosen)

    def rpc_edit_config(self, session, rpc, target, *rest):
        found = rpc.xpath(".//*[local-name() = 'value']")
        if any(element.text == "wrong" for element in found):
            raise netconf.error.InvalidValueAppError(rpc, message="that value is wrong")
        values.extend(element.text for element in found)
        return netconf.util.elm("nc:ok")

    def data(self, chosen):
        data = netconf.util.elm("nc:data")
        # A filter without content selects nothing (RFC 6241, 6.4.2).
        if chosen is None or len(chosen):
            for value in values:
                netconf.util.subelm(data, "value").text = value
        return data


login = netconf.server.SSHUserPassController(username="tester", password="secret")
server = netconf.server.NetconfSSHServer(server_ctl=login, server_methods=Methods(), port=0, host_key=sys.argv[1])
print("listening on port", server.port, flush=True)
while True:
    time.sleep(3600)
