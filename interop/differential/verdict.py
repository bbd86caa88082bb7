"""What two records of one scenario say: whether they agree, and where they do not.

A difference passes only where the scenario names the row of COMPAT.md that explains it, and then it
must be there.
"""

from servers import INTEROP

COMPAT_FILE = INTEROP.parent / "COMPAT.md"
SCENARIOS = INTEROP / "differential" / "scenarios"


def compat_rows():
    """The first cells of all tables of COMPAT.md."""
    lines = COMPAT_FILE.read_text().splitlines() if COMPAT_FILE.exists() else []
    return {line.strip("|").split("|")[0].strip() for line in lines if line.startswith("|")}


def plain(text):
    return text.replace("`", "").strip()


def unknown_proofs():
    """Names in the last column of COMPAT.md's parity tables that are no file of scenarios."""
    files = {path.stem for path in SCENARIOS.glob("*.txt")} | {"random"}
    unknown, reading = set(), False
    for line in COMPAT_FILE.read_text().splitlines() if COMPAT_FILE.exists() else []:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[-1] == "shown by":
            reading = True
        elif not line.startswith("|"):
            reading = False
        elif reading and "---" not in cells[-1]:
            unknown |= {name.strip() for name in cells[-1].split(",") if name.strip()} - files
    return unknown


class Verdict:
    """What is wrong with one scenario, as lines; empty when it passed."""

    def __init__(self, scenario, apache, ostler, rows):
        """Without `rows` (the same server twice) no difference has an explanation."""
        self.lines = []
        names = {plain(row) for row in rows}
        if apache is None:
            self.against_expectations(scenario, ostler)
            return
        for at in range(max(len(apache), len(ostler), len(scenario.steps))):
            left = apache[at] if at < len(apache) else ["nothing"]
            right = ostler[at] if at < len(ostler) else ["nothing"]
            step = scenario.steps[at] if at < len(scenario.steps) else None
            compat = step.compat if step and names else ""
            if compat and plain(compat) not in names:
                self.lines.append(f"no such row in COMPAT.md: {compat}")
            if compat and left == right:
                self.lines.append(f"{step.line}\n    the same; row not needed here: {compat}")
            elif left != right and not compat:
                self.differ(step.line if step else "the end", left, right)
            elif step and step.expected and left != step.expected:
                self.differ(step.line + " (expected, got)", step.expected, left)

    def differ(self, what, left, right):
        self.lines.append(what)
        for lines, sign, others in ((left, "apache", right), (right, "ostler", left)):
            own = [line for line in lines if line not in others]
            own = own or ["in another order"] * (sorted(lines) == sorted(others)) or ["nothing more"]
            self.lines += [f"    {sign}  {line}" for line in own]

    def against_expectations(self, scenario, ostler):
        for at, step in enumerate(scenario.steps):
            got = ostler[at] if at < len(ostler) else ["nothing"]
            if step.expected and got != step.expected:
                self.differ(step.line + " (apache stands for what is expected)",
                            step.expected, got)
        if len(ostler) > len(scenario.steps):
            self.lines += ostler[-1]
