"""Types the same lines into Apache's shell and into bin/zkCli.sh and compares what comes out.

    compare.py <address for Apache's> <address for ours> <java command ...> [-- <section> ...]

Each shell has a server of its own; both are fresh and take the same requests, so even zxids agree.
What must differ is taken out: times, session ids, the version; zxids are numbered as they come.
Events are compared as a set, as Apache's shell prints them from another thread. `rows.txt` has the
lines, and why some of them may differ.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = HERE / "rows.txt"
OURS = [str(HERE.parent.parent / "bin/zkCli.sh")]
# A zone whose name is not UTC, and output that does not depend on the machine.
ENVIRONMENT = os.environ | {"TZ": "America/New_York", "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
# Apache's shell prints them in two pieces, and what another thread prints can come between.
ANNOUNCEMENT = "\nWATCHER::\n"
EVENT = re.compile(r"\n(WatchedEvent .*)\n")
DATE = re.compile(r"time = \w{3} \w{3} \d\d \d\d:\d\d:\d\d (\w+) \d{4}$", re.M)
# What is printed between two rows, on stdout and on stderr.
MARK_LINES = ["printwatches", "listquota /~mark"]
# Apache's shell does not end every line.
OUT_MARK = re.compile(r"printwatches is \w+\n")
ERR_MARK = ("absolute path is /zookeeper/quota/~mark/zookeeper_limits\n"
            "quota for /~mark does not exist.\n")


class Row:
    def __init__(self, line):
        self.line, self.reason = line, None


class Section:
    def __init__(self, title):
        self.words, self.rows = title.split(), []
        self.once = self.words == ["once"]
        self.whole = "whole" in self.words
        self.chroot = "/below" if "below" in self.words else ""
        self.name = self.words[-1]


def read_sections():
    sections = []
    for line in ROWS.read_text().splitlines():
        if line.startswith("## "):
            sections.append(Section(line[3:]))
        elif line.startswith("! "):
            sections[-1].rows[-1].reason = line[2:]
        elif line.strip() and not line.startswith("#"):
            sections[-1].rows.append(Row(line))
    return sections


class Zxids:
    """Numbers zxids in the order in which they appear."""

    def __init__(self):
        self.seen = {}

    def settle(self, text):
        text = re.sub(r"(Zxid = )(0x[0-9a-f]+)$", self.number, text, flags=re.M)
        return re.sub(r"(type:\w+ path:\S+ zxid: )(\d+)$", self.number, text, flags=re.M)

    def number(self, match):
        value = int(match[2], 0)
        return match[1] + "Z" + str(self.seen.setdefault(value, len(self.seen) + 1))


def settle(text, zxids):
    """Takes out what differs from run to run."""
    text = DATE.sub(r"time = T \1", text)
    text = re.sub(r"ephemeralOwner = 0x10[0-9a-f]{6,}", "ephemeralOwner = SESSION", text)
    text = re.sub(r"^Connecting to .*\n", "", text)
    # What is added to Apache's list of commands.
    text = re.sub(r"^Only in this shell:\n(\t.*\n)+", "", text, flags=re.M)
    return zxids.settle(text)


class Result:
    """What a shell said: the two streams, the events and the exit code."""

    def __init__(self, process, out, err):
        zxids = Zxids()
        text = out.decode(errors="replace").replace(ANNOUNCEMENT, "")
        # Only the order among the events of one path is sure.
        # Whether that of the close is still printed is a race in Apache's case.
        self.events = sorted(settle(event, Zxids()) for event in EVENT.findall(text)
                             if "state:Closed" not in event)
        self.out = settle(EVENT.sub("", text), zxids)
        self.err = settle(err.decode(errors="replace"), zxids)
        self.code = process.returncode


def run(command, arguments, lines=None):
    process = subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    if lines is None:
        out, err = process.communicate(timeout=60)
    else:
        process.stdin.write("".join(line + "\n" for line in lines).encode())
        process.stdin.flush()
        # Events come from another thread, and Apache's shell does not wait for them at the end.
        if "quit" not in lines:
            await_quiet(process, len(lines))
        out, err = process.communicate(timeout=60)
    return Result(process, out, err)


def await_quiet(process, rows):
    """Until the shell has gone through its lines: it sleeps in a read of the empty pipe."""
    deadline = time.monotonic() + 30
    quiet, used, enough = 0, -1, 5
    while time.monotonic() < deadline and process.poll() is None and quiet < enough:
        time.sleep(0.1)
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        now = int(fields[11]) + int(fields[12])
        quiet = quiet + 1 if now - used <= 1 else 0
        # One that has used nothing may not have begun, or be so quick that the clock shows nothing.
        used, enough = now, 5 if now > 0 else 10


def pieces(result, rows):
    """What belongs to each row: stdout and stderr cut at the marks."""
    outs = OUT_MARK.split(result.out)
    errs = result.err.split(ERR_MARK)
    outs += [""] * (rows + 1 - len(outs))
    errs += [""] * (rows + 1 - len(errs))
    return list(zip(outs, errs))


def shown(text):
    return "".join(f"        {line}\n" for line in text.splitlines()) or "        (nothing)\n"


class Tally:
    def __init__(self):
        self.same = self.explained = self.failed = 0

    def judge(self, name, line, reason, apache, ours):
        """Compares the parts of a row: (label, text) pairs of each side."""
        differing = [(label, theirs, mine) for (label, theirs), (_, mine) in zip(apache, ours)
                     if theirs != mine]
        if not differing and not reason:
            self.same += 1
        elif differing and reason:
            self.explained += 1
            print(f"differs  {name}: {line}\n         {reason}")
        else:
            self.failed += 1
            print(f"FAILED   {name}: {line}")
            if not differing:
                print("    it is the same although it is expected to differ")
            for label, theirs, mine in differing:
                print(f"    {label}, Apache's:\n{shown(str(theirs))}    ours:\n{shown(str(mine))}",
                      end="")


def compare_session(section, apache, ours, tally):
    lines = []
    for row in section.rows:
        lines.append(row.line)
        if not section.whole:
            lines += MARK_LINES
    theirs, mine = (run(command, [*arguments[:-1], arguments[-1] + section.chroot], lines)
                    for command, arguments in (apache, ours))
    name = section.name
    if section.whole:
        reasons = [row.reason for row in section.rows if row.reason]
        parts = [[("stdout", result.out), ("stderr", result.err), ("events", result.events),
                  ("exit code", result.code)] for result in (theirs, mine)]
        tally.judge(name, "the whole session", reasons[0] if reasons else None, *parts)
        return
    both = zip(section.rows, pieces(theirs, len(section.rows)), pieces(mine, len(section.rows)))
    for row, (out, err), (our_out, our_err) in both:
        tally.judge(name, row.line, row.reason, [("stdout", out), ("stderr", err)],
                    [("stdout", our_out), ("stderr", our_err)])
    ends = [[("events", "\n".join(result.events)), ("exit code", result.code)]
            for result in (theirs, mine)]
    tally.judge(name, "events and exit code", None, *ends)


def compare_once(section, apache, ours, tally):
    for row in section.rows:
        words = shlex.split(row.line)
        theirs, mine = (run(command, arguments + words) for command, arguments in (apache, ours))
        # The connection may come too late for the event in Apache's case.
        parts = [[("stdout", result.out), ("stderr", result.err), ("exit code", result.code)]
                 for result in (theirs, mine)]
        tally.judge("once", row.line, row.reason, *parts)


def main():
    arguments = sys.argv[1:]
    wanted = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, wanted = arguments[:at], arguments[at + 1:]
    apache_address, our_address, *java = arguments
    apache = (java, ["-server", apache_address])
    ours = (OURS, ["-server", our_address])
    tally = Tally()
    for section in read_sections():
        if wanted and section.name not in wanted:
            continue
        (compare_once if section.once else compare_session)(section, apache, ours, tally)
    print(f"shell: {tally.same} the same, {tally.explained} differ for a reason, "
          f"{tally.failed} failed")
    return 1 if tally.failed else 0


sys.exit(main())
