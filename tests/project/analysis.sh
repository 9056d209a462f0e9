#!/bin/bash
# What analysers find in the header without running it: gcc -fanalyzer, clang-tidy and cppcheck.
# Nothing may be found; what each does not look for stands here with its reason. Then what nobody
# runs in the tests. Prints TAP; an analyser that is not installed is skipped.
. "$(dirname "$0")/../script.sh"

printf '#define UHTTP_IMPLEMENTATION\n#include "uhttp_server.h"\n' >"$dir/impl.c"

# has TOOL: otherwise the next test is skipped
has() {
    command -v "$1" >/dev/null && return
    number=$((number + 1))
    echo "ok $number - $1 # SKIP it is not installed"
    false
}

# finds_nothing NAME COMMAND...: status 0, and not a word of a warning
finds_nothing() {
    local status
    "${@:2}" >"$dir/log" 2>&1
    status=$?
    [ $status -eq 0 ] && ! grep -q -E '(warning|error):' "$dir/log"
    ok "$1"
    [ $status -eq 0 ] && ! grep -q -E '(warning|error):' "$dir/log" || head -n 60 "$dir/log" | sed 's/^/# /'
}

if has gcc && gcc -fanalyzer -x c -c /dev/null -o "$dir/o" 2>/dev/null; then
    finds_nothing "gcc -fanalyzer: the header" \
        gcc -std=c99 -O1 -fanalyzer -Werror -I . -c "$dir/impl.c" -o "$dir/o"
    finds_nothing "gcc -fanalyzer: the header in fixed memory" \
        gcc -std=c99 -O1 -fanalyzer -Werror -DUHTTP_NO_HEAP -I . -c "$dir/impl.c" -o "$dir/o"
fi

# easily-swappable-parameters      a pointer and its length, a width and a height: C has no other way
# reserved-identifier, cert-dcl37-c, cert-dcl51-cpp
#                                  _GNU_SOURCE and the like are how a system is asked
# narrowing-conversions, implicit-widening-of-multiplication-result
#                                  -Wconversion and -Wsign-conversion of two compilers judge these
# not-null-terminated-result       slices have a length, and no NUL
checks='-*,clang-analyzer-*,bugprone-*,cert-*'
for name in bugprone-easily-swappable-parameters bugprone-reserved-identifier cert-dcl37-c \
    cert-dcl51-cpp bugprone-narrowing-conversions \
    bugprone-implicit-widening-of-multiplication-result bugprone-not-null-terminated-result; do
    checks="$checks,-$name"
done
if has clang-tidy; then
    finds_nothing "clang-tidy: the header" clang-tidy --quiet --checks="$checks" \
        --header-filter=uhttp_server --warnings-as-errors='*' "$dir/impl.c" -- -std=c99 -I .
fi

# nullPointerArithmeticRedundantCheck  a slice of no text is NULL - NULL: 0 in C++ and in all of C's
#                                      compilers, one place
# uninitvar                            it takes a parameter that is written for one that is read;
#                                      gcc, clang, valgrind and the sanitizers judge these
if has cppcheck; then
    finds_nothing "cppcheck: the header" cppcheck --quiet --error-exitcode=1 --std=c99 \
        --enable=warning,performance,portability --max-configs=1 -I . -D__linux__ -D__GNUC__=12 \
        --suppress=nullPointerArithmeticRedundantCheck --suppress=uninitvar "$dir/impl.c"
fi

# The benchmarks are run by hand: what they are made of must still be where they look.
grep -ohE '\$here"?/[A-Za-z0-9_./-]+\.(c|h|sh|js|lua|txt)' tests/bench/*.sh | sed 's|^[^/]*/||' | sort -u \
    >"$dir/names"
while read -r name; do
    [ -e "tests/bench/$name" ] || echo "# missing: tests/bench/$name"
done <"$dir/names" >"$dir/log"
cat "$dir/log"
[ "$(wc -l <"$dir/names")" -gt 5 ] && [ ! -s "$dir/log" ]
ok "the benchmarks find their files"
done_testing
