#!/usr/bin/env bash
# Fails if an object that is compiled for a vector instruction set (its name says avx) defines a weak
# symbol with wide registers in it: the linker may keep that copy of an inline function for the whole
# program, which then dies of SIGILL on a smaller machine.
# Usage: scripts/check_isa_leak.sh OBJECT_DIR   (a build folder; objects are found below it)
set -euo pipefail

if [[ $# -ne 1 || ! -d $1 ]]; then
    echo "usage: $0 OBJECT_DIR (a folder with compiled objects)" >&2
    exit 2
fi
if ! command -v objdump nm >/dev/null; then
    echo "$0: nm and objdump (package binutils) are needed" >&2
    exit 2
fi

objects=0
leaks=0
while IFS= read -r -d '' object; do
    if [[ $(head -c 4 "$object") != $'\x7fELF' ]]; then
        echo "$object: not an ELF object (built with link-time optimisation?), cannot be checked" >&2
        exit 2
    fi
    objects=$((objects + 1))
    # W, V and u are weak, weak object and unique; lower-case w and v are undefined.
    while read -r symbol; do
        if objdump -d --no-show-raw-insn "--disassemble=$symbol" "$object" 2>/dev/null |
            grep -qE '%[yz]mm[0-9]'; then
            echo "$object: weak symbol $(c++filt "$symbol" 2>/dev/null || echo "$symbol") uses ymm or zmm registers"
            leaks=$((leaks + 1))
        fi
    done < <(nm --defined-only "$object" | awk '$2 ~ /^[WVu]$/ { print $3 }')
done < <(find "$1" -name '*avx*.o' -print0)

if [[ $objects -eq 0 ]]; then
    echo "$0: no object with avx in its name below $1" >&2
    exit 2
fi
echo "$objects object(s) checked, $leaks leak(s)"
[[ $leaks -eq 0 ]]
