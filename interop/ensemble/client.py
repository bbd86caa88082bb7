"""A ZooKeeper client over asyncio that keeps its session through whatever the servers do, and checks
what every client may rely on: replies in order, zxids that never go back, watch events before the
data they tell of, the session kept. It knows nothing of what is written: see load.py.
"""

import asyncio
import random
import struct
from collections import deque

NOTIFICATION, PING, SET_WATCHES = -1, -2, -8
GET_DATA, SYNC, CLOSE = 4, 9, -11
SESSION_EXPIRED, SESSION_MOVED = -112, -118
STAT = struct.Struct(">qqqqiiiqiiq")


class Lost(Exception):
    """The connection ended; what was asked may or may not have happened."""


class Expired(Exception):
    """The server says that the session is over."""


class Refused(Exception):
    """The server answered with an error code."""

    def __init__(self, code):
        super().__init__(f"error {code}")
        self.code = code


class Reply:
    """An answer: its zxid and its body."""

    def __init__(self, zxid, body):
        self.zxid, self.body = zxid, body

    def data_and_stat(self):
        size = struct.unpack_from(">i", self.body)[0]
        data = None if size < 0 else self.body[4:4 + size]
        return data, STAT.unpack_from(self.body, 4 + max(size, 0))

    def text(self):
        size = struct.unpack_from(">i", self.body)[0]
        return self.body[4:4 + size].decode()


class Session:
    """One session. Of `servers` it takes `first` as long as that one serves it, else any other."""

    def __init__(self, name, servers, timeout_ms=15000, first=None, only=False):
        self.name, self.servers, self.timeout_ms = name, list(servers), timeout_ms
        self.first, self.only = first, only
        self.number, self.password, self.zxid = 0, bytes(16), 0
        self.negotiated_ms = timeout_ms
        self.xid = 0
        self.pending = deque()
        self.up = asyncio.Event()
        self.writer = None
        self.expired = self.closing = False
        self.at = None
        # What went wrong and may not; connections lost are none of it.
        self.wrong = []
        self.connects = 0
        # Path to the version seen when a watch was set, and those whose event came.
        self.watches = {}
        self.events = deque(maxlen=1000)

    async def run(self):
        """Keeps the session until it is closed or over."""
        while not self.closing and not self.expired:
            for server in self.order():
                if self.closing or self.expired:
                    break
                try:
                    await self.connection(server)
                except (OSError, Lost, asyncio.IncompleteReadError, TimeoutError):
                    pass
                finally:
                    self.down()
            await asyncio.sleep(random.uniform(0.005, 0.025))

    def order(self):
        if self.only:
            return [self.first]
        others = [server for server in self.servers if server != self.first]
        random.shuffle(others)
        return ([self.first] if self.first else []) + others

    async def connection(self, server):
        reader, writer = await asyncio.wait_for(asyncio.open_connection(*server), 1)
        try:
            await asyncio.wait_for(self.shake(reader, writer), 4)
            if self.expired:
                return
            self.at, self.writer = server, writer
            self.connects += 1
            self.watch_again()
            self.up.set()
            await self.receive(reader)
        finally:
            writer.close()

    async def shake(self, reader, writer):
        body = struct.pack(">iqiqi", 0, self.zxid, self.timeout_ms, self.number, 16)
        body += self.password + b"\0"
        writer.write(struct.pack(">i", len(body)) + body)
        frame = await self.frame(reader)
        _, timeout, number, size = struct.unpack_from(">iiqi", frame)
        if number == 0 or timeout <= 0:
            if self.number:
                self.expired = True
                self.wrong.append("the session is refused")
                return
            raise Lost
        if self.number not in (0, number):
            self.wrong.append(f"asked for session {self.number:x}, got {number:x}")
        self.number, self.password = number, frame[20:20 + size]
        self.negotiated_ms = timeout

    async def frame(self, reader):
        size = struct.unpack(">i", await reader.readexactly(4))[0]
        return await reader.readexactly(size)

    async def receive(self, reader):
        """Reads until the connection ends, and pings when nothing is said."""
        quiet = self.negotiated_ms / 3000
        silent = 0
        head = asyncio.ensure_future(self.frame(reader))
        try:
            while True:
                done, _ = await asyncio.wait([head], timeout=quiet / 2)
                if not done:
                    silent += quiet / 2
                    if silent > 2 * quiet:
                        raise Lost
                    self.send(PING, 11, b"")
                    continue
                silent = 0
                self.take(head.result())
                if self.closing and not self.pending:
                    return
                head = asyncio.ensure_future(self.frame(reader))
        finally:
            head.cancel()

    def take(self, frame):
        xid, zxid, code = struct.unpack_from(">iqi", frame)
        if xid == NOTIFICATION:
            self.event(frame[16:])
            return
        if zxid > 0:
            if zxid < self.zxid:
                self.wrong.append(f"zxid {zxid:x} after {self.zxid:x} (xid {xid})")
            self.zxid = max(self.zxid, zxid)
        if xid in (PING, SET_WATCHES):
            return
        if not self.pending:
            self.wrong.append(f"a reply to nothing, xid {xid}")
            raise Lost
        expected, done, hook = self.pending.popleft()
        if xid != expected:
            self.wrong.append(f"reply {xid} where {expected} was due")
            raise Lost
        if code == SESSION_EXPIRED:
            self.expired = True
            self.wrong.append("a request says that the session is over")
        if done.done():
            return
        if code == 0:
            reply = Reply(zxid, frame[16:])
            if hook:
                hook(reply)
            done.set_result(reply)
        elif code == SESSION_MOVED:
            # Not done, and the connection is about to be closed.
            done.set_exception(Lost())
        else:
            done.set_exception(Refused(code))

    def event(self, body):
        size = struct.unpack_from(">i", body, 8)[0]
        path = body[12:12 + size].decode()
        self.events.append(path)
        self.watches.pop(path, None)

    def watch_again(self):
        if self.watches:
            paths = [path.encode() for path in self.watches]
            body = struct.pack(">qi", self.zxid, len(paths))
            body += b"".join(struct.pack(">i", len(path)) + path for path in paths)
            self.send(SET_WATCHES, 105, body + bytes(16))

    def send(self, xid, opcode, body):
        self.writer.write(struct.pack(">iii", 8 + len(body), xid, opcode) + body)

    def down(self):
        self.up.clear()
        self.writer = None
        while self.pending:
            _, done, _ = self.pending.popleft()
            if not done.done():
                done.set_exception(Lost())

    def submit(self, opcode, body, hook=None):
        """Sends a request on the connection of now; the future gives a Reply or raises. `hook`
        sees the reply at its place among events and other replies."""
        done = asyncio.get_running_loop().create_future()
        # Nobody has to look at one that was lost.
        done.add_done_callback(lambda future: future.cancelled() or future.exception())
        if self.writer is None:
            done.set_exception(Lost())
            return done
        self.xid = self.xid % 0x7FFFFFFF + 1
        self.pending.append((self.xid, done, hook))
        self.send(self.xid, opcode, body)
        return done

    def go_home(self):
        """Leaves a server that is not the first choice."""
        if self.writer is not None and self.at != self.first:
            self.writer.close()

    async def ready(self):
        """Until it is connected; False when the session is over."""
        while not self.up.is_set():
            if self.expired or self.closing:
                return False
            try:
                await asyncio.wait_for(self.up.wait(), 0.2)
            except TimeoutError:
                pass
        return not self.expired

    async def insist(self, opcode, body):
        """Asks for what may be asked twice until it is answered."""
        while await self.ready():
            try:
                return await self.submit(opcode, body)
            except Lost:
                await asyncio.sleep(0.005)
        raise Expired

    def read_watching(self, path):
        """Reads data and leaves a watch; checks that news do not overtake their event."""
        def seen(reply):
            _, stat = reply.data_and_stat()
            known = self.watches.get(path)
            if known is not None and stat[1] > known:
                self.wrong.append(f"{path} changed at {stat[1]:x}: its data before its event")
            self.watches[path] = stat[1]
        return self.submit(GET_DATA, buffer(path.encode()) + b"\1", seen)

    async def close(self):
        """Ends the session properly."""
        if await self.ready():
            self.closing = True
            try:
                await asyncio.wait_for(asyncio.shield(self.submit(CLOSE, b"")), 5)
            except (Lost, TimeoutError, Refused):
                pass
        self.closing = True


def buffer(data):
    return struct.pack(">i", len(data)) + data
