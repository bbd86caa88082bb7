"""Network namespaces as hosts: one bridge, one namespace with an address of its own for each server.

A cut is made in the namespace that sends, by giving its neighbour a hardware address that nobody has:
every packet for it is lost without a word, as on a broken wire, and only in that direction. A slow
link needs the kernel's netem, or its token bucket where there is none.
"""

import os
import subprocess

from servers import Host

NAME = f"ost{os.getpid() % 10000}"
NOBODY = "02:00:00:00:00:fe"


def run(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done


def may_make_namespaces():
    try:
        run("ip", "netns", "add", NAME)
        run("ip", "link", "add", NAME, "type", "bridge")
        return True
    except OSError:
        return False
    finally:
        run("ip", "link", "del", NAME, check=False)
        run("ip", "netns", "del", NAME, check=False)


class Network:
    """`size` hosts 10.26.x.1 and up; this program is 10.26.x.254 and reaches them all."""

    def __init__(self, size):
        self.size = size
        self.net = f"10.26.{os.getpid() % 250}"
        self.cuts = set()

    def __enter__(self):
        try:
            self.build()
        except OSError:
            self.__exit__()
            raise
        return self

    def build(self):
        run("ip", "link", "add", NAME, "type", "bridge")
        run("ip", "addr", "add", f"{self.net}.254/24", "dev", NAME)
        run("ip", "link", "set", NAME, "up")
        for number in range(1, self.size + 1):
            space, port = self.space(number), f"{NAME}p{number}"
            run("ip", "netns", "add", space)
            run("ip", "link", "add", port, "type", "veth", "peer", "name", f"{port}i")
            run("ip", "link", "set", port, "master", NAME, "up")
            run("ip", "link", "set", f"{port}i", "netns", space, "name", "eth0")
            self.inside(number, "ip", "addr", "add", f"{self.net}.{number}/24", "dev", "eth0")
            self.inside(number, "ip", "link", "set", "eth0", "up")
            self.inside(number, "ip", "link", "set", "lo", "up")

    def __exit__(self, *_):
        for number in range(1, self.size + 1):
            run("ip", "netns", "del", self.space(number), check=False)
            run("ip", "link", "del", f"{NAME}p{number}", check=False)
        run("ip", "link", "del", NAME, check=False)

    def space(self, number):
        return f"{NAME}-{number}"

    def inside(self, number, *words):
        return run("ip", "netns", "exec", self.space(number), *words)

    def hosts(self):
        return [Host(f"{self.net}.{number}", 2181, 2888, 3888,
                     ["ip", "netns", "exec", self.space(number)])
                for number in range(1, self.size + 1)]

    def cut(self, sender, receiver):
        """From now on nothing that `sender` sends reaches `receiver`."""
        self.inside(sender, "ip", "neigh", "replace", f"{self.net}.{receiver}", "lladdr", NOBODY,
                    "dev", "eth0", "nud", "permanent")
        self.cuts.add((sender, receiver))

    def part(self, ones, others):
        """Cuts both ways between two groups."""
        for one in ones:
            for other in others:
                self.cut(one, other)
                self.cut(other, one)

    def heal(self):
        for sender, receiver in self.cuts:
            self.inside(sender, "ip", "neigh", "del", f"{self.net}.{receiver}", "dev", "eth0")
        self.cuts.clear()

    def slow(self, number):
        """All that a host sends is late, or goes through a narrow pipe; tells which."""
        device = ("tc", "qdisc", "add", "dev", "eth0", "root")
        for text, words in (
                ("40 ms late", ("netem", "delay", "40ms", "10ms")),
                ("at 400 kbit/s", ("tbf", "rate", "400kbit", "burst", "4k", "latency", "400ms"))):
            try:
                self.inside(number, *device, *words)
                return text
            except OSError:
                continue
        return None

    def quick(self, number):
        self.inside(number, "tc", "qdisc", "del", "dev", "eth0", "root")
