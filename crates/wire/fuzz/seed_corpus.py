#!/usr/bin/env python3
"""Writes the first inputs of every fuzz target from the golden files of the wire crate.

Run it again when the golden files have changed. Files that a fuzzer found stay as they are.
"""

import pathlib

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "tests" / "golden"
REPLY_HEADER = bytes.fromhex("00000001000000010000000200000000")
TXN_HEADER = bytes.fromhex("01000013ebaf00000000000700000001000000020000018bcfe56800")
OPCODES = {
    "closeSession": -11, "create": 1, "delete": 2, "exists": 3, "getData": 4, "setData": 5,
    "getACL": 6, "setACL": 7, "getChildren": 8, "sync": 9, "ping": 11, "getChildren2": 12,
    "check": 13, "multi": 14, "create2": 15, "reconfig": 16, "checkWatches": 17,
    "removeWatches": 18, "createTTL": 21, "multiRead": 22, "auth": 100, "setWatches": 101,
    "sasl": 102, "getEphemerals": 103, "getAllChildrenNumber": 104, "setWatches2": 105,
    "addWatch": 106, "whoAmI": 107,
}
# Of the election port and of the quorum port; no golden file has them.
VOTES = {
    "notification": "00000000" + "0000000000000003" + "0000000000000000" + "0000000000000001"
        + "0000000000000001" + "00000002" + "0000000a" + b"version=10".hex(),
    "notification-28": "00000001" + "0000000000000003" + "0000000100000002" + "0000000000000001",
    "notification-40": "00000002" + "0000000000000003" + "0000000100000002" + "0000000000000001"
        + "0000000000000001" + "00000001",
    "hello": "ffffffffffff0000" + "0000000000000003" + "0000000f" + b"127.0.0.1:23883".hex(),
    "hello-two": "ffffffffffff0001" + "0000000000000003" + "00000007" + b"a:1|b:2".hex(),
    "hello-3.4": "0000000000000003",
}
PACKETS = {
    "follower-info": "0000000b" + "0000000000000000" + "00000014" + "0000000000000006" + "00010000"
        + "0000000000000000" + "ffffffff",
    "leader-info": "00000011" + "0000000100000000" + "00000004" + "00010000" + "ffffffff",
    "ack-epoch": "00000012" + "0000000000000000" + "00000004" + "00000000" + "ffffffff",
    "diff-commit": ("0000000d" + "0000000100000002" + "ffffffff" + "ffffffff")
        + ("00000004" + "0000000100000002" + "ffffffff" + "ffffffff"),
    "request": "00000001" + "ffffffffffffffff" + "00000014" + "0100000000000001" + "00000001"
        + "00000009" + "00000000" + "00000001" + "00000002" + b"ip".hex() + "00000009"
        + b"127.0.0.1".hex(),
    "ping": "00000005" + "0000000100000002" + "0000000c" + "0100000000000001" + "00002710"
        + "ffffffff",
    "revalidate": "00000006" + "ffffffffffffffff" + "0000000c" + "0100000000000001" + "00002710"
        + "ffffffff",
}
PATHS = [
    "", "/", "/a", "/a/b", "//", "/a//b", "/a/", "a", "/.", "/..", "/...", "/a/../b", "/a b",
    "/\0", "/\x1f", "/\x7f", "/\x9f", "/\xa0", "/\u200b", "/\ud7ff", "/\ue000", "/\uf8ff",
    "/\uf900", "/\uffef", "/\ufff0", "/\uffff", "/\U0001f600",
]


def int_bytes(value):
    return value.to_bytes(4, "big", signed=True)


def save(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"golden-{name}").write_bytes(data)


def records():
    for line in (GOLDEN / "records.txt").read_text().splitlines():
        if not line.startswith("#"):
            kind, name, digits = line.split(" ")
            yield kind, name, b"" if digits == "-" else bytes.fromhex(digits)


def main():
    frames = []
    for kind, name, data in records():
        if kind in ("connectRequest", "connectResponse"):
            save("connect", f"{kind}.{name}", data)
        elif kind == "request":
            body = int_bytes(1) + int_bytes(OPCODES[name.split(".")[0]]) + data
            save("request", name, body)
            frames.append(body)
        elif kind in ("reply", "event", "part"):
            save("reply", f"{kind}.{name}", REPLY_HEADER + data)
        elif kind == "txn":
            number, _, rest = name.partition(".")
            save("txn", rest, TXN_HEADER + int_bytes(int(number)) + data)
        elif kind == "entry":
            save("txn", f"entry.{name}", data)
    small = [frame for frame in frames if len(frame) <= 64]
    for index in range(0, len(small), 4):
        stream = b"".join(int_bytes(len(frame)) + frame for frame in small[index:index + 4])
        save("frame", f"stream.{index}", stream)
    save("frame", "negative", int_bytes(-1))
    save("frame", "empty", int_bytes(0))
    save("frame", "limit", int_bytes(64) + bytes(64))
    save("frame", "beyond", int_bytes(65) + bytes(65))
    save("frame", "word", b"ruok")
    for name, digits in VOTES.items():
        save("vote", name, bytes.fromhex(digits))
    for name, digits in PACKETS.items():
        save("quorum", name, bytes.fromhex(digits))
    for index, path in enumerate(PATHS):
        save("path", f"{index:02}", path.encode())


main()
