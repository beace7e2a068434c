"""An SSH server by asyncssh that asks as its role says; right answers are `lab`, `pw`, `123456`.

In the role `ends` it asks nothing, does what its client says, and logs how the client ends."""

import asyncio
import sys

import asyncssh

ROLE = sys.argv[1]
ROUNDS = {
    "notice": [([("Press Enter to accept: ", True)], [""]), ([("Password: ", False)], ["pw"])],
    "rounds": [
        ([("Username: ", True)], ["lab"]),
        ([("Password: ", False)], ["pw"]),
        ([("Choose 1 or 2: ", True), ("One-time code: ", False)], ["2", "123456"]),
    ],
    "expired-by-questions": [
        ([("Password: ", False)], ["pw"]),
        ([("New password: ", False)], [None]),
    ],
}


class Talking(asyncssh.SSHServerSession):
    """A program that is told what to do."""

    def connection_made(self, channel):
        self.channel = channel
        self.has_ended = False

    def exec_requested(self, command):
        return True

    def data_received(self, data, kind):
        for word in data.split():
            if word == "there":
                self.channel.write("back\n")
            elif word == "exit":
                self.channel.exit(0)
            elif word == "kill":
                self.channel.exit_with_signal("KILL")

    def eof_received(self):
        print("saw the end", flush=True)
        self.has_ended = True
        return True

    def connection_lost(self, error):
        # Of its channel.
        print("saw", f"a lost connection, {error}" if error else "a close", flush=True)


class Server(asyncssh.SSHServer):
    def connection_made(self, connection):
        if ROLE == "expired-with-banner":
            connection.send_auth_banner("mind the gap\n")
        self.asked = 0

    def begin_auth(self, user):
        return ROLE != "ends"

    def connection_lost(self, error):
        if ROLE == "ends":
            print("saw", f"a disconnect, {error}" if error else "a disconnect", flush=True)

    def session_requested(self):
        return Talking() if ROLE == "ends" else False

    def password_auth_supported(self):
        return ROLE in ("expired", "expired-with-banner")

    def validate_password(self, user, password):
        raise asyncssh.PasswordChangeRequired("Your password has expired")

    def kbdint_auth_supported(self):
        return ROLE in ROUNDS

    def get_kbdint_challenge(self, user, lang, submethods):
        return "", "", "", ROUNDS[ROLE][0][0]

    def validate_kbdint_response(self, user, said):
        rounds = ROUNDS[ROLE]
        if list(said) != rounds[self.asked][1]:
            return False
        self.asked += 1
        if self.asked == len(rounds):
            return True
        return "", "", "", rounds[self.asked][0]


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen("127.0.0.1", 0, server_factory=Server, server_host_keys=[key])
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
