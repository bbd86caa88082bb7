"""Records what a server answers to requests that no well-meant client sends: host:port.

Prints `# case` lines, `C hex` and `S hex` for frames (without length), `R hex` for bytes sent as
they are, `T text` for an answer that is not framed (escaped), and `E` where the server closed.
"""

import struct
import sys

from frames import OPEN_ACL, Closed, Connection, buffer, connect_request, header, string


class Noted(Connection):
    def say(self, body):
        print("C", body.hex() or "-")
        self.send(body)

    def hear(self):
        try:
            body = self.receive()
        except Closed:
            print("E")
            return None
        print("S", body.hex() or "-")
        return body

    def ask(self, body):
        self.say(body)
        return self.hear()


def session(address):
    connection = Noted(address)
    answer = connection.ask(connect_request())
    return connection, struct.unpack(">q", answer[8:16])[0], answer[20:36]


def case(text):
    print("#", text)


def create(xid, path, opcode=1, flags=0, acl=OPEN_ACL):
    return header(xid, opcode) + string(path) + buffer(b"x") + acl + struct.pack(">i", flags)


def handshakes(address):
    case("old form: no readOnly byte in request and response")
    with Noted(address) as connection:
        connection.ask(connect_request(read_only=b""))
        connection.ask(header(1, -11))
        connection.hear()
    case("null password, any non-zero readOnly byte, timeout below the minimum (ticks of 2000 ms)")
    with Noted(address) as connection:
        connection.ask(connect_request(password=None, read_only=b"\x07", timeout=1))
        connection.ask(header(1, -11))
    case("timeout above the maximum, requests sent right behind the handshake")
    with Noted(address) as connection:
        connection.say(connect_request(timeout=10**9))
        connection.say(create(1, "/raw"))
        connection.say(header(2, 4) + string("/raw") + b"\0")
        for _ in range(3):
            connection.hear()
        connection.ask(header(3, -11))
    case("a session of its own is taken over; the old connection is closed")
    first, number, password = session(address)
    with Noted(address) as second:
        second.ask(connect_request(session=number, password=password))
        first.hear()
        case("wrong password: zeroed response; the rightful connection is closed all the same")
        with Noted(address) as third:
            third.ask(connect_request(session=number, password=bytes(range(16))))
            third.hear()
        second.hear()
    case("unknown session with its right password")
    with Noted(address) as connection:
        known = bytes.fromhex("f22acd4a97e69d6d20a49bb638eadb38")
        connection.ask(connect_request(session=0x0100000000000000, password=known))
        connection.hear()
    case("client has seen a zxid that is ahead of the server")
    with Noted(address) as connection:
        connection.ask(connect_request(zxid=0x7FFFFFFF00000000))


def refusals(address):
    connection, _, _ = session(address)
    with connection:
        case("undecodable bodies: empty getData, create cut short, path length beyond the frame")
        connection.ask(header(1, 4))
        connection.ask(create(2, "/cut")[:20])
        connection.ask(header(3, 4) + struct.pack(">i", 1000) + b"/raw\0")
        case("null path: getData, exists, create, setData")
        connection.ask(header(4, 4) + string(None) + b"\0")
        connection.ask(header(5, 3) + string(None) + b"\0")
        connection.ask(create(6, None))
        connection.ask(header(7, 5) + string(None) + buffer(b"") + struct.pack(">i", -1))
        case("bytes left over after the record are ignored")
        connection.ask(header(8, 4) + string("/raw") + b"\0" + b"left over")
        case("create: invalid paths of each kind")
        for xid, path in enumerate(
            ["foo", "foo/bar", "/a//b", "//a", "/raw/", "/.", "/raw/..", "/nope/.", "/", "",
             "/a\0b", "/raw/\u0001", "/raw/\ue000", "/raw/\ufffe"], start=20):
            connection.ask(create(xid, path))
        case("create: flags 7, flags 5 by opcode 1, null acl, acl count -2, unknown scheme")
        connection.ask(create(40, "/f", flags=7))
        connection.ask(create(41, "/f", flags=5))
        connection.ask(create(42, "/f", acl=struct.pack(">i", -1)))
        connection.ask(create(43, "/f", acl=struct.pack(">i", -2)))
        acl = struct.pack(">ii", 1, 31) + string("nope") + string("x")
        connection.ask(create(44, "/f", acl=acl))
        case("invalid UTF-8 in a path: read, then create")
        bad = buffer(b"/raw\xff")
        connection.ask(header(45, 4) + bad + b"\0")
        connection.ask(header(46, 1) + bad + buffer(b"") + OPEN_ACL + struct.pack(">i", 0))
        case("multi: no terminator; of a read; empty")
        end = struct.pack(">ibi", -1, 1, -1)
        check = struct.pack(">ibi", 13, 0, -1) + string("/raw") + struct.pack(">i", 0)
        read = struct.pack(">ibi", 4, 0, -1) + string("/raw") + b"\0"
        connection.ask(header(47, 14) + check)
        connection.ask(header(48, 14) + read + end)
        connection.ask(header(49, 14) + end)
        case("ping with a positive xid, xid 0, xid min")
        connection.ask(header(77, 11))
        connection.ask(header(0, 3) + string("/raw") + b"\0")
        connection.ask(header(-(2**31), 3) + string("/raw") + b"\0")
        case("sync of a null path")
        connection.ask(header(50, 9) + string(None))
        case("a request behind closeSession gets no reply or SESSIONEXPIRED, either of them")
        connection.say(header(51, -11) + b"")
        connection.say(header(52, 3) + string("/raw") + b"\0")
        connection.hear()
        connection.hear()
    for text, body in [
        ("unknown opcode", header(1, 999)),
        ("opcode 0", header(1, 0)),
        ("check outside multi", header(1, 13) + string("/raw") + struct.pack(">i", 0)),
        ("auth with an unknown scheme",
         header(-4, 100) + struct.pack(">i", 0) + string("nope") + buffer(b"x")),
        ("auth that cannot be decoded", header(-4, 100) + b"\0"),
        ("frame too short for a header", b"\0\0\0"),
        ("empty frame", b""),
    ]:
        case(text + ": then the connection is closed")
        connection, _, _ = session(address)
        with connection:
            if connection.ask(body) is not None:
                connection.hear()


def frames(address):
    for text, data in [
        ("first frame: negative length", struct.pack(">i", -5)),
        ("first frame: one byte above jute.maxbuffer", struct.pack(">i", 0x100000)),
        ("first frame: garbage", b"\x7fELF\x02\x01\x01\0"),
        ("first frame: HTTP", b"GET / HTTP/1.0\r\n\r\n"),
        ("first frame: too short for a connect request", struct.pack(">i", 8) + bytes(8)),
    ]:
        case(text)
        with Noted(address) as connection:
            print("R", data.hex())
            connection.send_raw(data)
            connection.hear()
    case("later frame: negative length")
    connection, _, _ = session(address)
    with connection:
        print("R", struct.pack(">i", -1).hex())
        connection.send_raw(struct.pack(">i", -1))
        connection.hear()
    for word in [b"ruok", b"srvr", b"isro", b"RUOK"]:
        case(f"four letters: {word.decode()}")
        with Noted(address) as connection:
            print("R", word.hex())
            connection.send_raw(word)
            if word == b"RUOK":
                connection.hear()
            else:
                print("T", repr(connection.receive_to_end().decode()))


def main():
    print("# Apache ZooKeeper 3.9.5 answering raw requests; made by interop/capture.")
    print("# C and S: frames without their length; R: bytes as sent; T: unframed text; E: closed.")
    for part in (handshakes, refusals, frames):
        part(sys.argv[1])


main()
