"""Three servers of one kind that form an ensemble, in place of a single server.

Scenarios see it as one server: connections go to the member that was chosen on the command line or by
the scenario's file, unless a step names another one. Members are named by what they do, since who
leads is found out only when they run.
"""

import socket
import time

from servers import Server

MEMBERS = 3
SETTINGS = {"initLimit": "10", "syncLimit": "5"}


class Ensemble:
    """Running servers; `through` is the role of the one that connections go to."""

    def __init__(self, kind, command, config, properties, scratch, through):
        self.kind, self.through, self.roles = kind, through, {}
        ports = free_ports(2 * MEMBERS)
        lines = {f"server.{n}": f"127.0.0.1:{ports[2 * n - 2]}:{ports[2 * n - 1]}"
                 for n in range(1, MEMBERS + 1)}
        if through == "observer":
            lines[f"server.{MEMBERS}"] += ":observer"
        config = [f"{key}={value}" for key, value in (SETTINGS | lines).items()] + list(config)
        self.members = [self.member(command, config, properties, scratch, n)
                        for n in range(1, MEMBERS + 1)]

    def member(self, command, config, properties, scratch, number):
        peer_type = ["peerType=observer"] if number == MEMBERS and self.through == "observer" else []
        return Server(self.kind, command, config + peer_type, properties, scratch, number)

    @property
    def address(self):
        return self.address_of(self.through)

    def address_of(self, role):
        """Of the first server with this role; `follower2` is the second one that follows."""
        wanted, second = role.rstrip("2"), role.endswith("2")
        having = [member for member in self.members if self.roles.get(member) == wanted]
        return having[int(second)].address

    def wait_serving(self, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.roles = {member: role_of(member.address) for member in self.members}
            followers = MEMBERS - 1 - (self.through == "observer")
            roles = list(self.roles.values())
            if roles.count("leader") == 1 and roles.count("follower") == followers and all(roles):
                return
            if not self.is_alive():
                break
            time.sleep(0.1)
        raise RuntimeError(f"{self.kind}: no ensemble, but {self.roles.values()}:\n"
                           + self.members[0].log_end())

    def restart(self, config):
        """Kills all of them and starts them on what they left."""
        for member in self.members:
            member.stop()
        for member in self.members:
            member.start(config)
        self.wait_serving()

    def isolate(self, role):
        """Kills all but the member of this role, and waits until that one has noticed."""
        address = self.address_of(role)
        # The leader last, or those who are left elect another one in between.
        for member in sorted(self.members, key=lambda member: self.roles[member] == "leader"):
            if member.address != address:
                member.stop()
        deadline = time.monotonic() + 60
        while role_of(address) != "read-only":
            if time.monotonic() > deadline:
                raise OSError(f"{role} does not become a read-only server")
            time.sleep(0.05)

    def is_alive(self):
        return all(member.is_alive() for member in self.members)

    def stop(self):
        for member in self.members:
            member.stop()


def role_of(address):
    """What a server says it is, or nothing as long as it does not serve."""
    try:
        with socket.create_connection(address, timeout=2) as sock:
            sock.sendall(b"srvr")
            text = b""
            while data := sock.recv(65536):
                text += data
    except OSError:
        return ""
    modes = [line[6:] for line in text.decode().splitlines() if line.startswith("Mode: ")]
    return modes[0] if modes else ""


def free_ports(count):
    socks = [socket.socket() for _ in range(count)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports
