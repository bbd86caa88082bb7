"""kazoo's recipes, each with what it promises: recipes.py host:port.

Prints a line per step and ends non-zero at the first surprise. kazoo 2.11 has no persistent watches
and none of the other calls that came after ZooKeeper 3.5.
"""

import concurrent.futures
import datetime
import faulthandler
import logging
import queue
import socket
import struct
import sys
import threading
import time
import uuid

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    CancelledError,
    LockTimeout,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.watchers import PatientChildrenWatch

ADDRESS = sys.argv[1]
# Nothing listens on the reserved port.
NOWHERE = "127.0.0.1:1"
ROOT = f"/kazoo-recipes-{uuid.uuid4().hex[:8]}"
WAIT_S = 20
PROGRAM_MAX_S = 90

# kazoo tells of each broken connection, and this program breaks some.
logging.getLogger("kazoo").setLevel(logging.CRITICAL)


def step(text):
    print("kazoo-recipes:", text, flush=True)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(wanted, got):
    expect(wanted == got, f"wanted {wanted!r}, got {got!r}")


def refused(error, call, *arguments, **named):
    try:
        result = call(*arguments, **named)
    except error:
        return
    raise AssertionError(f"{call.__name__}{arguments} gave {result!r} and not {error.__name__}")


def eventually(check, text):
    """For what another client or thread does by and by."""
    deadline = time.monotonic() + WAIT_S
    while not check():
        expect(time.monotonic() < deadline, f"not in time: {text() if callable(text) else text}")
        time.sleep(0.005)


def started(call, *arguments, **named):
    """Runs it on a thread that does not keep the program alive."""
    future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(call(*arguments, **named))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Inbox(queue.Queue):
    """What listeners were told."""

    def next(self):
        try:
            return self.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError("nothing came") from None

    def until(self, wanted):
        """The next ones up to this one, which must come."""
        before = []
        while (item := self.next()) != wanted:
            before.append(item)
            expect(len(before) < 100, f"no {wanted}, only {before}")


def connect(**named):
    client = KazooClient(
        hosts=ADDRESS,
        timeout=10.0,
        connection_retry={"max_tries": -1, "delay": 0.05, "backoff": 1, "max_delay": 0.1},
        **named,
    )
    client.start(timeout=WAIT_S)
    return client


def disconnect(client):
    """Breaks the connection; the client finds no server until it is told of one again."""
    suspended = threading.Event()

    def told(state):
        if state != KazooState.CONNECTED:
            suspended.set()
            return True

    client.add_listener(told)
    client.set_hosts(NOWHERE)
    client._connection._socket.shutdown(socket.SHUT_RDWR)
    expect(suspended.wait(WAIT_S), "suspended")


def while_cut(client, changes):
    """The changes happen while the client is away; it comes back with the same session."""
    session = client.client_id
    disconnect(client)
    changes()
    client.set_hosts(ADDRESS)
    eventually(lambda: client.connected, "connected again")
    equal(session, client.client_id)


def kill_session(client):
    """Ends the client's session behind its back: all it has is gone, and it gets another."""
    session = client.client_id
    disconnect(client)
    thief = connect(client_id=session)
    equal(session[0], thief.client_id[0])
    thief.stop()
    thief.close()
    client.set_hosts(ADDRESS)
    eventually(
        lambda: client.connected and client.client_id and client.client_id[0] != session[0],
        "another session",
    )


def locks(zk, other):
    step("Lock: one holder, in order, with timeouts and identifiers")
    path = f"{ROOT}/lock"
    mine, theirs = zk.Lock(path, "mine"), other.Lock(path, "theirs")
    expect(mine.acquire(timeout=WAIT_S), "free")
    expect(not theirs.acquire(blocking=False), "taken")
    refused(LockTimeout, theirs.acquire, timeout=0.05)
    waiting = started(theirs.acquire, timeout=WAIT_S)
    eventually(lambda: len(mine.contenders()) == 2, "the second contender queues")
    third = zk.Lock(path, "third")
    behind = started(third.acquire, timeout=WAIT_S)
    eventually(lambda: mine.contenders() == ["mine", "theirs", "third"], mine.contenders)
    mine.release()
    expect(waiting.result(WAIT_S) and not behind.done(), "handed over to the next in line")
    third.cancel()
    refused(CancelledError, behind.result, WAIT_S)
    equal(["theirs"], mine.contenders())
    theirs.release()
    with mine:
        expect(mine.is_acquired, "in a with statement")

    step("Lock: two clients, four threads, one inside at a time; not re-entrant")
    inside, most, turns = [], [], []

    def work(client):
        for _ in range(10):
            with client.Lock(f"{ROOT}/busy"):
                inside.append(1)
                most.append(len(inside))
                turns.append(1)
                inside.pop()

    for each in [started(work, client) for client in (zk, other, zk, other)]:
        each.result(2 * WAIT_S)
    equal((40, 1), (len(turns), max(most)))

    step("Lock: free when the holder's session ends, unless it is not ephemeral")
    path = f"{ROOT}/dead"
    mine, theirs = zk.Lock(path), other.Lock(path)
    lasting = zk.Lock(f"{ROOT}/lasting", "lasting")
    mine.acquire(timeout=WAIT_S)
    lasting.acquire(timeout=WAIT_S, ephemeral=False)
    waiting = started(theirs.acquire, timeout=WAIT_S)
    eventually(lambda: len(theirs.contenders()) == 2, "the waiter queues")
    kill_session(zk)
    expect(waiting.result(WAIT_S), "handed over")
    theirs.release()
    expect(not other.Lock(f"{ROOT}/lasting").acquire(blocking=False), "still held")
    lasting.release()
    expect(other.Lock(f"{ROOT}/lasting").acquire(blocking=False), "released")


def read_write_locks(zk, other):
    step("ReadLock, WriteLock: shared, exclusive, in order")
    path = f"{ROOT}/rw"
    reader, reader2 = zk.ReadLock(path, "r1"), other.ReadLock(path, "r2")
    writer, late = other.WriteLock(path, "w"), zk.ReadLock(path, "late")
    expect(reader.acquire(timeout=WAIT_S) and reader2.acquire(timeout=WAIT_S), "readers share")
    expect(not writer.acquire(blocking=False), "and keep the writer out")
    writing = started(writer.acquire, timeout=WAIT_S)
    eventually(lambda: "w" in reader.contenders(), "the writer queues")
    reading = started(late.acquire, timeout=WAIT_S)
    eventually(lambda: "late" in reader.contenders(), "a reader behind it")
    reader.release()
    expect(not writing.done(), "one reader is left")
    reader2.release()
    expect(writing.result(WAIT_S) and not reading.done(), "the writer, alone")
    writer.release()
    expect(reading.result(WAIT_S), "then the reader")
    late.release()


def semaphores(zk, other):
    step("Semaphore: as many leases as it has, those of the dead too")
    path = f"{ROOT}/semaphore"
    one, two, three = (
        client.Semaphore(path, name, max_leases=2)
        for client, name in ((zk, "one"), (other, "two"), (other, "three"))
    )
    expect(one.acquire(timeout=WAIT_S) and two.acquire(timeout=WAIT_S), "two leases")
    expect(not three.acquire(blocking=False), "no third")
    refused(LockTimeout, three.acquire, timeout=0.05)
    equal(["one", "two"], sorted(three.lease_holders()))
    refused(ValueError, other.Semaphore(path, max_leases=3).acquire)
    waiting = started(three.acquire, timeout=WAIT_S)
    two.release()
    expect(waiting.result(WAIT_S), "the released one")
    waiting = started(two.acquire, timeout=WAIT_S)
    kill_session(zk)
    expect(waiting.result(WAIT_S), "that of the dead session")
    two.release()
    three.release()
    equal([], other.Semaphore(path, max_leases=2).lease_holders())


def elections(zk, other):
    step("Election: the next leads when the leader's session ends, or when it is done")
    path = f"{ROOT}/election"
    told = Inbox()
    done = threading.Event()

    def lead(name):
        told.put(name)
        expect(done.wait(WAIT_S), "told to stop")

    first, second, third = (
        client.Election(path, name)
        for client, name in ((zk, "first"), (other, "second"), (other, "third"))
    )
    leading = started(first.run, lead, "first")
    equal("first", told.next())
    next_one = started(second.run, lead, "second")
    eventually(lambda: len(second.contenders()) == 2, "the second stands")
    cancelled = started(third.run, lead, "third")
    eventually(lambda: third.contenders() == ["first", "second", "third"], "the third stands")
    third.cancel()
    cancelled.result(WAIT_S)
    expect(told.empty(), "one leader")
    kill_session(zk)
    equal("second", told.next())
    done.set()
    next_one.result(WAIT_S)
    leading.result(WAIT_S)
    equal([], second.contenders())


def parties(zk, other):
    step("Party, ShallowParty: members join, leave, and are gone with their session")
    for name, kind in (("party", "Party"), ("shallow", "ShallowParty")):
        one, two = (
            getattr(client, kind)(f"{ROOT}/{name}", member)
            for client, member in ((zk, "one"), (other, "two"))
        )
        one.join()
        two.join()
        equal((["one", "two"], 2), (sorted(one), len(two)))
        two.leave()
        equal(["one"], list(two))
        two.join()
        kill_session(zk)
        equal(["two"], list(two))
        two.leave()
        equal(0, len(one))


def barriers(zk, other):
    step("Barrier: held until it is removed")
    path = f"{ROOT}/barrier"
    barrier, same = zk.Barrier(path), other.Barrier(path)
    expect(same.wait(WAIT_S), "there is none yet")
    barrier.create()
    expect(not same.wait(0.05), "held")
    waiting = started(same.wait, WAIT_S)
    expect(barrier.remove() and waiting.result(WAIT_S), "let go")
    expect(not barrier.remove(), "only once")

    step("DoubleBarrier: all enter together and leave together")
    members = 4
    arrived, leaving = [], []

    def visit(client, name):
        barrier = client.DoubleBarrier(f"{ROOT}/double", members, name)
        arrived.append(name)
        barrier.enter()
        expect(barrier.participating, f"{name} is in")
        equal(members, len(arrived))
        leaving.append(name)
        barrier.leave()
        equal(members, len(leaving))

    visits = [started(visit, (zk, other)[i % 2], f"member {i}") for i in range(members)]
    for each in visits:
        each.result(2 * WAIT_S)


def counters(zk, other):
    step("Counter: no change is lost; floats; the format of Curator's SharedCount")
    path = f"{ROOT}/counter"

    def add(client):
        counter = client.Counter(path)
        for _ in range(20):
            counter += 1

    for each in [started(add, client) for client in (zk, other)]:
        each.result(2 * WAIT_S)
    counter = zk.Counter(path)
    counter -= 5
    equal((35, 40, 35), (counter.value, counter.pre_value, counter.post_value))
    real = zk.Counter(f"{ROOT}/float", default=0.5)
    real += 1.25
    equal(1.75, other.Counter(f"{ROOT}/float", default=0.5).value)
    shared = zk.Counter(f"{ROOT}/shared-count", support_curator=True)
    shared += 7
    equal(struct.pack(">i", 7), other.get(f"{ROOT}/shared-count")[0])


def queues(zk, other):
    step("Queue: by priority, then in order; each item once")
    one, two = zk.Queue(f"{ROOT}/queue"), other.Queue(f"{ROOT}/queue")
    expect(one.get() is None, "empty")
    for value, priority in ((b"c", 100), (b"d", 100), (b"a", 1), (b"e", 999), (b"b", 50)):
        one.put(value, priority)
    equal(5, len(two))
    equal([b"a", b"b", b"c", b"d", b"e", None], [(one, two)[i % 2].get() for i in range(6)])
    for i in range(30):
        one.put(str(i).encode())

    def drain(client):
        taken, mine = [], client.Queue(f"{ROOT}/queue")
        while (value := mine.get()) is not None:
            taken.append(int(value))
        return taken

    drains = [started(drain, client) for client in (zk, other)]
    equal(list(range(30)), sorted(sum((each.result(2 * WAIT_S) for each in drains), [])))

    step("LockingQueue: taken, consumed, released, and free again with a dead session")
    one, two = zk.LockingQueue(f"{ROOT}/locking"), other.LockingQueue(f"{ROOT}/locking")
    expect(one.get(timeout=0.05) is None, "empty")
    waiting = started(two.get, timeout=WAIT_S)
    one.put_all([b"1", b"2", b"3"])
    equal(b"1", waiting.result(WAIT_S))
    equal(b"1", two.get())
    equal(b"2", one.get(timeout=WAIT_S))
    expect(one.holds_lock() and one.consume() and not one.consume(), "consumed once")
    expect(two.release() and not two.holds_lock(), "given back")
    equal(b"1", one.get(timeout=WAIT_S))
    equal(b"3", two.get(timeout=WAIT_S))
    expect(two.consume(), "consumed")
    waiting = started(two.get, timeout=WAIT_S)
    kill_session(zk)
    equal(b"1", waiting.result(WAIT_S))
    two.consume()
    equal(0, len(two))


def partitioners(zk, other):
    step("SetPartitioner: the whole set is shared out, again after a member has left")
    items = [f"item-{i}" for i in range(7)]
    path = f"{ROOT}/partition"
    members = {
        name: client.SetPartitioner(
            path, set(items), identifier=name, time_boundary=0.1, max_reaction_time=0.1
        )
        for name, client in (("a", zk), ("b", other), ("c", other))
    }

    def shared_out(names):
        for name in names:
            if members[name].release:
                members[name].release_set()
        if not all(members[name].acquired for name in names):
            return False
        held = [list(members[name]) for name in names]
        return all(held) and sorted(sum(held, [])) == items

    def states():
        return {name: (each.state, list(each)) for name, each in members.items()}

    eventually(lambda: shared_out("abc"), states)
    members["c"].finish()
    eventually(lambda: shared_out("ab"), states)
    kill_session(zk)
    eventually(lambda: members["a"].failed, states)
    eventually(lambda: shared_out("b"), states)
    equal(items, sorted(members["b"]))
    members["b"].finish()


def data_watches(zk, other):
    step("DataWatch: there, changed, gone, and again, over a cut and a dead session")
    path = f"{ROOT}/data-watch"
    values, events, few = Inbox(), Inbox(), []
    zk.DataWatch(path, lambda value, stat: values.put(value))

    @zk.DataWatch(path)
    def with_event(value, stat, event):
        events.put((value, event and event.type))

    equal((None, (None, None)), (values.next(), events.next()))
    other.create(path, b"1")
    equal((b"1", (b"1", "CREATED")), (values.next(), events.next()))
    zk.DataWatch(path, lambda value, stat: few.append(value) or len(few) < 2)
    other.set(path, b"2")
    equal((b"2", (b"2", "CHANGED")), (values.next(), events.next()))
    eventually(lambda: len(few) == 2, "the third of them sees it too")
    while_cut(zk, lambda: other.set(path, b"3"))
    equal(b"3", values.next())
    kill_session(zk)
    other.set(path, b"4")
    values.until(b"4")
    other.delete(path)
    values.until(None)
    equal([b"1", b"2"], few)


def children_watches(zk, other):
    step("ChildrenWatch: follows over a cut and a dead session; PatientChildrenWatch: waits")
    path = f"{ROOT}/children-watch"
    other.create(path)
    lists = Inbox()
    zk.ChildrenWatch(path, lambda names, event: lists.put(sorted(names)), send_event=True)
    equal([], lists.next())
    other.create(f"{path}/a")
    equal(["a"], lists.next())
    while_cut(zk, lambda: other.create(f"{path}/b"))
    equal(["a", "b"], lists.next())
    kill_session(zk)
    other.delete(f"{path}/a")
    lists.until(["b"])

    patient = PatientChildrenWatch(zk, path, time_boundary=0.1).start()
    names, changed = patient.get(timeout=WAIT_S)
    equal((["b"], False), (names, changed.ready()))
    other.create(f"{path}/c")
    changed.get(timeout=WAIT_S)


def tree_caches(zk, other):
    step("TreeCache: follows, and catches up after a cut and after a dead session")
    path = f"{ROOT}/tree"
    other.create(f"{path}/early/leaf", b"1", makepath=True)
    cache = TreeCache(zk, path)
    told, faults = Inbox(), []
    cache.listen_fault(faults.append)

    def note(event):
        place = event.event_data.path[len(path) :] if event.event_data else None
        told.put((event.event_type, place))

    cache.listen(note)
    cache.start()
    equal(
        {(TreeEvent.NODE_ADDED, place) for place in ("", "/early", "/early/leaf")},
        {told.next() for _ in range(3)},
    )
    equal((TreeEvent.INITIALIZED, None), told.next())
    other.set(f"{path}/early", b"2")
    equal((TreeEvent.NODE_UPDATED, "/early"), told.next())
    equal(b"2", cache.get_data(f"{path}/early").data)

    def changes():
        other.delete(f"{path}/early/leaf")
        other.create(f"{path}/late", b"3")

    def as_it_is(place=path):
        names = other.get_children(place)
        data = cache.get_data(place)
        return (
            data is not None
            and data.data == other.get(place)[0]
            and set(cache.get_children(place, ())) == set(names)
            and all(as_it_is(f"{place}/{name}") for name in names)
        )

    while_cut(zk, changes)
    eventually(as_it_is, "caught up after the cut")
    kill_session(zk)
    other.create(f"{path}/late/leaf", b"4")
    eventually(as_it_is, "caught up with the new session")
    equal((None, []), (cache.get_data(f"{path}/none"), faults))
    cache.close()


def leases(zk, other):
    step("NonBlockingLease, MultiNonBlockingLease: held until they end, renewed by the holder")
    path = f"{ROOT}/lease"
    noon = datetime.datetime(2024, 1, 1, 12)
    hour = datetime.timedelta(hours=1)

    def at(minutes):
        return {"utcnow": lambda: noon + datetime.timedelta(minutes=minutes)}

    expect(zk.NonBlockingLease(path, hour, "one", **at(0)), "free")
    expect(not other.NonBlockingLease(path, hour, "two", **at(59)), "held")
    expect(zk.NonBlockingLease(path, hour, "one", **at(59)), "renewed")
    expect(not other.NonBlockingLease(path, hour, "two", **at(61)), "still held")
    expect(other.NonBlockingLease(path, hour, "two", **at(120)), "ended")
    path = f"{ROOT}/leases"
    expect(zk.MultiNonBlockingLease(2, path, hour, "one", **at(0)), "the first")
    expect(other.MultiNonBlockingLease(2, path, hour, "two", **at(0)), "the second")
    expect(not other.MultiNonBlockingLease(2, path, hour, "three", **at(0)), "no third")


def transactions(zk, other):
    step("transactions: every operation, committed, rolled back, and left by an exception")
    path = f"{ROOT}/transaction"
    with zk.transaction() as good:
        good.create(path, b"0")
        good.create(f"{path}/e", b"e", ephemeral=True)
        good.create(f"{path}/s-", b"s", sequence=True)
        good.create(f"{path}/es-", b"es", ephemeral=True, sequence=True)
        good.set_data(path, b"1", version=0)
        good.check(path, version=1)
        good.delete(f"{path}/e", version=0)
    equal(["es-0000000002", "s-0000000001"], sorted(other.get_children(path)))
    value, stat = other.get(path)
    equal((b"1", 1, 4, 2), (value, stat.version, stat.cversion, stat.numChildren))
    own = other.exists(f"{path}/es-0000000002")
    equal((zk.client_id[0], stat.mzxid), (own.ephemeralOwner, own.czxid))
    bad = zk.transaction()
    bad.set_data(path, b"2")
    bad.delete(f"{path}/none")
    bad.create(f"{path}/never")
    kinds = [type(result) for result in bad.commit()]
    equal([RolledBackError, NoNodeError, RuntimeInconsistency], kinds)
    stale = zk.transaction()
    stale.check(path, version=0)
    equal([BadVersionError], [type(result) for result in stale.commit_async().get(WAIT_S)])
    try:
        with zk.transaction() as dropped:
            dropped.create(f"{path}/dropped")
            raise KeyError
    except KeyError:
        expect(other.exists(f"{path}/dropped") is None, "nothing was sent")
    equal((b"1", stat.mzxid), (other.get(path)[0], other.get(path)[1].mzxid))


def main():
    faulthandler.dump_traceback_later(PROGRAM_MAX_S, exit=True)
    zk, other = connect(), connect()
    zk.create(ROOT)
    families = (
        locks,
        read_write_locks,
        semaphores,
        elections,
        parties,
        barriers,
        counters,
        queues,
        partitioners,
        data_watches,
        children_watches,
        tree_caches,
        leases,
        transactions,
    )
    for family in families:
        family(zk, other)
    for client in (zk, other):
        client.stop()
        client.close()
    last = connect()
    last.delete(ROOT, recursive=True)
    last.stop()
    last.close()
    step("done")


main()
