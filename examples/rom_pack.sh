#!/bin/sh
# rom_pack.sh - writes the files of a directory as C, for uhttp_serve_rom()
#
#     sh examples/rom_pack.sh examples/rom >examples/rom_files.h
#
# Needs nothing but a POSIX shell with find, od, cksum and sed. An entity tag is the checksum of
# the content. Text that is worth it may lie in the directory as a .gz.
set -eu
export LC_ALL=C
cd "${1:?"which directory?"}"

echo "/* Made by rom_pack.sh from ${1##*/}/: do not edit. */"
number=0
table=
for file in $(find . -type f | sort); do
    name=${file#./}
    # shellcheck disable=SC2046
    set -- $(cksum <"$file")
    number=$((number + 1))
    echo
    echo "static const unsigned char rom_$number[] = {      /* $name */"
    od -A n -v -t u1 "$file" | sed 's/  */ /g; s/ \([0-9][0-9]*\)/ \1,/g; s/^/   /'
    echo "};"
    table="$table    { \"$name\", rom_$number, sizeof rom_$number, \"$(printf %08x "$1")\", 0, 0 },
"
done
echo
echo "static const uhttp_rom_file rom_files[] = {"
printf '%s' "$table"
echo "};"
