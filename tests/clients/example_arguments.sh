#!/bin/bash
# What all examples have in common: three lines say what each shows, how to build it and what to try;
# the port is the first argument, and one that is none is refused by a line that explains it.
. "$(dirname "$0")/../script.sh"

# The header is compiled twice here, with and without TLS, rather than with each example (which
# tests/platform/compile.sh does): the examples are built by their own commands, next to a copy without the
# line that implements it.
mkdir "$dir/tree" "$dir/empty"
cp -R examples "$dir/tree/"
cp uhttp_server.h "$dir/tree/"
sed -i.before '/^#define UHTTP_IMPLEMENTATION/d' "$dir"/tree/examples/*.c
implement() {
    echo '#include "uhttp_server.h"' >"$dir/tree/$1.c"
    (cd "$dir/tree" && "$cc" -w -DUHTTP_IMPLEMENTATION "${@:2}" -c "$1.c" -o "$1.o") 2>"$dir/log"
}
implement plain || bail_out "the header compiles"
implement tls -DUHTTP_TLS || rm -f "$dir/tree/tls.o"

# Behind the port, where more is needed.
arguments() {
    case $1 in
        auth) echo "password" ;;
        https | openssl) echo "chain.pem key.pem" ;;
        mtls) echo "chain.pem key.pem ca.pem subject" ;;
        redirect) echo "8080 chain.pem key.pem" ;;
        put | upload) echo "." ;;
        ota) echo "flash.bin" ;;
    esac
}

# lacks FLAG...: is one of the libraries not installed?
lacks() {
    local flag
    echo 'int main(void) { return 0; }' >"$dir/probe.c"
    for flag in "$@"; do
        case $flag in
            -l*) "$cc" -o "$dir/probe" "$dir/probe.c" "$flag" 2>/dev/null || return 0 ;;
        esac
    done
    return 1
}

for source in examples/*.c; do
    name=$(basename "$source" .c)
    command=$(sed -n '3s/^ \*     build: //p' "$source")
    sed -n 1p "$source" | grep -q "^/\* $name\.c - ." && [ "$(sed -n 2p "$source")" = " *" ] &&
        [[ $command == "cc "*"-o $name examples/$name.c"* ]] &&
        sed -n 4p "$source" | grep -q "^ \*     try:   .*\./$name\b"
    ok "$name.c begins with what it shows, how to build it and what to try"
    read -ra flags <<<"${command#cc }"
    if lacks "${flags[@]}"; then
        number=$((number + 1))
        echo "ok $number - $name # SKIP a library of its is missing"
        continue
    fi
    object=plain.o
    ! grep -q '^#define UHTTP_TLS' "$source" || object=tls.o
    (cd "$dir/tree" && "$cc" -D_GNU_SOURCE -Wall -Wextra -Werror "$object" "${flags[@]}") \
        2>"$dir/log" || bail_out "$name: $command"
    [ "$name" = first ] && continue
    wrong=
    for bad in abc '' -1 70000 80x 0x50; do
        # shellcheck disable=SC2046
        (cd "$dir/empty" && timeout 10 "$dir/tree/$name" "$bad" $(arguments "$name")) \
            >"$dir/out" 2>"$dir/err"
        [ $? = 2 ] && [ ! -s "$dir/out" ] && [ "$(wc -l <"$dir/err")" -eq 1 ] &&
            grep -q '^usage: .* \[*port\b' "$dir/err" || wrong="$wrong '$bad'"
    done
    is "$name refuses a port that is none, in one line" "" "$wrong"
done
is "and no file is left of that" "" "$(ls -A "$dir/empty")"
done_testing
