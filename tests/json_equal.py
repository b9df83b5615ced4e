#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""json_equal.py [--both] OURS THEIRS [OURS THEIRS...]: fails where members that both documents have
differ. Ours must have all the members that qemu-img 7.2 prints; what a newer one adds is left alone.
With --both theirs must have all of ours as well."""
import json
import sys

REQUIRED = set("""
    start length depth present zero data offset
    virtual-size filename cluster-size format actual-size format-specific type compat
    compression-type lazy-refcounts bitmaps flags name granularity refcount-bits encrypt data-file
    data-file-raw corrupt extended-l2 full-backing-filename backing-filename
    backing-filename-format encrypted dirty-flag snapshots icount vm-clock-nsec date-sec date-nsec
    vm-clock-sec id vm-state-size
    check-errors image-end-offset total-clusters allocated-clusters fragmented-clusters
    compressed-clusters corruptions leaks corruptions-fixed leaks-fixed
""".split())
# Where the lists of newer versions are longer: 7.2 (and ours) join neighbours that differ in these.
SPLITS_RUNS = {"compressed"}


def joined(runs):
    """Runs of `map`, joined as 7.2 does."""
    out = []
    for run in runs:
        run = {name: value for name, value in run.items() if name not in SPLITS_RUNS}
        last = out[-1] if out else {}
        follows = dict(run, start=last.get("start"), length=last.get("length"))
        if "offset" in run and "offset" in last:
            follows["offset"] = run["offset"] - last["length"]
        if follows == last:
            last["length"] += run["length"]
        else:
            out.append(run)
    return out


def differences(ours, theirs, where=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in theirs:
            if name in ours:
                yield from differences(ours[name], theirs[name], f"{where}.{name}")
            elif name in REQUIRED:
                yield f"{where}.{name} is missing"
    elif isinstance(ours, list) and isinstance(theirs, list):
        if any(isinstance(run, dict) and SPLITS_RUNS & set(run) for run in theirs):
            theirs = joined(theirs)
        if len(ours) != len(theirs):
            yield f"{where} has {len(ours)} members, not {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs)):
            yield from differences(a, b, f"{where}[{i}]")
    elif ours != theirs or type(ours) is not type(theirs):
        yield f"{where} is {ours!r}, not {theirs!r}"


def load(name):
    with open(name, encoding="utf-8") as file:
        return json.load(file)


names = sys.argv[1:]
both = names[0] == "--both"
documents = [load(name) for name in names[both:]]
found = []
for ours, theirs in zip(documents[::2], documents[1::2]):
    found += differences(ours, theirs)
    if both:
        found += differences(theirs, ours)
print("; ".join(found[:3]))
sys.exit(bool(found))
