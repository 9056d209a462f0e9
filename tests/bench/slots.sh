#!/bin/bash
# More clients than slots: what a server of five slots loses, and how many requests it answers a
# second, while they take turns.
#
#   tests/bench/slots.sh [ROUNDS]
#
# ab with 10 and 100 connections, node's http.Agent with 12 sockets, and POSTs of it that nobody
# repeats, over HTTP and HTTPS. Then 1,000 such POSTs with 1.2 s of thought between two of a socket,
# on average: there a connection is often idle for so long that it gives way in the moment in which its
# next request is sent (RFC 9112 section 9.5). Medians of ROUNDS (3) interleaved rounds; the last once.
# Fails if anything is lost, and in the last more than one.
. "$(dirname "$0")/../script.sh"

rounds=${1:-3}
build_it() { # NAME FLAG...
    "$cc" ${CFLAGS:-} -O2 -o "$dir/$1" tests/clients/slots_server.c "${@:2}" >"$dir/log" 2>&1 ||
        bail_out "tests/clients/slots_server.c builds"
}
for tool in ab node; do
    command -v $tool >/dev/null || skip_all "$tool is not installed"
done
build_it slots_server
build_it slots_tls -DUHTTP_TLS -lmbedtls -lmbedx509 -lmbedcrypto
tests/server/tls_certificates.sh "$dir/certs" >"$dir/log" 2>&1 || bail_out "openssl makes certificates"
export NODE_NO_WARNINGS=1 NODE_TLS_REJECT_UNAUTHORIZED=0

serve() { # MODE
    case $1 in
    http) start slots_server ;;
    https) start slots_tls -t "$dir/certs" ;;
    esac
}

# Connections that ab keeps for requests it no longer has are ended by the server; ab counts these as
# answers whose "Length" failed. What the server has not answered is lost.
by_ab() { # CONNECTIONS REQUESTS
    local answered
    ab -q -k -s 60 -n "$2" -c "$1" "$url/x" >"$dir/ab" 2>&1
    end TERM "$started"
    answered=$(sed -n 's/.*\brequests \([0-9]*\).*/\1/p' "$dir"/slots_*.out | tail -n 1)
    ended=$(sed -n 's/.*Length: \([0-9]*\),.*/\1/p' "$dir/ab")
    lost=$(($2 - answered - ${ended:-0}))
    [ $lost -gt 0 ] || lost=0
}

by_node() { # SOCKETS REQUESTS METHOD THOUGHT
    local said
    said=$(timeout 300 node tests/clients/agent.js "$url" "$1" "$2" "$3" "$4")
    end TERM "$started"
    lost=$(($2 - ${said%% *}))
}

scenario() { # NAME, then as the rest says
    local begin
    serve "$2"
    begin=$(date +%s%N)
    "$3" "${@:4}"
    echo "$lost $(($5 * 1000000000 / ($(date +%s%N) - begin)))" >>"$dir/result.$2 $1"
    rm -f "$dir"/slots_*.out
}

for _ in $(seq "$rounds"); do
    for mode in http https; do
        scenario "ab, 10 connections" $mode by_ab 10 600
        scenario "ab, 100 connections" $mode by_ab 100 600
        scenario "node, 12 sockets" $mode by_node 12 480 GET 0
        scenario "node, POSTs" $mode by_node 12 480 POST 0
    done
done
scenario "node, POSTs with thought" http by_node 12 1000 POST 2400

printf '%-40s %10s %12s\n' "five slots" lost requests/s
for file in "$dir"/result.*; do
    name=${file#*result.}
    most=0
    [[ $name != *thought ]] || most=1
    read -r lost rate < <(sort -n -k 2 "$file" | awk '{ lost += $1; rate[NR] = $2 }
        END { print lost, rate[int((NR + 1) / 2)] }')
    printf '%-40s %10d %12d\n' "$name" "$lost" "$rate"
    [ "$lost" -le $most ] || failures=$((failures + 1))
done
[ $failures -eq 0 ]
