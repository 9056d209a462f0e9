#!/bin/sh
# Fails each system call and each allocation of the server in the scenarios of faults.c, those over TLS
# by samples.
#
#   tests/trust/faults.sh [--sample N] [--tls-sample N] [--pairs N] [--seed S] [-v]
#
#   --sample N       of the faults of each scenario about N by chance; default: all of them
#   --tls-sample N   the same for the scenarios with TLS, which have 40 000 allocations; 500
#   --pairs N        runs with two faults, of each scenario; 500
#   -v               names all calls in the header that can fail, "reached" or "not" by a scenario
#
# Calls that no scenario makes: those of uh_sys_renumber(), and the close() of an accepted socket that
# cannot be served, need a descriptor beyond an fd_set where the set cannot grow: in fixed memory, or
# when that allocation fails as well. Then nobody new is served, which is what every run must show;
# test_server_descriptors.c is about them.
#
# Three programs: select(), epoll and TLS, with sanitizers where the compiler has them. Prints
# TAP, and at the end how many faults there were, how many of the calls in the header that can fail
# some scenario makes, and the lines of the others.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 2
out=${BUILD:-build}/trust
cc=${CC:-gcc}
sample='' tls_sample=500 pairs=500 seed=1 verbose=no
while [ $# -gt 0 ]; do
    case $1 in
    --sample) sample="--sample $2"; shift ;;
    --tls-sample) tls_sample=$2; shift ;;
    --pairs) pairs=$2; shift ;;
    --seed) seed=$2; shift ;;
    -v) verbose=yes ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done
mkdir -p "$out"
[ "$(uname -s)" = Linux ] || { echo "1..0 # SKIP faults are injected on Linux only"; exit 0; }

wrap=$(sed -n 's/^    X(\([a-z_0-9]*\),.*/-Wl,--wrap=\1/p' tests/trust/faults.h)
wrap="$wrap -Wl,--wrap=free"
flags="-std=gnu11 -O1 -g -Wall -Wextra -Wshadow -Wundef -Werror -no-pie -I."
sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all"
echo 'int main(void) { return 0; }' >"$out/probe.c"
# shellcheck disable=SC2086
"$cc" $sanitizers "$out/probe.c" -o "$out/probe" 2>/dev/null && "$out/probe" 2>/dev/null ||
    sanitizers=
export ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=1"    # leaks are counted

sites_of=$(cd "$out" && pwd)/sites
tests=0 failed=0 injected=0

# one NAME "COMPILER FLAGS" "LIBRARIES" ARGUMENT...: builds a program and runs it
one() {
    name=$1 more=$2 libraries=$3
    shift 3
    # shellcheck disable=SC2086
    if ! "$cc" $flags $sanitizers $more tests/trust/faults.c -o "$out/faults-$name" $wrap \
            $libraries >"$out/$name.log" 2>&1; then
        tests=$((tests + 1)) failed=$((failed + 1))
        echo "not ok - faults over $name does not build"
        sed 's/^/# /' "$out/$name.log"
        return
    fi
    "$out/faults-$name" --seed "$seed" --sites "$sites_of.$name" "$@" \
        >"$out/$name.tap" 2>"$out/$name.err"
    status=$?
    sed -n "s/^\(ok\|not ok\) - /&$name: /p; /^#/p" "$out/$name.tap"
    tests=$((tests + $(grep -c '^\(ok\|not ok\) ' "$out/$name.tap")))
    failed=$((failed + $(grep -c '^not ok ' "$out/$name.tap")))
    faults=$(sed -n 's/^# \([0-9]*\) faults injected.*/\1/p' "$out/$name.tap")
    injected=$((injected + ${faults:-0}))
    if [ "${faults:-0}" -eq 0 ] ||      # it has crashed, or there was nothing to do
            { [ $status -ne 0 ] && ! grep -q '^not ok ' "$out/$name.tap"; }; then
        tests=$((tests + 1)) failed=$((failed + 1))
        echo "not ok - faults over $name ended with status $status"
        tail -n 40 "$out/$name.err" | sed 's/^/# /'
    fi
    sites "$name"
}

# Calls in the program that can fail, by address behind them; and those that were reached.
sites() {
    objdump -d "$out/faults-$1" | awk '
        /call .*<__wrap_/ { match($0, /<__wrap_[a-z_0-9]*/)
                            name = substr($0, RSTART + 8, RLENGTH - 8); next_is = 1; next }
        next_is { sub(/:.*/, "", $1); print "0x" $1, name; next_is = 0 }' |
        grep -v ' free$' >"$out/$1.calls"
    cut -d ' ' -f 1 "$out/$1.calls" | addr2line -f -e "$out/faults-$1" |
        awk 'NR % 2 { name = $1; next } { sub(/.*\//, ""); sub(/ .*/, ""); print name, $1 }' |
        paste -d ' ' "$out/$1.calls" - | grep ' uhttp_server.h:' >"$out/$1.lines"
    awk 'NR == FNR { reached[$1] = 1; next }
         { print ($1 in reached ? "reached" : "not"), $4, $3, $2 }' \
        "$sites_of.$1" "$out/$1.lines" | sort -u >>"$out/places"
}

: >"$out/places"
# shellcheck disable=SC2086
one select "-DUHTTP_POLLER=UHTTP_POLLER_SELECT" "" $sample --pairs "$pairs"
# shellcheck disable=SC2086
one epoll "-DUHTTP_POLLER=UHTTP_POLLER_EPOLL" "" $sample --pairs "$pairs"
static="-Wl,-Bstatic -lmbedtls -lmbedx509 -lmbedcrypto -Wl,-Bdynamic"
# shellcheck disable=SC2086
if "$cc" "$out/probe.c" -o "$out/probe" $static 2>/dev/null &&
    sh "$(find tests -name tls_certificates.sh)" "$out/tls"; then
    UHTTP_TLS_CERTIFICATES=$(cd "$out/tls" && pwd)
    export UHTTP_TLS_CERTIFICATES
    for scenario in "tls" "tls upload"; do
        one "tls" "-DUHTTP_TLS" "$static" --only "$scenario" --sample "$tls_sample" \
            --pairs $((pairs / 10))
    done
else
    echo "# no static mbedTLS: TLS is left out"
fi

# A place is a call in a function of the header: the same in each of the three programs.
sort -u "$out/places" | awk '
    { key = $2 " " $3 " " $4; if ($1 == "reached") reached[key] = 1; all[key] = 1 }
    END { for (key in all) print (key in reached ? "reached" : "not"), key }' |
    sort -t : -k 2 -n >"$out/summary"
places=$(grep -c . "$out/summary")
met=$(grep -c '^reached' "$out/summary")
echo "1..$tests"
echo "# faults: $injected injected at $met of $places calls of the header (seed $seed)"
if [ $verbose = yes ]; then
    sed 's/^/# /' "$out/summary"
else
    sed -n 's/^not uhttp_server.h:/#   not reached: line /p' "$out/summary"
fi
[ $failed -eq 0 ] && [ $tests -gt 0 ]
