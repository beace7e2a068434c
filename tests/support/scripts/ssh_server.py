"""An SSH server by asyncssh that asks as its role says; right answers are `lab`, `pw`, `123456`."""

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


class Server(asyncssh.SSHServer):
    def connection_made(self, connection):
        if ROLE == "expired-with-banner":
            connection.send_auth_banner("mind the gap\n")
        self.asked = 0

    def begin_auth(self, user):
        return True

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
