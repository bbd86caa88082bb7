"""Everyday work of kazoo against a server: everyday.py host:port.

Prints a line per step and ends non-zero at the first surprise.
"""

import logging
import os
import socket
import sys
import threading
import time
import uuid

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.security import make_acl, make_digest_acl

ADDRESS = sys.argv[1]
ROOT = f"/kazoo-{uuid.uuid4().hex[:8]}"
WAIT_S = 20

# kazoo tells of each broken connection, and this program breaks some.
logging.getLogger("kazoo").setLevel(logging.ERROR)


def step(text):
    print("kazoo:", text, flush=True)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def refused(error, call, *arguments, **named):
    try:
        result = call(*arguments, **named)
    except error:
        return
    raise AssertionError(f"{call.__name__}{arguments} gave {result!r} and not {error.__name__}")


def eventually(check, text):
    """For what another thread of the client does; not for what the server has already promised."""
    deadline = time.monotonic() + WAIT_S
    while not check():
        expect(time.monotonic() < deadline, text)
        time.sleep(0.01)


def connect(**named):
    client = KazooClient(hosts=ADDRESS, timeout=named.pop("timeout", 10.0), **named)
    client.start(timeout=WAIT_S)
    return client


def create_modes(zk):
    step("create in all modes")
    expect(zk.create(f"{ROOT}/p", b"one") == f"{ROOT}/p", "path")
    path, stat = zk.create(f"{ROOT}/with-stat", b"12345", include_data=True)
    expect((path, stat.version, stat.dataLength) == (f"{ROOT}/with-stat", 0, 5), "create2")
    expect(stat.czxid == stat.mzxid == stat.pzxid, "fresh zxids")
    names = [zk.create(f"{ROOT}/s-", sequence=True) for _ in range(3)]
    expect([name[-10:] for name in names] == [f"{i:010d}" for i in (2, 3, 4)], f"{names}")
    zk.create(f"{ROOT}/e", b"", ephemeral=True)
    expect(zk.get(f"{ROOT}/e")[1].ephemeralOwner == zk.client_id[0], "ephemeral owner")
    name = zk.create(f"{ROOT}/es-", b"", ephemeral=True, sequence=True)
    expect(name.endswith("0000000006"), name)
    zk.create(f"{ROOT}/deep/er/still", b"x", makepath=True)
    refused(NodeExistsError, zk.create, f"{ROOT}/p")
    refused(NoNodeError, zk.create, f"{ROOT}/none/x")
    refused(NoChildrenForEphemeralsError, zk.create, f"{ROOT}/e/x")


def data(zk):
    step("get, set, versions, delete")
    value, stat = zk.get(f"{ROOT}/p")
    expect((value, stat.version) == (b"one", 0), "get")
    changed = zk.set(f"{ROOT}/p", b"two", version=0)
    expect(changed.version == 1 and changed.mzxid > changed.czxid, "set")
    refused(BadVersionError, zk.set, f"{ROOT}/p", b"x", version=0)
    refused(NoNodeError, zk.set, f"{ROOT}/none", b"x")
    expect(zk.get(f"{ROOT}/p")[0] == b"two", "unchanged by the refused set")
    large = os.urandom(900_000)
    zk.set(f"{ROOT}/p", large)
    expect(zk.get(f"{ROOT}/p")[0] == large, "900,000 bytes")
    zk.set(f"{ROOT}/p", b"")
    expect(zk.get(f"{ROOT}/p")[0] == b"", "empty data")
    refused(BadVersionError, zk.delete, f"{ROOT}/p", version=77)
    refused(NotEmptyError, zk.delete, f"{ROOT}/deep")
    zk.delete(f"{ROOT}/deep", recursive=True)
    expect(zk.exists(f"{ROOT}/deep") is None, "deleted")
    refused(NoNodeError, zk.delete, f"{ROOT}/deep")


def children(zk):
    step("children, stat of the parent")
    zk.create(f"{ROOT}/family")
    for name in ("b\u00fccher", "a", "with space"):
        zk.create(f"{ROOT}/family/{name}")
    names, stat = zk.get_children(f"{ROOT}/family", include_data=True)
    expect(sorted(names) == ["a", "b\u00fccher", "with space"], f"{names}")
    expect((stat.numChildren, stat.cversion) == (3, 3), "three creates")
    zk.delete(f"{ROOT}/family/a")
    stat = zk.exists(f"{ROOT}/family")
    expect((stat.numChildren, stat.cversion, stat.version) == (2, 4, 0), "and one delete")
    refused(NoNodeError, zk.get_children, f"{ROOT}/none")


def watches(zk, other):
    step("one-shot watches: exists, data, children, delete")
    events = []
    fired = threading.Event()

    def note(event):
        events.append((event.type, event.path))
        fired.set()

    def next_event():
        expect(fired.wait(WAIT_S), "no event")
        fired.clear()
        return events.pop(0)

    path = f"{ROOT}/watched"
    expect(zk.exists(path, watch=note) is None, "not there yet")
    other.create(path)
    expect(next_event() == ("CREATED", path), "created")
    zk.get(path, watch=note)
    other.set(path, b"1")
    expect(next_event() == ("CHANGED", path), "changed")
    other.set(path, b"2")
    zk.get_children(path, watch=note)
    other.create(f"{path}/c")
    expect(next_event() == ("CHILD", path), "child")
    zk.get(f"{path}/c", watch=note)
    other.delete(f"{path}/c")
    expect(next_event() == ("DELETED", f"{path}/c"), "deleted")
    expect(not events, f"one-shot: {events}")


def watch_recipes(zk, other):
    step("DataWatch, ChildrenWatch")
    path = f"{ROOT}/recipes"
    other.create(path, b"0")
    values, lists = [], []
    zk.DataWatch(path, lambda value, stat: values.append(value))
    zk.ChildrenWatch(path, lambda names: lists.append(sorted(names)))
    for i in range(1, 4):
        other.set(path, str(i).encode())
        eventually(lambda: values[-1] == str(i).encode(), f"data {i}: {values}")
        other.create(f"{path}/{i}")
        eventually(lambda: len(lists[-1]) == i, f"children {i}: {lists}")
    expect(values == [b"0", b"1", b"2", b"3"], f"{values}")


def transactions(zk):
    step("transactions, committed and rolled back")
    zk.create(f"{ROOT}/t", b"0")
    good = zk.transaction()
    good.check(f"{ROOT}/t", version=0)
    good.create(f"{ROOT}/t/a", b"a")
    good.create(f"{ROOT}/t/s-", sequence=True)
    good.set_data(f"{ROOT}/t", b"1")
    good.delete(f"{ROOT}/t/a")
    results = good.commit()
    expect(results[0] is True and results[1] == f"{ROOT}/t/a", f"{results}")
    expect(results[2] == f"{ROOT}/t/s-0000000001" and results[3].version == 1, f"{results}")
    bad = zk.transaction()
    bad.create(f"{ROOT}/t/b")
    bad.check(f"{ROOT}/t", version=0)
    bad.delete(f"{ROOT}/t/b")
    kinds = [type(result) for result in bad.commit()]
    expect(kinds == [RolledBackError, BadVersionError, RuntimeInconsistency], f"{kinds}")
    expect(zk.exists(f"{ROOT}/t/b") is None, "rolled back")
    # The rolled back create does not use up a sequence number.
    name = zk.create(f"{ROOT}/t/s-", sequence=True)
    expect(name.endswith("0000000002"), name)


def acls(zk):
    step("ACLs with digest auth")
    owner = connect(auth_data=[("digest", "joe:secret")])
    acl = [make_digest_acl("joe", "secret", all=True), make_acl("world", "anyone", read=True)]
    owner.create(f"{ROOT}/acl", b"mine", acl=acl)
    owner.create(f"{ROOT}/private", b"", acl=[acl[0]])
    expect(zk.get(f"{ROOT}/acl")[0] == b"mine", "readable by anyone")
    refused(NoAuthError, zk.set, f"{ROOT}/acl", b"x")
    refused(NoAuthError, zk.create, f"{ROOT}/acl/x")
    refused(NoAuthError, zk.get, f"{ROOT}/private")
    refused(NoAuthError, zk.get_children, f"{ROOT}/private")
    refused(NoAuthError, zk.set_acls, f"{ROOT}/acl", acl)
    refused(InvalidACLError, zk.create, f"{ROOT}/bad", acl=[make_acl("nope", "x", all=True)])
    expect({a.id.id for a in zk.get_acls(f"{ROOT}/acl")[0]} == {"joe:x", "anyone"}, "redacted")
    stat = owner.set_acls(f"{ROOT}/acl", [acl[0]], version=0)
    expect(stat.aversion == 1 and stat.version == 0, "aversion")
    refused(NoAuthError, zk.get, f"{ROOT}/acl")
    zk.add_auth("digest", "joe:secret")
    expect(zk.get(f"{ROOT}/acl")[0] == b"mine", "after add_auth")
    owner.stop()
    owner.close()


def pipelined(zk):
    step("sync, and 500 operations in flight in order")
    expect(zk.sync(ROOT) == ROOT, "sync")
    zk.create(f"{ROOT}/fast", b"0")
    pending = []
    for i in range(250):
        pending.append(zk.set_async(f"{ROOT}/fast", str(i).encode()))
        pending.append(zk.get_async(f"{ROOT}/fast"))
    for i in range(250):
        expect(pending[2 * i].get(WAIT_S).version == i + 1, f"set {i}")
        expect(pending[2 * i + 1].get(WAIT_S)[0] == str(i).encode(), f"get behind set {i}")


def recipes(zk, other):
    step("Lock")
    mine, theirs = zk.Lock(f"{ROOT}/lock", "a"), other.Lock(f"{ROOT}/lock", "b")
    expect(mine.acquire(timeout=WAIT_S), "free")
    expect(not theirs.acquire(blocking=False), "taken")
    waiter = threading.Thread(target=theirs.acquire)
    waiter.start()
    eventually(lambda: len(mine.contenders()) == 2, "the second contender queues")
    mine.release()
    waiter.join(WAIT_S)
    expect(theirs.is_acquired, "handed over")
    theirs.release()

    step("Election")
    order = []
    done = threading.Event()
    for name, client in (("a", zk), ("b", other)):
        election = client.Election(f"{ROOT}/election", name)

        def lead(who=name):
            order.append(who)
            if len(order) == 2:
                done.set()

        threading.Thread(target=election.run, args=(lead,)).start()
    expect(done.wait(WAIT_S) and sorted(order) == ["a", "b"], f"each led once: {order}")

    step("Party, Counter, Barrier, Queue, Semaphore")
    one, two = zk.Party(f"{ROOT}/party", "one"), other.Party(f"{ROOT}/party", "two")
    one.join()
    two.join()
    expect(sorted(one) == ["one", "two"], "both are there")
    two.leave()
    expect(list(one) == ["one"], "one left")
    counter, same = zk.Counter(f"{ROOT}/counter"), other.Counter(f"{ROOT}/counter")
    counter += 2
    same += 3
    expect(counter.value == 5, "2 + 3")
    barrier = zk.Barrier(f"{ROOT}/barrier")
    barrier.create()
    threading.Thread(target=barrier.remove).start()
    expect(other.Barrier(f"{ROOT}/barrier").wait(WAIT_S), "opened")
    queue = zk.Queue(f"{ROOT}/queue")
    for item in (b"1", b"2"):
        queue.put(item)
    expect([other.Queue(f"{ROOT}/queue").get(), queue.get()] == [b"1", b"2"], "in order")
    with zk.Semaphore(f"{ROOT}/semaphore", max_leases=1):
        held = other.Semaphore(f"{ROOT}/semaphore", max_leases=1)
        expect(not held.acquire(blocking=False), "no lease left")


def reconnect(other):
    step("reconnect after a broken connection: same session, ephemeral and watches kept")
    zk = connect()
    states = []
    zk.add_listener(states.append)
    session = zk.client_id
    zk.create(f"{ROOT}/kept", b"", ephemeral=True)
    values = []
    zk.DataWatch(f"{ROOT}/p", lambda value, stat: values.append(value))
    sock = zk._connection._socket
    sock.shutdown(socket.SHUT_RDWR)
    eventually(lambda: KazooState.SUSPENDED in states, "suspended")
    eventually(lambda: zk.connected and states[-1] == KazooState.CONNECTED, "connected again")
    expect(zk.client_id == session, "the same session")
    expect(other.exists(f"{ROOT}/kept") is not None, "the ephemeral is still there")
    other.set(f"{ROOT}/p", b"after reconnect")
    eventually(lambda: values[-1] == b"after reconnect", f"{values}")

    step("close: ephemerals gone at once, session id of no use")
    gone = threading.Event()
    other.exists(f"{ROOT}/kept", watch=lambda event: gone.set())
    zk.stop()
    zk.close()
    expect(gone.wait(WAIT_S) and other.exists(f"{ROOT}/kept") is None, "gone with the session")
    stale = KazooClient(hosts=ADDRESS, client_id=session, timeout=10.0)
    stale.start(timeout=WAIT_S)
    expect(stale.client_id[0] != session[0], "a closed session is not taken up again")
    stale.stop()
    stale.close()


def expiry(other):
    step("expiry of a session whose client is gone without a word")
    # Less than the least timeout is asked for: the server raises it to two ticks.
    zk = connect(timeout=1.0)
    zk.create(f"{ROOT}/expires", b"", ephemeral=True)
    gone = threading.Event()
    other.exists(f"{ROOT}/expires", watch=lambda event: gone.set())
    session = zk.client_id
    zk._stopped.set()
    zk._connection._socket.shutdown(socket.SHUT_RDWR)
    zk._connection.stop(WAIT_S)
    expect(gone.wait(30), "expired")
    expect(other.exists(f"{ROOT}/expires") is None and session[0] != 0, "and its node removed")


def four_letters(zk):
    step("four-letter srvr")
    text = zk.command(b"srvr")
    expect("Mode: " in text and "Zxid: 0x" in text and "Node count: " in text, text)


def main():
    zk, other = connect(), connect()
    zk.create(ROOT)
    create_modes(zk)
    data(zk)
    children(zk)
    watches(zk, other)
    watch_recipes(zk, other)
    transactions(zk)
    acls(zk)
    pipelined(zk)
    recipes(zk, other)
    reconnect(other)
    expiry(other)
    four_letters(zk)
    other.add_auth("digest", "joe:secret")
    other.delete(ROOT, recursive=True)
    for client in (zk, other):
        client.stop()
        client.close()
    step("done")


main()
