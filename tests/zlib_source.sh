# shellcheck shell=sh
# Read by the scripts that build zlib for bare metal, with `root`, the project's folder.
# shellcheck source=private_apt.sh
. "$root/tests/private_apt.sh"

# zlib_source DIR: puts zlib's source, as Debian has it, into DIR; from ZLIB_SOURCE if that names a
# folder with it. Fails where it cannot be had.
# shellcheck disable=SC2086 # options are words
zlib_source() {
    mkdir -p "$1"
    if [ -n "${ZLIB_SOURCE:-}" ]; then
        cp "$ZLIB_SOURCE"/*.[ch] "$1"
        return
    fi
    private_apt "$1/apt" deb-src || return 1
    (cd "$1/apt" && apt-get $apt_options source --download-only zlib) >>"$1/apt/log" 2>&1 || return 1
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
