"""Starts the two servers that are compared, each with the same settings on a directory of its own."""

import os
import shlex
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from play import SUPER
from script import digest_id

INTEROP = Path(__file__).resolve().parent.parent
ROOT = INTEROP.parent
APACHE = [str(INTEROP / "apache"), "serve"]
OSTLER = shlex.split(os.environ.get("OSTLER_CMD", str(ROOT / "target/release/ostler") + " serve"))
BASE = {
    "tickTime": "2000",
    "clientPortAddress": "127.0.0.1",
    "maxClientCnxns": "0",
    "admin.enableServer": "false",
    "4lw.commands.whitelist": "*",
    # What is compared is what clients see; the disk has tests of its own.
    "forceSync": "no",
    "preAllocSize": "64",
}
# Short runs: no time for the second compiler.
JAVA = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dinterop.log=ERROR"]


def use_two_cores():
    """For this process and the servers it starts. With more, Ostler serves connections by several
    threads, and reads on one need not see at once what was written through another; neither need
    they in an ensemble."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


class Server:
    """A running server; `kind` is apache or ostler."""

    def __init__(self, kind, command, config, properties, scratch, my_id=None):
        self.kind, self.members = kind, [self]
        self.directory = Path(tempfile.mkdtemp(prefix=kind + "-", dir=scratch))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = free.getsockname()
        self.settings = BASE | {"dataDir": str(self.directory / "data"),
                                "clientPort": str(self.address[1])}
        (self.directory / "data").mkdir()
        if my_id:
            (self.directory / "data" / "myid").write_text(f"{my_id}\n")
        file = self.directory / "zoo.cfg"
        flags = ["-Dzookeeper.DigestAuthenticationProvider.superDigest="
                 + digest_id(":".join(SUPER))]
        # Those of the scenarios come later, and win.
        flags += [f"-D{item}" for item in properties]
        # Apache's script takes the file first.
        java = Path(command[0]).name == "apache"
        self.command = command + ([str(file), *JAVA, *flags] if java else [*flags, str(file)])
        self.log = self.directory / "log"
        self.start(config)

    def start(self, config):
        """Starts the process with these settings beside those of before."""
        self.settings |= dict(item.partition("=")[::2] for item in config)
        lines = [f"{key}={value}\n" for key, value in self.settings.items()]
        (self.directory / "zoo.cfg").write_text("".join(lines))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log,
                                            start_new_session=True)

    def restart(self, config):
        """Kills the process and starts it on what it left; makes no session, as those are logged."""
        self.stop()
        self.start(config)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(self.address, timeout=2) as sock:
                    sock.sendall(b"srvr")
                    text = b""
                    while data := sock.recv(65536):
                        text += data
                if b"Mode: " in text:
                    return
            except OSError:
                pass
            time.sleep(0.05)

    def address_of(self, _role):
        """Where the server of this role is: a single server has them all."""
        return self.address

    def wait_serving(self, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self.serves():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.kind} does not serve (exit code {self.process.poll()}):\n"
                           + self.log_end())

    def log_end(self):
        return self.log.read_text(errors="replace")[-3000:]

    def serves(self):
        """Whether a session can be made; an open port is not enough."""
        try:
            with socket.create_connection(self.address, timeout=2) as sock:
                connect = struct.pack(">iqiqi", 0, 0, 10000, 0, 16) + bytes(16) + b"\0"
                sock.sendall(struct.pack(">i", len(connect)) + connect
                             + struct.pack(">iii", 8, 1, -11))
                data = b""
                while len(data) < 61:
                    chunk = sock.recv(4096)
                    if not chunk:
                        return False
                    data += chunk
                return True
        except OSError:
            return False

    def is_alive(self):
        return self.process.poll() is None

    def stop(self):
        if self.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
