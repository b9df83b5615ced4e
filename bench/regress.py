#!/usr/bin/env python3
"""regress.py BEFORE.json AFTER.json: is vdisk_bench slower than it was?

Both are results of `vdisk_bench --benchmark_format=json`, perhaps of different machines: what is
compared is each ratio to its own baseline, the least if a benchmark ran several times. Fails on a
loss over 10 %, and where a benchmark is gone. `--self-test` tries that.
"""
import json
import sys

LIMIT = 1.10


def ratios(results):
    """The least ratio to the baseline by name."""
    best = {}
    for run in results["benchmarks"]:
        if run.get("run_type", "iteration") != "iteration" or not run.get("base_ns"):
            continue
        ratio = run["ns"] / run["base_ns"]
        best[run["name"]] = min(ratio, best.get(run["name"], ratio))
    return best


def losses(before, after):
    """(change, name, ratio before, ratio after) of all in `before`, the worst first; what is gone
    has changed without limit."""
    changes = []
    for name, old in before.items():
        new = after.get(name, float("inf"))
        changes.append((new / old, name, old, new))
    return sorted(changes, reverse=True)


def compare(before, after):
    """Prints what changed by more than the limit; 1 if something was lost, 2 if all is missing."""
    before, after = ratios(before), ratios(after)
    if not before:
        print("no benchmark with a baseline")
        return 2
    lost = False
    for change, name, old, new in losses(before, after):
        if change > LIMIT:
            lost = True
            gone = new == float("inf")
            print(f"lost: {name}: " + ("gone" if gone else f"x{old:.2f} -> x{new:.2f}"))
        elif change < 1 / LIMIT:
            print(f"gained: {name}: x{old:.2f} -> x{new:.2f}")
    print(f"{len(before)} ratios compared")
    return int(lost)


def self_test():
    def results(**ratio):
        runs = [{"name": name, "ns": 50.0 * r, "base_ns": 50.0} for name, r in ratio.items()]
        return {"benchmarks": runs}

    old = results(read=1.2, write=3.0)
    faster_machine = json.loads(json.dumps(old))
    for run in faster_machine["benchmarks"]:
        run["ns"] /= 4
        run["base_ns"] /= 4
    twice = results(read=9.0, write=3.0)
    twice["benchmarks"] += old["benchmarks"]
    mean = results(read=1.2, write=3.0)
    mean["benchmarks"].append({"name": "read", "run_type": "aggregate", "ns": 1.0, "base_ns": 1e6})
    cases = [
        ("the same", old, old, 0),
        ("another machine", old, faster_machine, 0),
        ("9 % slower", old, results(read=1.2 * 1.09, write=3.0), 0),
        ("11 % slower", old, results(read=1.2 * 1.11, write=3.0), 1),
        ("one much faster, one slower", old, results(read=0.1, write=3.5), 1),
        ("gone", old, results(read=1.2), 1),
        ("new", old, results(read=1.2, write=3.0, open=9.0), 0),
        ("one of two runs disturbed", old, twice, 0),
        ("an aggregate is no run", mean, old, 0),
        ("nothing to compare", {"benchmarks": [{"name": "read", "ns": 1.0}]}, old, 2),
    ]
    for name, before, after, expected in cases:
        if compare(before, after) != expected:
            sys.exit(f"self-test failed: {name}")
    print(f"self-test: {len(cases)} cases")


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    elif len(sys.argv) == 3:
        sys.exit(compare(load(sys.argv[1]), load(sys.argv[2])))
    else:
        sys.exit(__doc__.splitlines()[0])
