"""The servers of an ensemble as processes: made, started, killed, paused and asked about themselves.

A server is `java` (Apache 3.9.5), `java38` (Debian's 3.8.0) or `ostler`; all kinds take the same
zoo.cfg and the same directories, so one can be started where another has been. Nothing here knows
what the servers hold: see trees.py.
"""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

INTEROP = Path(__file__).resolve().parent.parent
ROOT = INTEROP.parent
OSTLER = os.environ.get("OSTLER", str(ROOT / "target/release/ostler"))
# Short runs: no time for the second compiler. The figures that are compared come without these.
QUICK_JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
JAR_38 = Path("/usr/share/java/zookeeper.jar")
SETTINGS = {
    "tickTime": "1000",
    "initLimit": "10",
    "syncLimit": "5",
    "maxClientCnxns": "0",
    "admin.enableServer": "false",
    "4lw.commands.whitelist": "*",
    "preAllocSize": "64",
}
SYNC_NAMES = ("DIFF", "TRUNC", "SNAP")
SYNCED = re.compile("(Getting a diff from|up to date by DIFF)|(Truncating log to get in sync|up to "
                    "date by TRUNC)|(Getting a snapshot from|up to date by SNAP)")


class Gone(Exception):
    """A server ended by itself, or never did what was waited for."""


def wait_for(what, done, seconds=60, every=0.02):
    """Polls until `done()` is true and returns what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        found = done()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Gone(f"not within {seconds} s: {what}")
        time.sleep(every)


def ask(address, word, seconds=2):
    """The answer to a four-letter word; empty when there is none."""
    text = b""
    try:
        with socket.create_connection(address, timeout=seconds) as sock:
            sock.sendall(word.encode())
            while data := sock.recv(65536):
                text += data
    except OSError:
        pass
    return text.decode(errors="replace")


class Host:
    """Where a server runs: its address, its ports, and what to put before its command."""

    def __init__(self, ip, client, quorum, election, before=()):
        self.ip, self.client, self.quorum, self.election = ip, client, quorum, election
        self.before = list(before)


def free_block(size):
    """The first of `size` * 3 ports of which nobody uses one."""
    first = 26000 + os.getpid() % 40 * 40
    for base in [*range(first, 27900, 40), *range(26000, first, 40)]:
        try:
            for port in range(base, base + 3 * size):
                with socket.socket() as sock:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    sock.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise Gone("no free ports between 26000 and 27900")


def loopback_hosts(size):
    base = free_block(size)
    return [Host("127.0.0.1", base + i, base + size + i, base + 2 * size + i)
            for i in range(size)]


class Server:
    """One member. Its number, host and directory stay; its kind and its process come and go."""

    def __init__(self, number, kind, host, directory, role="participant"):
        self.number, self.kind, self.host, self.role = number, kind, host, role
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log"
        self.process = None
        self.paused = False
        # Whether it was told to end; an end by itself is a failure.
        self.ended = False
        self.flags = []
        self.data.mkdir(parents=True)
        (self.data / "myid").write_text(f"{number}\n")

    def __str__(self):
        return f"{self.kind} {self.number}"

    @property
    def address(self):
        return self.host.ip, self.host.client

    def command(self, config):
        if self.kind == "ostler":
            return [OSTLER, "serve", str(config)]
        log = os.environ.get("JAVA_LOG", "INFO")
        flags = [f"-Dinterop.log={log}", "-Xmx512m", *self.flags]
        if self.kind == "java38":
            return ["java", *flags, "-cp", java38_classpath(),
                    "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)]
        return [str(INTEROP / "apache"), "serve", str(config), *flags]

    def start(self, settings):
        config = self.directory / "zoo.cfg"
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        with self.log.open("ab") as log:
            log.write(f"---- {self} starts\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                [*self.host.before, *self.command(config)], stdout=log, stderr=log,
                # What brought a server up to date is read from its log.
                env=os.environ | {"OSTLER_LOG": "info"}, start_new_session=True)
        self.paused = self.ended = False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.end(signal.SIGKILL)

    def stop(self, seconds=20):
        """As `zkServer.sh stop` does it. An end by itself before that is an error."""
        if not self.is_running():
            raise Gone(f"{self} ended by itself with {self.process and self.process.returncode}")
        self.end(signal.SIGTERM, seconds)
        if self.process.returncode not in (0, 143, -15):
            raise Gone(f"{self} ended with {self.process.returncode} after SIGTERM")

    def end(self, number, seconds=20):
        if self.process is None:
            return
        self.ended = True
        try:
            os.killpg(self.process.pid, number)
            # One that is paused dies of SIGKILL as it is: it must not read what waits for it.
            if number != signal.SIGKILL:
                self.resume()
        except ProcessLookupError:
            pass
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise Gone(f"{self} did not end within {seconds} s of signal {number}") from None

    def pause(self):
        """Stands still when this returns, with all of its threads."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        self.paused = True
        threads = Path(f"/proc/{self.process.pid}/task")
        wait_for(f"{self} stands still", lambda: all(
            (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
            for thread in threads.iterdir()), every=0.001)

    def resume(self):
        if self.paused and self.is_running():
            os.killpg(self.process.pid, signal.SIGCONT)
        self.paused = False

    def mode(self):
        """leader, follower, observer, or None while it does not serve."""
        found = re.search(r"^Mode: (\w+)", ask(self.address, "srvr"), re.M)
        return found and found[1]

    def zxid(self):
        found = re.search(r"^Zxid: 0x([0-9a-f]+)", ask(self.address, "srvr"), re.M)
        return found and int(found[1], 16)

    def figures(self):
        """What `mntr` tells, by name without the zk_ in front."""
        lines = (line.split("\t", 1) for line in ask(self.address, "mntr", 5).splitlines())
        return {line[0].removeprefix("zk_"): line[1] for line in lines if len(line) == 2}

    def cpu_seconds(self):
        """User and system time of the process since its start."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_text(self):
        return self.log.read_text(errors="replace")

    def repair_epoch(self):
        """Java does not start when it was killed between the log and the current epoch of a new
        leader; an operator raises that epoch to the accepted one. Whether it was so."""
        if "The current epoch" not in self.log_text().rpartition("\n---- ")[2]:
            return False
        files = self.data / "version-2"
        (files / "currentEpoch").write_text((files / "acceptedEpoch").read_text())
        return True

    def last_sync(self):
        """How it was brought up to date since it last started: DIFF, TRUNC, SNAP, or None."""
        lines = self.log_text().rpartition("\n---- ")[2]
        found = SYNCED.findall(lines)
        return found and next(name for name, text in zip(SYNC_NAMES, found[-1]) if text)


def java38_classpath():
    """Debian's 3.8.0 names what it needs in its manifest; only the log is ours to choose."""
    return f"{JAR_38}:{JAR_38.parent / 'slf4j-simple.jar'}"


class Ensemble:
    """Some servers with one list of members. `kinds` as ["java", "ostler", "ostler:observer"]."""

    def __init__(self, kinds, scratch, settings=(), hosts=None, flags=()):
        hosts = hosts or loopback_hosts(len(kinds))
        self.settings = SETTINGS | dict(settings)
        self.servers = []
        for number, (kind, host) in enumerate(zip(kinds, hosts), start=1):
            kind, _, role = kind.partition(":")
            server = Server(number, kind, host, Path(scratch) / str(number),
                            role or "participant")
            server.flags = list(flags)
            self.servers.append(server)

    def __getitem__(self, number):
        return self.servers[number - 1]

    @property
    def voters(self):
        return [server for server in self.servers if server.role == "participant"]

    @property
    def running(self):
        return [server for server in self.servers if server.is_running() and not server.paused]

    def addresses(self):
        return [server.address for server in self.servers]

    def start(self, *servers):
        for server in servers or self.servers:
            server.start(self.settings_of(server))

    def start_led_by_last(self):
        """Just a quorum with the last voter begins: among empty servers the largest number leads."""
        voters = self.voters
        quorum = [voters[-1], *voters[:len(voters) // 2]]
        self.start(*quorum)
        self.wait()
        rest = [server for server in self.servers if server not in quorum]
        if rest:
            self.start(*rest)

    def settings_of(self, server):
        settings = self.settings | {
            "dataDir": str(server.data),
            "clientPort": str(server.host.client),
            "clientPortAddress": server.host.ip,
        }
        if server.role == "observer":
            settings["peerType"] = "observer"
        for other in self.servers:
            host = other.host
            settings[f"server.{other.number}"] = (
                f"{host.ip}:{host.quorum}:{host.election}:{other.role}")
        return settings

    def start_as(self, server, kind):
        """Another kind of server on the directory that the former left."""
        server.kind = kind
        self.start(server)

    def leader(self):
        return next((server for server in self.running if server.mode() == "leader"), None)

    def followers(self):
        return [server for server in self.running if server.mode() == "follower"]

    def wait(self, seconds=60):
        """Until every running server serves and one of them leads; returns that one."""
        def formed():
            for server in self.servers:
                if server.process is not None and not server.is_running() and not server.ended:
                    if server.kind != "ostler" and server.repair_epoch():
                        self.start(server)
                        return False
                    raise Gone(f"{server} ended by itself with {server.process.returncode}")
            modes = [server.mode() for server in self.running]
            expected = sum(server.role == "observer" for server in self.running)
            whole = modes.count("leader") == 1 and modes.count("observer") == expected
            return whole and all(modes)
        try:
            wait_for("an ensemble of " + ", ".join(map(str, self.running)), formed, seconds)
        except Gone as error:
            modes = ", ".join(f"{server}: {server.mode()}" for server in self.servers)
            raise Gone(f"{error} ({modes})") from None
        return self.leader()

    def end(self):
        for server in self.servers:
            if server.is_running():
                server.kill()
