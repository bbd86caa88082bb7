"""Runs scenarios: names, order, scratch directories, what is printed, and the end of every process.

A scenario is a function that takes a `Stage`; its first line of documentation is what is printed. It
fails by raising. The directories of a failed one are kept.
"""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import trees
from client import Session
from load import CREATE, MULTI, ROOT, Load, create, multi
from servers import INTEROP, JAR_38, QUICK_JVM, Ensemble


class Stage:
    """What one scenario works with; everything it started is ended with it."""

    def __init__(self, name, kinds):
        self.scratch = Path(tempfile.mkdtemp(prefix=f"ensemble-{name}-"))
        # For scenarios that any kinds can play: --kinds of the command line.
        self.kinds = kinds
        self.ensembles, self.loads, self.listeners = [], [], []
        self.started = time.monotonic()
        self.told = []

    def ensemble(self, *kinds, hosts=None, **settings):
        """Makes an ensemble, starts it and waits for it."""
        made = self.made(*kinds, hosts=hosts, **settings)
        made.start_led_by_last()
        made.wait()
        return made

    def made(self, *kinds, hosts=None, **settings):
        made = Ensemble(kinds, self.scratch / f"ensemble{len(self.ensembles)}", settings, hosts,
                        QUICK_JVM)
        self.ensembles.append(made)
        if os.environ.get("ENSEMBLE_OVERHEAR"):
            place = self.scratch / f"ensemble{len(self.ensembles) - 1}"
            self.listeners.append(subprocess.Popen(
                [INTEROP / "ensemble/overhear", place, place / "overheard"]))
            time.sleep(0.3)
        return made

    def load(self, ensemble, **options):
        load = Load(ensemble.addresses(), **options)
        self.loads.append(load)
        load.start()
        return load

    def say(self, text):
        """A remark, shown with --verbose and when the scenario fails."""
        self.told.append(f"{time.monotonic() - self.started:7.2f} {text}")
        if os.environ.get("ENSEMBLE_VERBOSE"):
            print("  " + self.told[-1], flush=True)

    def write_alone(self, load, server, count):
        """Asks `server` for creates that it cannot get a quorum for; they are on its disk after
        this. Gives a function that is to be called before the quorum is taken away."""
        session = Session("alone", [server.address], 15000, first=server.address, only=True)

        async def connect():
            task = asyncio.ensure_future(session.run())
            await asyncio.wait_for(session.up.wait(), 10)
            return task
        task = load.call(connect())

        async def write():
            made = [session.submit(CREATE, create(f"{ROOT}/phantom{index}", b"never"))
                    for index in range(count)]
            logs = server.data / "version-2"
            while not any(f"{ROOT}/phantom{count - 1}".encode() in log.read_bytes()
                          for log in logs.glob("log.*")):
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            if any(future.done() for future in made):
                raise AssertionError("a write without a quorum was answered")
            task.cancel()
        return lambda: load.call(write())

    def write_big(self, load, server, path, count):
        """Large creates and multis under way at once at one server."""
        async def write():
            session = Session("big", [server.address], 15000, first=server.address, only=True)
            task = asyncio.ensure_future(session.run())
            await asyncio.wait_for(session.up.wait(), 10)
            await session.submit(CREATE, create(path))
            made = [session.submit(CREATE, create(f"{path}/{index}", bytes(1_000_000)))
                    for index in range(count)]
            made.append(session.submit(MULTI, multi(
                *(create(f"{path}/m{index}", b"x" * 500) for index in range(1000)))))
            await asyncio.wait_for(asyncio.gather(*made), 30)
            await session.close()
            task.cancel()
        load.call(write())

    def verify(self, ensemble, load):
        """All that must hold at the end: nothing lost, the same everywhere, online and offline."""
        load.progress(50)
        ensemble.wait()
        serving = ensemble.running
        reconnects = load.finish([serving[-1].address])
        zxid = trees.settled(serving)
        count = trees.compare(serving)
        load.close_sessions()
        trees.settled(serving)
        for server in sorted(serving, key=lambda server: server.mode() == "leader"):
            server.stop()
        trees.offline(serving)
        self.say(f"{load.writes} writes acknowledged, {load.losses} in doubt, {reconnects} "
                 f"reconnects, {count} znodes alike at zxid {zxid:x}")

    def close(self, keep):
        for load in self.loads:
            load.end()
        for ensemble in self.ensembles:
            ensemble.end()
        for listener in self.listeners:
            listener.kill()
            listener.wait()
        if keep:
            print(f"        kept: {self.scratch}", flush=True)
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)


# Of asyncio: that a client still writes when its server is gone is what is tried here.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def main(scenarios, arguments, usage):
    """Plays the scenarios whose names begin with one of the arguments, or all of them."""
    arguments = list(arguments)
    if "--help" in arguments:
        print(usage)
        return 2
    kinds = None
    if "--kinds" in arguments:
        at = arguments.index("--kinds")
        kinds = arguments[at + 1].split(",")
        del arguments[at:at + 2]
    if "--verbose" in arguments:
        arguments.remove("--verbose")
        os.environ["ENSEMBLE_VERBOSE"] = "yes"
    chosen = [scenario for scenario in scenarios
              if not arguments or any(scenario.__name__.startswith(name) for name in arguments)]
    passed = failed = 0
    for scenario in chosen:
        if play(scenario, kinds):
            passed += 1
        else:
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


def play(scenario, kinds):
    stage = Stage(scenario.__name__, kinds)
    title = (scenario.__doc__ or "").partition("\n")[0]
    ok = False
    try:
        scenario(stage)
        ok = True
    except (Exception, KeyboardInterrupt):
        print(f"FAILED  {scenario.__name__}: {title}")
        for line in stage.told:
            print("        " + line)
        trace = traceback.format_exc().splitlines()
        print("\n".join("        " + line[:600] for line in trace[-12:]), flush=True)
        if isinstance(sys.exc_info()[1], KeyboardInterrupt):
            raise
    finally:
        stage.close(keep=not ok)
    if ok:
        seconds = time.monotonic() - stage.started
        remark = stage.told[-1][8:] if stage.told else ""
        print(f"ok      {scenario.__name__}: {title} ({seconds:.0f} s)\n        {remark}",
              flush=True)
    return ok



def has_java38():
    return JAR_38.exists()
