#!/bin/sh
# Checks with a compiler for bare metal that the freestanding set compiles there, and that
# tests/freestanding.cpp needs nothing but four functions and the EABI helpers.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/need.sh"
need arm-none-eabi-g++ arm-none-eabi-nm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The cross compiler must not see the host's /usr/include, only Boost in it. From version 13 on, GCC
# refuses <iosfwd> without an operating system; Boost.Endian wants two names of it.
mkdir "$work/inc"
ln -s "${BOOST_INCLUDE:-/usr/include}/boost" "$work/inc/boost"
cat >"$work/inc/iosfwd" <<'EOF'
#if __GNUC__ < 13
#include_next <iosfwd>
#else
namespace std {
template <class, class> class basic_istream;
template <class, class> class basic_ostream;
}
#endif
EOF

compile() {
    arm-none-eabi-g++ -mcpu=cortex-m4 -mthumb -Os -std=c++20 -ffreestanding -fno-exceptions \
        -fno-rtti -Wall -Wextra -Werror -I"$here/../include" -isystem "$work/inc" "$@"
}

sh "$here/layers.sh" --freestanding | sed 's/.*/#include <&>/' >"$work/all.cpp"
compile -fsyntax-only "$work/all.cpp"
echo "$(wc -l <"$work/all.cpp") headers compile"

compile -c "$here/freestanding.cpp" -o "$work/freestanding.o"
# __aeabi_[u]ldivmod is 64-bit division: slow, and never needed where sizes are powers of two
arm-none-eabi-nm --undefined-only "$work/freestanding.o" | awk '
    $2 ~ /^mem(cpy|move|set|cmp)$/ { next }
    $2 ~ /^__aeabi_/ && $2 !~ /^__aeabi_u?ldivmod$/ { next }
    { print "freestanding.cpp needs " $2; failed = 1 }
    END { exit failed }'
