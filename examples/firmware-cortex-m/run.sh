#!/bin/sh
# Builds the program for a Cortex-M4, a Cortex-M0 and a 64-bit RISC-V, runs each under QEMU, and
# looks at the images they wrote.
#
#   run.sh                  prints what the programs print; fails where one of them does
#   run.sh --stack TARGET   prints the lines about memory alone: for bench/size.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
. "$root/tests/need.sh"
. "$root/tests/bare_metal.sh"
. "$root/tests/zlib_source.sh"
need arm-none-eabi-g++ qemu-system-arm riscv64-unknown-elf-g++ qemu-system-riscv64 qemu-img python3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
bare_metal_includes "$work/inc"
cd "$work"

# Two stretches of data, and a VHD's second block that is not there.
python3 - <<'PY'
import random
random.seed(6)
disk = bytearray(3 << 20)
disk[0:65536] = random.randbytes(65536)
disk[1 << 20 : (1 << 20) + 300000] = bytes(i * i >> 7 & 0xFF for i in range(300000))
open("disk.raw", "wb").write(disk)
for at in (5000, 0xFFFF0, 2500000):  # as main.cpp does
    disk[at : at + 1000] = bytes(i * 7 & 0xFF for i in range(1000))
open("expected.raw", "wb").write(disk)
PY
qemu-img convert -O vpc -o subformat=dynamic,force_size=on -f raw disk.raw disk.vhd
qemu-img convert -O qcow2 -f raw disk.raw disk.qcow2
qemu-img convert -O qcow2 -c -o cluster_size=8k -f raw disk.raw packed.qcow2
qemu-img convert -O vhdx -o block_size=1M,log_size=1M -f raw disk.raw disk.vhdx

# build NAME TARGET SCRIPT PROGRAM STARTUP OTHER...: makes NAME.elf
build() {
    name=$1 target=$2 script=$3 program=$4 startup=$5 && shift 5
    for source in "$program" "$startup" memory; do
        compile_for "$target" -fno-tree-loop-distribute-patterns -c "$here/$source.cpp" \
            -o "$name.$source.o"
        set -- "$@" "$name.$source.o"
    done
    compile_for "$target" -nostdlib -Wl,-T,"$here/$script",--gc-sections,--no-warn-rwx-segments \
        "$@" -lgcc -o "$name.elf"
}

# run_program NAME QEMU ARGUMENT...: runs NAME.elf and prints what it says
run_program() {
    name=$1 && shift
    timeout 60 "$@" -nodefaults -display none -serial none -monitor none \
        -semihosting-config enable=on,target=native -kernel "$name.elf" >output 2>&1 ||
        { cat output && echo "failed: $name" && exit 1; }
    grep -v 'has no peer' output # QEMU, of a network that nobody wants
}

# The main program, and what it wrote.
run_main() { # TARGET QEMU ARGUMENT...
    cp disk.vhd written.vhd
    cp disk.qcow2 written.qcow2
    run_program "$@"
    qemu-img check -q written.qcow2
    qemu-img compare -q -f raw -F qcow2 expected.raw written.qcow2
    qemu-img compare -q -f raw -F vpc expected.raw written.vhd
}

build_main() { # TARGET
    compile_for "$1" -c "$here/images.S" -Wa,-I,"$work" -o "$1.images.o"
    case $1 in
    riscv64) build "$1" "$1" link_riscv.ld main startup_riscv "$1.images.o" ;;
    *) build "$1" "$1" link.ld main startup "$1.images.o" ;;
    esac
}

run_target() { # TARGET; what is built for an M0 runs on an M4, too
    case $1 in
    riscv64) run_main "$1" qemu-system-riscv64 -M virt -bios none -m 64 ;;
    *) run_main "$1" qemu-system-arm -M mps2-an386 ;;
    esac
}

# Compressed clusters, with zlib's decoder built from source.
packed() {
    for source in inflate inftrees inffast zutil adler32; do
        arm-none-eabi-gcc -mcpu=cortex-m4 -mthumb -Os -ffreestanding -ffunction-sections \
            -fdata-sections -DZ_SOLO -DNO_GZIP -isystem inc -c "zlib/$source.c" -o "zlib/$source.o"
    done
    cp zlib/zlib.h zlib/zconf.h inc
    build m4-packed m4 link.ld packed startup zlib/*.o
    run_program m4-packed qemu-system-arm -M mps2-an386
    arm-none-eabi-nm --defined-only zlib/*.o | awk '{ print $3 }' >names
    arm-none-eabi-nm -S -t d m4-packed.elf | awk '
        FNR == NR { mine[$1]; next }
        $4 in mine { sum += $2 }
        END { print "packed qcow2: zlib has " sum " bytes of code and constants" }' names -
}

if [ "${1:-}" = --stack ]; then
    build_main "$2"
    run_target "$2" | grep -v CRC
    exit
fi
for target in m4 m0 riscv64; do build_main $target & done # side by side
wait
for target in m4 m0 riscv64; do
    echo "== $target"
    run_target $target
done
echo "== m4 with zlib"
if zlib_source "$work/zlib"; then packed; else echo 'skipped: apt has no source of zlib here'; fi
