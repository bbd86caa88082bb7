"""A load of several sessions that remembers what was acknowledged, and the check afterwards.

Each session writes below a znode of its own, so that the order of its writes can be checked: creates
in batches under way at once, a register that counts up, deletes, pairs in a multi. All sessions share
a counter (compare and set), a queue of sequential znodes, and znodes that others watch. Each keeps an
ephemeral for as long as it lives. A write whose connection was lost is in doubt: it may be found or
not, but not twice, not in the wrong place, and never one that nobody asked for.
"""

import asyncio
import random
import struct
import threading
import time

from client import GET_DATA, SYNC, Expired, Lost, Refused, Session, buffer

CREATE, DELETE, SET_DATA, GET_ACL, CHILDREN, MULTI = 1, 2, 5, 6, 8, 14
OPEN_ACL = struct.pack(">ii", 1, 31) + buffer(b"world") + buffer(b"anyone")
EPHEMERAL, SEQUENCE = 1, 2
NO_NODE, BAD_VERSION, NODE_EXISTS = -101, -103, -110
ROOT = "/load"


def path_of(path):
    return buffer(path.encode())


def create(path, data=b"", flags=0):
    return path_of(path) + buffer(data) + OPEN_ACL + struct.pack(">i", flags)


def set_data(path, data, version=-1):
    return path_of(path) + buffer(data) + struct.pack(">i", version)


def multi(*creates):
    return b"".join(struct.pack(">ibi", CREATE, 0, -1) + body for body in creates) \
        + struct.pack(">ibi", -1, 1, -1)


class Book:
    """What one session asked for and what it was told."""

    def __init__(self):
        # Creates in the order they were sent: [path, data, acknowledged, zxid or 0].
        self.creates = []
        # Paths whose delete was sent: True once it was acknowledged.
        self.deletes = {}
        # The register: last value sent, last value acknowledged, its zxid.
        self.sent = self.acknowledged = 0
        self.pairs = {}
        self.sequential = []
        self.increments = self.doubts = 0


class Worker:
    """One session and what it does."""

    def __init__(self, number, load):
        self.number, self.load = number, load
        self.home = f"{ROOT}/s{number}"
        servers = load.servers
        self.session = Session(f"s{number}", servers, load.timeout_ms,
                               first=servers[number % len(servers)])
        self.book = Book()
        self.rng = random.Random(number)

    def fail(self, text):
        self.load.wrong.append(f"session {self.number}: {text}")

    async def run(self):
        steps = [self.batch] * 4 + [self.count] * 3 + [self.pair, self.queue, self.compare_and_set,
                                                       self.delete, self.watch, self.watch]
        if self.load.strict:
            steps.append(self.look_at_another)
        while not self.load.ending:
            await self.load.gate.wait()
            try:
                if not await self.session.ready():
                    return
                await self.rng.choice(steps)()
            except Lost:
                self.load.losses += 1
                await asyncio.sleep(0.002)
            except Refused as error:
                self.fail(f"refused: {error}")
            except Expired:
                return
            await asyncio.sleep(self.load.pause_s)

    def done(self):
        self.load.done_at = time.monotonic()
        self.load.writes += 1

    async def batch(self):
        """Several creates under way at once."""
        entries, futures = [], []
        for _ in range(self.rng.choice((1, 4, 16))):
            index = len(self.book.creates)
            size = self.rng.choice((10, 100, 1000))
            entry = [f"{self.home}/n{index}", b"%d:" % index + b"x" * size, False, 0]
            self.book.creates.append(entry)
            entries.append(entry)
            futures.append(self.session.submit(CREATE, create(entry[0], entry[1])))
        for entry, result in zip(entries, await asyncio.gather(*futures, return_exceptions=True)):
            if isinstance(result, Refused):
                self.fail(f"create {entry[0]}: {result}")
            elif isinstance(result, Exception):
                continue
            else:
                entry[2:] = [True, result.zxid]
                self.done()
        lost = [result for result in map(future_error, futures) if isinstance(result, Lost)]
        if lost:
            raise lost[0]

    async def count(self):
        """The register counts up; a read of the own session shows at least what was told."""
        self.book.sent += 1
        value = self.book.sent
        try:
            await self.session.submit(SET_DATA, set_data(f"{self.home}/reg", b"%d" % value))
        except Refused as error:
            self.fail(f"set register: {error}")
            return
        self.book.acknowledged = value
        self.done()
        if self.rng.random() < 0.3:
            reply = await self.session.submit(GET_DATA, path_of(f"{self.home}/reg") + b"\0")
            data, _ = reply.data_and_stat()
            if int(data) != value:
                self.fail(f"the register shows {data} after {value}")

    async def pair(self):
        index = len(self.book.pairs)
        paths = [f"{self.home}/p{index}{half}" for half in "ab"]
        self.book.pairs[index] = False
        await self.session.submit(MULTI, multi(create(paths[0], b"1"), create(paths[1], b"2")))
        self.book.pairs[index] = True
        self.done()

    async def queue(self):
        mark = b"%d-%d" % (self.number, len(self.book.sequential))
        entry = [mark, None]
        self.book.sequential.append(entry)
        reply = await self.session.submit(CREATE, create(f"{ROOT}/queue/q-", mark, SEQUENCE))
        entry[1] = reply.text()
        self.done()

    async def compare_and_set(self):
        reply = await self.session.submit(GET_DATA, path_of(f"{ROOT}/counter") + b"\0")
        data, stat = reply.data_and_stat()
        if int(data) != stat[4]:
            self.fail(f"the counter is {data} at version {stat[4]}")
        self.book.doubts += 1
        try:
            await self.session.submit(
                SET_DATA, set_data(f"{ROOT}/counter", b"%d" % (int(data) + 1), stat[4]))
            self.book.increments += 1
            self.done()
        except Refused as error:
            if error.code != BAD_VERSION:
                self.fail(f"compare and set: {error}")
        self.book.doubts -= 1

    async def delete(self):
        known = [entry for entry in self.book.creates[-200:]
                 if entry[2] and entry[0] not in self.book.deletes]
        if not known:
            return
        path = self.rng.choice(known)[0]
        self.book.deletes[path] = False
        try:
            await self.session.submit(DELETE, path_of(path) + struct.pack(">i", -1))
        except Refused as error:
            self.fail(f"delete {path}: {error}")
        self.book.deletes[path] = True
        self.done()

    async def watch(self):
        """Changes a znode that another session watches, and reads another."""
        path = f"{ROOT}/watched/{self.rng.randrange(4)}"
        await self.session.read_watching(path)
        path = f"{ROOT}/watched/{self.rng.randrange(4)}"
        await self.session.submit(SET_DATA, set_data(path, b"%d" % self.number))
        self.done()

    async def look_at_another(self):
        """A read behind a sync shows what anybody had been told before the sync was asked for."""
        other = self.rng.choice(self.load.workers)
        told = other.book.acknowledged
        synced = self.session.submit(SYNC, path_of("/"))
        reply = await self.session.submit(GET_DATA, path_of(f"{other.home}/reg") + b"\0")
        await synced
        data, _ = reply.data_and_stat()
        if int(data) < told:
            self.fail(f"a synced read shows {data} after {other.session.name} was told {told}")


def future_error(future):
    return None if future.cancelled() else future.exception()


class Load:
    """Runs the sessions on a thread of its own; its methods are called from outside of it."""

    def __init__(self, servers, sessions=6, timeout_ms=15000, pause_s=0.04,
                 strict=False):
        # Whether synced reads are checked: a leader that was paused or cut off does not know yet
        # that another one leads, and answers a sync on its own.
        self.strict = strict
        self.servers, self.timeout_ms, self.pause_s = list(servers), timeout_ms, pause_s
        self.wrong = []
        self.losses = self.writes = 0
        self.done_at = time.monotonic()
        self.ending = False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.gate = asyncio.Event()
        self.workers = [Worker(number, self) for number in range(sessions)]
        self.tasks = []

    def call(self, coroutine, seconds=120):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(seconds)

    def start(self):
        self.call(self.prepare())
        self.go()

    async def prepare(self):
        for worker in self.workers:
            self.tasks.append(asyncio.ensure_future(worker.session.run()))
        first = self.workers[0].session
        async def make(session, path, data=b"", flags=0):
            try:
                await session.insist(CREATE, create(path, data, flags))
            except Refused as error:
                if error.code != NODE_EXISTS:
                    raise
        for path in ("", "/queue", "/watched", "/alive", *(f"/watched/{n}" for n in range(4))):
            await make(first, ROOT + path)
        await make(first, f"{ROOT}/counter", b"0")
        for worker in self.workers:
            await make(worker.session, worker.home)
            await make(worker.session, f"{worker.home}/reg", b"0")
            await make(worker.session, f"{ROOT}/alive/s{worker.number}", flags=EPHEMERAL)
        self.running = [asyncio.ensure_future(worker.run()) for worker in self.workers]

    def go(self):
        self.loop.call_soon_threadsafe(self.gate.set)

    def hold(self):
        """No new writes; what is under way is waited for."""
        async def settle():
            self.gate.clear()
            for _ in range(500):
                if not any(worker.session.pending for worker in self.workers):
                    return
                await asyncio.sleep(0.02)
        self.call(settle())

    def progress(self, count=100, seconds=60):
        """Waits for so many more acknowledged writes."""
        goal, deadline = self.writes + count, time.monotonic() + seconds
        while self.writes < goal:
            if time.monotonic() > deadline:
                raise AssertionError(f"no {count} writes within {seconds} s: "
                                     f"{count - goal + self.writes} came")
            self.check_so_far()
            time.sleep(0.01)

    def check_so_far(self):
        wrong = self.wrong + [f"session {worker.number}: {text}" for worker in self.workers
                              for text in worker.session.wrong]
        if wrong:
            raise AssertionError("; ".join(wrong[:5]))

    def finish(self, servers=None):
        """Ends the writing and checks all that was acknowledged, as every server shows it."""
        self.ending = True
        self.go()
        async def all_done():
            await asyncio.gather(*self.running)
        self.call(all_done())
        self.check_so_far()
        for server in servers or self.servers:
            self.call(self.check_at(server))
        self.check_so_far()
        return sum(worker.session.connects - 1 for worker in self.workers)

    def close_sessions(self):
        async def close():
            await asyncio.gather(*(worker.session.close() for worker in self.workers))
        self.call(close(), 30)

    def end(self):
        """Ends the thread, without a word to the servers."""
        async def cancel():
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self.thread.is_alive():
            try:
                self.call(cancel(), 10)
            finally:
                self.loop.call_soon_threadsafe(self.loop.stop)
                self.thread.join(5)

    async def check_at(self, server):
        session = Session("check", [server], self.timeout_ms, first=server, only=True)
        task = asyncio.ensure_future(session.run())
        try:
            await asyncio.wait_for(session.up.wait(), 20)
            await session.insist(SYNC, path_of("/"))
            found = await walk(session, ROOT)
            at = f"at {server[0]}:{server[1]}: "
            for worker in self.workers:
                self.wrong.extend(at + text for text in check_worker(worker, found))
            self.wrong.extend(at + text for text in check_shared(self.workers, found))
            self.wrong.extend(at + text for text in session.wrong)
        finally:
            await session.close()
            task.cancel()


async def walk(session, root, acls=False):
    """Every znode from `root` on as path: (data, stat), and with `acls` the bytes of its list."""
    found, level = {}, [root]
    while level:
        nodes = await asyncio.gather(
            *(session.insist(GET_DATA, path_of(path) + b"\0") for path in level))
        found |= {path: node.data_and_stat() for path, node in zip(level, nodes)}
        parents = [path for path in level if found[path][1][9]]
        listings = await asyncio.gather(
            *(session.insist(CHILDREN, path_of(path) + b"\0") for path in parents))
        if acls:
            # One in ten will do: they are never changed by this load.
            some = sorted(level)[::10]
            lists = await asyncio.gather(
                *(session.insist(GET_ACL, path_of(path)) for path in some))
            for path, reply in zip(some, lists):
                found[path] += (reply.body,)
        level = [("" if path == "/" else path) + "/" + name
                 for path, listing in zip(parents, listings) for name in names_in(listing.body)]
    return found


def names_in(body):
    count, at, names = struct.unpack_from(">i", body)[0], 4, []
    for _ in range(count):
        size = struct.unpack_from(">i", body, at)[0]
        names.append(body[at + 4:at + 4 + size].decode())
        at += 4 + size
    return names


def check_worker(worker, found):
    """What is wrong with what a session wrote."""
    book, home = worker.book, worker.home
    last = 0
    for path, data, acknowledged, zxid in book.creates:
        node = found.get(path)
        if node is None:
            if acknowledged and path not in book.deletes:
                yield f"lost: {path}, acknowledged at {zxid:x}"
            continue
        if book.deletes.get(path):
            yield f"deleted, and still there: {path}"
        if node[0] != data:
            yield f"other data than were written: {path}"
        if node[1][0] <= last:
            yield f"out of order: {path} at {node[1][0]:x} after {last:x}"
        if acknowledged and node[1][0] != zxid:
            yield f"{path} was told to be of {zxid:x} and is of {node[1][0]:x}"
        last = node[1][0]
    value, stat = found.get(f"{home}/reg", (b"-1", None))
    if not book.acknowledged <= int(value) <= book.sent:
        yield f"register {value}, acknowledged {book.acknowledged}, sent {book.sent}"
    for index, acknowledged in book.pairs.items():
        halves = [f"{home}/p{index}{half}" in found for half in "ab"]
        if halves[0] != halves[1] or acknowledged and not halves[0]:
            yield f"half a multi, or a lost one: {home}/p{index} {halves}"
    asked = {entry[0] for entry in book.creates} | {f"{home}/reg"}
    asked |= {f"{home}/p{index}{half}" for index in book.pairs for half in "ab"}
    for path in found:
        if path.startswith(home + "/") and path not in asked:
            yield f"never asked for: {path}"
    alive = found.get(f"{ROOT}/alive/s{worker.number}")
    if alive is None or alive[1][7] != worker.session.number:
        yield f"the ephemeral of session {worker.session.number:x} is not there"


def check_shared(workers, found):
    """What is wrong with the znodes that all sessions write."""
    value, stat = found[f"{ROOT}/counter"]
    least = sum(worker.book.increments for worker in workers)
    most = least + sum(worker.book.doubts for worker in workers)
    if int(value) != stat[4] or not least <= stat[4] <= most:
        yield f"counter {value} at version {stat[4]}, expected {least} to {most}"
    marks = {}
    for path, (data, _) in found.items():
        if path.startswith(f"{ROOT}/queue/"):
            if data in marks:
                yield f"queued twice: {data}"
            marks[data] = path
    for worker in workers:
        for mark, path in worker.book.sequential:
            if path is not None and marks.pop(mark, None) != path:
                yield f"lost from the queue: {path}"
            marks.pop(mark, None)
    for data, path in marks.items():
        yield f"never queued: {path} {data}"
