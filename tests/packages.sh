#!/bin/sh
# packages.sh [test|demo|bench|portability|ci]: installs what is missing of the Debian packages (12
# and newer) that the tests (the default), a release build with its demonstration, the benchmarks,
# portability.sh, or all of CI need. This is the one place that knows their names.
# shellcheck disable=SC2086 # lists of packages are words
set -eu

demo="g++ cmake ninja-build libboost-dev zlib1g-dev libdeflate-dev libzstd-dev libcli11-dev
      qemu-utils e2fsprogs"
bench="$demo libbenchmark-dev python3 7zip libnbd-bin time"
test="$demo pkg-config catch2 libbenchmark-dev python3 binutils 7zip libvhdi-utils
      gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib gcc-riscv64-unknown-elf
      qemu-system-arm qemu-system-misc qemu-system-x86 ovmf clang lld mtools dosfstools musl-tools"
portability="g++ ninja-build libboost-dev catch2 qemu-user g++-s390x-linux-gnu g++-i686-linux-gnu"
ci="$test $portability clang-format clang-tidy libclang-rt-dev llvm"

case ${1:-test} in
demo) wanted=$demo ;;
bench) wanted=$bench ;;
portability) wanted=$portability ;;
test) wanted=$test ;;
ci) wanted=$ci ;;
*) echo "usage: packages.sh [test|demo|bench|portability|ci]" >&2 && exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "packages.sh: this is not Debian; going on with what there is. Needed:" $wanted >&2
    exit 0
fi

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || true
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "packages.sh: neither root nor sudo; please install:$missing" >&2
    exit 1
fi

install() {
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends $missing
}
echo "installing:$missing"
install || { $as_root apt-get update -q && install; }
