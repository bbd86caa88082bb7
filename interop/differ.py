"""Compares two recordings of the same requests: differ.py apache-dir tested-dir scenario ...

What may differ is taken out first: session ids and passwords, times, the order of children, the
numbers in four-letter texts. A case that says "either" has more than one right answer. Differences
in cases that differ.known lists are shown and not counted.
"""

import re
import struct
import sys
import time
from pathlib import Path

# The upper five bytes of the time in milliseconds, which stand still for hours.
NOW = f"{int(time.time() * 1000):016x}"[:10]
TIME = re.compile(NOW + "[0-9a-f]{6}")
NAME = re.compile("<[^>]*>")
NUMBER = re.compile(r"0x[0-9a-f]+|[-\w.:]*\d[-\w.:]*")
GET_CHILDREN = (8, 12)


def sorted_children(body):
    count = struct.unpack_from(">i", body, 16)[0]
    offset, names = 20, []
    for _ in range(count):
        size = struct.unpack_from(">i", body, offset)[0]
        names.append(body[offset : offset + 4 + size])
        offset += 4 + size
    return body[:20] + b"".join(sorted(names)) + body[offset:]


class Recording:
    """Lines of (case, connection, answer); requests are kept only to understand the answers."""

    def __init__(self, path):
        self.names = {}
        self.asked = {}
        self.answers = []
        case, connecting = "", False
        for line in path.read_text().splitlines():
            kind, _, rest = line.partition(" ")
            if kind == "#":
                case = rest
            elif kind == "C":
                connecting = self.request(rest) or connecting
            elif kind == "S":
                self.answers.append((case, "S " + self.answer(rest, connecting)))
                connecting = False
            elif kind == "T":
                self.answers.append((case, "T " + NUMBER.sub("N", rest)))
            elif kind == "E":
                self.answers.append((case, "closed"))

    def request(self, text):
        """True for a connect request, which has a password of 16 bytes or none at the end."""
        if text.startswith("00000000") and len(text) in (56, 58, 88, 90):
            return True
        if len(text) >= 16:
            self.asked[text[:8]] = int(text[8:16], 16)
        return False

    def answer(self, text, connecting):
        if connecting and len(text) in (72, 74) and text[16:32] != "0" * 16:
            self.names.setdefault(text[16:32], f"<session {len(self.names)}>")
            self.names.setdefault(text[40:72], f"<password {len(self.names)}>")
        elif self.asked.get(text[:8]) in GET_CHILDREN and len(text) > 32:
            text = sorted_children(bytes.fromhex(text)).hex()
        for value, name in self.names.items():
            text = text.replace(value, name)
        return TIME.sub("<time>", text)


def equal_but_for_zxids(left, right, drifts):
    """Whether all that differs is 8-byte numbers, each by an amount that zxids have differed by."""
    left, right = (bytes.fromhex(NAME.sub("0" * 16, text[2:])) for text in (left, right))
    if len(left) != len(right):
        return False
    at = 0
    while at < len(left):
        if left[at] != right[at]:
            # The number may go on behind its first byte that differs.
            for end in (at + 1, at + 2):
                one, two = (int.from_bytes(text[max(end - 8, 0) : end]) for text in (left, right))
                if one - two in drifts:
                    at = end - 1
                    break
            else:
                return False
        at += 1
    return True


def main():
    apache, tested = Path(sys.argv[1]), Path(sys.argv[2])
    known = set((Path(__file__).parent / "differ.known").read_text().splitlines())
    differences = compared = 0
    drifts = {0}
    for scenario in sys.argv[3:]:
        file = f"traffic-{scenario}.txt"
        if not (tested / file).exists():
            print(f"{scenario}: no recording")
            differences += 1
            continue
        wanted, got = Recording(apache / file).answers, Recording(tested / file).answers
        for (case, left), (_, right) in zip(wanted, got):
            compared += 1
            if left == right:
                continue
            if "either" in case:
                continue
            where = f"{scenario}: {case}"
            counts = where not in known
            if left.startswith("S ") and right.startswith("S ") and len(left) == len(right):
                # A request that used up a zxid in one server only moves all that follow: told once.
                now = int(left[10:26], 16) - int(right[10:26], 16)
                if abs(now) < 16 and equal_but_for_zxids(left, right, drifts | {now}):
                    if now not in drifts:
                        differences += counts
                        print(f"{where}\n  from here Apache's zxids are {now} ahead")
                    drifts.add(now)
                    continue
            differences += counts
            print(f"{where}\n  apache  {left}\n  tested  {right}")
        if len(wanted) != len(got):
            differences += 1
            print(f"{scenario}: {len(got)} answers, Apache gives {len(wanted)}")
    print(f"{compared} answers compared, {differences} differences that are not known")
    return 1 if differences else 0


sys.exit(main())
