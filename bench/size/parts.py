"""Reads `size.sh --functions` and sums the bytes up by class, or by namespace where a function is in
no class: parts.py [LEAST], which leaves out what has fewer bytes."""
import collections
import re
import sys


def part_of(name):
    plain = None
    while plain != name:  # from the inside out
        plain, name = name, re.sub(r'<[^<>]*>', '', name)
    words = re.sub(r'::\{lambda.*', '', name).split('(')[0].split()
    path = [word for word in words if '::' in word]
    return path[-1].rsplit('::', 1)[0].removeprefix('vdisk::') if path else 'entry points, the rest'


def main():
    least = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    sums = collections.Counter()
    for line in sys.stdin:
        size, name = line.rstrip().split(' ', 1)
        sums[part_of(name)] += int(size)
    for part, size in sums.most_common():
        if size >= least:
            print(f'{size:6} {part}')
    print(f'{sum(sums.values()):6} in all')


main()
