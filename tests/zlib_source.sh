# shellcheck shell=sh
# Read by the scripts that build zlib for bare metal.

# zlib_source DIR: puts zlib's source, as Debian has it, into DIR; from ZLIB_SOURCE if that names a
# folder with it. Fails where it cannot be had.
zlib_source() {
    mkdir -p "$1/apt/lists/partial"
    if [ -n "${ZLIB_SOURCE:-}" ]; then
        cp "$ZLIB_SOURCE"/*.[ch] "$1"
        return
    fi
    # Lists of its own: those of the machine stay as they are.
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        grep -v '^#' | grep -o 'https\{0,1\}://[^ ]*/debian/\{0,1\}' | head -n 1)
    echo "deb-src ${mirror:-http://deb.debian.org/debian} $release main" >"$1/apt/sources.list"
    set -- "$1" -q -o Dir::Etc::sourcelist="$1/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$1/apt/lists"
    (
        cd "$1/apt" && shift
        apt-get "$@" update && apt-get "$@" source --download-only zlib
    ) >"$1/apt/log" 2>&1 || return 1
    python3 - "$1" <<'PY'
import glob, os, sys, tarfile
with tarfile.open(glob.glob(sys.argv[1] + "/apt/zlib_*.orig.tar.*")[0]) as archive:
    for member in archive:
        parts = member.name.split("/")
        if len(parts) == 2 and parts[1].endswith((".c", ".h")):
            with open(os.path.join(sys.argv[1], parts[1]), "wb") as out:
                out.write(archive.extractfile(member).read())
PY
}
