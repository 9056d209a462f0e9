# script.sh - what example_*.sh, long_*.sh and others have in common; for bash
#
#     . "$(dirname "$0")/../script.sh"
#     build delayed -pthread
#     start delayed 0
#     is "it greets" "hello" "$(ask "$url/")"
#     end TERM "$started"
#     is "SIGTERM ends it with status 0" 0 $?
#     done_testing
#
# Prints TAP. CC is the compiler, CFLAGS what it is told besides. Everything is built in $dir,
# which vanishes at the end, and whatever was started ends with the script.
set -u
export LC_ALL=C
unset http_proxy HTTP_PROXY https_proxy all_proxy ALL_PROXY

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 2
cc=${CC:-cc}
dir=$(mktemp -d "${TMPDIR:-/tmp}/uhttp-script.XXXXXX") || exit 2
children=()
number=0
failures=0

finish() {
    [ "${BASHPID:-$$}" = $$ ] || return     # not in a child that was ended before it began
    if [ ${#children[@]} -gt 0 ]; then
        kill -TERM "${children[@]}" 2>/dev/null         # so that they end their own children
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 "${children[@]}" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "${children[@]}" 2>/dev/null
    fi
    wait 2>/dev/null
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

# ok NAME: the last command's status decides.
ok() {
    local status=$?
    number=$((number + 1))
    if [ $status -eq 0 ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        failures=$((failures + 1))
    fi
}

# is NAME EXPECTED ACTUAL
is() {
    number=$((number + 1))
    if [ "$2" = "$3" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf '%s\n' "expected: $2" "but was:  $3" | sed 's/^/# /'
        failures=$((failures + 1))
    fi
}

# bail_out WHY: nothing else can be tested.
bail_out() {
    number=$((number + 1))
    echo "not ok $number - $1"
    [ ! -s "$dir/log" ] || sed 's/^/# /' "$dir/log"
    echo "1..$number"
    exit 1
}

# skip_all WHY: something is missing, and nothing can be tested.
skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

# only_one NAME COMMAND...: runs it while no other script runs one of that name, as scripts that fetch
# the same into build/ run side by side; tests/run.sh removes what a killed one has left
only_one() {
    local lock=$root/build/$1.lock status
    mkdir -p "$root/build"
    for _ in $(seq 600); do
        mkdir "$lock" 2>/dev/null && break
        sleep 0.5
    done
    "${@:2}"
    status=$?
    rmdir "$lock" 2>/dev/null
    return $status
}

# tap_passed FILE, tap_failed FILE: how many tests of what another program printed; a skipped one is
# neither, and cmocka writes it as "not ok 3 # SKIP name"
tap_passed() {
    grep '^ok' "$1" | grep -vc '# *SKIP'
}

tap_failed() {
    grep '^not ok' "$1" | grep -vc '# *SKIP'
}

# done_testing: the last line of a script.
done_testing() {
    echo "1..$number"
    [ $failures -eq 0 ]
    exit
}

# ask ARGUMENT...: curl that never asks for long, nor through a proxy, nor a .curlrc
ask() {
    curl -q -sS --max-time 60 "$@" 2>"$dir/err"
}

# status ARGUMENT...: the status of an answer; what it says goes to $dir/out
status() {
    ask -o "$dir/out" -w '%{http_code}' "$@"
}

# at_once COUNT ARGUMENT...: so many connections, opened at once rather than after the first answer
at_once() {
    ask -Z --parallel-immediate --parallel-max "$@"
}

# await FILE PATTERN [COUNT]: until so many lines say so
await() {
    for _ in $(seq 200); do
        [ "$(grep -c "$2" "$1" 2>/dev/null)" -ge "${3:-1}" ] 2>/dev/null && return 0
        sleep 0.1
    done
    return 1
}

# end SIGNAL PID: sends it (0: nothing) and tells the status with which the process ended; one
# that does not end is killed
end() {
    kill "-$1" "$2" 2>/dev/null
    for _ in $(seq 200); do
        kill -0 "$2" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$2" 2>/dev/null
    wait "$2" 2>/dev/null
}

# build NAME FLAG...: compiles examples/NAME.c, or all of examples/NAME/
build() {
    local sources=("examples/$1.c")
    [ -f "${sources[0]}" ] || sources=("examples/$1"/*.c)
    # shellcheck disable=SC2086
    "$cc" ${CFLAGS:-} -Wall -Wextra -Wshadow -Werror -o "$dir/$1" "${sources[@]}" "${@:2}" \
        >"$dir/log" 2>&1 || bail_out "examples/$1 builds"
}

# start NAME ARGUMENT...: runs it in the background as $started, and waits until it has said where
# it listens; $port and $url say that, too. What it says is in $dir/NAME.out and $dir/NAME.err,
# what it is told (on file descriptor 9) goes through $dir/NAME.in.
start() {
    rm -f "$dir/$1.in" "$dir/$1.out"
    mkfifo "$dir/$1.in"
    exec 9<>"$dir/$1.in"
    "$dir/$1" "${@:2}" >"$dir/$1.out" 2>"$dir/$1.err" <"$dir/$1.in" 9<&- &
    started=$!
    children+=("$started")
    await "$dir/$1.out" '^listening on http' || { cp "$dir/$1.err" "$dir/log"; bail_out "$1 starts"; }
    url=$(sed -n 's|^listening on \(https*://[^/ ]*\).*|\1|p' "$dir/$1.out" | head -n 1)
    port=${url##*:}
    url=${url/localhost/127.0.0.1}
}
