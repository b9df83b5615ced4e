#!/usr/bin/env python3
"""compare.py RESULTS.tsv TABLE.md PLOT.svg: what compare.sh measured, as a table and as bars.

Ratios are those of the medians; below 1 vdisk is faster.
"""
import sys
from html import escape

PEERS = ("qemu-img", "nbdcopy", "7-Zip")
COLORS = {"qemu-img": "#4477aa", "nbdcopy": "#ccbb44", "7-Zip": "#aa3377"}


def load(path):
    """(what was measured and where, {case: {program: (least, median, peak MiB, stored MiB)}})"""
    about, cases = [], {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("#"):
                about.append(line[1:].strip())
                continue
            case, program, *figures = line.rstrip("\n").split("\t")
            cases.setdefault(case, {})[program] = tuple(float(figure) for figure in figures)
    return about, cases


def ratio(programs, peer):
    return programs["vdisk"][1] / max(programs[peer][1], 0.01)


def shown_ms(ms):
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}"


def table(about, cases):
    notes = [line for line in about if line.startswith("[")]  # of cases that bear such a mark
    lines = [". ".join(line for line in about if line not in notes) + ".", "",
             "Median ms; in brackets vdisk's as a share of it (below 1: vdisk is faster); peak",
             "memory of vdisk and qemu-img in MiB; size of the result beside qemu-img's.", "",
             "| case | vdisk | " + " | ".join(PEERS) + " | memory | size |", "|---" * 7 + "|"]
    for case, programs in cases.items():
        ours, theirs = programs["vdisk"], programs["qemu-img"]
        cells = [f"{shown_ms(programs[p][1])} ({ratio(programs, p):.2f})" if p in programs else ""
                 for p in PEERS]
        stored = f"{(ours[3] / theirs[3] - 1) * 100:+.1f} %" if ours[3] and theirs[3] else ""
        lines.append(f"| {case} | {shown_ms(ours[1])} | " + " | ".join(cells) +
                     f" | {ours[2]:.1f}, {theirs[2]:.1f} | {stored} |")
    gaps = [(ratio(programs, peer), case, peer) for case, programs in cases.items()
            for peer in PEERS if peer in programs and ratio(programs, peer) > 1]
    lines += [""] + [f"{note}." for note in notes]
    lines += ["", "Known gaps, where another program is faster:" if gaps else
              "Known gaps: none; no other program was faster in any case."]
    lines += [f"- {case}: {worse:.2f} times the time of {peer}"
              for worse, case, peer in sorted(gaps, reverse=True)]
    return "\n".join(lines) + "\n"


def plot(about, cases):
    bars = [(case, peer, ratio(programs, peer)) for case, programs in cases.items()
            for peer in PEERS if peer in programs]
    left, unit, row, top, widest = 230, 300, 15, 44, 1.5  # the bar of 1 has `unit` pixels
    height, width = top + row * len(bars) + 16 + 14 * len(about), left + int(unit * widest) + 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           '<text x="8" y="16" font-size="13">Time of vdisk, as a share of the time of</text>']
    x = left + 20
    for peer in PEERS:
        out.append(f'<rect x="{x}" y="7" width="10" height="10" fill="{COLORS[peer]}"/>'
                   f'<text x="{x + 14}" y="16">{peer}</text>')
        x += 80
    shown = None
    for i, (case, peer, value) in enumerate(bars):
        y = top + i * row
        if case != shown:
            out.append(f'<text x="{left - 6}" y="{y + 10}" text-anchor="end">{escape(case)}</text>')
            shown = case
        length = unit * min(value, widest)
        out.append(f'<rect x="{left}" y="{y + 1}" width="{length:.1f}" height="{row - 4}" '
                   f'fill="{COLORS[peer]}"/>'
                   f'<text x="{left + length + 4:.1f}" y="{y + 10}">{value:.2f}</text>')
    bottom = top + row * len(bars)
    for value in (0, 0.5, 1):
        at = left + unit * value
        out.append(f'<line x1="{at}" y1="{top - 6}" x2="{at}" y2="{bottom}" stroke="#888" '
                   f'stroke-dasharray="{"none" if value == 1 else "2 3"}"/>'
                   f'<text x="{at}" y="{top - 10}" text-anchor="middle">{value:g}</text>')
    for i, line in enumerate(about):
        out.append(f'<text x="8" y="{bottom + 20 + 14 * i}" fill="#555">{escape(line)}</text>')
    return "\n".join(out) + "\n</svg>\n"


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__.splitlines()[0])
    measured = load(sys.argv[1])
    for path, text in ((sys.argv[2], table(*measured)), (sys.argv[3], plot(*measured))):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
