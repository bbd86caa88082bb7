"""The client protocol's records by name: requests from fields to bytes, replies from bytes to fields.

A table of opcodes and fields, and one writer and one reader per field type. It checks nothing, so that
wrong requests can be written too. It knows no connection; what may differ between two servers is
taken out by the `Names` that the reader is given (names.py).
"""

import struct

# name: (opcode, fields of the request, fields of the reply). A field is name:type or name:type=default.
OPERATIONS = {
    "create": (1, "path:string data:buffer=x acl:acls=open flags:int=0", "path:string"),
    "create2": (15, "path:string data:buffer=x acl:acls=open flags:int=0", "path:string stat:stat"),
    "createContainer": (
        19, "path:string data:buffer=x acl:acls=open flags:int=4", "path:string stat:stat"),
    "createTTL": (
        21, "path:string data:buffer=x acl:acls=open flags:int=5 ttl:long=1000",
        "path:string stat:stat"),
    "delete": (2, "path:string version:int=-1", ""),
    "deleteContainer": (20, "path:string", ""),
    "exists": (3, "path:string watch:bool=0", "stat:stat"),
    "getData": (4, "path:string watch:bool=0", "data:buffer stat:stat"),
    "setData": (5, "path:string data:buffer=y version:int=-1", "stat:stat"),
    "getACL": (6, "path:string", "acl:acls stat:stat"),
    "setACL": (7, "path:string acl:acls=open version:int=-1", "stat:stat"),
    "getChildren": (8, "path:string watch:bool=0", "children:set"),
    "getChildren2": (12, "path:string watch:bool=0", "children:set stat:stat"),
    "sync": (9, "path:string", "path:string"),
    "ping": (11, "", ""),
    "check": (13, "path:string version:int=-1", ""),
    "multi": (14, "ops:ops", "results:results"),
    "multiRead": (22, "ops:ops", "results:results"),
    "reconfig": (
        16, "joining:string=null leaving:string=null members:string=null config:long=-1",
        "data:buffer stat:stat"),
    "checkWatches": (17, "path:string type:int=3", ""),
    "removeWatches": (18, "path:string type:int=3", ""),
    "setWatches": (101, "zxid:zxid=0 data:strings=[] exist:strings=[] child:strings=[]", ""),
    "setWatches2": (
        105, "zxid:zxid=0 data:strings=[] exist:strings=[] child:strings=[] persistent:strings=[] "
        "recursive:strings=[]", ""),
    "addWatch": (106, "path:string mode:int=0", "err:int"),
    "getEphemerals": (103, "path:string=/", "ephemerals:set"),
    "getAllChildrenNumber": (104, "path:string", "count:int"),
    "whoAmI": (107, "", "ids:ids"),
    "auth": (100, "scheme:string auth:buffer type:int=0", ""),
    "sasl": (102, "token:buffer", "token:buffer"),
    "createSession": (-10, "timeout:int=10000", "raw:rest"),
    "closeSession": (-11, "", ""),
}
# `type` is first on the wire, but nobody wants to write it.
WIRE_ORDER = {"auth": ("type", "scheme", "auth")}
NAME_OF = {opcode: name for name, (opcode, _, _) in OPERATIONS.items()}
STAT = struct.Struct(">qqqqiiiqiiq")
EVENTS = {1: "NodeCreated", 2: "NodeDeleted", 3: "NodeDataChanged", 4: "NodeChildrenChanged"}
MULTI_READ = 22
MULTI_END = struct.pack(">ibi", -1, 1, -1)


class Malformed(Exception):
    """Bytes that are no such record, or a request text without meaning."""


def fields_of(name):
    """[(field, type, default or None)] of a request."""
    parts = []
    for item in OPERATIONS[name][1].split():
        field, _, kind = item.partition(":")
        kind, given, default = kind.partition("=")
        parts.append((field, kind, default if given else None))
    return parts


def write_buffer(value):
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def write_string(value):
    return write_buffer(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value)


def write_acls(value):
    """A list of (perms, scheme, id), None, or a count below zero."""
    if value is None or isinstance(value, int):
        return struct.pack(">i", -1 if value is None else value)
    return struct.pack(">i", len(value)) + b"".join(
        struct.pack(">i", perms) + write_string(scheme) + write_string(name)
        for perms, scheme, name in value)


def write_strings(value):
    if value is None or isinstance(value, int):
        return struct.pack(">i", -1 if value is None else value)
    return struct.pack(">i", len(value)) + b"".join(map(write_string, value))


WRITERS = {
    "string": write_string,
    "buffer": write_buffer,
    "acls": write_acls,
    "strings": write_strings,
    "bool": lambda value: struct.pack(">B", value & 0xFF),
    "int": lambda value: struct.pack(">i", value),
    "long": lambda value: struct.pack(">q", value),
    "zxid": lambda value: struct.pack(">q", value),
}


def write_body(name, values):
    """The body of a request whose fields are in `values`."""
    kinds = {field: kind for field, kind, _ in fields_of(name)}
    if "ops" in kinds:
        return b"".join(
            struct.pack(">ibi", opcode, 0, -1) + write_body(op, fields) + extra
            for opcode, op, fields, extra in values["ops"]) + values.get("end", MULTI_END)
    order = WIRE_ORDER.get(name, tuple(kinds))
    return b"".join(WRITERS[kinds[field]](values[field]) for field in order)


class Reader:
    """Reads a reply to text; `names` replaces what may differ."""

    def __init__(self, data, names):
        self.data, self.at, self.names = data, 0, names

    def take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Malformed
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def raw_buffer(self):
        size = self.number(">i")
        return None if size == -1 else self.take(size)

    def buffer(self):
        return self.names.data(self.raw_buffer())

    string = buffer

    def int(self):
        return str(self.number(">i"))

    def rest(self):
        return self.take(len(self.data) - self.at).hex() or "-"

    def vector(self, item):
        count = self.number(">i")
        return None if count == -1 else [item() for _ in range(count)]

    def set(self):
        items = self.vector(self.string)
        return "null" if items is None else "{" + " ".join(sorted(items)) + "}"

    def acls(self):
        items = self.vector(lambda: f"{self.int()}/{self.string()}/{self.string()}")
        return "null" if items is None else "[" + " ".join(items) + "]"

    def ids(self):
        items = self.vector(lambda: f"{self.string()}/{self.string()}")
        return "null" if items is None else "{" + " ".join(sorted(items)) + "}"

    def stat(self):
        (czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, length, children,
         pzxid) = STAT.unpack(self.take(STAT.size))
        zxid = self.names.zxid
        times = self.names.times(czxid, mzxid, ctime, mtime)
        return (f"(c={zxid(czxid)} m={zxid(mzxid)} p={zxid(pzxid)} {times} v={version} "
                f"cv={cversion} av={aversion} owner={self.names.owner(owner)} len={length} "
                f"kids={children})")

    def results(self):
        entries = []
        while True:
            kind, done, err = struct.unpack(">ibi", self.take(9))
            if done:
                entries.append(f"end {kind} {err}")
                return "[" + "; ".join(entries) + "]"
            body = self.int() if kind == -1 else self.body(kind)
            entries.append(f"type={kind} err={err} {body}".rstrip())

    def body(self, opcode):
        """The reply body of an operation as `field=value ...`."""
        if opcode not in NAME_OF:
            raise Malformed
        parts = []
        for item in OPERATIONS[NAME_OF[opcode]][2].split():
            field, _, kind = item.partition(":")
            parts.append(f"{field}={getattr(self, kind)()}")
        return " ".join(parts)

    def event(self):
        kind, state = self.number(">i"), self.number(">i")
        return f"{EVENTS.get(kind, kind)} state={state} {self.string()}"


def read_reply(data, opcode, names):
    """(xid, err, zxid, text) of a frame; the text has everything but the xid."""
    reader = Reader(data, names)
    xid, zxid, err = reader.number(">i"), reader.number(">q"), reader.number(">i")
    text = f"zxid={names.zxid(zxid)} err={err}"
    start = reader.at
    try:
        if xid == -1:
            text = f"zxid={names.zxid(zxid)} " + reader.event()
        elif opcode in NAME_OF and (err == 0 or (opcode == MULTI_READ and reader.at < len(data))):
            text += " " + reader.body(opcode)
    except Malformed:
        reader.at = start
        text += " malformed"
    if reader.at < len(data):
        text += " rest=" + reader.rest()
    return xid, err, zxid, text.rstrip()
