"""A mixed load, pipelined, over several sessions: load.py host:port seed [operations per session].

With a number of operations it runs to its end, closes all its sessions and must meet no failure of
the connection. Without one it goes on until the server is gone, leaves its sessions as they are and
ends with 0; after two minutes it takes the server for one that does not die, and ends with 1.
Refusals (no node, node exists, bad version ...) are part of the load.
"""

import logging
import os
import random
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    SessionExpiredError,
)
from kazoo.security import make_acl, make_digest_acl

ADDRESS, SEED = sys.argv[1], int(sys.argv[2])
OPERATIONS = int(sys.argv[3]) if len(sys.argv) > 3 else None
# In flight per session.
WINDOW = 40
# Long enough to outlive what is done with the directory afterwards, and all different.
TIMEOUTS_S = (31.0, 35.5, 39.0)
ROOT = "/load"
# Every ACL leaves the owner all rights: who reads the tree later comes as this user.
OWNER = ("joe", "secret")
ACLS = (
    [make_digest_acl(*OWNER, all=True)],
    [make_digest_acl(*OWNER, all=True), make_acl("world", "anyone", read=True)],
    [make_digest_acl(*OWNER, all=True), make_acl("ip", "127.0.0.0/8", read=True, write=True)],
)

WEIGHTS = {
    "create": 20, "set": 25, "delete": 12, "child": 10, "sequence": 5, "ephemeral": 8, "acl": 5,
    "multi": 10, "failing": 5,
}

logging.getLogger("kazoo").setLevel(logging.CRITICAL)
lost = threading.Event()


def connect(timeout):
    client = KazooClient(
        hosts=ADDRESS, timeout=timeout, auth_data=[("digest", ":".join(OWNER))],
        connection_retry={"max_tries": 0},
    )
    client.start(timeout=20)
    return client


def note(result):
    try:
        result.get()
    except (ConnectionLoss, ConnectionClosedError, SessionExpiredError):
        lost.set()
    except KazooException:
        pass


class Session(threading.Thread):
    """One session with its own random stream, its part of the tree, and one that all share."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.random = random.Random(SEED * 1000 + number)
        self.client = connect(TIMEOUTS_S[number])
        self.bases = (f"{ROOT}/{number}", f"{ROOT}/shared")
        self.window = threading.Semaphore(WINDOW)

    def run(self):
        done = 0
        while not lost.is_set() and (OPERATIONS is None or done < OPERATIONS):
            self.window.acquire()
            try:
                result = self.operation()
            except (ConnectionClosedError, SessionExpiredError):
                lost.set()
                return
            result.rawlink(self.finished)
            done += 1
        for _ in range(WINDOW):
            self.window.acquire(timeout=20)

    def finished(self, result):
        note(result)
        self.window.release()

    def operation(self):
        rng, zk = self.random, self.client
        base = rng.choice(self.bases)
        node = f"{base}/n{rng.randrange(200)}"
        data = rng.randbytes(rng.choice((0, 10, 100, 2000)))
        kind = rng.choices(
            tuple(WEIGHTS), tuple(WEIGHTS.values())
        )[0]
        if kind == "create":
            return zk.create_async(node, data, acl=rng.choice(ACLS))
        if kind == "set":
            version = rng.choice((-1, -1, 0, 1))
            return zk.set_async(node, data, version=version)
        if kind == "delete":
            return zk.delete_async(rng.choice((node, f"{node}/c{rng.randrange(3)}")))
        if kind == "child":
            return zk.create_async(f"{node}/c{rng.randrange(3)}", data)
        if kind == "sequence":
            return zk.create_async(f"{base}/s-", data, sequence=True, ephemeral=rng.random() < 0.3)
        if kind == "ephemeral":
            return zk.create_async(f"{base}/e{rng.randrange(50)}", data, ephemeral=True)
        if kind == "acl":
            return zk.set_acls_async(node, rng.choice(ACLS))
        return self.transaction(f"{base}/m{rng.randrange(1000)}", data, fails=kind == "failing")

    def transaction(self, path, data, fails):
        multi = self.client.transaction()
        multi.create(path, data)
        multi.create(f"{path}/e", ephemeral=True)
        multi.create(f"{path}/s-", sequence=True)
        multi.set_data(path, b"set in the same multi", version=0)
        multi.check(path, version=7 if fails else 1)
        multi.delete(f"{path}/e")
        return multi.commit_async()


def churn():
    """Sessions that come, make a few ephemerals and go."""
    turn = 0
    while not lost.is_set():
        try:
            client = connect(10.0)
            for i in range(3):
                client.create_async(f"{ROOT}/shared/churn{turn}-{i}", ephemeral=True)
            client.stop()
            client.close()
        except Exception:
            # Whether the server is gone is for the other sessions to say.
            time.sleep(0.05)
        turn += 1


def limit(client, path):
    """What the shell does for setquota: the server counts what is there, and all that follows."""
    quota = f"/zookeeper/quota{path}"
    client.ensure_path(quota)
    if not client.exists(f"{quota}/zookeeper_limits"):
        client.create(f"{quota}/zookeeper_limits", b"count=1000,bytes=100000")
        client.create(f"{quota}/zookeeper_stats", b"count=0,bytes=0")


def main():
    first = connect(10.0)
    first.ensure_path(ROOT)
    for name in ("shared", *map(str, range(len(TIMEOUTS_S)))):
        first.ensure_path(f"{ROOT}/{name}")
    # Not one within another: what the outer one tells then depends on when it was loaded.
    for name in ("shared", "0"):
        limit(first, f"{ROOT}/{name}")
    first.stop()
    first.close()
    sessions = [Session(number) for number in range(len(TIMEOUTS_S))]
    for session in sessions:
        session.start()
    if OPERATIONS is None:
        threading.Thread(target=churn, daemon=True).start()
        # No interpreter clean-up: the sessions must not be closed.
        os._exit(0 if lost.wait(120) else 1)
    for session in sessions:
        session.join()
        session.client.stop()
        session.client.close()
    sys.exit(1 if lost.is_set() else 0)


main()
