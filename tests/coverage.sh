#!/bin/sh
# How much of include/vdisk the tests run, by folder: of lines, and of branches (each condition once
# true, once false). Fails below the limits.
#
#   coverage.sh [BUILD] [--missing]    BUILD: where preset coverage was built and tested
#                                      --missing: every line and branch that was not run, too
#
# Clang counts in the source, so no branch has to be left out that the compiler has made up for
# exceptions and destructors; what is decided at compile time is the rest that coverage.py leaves out.
set -eu
tests=$(cd "$(dirname "$0")" && pwd)
build=$tests/../build/coverage
case ${1:-} in '' | --*) ;; *) build=$1 && shift ;; esac

# Debian gives the tools the number of the compiler, which they have to match.
version=$(clang++ --version | sed -n 's/.*clang version \([0-9]*\).*/\1/p')
llvm() {
    name=$1 && shift
    if command -v "$name-$version" >/dev/null; then "$name-$version" "$@"; else "$name" "$@"; fi
}

profile=$build/coverage.profdata
llvm llvm-profdata merge -sparse -o "$profile" "$build"/profiles/*.profraw
set -- "$@" --lines 95 --branches 90
objects=
for program in "$build"/bin/vdisk "$build"/bin/fuzz_*; do
    [ ! -x "$program" ] || objects="$objects -object $program"
done
# shellcheck disable=SC2086 # objects are words
llvm llvm-cov export -instr-profile "$profile" -skip-functions -skip-expansions \
    "$build/bin/vdisk_tests" $objects >"$build/coverage.json"
exec python3 "$tests/coverage.py" "$build/coverage.json" "$tests/../include/vdisk" "$@"
