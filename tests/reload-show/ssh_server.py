"""An SSH server on asyncssh whose shells give back what they get. Prints its port and the fingerprint of its key."""

import asyncio

import asyncssh


class Echo(asyncssh.SSHServerSession):
    def connection_made(self, channel):
        self.channel = channel

    def shell_requested(self):
        return True

    def data_received(self, data, datatype):
        self.channel.write(data)


class Server(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False

    def session_requested(self):
        return Echo()


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(
        Server, "127.0.0.1", 0, server_host_keys=[key], encoding=None, backlog=1024, login_timeout=120
    )
    print(server.sockets[0].getsockname()[1], key.get_fingerprint(), flush=True)
    await server.wait_closed()


asyncio.run(main())
