"""kazoo's end of a queue: shelf_peer.py host:port what path word..."""

import logging
import sys
import time

from kazoo.client import KazooClient

ADDRESS, WHAT, PATH, *WORDS = sys.argv[1:]
logging.getLogger("kazoo").setLevel(logging.CRITICAL)


def put(client):
    queue = client.Queue(PATH)
    for word in WORDS[1:]:
        queue.put(word.encode(), int(WORDS[0]))


def take(client):
    queue = client.Queue(PATH)
    left = int(WORDS[0])
    while left:
        if (item := queue.get()) is None:
            time.sleep(0.02)
            continue
        print(item.decode(), flush=True)
        left -= 1


def locking_put(client):
    client.LockingQueue(PATH).put_all([word.encode() for word in WORDS[1:]], int(WORDS[0]))


def locking_take(client):
    queue = client.LockingQueue(PATH)
    for _ in range(int(WORDS[0])):
        print(queue.get().decode(), flush=True)
        if not queue.consume():
            raise SystemExit("it was not consumed")


def locking_hold(client):
    print("held", client.LockingQueue(PATH).get().decode(), flush=True)
    time.sleep(3600)


zk = KazooClient(hosts=ADDRESS, timeout=4.0)
zk.start(timeout=30)
globals()[WHAT.replace("-", "_")](zk)
zk.stop()
zk.close()
