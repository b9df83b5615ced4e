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
disk[1 << 20 : (1 << 20) + 300000] = random.randbytes(300000)
open("disk.raw", "wb").write(disk)
for at in (5000, 0xFFFF0, 2500000):  # as main.cpp does
    disk[at : at + 1000] = bytes(i * 7 & 0xFF for i in range(1000))
open("expected.raw", "wb").write(disk)
PY
qemu-img convert -O vpc -o subformat=dynamic,force_size=on -f raw disk.raw disk.vhd
qemu-img convert -O qcow2 -f raw disk.raw disk.qcow2
qemu-img convert -O vhdx -o block_size=1M,log_size=1M -f raw disk.raw disk.vhdx

# build TARGET STARTUP SCRIPT: makes TARGET.elf
build() {
    for source in main memory "$2"; do
        compile_for "$1" -fno-tree-loop-distribute-patterns -c "$here/$source.cpp" \
            -o "$1.$source.o"
    done
    compile_for "$1" -c "$here/images.S" -Wa,-I,"$work" -o "$1.images.o"
    compile_for "$1" -nostdlib -Wl,-T,"$here/$3",--gc-sections,--no-warn-rwx-segments "$1".*.o \
        -lgcc -o "$1.elf"
}

# run TARGET QEMU ARGUMENT...: runs TARGET.elf and looks at what it wrote
run() {
    target=$1 && shift
    cp disk.vhd written.vhd
    cp disk.qcow2 written.qcow2
    timeout 60 "$@" -nodefaults -display none -serial none -monitor none \
        -semihosting-config enable=on,target=native -kernel "$target.elf" >output 2>&1 ||
        { cat output && echo "failed: $target" && exit 1; }
    grep -v 'has no peer' output # QEMU, of a network that nobody wants
    qemu-img check -q written.qcow2
    qemu-img compare -q -f raw -F qcow2 expected.raw written.qcow2
    qemu-img compare -q -f raw -F vpc expected.raw written.vhd
}

each() { # TARGET
    case $1 in
    riscv64)
        build riscv64 startup_riscv link_riscv.ld
        run riscv64 qemu-system-riscv64 -M virt -bios none -m 64
        ;;
    *)
        build "$1" startup link.ld
        run "$1" qemu-system-arm -M mps2-an386 # which runs what is built for an M0, too
        ;;
    esac
}

if [ "${1:-}" = --stack ]; then
    each "$2" | grep -v CRC
    exit
fi
for target in m4 m0 riscv64; do
    echo "== $target"
    each "$target"
done
