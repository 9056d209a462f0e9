#!/bin/sh
# rom_pack.sh - writes the files of a directory as C, for uhttp_serve_rom()
#
#     sh examples/rom_pack.sh examples/rom >examples/rom_files.h
#     sh examples/rom_pack.sh -z examples/dashboard/page >examples/dashboard/page_files.h
#
# Needs nothing but a POSIX shell with find, od, cksum and sed; with -z also gzip: each file
# that becomes smaller is stored as a .gz, which is sent as it is. An entity tag is the checksum
# of what is stored.
set -eu
export LC_ALL=C
zip=no
if [ "${1:-}" = -z ]; then
    zip=yes
    shift
fi
cd "${1:?"which directory?"}"
packed=$(mktemp)
trap 'rm -f "$packed"' EXIT

echo "/* Made by rom_pack.sh from ${1##*/}/: do not edit. */"
number=0
table=
odd=$(find . -type f -name '*[!A-Za-z0-9._+~@=,-]*')
if [ -n "$odd" ]; then
    echo "rom_pack.sh: these names cannot be packed: $odd" >&2
    exit 1
fi
for file in $(find . -type f | sort); do
    name=${file#./}
    if [ $zip = yes ] && gzip -9 -n -c "$file" >"$packed" &&
            [ "$(wc -c <"$packed")" -lt "$(wc -c <"$file")" ]; then
        name=$name.gz
        file=$packed
    fi
    # shellcheck disable=SC2046
    set -- $(cksum <"$file")
    number=$((number + 1))
    echo
    echo "static const unsigned char rom_$number[] = {      /* $name */"
    od -A n -v -t u1 "$file" | sed 's/  */ /g; s/ \([0-9][0-9]*\)/ \1,/g; s/^/   /'
    [ -s "$file" ] || echo "    0"     # C has no empty arrays
    echo "};"
    table="$table    { \"$name\", rom_$number, $(($(wc -c <"$file"))), \"$(printf %08x "$1")\", 0, 0 },
"
done
echo
echo "static const uhttp_rom_file rom_files[] = {"
printf '%s' "$table"
echo "};"
