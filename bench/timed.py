#!/usr/bin/env python3
"""timed.py CASE FORMAT ROUNDS: what programs take that do the same, in ROUNDS rounds of turns.

The input lists a program and its command per line, vdisk first. Each command makes the same disk
as "out", of FORMAT, or makes no file. Prints a line for each: CASE, program, the least and the
median ms, peak MiB (0 without GNU time), the MiB that the result takes.

timed.py --machine: date, processor and system. timed.py --floor: the ms that `true` takes.
"""
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

TURN = 0.1  # seconds that a turn lasts at least: short commands run in it again and again
GNU_TIME = "/usr/bin/time"
NO_OUTPUT = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
             (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


def run(command):
    """Seconds from the start of `command` to its end. What it prints is lost."""
    start = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ, file_actions=NO_OUTPUT)
    _, status = os.waitpid(child, 0)
    taken = time.perf_counter() - start
    if status != 0:
        sys.exit(f"timed.py: failed: {' '.join(command)}")
    return taken


def turn(command):
    """Seconds of each run."""
    taken = []
    while sum(taken) < TURN:
        remove("out")
        taken.append(run(command))
    return taken


def peak(command):
    """Runs it once; MiB. The system counts the memory of whoever starts a program as the program's
    own, and Python has more than vdisk: so a small program has to start it."""
    remove("out")
    if not os.access(GNU_TIME, os.X_OK):
        run(command)
        return 0.0
    run([GNU_TIME, "-f", "%M", "-o", "memory", *command])
    with open("memory", encoding="ascii") as file:
        return int(file.read()) / 1024


def remove(path):
    if os.path.exists(path):
        os.remove(path)


def stored():
    """MiB that the result takes; 0 if there is none."""
    return os.stat("out").st_blocks * 512 / 2**20 if os.path.exists("out") else 0.0


def compare_results(case, image_format, program, tool):
    """Ends all if `program` did not make the disk that vdisk made before it."""
    if not os.path.exists("out"):
        return
    if program == "vdisk":
        os.rename("out", "ours")
        if image_format in ("qcow2", "vhdx"):
            subprocess.run(["qemu-img", "check", "-q", "-f", image_format, "ours"], check=True)
        return
    same = [tool, "compare", "-q", "-f", image_format, "-F", image_format, "ours", "out"]
    if subprocess.run(same, check=False).returncode != 0:
        sys.exit(f"{case}: the result of {program} is another disk")


def measure(case, image_format, rounds, commands):
    """The lines that are printed. The first run of each is not timed: it warms the caches."""
    figures = {}
    for program, command in commands.items():
        figures[program] = (peak(command), stored())
        compare_results(case, image_format, program, commands["vdisk"][0])
    remove("ours")
    taken = {program: [] for program in commands}
    for _ in range(rounds):
        for program, command in commands.items():
            taken[program] += turn(command)
    remove("out")
    for program, (memory, size) in figures.items():
        least, median = min(taken[program]), statistics.median(taken[program])
        yield f"{case}\t{program}\t{least * 1e3:.2f}\t{median * 1e3:.2f}\t{memory:.1f}\t{size:.1f}"


def machine():
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    system = ".".join(platform.release().split(".")[:2])
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{date}; {model}, {os.cpu_count()} processors, Linux {system}"


def floor():
    return statistics.median(turn([shutil.which("true")])) * 1e3


def main():
    if sys.argv[1:] == ["--machine"]:
        print(machine())
    elif sys.argv[1:] == ["--floor"]:
        print(f"{floor():.2f}")
    elif len(sys.argv) == 4:
        commands = {}
        for line in sys.stdin:
            program, name, *words = line.split()
            commands[program] = [shutil.which(name) or name, *words]
        for line in measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), commands):
            print(line, flush=True)
    else:
        sys.exit(__doc__.splitlines()[0])


if __name__ == "__main__":
    main()
