#!/bin/sh
# build.sh: builds the fuzzers the way OSS-Fuzz and its like ask for them, with their seeds and
# dictionaries beside them:
#
#   CC CFLAGS CXX CXXFLAGS  compilers that instrument (clang, clang++)
#   LIB_FUZZING_ENGINE      what has main() (-fsanitize=fuzzer)
#   OUT                     where the programs go (build/fuzz/out)
#   FUZZERS                 some of them, as "head json" (all)
#
# There: compile with -std=gnu11 on top of CFLAGS; link with CXX, as engines are of C++.
set -eu
cd "$(dirname "$0")/../.."
: "${CC:=clang}" "${CXX:=clang++}" "${CFLAGS=-g -O1 -fsanitize=address,undefined,fuzzer-no-link}"
: "${CXXFLAGS=-fsanitize=address,undefined}" "${LIB_FUZZING_ENGINE:=-fsanitize=fuzzer}"
: "${OUT:=build/fuzz/out}"
mkdir -p "$OUT"
[ -n "${FUZZERS:-}" ] ||
    FUZZERS=$(for source in tests/fuzz/fuzz_*.c; do basename "$source" .c | sed 's/^fuzz_//'; done)
for name in $FUZZERS; do
    # shellcheck disable=SC2086
    $CC $CFLAGS -std=gnu11 -c "tests/fuzz/fuzz_$name.c" -o "$OUT/fuzz_$name.o"
    # shellcheck disable=SC2086
    $CXX $CXXFLAGS "$OUT/fuzz_$name.o" $LIB_FUZZING_ENGINE -pthread -o "$OUT/fuzz_$name"
    rm -f "$OUT/fuzz_$name.o" "$OUT/fuzz_${name}_seed_corpus.zip"
    [ ! -d "tests/fuzz/corpus/$name" ] ||
        zip -q -j -r "$OUT/fuzz_${name}_seed_corpus.zip" "tests/fuzz/corpus/$name"
    [ ! -f "tests/fuzz/$name.dict" ] || cp "tests/fuzz/$name.dict" "$OUT/fuzz_$name.dict"
done
