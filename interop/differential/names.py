"""What must differ between two servers, replaced by names that must not.

Session ids are called S1, S2, ... in the order in which they appear, zxids are counted from the start
of the scenario, times are told only as far as both servers must agree, and the scenario's own znode is
`~`. Passwords are not replaced but computed: they are a function of the session id.
"""

import hashlib
import json
import time


def password_of(session):
    """The 16 bytes that go with a session id, as every server of the protocol computes them."""
    seed = ((session ^ 0xB3415C00) ^ 0x5DEECE66D) & ((1 << 48) - 1)
    password = b""
    for _ in range(4):
        seed = (seed * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        password += (seed >> 16).to_bytes(4, "little")
    return password


class Names:
    """The names of one scenario on one server."""

    def __init__(self, root, zxid):
        self.root, self.base = root, zxid
        self.sessions = {}
        self.started_ms = int(time.time() * 1000)

    def zxid(self, value):
        if value in (0, -1):
            return str(value)
        return f"z+{value - self.base}" if value >= self.base else "old"

    def session(self, value):
        if value == 0:
            return "0"
        return self.sessions.setdefault(value, f"S{len(self.sessions) + 1}")

    def owner(self, value):
        return self.sessions.get(value, str(value))

    def times(self, czxid, mzxid, ctime, mtime):
        """Both times as far as they are known: given in this scenario or before it, or never."""
        def age(value, zxid):
            if value == 0 or zxid < self.base:
                return "0" if value == 0 else "old"
            # The clocks are the same machine's; no scenario takes a minute.
            return "now" if abs(value - self.started_ms) < 60_000 else f"wrong {value}"
        order = ctime == mtime if czxid == mzxid else ctime <= mtime
        shown = f"ctime={age(ctime, czxid)} mtime={age(mtime, mzxid)}"
        return shown if order else shown + " out of order"

    def data(self, value):
        if value is None:
            return "null"
        if len(value) > 400:
            return f"<{len(value)} bytes {hashlib.sha1(value).hexdigest()[:12]}>"
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return "hex:" + value.hex()
        if text.startswith("/zookeeper/quota" + self.root):
            text = "/zookeeper/quota~" + text[16 + len(self.root):]
        elif text == self.root or text.startswith(self.root + "/"):
            text = "~" + text[len(self.root):]
        elif text == self.root[1:]:
            text = "~name"
        plain = text and all(" " < letter < "\x7f" and letter not in '"[]{}' for letter in text)
        return text if plain and text != "null" else json.dumps(text)
