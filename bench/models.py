#!/usr/bin/env python3
"""Whole models on the ONNX Runtime execution provider and on ONNX Runtime's own CPU provider, side by side:
values that differ, nodes on the provider, times, memory, and how good the int8 model's answers are.

usage: models.py LIBRARY TESTDATA DATA WORK [--models NAMES] [--threads N[,N]] [--runs N]
                 [--types TYPES] [--device NAME]
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "../tests/ort"))
from common import NAME, register  # noqa: E402

import onnxruntime as ort  # noqa: E402
from models_make import models  # noqa: E402


class Progress:
    """A bar on the terminal; nothing elsewhere."""

    def __init__(self, steps):
        self.steps, self.done = steps, 0

    def say(self, text):
        if sys.stderr.isatty():
            bar = "#" * (20 * self.done // self.steps)
            sys.stderr.write(f"\r\x1b[K[{bar:20}] {self.done}/{self.steps} {text}")

    def step(self):
        self.done += 1
        self.say("")
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")


def session(path, devices, threads, signed="1", record=False):
    """On our provider, or without devices on the runtime's; signed: its integer kernels for s8 activations."""
    o = ort.SessionOptions()
    o.log_severity_level = 3
    o.intra_op_num_threads = threads
    o.add_session_config_entry("session.qdqisint8allowed", signed)
    if record:
        o.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if devices:
        o.add_provider_for_devices(devices, {"threads": str(threads)})
    return ort.InferenceSession(path, o, providers=None if devices else ["CPUExecutionProvider"])


def share(path, devices):
    """Nodes of the model that are ours, of all that the runtime has left after its optimisations."""
    parts = session(path, devices, 1, record=True).get_provider_graph_assignment_info()
    counts = [(part.ep_name == NAME, len(part.get_nodes())) for part in parts]
    return sum(n for ours, n in counts if ours), sum(n for _, n in counts)


def measure(made, feed, runs):
    """Least time of each, in turns; the first runs are not counted."""
    best = [float("inf")] * len(made)
    for i in range(runs + 2):
        for j, s in enumerate(made):
            begin = time.perf_counter()
            s.run(None, feed)
            took = time.perf_counter() - begin
            best[j] = min(best[j], took) if i >= 2 else best[j]
    return best


def peak():
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024


def memory_of(path, library, feed, device):
    """MiB that a session and a run add to a process of its own."""
    devices = register(library, device) if library else None
    before = peak()
    session(path, devices, 1).run(None, dict(np.load(feed)))
    return peak() - before


def memory(path, library, feed, work, device):
    given = os.path.join(work, "feed.npz")
    np.savez(given, **feed)
    command = [sys.executable, os.path.abspath(__file__), "--memory-of", path, library or "", given, device]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def compare(made, real, feeds, model):
    """Values that differ between the first two, and how they compare with the float model."""
    wrong = total = 0
    outputs, floats = [], []
    for feed in feeds:
        mine, theirs = (s.run(None, feed)[0] for s in made[:2])
        wrong += int(np.count_nonzero(mine.reshape(-1).view(np.uint32) != theirs.reshape(-1).view(np.uint32)))
        total += mine.size
        outputs.append(mine)
        floats.append(real.run(None, feed)[0])
    return wrong, total, model.judge(floats, outputs)


def row(name, model, types, path, devices, args, progress):
    feeds = model.feeds()
    ours, nodes = share(path, devices)
    used = [memory(path, library, feeds[0], args.work, args.device) for library in (args.library, None)]
    real = session(path.replace(".onnx", ".float.onnx"), None, 1)
    worst = 0
    for threads in map(int, args.threads.split(",")):
        progress.say(f"{name} {types}, threads: {threads}")
        made = [session(path, devices, threads), session(path, None, threads), session(path, None, threads, "0")]
        wrong, total, judged = compare(made, real, feeds, model)
        times = measure(made, feeds[0], args.runs)
        progress.step()
        print(f"{name:13} {types:8}{threads:3} {wrong:6}/{total:<8}{ours:4}/{nodes:<4}"
              f"{times[0] * 1e3:8.2f} {times[1] * 1e3:8.2f} {times[2] * 1e3:8.2f} {times[1] / times[0]:6.2f}"
              f" {times[2] / times[0]:6.2f} {used[0]:6.0f} {used[1]:5.0f}  {judged}", flush=True)  # fmt: skip
        worst = max(worst, wrong / total)
    return worst


def main():
    if sys.argv[1:2] == ["--memory-of"]:
        print(memory_of(*sys.argv[2:]))
        return 0
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("testdata")
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--models")
    parser.add_argument("--types")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--device", default="cpu", help="'opencl:0' ...: tensors in its memory")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    known = models(args.testdata, args.data)
    names = args.models.split(",") if args.models else list(known)
    unknown = [n for n in names if n not in known]
    if unknown:
        parser.error(f"--models {unknown[0]}: expected some of {','.join(known)}")
    devices = register(args.library, args.device)
    wanted = [(n, t) for n in names for t in known[n].types if not args.types or t in args.types.split(",")]
    progress = Progress(len(wanted) * len(args.threads.split(",")))
    print("times in ms of one thread or more; 'cpu' is the runtime's own provider with its integer kernels, 'as is' by its defaults")
    print("model         types  threads  differing/of   nodes     qdot      cpu    as is  cpu/q as is/q   MiB:q  cpu")
    worst = 0
    for name, types in wanted:
        path = os.path.join(args.work, f"{name}_{types}.onnx")
        progress.say(f"{name} {types}: quantising")
        known[name].make(types, path)
        worst = max(worst, row(name, known[name], types, path, devices, args, progress))
    return 1 if worst > 1e-4 else 0


if __name__ == "__main__":
    sys.exit(main())
