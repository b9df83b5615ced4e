"""Reads `llvm-cov export` and prints how much of a folder was run: coverage.py EXPORT FOLDER
[--missing] [--lines PERCENT] [--branches PERCENT]; exit code 1 below the limits.

Every instantiation of a template is a function of its own there; here a line or a branch counts
once, and is covered if it is in any of them. Branches are those of the source: each condition once
true, once false. What the compiler adds (paths of exceptions, destructors) is none. A condition
that the compiler decides is none either: see DECIDED. A header with code that no program has is not
run at all, and fails: the compiler writes nothing down about templates that nobody instantiates.
"""
import argparse
import collections
import glob
import json
import os
import re

# What stands on such a line and was neither true nor false where the line was run is no branch of
# the program: the compiler has decided it.
DECIDED = re.compile('|'.join((
    r'if constexpr',                # by type
    r'\bOrder ==',                  # a parameter of the template
    r'is_constant_evaluated',       # whether the compiler itself calculates
    r'may_have_instruction',        # the processor that is compiled for
    r'sizeof\(size_t\) <',          # the same
    r'while \(true\)',
)))


def lines_of(segments):
    """{line: times} of one file, by the rules of llvm-cov: a line has the most frequent of its
    regions."""
    times = {}
    wrapped, at = None, 0
    by_line = collections.defaultdict(list)
    for line, _, count, has_count, is_entry, is_gap in segments:
        by_line[line].append((count, has_count, is_entry, is_gap))
    if not by_line:
        return times
    for at in range(min(by_line), max(by_line) + 1):
        here = by_line.get(at, [])
        starts = [count for count, has, entry, gap in here if has and entry and not gap]
        is_skipped = bool(here) and not here[0][1] and here[0][2]
        if not is_skipped and (starts or (wrapped and wrapped[1])):
            times[at] = max(starts + ([wrapped[0]] if wrapped and wrapped[1] else []))
        if here:
            wrapped = here[-1]
    return times


def branches_of(records, times, text):
    """{place: [times true, times false]} of one file"""
    found = collections.defaultdict(lambda: [0, 0])
    for line, column, end, end_column, true, false, *_ in records:
        both = found[line, column, end, end_column]
        both[0] += true
        both[1] += false

    def is_decided(line):
        return times.get(line) and DECIDED.search(text[line - 1])
    return {place: both for place, both in found.items() if any(both) or not is_decided(place[0])}


def has_code(path):
    """Whether a header has a function body that does something: `return` outside a comment."""
    with open(path, encoding='utf-8') as source:
        return any(re.search(r'\breturn\b', line.split('//')[0]) for line in source)


def unseen(root, seen):
    """Headers below `root` with code that is in no program."""
    headers = glob.glob(root + '**/*.hpp', recursive=True)
    return [name for name in sorted(headers) if name not in seen and has_code(name)]


def share(part, whole):
    return 100 * part / whole if whole else 100


def main():
    args = argparse.ArgumentParser()
    args.add_argument('export')
    args.add_argument('folder')
    args.add_argument('--missing', action='store_true', help='print what was not run')
    args.add_argument('--lines', type=float, default=0)
    args.add_argument('--branches', type=float, default=0)
    args = args.parse_args()

    root = os.path.realpath(args.folder) + '/'
    sums = collections.defaultdict(lambda: [0, 0, 0, 0])  # lines, run; branches, taken
    with open(args.export, encoding='utf-8') as export:
        files = [file for part in json.load(export)['data'] for file in part['files']]
    for file in files:
        path = os.path.realpath(file['filename'])
        if not path.startswith(root):
            continue
        name = path[len(root):]
        times = lines_of(file['segments'])
        with open(path, encoding='utf-8') as source:
            text = source.read().splitlines()
        branches = branches_of(file['branches'], times, text)
        here = [len(times), sum(1 for n in times.values() if n),
                2 * len(branches), sum(1 for both in branches.values() for n in both if n)]
        for key in (os.path.dirname(name), 'all of it'):
            sums[key] = [a + b for a, b in zip(sums[key], here)]
        if args.missing:
            text = open(path, encoding='utf-8').read().splitlines()
            for line, n in sorted(times.items()):
                if not n:
                    print(f'{name}:{line}: not run: {text[line - 1].strip()}')
            for (line, column, end, end_column), both in sorted(branches.items()):
                if times.get(line) and not all(both):
                    last = end_column - 1 if end == line else None
                    what = text[line - 1][column - 1:last]
                    never = 'false' if both[0] else 'true' if both[1] else 'reached'
                    print(f'{name}:{line}: never {never}: {what}')

    print(f'{"folder":<16}{"lines":>8}{"run":>9}{"branches":>11}{"taken":>9}')
    for name in sorted(sums, key=lambda name: (name == 'all of it', name)):
        lines, run, branches, taken = sums[name]
        print(f'{name:<16}{lines:>8}{share(run, lines):>8.1f}%'
              f'{branches:>11}{share(taken, branches):>8.1f}%')
    missing = unseen(root, {os.path.realpath(file['filename']) for file in files})
    if missing:
        raise SystemExit('in no program: ' + ' '.join(name[len(root):] for name in missing))
    lines, run, branches, taken = sums['all of it']
    if share(run, lines) < args.lines or share(taken, branches) < args.branches or not lines:
        raise SystemExit(f'below the limits: {args.lines} % of lines, {args.branches} % of branches')


main()
