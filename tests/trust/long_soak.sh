#!/bin/bash
# Hours of everything at once, with a clock that wraps: soak.c over a network in memory, on the heap
# and in fixed memory, and over sockets, with TLS, moving pollers and loops of the program's own.
#
#   tests/trust/long_soak.sh [--faults]
#
#   --faults   instead: each of three leaks, planted in the header, must be noticed
#
# SOAK_SECONDS (100) is the time of one processor that it takes, SOAK_SEED (1) chooses who comes.
. "$(dirname "$0")/../script.sh"

seconds=${SOAK_SECONDS:-100}
seed=${SOAK_SEED:-1}
export TMPDIR=$dir              # what a failure leaves
[ "$(uname -s)" = Linux ] || skip_all "soak.c counts descriptors and memory as Linux has them"
flags="-std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Wundef -Werror -Itests/machine -Itests/trust"
echo '#include <malloc.h>
int main(void) { return (int)mallinfo2().uordblks < 0; }' >"$dir/probe.c"
"$cc" "$dir/probe.c" -o "$dir/probe" >"$dir/log" 2>&1 || skip_all "there is no mallinfo2()"

# build_soak NAME HEADER'S-FOLDER FLAG...
build_soak() {
    local name=$1 header=$2
    shift 2
    # shellcheck disable=SC2086
    "$cc" ${CFLAGS:-} $flags "-I$header" tests/trust/soak.c -o "$dir/$name" "$@" >"$dir/log" 2>&1 ||
        bail_out "soak.c builds as $name"
}

# soak WORDS PERCENT NAME ARGUMENT...: a part of the time
soak() {
    local words=$1 part
    part=$(awk -v s="$seconds" -v p="$2" 'BEGIN { print s * p / 100 }')
    "$dir/$3" --seconds "$part" --seed "$seed" "${@:4}" >"$dir/out" 2>"$dir/err"
    ok "$words: nothing grows, and every request ends once"
    sed "s/^# /# $words: /" "$dir/out"
    sed 's/^/# /' "$dir/err"
    cat "$dir/out" >>"$dir/all"
}

# A leak of one in 3000, in a copy of the header.
notices() {
    local words=$1 status
    mkdir -p "$dir/faulty"
    sed "$2" uhttp_server.h >"$dir/faulty/uhttp_server.h"
    ! cmp -s uhttp_server.h "$dir/faulty/uhttp_server.h"
    ok "$words: it can be planted"
    build_soak leaks "$dir/faulty" "${@:3}"
    "$dir/leaks" --seconds "$seconds" --seed "$seed" >"$dir/out" 2>"$dir/err"
    status=$?
    [ $status -ne 0 ]
    ok "$words: it is noticed"
    sed 's/^/# /' "$dir/out"
}

some="static unsigned n; if (++n % 3000 != 0)"
if [ "${1:-}" = --faults ]; then
    notices "a block that is not given back" \
        "s/^        uh_pool_give(m, b->data);/        { $some uh_pool_give(m, b->data); }/" -DSOAK_PORT
    notices "a slot that does not become free" \
        "s/^    s->free_slot = c;/    { $some s->free_slot = c; }/" -DSOAK_PORT
    notices "a descriptor that is not closed" \
        "s/^            uh_sys_close(c->fd);/            { $some uh_sys_close(c->fd); }/"
    done_testing
fi

build_soak port . -DSOAK_PORT
build_soak sockets .
soak "network in memory, heap" 25 port --watch
soak "network in memory, fixed memory" 25 port --fixed --watch
soak "sockets, a loop that follows changes" 15 sockets --follow
static="-Wl,-Bstatic -lmbedtls -lmbedx509 -lmbedcrypto -Wl,-Bdynamic"
# shellcheck disable=SC2086
if "$cc" "$dir/probe.c" -o "$dir/probe" $static >"$dir/log" 2>&1 &&
        tests/server/tls_certificates.sh "$dir/certificates" >"$dir/log" 2>&1; then
    export UHTTP_TLS_CERTIFICATES=$dir/certificates
    build_soak tls . -DUHTTP_TLS $static -Wl,--wrap=calloc,--wrap=free
    soak "sockets, TLS" 35 tls --watch
else
    soak "sockets" 35 sockets --watch
    echo "# no static mbedTLS: TLS is left out"
fi
awk '/ connections, / { connections += $2; requests += $4 }
    / hours of load / { hours += $2; wraps += $(NF - 5) }
    END { printf "# soak: %d connections, %d requests, %d hours of load, %d wraps\n",
          connections, requests, hours, wraps }' "$dir/all"
done_testing
