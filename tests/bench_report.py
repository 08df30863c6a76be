#!/usr/bin/env python3
"""A report of qdot bench --json: are qdot's own results verified, and are the geometric means of
classes those of its lines?"""
import json
import math
import sys
from collections import defaultdict


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def key(entry):
    return entry["device"], entry["threads"], entry["types"], entry["out"], entry.get("cache_percent")


def means(report):
    """By key and class: peak_fraction, limit_fraction, qdot_to_best_peer or None."""
    best = {}
    for line in report["benchmarks"]:
        if "peer" in line and line["verified"]:
            shape = key(line), line["layer"], line["repetition_index"]
            best[shape] = max(best.get(shape, 0), line["items_per_second"])
    lines = defaultdict(list)
    classes = {entry["class"] for entry in report["classes"]}
    for line in report["benchmarks"]:
        if line["network"] in classes and "peer" not in line and line["verified"]:
            lines[key(line), line["network"]].append(line)
    found = {}
    for name, group in lines.items():
        ratios = []
        for line in group:
            place = key(line)[:4] + (None,), line["layer"], line["repetition_index"]
            if place in best:
                ratios.append(line["items_per_second"] / best[place])
        found[name] = (mean([x["peak_fraction"] for x in group]),
                       mean([x.get("stream_fraction", x["peak_fraction"]) for x in group]),
                       mean(ratios) if ratios else None)
    return found


def check_classes(report):
    """How many are wrong or missing."""
    found = means(report)
    together = defaultdict(list)
    for (row, _), values in found.items():
        together[row].append(values)
    failed = 0
    for entry in report["classes"]:
        row, name = key(entry), entry["class"]
        if name == "all":
            columns = [[v for v in column if v] for column in zip(*together[row])]
            expected = [mean(column) if column else None for column in columns]
        else:
            expected = found.pop((row, name))
        got = [entry["peak_fraction"], entry["limit_fraction"], entry.get("qdot_to_best_peer")]
        if any((x is None) != (y is None) or (y and abs(x - y) > 1e-9 * y)
               for x, y in zip(got, expected)):
            print(f"{name} of {row}: {got}, expected {list(expected)}")
            failed += 1
    return failed + len(found)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    own = [line for line in report["benchmarks"] if "peer" not in line]
    wrong = sum(not line["verified"] for line in own)
    failed = check_classes(report)
    print(f"{len(own)} lines, {wrong} not verified; {len(report['classes'])} classes, {failed} wrong or missing")
    return 1 if wrong or failed or not own else 0


sys.exit(main())
