"""The table of docs/stacks.md from the results that ci/stacks.sh left.

usage: stacks.py RESULTS MARKDOWN

RESULTS has of each stack NAME.stack (lines "key<TAB>value") and, where it came so far, NAME.json
(qdot conform). Text from the line "## Findings" on is kept.
"""
import collections
import datetime
import json
import os
import re
import sys

KEPT = "## Findings"
WRONG = ("fail", "crash", "timeout")
IDLE = ("refused", "not_run")
DEVICE = "device/" # what is no row: checks of the device itself


class Stack:
    def __init__(self, directory, name):
        self.name = name
        self.facts = {}
        path = os.path.join(directory, name + ".stack")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.facts = dict(line.rstrip("\n").split("\t", 1) for line in file)
        report = load(directory, name + ".json")
        self.results = [r for r in report.get("results", []) if r["device"] != "reference"]
        self.qdot = report.get("context", {}).get("qdot", "")

    def why_not(self):
        if not self.facts:
            return "not run yet"
        if "absent" in self.facts:
            return self.facts["absent"]
        if self.results:
            return ""
        return "no report, exit status %s" % self.facts["status"] if "status" in self.facts else "stopped before its end"

    def ran(self):
        return {r["kernel"] for r in self.results if r["status"] not in IDLE and not r["kernel"].startswith(DEVICE)}

    def refused(self):
        """Reasons and the rows refused for each."""
        reasons = collections.OrderedDict()
        for r in self.results:
            if r["status"] in IDLE and r["kernel"] not in self.ran() and not r["kernel"].startswith(DEVICE):
                reasons.setdefault(r["reason"], []).append(r["kernel"].split("/", 1)[-1])
        return reasons

    def counts(self):
        return collections.Counter(r["status"] for r in self.results)


def load(directory, name):
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(head, rows):
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in [head] + rows]
    return [lines[0], "|" + "---|" * len(head)] + lines[1:] + [""]


def summary(stacks):
    rows = []
    for number, s in enumerate(stacks, 1):
        where = s.facts.get("suite", "")
        if s.why_not():
            rows.append([number, s.name, where, "not run: " + s.why_not()] + [""] * 7)
            continue
        n = s.counts()
        refused = sum(len(names) for names in s.refused().values())
        rows.append([number, s.name, where, s.facts.get("device") or "?", len(s.ran()), refused,
                     sum(r["cases"] for r in s.results if r["status"] in ("pass", "fail")), n["pass"], n["fail"],
                     n["crash"] + n["timeout"], s.facts.get("seconds", "")])
    return table(["#", "stack", "Debian", "device, driver", "rows run", "refused", "cases", "pass", "fail",
                  "crash, timeout", "s"], rows)


KINDS = ("gemm", "conv", "quantize", "map", "max_pool", "average_pool", "device")


def kind_of(kernel):
    name = kernel.split("/")[-1]
    if kernel.startswith("device/"):
        return "device"
    for kind in ("quantize", "map", "max_pool", "average_pool"):
        if name.startswith(kind):
            return kind
    return "gemm" if name.startswith("gem") else "conv"


def plain(reason):
    """Without the row, which others share the reason with, and how to run it again."""
    reason = re.sub(r"; replay: .*", "", reason)
    return re.sub(r"^qdot_op_create: |kernel: \S+ on \S+: ", "", reason)


def groups(stacks):
    """Of each group and stack: rows that pass; what did not is named."""
    names = []
    found = collections.defaultdict(collections.Counter)
    reasons = collections.defaultdict(collections.Counter)
    for number, s in enumerate(stacks):
        for r in s.results:
            if r["group"] == "all":
                continue # a row that did not run at all
            key = (kind_of(r["kernel"]), r["group"])
            if key not in names:
                names.append(key)
            found[key, number][r["status"]] += 1
            if r["status"] in IDLE:
                reasons[plain(r["reason"])][number + 1] += 1
    names.sort(key=lambda key: KINDS.index(key[0]))
    rows = []
    for key in names:
        row = ["%s %s" % key]
        for number in range(len(stacks)):
            n = found[key, number]
            words = [str(n["pass"])] if n["pass"] else []
            words += ["**%s %d**" % (status, n[status]) for status in WRONG if n[status]]
            idle = sum(n[status] for status in IDLE)
            words += ["(%d)" % idle] if idle else []
            row.append(" ".join(words) or "-")
        rows.append(row)
    lines = table(["group"] + [str(i + 1) for i in range(len(stacks))], rows)
    if reasons:
        lines += ["Groups not run, or cases of them, of rows that ran:", ""]
        for reason, numbers in reasons.items():
            where = ", ".join("%d of stack %d" % (count, number) for number, count in sorted(numbers.items()))
            lines.append("- %s: %s" % (where, cell(reason)))
        lines.append("")
    return lines


def refused(stacks):
    """A reason once, with the rows and the stacks that have it."""
    reasons = collections.OrderedDict()
    for number, s in enumerate(stacks, 1):
        for reason, names in s.refused().items():
            reasons.setdefault((reason, ", ".join(names)), []).append(number)
    return table(["reason", "rows", "stacks"],
                 [[reason, names, ", ".join(map(str, at))] for (reason, names), at in reasons.items()])


def failures(stacks):
    found = collections.OrderedDict()
    for s in stacks:
        for r in s.results:
            if r["status"] not in WRONG and not (r.get("required") and r["status"] in IDLE):
                continue
            first = r.get("mismatch")
            what = r["status"] + ": " + plain(r["reason"])
            if first:
                what += " at %(index)s: got %(got)s, expected %(expected)s" % first
            rows, names = found.setdefault((s.name, what), (set(), set()))
            rows.add(r["kernel"])
            names.add(r["group"])
    some = [[name, what, ", ".join(sorted(rows)[:2]) + (" and %d others" % (len(rows) - 2) if len(rows) > 2 else ""),
             ", ".join(sorted(names))] for (name, what), (rows, names) in found.items()]
    return table(["stack", "what", "rows", "groups"], some) if some else ["None.", ""]


def settings(stacks):
    return table(["#", "driver", "settings", "options of conform"],
                 [[i, s.facts.get("driver", ""), s.facts.get("settings", ""), s.facts.get("options", "")]
                  for i, s in enumerate(stacks, 1)])


def kept(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return ""
    at = text.find("\n" + KEPT)
    return text[at + 1:] if at >= 0 else ""


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: stacks.py RESULTS MARKDOWN")
    directory, path = sys.argv[1:]
    with open(os.path.join(directory, "names"), encoding="utf-8") as file:
        stacks = [Stack(directory, name) for name in file.read().split()]
    version = next((s.qdot for s in stacks if s.qdot), "?")
    lines = [
        "# Software devices: what runs where", "",
        "Written by `ci/stacks.sh` on %s with qdot %s: every software device that Debian and PyPI have, each in a system of its own with qdot "
        "built there. Times say how long a run took on a shared machine of two cores, nothing of the devices." % (datetime.date.today(), version), "",
    ] + summary(stacks) + [
        "## Groups", "",
        "Of each group of cases (`qdot conform --list` says what they are) and stack: rows that pass. In bold what failed, in brackets rows of "
        "which the group was not run.", "",
    ] + groups(stacks) + ["## Refused rows", ""] + refused(stacks) + ["## Failures", ""] + failures(stacks) + [
        "## Settings", "",
    ] + settings(stacks)
    text = "\n".join(lines) + kept(path)
    aside = path + ".tmp"
    with open(aside, "w", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n")
    os.replace(aside, path)


if __name__ == "__main__":
    main()
