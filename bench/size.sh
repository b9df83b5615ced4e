#!/bin/sh
# Code, memory and stack of every format on small machines, at -Os: read from flash (rom, no memory
# but the object), and through a storage behind a table of functions read-only (ro) and read-write
# (rw), with a page of 512 bytes for tables.
#
#   size.sh                   a table for all targets, with compile times; takes a minute
#   size.sh --check [FILE]    a table for the Cortex-M4 alone, also written to FILE; fails where a
#                             figure is beyond its limit in size/limits.txt
#   size.sh --functions FORMAT rom|ro|rw    bytes of each function on the Cortex-M4;
#                             size/parts.py sums them up
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
. "$root/tests/need.sh"
. "$root/tests/bare_metal.sh"
need arm-none-eabi-g++ arm-none-eabi-size python3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
bare_metal_includes "$work/inc"
formats="raw vhd qcow qcow2 vhdx"

# entries FORMAT rom|ro|rw: the C++ of this format's entry points
entries() {
    class=Image storage=StorageRef memory=", OnePage" more=", OnePage(*page)"
    case $2 in
    rom) storage=MemoryStorage memory=", NoAllocation" more= ;;
    rw) class=Writer memory=", Arena" more=", Arena(*memory)" ;;
    esac
    case $1-$2 in
    raw-*) memory='' more='' ;;
    qcow*) memory="$memory, NoCodec" ;;
    vhdx-rw) memory="$memory, SeededIds" more="$more, SeededIds(1)" ;;
    esac
    image="$1::$class<$storage$memory>"
    cat <<CPP
using ${1}_I = $image;
char ${1}_object[sizeof(${1}_I)];
bool ${1}_open(void* to, $storage s, [[maybe_unused]] ArenaMemory* memory,
               [[maybe_unused]] Page* page, Error* e) {
    return open<${1}_I>(to, s, e$more);
}
bool ${1}_read(const ${1}_I* i, uint64_t at, byte* out, size_t n, Error* e) {
    return read(i, at, out, n, e);
}
CPP
    [ "$2" != rw ] || cat <<CPP
bool ${1}_write(${1}_I* i, uint64_t at, const byte* in, size_t n, MutBytes scratch, Error* e) {
    return write(i, at, in, n, scratch, e);
}
bool ${1}_flush(${1}_I* i, Error* e) { return flush(i, e); }
CPP
}

# source_of MODE FORMAT...: a file of C++
source_of() {
    mode=$1 && shift
    header=image
    [ "$mode" != rw ] || header=writer
    echo '#include "size/probe.hpp"'
    for format in "$@"; do echo "#include <vdisk/format/$format/$header.hpp>"; done
    echo 'using namespace probe;'
    for format in "$@"; do entries "$format" "$mode"; done
}

# translate TARGET MODE NAME FORMAT...: NAME.MODE.o
translate() {
    target=$1 mode=$2 name=$3 && shift 3
    source_of "$mode" "$@" >"$work/$name.$mode.cpp"
    compile_for "$target" -I "$here" -fcallgraph-info=su -c "$work/$name.$mode.cpp" \
        -o "$work/$name.$mode.o"
}

# measure TOOLS NAME MODE: "NAME MODE code constants literals object frame stack rules"; rules are
# what can be wrong: each has a check, a place and a text
measure() {
    object=$work/$2.$3.o
    printf '%s %s ' "$2" "$3"
    "${1}size" -A "$object" | awk '
        $1 ~ /^[.]text/ { text += $2 }
        $1 ~ /^[.]s?rodata.*[.]str/ { strings += $2; next }
        $1 ~ /^[.]s?rodata/ { constants += $2 }
        END { printf "%d %d %d ", text, constants, strings }'
    "${1}nm" -S -t d "$object" | awk '
        /_object$/ && $2 > most { most = $2 + 0 }
        END { printf "%d ", most }'
    python3 "$here/size/stack.py" "${object%.o}.ci" | tr '\n' ' '
    "${1}strings" -n 8 "$object" | grep -c '^[a-z0-9]*: ' || true
}

every() { # TARGET
    running=
    for mode in rom ro rw; do # three at once
        # shellcheck disable=SC2086 # a list
        {
            for format in $formats; do translate "$1" $mode "$format" "$format"; done
            translate "$1" $mode all $formats
        } &
        running="$running $!"
    done
    for one in $running; do wait "$one" || exit 1; done
    case $1 in
    riscv64) tools=riscv64-unknown-elf- ;;
    x86-64) tools= ;;
    *) tools=arm-none-eabi- ;;
    esac
    for mode in rom ro rw; do
        for name in $formats all; do measure "$tools" "$name" $mode; done
    done
}

row() { printf '%-8s %-4s %7s %9s %8s %7s %6s %6s %6s\n' "$@"; }

# Read with the table on standard input: what is beyond its limit.
compare() {
    awk '
        FNR == NR { if ($1 !~ /^#/ && NF > 0) limit[$1 " " $2] = $0; next }
        $1 == "format" { split($0, column); next }
        {
            name = $1 " " $2
            if (!(name in limit)) { print name ": has no limits"; failed = 1; next }
            split(limit[name], most)
            if ($3 + 0 > 0) delete limit[name]
            for (i = 3; i < NF; ++i) {  # rules may grow
                if ($i + 0 <= most[i] + 0) continue
                print name ": " column[i] " is " $i ", and may be " most[i]
                failed = 1
            }
        }
        END {
            for (name in limit) { print name ": was not measured"; failed = 1 }
            exit failed
        }' "$here/size/limits.txt" -
}

table() { # TARGET
    row format mode code constants literals object frame stack rules
    # shellcheck disable=SC2086 # a line of nine words
    every "$1" | while read -r line; do row $line; done
}

if [ "${1:-}" = --functions ]; then
    translate m4 "$3" "$2" "$2"
    arm-none-eabi-nm -S -C -t d "$work/$2.$3.o" |
        sed -n 's/^[0-9]* 0*\([0-9]*\) [tTwW] \(vdisk::\)\{0,1\}/\1 /p' | sort -u | sort -rn
    exit
fi
if [ "${1:-}" = --check ]; then
    table m4 >"$work/table"
    cat "$work/table"
    [ $# -lt 2 ] || cp "$work/table" "$2"
    compare <"$work/table"
    exit
fi

for target in m4 m0 riscv64 x86-64; do
    echo "== $target, -Os, bytes"
    table "$target"
done
echo "== compile time of one header, x86-64, -O2, least of three, seconds of the processor"
for format in $formats; do
    echo "#include <vdisk/format/$format/image.hpp>" >"$work/one.cpp"
    for _ in 1 2 3; do
        python3 - "$work" "$root" <<'PY'
import resource, subprocess, sys
subprocess.run(["g++", "-std=c++20", "-O2", "-I", sys.argv[2] + "/include", "-c", "one.cpp"],
               cwd=sys.argv[1], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{used.ru_utime + used.ru_stime:.2f}")
PY
    done | sort -n | head -n 1 | sed "s/^/$format /"
done
echo "== stack as it was used, Cortex-M4 under QEMU"
sh "$root/examples/firmware-cortex-m/run.sh" --stack m4
