#!/usr/bin/env python3
"""EPContext models: of random models of every op one is written, in itself and with a file beside it, and
loaded without the original; no value may differ. What is damaged or of another version is an error of one
line. Then how long a session takes to make, and its memory, of a model of --layers products.

usage: context.py LIBRARY [--device NAME] [--models N] [--seed S] [--layers N]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np
import onnx
import onnxruntime as ort

import ops
from common import Graph, differing, register, session

LARGE = 2048


def write(model, path, devices, embed, into=None):
    """Writes 'model' to a file and its EPContext model beside it, whose path it returns."""
    source = path + ".onnx"
    target = into or path + "_ctx.onnx"
    onnx.save(model, source)
    entries = {"ep.context_enable": "1", "ep.context_embed_mode": str(embed)}
    if into:
        entries["ep.context_file_path"] = into
    session(source, devices, 2, False, entries=entries)
    os.remove(source)
    return target


def loads(path, devices):
    return session(path, devices, 2, False)


def check(name, make, args, devices, directory):
    wrong = total = nodes = 0
    for case in range(args.models):
        seed = [args.seed, case, zlib.crc32(name.encode())]
        graph, outputs = make(np.random.default_rng(seed))
        model = graph.model(outputs)
        want = session(model, threads=2).run(None, graph.feeds)
        path = os.path.join(directory, f"{name.replace(', ', '_')}{case}")
        written = write(model, path, devices, case % 2, path + "_there.onnx" if case % 3 else None)
        if not os.path.exists(written) and not graph.whole:
            continue  # nothing of it is ours
        loaded = onnx.load(written)
        nodes += sum(n.op_type == "EPContext" for n in loaded.graph.node)
        rest = {n.op_type for n in loaded.graph.node} - {"EPContext"}
        if rest and graph.whole:
            print(f"FAIL {name} case {case}: {rest} are no EPContext nodes")
            wrong += 1
        mine = loads(written, devices)
        for _ in range(2):
            bad, count = differing(mine.run(None, graph.feeds), want)
            if bad:
                print(f"FAIL {name} case {case}: {bad} of {count} values differ")
            wrong, total = wrong + bad, total + count
    print(f"{name:22} {args.models:5} models {nodes:4} contexts {total:8} values {wrong:4} differ", flush=True)
    return wrong


# ---- errors --------------------------------------------------------------------------------------


def products(layers, size, rng):
    g = Graph()
    x = g.input(rng.integers(0, 255, (1, size), np.uint8))
    for _ in range(layers):
        w = g.constant(rng.integers(-127, 127, (size, size), np.int8))
        scale, zero = g.constant(np.float32(0.1)), g.constant(np.uint8(128))
        x = g.node("QLinearMatMul", [x, scale, zero, w, scale, g.constant(np.int8(0)), g.constant(np.float32(40)), zero])
    return g, g.model([(x, ops.elements(np.uint8))])


def expect(what, wanted, path, devices):
    try:
        loads(path, devices)
    except Exception as error:  # of several classes
        text = str(error)
        if wanted in text:
            print(f"{what:22} {text[text.index('QdotExecutionProvider:') if 'QdotExecutionProvider:' in text else 0 :]}")
            return 0
        print(f"FAIL {what}: expected '{wanted}', got: {text}")
        return 1
    print(f"FAIL {what}: expected an error, there was none")
    return 1


def altered(path, at, byte=None, size=None):
    """The file with one byte other, or cut."""
    with open(path, "r+b") as file:
        if size is not None:
            file.truncate(size)
        else:
            file.seek(at)
            old = file.read(1)[0]
            file.seek(at)
            file.write(bytes([old ^ 1 if byte is None else byte]))


def errors(args, devices, directory):
    rng = np.random.default_rng(args.seed)
    failed = 0

    def fresh(name):
        _, model = products(2, 96, rng)
        path = write(model, os.path.join(directory, name), devices, 0)
        return path, path + ".qdot"

    for what, wanted, change in (
        ("no magic", "none of this provider's", lambda f: altered(f, 0)),
        ("another version", "made by qdot 9", lambda f: altered(f, 8, ord("9"))),
        ("an attribute altered", "damaged", lambda f: altered(f, 100)),
        ("packed weights altered", "checksum", lambda f: altered(f, os.path.getsize(f) - 40)),
        ("cut short", "damaged", lambda f: altered(f, 0, size=os.path.getsize(f) - 100)),
        ("empty", "not a file", lambda f: altered(f, 0, size=0)),
        ("not there", "No such file", os.remove),
    ):
        path, data = fresh(what.replace(" ", "_"))
        change(data)
        failed += expect(what, wanted, path, devices)
    # The packed weights of a row of another layout.
    path, data = fresh("layout")
    with open(data, "r+b") as file:
        content = re.sub(b"qdotpack.\x00\x00\x00", b"qdotpack\xff\x00\x00\x00", file.read(), flags=re.DOTALL)
        file.seek(0)
        file.write(content)
    failed += expect("another layout", "packed", path, devices)
    path, _ = fresh("outside")
    model = onnx.load(path)
    for a in model.graph.node[0].attribute:
        if a.name == "ep_cache_context":
            a.s = b"../x.qdot"
    onnx.save(model, path)
    return failed + expect("a file elsewhere", "beside the model", path, devices)


# ---- time and memory -----------------------------------------------------------------------------


def memory():
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file if line.startswith("Rss"))
    return [int(lines[k].split()[0]) / 1024 for k in ("RssAnon", "RssFile")]


def measure(library, device, path, sessions):
    """In a process of its own: prints a line."""
    devices = register(library, device)
    before = memory()
    times, made = [], []
    for _ in range(sessions):
        begin = time.perf_counter()
        made.append(loads(path, devices))
        times.append(time.perf_counter() - begin)
    feeds = {made[0].get_inputs()[0].name: np.full((1, LARGE), 7, np.uint8)}
    values = [s.run(None, feeds)[0] for s in made]
    after = memory()
    anonymous, mapped = (b - a for a, b in zip(before, after, strict=True))
    print(f"    {', '.join(f'{t * 1e3:.0f} ms' for t in times):18} {anonymous:5.0f} MiB of its own, {mapped:5.0f} MiB of files")
    return 0 if all(np.array_equal(v, values[0]) for v in values) else 1


def report(args, devices, directory):
    _, model = products(args.layers, LARGE, np.random.default_rng(args.seed))
    plain = os.path.join(directory, "large.onnx")
    paths = {"the model": plain}
    for embed, name in ((1, "in the model"), (0, "in a file")):
        path = os.path.join(directory, f"large{embed}")
        paths[f"EPContext, {name}"] = write(model, path, devices, embed)
    onnx.save(model, plain)
    print(f"{args.layers} products of {LARGE}x{LARGE} ({args.layers * LARGE * LARGE >> 20} MiB of weights): sessions made, memory after a run of each")
    failed = 0
    for name, path in paths.items():
        for sessions in (1, 2):
            print(f"  {name}, {sessions} session{'s' if sessions > 1 else ''}", flush=True)
            command = [sys.executable, __file__, args.library, "--device", args.device, "--measure", path, "--sessions", str(sessions)]
            failed += subprocess.run(command, check=False).returncode != 0
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--sessions", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.library, args.device, args.measure, args.sessions)
    devices = register(args.library, args.device)
    ort.set_default_logger_severity(4)
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        for name, make in ops.OPS.items():
            failed += check(name, make, args, devices, directory) != 0
        failed += errors(args, devices, directory)
        failed += report(args, devices, directory)
    print(f"{len(ops.OPS) + 10 - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
