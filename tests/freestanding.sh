#!/bin/sh
# Checks with compilers for bare metal that the freestanding set compiles there, that
# tests/freestanding.cpp needs nothing but four functions and the compiler's own helpers, and that a
# number of a file is read by one load and a byte swap.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
. "$here/need.sh"
. "$here/bare_metal.sh"
need arm-none-eabi-g++ arm-none-eabi-nm arm-none-eabi-objdump g++ objdump

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bare_metal_includes "$work/inc"

sh "$here/layers.sh" --freestanding | sed 's/.*/#include <&>/' >"$work/all.cpp"
compile_for m4 -fsyntax-only "$work/all.cpp"
echo "$(wc -l <"$work/all.cpp") headers compile"

# A library of version 13 or newer refuses <iosfwd>: this one says that it is one, and refuses.
mkdir "$work/newer"
cat >"$work/newer/iosfwd" <<'EOF'
#ifndef _GLIBCXX_IOSFWD
#error "This header is not available in freestanding mode."
#endif
EOF
cat >"$work/newer/release.h" <<'EOF'
#include <bits/c++config.h>
#undef _GLIBCXX_RELEASE
#define _GLIBCXX_RELEASE 13
EOF
echo '#include <vdisk/core/endian.hpp>' >"$work/newer/endian.cpp"
compile_for m4 -I "$work/newer" -include "$work/newer/release.h" -fsyntax-only \
    "$work/newer/endian.cpp"
echo "core/endian.hpp does without <iosfwd>"

compile_for m4 -c "$here/freestanding.cpp" -o "$work/freestanding.o"
# __aeabi_[u]ldivmod is 64-bit division: slow, and never needed where sizes are powers of two
arm-none-eabi-nm --undefined-only "$work/freestanding.o" | awk '
    $2 ~ /^mem(cpy|move|set|cmp)$/ { next }
    $2 ~ /^__c[lt]z[sd]i2$/ { next }
    $2 ~ /^__aeabi_/ && $2 !~ /^__aeabi_u?ldivmod$/ { next }
    { print "freestanding.cpp needs " $2; failed = 1 }
    END { exit failed }'
echo "freestanding.cpp needs nothing but four functions"

# The example of the project's README.
awk '/^## In firmware/ { there = 1 } /^```/ && there { code = !code; if (!code) exit; next } code' \
    "$root/README.md" >"$work/readme.cpp"
compile_for m4 -c "$work/readme.cpp" -o "$work/readme.o"
arm-none-eabi-nm "$work/readme.o" | grep -q read_boot_sector
echo "the example of README.md compiles"

# Fields of on-disk structs and entries of tables; every function is a single return.
cat >"$work/loads.cpp" <<'EOF'
#include <vdisk/core/endian.hpp>
using namespace vdisk;
extern "C" uint32_t field_be32(const be32& x) { return x.value(); }
extern "C" uint64_t field_be64(const be64& x) { return x.value(); }
extern "C" uint32_t field_le32(const le32& x) { return x.value(); }
extern "C" uint32_t entry_be32(const byte* x) { return load_be32(x); }
EOF

# loads TARGET OBJDUMP FUNCTION INSTRUCTION...: these instructions and no others, in this order
loads() {
    target=$1 dump=$2 function=$3 && shift 3
    found=$("$dump" -d --no-show-raw-insn "$work/loads.$target.o" | awk -v name="<$function>:" '
        $2 == name { inside = 1; next }
        NF == 0 { inside = 0 }
        inside && $2 !~ /^(ret|retq|bx|nop)/ { sub(/[lq]$/, "", $2); printf "%s ", $2 }')
    [ "$found" = "$* " ] && return
    echo "$target: $function is '$found', not '$*'" && exit 1
}
for target in m4 x86-64; do
    compile_for "$target" -c "$work/loads.cpp" -o "$work/loads.$target.o"
done
for function in field_be32 entry_be32; do
    loads m4 arm-none-eabi-objdump $function ldr rev
    loads x86-64 objdump $function mov bswap
done
loads m4 arm-none-eabi-objdump field_le32 ldr
loads m4 arm-none-eabi-objdump field_be64 ldr ldr rev rev
loads x86-64 objdump field_le32 mov
loads x86-64 objdump field_be64 mov bswap
echo "a number is read by one load and a byte swap"
