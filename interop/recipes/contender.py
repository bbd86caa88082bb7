"""Contends with others for one of kazoo's recipes: contender.py host:port kind path rounds dir.

What it does while it holds is what the `witness` beside it does.
"""

import logging
import os
import random
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.recipe.lock import ReadLock, WriteLock

ADDRESS, KIND, PATH, ROUNDS, DIR = sys.argv[1:6]
logging.getLogger("kazoo").setLevel(logging.CRITICAL)


def violated(text):
    with open(f"{DIR}/violations", "a") as file:
        file.write(f"{KIND} (kazoo): {text}\n")
    os._exit(1)


def pause():
    time.sleep(random.randrange(10) / 1000)


def nobody_writes():
    if os.path.exists(f"{DIR}/exclusive"):
        violated("somebody writes")


def nobody_reads():
    if os.listdir(f"{DIR}/shared"):
        violated("somebody reads")


def exclusive():
    try:
        os.mkdir(f"{DIR}/exclusive")
    except FileExistsError:
        violated("somebody is here")
    nobody_reads()
    try:
        with open(f"{DIR}/count") as file:
            count = int(file.read())
    except FileNotFoundError:
        count = 0
    pause()
    with open(f"{DIR}/count", "w") as file:
        file.write(f"{count + 1}\n")
    nobody_reads()
    os.rmdir(f"{DIR}/exclusive")


def shared():
    own = f"{DIR}/shared/{os.getpid()}-{threading.get_ident()}"
    os.mkdir(own)
    nobody_writes()
    pause()
    nobody_writes()
    os.rmdir(own)


def leased(most):
    own = f"{DIR}/shared/{os.getpid()}-{threading.get_ident()}"
    os.mkdir(own)
    if len(os.listdir(f"{DIR}/shared")) > most:
        violated(f"more than {most}")
    pause()
    os.rmdir(own)


def hold_for_ever():
    print("held", flush=True)
    time.sleep(3600)


def holding(lock, section):
    with lock:
        section()


def leases(most):
    semaphore = zk.Semaphore(PATH, max_leases=most)
    with semaphore:
        leased(most)


def counter(**form):
    counted = zk.Counter(PATH, **form)
    counted += 1


def double_barrier(members):
    global rounds
    rounds += 1
    barrier = zk.DoubleBarrier(f"{PATH}/{rounds}", members)
    barrier.enter()
    pause()
    barrier.leave()


# Curator's names, seen by kazoo when it is told to.
BESIDE = {
    "lock": ["lock-"],
    "write": ["__WRIT__", "__READ__"],
    "read": ["__WRIT__"],
}

rounds = 0
zk = KazooClient(hosts=ADDRESS, timeout=10)
zk.start()
os.makedirs(f"{DIR}/shared", exist_ok=True)
one_round = {
    "mutex": lambda: holding(zk.Lock(PATH), exclusive),
    "mutex-beside": lambda: holding(zk.Lock(PATH, None, BESIDE["lock"]), exclusive),
    "write": lambda: holding(WriteLock(zk, PATH), exclusive),
    "read": lambda: holding(ReadLock(zk, PATH), shared),
    "write-beside": lambda: holding(WriteLock(zk, PATH, None, BESIDE["write"]), exclusive),
    "read-beside": lambda: holding(ReadLock(zk, PATH, None, BESIDE["read"]), shared),
    "leases": lambda: leases(2),
    "election": lambda: zk.Election(PATH, "kazoo").run(exclusive),
    "text": lambda: counter(),
    "int": lambda: counter(support_curator=True),
    "double": lambda: double_barrier(3),
    "hold": lambda: holding(zk.Lock(PATH), hold_for_ever),
}[KIND]
for _ in range(int(ROUNDS)):
    one_round()
zk.stop()
zk.close()
