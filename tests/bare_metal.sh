# shellcheck shell=sh
# Read by the scripts that compile without an operating system: the compilers' names and flags, in
# one place. `root` is the project's folder; `bare_metal_includes DIR` fills DIR.

# A cross compiler must not see the host's /usr/include, only Boost in it.
bare_metal_includes() {
    mkdir -p "$1"
    ln -sfn "${BOOST_INCLUDE:-/usr/include}/boost" "$1/boost"
    bare_metal_flags="-std=c++20 -Os -ffreestanding -fno-exceptions -fno-rtti -fno-threadsafe-statics
        -ffunction-sections -fdata-sections -Wall -Wextra -Werror -Wno-psabi -I$root/include -isystem $1"
    # Debian has no standard library for RISC-V without a system: the headers of Arm's serve.
    riscv_includes=$(arm-none-eabi-g++ -v -E -x c++ /dev/null 2>&1 |
        sed -n '/^ .*\/gcc\/.*\/arm-none-eabi\/include/s/^ / -isystem /p')
}

# compile_for TARGET ARGUMENT...: compiles C++ for m4, m0, riscv64, x86-64 (without its system), uefi,
# or musl, which is linked as well: Debian has no C++ library for it.
# shellcheck disable=SC2086 # flags are words
compile_for() {
    target=$1 && shift
    case $target in
    m4) arm-none-eabi-g++ -mcpu=cortex-m4 -mthumb $bare_metal_flags "$@" ;;
    m0) arm-none-eabi-g++ -mcpu=cortex-m0 -mthumb $bare_metal_flags "$@" ;;
    riscv64)
        riscv64-unknown-elf-g++ -march=rv64imac -mabi=lp64 -mcmodel=medany -nostdinc++ $riscv_includes \
            $bare_metal_flags "$@"
        ;;
    x86-64) g++ -fno-stack-protector -fno-asynchronous-unwind-tables $bare_metal_flags "$@" ;;
    musl)
        gcc -specs /usr/lib/x86_64-linux-musl/musl-gcc.specs -nostdinc++ \
            $(echo "$riscv_includes" | grep c++) $bare_metal_flags -fbuiltin -flto \
            -fno-stack-protector -fno-asynchronous-unwind-tables -static -s -Wl,--gc-sections \
            -Wl,-z,norelro,-z,noseparate-code "$@"
        ;;
    uefi) # the compiler takes its ABI from Windows, which has no [[no_unique_address]]
        clang++ --target=x86_64-unknown-windows -nostdinc++ $riscv_includes -D__STRICT_ANSI__ \
            -mno-red-zone -fshort-wchar -fno-builtin $bare_metal_flags -Wno-unknown-attributes "$@"
        ;;
    esac
}
