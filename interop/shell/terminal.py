"""Drives `ostler shell` through a terminal: terminal.py <address> <command ...>

What is typed is what a person types: tabs, Ctrl-C, Ctrl-D, half a line while an event comes in. Each
step waits for what must appear, as plain text, and fails when it does not.
"""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SECONDS = 20


class Terminal:
    """A program with a terminal of its own."""

    def __init__(self, command, environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            # Whoever runs this in the background has it ignored; at a terminal it never is.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.environ.update(environment)
            os.execvp(command[0], command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
        self.raw = ""
        self.seen = 0

    def read(self, seconds):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)

    def plain(self):
        return ESCAPES.sub("", self.raw)

    def expect(self, pattern, what):
        """Waits for a pattern in what came since the last one."""
        deadline = time.monotonic() + SECONDS
        while True:
            match = re.compile(pattern, re.S).search(self.plain(), self.seen)
            if match:
                self.seen = match.end()
                print(f"terminal: {what}")
                return match
            if time.monotonic() > deadline or not self.read(0.2):
                sys.exit(f"terminal: not seen: {what}: {pattern!r} in\n{self.plain()[self.seen:]!r}")

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """The exit code."""
        while self.read(0.2):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def prompt(number):
    return re.escape("(CONNECTED) ") + f"{number}\\] "


def once(command, address, *words):
    """What another client does meanwhile."""
    subprocess.run([*command, "-server", address, *words], check=True, capture_output=True)


def session(terminal, other):
    terminal.expect("Welcome to ZooKeeper!.*JLine support is enabled", "the greeting")
    terminal.expect(prompt(0), "the prompt with state and number")
    terminal.type("crea\t")
    terminal.expect(r"create \[-s\]", "a command is completed, and its usage hinted at")
    terminal.type("/terminal x\r")
    terminal.expect("Created /terminal", "a command is run")
    terminal.expect(prompt(1), "the next number")
    terminal.type("create /terminal/child\r")
    terminal.expect("Created /terminal/child", "another one")
    terminal.type("get /term\t")
    terminal.expect("get /terminal", "a path is completed by asking the server")
    terminal.type("/\t")
    terminal.expect("get /terminal/child", "and goes on below")
    terminal.type("\x03")
    terminal.expect(prompt(2), "Ctrl-C empties the line and counts nothing")
    terminal.type("get -w /terminal\r")
    terminal.expect("\nx\r\n", "a watch is left")
    terminal.expect(prompt(3), "the prompt")
    terminal.type("stat /termi")
    terminal.expect("termi", "half a line is typed")
    other("set", "/terminal", "y")
    terminal.expect(r"WATCHER::\r?\n\r?\nWatchedEvent state:SyncConnected type:NodeDataChanged "
                    r"path:/terminal zxid: \d+\r?\n", "an event comes in between")
    terminal.expect(prompt(3) + "stat /termi", "and the half line is there again below it")
    terminal.type("nal\r")
    terminal.expect("numChildren = 1", "the whole line is run")
    terminal.type("\x1b[A")
    terminal.expect("stat /terminal", "the line before is found again")
    terminal.type("\x03")
    terminal.expect(prompt(4), "and given up")
    terminal.type("watch -R /terminal\r")
    terminal.expect(r"terminal\s*\r\n", "a stream of events is asked for")
    # The watch is left when the command of another client is seen.
    deadline = time.monotonic() + SECONDS
    while "NodeDataChanged /terminal 0x" not in terminal.plain():
        other("set", "/terminal", "z")
        terminal.read(0.2)
        if time.monotonic() > deadline:
            sys.exit("terminal: watch streams nothing")
    terminal.expect("NodeDataChanged /terminal 0x", "events are streamed")
    terminal.type("\x03")
    terminal.expect(prompt(5), "Ctrl-C ends the stream and not the shell")
    terminal.type("ls /nothing-there\r")
    terminal.expect("Node does not exist: /nothing-there", "a command fails")
    if "\x1b[31m" not in terminal.raw:
        sys.exit("terminal: no colours")
    terminal.expect(prompt(6), "the prompt")
    terminal.type("deleteall /terminal\r")
    terminal.expect(prompt(7), "all is deleted")
    terminal.type("\x04")


def main():
    address, *command = sys.argv[1:]
    shell = [*command, "-server", address]
    history = Path(tempfile.mkdtemp()) / "history"
    environment = {"TERM": "xterm", "OSTLER_HISTORY": str(history)}
    os.environ.pop("NO_COLOR", None)
    terminal = Terminal(shell, environment)
    session(terminal, lambda *words: once(command, address, *words))
    code = terminal.end()
    if code != 0:
        sys.exit(f"terminal: Ctrl-D ended it with {code}")
    print("terminal: Ctrl-D ends the shell")
    if "create /terminal/child\n" not in history.read_text():
        sys.exit("terminal: the history is not kept")
    plain = Terminal(shell, environment | {"NO_COLOR": "1"})
    plain.expect(prompt(0), "without colours")
    plain.type("\x1b[A")
    plain.expect("deleteall /terminal", "the lines of the session before are there")
    plain.type("\x03")
    plain.expect(prompt(0), "the prompt")
    plain.type("ls /nothing-there\r")
    plain.expect("Node does not exist", "a command fails in plain text")
    plain.type("quit\r")
    if plain.end() != 1 or re.search(r"\x1b\[[0-9;]*m", plain.raw):
        sys.exit("terminal: NO_COLOR or the exit code of quit")
    shutil.rmtree(history.parent)
    print("terminal: done")


main()
