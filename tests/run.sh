#!/bin/sh
# Builds and runs all tests: installs what they need, then preset dev. CTest's summary comes last.
set -eu
cd "$(dirname "$0")/.."
sh tests/packages.sh test
cmake --preset dev
cmake --build --preset dev
ctest --preset dev --parallel "$(nproc)"
