"""Runs scenarios on both servers, says where the records differ, and counts.

A difference passes only where the scenario names the row of COMPAT.md that explains it, and then it
must be there.
"""

import argparse
import re
import shlex
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import histories
from ensembles import Ensemble
from play import play
from script import File, read_file
from servers import APACHE, OSTLER, Server, use_two_cores
from verdict import Verdict, compat_rows, unknown_proofs

HERE = Path(__file__).resolve().parent


class Run:
    """The pairs of servers of one call, and the counts."""

    def __init__(self, options):
        self.options = options
        self.tested = APACHE if options.apache_twice else (
            shlex.split(options.tested) if options.tested else OSTLER)
        self.scratch = tempfile.mkdtemp(prefix="differential-")
        self.rows = set() if options.apache_twice else compat_rows()
        self.passed = self.failed = 0
        self.pool = ThreadPoolExecutor(4)
        self.roots = 0
        self.servers = []

    def close(self):
        for server in self.servers:
            server.stop()
        self.pool.shutdown()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def start(self, key):
        """Apache's server, or ensemble, and the one under test, not yet serving."""
        config, properties, ensemble = key
        given = (config, properties, self.scratch)

        def one(kind, command, through):
            if through:
                return Ensemble(kind, command, *given, through)
            return Server(kind, command, *given)
        # What a single server of Apache's does is also what an ensemble has to do; Apache's own
        # ensembles do not survive all that is sent here.
        pair = (one("apache", APACHE, ensemble),
                one("ostler", self.tested, ensemble or self.options.through))
        self.servers += pair
        return pair

    def both(self, pair, scenarios):
        """The records of some scenarios on each server of a pair, played at the same time."""
        first = self.roots
        self.roots += len(scenarios)

        def one(server):
            server.wait_serving()
            return [play(server, scenario, f"/s{first + at}")
                    for at, scenario in enumerate(scenarios)]
        return tuple(self.pool.map(one, pair))

    def files(self, files):
        """Plays files; those with the same settings share a pair of servers."""
        groups = {}
        for file in files:
            groups.setdefault((file.config, file.properties, file.ensemble), []).append(file)
        keys = list(groups)
        pairs = [self.start(keys[0])] if keys else []
        for at, key in enumerate(keys):
            if at + 1 < len(keys):
                pairs.append(self.start(keys[at + 1]))
            for file in groups[key]:
                self.one_file(file, pairs[at])
            for file in groups[key]:
                if not self.options.apache_twice:
                    self.ostler_only(file, pairs[at][1])
            for server in pairs[at]:
                server.stop()

    def one_file(self, file, pair):
        common = [scenario for scenario in file.scenarios if not scenario.ostler_only]
        if not common:
            return
        started = time.monotonic()
        results = list(zip(common, *self.both(pair, common)))
        # A busy machine can make a step late for a short timeout, or cost an ensemble its leader; a
        # difference would come again.
        fresh = None
        for at, (scenario, apache, ostler) in enumerate(results):
            may_pass = scenario.is_timed or file.ensemble
            if may_pass and Verdict(scenario, apache, ostler, self.rows).lines:
                if file.ensemble and not fresh:
                    fresh = self.start((file.config, file.properties, file.ensemble))
                again = self.both(fresh or pair, [scenario])
                results[at] = (scenario, again[0][0], again[1][0])
        for server in fresh or ():
            server.stop()
        self.judge(file.name, results, started)

    def ostler_only(self, file, server):
        alone = [scenario for scenario in file.scenarios if scenario.ostler_only]
        if alone:
            started = time.monotonic()
            (records,) = self.both((server,), alone)
            self.judge(file.name + " (ostler only)",
                       ((s, None, r) for s, r in zip(alone, records)), started)

    def judge(self, name, results, started):
        passed = failed = 0
        report = []
        for scenario, apache, ostler in results:
            verdict = Verdict(scenario, apache, ostler, self.rows)
            if verdict.lines:
                failed += 1
                report.append(f"  FAILED  {scenario.file} {scenario.number}: {scenario.title}")
                report += [] if self.options.quiet else [f"    {line}" for line in verdict.lines]
            else:
                passed += 1
            if self.options.show:
                report += show(scenario, apache or ostler)
        self.passed += passed
        self.failed += failed
        word = "FAILED" if failed else "ok"
        counts = f"{passed} of {passed + failed}" if failed else str(passed)
        print(f"{word:7} {name}: {counts} ({time.monotonic() - started:.1f} s)")
        print("\n".join(report) + "\n" * bool(report), end="", flush=True)


def show(scenario, records):
    lines = [f"  == {scenario.title}"]
    for at, record in enumerate(records):
        lines.append("  " + (scenario.steps[at].line if at < len(scenario.steps) else "the end"))
        lines += [f"  > {line}" for line in record]
    return lines


def numbers(text):
    low, _, high = text.partition("-")
    return range(int(low), int(high or low) + 1)


def main(arguments, usage):
    parser = argparse.ArgumentParser(usage=usage)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--play")
    parser.add_argument("--seeds", type=numbers)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--without", default="")
    parser.add_argument("--failures", type=int, default=3)
    parser.add_argument("--tested")
    parser.add_argument("--through", choices=["leader", "follower", "observer"])
    parser.add_argument("--apache-twice", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args(arguments)
    if unknown := unknown_proofs():
        sys.exit(f"COMPAT.md names no files of scenarios: {', '.join(sorted(unknown))}")
    use_two_cores()
    run = Run(options)
    try:
        if options.play:
            run.files([read_file(options.play)])
        elif not options.random:
            run.files(chosen(options))
        if options.random or not (options.files or options.play):
            histories.run(run, options)
    finally:
        run.close()
    print(f"{run.passed} passed, {run.failed} failed")
    return 1 if run.failed else 0


def chosen(options):
    names = [word for word in options.files if not re.fullmatch(r"\d+", word)]
    only = {int(word) for word in options.files if word.isdigit()}
    paths = sorted((HERE / "scenarios").glob("*.txt"))
    unknown = set(names) - {path.stem for path in paths}
    if unknown:
        sys.exit(f"no such file of scenarios: {', '.join(sorted(unknown))}")
    files = [read_file(path) for path in paths if not names or path.stem in names]
    if only:
        options.show = True
        files = [File(f.name, f.config, f.properties, f.ensemble,
                      [s for s in f.scenarios if s.number in only]) for f in files]
    return files
