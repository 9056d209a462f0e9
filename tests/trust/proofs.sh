#!/bin/sh
# Proves the claims of proofs.c with cbmc, for every input up to the length each states.
#
#   tests/trust/proofs.sh [--faults] [NAME...]
#
# --faults: each claim meets a header with the fault planted that stands above it, and must fail.
#
# cbmc is in no release of Debian 12: trixie's is unpacked into build/cbmc, by an apt with lists
# and a status of its own, unless there is one on the machine. Prints TAP.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 2
here=$PWD/${BUILD:-build}/cbmc
source=tests/trust/proofs.c

fetch() {
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Codename: bookworm' |
        head -n 1)
    key=$(dpkg -L debian-archive-keyring 2>/dev/null | grep '/debian-archive-keyring\.gpg$')
    [ -n "$uri" ] && [ -n "$key" ] || return
    mkdir -p "$here/lists/partial" "$here/cache/archives/partial" "$here/unpacked"
    : >"$here/status"
    echo "deb [signed-by=$key] $uri trixie main" >"$here/sources.list"
    apt="-o Dir::Etc::sourcelist=$here/sources.list -o Dir::Etc::sourceparts=-
        -o Dir::State::lists=$here/lists -o Dir::State::status=$here/status
        -o Dir::Cache=$here/cache -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086
    (cd "$here" && apt-get $apt -qq update &&
        apt-get $apt -qq download cbmc libc6 libstdc++6 libgcc-s1 minisat zlib1g &&
        for package in *.deb; do dpkg -x "$package" unpacked || exit; done) >"$here/log" 2>&1
    rm -rf "$here/lists" "$here/cache" "$here"/*.deb
}

# tool NAME ARGUMENT...: cbmc's goto-cc or cbmc
tool() {
    program=$1
    shift
    if [ -n "$found" ]; then
        set -- "$program" "$@"
    else
        set -- "$here/unpacked/usr/lib64/ld-linux-x86-64.so.2" --library-path \
            "$here/unpacked/usr/lib/x86_64-linux-gnu:$here/unpacked/usr/lib" "$here/unpacked/usr/bin/$program" "$@"
    fi
    timeout -k 5 "${PROOF_SECONDS:-600}" "$@"
}

# said NAME WORD: what the comment of a proof has behind this word, to the end of the line
said() {
    awk -v name="void proof_$1(void)" -v word="$2: " '
        (at = index($0, word)) > 0 { text = substr($0, at + length(word)) }
        /^}/ { text = "" }
        $0 == name { print text; exit }' $source
}

# compile FOLDER: the header in it is read once, without what no proof is about. No vectors:
# cbmc does not know what a processor's own instructions do.
compile() {
    tool goto-cc -I "$1" -U__SSE2__ -DUHTTP_NO_FILES -DUHTTP_NO_JSON -DUHTTP_NO_MULTIPART -DUHTTP_NO_LOG \
        -c "$source" -o "$here/proofs.gb" >"$here/compile.log" 2>&1
}

# prove NAME: what the proof does not call is left out first, which is quicker
prove() {
    limit=$(said "$1" bound | sed 's/^\([0-9]*\).*/\1/')
    loops=$(said "$1" bound | grep -o '[a-z0-9_]*\.[0-9]*:[0-9]*' | tr '\n' ',')
    tool goto-cc --function "proof_$1" "$here/proofs.gb" -o "$here/entry.gb" &&
        tool goto-instrument --drop-unused-functions "$here/entry.gb" "$here/entry.gb" &&
        tool cbmc "$here/entry.gb" --unwind "$limit" ${loops:+--unwindset "${loops%,}"} \
            --unwinding-assertions --bounds-check --pointer-check --signed-overflow-check \
            --div-by-zero-check --undefined-shift-check --no-malloc-may-fail --object-bits 12 \
            --drop-unused-functions --slice-formula ${first:+"$first"}
} >"$here/$1.log" 2>&1

# plant NAME: the header with this proof's fault; false: the fault changes nothing any more
plant() {
    mkdir -p "$here/faulty"
    sed "$(said "$1" fault)" uhttp_server.h >"$here/faulty/uhttp_server.h"
    ! cmp -s uhttp_server.h "$here/faulty/uhttp_server.h"
}

found=$(command -v cbmc)
mkdir -p "$here"
if [ -z "$found" ] && [ ! -x "$here/unpacked/usr/bin/cbmc" ]; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null && [ "$(uname -m)" = x86_64 ] && fetch
    [ -x "$here/unpacked/usr/bin/cbmc" ] || { echo "1..0 # SKIP cbmc cannot be had"; exit 0; }
fi

faults=no first=
[ "${1:-}" = --faults ] && { faults=yes first=--stop-on-fail; shift; }
all=$(sed -n 's/^void proof_\([a-z0-9_]*\)(void)$/\1/p' $source)
names=${*:-$all}
total=0 failed=0 checks=0 began=$(date +%s)
[ $faults = yes ] || compile . ||
    { echo "not ok - proofs.c compiles"; tail -n 20 "$here/compile.log"; echo "1..1"; exit 1; }
for name in $names; do
    total=$((total + 1))
    start=$(date +%s)
    if ! plant "$name"; then
        failed=$((failed + 1))
        echo "not ok - $name: its fault changes nothing in the header"
        continue
    fi
    if [ $faults = yes ]; then
        rm -f "$here/$name.log"
        compile "$here/faulty" && prove "$name"
        if grep -aq '^VERIFICATION FAILED' "$here/$name.log"; then
            echo "ok - $name fails with its fault, $(($(date +%s) - start)) s"
            grep -a -A 3 '^Violated property' "$here/$name.log" | sed 's/^/# /'
        else
            failed=$((failed + 1))
            echo "not ok - $name does not notice its fault"
        fi
        continue
    fi
    prove "$name"
    took=$(($(date +%s) - start))
    proved=$(sed -n 's/^\*\* 0 of \([0-9]*\) failed.*/\1/p' "$here/$name.log")
    if [ -n "$proved" ]; then
        checks=$((checks + proved))
        echo "ok - $name: $proved checks, loops up to $limit, $took s"
    else
        failed=$((failed + 1))
        echo "not ok - $name ($took s)"
        grep -a 'FAILURE\|rror' "$here/$name.log" | head -n 20 | sed 's/^/# /'
    fi
done
echo "1..$total"
# table.py reads this line: some of the claims are no total
[ $faults = yes ] || [ "$names" != "$all" ] ||
    echo "# proofs: $((total - failed)) of $total claims, $checks checks, $(($(date +%s) - began)) s"
[ $failed -eq 0 ] && [ "$total" -gt 0 ]
