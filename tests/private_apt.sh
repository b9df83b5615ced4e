# shellcheck shell=sh
# Read by the scripts that fetch what is not installed, and is not to be.

# private_apt DIR TYPE: fills DIR with lists of apt's own (TYPE as in sources.list: "deb-src", "deb
# [arch=i386]"), those of the machine stay as they are; sets `apt_options`. Fails without a network.
# shellcheck disable=SC2086 # options are words
private_apt() {
    mkdir -p "$1/lists/partial" "$1/cache"
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
        grep -v '^#' | grep -o 'https\{0,1\}://[^ ]*/debian/\{0,1\}' | head -n 1)
    echo "$2 ${mirror:-http://deb.debian.org/debian} $release main" >"$1/sources.list"
    : >"$1/status"
    apt_options="-q -o Dir::Etc::sourcelist=$1/sources.list -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists=$1/lists -o Dir::State::status=$1/status -o Dir::Cache=$1/cache
        -o Acquire::Languages=none"
    case $2 in
    *arch=*) apt_options="$apt_options -o APT::Architectures::=$(expr "$2" : '.*arch=\([^]]*\)')" ;;
    esac
    apt-get $apt_options update >"$1/log" 2>&1
}
