"""ZooKeeper's client framing by hand, for what no client library would send. Not a client."""

import socket
import struct


class Closed(Exception):
    """The server ended the connection."""


class Connection:
    def __init__(self, address, timeout=10):
        host, port = address.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send_raw(self, data):
        self.sock.sendall(data)

    def send(self, body):
        self.send_raw(struct.pack(">i", len(body)) + body)

    def receive(self):
        """The next frame's body."""
        return self._exactly(struct.unpack(">i", self._exactly(4))[0])

    def receive_to_end(self):
        """Every byte until the server closes, for answers that are not framed."""
        data = b""
        while True:
            chunk = self._some(65536)
            if not chunk:
                return data
            data += chunk

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            chunk = self._some(size - len(data))
            if not chunk:
                raise Closed
            data += chunk
        return data

    def _some(self, size):
        try:
            return self.sock.recv(size)
        except ConnectionResetError:
            return b""


def buffer(data):
    return struct.pack(">i", -1) if data is None else struct.pack(">i", len(data)) + data


def string(text):
    return buffer(None if text is None else text.encode())


def connect_request(session=0, password=bytes(16), timeout=10000, zxid=0, read_only=b"\0"):
    """`read_only` empty gives the old form without that byte."""
    return struct.pack(">iqiq", 0, zxid, timeout, session) + buffer(password) + read_only


def header(xid, opcode):
    return struct.pack(">ii", xid, opcode)


OPEN_ACL = struct.pack(">ii", 1, 31) + string("world") + string("anyone")
