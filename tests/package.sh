#!/bin/sh
# package.sh BUILD_FOLDER COMPILER: installs vdisk into a temporary folder and uses it as others
# would, through find_package, pkg-config and add_subdirectory.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/need.sh"
need cmake ninja pkg-config
build=$1 compiler=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cmake --install "$build" --prefix "$work/prefix" >/dev/null

# The first example of the README, as it stands there.
awk '/^```cpp/ { on = 1; next } /^```/ && on { exit } on' "$here/../README.md" >main.cpp
cat >CMakeLists.txt <<'EOF'
cmake_minimum_required(VERSION 3.22)
project(consumer CXX)
if(VDISK_SOURCE)
  add_subdirectory(${VDISK_SOURCE} vdisk)
else()
  find_package(vdisk 0.1 REQUIRED COMPONENTS zlib)
endif()
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE vdisk::zlib vdisk::codecs)
EOF

consume() {
    echo "$1"
    shift
    "$@" >log 2>&1 || { cat log && exit 1; }
}
consume "find_package" cmake -S . -B found -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_PREFIX_PATH="$work/prefix"
consume "  builds" cmake --build found
consume "add_subdirectory" cmake -S . -B inside -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
    -DVDISK_SOURCE="$here/.."
consume "  builds" cmake --build inside
flags=$(PKG_CONFIG_PATH=$work/prefix/share/pkgconfig pkg-config --cflags --libs "vdisk >= 0.1" zlib \
    $(pkg-config --exists libdeflate && echo libdeflate) $(pkg-config --exists libzstd && echo libzstd))
# shellcheck disable=SC2086 # flags are words
consume "pkg-config" "$compiler" -std=c++20 main.cpp $flags -o plain
