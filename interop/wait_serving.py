"""Waits until a ZooKeeper server answers a session handshake: host:port [pid] [seconds].

An open port is not enough: a server that is still loading accepts and closes. The session is closed
again at once. With a pid, the wait ends early when that process is gone.
"""

import os
import struct
import sys
import time

from frames import Closed, Connection, connect_request, header


def serving(address):
    with Connection(address, timeout=2) as connection:
        connection.send(connect_request())
        session = struct.unpack(">q", connection.receive()[8:16])[0]
        connection.send(header(1, -11))
        connection.receive()
        return session != 0


def main():
    address = sys.argv[1]
    pid = int(sys.argv[2]) if len(sys.argv) > 2 else None
    deadline = time.monotonic() + float(sys.argv[3] if len(sys.argv) > 3 else 60)
    while time.monotonic() < deadline:
        try:
            if serving(address):
                return 0
        except (OSError, Closed):
            pass
        if pid is not None:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                print(f"process {pid} ended before it served {address}", file=sys.stderr)
                return 1
        time.sleep(0.05)
    print(f"nothing serves {address}", file=sys.stderr)
    return 1


sys.exit(main())
