"""Random histories of several clients, as scenarios; and the shrinking of one that differs.

A seed gives the same history for ever on the same version of this file. Steps use few znodes, so that
they meet; every fourth seed leans to one subject. What could differ without meaning anything is not
generated: a packet that may overtake others behind unanswered requests, and the inputs of COMPAT.md.
"""

import random
import time

from verdict import Verdict
from script import File, Scenario, read_steps

CONFIG = ("extendedTypesEnabled=true", "enforceQuota=true", "globalOutstandingLimit=10000")
# Containers and znodes with a time to live stay where they are.
PROPERTIES = ("znode.container.checkIntervalMs=100000000",)
PEERS = "abcd"
PATHS = ["~", "~/x", "~/y", "~/z", "~/x/p", "~/x/q", "~/y/p", "~/x/p/u"]
ODD_PATHS = ["/", '""', "x", "~/", "~//x", "~/x/.", "~/../x", '"~/\\u0001"', "~/nx",
             '"~/\\u00e4"', "/zookeeper", "~/nope/x"]
QUOTAS = ["/zookeeper/quota~", "/zookeeper/quota~/x", "/zookeeper/quota~/x/p"]
ACLS = ["open"] * 6 + ["creator", "r/world/anyone", "rw/world/anyone", "31/digest/@u:p",
                       "cd/world/anyone,31/auth/", "31/ip/127.0.0.0/8", "31/ip/10.0.0.1",
                       "null", "empty", "31/none/x", "31/digest/bad", "0/world/anyone",
                       "a/world/anyone,31/digest/@v:p", "31/world/anyone,31/world/anyone"]
WEIGHTS = {
    "create": 12, "create2": 6, "createContainer": 3, "createTTL": 3, "delete": 12,
    "exists": 6, "getData": 6, "setData": 10, "getACL": 2, "setACL": 4, "getChildren": 5,
    "getChildren2": 4, "sync": 1, "ping": 1, "multi": 10, "multiRead": 3, "checkWatches": 3,
    "removeWatches": 4, "setWatches": 2, "setWatches2": 2, "addWatch": 6, "getEphemerals": 2,
    "getAllChildrenNumber": 2, "whoAmI": 1, "reconfig": 1, "sasl": 1, "auth": 2, "connect": 3,
    "disconnect": 1, "closeSession": 2, "broken": 1, "unknown": 0.3, "ahead": 0.3,
    "flipped": 2,
}
# Not sent behind unanswered requests: they may overtake these, or end the connection.
ALONE = ("auth", "sasl", "disconnect", "closeSession", "broken", "whoAmI", "unknown", "ahead",
         "flipped")
LEANINGS = (
    {},
    {"setACL": 25, "auth": 10, "getACL": 8, "create": 20},
    {"quota": 25, "setData": 20, "create": 20, "multi": 20},
    {"addWatch": 20, "removeWatches": 10, "setWatches2": 8, "connect": 10, "exists": 12,
     "getData": 12, "getChildren": 12, "closeSession": 5},
)


class History:
    """Makes the lines of one seed."""

    def __init__(self, seed, without=()):
        self.random = random.Random(seed)
        weights = WEIGHTS | LEANINGS[seed % len(LEANINGS)]
        self.weights = {kind: weight for kind, weight in weights.items() if kind not in without}
        self.lines = []
        self.open, self.known, self.pending = set(), set(), set()
        if "quota" in self.weights:
            self.lines.append("a connect timeout=30000")
            self.lines += [f"a create {path} quota" for path in QUOTAS]
            self.open.add("a")
            self.known.add("a")

    def steps(self, count):
        kinds, weights = zip(*self.weights.items())
        while len(self.lines) < count:
            self.step(self.random.choice(PEERS[:3] if self.random.random() < 0.9 else PEERS),
                      self.random.choices(kinds, weights)[0])
        for peer in sorted(self.pending):
            self.lines.append(f"{peer} ping")
        return self.lines

    def step(self, peer, kind):
        if kind == "connect" or peer not in self.open:
            return self.connect(peer)
        alone = kind in ALONE
        if alone and peer in self.pending:
            self.lines.append(f"{peer} ping")
        # Apache holds a write against the use and the ACLs before the writes in flight, or behind
        # them, as it comes.
        later = (not alone and kind != "setACL" and "quota" not in self.weights
                 and self.random.random() < 0.15)
        (self.pending.add if later else self.pending.discard)(peer)
        if kind in ("disconnect", "closeSession", "unknown", "ahead"):
            self.open.discard(peer)
        if kind == "closeSession":
            self.known.discard(peer)
        plus = "+" if later else ""
        make = getattr(self, "make_" + kind, None)
        self.lines.append(f"{peer}{plus} {make() if make else self.operation(kind)}")

    def connect(self, peer):
        if peer in self.pending:
            self.lines.append(f"{peer} ping")
            self.pending.discard(peer)
        words = [f"timeout={self.random.choice([20000, 30000, 90000])}"]
        if self.known and self.random.random() < 0.5:
            other = self.random.choice(sorted(self.known))
            if other != peer and other in self.pending:
                self.lines.append(f"{other} ping")
                self.pending.discard(other)
            words.append(f"session={other}")
            if other != peer:
                self.open.discard(other)
            if self.random.random() < 0.1:
                words.append("password=wrong")
                self.open.discard(peer)
                self.lines.append(f"{peer} connect " + " ".join(words))
                return
        if self.random.random() < 0.1:
            words.append("old")
        self.open.add(peer)
        self.known.add(peer)
        self.lines.append(f"{peer} connect " + " ".join(words))

    def path(self):
        if self.random.random() < 0.03:
            return self.random.choice(ODD_PATHS)
        return self.random.choice(PATHS[1:] if self.random.random() < 0.9 else PATHS)

    def version(self):
        return self.random.choice([-1, -1, -1, 0, 0, 1, 2])

    def data(self):
        return self.random.choice(["d", "null", '""', "some", "fill:40", "fill:3"])

    def acl(self):
        chance = 0.7 if self.weights.get("setACL", 0) > 10 else 0.2
        return self.random.choice(ACLS) if self.random.random() < chance else "open"

    def watch(self):
        return self.random.choice([0, 1, 1])

    def paths(self):
        return "[" + ",".join(self.random.choice(PATHS)
                              for _ in range(self.random.randrange(4))) + "]"

    def operation(self, kind):
        path = self.path()
        choice = self.random.choice
        words = {
            "create": lambda: f"{self.data()} {self.acl()} flags={choice([0, 0, 0, 1, 2, 3, 4, 7])}",
            "create2": lambda: f"{self.data()} {self.acl()} flags={choice([0, 0, 1, 3, 2, 4, 5])}",
            "createContainer": lambda: f"{self.data()} {self.acl()} flags={choice([4, 4, 4, 0, 2])}",
            "createTTL": lambda: f"{self.data()} {self.acl()} flags={choice([5, 6])} "
                                 f"ttl={choice([1, 100000, 0, -1, 1 << 40])}",
            "delete": lambda: f"{self.version()}",
            "exists": lambda: f"{self.watch()}",
            "getData": lambda: f"{self.watch()}",
            "getChildren": lambda: f"{self.watch()}",
            "getChildren2": lambda: f"{self.watch()}",
            "setData": lambda: f"{self.data()} {self.version()}",
            "setACL": lambda: f"{self.acl()} {self.version()}",
            "check": lambda: f"{self.version()}",
            "checkWatches": lambda: f"{choice([1, 2, 3, 4, 5, 3, 6])}",
            "removeWatches": lambda: f"{choice([1, 2, 3, 4, 5, 3, 0])}",
            "addWatch": lambda: f"{choice([0, 1, 0, 1, 0, 1, 2])}",
        }.get(kind)
        if words:
            return f"{kind} {path} {words()}"
        if kind in ("getACL", "sync", "getEphemerals", "getAllChildrenNumber"):
            return f"{kind} {path}"
        return kind

    def make_multi(self):
        kinds = self.random.choices(
            ["create", "create2", "delete", "setData", "check", "createContainer", "createTTL"],
            [5, 3, 5, 5, 3, 1, 1], k=self.random.randrange(5))
        kinds = [kind for kind in kinds if kind == "check" or kind in self.weights]
        return "multi " + " ; ".join(self.operation(kind) for kind in kinds)

    def make_multiRead(self):
        kinds = self.random.choices(["getData", "getChildren"], k=self.random.randrange(4))
        return "multiRead " + " ; ".join(self.operation(kind) for kind in kinds)

    def make_setWatches(self):
        zxid = self.random.choice(["now", "now-2", "now-5", "0"])
        return f"setWatches {zxid} {self.paths()} {self.paths()} {self.paths()}"

    def make_setWatches2(self):
        zxid = self.random.choice(["now", "now-2", "now-5", "0"])
        return f"setWatches2 {zxid} " + " ".join(self.paths() for _ in range(5))

    def make_auth(self):
        return "auth " + self.random.choice(
            ["digest u:p", "digest u:p", "digest v:p", "digest w:p", "ip x", "digest super:admin"])

    def make_unknown(self):
        return self.random.choice(["op 999", "check ~/x 0", "op 0", "op -1 hex:00"])

    def make_ahead(self):
        return "connect lastZxid=now+1"

    def make_sasl(self):
        return "sasl token"

    def make_broken(self):
        kind = self.random.choice(["create", "getData", "setData", "multi", "delete", "setACL",
                                   "exists", "addWatch", "setWatches", "getChildren"])
        if kind == "multi":
            return "multi end=none create ~/x"
        line = self.make_setWatches() if kind == "setWatches" else self.operation(kind)
        return f"{line} cut={self.random.randrange(8)}"

    def make_flipped(self):
        """A request with some bits the other way round. Not createTTL, which can end Apache."""
        kind = self.random.choice(["create", "create2", "delete", "setData", "setACL", "exists",
                                   "getData", "addWatch", "setWatches", "setWatches2", "multi",
                                   "multiRead", "removeWatches", "createContainer"])
        make = getattr(self, "make_" + kind, None)
        flips = ",".join(f"{self.random.randrange(90)}:{1 << self.random.randrange(8)}"
                         for _ in range(self.random.choice([1, 1, 2])))
        return f"{make() if make else self.operation(kind)} flip={flips}"

    def make_quota(self):
        path = self.random.choice(QUOTAS)
        text = self.random.choice(
            ["count=3,bytes=50", "count=2,bytes=-1=;countHardLimit=3",
             "count=-1,bytes=-1=;byteHardLimit=60;countHardLimit=5", "bytes=20,count=1",
             "count=1,bytes=1=;byteHardLimit=10", "countHardLimit=2"])
        stats = f"{path}/zookeeper_stats"
        return self.random.choice([
            f'create {path}/zookeeper_limits "{text}"', f'setData {path}/zookeeper_limits "{text}"',
            f"create {stats} count=0,bytes=0", f"getData {stats}", f"getData {stats} 1",
            f"delete {path}/zookeeper_limits", f"delete {stats}"])


def scenario_of(lines, title):
    scenario = Scenario(title, [], "random")
    read_steps(scenario, list(enumerate(lines, 1)))
    return scenario


def shrink(lines, fails, seconds=60):
    """Less that still fails: fewer lines, then fewer operations in the multis that are left."""
    deadline = time.monotonic() + seconds
    lines = without_parts(lines, fails, deadline)
    for at, line in enumerate(lines):
        head, found, rest = line.partition(" multi")
        if found and " ; " in rest:
            head, rest = head + found + rest.partition(" ")[0] + " ", rest.partition(" ")[2]
            ops = without_parts(
                rest.split(" ; "),
                lambda ops, at=at, head=head: fails(
                    lines[:at] + [head + " ; ".join(ops)] + lines[at + 1 :]), deadline)
            lines[at] = head + " ; ".join(ops)
    return lines


def without_parts(lines, fails, deadline):
    """Leaves out ever smaller parts (ddmin)."""
    parts = 2
    while len(lines) > 1 and time.monotonic() < deadline:
        size = max(len(lines) // parts, 1)
        for start in range(0, len(lines), size):
            fewer = lines[:start] + lines[start + size:]
            if fewer and fails(fewer):
                lines, parts = fewer, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(lines))
    return lines


class Search:
    """Runs seeds on one pair of servers, which is replaced when one of them is gone."""

    def __init__(self, run):
        self.run = run
        self.pair = run.start((CONFIG, PROPERTIES, ""))

    def verdict(self, scenario):
        for server in self.pair:
            if not server.is_alive():
                print(f"  {server.kind} ended with {server.process.poll()}: {server.log_end()}")
        if not all(server.is_alive() for server in self.pair):
            for server in self.pair:
                server.stop()
            self.pair = self.run.start((CONFIG, PROPERTIES, ""))
        apache, ostler = self.run.both(self.pair, [scenario])
        return Verdict(scenario, apache[0], ostler[0], self.run.rows)

    def seed(self, seed, steps, without):
        """True when both servers agree."""
        lines = History(seed, without).steps(steps)
        verdict = self.verdict(scenario_of(lines, f"seed {seed}"))
        if not verdict.lines:
            return True

        def fails(fewer):
            return bool(self.verdict(scenario_of(fewer, "shrunk")).lines)

        print(f"FAILED  random seed {seed}: run again with\n"
              f"  interop/differential/run --random --seeds {seed} --steps {steps}"
              + (f" --without {','.join(without)}" if any(without) else ""))
        print("\n".join("    " + line for line in verdict.lines[:12]))
        if not any(fails(lines) for _ in range(3)):
            print("  not again in three more runs: a race", flush=True)
            return False
        shrunk = shrink(lines, fails)
        verdict = self.verdict(scenario_of(shrunk, "shrunk"))
        print(f"  {len(shrunk)} of {len(lines)} steps are enough; as a file for --play:")
        print("# config: " + " ".join(CONFIG) + "\n# property: " + " ".join(PROPERTIES))
        print(scenario_of(shrunk, f"shrunk from seed {seed}").text())
        print("\n".join("    " + line for line in verdict.lines), flush=True)
        return False


def run(run, options):
    """Seeds one after the other, until there are no more or the time is over."""
    search = Search(run)
    started = time.monotonic()
    # A few seeds belong to every run; more when they are asked for.
    seeds = options.seeds or (range(1, 1 << 31) if options.seconds else range(1, 9))
    passed = failed = 0
    for seed in seeds:
        if options.seconds and time.monotonic() - started > options.seconds:
            break
        if search.seed(seed, options.steps, options.without.split(",")):
            passed += 1
        else:
            failed += 1
        if failed >= options.failures:
            break
    run.passed += passed
    run.failed += failed
    print(f"{'FAILED' if failed else 'ok':7} random: {passed} of {passed + failed} seeds of "
          f"{options.steps} steps ({time.monotonic() - started:.1f} s)", flush=True)
