#!/bin/sh
# portability.sh [s390x|i686]...: builds the tests of core and formats, and the hostile images, for
# processors with the other byte order and with 32 bits, and runs them; images written there and
# here are the same, byte by byte. JOBS compilers at a time (default: as many as processors).
#
# The compression libraries of those processors come from Debian, unpacked in a scratch folder.
# Where they (or Catch2 version 2) cannot be had the tests are left out, and that is said.
# shellcheck disable=SC2086 # lists are words
set -eu
root=$(dirname "$(dirname "$(realpath "$0")")")
# shellcheck source=need.sh
. "$root/tests/need.sh"
# shellcheck source=private_apt.sh
. "$root/tests/private_apt.sh"
[ $# -gt 0 ] || set -- s390x i686
need g++ ninja dpkg-deb apt-get
work=$(mktemp -d -p "${TMPDIR:-/tmp}" vdisk-portability.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Not here: what takes long and adds no arithmetic of its own (power cuts, faults, repair).
sources() { # FOLDER...
    find "$@" -name '*.cpp' ! -name '*power_cut*' ! -name '*planted*' ! -name '*faults*' \
        ! -name repair.cpp ! -name mend.cpp | sort
}

# The sources of a folder are compiled as one, as in CMakeLists.txt.
write_units() {
    mkdir "$work/units"
    for source in $(cd "$root/tests" && sources hostile); do
        echo "#include \"$source\"" >"$work/units/$(echo "$source" | tr / _)"
    done
    for source in $(cd "$root/tests" &&
        sources core codec text metadata support format io/shared_suite.cpp); do
        echo "#include \"$source\"" >>"$work/units/$(dirname "$source" | tr / _).cpp"
    done
}

describe() { # TARGET: sets what Debian calls it and who runs it
    case $1 in
    s390x) debian=s390x emulator=qemu-s390x ;;
    i686) debian=i386 emulator=qemu-i386 ;;
    *) echo "usage: portability.sh [s390x|i686]..." >&2 && exit 2 ;;
    esac
    need "$1-linux-gnu-g++" "$emulator"
}

runs_here() { # TARGET: this system runs its programs (32 bits on 64: not every kernel)
    code=0
    "./$1/images" >"$1/usage" 2>&1 || code=$? # without a folder it only says what it wants
    [ $code -ne 126 ]
}

fetch() { # the compression libraries of $debian, into $work/TARGET
    [ -e /usr/include/catch2/catch.hpp ] || return 1 # version 3 is a library as well
    private_apt "$work/apt" "deb [arch=$debian]" || return 1
    packages="zlib1g-dev:$debian libdeflate-dev:$debian libzstd-dev:$debian"
    (cd "$work/apt" && apt-get $apt_options download $packages) >>"$work/apt/log" 2>&1 || return 1
    for package in "$work"/apt/*.deb; do dpkg-deb -x "$package" "$work/$1"; done
    rm -rf "$work/apt"
}

build_images() { # TARGET COMPILER: build statements
    printf 'build %s/images: program %s/tests/portability.cpp\n compiler = %s\n' "$1" "$root" "$2"
}

build_tests() { # TARGET: build statements
    compiler="$1-linux-gnu-g++ -isystem $1/usr/include"
    mkdir -p "$1"
    cp "$root/tests/catch.hpp" "$1"
    echo "build $1/catch.hpp.gch: header $1/catch.hpp"
    echo " compiler = $compiler"
    echo "build $1/main.o: object $root/tests/main.cpp"
    echo " compiler = $compiler"
    objects=$1/main.o
    for unit in units/*.cpp; do
        object=$1/$(basename "$unit" .cpp).o
        objects="$objects $object"
        echo "build $object: object $unit | $1/catch.hpp.gch"
        echo " compiler = $compiler -include $1/catch.hpp"
    done
    echo "build $1/tests: link $objects"
    echo " compiler = $compiler"
    echo " libraries = $1/usr/lib/$debian-linux-gnu"
}

write_units
mkdir "$work/include" && cd "$work"
ln -s /usr/include/boost /usr/include/catch2 include # nothing else of this system's
cat >build.ninja <<NINJA
flags = -std=c++20 -O1 -g0 -Wall -Wextra -Wno-array-bounds -Wno-stringop-overflow \$
    -D_GLIBCXX_ASSERTIONS -D_FILE_OFFSET_BITS=64 -I$root/include -I$root/tests -isystem include \$
    -DVDISK_TOOL='""' -DVDISK_SOURCE_DIR='"$root"'
rule header
  command = \$compiler \$flags -w -x c++-header \$in -o \$out
rule object
  command = \$compiler \$flags -Werror -c \$in -o \$out
rule program
  command = \$compiler \$flags -Werror -static \$in -o \$out
rule link
  command = \$compiler -static \$in -L\$libraries -lz -ldeflate -lzstd -o \$out
NINJA
build_images host g++ >>build.ninja
tested=
for target in "$@"; do
    describe "$target"
    build_images "$target" "$target-linux-gnu-g++" >>build.ninja
    if fetch "$target"; then
        build_tests "$target" >>build.ninja
        tested="$tested $target"
    else
        echo "no libraries for $target (or Catch2 is not version 2): its tests are left out"
        [ "${CI:-}" != true ] || exit 1
    fi
done
ninja ${JOBS:+-j $JOBS} --quiet

images() { # TARGET: writes them
    mkdir "$1/written"
    ! runs_here "$1" || emulator=
    $emulator "./$1/images" "$1/written" >"$1/names"
}

run() { # TARGET: fails if an image is not as the host's, or a test fails
    images "$1" || return 1
    diff -r host/written "$1/written" || return 1
    echo "$1: $(wc -l <"$1/names") images are as those of this machine"
    rm -r "$1/written"
    case " $tested " in *" $1 "*) ;; *) return 0 ;; esac
    # Not what asks qemu-img, nor what repeats random work or looks at every sector of a log: that is long.
    VDISK_SHARE=16 $emulator "./$1/tests" \
        "~[power_cut]~[fault]~[faults]~[repair]~[qemu]~[model]~[long]"
}

emulator=
images host
for target in "$@"; do
    describe "$target"
    { run "$target" >"$target/log" 2>&1 && echo 0 || echo 1; } >"$target/status" &
done
wait
failed=0
for target in "$@"; do
    echo "--- $target"
    cat "$target/log"
    [ "$(cat "$target/status")" = 0 ] || failed=1
done
exit $failed
