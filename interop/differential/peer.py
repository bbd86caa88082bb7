"""One raw connection of a scenario, and the record of all it receives, in order.

It sends what it is told and waits for as many answers as it sent requests. It decides nothing about
what an answer should be; a server that closes, stays silent or answers too much is recorded as well.
"""

import select
import socket
import struct
import time
from collections import deque

from names import password_of
from records import Malformed, read_reply
from script import opcode_name

# Far more than any answer takes, also on a busy machine.
ANSWER_SECONDS = 30
SYNC_XID, PROBE_XID = 0x7FFFFFF0, -2
# Replies behind which a server may close: unimplemented, auth failed, auth required, session over.
MAY_CLOSE = (-6, -115, -124, -5, -112)
PING, SYNC, CLOSE_SESSION = 11, 9, -11


class Peer:
    def __init__(self, name, address, names, trace):
        self.name, self.address, self.names, self.trace = name, address, names, trace
        self.sock = None
        self.session, self.password = 0, b""
        self.fresh()

    def fresh(self):
        self.queue, self.buffer, self.unsent = deque(), b"", b""
        self.next_xid, self.watching, self.probe_due = 1, False, False
        self.last_zxid, self.closing = 0, set()

    @property
    def is_open(self):
        return self.sock is not None

    def note(self, text):
        self.trace.append(f"{self.name} {text}")

    def open(self):
        self.fresh()
        self.sock = socket.create_connection(self.address, timeout=ANSWER_SECONDS)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def drop(self):
        """Closes, and waits until the server has: it may find out late, and then take another
        connection of the session for the one that ended."""
        if self.sock:
            try:
                self.sock.shutdown(socket.SHUT_WR)
                self.sock.settimeout(2)
                while self.sock.recv(1 << 20):
                    pass
            except OSError:
                pass
            self.sock.close()
        self.sock = None
        self.queue.clear()

    def closed(self):
        self.drop()
        self.note("closed")

    def put(self, data, item=None):
        """Keeps bytes for the next flush; `item` is what their answer will be."""
        self.unsent += data
        if item:
            self.queue.append(item)

    def put_frame(self, body, item=None):
        self.put(struct.pack(">i", len(body)) + body, item)

    def flush(self):
        data, self.unsent = self.unsent, b""
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # Reading finds the end, and what came before it.

    def frame(self, seconds):
        """The next frame, "closed", or None when nothing came in time."""
        deadline = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= 4:
                size = struct.unpack_from(">i", self.buffer)[0]
                if len(self.buffer) >= 4 + max(size, 0):
                    body = self.buffer[4 : 4 + max(size, 0)]
                    self.buffer = self.buffer[4 + max(size, 0):]
                    return body
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self.sock], [], [], left)[0]:
                return None
            try:
                data = self.sock.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                return "closed"
            self.buffer += data

    def drain(self, seconds=ANSWER_SECONDS):
        """Receives until everything asked is answered, or the connection is over."""
        while self.is_open and self.queue:
            body = self.frame(seconds)
            if body == "closed":
                self.closed()
            elif body is None:
                self.note(f"no answer to {self.queue.popleft()[1]}")
                return
            else:
                self.take(body)

    def take_waiting(self):
        """Receives what is there without waiting."""
        while self.is_open:
            body = self.frame(0)
            if body is None:
                return
            if body == "closed":
                self.closed()
            else:
                self.take(body)

    def take(self, body):
        if self.queue and self.queue[0][0] == "connect":
            self.queue.popleft()
            return self.take_connected(body)
        if len(body) < 16:
            return self.note(f"short frame {body.hex()}")
        xid, zxid, err = struct.unpack_from(">iqi", body)
        if xid == -1:
            text = read_reply(body, None, self.names)[3]
            return self.trace.append((self.name, zxid, f"{self.name} event {text}"))
        item = next((i for i in self.queue if i[0] == xid), None)
        item = item or next((i for i in self.queue if i[0] == "raw"), None)
        if item is None:
            return self.note(f"unasked #{xid} {read_reply(body, None, self.names)[3]}")
        self.queue.remove(item)
        self.last_zxid = max(self.last_zxid, zxid)
        kind, label, opcode, quiet = item
        if err in MAY_CLOSE:
            self.probe_due = True
        if opcode == CLOSE_SESSION and err == 0:
            self.closing.add(zxid)
            self.probe_due = True
            self.session = 0
        if not quiet:
            self.note(f"#{xid} {label} " + read_reply(body, opcode, self.names)[3])

    def take_connected(self, body):
        try:
            version, timeout, session, size = struct.unpack_from(">iiqi", body)
            password, rest = body[20 : 20 + size], body[20 + size:]
        except struct.error:
            return self.note(f"not a connect response: {body.hex()}")
        if session:
            self.session, self.password = session, password
            shown = "right" if password == password_of(session) else password.hex()
        else:
            shown = "zeros" if password == bytes(16) else password.hex()
            self.probe_due = True
        self.note(f"connected version={version} timeout={timeout} "
                  f"session={self.names.session(session)} password={shown} "
                  f"readOnly={rest.hex() or 'absent'}")

    def ask(self, xid, opcode, body, quiet=False, sent_opcode=None):
        reply_xid = -2 if opcode == PING else xid
        label = opcode_name(opcode if sent_opcode is None else sent_opcode)
        self.put_frame(struct.pack(">ii", xid, opcode) + body, (reply_xid, label, opcode, quiet))

    def settle(self):
        """Waits until everything that the server has for this connection has come."""
        self.take_waiting()
        if self.is_open and self.session:
            self.ask(SYNC_XID, SYNC, struct.pack(">i", 1) + b"/", quiet=True)
            self.flush()
            self.drain()

    def probe(self):
        """Finds out whether the server has closed, after answers that may go with that."""
        self.probe_due = False
        self.take_waiting()
        if not self.is_open:
            return
        if self.session == 0:
            body = self.frame(ANSWER_SECONDS)
            if body == "closed":
                return self.closed()
            return self.note("left open" if body is None else f"more: {body.hex()}")
        # Apache may still write the first answer together with what it says before it closes.
        for _ in range(2):
            if self.is_open:
                self.ask(PROBE_XID, PING, b"", quiet=True)
                self.flush()
                self.drain()

    def wait_closed(self, seconds):
        while self.is_open:
            body = self.frame(seconds)
            if body is None:
                return self.note("still open")
            if body == "closed":
                self.closed()
            else:
                self.take(body)

    def close_session(self):
        """Ends the session without a record, at the end of a scenario."""
        if self.session == 0:
            return self.drop()
        try:
            if not self.is_open:
                self.open()
                self.put_frame(struct.pack(">iqiqi", 0, 0, 10000, self.session, 16)
                               + self.password + b"\0")
            self.put_frame(struct.pack(">ii", 1, CLOSE_SESSION))
            self.flush()
            while self.frame(ANSWER_SECONDS) not in ("closed", None):
                pass
        except (OSError, Malformed):
            pass
        self.drop()
