"""Plays a scenario against one server and gives what each step received.

Steps are strictly one after the other: the answers of a step have come before the next step is sent,
and connections with watches are synced behind each step that may have fired one. So the record does
not depend on how quick the server is. Each scenario has a znode and sessions of its own, which are
removed behind it.
"""

import re
import socket
import struct
import time

from names import Names, password_of
from peer import ANSWER_SECONDS, Peer
from records import Malformed, write_body, write_string
from script import Words, split_words

SUPER = ("super", "admin")
READS = {"exists", "getData", "getACL", "getChildren", "getChildren2", "ping", "checkWatches",
         "getEphemerals", "getAllChildrenNumber", "whoAmI", "multiRead", "addWatch", "auth", "sync"}
# What ends a connection or may be answered before earlier requests waits for their answers.
OVERTAKING = {"auth", "sasl", "op", "check", "connect", "disconnect"}
WATCHING = {"exists", "getData", "getChildren", "getChildren2", "addWatch", "setWatches",
            "setWatches2"}


class Admin:
    """A superuser's connection that makes and removes the znode of one scenario."""

    def __init__(self, address, root):
        names = Names(root, 0)
        self.peer = Peer("admin", address, names, [])
        self.root = root
        # A limit of connections may still count those of the scenario before.
        for _ in range(20):
            if self.connect() or self.connect(authenticated=False):
                return
            time.sleep(0.05)
        raise OSError("no session for the administrator")

    def connect(self, authenticated=True):
        self.peer.open()
        self.peer.put_frame(struct.pack(">iqiqi", 0, 0, 40000, 0, 16) + bytes(16) + b"\0",
                            ("connect", "connect"))
        if authenticated:
            auth = {"type": 0, "scheme": "digest", "auth": ":".join(SUPER).encode()}
            self.peer.put_frame(struct.pack(">ii", -4, 100) + write_body("auth", auth),
                                (-4, "auth", 100, True))
        self.peer.flush()
        self.peer.drain()
        if self.peer.is_open and self.peer.probe_due:
            self.peer.probe()
        return self.peer.is_open and self.peer.session

    def ask(self, opcode, body):
        """(zxid, err, body) of the answer."""
        self.peer.put_frame(struct.pack(">ii", 1, opcode) + body)
        self.peer.flush()
        frame = self.peer.frame(ANSWER_SECONDS)
        if not isinstance(frame, bytes):
            raise OSError("the administrator's connection is gone")
        _, zxid, err = struct.unpack_from(">iqi", frame)
        return zxid, err, frame[16:]

    def make_root(self):
        fields = {"path": self.root, "data": b"", "acl": [(31, "world", "anyone")], "flags": 0}
        zxid, err, _ = self.ask(1, write_body("create", fields))
        if err not in (0, -110):
            raise OSError(f"cannot create {self.root}: {err}")
        return zxid

    def remove(self, path, itself=True):
        _, err, body = self.ask(8, write_string(path) + b"\0")
        if err:
            return
        at = 4
        for _ in range(struct.unpack_from(">i", body)[0]):
            size = struct.unpack_from(">i", body, at)[0]
            name = body[at + 4 : at + 4 + size].decode()
            at += 4 + size
            if path != "/" or name != "zookeeper":
                self.remove(f"{path.rstrip('/')}/{name}")
        if itself:
            self.ask(2, write_string(path) + struct.pack(">i", -1))

    def clean(self):
        self.remove("/zookeeper/quota", itself=False)
        self.remove("/", itself=False)
        self.peer.close_session()


class Play:
    """One run of one scenario."""

    def __init__(self, server, root):
        self.server, self.address = server, server.address
        self.admin = Admin(self.address, root)
        self.names = Names(root, self.admin.make_root())
        self.words = Words(self.names)
        self.peers, self.trace, self.expiring = {}, [], False
        # Sessions whose connections went on with another one; they must not expire later.
        self.left = []
        self.asked_for = 0

    def run(self, scenario):
        """The record of each step: a list of lines."""
        records = []
        for step in scenario.steps:
            try:
                self.step(step.line)
            except Malformed as error:
                raise Malformed(f"{scenario.file}:{step.number}: {step.line}: {error}") from error
            records.append(self.lines())
        return records

    def finish(self):
        for peer in self.peers.values():
            peer.close_session()
            # Once more on a new connection, should the server have closed that one before.
            self.left.append((peer.session, peer.password))
        for session, password in set(self.left):
            peer = Peer("left", self.address, self.names, [])
            peer.session, peer.password = session, password
            peer.close_session()
        self.admin.clean()

    def peer(self, name):
        if name not in self.peers:
            self.peers[name] = Peer(name, self.address, self.names, self.trace)
        return self.peers[name]

    def lines(self):
        """The trace since the last step; events of one closed session have no order."""
        closing = set().union(*(peer.closing for peer in self.peers.values()))
        lines, run, key = [], [], None
        for entry in self.trace + [""]:
            here = entry[:2] if isinstance(entry, tuple) else None
            if here and not (self.expiring or here[1] in closing):
                here = None
            if run and here != key:
                lines += sorted(run)
                run = []
            key = here
            if here:
                run.append(entry[2])
            elif entry:
                lines.append(entry[2] if isinstance(entry, tuple) else entry)
        self.trace.clear()
        return lines

    def step(self, line):
        words = split_words(line)
        name, action, rest = words[0], words[1], words[2:]
        waits = not name.endswith("+")
        peer = self.peer(name.rstrip("+"))
        self.words.last_zxid = max([self.names.base] + [p.last_zxid for p in self.peers.values()])
        self.expiring = action in ("sleep", "waitclosed")
        if action in OVERTAKING and peer.is_open:
            peer.flush()
            peer.drain()
        perform = getattr(self, "do_" + action.replace("4lw", "word"), None)
        if perform:
            perform(peer, rest)
        else:
            self.request(peer, [action] + rest)
        if not waits:
            return
        if peer.is_open and action not in ("sleep", "waitclosed"):
            peer.flush()
            peer.drain()
            if peer.probe_due and peer.is_open:
                peer.probe()
        # What was sent ahead may have been a write, whatever this step is.
        if action not in READS or self.wrote_ahead:
            self.settle(peer, action)
        self.wrote_ahead = False

    wrote_ahead = False

    def settle(self, actor, action):
        for name in sorted(self.peers):
            peer = self.peers[name]
            related = peer.watching or (action == "connect" and peer.session == self.asked_for)
            # What one member did reaches the others by and by.
            related = related or (len(self.server.members) > 1 and action != "sleep")
            if peer is not actor or action == "sleep":
                if peer.is_open and related:
                    peer.settle()

    def request(self, peer, words):
        if not peer.is_open:
            return peer.note("not connected")
        name, opcode, values, options = self.words.request(words)
        body = write_body(name, values)
        if "cut" in options:
            body = body[: int(options["cut"])]
        for flip in filter(None, options.get("flip", "").split(",")):
            at, _, mask = flip.partition(":")
            if body:
                at = int(at) % len(body)
                body = body[:at] + bytes([body[at] ^ int(mask)]) + body[at + 1:]
        body += bytes.fromhex(options.get("extra", ""))
        if "xid" in options:
            xid = int(options["xid"], 0)
        elif name in ("auth", "ping", "setWatches", "setWatches2"):
            xid = {"auth": -4, "ping": -2}.get(name, -8)
        else:
            xid, peer.next_xid = peer.next_xid, peer.next_xid + 1
        peer.watching = peer.watching or name in WATCHING
        self.wrote_ahead = self.wrote_ahead or name not in READS
        peer.ask(xid, opcode, body)

    def do_connect(self, peer, words):
        given = dict(word.partition("=")[::2] for word in words)
        peer.drop()
        self.left.append((peer.session, peer.password))
        peer.address = self.server.address_of(given["at"]) if "at" in given else self.address
        session, password = 0, bytes(16)
        if "session" in given:
            other = self.peer(given["session"])
            session, password = other.session, other.password
        if "id" in given:
            session = int(given["id"], 0)
            password = password_of(session)
        word = given.get("password", "right")
        if word == "wrong":
            password = bytes(range(16))
        elif word != "right":
            password = self.words.buffer(word)
        self.asked_for = session
        zxid = self.words.zxid(given.get("lastZxid", "0"))
        body = struct.pack(">iqiq", int(given.get("version", "0")), zxid,
                           int(given.get("timeout", "10000")), session)
        body += struct.pack(">i", -1 if password is None else len(password)) + (password or b"")
        if "old" not in given:
            body += bytes([int(given.get("readOnly", "0"))])
        if not self.open(peer):
            return
        peer.put_frame(body, ("connect", "connect"))

    def open(self, peer):
        try:
            peer.open()
            return True
        except (BrokenPipeError, ConnectionResetError):
            # The server accepted it and ended it before this end looked.
            peer.note("closed")
            return False
        except OSError as error:
            peer.note(f"cannot connect: {type(error).__name__}")
            return False

    def do_disconnect(self, peer, _):
        if peer.is_open:
            peer.take_waiting()
        peer.drop()

    def do_restart(self, _, words):
        """Kills the server and starts it again, with the given settings beside the old ones."""
        self.admin.peer.close_session()
        for peer in self.peers.values():
            peer.take_waiting() if peer.is_open else None
        self.server.restart(words)
        for peer in self.peers.values():
            peer.drop()
        if not self.admin.connect():
            raise OSError("no session after the restart")

    def do_isolate(self, peer, words):
        """Kills all servers of an ensemble but the one of this role, until `restart`."""
        self.server.isolate(words[0])
        for other in self.peers.values():
            if other.is_open and other is not peer:
                other.drop()

    def do_sleep(self, peer, words):
        time.sleep(int(words[0]) / 1000)

    def do_waitclosed(self, peer, words):
        """Waits for the end of the connection; `within=400..900` also holds the time against that."""
        given = dict(word.partition("=")[::2] for word in words)
        low, _, high = given.get("within", "0..8000").partition("..")
        started = time.monotonic()
        peer.wait_closed(8)
        took = (time.monotonic() - started) * 1000
        if not int(low) <= took <= int(high):
            peer.note(f"after {took:.0f} ms")

    def do_word(self, peer, words):
        """A four-letter word on a connection of its own; `numbers` hides digits."""
        with socket.create_connection(self.address, timeout=ANSWER_SECONDS) as sock:
            sock.sendall(bytes.fromhex(words[0][4:]) if words[0].startswith("hex:")
                         else words[0].encode())
            text = b""
            try:
                while data := sock.recv(65536):
                    text += data
            except OSError as error:
                text += type(error).__name__.encode()
        shown = self.text(text.decode(errors="replace"), "numbers" in words)
        peer.note(f"{words[0]}: {shown}")

    def text(self, text, hide_numbers):
        for session, name in self.names.sessions.items():
            text = text.replace(f"0x{session:x}", name)
        text = text.replace(self.names.root, "~")
        if hide_numbers:
            text = re.sub(r"0x[0-9a-f]+|\d+", "N", text)
        return repr(text)

    def do_bytes(self, peer, words):
        if peer.is_open or self.open(peer):
            peer.put(b"".join(map(self.words.buffer, words)), ("raw", "bytes", None, False))

    def do_frame(self, peer, words):
        first = not peer.is_open
        if peer.is_open or self.open(peer):
            item = ("connect", "connect") if first else ("raw", "frame", None, False)
            peer.put_frame(b"".join(map(self.words.buffer, words)), item)

    def do_op(self, peer, words):
        """An opcode that may not exist, with a body of bytes."""
        if not peer.is_open:
            return peer.note("not connected")
        xid, peer.next_xid = peer.next_xid, peer.next_xid + 1
        body = b"".join(map(self.words.buffer, words[1:]))
        self.wrote_ahead = True
        peer.ask(xid, int(words[0]), body)


def play(server, scenario, root):
    """The records of a scenario on a server; the last line tells of a server that is gone."""
    run = None
    try:
        run = Play(server, root)
        records = run.run(scenario)
        run.finish()
        return records
    except OSError as error:
        records = [run.lines()] if run else []
        return records + [[f"the server is gone: {error}"]]

