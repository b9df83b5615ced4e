# stack.py FILE.ci...: the largest frame and the deepest stack, in bytes, of what GCC tells by
# -fcallgraph-info=su. What is called by a pointer (the medium) is not counted; of functions that
# call themselves one frame is.
import re
import sys

frames = {}
calls = {}
for path in sys.argv[1:]:
    for line in open(path):
        node = re.match(r'node: \{ title: "([^"]*)" label: "([^"]*)"', line)
        edge = re.match(r'edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"', line)
        if node:
            size = re.search(r"(\d+) bytes", node[2])
            frames[node[1]] = int(size[1]) if size else 0
        elif edge:
            calls.setdefault(edge[1], set()).add(edge[2])

deepest = {}


def depth(name, above=()):
    if name in above:
        return 0
    if name not in deepest:
        deepest[name] = frames.get(name, 0) + max(
            (depth(callee, above + (name,)) for callee in calls.get(name, ())), default=0
        )
    return deepest[name]


print(max(frames.values()), max(depth(name) for name in frames))
