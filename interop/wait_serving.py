"""Waits until a ZooKeeper server answers a session handshake: host:port [pid] [seconds].

An open port is not enough: a server that is still loading accepts and closes. The session is closed
again at once. With a pid, the wait ends early when that process is gone.
"""

import os
import socket
import struct
import sys
import time


def handshake(host, port):
    with socket.create_connection((host, port), timeout=2) as sock:
        body = struct.pack(">iqiqi", 0, 0, 10000, 0, 16) + bytes(16) + b"\0"
        sock.sendall(struct.pack(">i", len(body)) + body)
        head = receive(sock, 4)
        reply = receive(sock, struct.unpack(">i", head)[0])
        session = struct.unpack(">q", reply[8:16])[0]
        close = struct.pack(">ii", 1, -11)
        sock.sendall(struct.pack(">i", len(close)) + close)
        receive(sock, 20)
        return session


def receive(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise ConnectionError("closed")
        data += chunk
    return data


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    pid = int(sys.argv[2]) if len(sys.argv) > 2 else None
    deadline = time.monotonic() + float(sys.argv[3] if len(sys.argv) > 3 else 60)
    while time.monotonic() < deadline:
        try:
            if handshake(host, int(port)) != 0:
                return 0
        except (OSError, struct.error):
            pass
        if pid is not None:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                print(f"process {pid} ended before it served {sys.argv[1]}", file=sys.stderr)
                return 1
        time.sleep(0.05)
    print(f"nothing serves {sys.argv[1]}", file=sys.stderr)
    return 1


sys.exit(main())
