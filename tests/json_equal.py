#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""json_equal.py OURS THEIRS: fails where members that both documents have differ. Ours must have
all the members that qemu-img 7.2 prints, but for `children`."""
import json
import sys

OPTIONAL = {"children"}


def differences(ours, theirs, where=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in theirs:
            if name in ours:
                yield from differences(ours[name], theirs[name], f"{where}.{name}")
            elif name not in OPTIONAL:
                yield f"{where}.{name} is missing"
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            yield f"{where} has {len(ours)} members, not {len(theirs)}"
        for i, (a, b) in enumerate(zip(ours, theirs)):
            yield from differences(a, b, f"{where}[{i}]")
    elif ours != theirs or type(ours) is not type(theirs):
        yield f"{where} is {ours!r}, not {theirs!r}"


found = list(differences(*(json.load(open(name, encoding="utf-8")) for name in sys.argv[1:3])))
print("; ".join(found[:3]))
sys.exit(bool(found))
