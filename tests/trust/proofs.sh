#!/bin/sh
# Proves the claims of proofs.c with cbmc, for every input up to the length each states.
#
#   tests/trust/proofs.sh [NAME...]
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
    timeout -k 5 600 "$@"
}

# The header is read once, without what no proof is about.
compile() {
    tool goto-cc -I . -DUHTTP_NO_FILES -DUHTTP_NO_JSON -DUHTTP_NO_MULTIPART -DUHTTP_NO_LOG \
        -c "$source" -o "$here/proofs.gb" >"$here/compile.log" 2>&1
}

# prove FUNCTION BOUND
prove() {
    tool cbmc "$here/proofs.gb" --function "$1" --unwind "$2" --unwinding-assertions \
        --bounds-check --pointer-check --signed-overflow-check --div-by-zero-check \
        --undefined-shift-check --no-malloc-may-fail --drop-unused-functions --slice-formula \
        >"$here/$1.log" 2>&1
}

found=$(command -v cbmc)
mkdir -p "$here"
if [ -z "$found" ] && [ ! -x "$here/unpacked/usr/bin/cbmc" ]; then
    command -v apt-get >/dev/null && command -v dpkg >/dev/null && [ "$(uname -m)" = x86_64 ] && fetch
    [ -x "$here/unpacked/usr/bin/cbmc" ] || { echo "1..0 # SKIP cbmc cannot be had"; exit 0; }
fi

names=${*:-$(sed -n 's/^void proof_\([a-z0-9_]*\)(void)$/\1/p' $source)}
total=0 failed=0 checks=0
compile || { echo "not ok - proofs.c compiles"; tail -n 20 "$here/compile.log"; echo "1..1"; exit 1; }
for name in $names; do
    total=$((total + 1))
    bound=$(awk -v name="void proof_$name(void)" '
        match($0, /bound: [0-9]+/) { bound = substr($0, RSTART + 7, RLENGTH - 7) }
        $0 == name { print bound; exit }' $source)
    start=$(date +%s)
    prove "proof_$name" "$bound"
    took=$(($(date +%s) - start))
    proved=$(sed -n 's/^\*\* 0 of \([0-9]*\) failed.*/\1/p' "$here/proof_$name.log")
    if [ -n "$proved" ]; then
        checks=$((checks + proved))
        echo "ok - $name: $proved checks, loops up to $bound, $took s"
    else
        failed=$((failed + 1))
        echo "not ok - $name ($took s)"
        grep -a 'FAILURE\|rror' "$here/proof_$name.log" | head -n 20 | sed 's/^/# /'
    fi
done
echo "1..$total"
echo "# proofs: $((total - failed)) of $total claims, $checks checks"
[ $failed -eq 0 ] && [ "$total" -gt 0 ]
