# shellcheck shell=sh
# Read by the checks written in shell: `need TOOL...` ends the check where a tool is missing. That
# is skipped (CTest's SKIP_RETURN_CODE) on a desk, and a failure in CI, where nothing may be missing.
need() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null && continue
        if [ "${CI:-}" = true ]; then
            echo "failed: $tool is not installed" >&2
            exit 1
        fi
        echo "skipped: $tool is not installed" >&2
        exit 77
    done
}
