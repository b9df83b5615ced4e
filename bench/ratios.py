#!/usr/bin/env python3
"""ratios.py VDISK_BENCH [OPTION...]: runs the benchmarks three times and writes results/ratios.md
beside this file (into $RESULTS if that names a folder): the ratio of each to its physical baseline,
and all that are above their target in README.md or above twice the baseline, with the reason.

The OPTIONs go to VDISK_BENCH, --benchmark_filter=WORD for a part; then $RESULTS has to be set.
"""
import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch

sys.dont_write_bytecode = True
from timed import machine  # noqa: E402

RUNS = 3
GAP = 2.0
TASKS = ("read", "lookup", "open", "check", "write", "flush", "crc32c", "pack", "unpack")

# Why a ratio is above GAP: the first pattern that fits counts.
REASONS = (
    ("lookup/*/mmap/*", "a system call or two per look-up, to be sure of the file's size"),
    ("lookup/*", "each look-up is checked, and by `pread` finds its page in the table cache; the "
                 "baseline is bare loads, which the processor overlaps"),
    ("read/*/mmap/*", "two or three system calls for the file's size beside one `pread`"),
    ("open/vhdx/*", "two headers and a region table of 64 KiB are read, with their checksums (37 "
                    "reads); the baseline is 112 bytes"),
    ("open/vpc/*", "footer and header are read, with their checksums (three reads)"),
    ("open/qcow2*/pread/*", "a second read, of the header extensions, and the table cache"),
    ("open/qcow2*/mmap/*", "a system call for the file's size beside the read"),
    ("open/*", "the header is checked; the baseline copies 112 bytes"),
    ("check/qcow2*", "page faults of fresh memory for the table cache, about 90"),
    ("check/vhdx/*", "more than a hundred reads of 4 KiB, with checksums, beside one read"),
    ("check/vpc/*", "seven reads beside one, and checksums"),
    ("write/*/memory/4k-allocate", "all of a new cluster or block is zeroed for 4 KiB of it"),
    ("write/qcow*/pread/4k-allocate", "the file grows by an `ftruncate` per cluster, and tables "
                                      "are touched for the first time"),
    ("crc32c/*", "a checksum of 4 KiB beside a `memcpy` of them"),
)


def measure(bench, options):
    command = [bench, "--benchmark_min_time=0.05", f"--benchmark_repetitions={RUNS}",
               "--benchmark_format=json", *options]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def ratios(results):
    """{name: ratio}: of the least times of all runs."""
    least = {}
    for run in results["benchmarks"]:
        if run.get("error_occurred"):
            sys.exit(f"ratios.py: {run['name']}: {run.get('error_message')}")
        if run.get("run_type") == "iteration" and run.get("base_ns"):
            times = run["ns"], run["base_ns"]
            least[run["name"]] = tuple(map(min, times, least.get(run["name"], times)))
    return {name: ns / base_ns for name, (ns, base_ns) in least.items()}


def times(ratio):
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:.0f}"


def place(row, storages):
    task, _, storage, how = row.split("/")
    return TASKS.index(task), storages.index(storage), how


def table(found, tasks):
    """A row per task, storage and how; a column per format or codec."""
    rows, columns = {}, []
    for name, ratio in found.items():
        task, column, rest = name.split("/", 2)
        if task in tasks:
            rows.setdefault(f"{task}/*/{rest}", {})[column] = ratio
            if column not in columns:
                columns.append(column)
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    # The storages stay in the order of the benchmarks, levels and the like are sorted.
    storages = list(dict.fromkeys(row.split("/")[2] for row in rows))
    for row, cells in sorted(rows.items(), key=lambda item: place(item[0], storages)):
        texts = [times(cells[c]) if c in cells else "" for c in columns]
        lines.append(f"| `{row}` | " + " | ".join(texts) + " |")
    return lines + [""] if rows else []


def targets(readme):
    """(pattern, at most) of the table there."""
    with open(readme, encoding="utf-8") as file:
        found = re.findall(r"^\| `(\w+/\S+)` \| x([\d.]+) \|", file.read(), re.MULTILINE)
    return [(pattern, float(limit)) for pattern, limit in found]


def missed(found, limits):
    lines = [f"- `{name}`: x{times(ratio)}, at most x{limit:.2f}"
             for pattern, limit in limits
             for name, ratio in found.items() if fnmatch(name, pattern) and round(ratio, 2) > limit]
    return ["Above the target:", ""] + lines if lines else ["Above the target: none."]


def slow(found):
    """A line for each reason, of all above GAP."""
    groups = {}
    for name, ratio in found.items():
        reason = next((r for r in REASONS if fnmatch(name, r[0])), (name, "no reason is known"))
        groups.setdefault(reason, []).append(ratio)
    lines = []
    for reason in (*REASONS, *(r for r in groups if r not in REASONS)):
        above = [ratio for ratio in groups.get(reason, []) if ratio > GAP]
        if above:
            span = f"x{times(min(above))}" + (f" to x{times(max(above))}" if len(above) > 1 else "")
            lines.append(f"- `{reason[0]}` ({len(above)} of {len(groups[reason])}, {span}): "
                         f"{reason[1]}")
    above = f"Above x{GAP:g} (a pattern has what no pattern before it has):"
    return [above, ""] + lines if lines else [f"Above x{GAP:g}: none."]


def page(found, limits):
    return "\n".join([
        f"{machine()}; the best times of {RUNS} runs.", "",
        "Time as a multiple of the physical baseline; what is done, and what is the baseline:",
        "[Benchmarks](../README.md#how-to-read-a-line).", "",
        *table(found, TASKS[:-2]), *table(found, TASKS[-2:]),
        "## Known gaps", "", *missed(found, limits), "", *slow(found)]) + "\n"


def main():
    here = os.path.dirname(os.path.realpath(__file__))
    if len(sys.argv) < 2:
        sys.exit(__doc__.splitlines()[0])
    if len(sys.argv) > 2 and not os.environ.get("RESULTS"):
        sys.exit("ratios.py: other options are not the result that is kept: set RESULTS")
    folder = os.environ.get("RESULTS") or os.path.join(here, "results")
    limits = targets(os.path.join(here, "README.md"))
    found = ratios(measure(sys.argv[1], sys.argv[2:]))
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "ratios.md"), "w", encoding="utf-8") as file:
        file.write(page(found, limits))


if __name__ == "__main__":
    main()
