"""The language of scenarios: files into scenarios, and a request's words into fields.

    # config: tickTime=200 enforceQuota=true     lines for zoo.cfg, before the first scenario
    # property: jute.maxbuffer=2000              process properties
    # ensemble: follower                         three servers; connections go to a follower
    == title                                     a scenario; everything below belongs to it
    each P: ~/x | ~/y                            one scenario per value, `{P}` is replaced by it
    # compat: row of COMPAT.md                   the next step must differ, and that row tells why
    # ostler-only                                not run on Apache; its `>` lines are what is expected
    a create ~/x data flags=1                    connection, action, fields in order or by name
    a+ getData ~/x                               sent together with what follows on this connection
    > a #1 create zxid=z+2 err=0 path=~/x        what the step must give, on both servers

`~` is the scenario's own znode. A word in double quotes is JSON; `hex:` gives bytes, `fill:9` nine of
them. README.md has the actions.
"""

import base64
import hashlib
import itertools
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from records import NAME_OF, OPERATIONS, Malformed, fields_of

WORD = re.compile(r'(?:[A-Za-z]+=)?"(?:[^"\\]|\\.)*"|\S+')
OPTIONS = ("xid", "cut", "extra", "as", "end", "flip")
PERMS = {"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}


@dataclass
class Step:
    line: str
    number: int
    compat: str = ""
    expected: list = field(default_factory=list)


@dataclass
class Scenario:
    title: str
    steps: list
    file: str = ""
    number: int = 0
    ostler_only: bool = False

    @property
    def is_timed(self):
        return any(word in step.line for step in self.steps for word in (" sleep ", " waitclosed"))

    def text(self):
        lines = [f"== {self.title}"]
        for step in self.steps:
            lines += [f"# compat: {step.compat}"] if step.compat else []
            lines += [step.line] + [f"> {line}" for line in step.expected]
        return "\n".join(lines)


@dataclass
class File:
    name: str
    config: tuple = ()
    properties: tuple = ()
    ensemble: str = ""
    scenarios: list = field(default_factory=list)


def read_file(path):
    """A File with its scenarios, tables written out."""
    file = File(Path(path).stem)
    blocks, block = [], None
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        line = line.strip()
        if line.startswith("== "):
            block = [(number, line[3:])]
            blocks.append(block)
        elif block is not None and line:
            block.append((number, line))
        elif line.startswith("# config:"):
            file.config += tuple(line.partition(":")[2].split())
        elif line.startswith("# ensemble:"):
            file.ensemble = line.partition(":")[2].strip()
        elif line.startswith("# property:"):
            file.properties += tuple(line.partition(":")[2].split())
    for block in blocks:
        file.scenarios += expand(block, file.name)
    for number, scenario in enumerate(file.scenarios, 1):
        scenario.number = number
    return file


def expand(block, file_name):
    title = block[0][1]
    tables = [(n, line) for n, line in block if re.match(r"each \w+:", line)]
    rest = [(n, line) for n, line in block[1:] if not re.match(r"each \w+:", line)]
    axes = []
    for _, line in tables:
        name, _, values = line[5:].partition(":")
        axes.append([(name, value.strip()) for value in values.split(" | ")])
    scenarios = []
    for choice in itertools.product(*axes):
        def fill(text, choice=choice):
            for name, value in choice:
                text = text.replace("{" + name + "}", value)
            return text
        suffix = ", ".join(value for _, value in choice)
        scenario = Scenario(title + (f": {suffix}" if suffix else ""), [], file_name)
        read_steps(scenario, [(n, fill(line)) for n, line in rest])
        scenarios.append(scenario)
    return scenarios


def read_steps(scenario, lines):
    compat = ""
    for number, line in lines:
        if line.startswith("# compat:"):
            compat = line.partition(":")[2].strip()
        elif line == "# ostler-only":
            scenario.ostler_only = True
        elif line.startswith(">"):
            scenario.steps[-1].expected.append(line[1:].strip())
        elif not line.startswith("#"):
            scenario.steps.append(Step(line, number, compat))
            compat = ""


def split_words(text):
    return WORD.findall(text)


def digest_id(text):
    """`u:p` as the id that an ACL of the digest scheme has."""
    digest = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
    return text.split(":")[0] + ":" + digest


class Words:
    """Turns the words of one step into values; knows the scenario's znode and zxids."""

    def __init__(self, names):
        self.names = names
        self.last_zxid = names.base

    def value(self, kind, word):
        return getattr(self, kind)(word)

    def string(self, word):
        if word == "null":
            return None
        if word.startswith("hex:"):
            return bytes.fromhex(word[4:])
        text = json.loads(word) if word.startswith('"') else word
        return text.replace("~", self.names.root)

    def buffer(self, word):
        if word == "null":
            return None
        if word.startswith("hex:"):
            return bytes.fromhex(word[4:])
        if word.startswith("fill:"):
            return b"f" * int(word[5:])
        return (json.loads(word) if word.startswith('"') else word).encode()

    def int(self, word):
        return int(word, 0)

    long = int

    def bool(self, word):
        return {"true": 1, "false": 0}.get(word) if word.isalpha() else int(word)

    def zxid(self, word):
        for start, base in (("now", self.last_zxid), ("z", self.names.base)):
            if word.startswith(start):
                return base + int(word[len(start):] or "0")
        return int(word, 0)

    def acls(self, word):
        if word == "null" or word.startswith("count:"):
            return None if word == "null" else int(word[6:])
        word = json.loads(word) if word.startswith('"') else word
        word = {"open": "31/world/anyone", "creator": "31/auth/", "empty": ""}.get(word, word)
        return [self.acl(entry) for entry in word.split(",") if entry]

    def acl(self, entry):
        perms, scheme, name = (entry.split("/", 2) + ["", ""])[:3]
        if re.fullmatch("[rwcda]+", perms):
            perms = sum(PERMS[letter] for letter in perms)
        name = digest_id(name[1:]) if name.startswith("@") else name
        return (int(perms), *(None if text == "null" else text for text in (scheme, name)))

    def strings(self, word):
        if word == "null" or word.startswith("count:"):
            return None if word == "null" else int(word[6:])
        return [self.string(part) for part in word.strip("[]").split(",") if part]

    def request(self, words):
        """(name, opcode, values, options) of an operation's words."""
        name, words = words[0], words[1:]
        if name not in OPERATIONS:
            raise Malformed(f"no operation {name}")
        if name in ("multi", "multiRead"):
            return self.multi(name, words)
        values, options, positional = {}, {}, []
        fields = {field: kind for field, kind, _ in fields_of(name)}
        for word in words:
            key, equals, rest = word.partition("=")
            if equals and key in fields:
                values[key] = self.value(fields[key], rest)
            elif equals and key in OPTIONS:
                options[key] = rest
            else:
                positional.append(word)
        free = [(field, kind) for field, kind in fields.items() if field not in values]
        if len(positional) > len(free):
            raise Malformed(f"too many words for {name}")
        for word, (key, kind) in zip(positional, free):
            values[key] = self.value(kind, word)
        for key, kind, default in fields_of(name):
            if key not in values:
                if default is None:
                    raise Malformed(f"{name} needs {key}")
                values[key] = self.value(kind, default)
        return name, int(options.get("as", OPERATIONS[name][0])), values, options

    def multi(self, name, words):
        options, ops, part = {}, [], []
        # Cuts and flips are of the whole body, wherever they are written.
        whole = [word for word in words if word.startswith(("cut=", "flip="))]
        options |= dict(word.split("=") for word in whole)
        words = [word for word in words if word not in whole]
        while words and words[0].partition("=")[0] in OPTIONS:
            key, _, value = words.pop(0).partition("=")
            options[key] = value
        for word in words + [";"]:
            if word != ";":
                part.append(word)
            elif part:
                op, opcode, values, own = self.request(part)
                ops.append((opcode, op, values, bytes.fromhex(own.get("extra", ""))))
                part = []
        values = {"ops": ops}
        if "end" in options:
            values["end"] = bytes.fromhex(options["end"].replace("none", ""))
        return name, int(options.get("as", OPERATIONS[name][0])), values, options


def opcode_name(opcode):
    return NAME_OF.get(opcode, f"op{opcode}")
