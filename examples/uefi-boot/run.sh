#!/bin/sh
# Boots a virtual machine whose firmware starts our program, which starts another from inside a
# qcow2, a VHD and a VHDX. Passes by what comes out of the debug port.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
. "$root/tests/need.sh"
. "$root/tests/bare_metal.sh"
need arm-none-eabi-g++ clang++ lld-link qemu-system-x86_64 qemu-img mkfs.fat mcopy

code=
for file in OVMF_CODE_4M.fd OVMF_CODE.fd; do
    [ -n "$code" ] || [ ! -e "/usr/share/OVMF/$file" ] || code=/usr/share/OVMF/$file
done
[ -n "$code" ] || need OVMF_CODE.fd # which is no command: tells and ends

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
bare_metal_includes "$work/inc"
cd "$work"

program() { # NAME SOURCE...: NAME.efi
    name=$1 && shift
    for source in "$@"; do compile_for uefi -c "$source" -o "${source##*/}.o"; done
    lld-link -subsystem:efi_application -entry:efi_main -nodefaultlib -Brepro \
        -out:"$name.efi" $(printf '%s\n' "$@" | sed 's|.*/||; s|$|.o|')
}
program inner "$here/inner.cpp"
program outer "$here/main.cpp" "$root/examples/firmware-cortex-m/memory.cpp"
echo "outer.efi has $(wc -c <outer.efi) bytes"

# The disk inside: a file system with the program.
truncate -s 4M disk.raw
mkfs.fat -F 12 disk.raw >/dev/null
mcopy -i disk.raw inner.efi ::INNER.EFI
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
qemu-img convert -f raw -O vpc -o subformat=dynamic,force_size=on disk.raw disk.vhd
qemu-img convert -f raw -O vhdx -o block_size=1M,log_size=1M disk.raw disk.vhdx

mkdir -p esp/EFI/BOOT
cp outer.efi esp/EFI/BOOT/BOOTX64.EFI
cp "$(echo "$code" | sed s/CODE/VARS/)" vars.fd
# Machine, firmware, our program, and each image as a disk of the same bytes.
timeout 120 qemu-system-x86_64 -machine q35,accel=tcg -m 256 -nodefaults -display none -net none \
    -drive if=pflash,format=raw,readonly=on,file="$code" -drive if=pflash,format=raw,file=vars.fd \
    -drive if=none,id=esp,format=raw,file=fat:rw:esp -device virtio-blk-pci,drive=esp,bootindex=0 \
    -drive if=none,id=a,format=raw,file=disk.qcow2 -device virtio-blk-pci,drive=a \
    -drive if=none,id=b,format=raw,file=disk.vhd -device virtio-blk-pci,drive=b \
    -drive if=none,id=c,format=raw,file=disk.vhdx -device ide-hd,drive=c \
    -debugcon file:output -global isa-debugcon.iobase=0x402 -no-reboot ||
    { echo "failed: qemu" && exit 1; }

grep -a -E '^(outer|inner): ' output || true
for format in qcow2 vhd vhdx; do
    grep -a -q "^outer: $format of 4194304 bytes" output || { echo "failed: $format" && exit 1; }
done
[ "$(grep -a -c '^inner: started' output)" = 3 ] || { echo "failed: inner" && exit 1; }
grep -a -q '^outer: images started from: 3' output
