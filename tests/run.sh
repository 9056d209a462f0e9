#!/bin/sh
# Installs what is missing, builds, runs the tests and says how many passed.
#
#   tests/run.sh [--quick | --full] [--no-install] [STAGE[:NAME]...]
#
#                  what everybody should run: a few minutes, with a compiler, cmocka, mbedTLS,
#                  openssl and curl
#   --quick        only the unit tests
#   --full         everything: sanitizers (also of memory: msan), hardened unit tests, fuzzers,
#                  other compilers, processors and systems, browsers; this installs much and
#                  takes most of an hour
#   --no-install   take the machine as it is; what cannot run is skipped
#   STAGE          only these, of those that --help lists
#   STAGE:NAME     only this test of the stage, as in asan:test_body, examples:example_form, "unit:test_text*"
#
# Stages run side by side, as many as there are processors; what measures runs alone, at the end.
# Everything built is in build/, what each stage printed in build/logs. FUZZ_SECONDS is the time
# for each fuzzer, DRIVER_SECONDS for the random driver, SOAK_SECONDS (100) for the soak, JOBS (the
# number of processors) how much runs at once, TEST_SECONDS (240) how long one test program may
# take. The last line is "N passed, N failed"; the status is 0 if something ran and nothing failed.
set -u
export LC_ALL=C

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 2
build=build
logs=$build/logs
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
test_seconds=${TEST_SECONDS:-240}
everyday="unit tls examples curl readme"
# the longest first, so that the last ones to end are short; what counts and measures is alone
all="compile clang asan long unit tls m32 pollers fuzz valgrind packaging tsan msan analysis
    examples curl loops readme size counts boards"
all=$(echo $all)
alone="counts boards"
whole_budget=60

quick=no
full=no
install=yes
stages=
for argument in "$@"; do
    case $argument in
    --quick) quick=yes ;;
    --full) full=yes ;;
    --no-install) install=no ;;
    -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; echo "Stages: $all"; exit 2 ;;
    *)  case " $all " in
        *" ${argument%%:*} "*) stages="$stages $argument" ;;
        *) echo "no such stage: $argument (there are: $all)"; exit 2 ;;
        esac ;;
    esac
done
whole=no        # of each stage also what takes long
if [ $full = yes ] || [ -n "$stages" ]; then
    whole=yes
fi
[ $quick = no ] || stages=unit
if [ $full = yes ]; then
    [ -n "$stages" ] || stages=$all
    fuzz_seconds=${FUZZ_SECONDS:-25}
    driver_seconds=${DRIVER_SECONDS:-60}
else
    [ -n "$stages" ] || stages=$everyday
    fuzz_seconds=${FUZZ_SECONDS:-5}
    driver_seconds=${DRIVER_SECONDS:-2}
fi

# budget STAGE: the minutes it may take in --full
budget() {
    case $1 in
    fuzz) echo 7 ;;
    boards) echo 6 ;;
    pollers) echo 8 ;;
    analysis) echo 6 ;;
    long:long_faults) echo 6 ;;
    long:long_hostile) echo 3 ;;
    long:long_soak) echo 4 ;;
    long:long_mutation) echo 2 ;;
    long:long_proofs) echo 4 ;;
    long:long_fresh_root) echo 8 ;;
    *) echo 15 ;;
    esac
}

has() {
    command -v "$1" >/dev/null 2>&1
}

wants() {
    case " $stages " in *" $1 "* | *" $1:"*) true ;; *) false ;; esac
}

# --- what has to be installed -------------------------------------------------------------

cc=${CC:-cc}
if [ -z "${CC:-}" ] && has gcc; then
    cc=gcc
fi
gcc_major=$(gcc -dumpversion 2>/dev/null | cut -d . -f 1)
cpu=$(uname -m)

# compiles FLAG... : can a program with these flags be built? Its text is standard input.
compiles() {
    mkdir -p $build
    cat >"$build/probe.${job:-0}.c"
    "$@" "$build/probe.${job:-0}.c" -o "$build/probe.${job:-0}" >/dev/null 2>&1
}

has_cmocka() {
    # shellcheck disable=SC2046
    printf '%s\n' '#include <stdarg.h>' '#include <stddef.h>' '#include <stdint.h>' \
        '#include <setjmp.h>' '#include <cmocka.h>' 'int main(void) { return 0; }' |
        compiles "$cc" $(cmocka_flags)
}

cmocka_flags() {
    echo "$(pkg-config --cflags --libs cmocka 2>/dev/null || echo -lcmocka) -lm"
}

has_m32() {
    echo 'int main(void) { return 0; }' | compiles gcc -m32
}

has_clang_sanitizers() {
    echo 'int main(void) { return 0; }' | compiles clang -fsanitize=address,undefined
}

# missing STAGES TEST PACKAGE...: names the packages if one of the stages is wanted and the test
# fails.
missing() {
    [ $whole = yes ] || case $2 in      # everyday's are few
        "has cc" | "has bash" | has_cmocka | has_mbedtls | "has openssl" | "has curl") ;;
        *) return ;;
    esac
    for stage in $1; do
        if wants "$stage"; then
            $2 || { shift 2; echo "$@"; }
            return
        fi
    done
}

# Apple's clang has the sanitizers but no fuzzer; Homebrew's has.
find_fuzzer() {
    for fuzz_cc in clang /opt/homebrew/opt/llvm/bin/clang /usr/local/opt/llvm/bin/clang; do
        echo 'int LLVMFuzzerTestOneInput(const char *p, long n);
              int LLVMFuzzerTestOneInput(const char *p, long n) { return p == 0 && n == 1; }' |
            compiles "$fuzz_cc" -fsanitize=fuzzer && return
    done
    return 1
}

has_arm() {
    echo '#include <string.h>' | compiles arm-none-eabi-gcc -c
}

has_lwip() {
    [ -f /usr/include/lwip/lwip/sockets.h ]
}

# has_daemon NAME: also where only root looks
has_daemon() {
    (PATH=$PATH:/usr/sbin:/usr/local/sbin && has "$1")
}

has_aiohttp() {
    python3 -c 'import aiohttp' 2>/dev/null || /usr/bin/python3 -c 'import aiohttp' 2>/dev/null
}

has_glib() {
    pkg-config --exists glib-2.0 2>/dev/null
}

has_libuv() {
    echo '#include <uv.h>' | compiles "$cc" -c
}

has_mbedtls() {
    echo '#include <mbedtls/ssl.h>' | compiles "$cc" -c
}

has_libssl() {
    echo '#include <openssl/ssl.h>' | compiles "$cc" -c
}

has_cjson() {
    echo '#include <cjson/cJSON.h>' | compiles "$cc" -c
}

packages_apt() {
    units="unit pollers asan clang m32 tsan msan loops tls valgrind"
    missing "$all" "has cc" gcc libc6-dev
    missing "$units packaging long" has_cmocka libcmocka-dev
    missing "loops" has_libuv libuv1-dev
    missing "loops" "has pkg-config" pkg-config
    missing "loops" has_glib libglib2.0-dev
    missing "tls examples compile packaging long" has_mbedtls libmbedtls-dev
    missing "tls examples long" "has openssl" openssl
    missing "examples compile" has_libssl libssl-dev
    missing "compile" has_cjson libcjson-dev
    missing "tls" "has curl" curl
    missing "long" "has_daemon nginx" nginx
    missing "long" "has_daemon haproxy" haproxy
    missing "boards long" "has openssl" openssl
    missing "packaging" "has cmake" cmake make
    missing "packaging boards" "has make" make
    missing "packaging" "has pkg-config" pkg-config
    missing "curl examples boards long" "has curl" curl
    missing "clang fuzz msan compile" "has clang" clang
    missing "clang fuzz msan" has_clang_sanitizers libclang-rt-dev llvm
    missing "fuzz" "has zip" zip
    missing "fuzz" "has afl-clang-fast" afl++
    missing "valgrind counts" "has valgrind" valgrind libc6-dbg
    missing "counts" "has strace" strace
    missing "analysis" "has cppcheck" cppcheck
    missing "analysis" "has clang-tidy" clang-tidy
    missing "compile packaging" "has g++" g++
    # gcc-multilib itself would remove every cross compiler
    [ "$cpu" = x86_64 ] && missing "m32 compile" has_m32 \
        "gcc-${gcc_major:-12}-multilib" "g++-${gcc_major:-12}-multilib"
    missing "compile pollers long" "has tcc" tcc
    missing "compile long" "has musl-gcc" musl-tools
    missing "compile packaging long" "has x86_64-w64-mingw32-gcc" gcc-mingw-w64-x86-64-win32
    missing "compile size boards" has_arm gcc-arm-none-eabi libnewlib-arm-none-eabi
    missing "compile size" has_lwip liblwip-dev
    missing "boards" "has qemu-system-arm" qemu-system-arm
    missing "boards long" "has dpkg-source" dpkg-dev
    missing "boards" "has python3" python3
    missing "boards" "has ip" iproute2
    missing "boards long" "has wrk" wrk
    missing "long" "test -e /usr/lib/wine/wine64" wine64
    missing "long" "has qemu-s390x" qemu-user
    missing "long" "has s390x-linux-gnu-gcc" gcc-s390x-linux-gnu libc6-dev-s390x-cross
    missing "long" "has mips-linux-gnu-gcc" gcc-mips-linux-gnu libc6-dev-mips-cross
    missing "long" "has arm-linux-gnueabihf-gcc" gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
    missing "long" "has aarch64-linux-gnu-gcc" gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    missing "long" "has riscv64-linux-gnu-gcc" gcc-riscv64-linux-gnu libc6-dev-riscv64-cross
    missing "long" "has debootstrap" debootstrap
    missing "long" "has ip" iproute2
    missing "long" "has git" git
    missing "long" "has chromium" chromium
    missing "long" "has node" nodejs
    missing "long" "has npm" npm
    missing "long" has_aiohttp python3-aiohttp
    missing "long" "has go" golang-go golang-github-gorilla-websocket-dev
    missing "long" "has ab" apache2-utils
    missing "examples" "has python3" python3
}

packages_dnf() {
    missing "$all" "has cc" gcc
    missing "$all" has_cmocka libcmocka-devel pkgconf-pkg-config
    missing "loops" has_libuv libuv-devel
    missing "tls examples compile" has_mbedtls mbedtls-devel mbedtls-static
    missing "tls examples" "has openssl" openssl
    missing "examples compile" has_libssl openssl-devel
    missing "compile" has_cjson cjson-devel
    missing "long" "has_daemon nginx" nginx
    missing "long" "has_daemon haproxy" haproxy
    missing "long" "has openssl" openssl
    missing "packaging" "has cmake" cmake make
    missing "asan" "ls /usr/lib/gcc/*/*/libasan.so" libasan libubsan
    missing "tsan" "ls /usr/lib/gcc/*/*/libtsan.so" libtsan
    missing "curl examples long" "has curl" curl
    missing "clang fuzz compile" "has clang" clang compiler-rt
    missing "fuzz" "has zip" zip
    missing "valgrind counts" "has valgrind" valgrind
    missing "counts" "has strace" strace
    missing "compile packaging" "has g++" gcc-c++
    [ "$cpu" = x86_64 ] && missing "m32 compile" has_m32 glibc-devel.i686 libgcc.i686
    missing "compile" "has tcc" tcc
    missing "compile" "has musl-gcc" musl-gcc
    missing "compile packaging" "has x86_64-w64-mingw32-gcc" mingw64-gcc
    missing "compile" has_arm arm-none-eabi-gcc-cs arm-none-eabi-newlib
}

packages_apk() {
    missing "$all" "has cc" build-base
    missing "$all" "has bash" bash
    missing "$all" has_cmocka cmocka-dev pkgconf
    missing "packaging" "has cmake" cmake make
    missing "loops" has_libuv libuv-dev
    missing "tls examples compile" has_mbedtls mbedtls-dev mbedtls-static
    missing "tls examples" "has openssl" openssl
    missing "examples compile" has_libssl openssl-dev
    missing "compile" has_cjson cjson-dev
    missing "long" "has_daemon nginx" nginx
    missing "long" "has_daemon haproxy" haproxy
    missing "long" "has openssl" openssl
    missing "curl examples long" "has curl" curl
    missing "clang fuzz compile" "has clang" clang compiler-rt
    missing "fuzz" "has zip" zip
    missing "valgrind" "has valgrind" valgrind
    missing "compile" "has tcc" tcc tcc-libs-static
    missing "compile packaging" "has x86_64-w64-mingw32-gcc" mingw-w64-gcc
    missing "compile" has_arm gcc-arm-none-eabi newlib-arm-none-eabi
}

packages_brew() {
    missing "$all" has_cmocka cmocka pkgconf
    missing "loops" has_libuv libuv
    missing "packaging" "has cmake" cmake
    missing "fuzz" find_fuzzer llvm
    missing "compile packaging" "has x86_64-w64-mingw32-gcc" mingw-w64
}

# as_root COMMAND...: package managers want to be root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        echo "installing needs root or sudo"
        return 1
    fi
}

# install_with MANAGER PACKAGE...: one that does not exist here must not keep the others away.
install_with() {
    manager=$1
    shift
    echo "== install ($manager):" "$@"
    install_start=$(now)
    case $manager in
    apt)
        apt="as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
        $apt update
        known=
        for package in "$@"; do
            if apt-cache show "$package" >/dev/null 2>&1; then
                known="$known $package"
            else
                echo "   not available: $package"
            fi
        done
        # a server that comes with a package is not started: the tests start their own
        policy=/usr/sbin/policy-rc.d
        if [ -e $policy ]; then
            policy=
        else
            printf '#!/bin/sh\nexit 101\n' >$build/policy-rc.d
            as_root install -m 755 $build/policy-rc.d $policy
        fi
        # shellcheck disable=SC2086
        $apt install -y --no-install-recommends $known >$logs/install.log 2>&1
        installed=$?
        [ -z "$policy" ] || as_root rm -f $policy
        [ $installed -eq 0 ] ;;
    dnf)
        as_root dnf install -y --skip-broken "$@" >$logs/install.log 2>&1 ;;
    apk)
        for package in "$@"; do
            as_root apk add -q "$package" || echo "   not available: $package"
        done >$logs/install.log 2>&1 ;;
    brew)
        brew install -q "$@" >$logs/install.log 2>&1 ;;
    esac || { tail -n 20 $logs/install.log; echo "   not everything could be installed"; }
    echo "   $(($(now) - install_start)) s, not counted below"
}

install_missing() {
    for manager in apt dnf apk brew; do
        case $manager in apt) has apt-get ;; *) has $manager ;; esac || continue
        packages=$(packages_$manager 2>/dev/null | tr '\n' ' ')
        # shellcheck disable=SC2086
        [ -z "$packages" ] || install_with $manager $packages
        return
    done
    echo "   no package manager that is known here (apt, dnf, apk, brew): taking what there is"
}

# cmocka for -m32 is in no package of a 64-bit machine: the 32-bit one is unpacked into build/.
# apt gets lists and a status of its own for that; nothing on the machine changes.
fetch_cmocka32() {
    [ -f $build/i386/libcmocka.so.0 ] && return
    has apt-get && has dpkg-deb || return
    apt32=$root/$build/i386/apt
    mkdir -p "$apt32/lists/partial" "$apt32/cache/archives/partial"
    : >"$apt32/status"
    printf '%s "%s";\n' APT::Architecture i386 APT::Architectures i386 \
        APT::Sandbox::User root Dir::State::lists "$apt32/lists" \
        Dir::State::status "$apt32/status" Dir::Cache "$apt32/cache" >"$apt32/apt.conf"
    (cd "$apt32" && export APT_CONFIG="$apt32/apt.conf" && { apt-get -qq update || true; } &&
        apt-get -qq download libcmocka0 && dpkg-deb -x libcmocka0_*.deb .) >$logs/i386.log 2>&1 &&
        cp "$apt32"/usr/lib/i386-linux-gnu/libcmocka.so.0 $build/i386/
    rm -rf "$apt32"
}

# --- counting and reporting ---------------------------------------------------------------

passed=0
failed=0
skipped=
now() {
    date +%s
}

# stage NAME WORDS / skip WHY / finish: a headline, and the sum under it.
stage() {
    stage_name=$1
    stage_start=$(now)
    shift
    echo "== ${job:-$stage_name}: $*"
}

skip() {
    echo "   skipped: $*"
    skipped="$skipped $stage_name"
}

finish() {
    if [ $((passed + failed)) -gt 0 ]; then
        echo "   $passed passed, $failed failed ($(($(now) - stage_start)) s)"
    fi
}

# asked NAME: is it among those of STAGE:NAME?
only="*"
asked() {
    # shellcheck disable=SC2254  # a pattern
    case ${1%.*} in $only) true ;; *) false ;; esac
}

# all_of PATTERN: the files called so, in whatever room, that were asked for
all_of() {
    find tests -name "$1" | sort | while read -r file; do
        asked "$(basename "$file")" && echo "$file"
    done
}

# fail NAME [LOG]: one failure that no TAP line tells of.
fail() {
    failed=$((failed + 1))
    echo "   FAILED: $1"
    echo "${culprit:-$stage_name}" >>$logs/failures
    if [ -n "${2:-}" ] && [ -s "$2" ]; then
        tail -n 60 "$2" | sed 's/^/      /'
    fi
}
culprit=

# can_pick: sets culprit, which is what repeats a failure of $1: a stage, or one test of it
can_pick() {
    case $stage_name in
    unit | asan | clang | m32 | tsan | msan | pollers | valgrind | tls | examples | long)
        culprit=$stage_name:${1%.*} ;;
    *)  culprit=$stage_name ;;
    esac
}

# limited SECONDS COMMAND...: ends it when it takes longer; then the status is not 0.
limited() {
    if has timeout; then
        timeout -k 5 "$@"
    else
        perl -e 'alarm shift; exec @ARGV or exit 127' "$@"
    fi
}

# tap NAME SECONDS COMMAND...: runs something that prints TAP and counts what it says.
tap() {
    tap_run "$@"
    tap_count "$1" "$2"
}

# tap_file NAME: sets out, where what was printed is kept
tap_file() {
    out=$logs/$stage_name-$(printf '%s' "$1" | tr -c 'A-Za-z0-9._\n' -).tap
}

tap_run() {
    tap_file "$1"
    run_limit=$2
    shift 2
    limited "$run_limit" "$@" >"$out" 2>"$out.err" </dev/null
    echo $? >"$out.status"
}

# A program that crashed, hung, stopped early or tested nothing is a failure too.
tap_count() {
    tap_name=$1
    tap_seconds=$2
    tap_file "$1"
    can_pick "$1"
    status=1
    [ ! -s "$out.status" ] || read -r status <"$out.status"
    awk '
        /^1\.\.[0-9]+/          { planned += substr($1, 4); if (/# *SKIP/) skips++ }
        /^(not )?ok.*# *SKIP/   { skips++; next }
        /^ok/                   { good++ }
        /^not ok/               { bad++ }
        END { print good + 0, bad + 0, skips + 0, planned + 0 }' "$out" >"$out.sum"
    read -r good bad skips planned <"$out.sum"
    passed=$((passed + good))
    failed=$((failed + bad))
    if [ "$bad" -gt 0 ]; then
        echo "   FAILED: $tap_name"
        echo "$culprit" >>$logs/failures
        # a failed line with the remarks that belong to it
        awk '/^not ok/ && !/# *SKIP/ { show = 1 } /^ok/ || /^1\.\./ { show = 0 }
             show { print "      " $0 }' "$out" | head -n 200
        tail -n 60 "$out.err" | sed 's/^/      /'
    fi
    if [ $status -eq 124 ] || [ $status -eq 142 ]; then
        fail "$tap_name did not end within $tap_seconds seconds" "$out.err"
    elif [ $((good + bad + skips)) -lt "$planned" ] && ! grep -q '^not ok 0' "$out"; then
        fail "$tap_name stopped after $((good + bad + skips)) of $planned tests (status $status)" \
            "$out.err"
    elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
        fail "$tap_name ended with status $status" "$out.err"
    elif [ $((good + bad + skips)) -eq 0 ]; then
        fail "$tap_name tested nothing" "$out.err"
    fi
    if [ "$skips" -gt 0 ]; then
        sed -n "s/.*# *SKIP */   skipped: $tap_name: /p" "$out" | head -n 20
        skipped="$skipped $stage_name:${tap_name%.*}"
    fi
    culprit=
}

# --- unit tests ---------------------------------------------------------------------------

# The conversions of test code are its own affair; tests/platform/compile.sh judges the header's.
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wundef -Werror"
rooms="-I tests/text -I tests/machine -I tests/server -I tests/fuzz"
unit_flags="-std=gnu11 -g $warnings -pthread -I . $rooms"

# build_tests DIRECTORY COMPILER FLAG...: one program from each of $sources, several at once;
# cmocka's flags come last, from $libraries. What fails to build is a failure.
build_tests() {
    directory=$build/$1
    shift
    mkdir -p "$directory"
    if [ -z "$sources" ]; then
        [ "$only" != "*" ] || fail "there is nothing to build"
        return
    fi
    # shellcheck disable=SC2016  # expanded by the inner shell
    echo "$sources" | OUT=$directory COMPILE="$*" LIBRARIES=$libraries xargs -P "$jobs" -n 1 sh -c '
        name=$OUT/$(basename "$0" .c)
        rm -f "$name"
        $COMPILE "$0" -o "$name" $LIBRARIES >"$name.log" 2>&1'
    for source in $sources; do
        name=$directory/$(basename "$source" .c)
        can_pick "$(basename "$source")"
        [ -e "$name" ] || fail "$source does not build" "$name.log"
    done
    culprit=
}

# run_tests DIRECTORY SECONDS COMMAND...: runs each program that was built, under the command, as
# many at once as there are processors. Each lane takes the next that no other has taken; large
# files first, as they take longest.
run_tests() {
    directory=$build/$1
    run_seconds=$2
    shift 2
    names=
    # shellcheck disable=SC2012  # our own names
    # shellcheck disable=SC2045,SC2086
    for source in $(ls -S $sources 2>/dev/null); do
        name=$(basename "$source" .c)
        [ ! -x "$directory/$name" ] || names="$names $name"
    done
    taken=$logs/taken.$job.$(basename "$directory")
    rm -rf "$taken"
    mkdir "$taken"
    lane=0
    lanes=
    while [ $lane -lt "$jobs" ]; do
        for name in $names; do
            mkdir "$taken/$name" 2>/dev/null || continue
            tap_run "$name" "$run_seconds" "$@" "$directory/$name"
        done &
        lanes="$lanes $!"
        lane=$((lane + 1))
    done
    # shellcheck disable=SC2086
    wait $lanes
    for name in $names; do
        tap_count "$name" "$run_seconds"
    done
}

# can_run COMPILER FLAG...: does a program with these flags build and run here?
can_run() {
    echo 'int main(void) { return 0; }' | compiles "$@" && "$build/probe.${job:-0}" 2>/dev/null
}

export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS="handle_segv=2:handle_sigbus=2:detect_stack_use_after_return=1"
export UBSAN_OPTIONS="print_stacktrace=1"
export TSAN_OPTIONS="halt_on_error=1"
sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

# As distributions build: the C library checks sizes that the compiler knows, functions their stack.
# Both begin at -O1; at -O2 all would take three quarters longer to compile.
hardened="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong"

# glibc warns where compiler or library do not know the level.
can_harden() {
    # shellcheck disable=SC2086
    printf '%s\n' '#include <string.h>' 'int main(void) { return 0; }' |
        compiles "$cc" -O1 -Werror $hardened
}

stage_unit() {
    stage unit "unit tests, $cc"
    optimize=-O1
    runs=
    if [ $whole = no ]; then
        # a quarter of the time to compile, and only test_machine runs longer; warnings are the
        # affair of --full
        optimize="-O0 -g0 -w"
        runs=MACHINE_RUNS=2000
    elif can_harden; then
        optimize="-O1 $hardened"
    fi
    # shellcheck disable=SC2086
    build_tests unit "$cc" $unit_flags $optimize
    processors=$jobs
    [ $whole = yes ] || jobs=$((jobs * 3))      # some of the tests mostly wait
    # shellcheck disable=SC2086
    run_tests unit "$test_seconds" env $runs
    jobs=$processors
}

# The suites of the server over the other poller that this system has. On Linux kqueue is made of
# poll(), and only what is about sockets is run over it.
stage_pollers() {
    stage pollers "the server's tests over epoll and kqueue"
    sources=$(all_of "test_server*.c"; all_of test_request_extras.c)
    with_kqueue="-DUHTTP_POLLER=UHTTP_POLLER_KQUEUE"
    case $(uname -s) in
    Linux)
        # shellcheck disable=SC2086
        build_tests epoll "$cc" -O0 $unit_flags -DUHTTP_POLLER=UHTTP_POLLER_EPOLL
        run_tests epoll "$test_seconds" env
        # glibc's headers hide the layout of epoll's events from tcc
        sources=$(all_of test_server_descriptors.c)
        if has tcc && [ -n "$sources" ]; then
            # shellcheck disable=SC2086
            build_tests tcc tcc -std=gnu11 -Wall -pthread -I . $rooms
            run_tests tcc "$test_seconds" env
        fi
        sources=$(all_of test_server.c; all_of "test_server_[dlp]*.c")
        with_kqueue="$with_kqueue -DUH_KQUEUE=1 -DUH_INHERITS_PROBES=0 -I tests/platform/kqueue" ;;
    esac
    # shellcheck disable=SC2086
    build_tests kqueue "$cc" -O0 $unit_flags $with_kqueue
    run_tests kqueue "$test_seconds" env
}

stage_asan() {
    stage asan "unit tests, gcc, address and undefined behaviour sanitizers"
    # shellcheck disable=SC2086
    can_run gcc $sanitizers || { skip "gcc has no sanitizers here"; return; }
    # as in stage_unit, but the machine's tests run long
    everything=$sources
    sources=$(echo "$everything" | grep /machine/)
    # shellcheck disable=SC2086
    build_tests asan gcc -O1 $unit_flags $sanitizers
    sources=$(echo "$everything" | grep -v /machine/)
    # shellcheck disable=SC2086
    build_tests asan gcc -O0 $unit_flags $sanitizers
    sources=$everything
    run_tests asan $((test_seconds * 2)) env DRIVER_SECONDS="$driver_seconds"
}

# Addresses are the affair of the stage asan, and of clang's fuzzers.
stage_clang() {
    stage clang "unit tests, clang, undefined behaviour sanitizer"
    undefined="-fsanitize=undefined -fno-sanitize-recover=all"
    # shellcheck disable=SC2086
    can_run clang $undefined || { skip "clang has no sanitizers here"; return; }
    # shellcheck disable=SC2086
    build_tests clang clang -O0 $unit_flags $undefined
    run_tests clang $((test_seconds * 2)) env MACHINE_RUNS=5000
}

# 32 bits, and char as unsigned as on ARM. Debian's gcc-N-multilib lacks one link, which the
# second include path replaces.
stage_m32() {
    stage m32 "unit tests, gcc -m32 -funsigned-char"
    if [ "$cpu" != x86_64 ] || ! can_run gcc -m32; then
        skip "gcc -m32 is not installed"
        return
    fi
    [ $install = no ] || fetch_cmocka32
    m32="-m32 -funsigned-char -isystem /usr/include/$(gcc -print-multiarch)"
    if [ -f $build/i386/libcmocka.so.0 ]; then
        libraries="$build/i386/libcmocka.so.0 -lm"
        # shellcheck disable=SC2086
        build_tests m32 gcc -O0 $unit_flags $m32
        run_tests m32 "$test_seconds" env LD_LIBRARY_PATH="$build/i386"
    else
        echo "   no 32-bit cmocka: compiled only"
        libraries=
        # shellcheck disable=SC2086
        build_tests m32 gcc -O1 $unit_flags $m32 -c
    fi
    libraries=$(cmocka_flags)
}

# The test programs with threads of their own: wake-up.
stage_tsan() {
    stage tsan "unit tests with threads, gcc, thread sanitizer"
    sources=$(all_of test_server.c; all_of test_own_loop.c)
    can_run gcc -fsanitize=thread || { skip "gcc has no thread sanitizer here"; return; }
    # shellcheck disable=SC2086
    build_tests tsan gcc -O1 $unit_flags -fsanitize=thread
    # with addresses too random, older ones do not find room for their shadow memory
    fixed="env"
    setarch "$cpu" -R true 2>/dev/null && fixed="setarch $cpu -R"
    # shellcheck disable=SC2086
    run_tests tsan $((test_seconds * 3)) $fixed
}

# What is read before it was written, in a minute: units without a system below them that are
# quick to build and run, and what the fuzzers keep. cmocka is not instrumented, and need not be.
stage_msan() {
    stage msan "unit tests and kept inputs of the fuzzers, clang, memory sanitizer"
    unknown="-fsanitize=memory -fno-sanitize-recover=all -fno-omit-frame-pointer"
    # shellcheck disable=SC2086
    can_run clang $unknown || { skip "clang has no memory sanitizer here"; return; }
    everything=$sources
    sources=$(echo "$everything" |
        grep '/text/test_\|/test_\(body\|driver\|files\|streams\)\.' | grep -v json)
    # shellcheck disable=SC2086
    build_tests msan clang -O0 $unit_flags $unknown
    run_tests msan $((test_seconds * 2)) env DRIVER_SECONDS=1
    sources=$(all_of "fuzz_*.c" | while read -r source; do
        name=${source##*/fuzz_}
        [ ! -d "tests/fuzz/corpus/${name%.c}" ] || echo "$source"
    done)
    libraries=tests/fuzz/standalone.c
    # shellcheck disable=SC2086
    build_tests msan clang -O0 $unit_flags $unknown
    # shellcheck disable=SC2016  # expanded by the inner shell, which gets the program as $0
    run_tests msan "$test_seconds" sh -c '
        name=${0##*/fuzz_}
        set -- tests/fuzz/corpus/"$name"/*
        if "$0" "$@"; then echo "ok 1 - $# inputs of $name"; else echo "not ok 1 - $name"; fi
        echo 1..1'
    libraries=$(cmocka_flags)
    sources=$everything
}

stage_valgrind() {
    stage valgrind "unit tests, memcheck"
    has valgrind || { skip "valgrind is not installed"; return; }
    programs=valgrind
    if [ -e $logs/unit.running ]; then      # it has built the same, or is about to
        programs=unit
        while [ ! -e $logs/unit.done ]; do
            sleep 1
        done
    else
        # shellcheck disable=SC2086
        build_tests valgrind "$cc" -O1 $unit_flags
    fi
    # glibc's checked memcpy and memmove are one function: of a memmove() in a hardened program
    # memcheck says that its two ranges overlap
    printf '%s\n' '{' hardened_memmove Memcheck:Overlap fun:__memcpy_chk fun:memmove '}' \
        >$build/valgrind.supp
    # the machine's replays would take as long here as all the rest; sanitizers have seen them
    everything=$sources
    sources=$(echo "$sources" | grep -v test_machine)
    run_tests $programs $((test_seconds * 4)) \
        valgrind -q --error-exitcode=99 --leak-check=full --suppressions=$build/valgrind.supp
    sources=$everything
}

# --- the other stages ---------------------------------------------------------------------

stage_loops() {
    stage loops "the server in a loop of libuv and in one of GLib"
    tap own_loop_uv.sh $((test_seconds * 2)) tests/server/own_loop_uv.sh
}

# HTTPS through the machine's mbedTLS, linked statically so that a test can fail any one of its
# allocations; then real clients. tests/clients/long_tls36.sh does the same with a newer mbedTLS.
stage_tls() {
    stage tls "HTTPS: mbedTLS on both sides, the other suites over it, then curl and openssl"
    has_mbedtls || { skip "mbedTLS is not installed"; return; }
    has openssl || { skip "openssl is not installed"; return; }
    if ! tests/server/tls_certificates.sh $build/tls; then
        fail "openssl makes no certificates" $build/tls/log
        return
    fi
    sources=$(all_of test_tls.c)
    static="-Wl,--wrap=calloc -Wl,-Bstatic -lmbedtls -lmbedx509 -lmbedcrypto -Wl,-Bdynamic"
    # shellcheck disable=SC2086
    if ! echo 'int main(void) { return 0; }' | compiles "$cc" $static; then
        echo "   no static mbedTLS that can be linked: the test program is left out"
    else
        libraries="$static $(cmocka_flags)"
        # shellcheck disable=SC2086
        [ $whole = yes ] && can_run gcc $sanitizers &&
            build_tests tls gcc -O1 $unit_flags $sanitizers ||
            build_tests tls "$cc" -O1 $unit_flags
        run_tests tls $((test_seconds * 2)) env
        # the suites that are not about TLS, over TLS
        sources=
        for name in server server_requests server_limits server_streams server_uploads \
            server_files server_fields server_arguments server_websocket request_extras; do
            sources="$sources $(all_of test_$name.c)"
        done
        # shellcheck disable=SC2086
        sources=$(printf '%s\n' $sources)
        [ $whole = yes ] || sources=
        secure="$unit_flags -DLOOP_TLS -DUHTTP_TLS"
        # shellcheck disable=SC2086
        if [ -n "$sources" ]; then
            can_run gcc $sanitizers && build_tests tls-suites gcc -O0 $secure $sanitizers ||
                build_tests tls-suites "$cc" -O1 $secure
            run_tests tls-suites $((test_seconds * 2)) env
        fi
        libraries=$(cmocka_flags)
    fi
    asked tls.sh || return
    has curl || { skip "curl is not installed"; return; }
    tap tls.sh "$test_seconds" env CC="$cc" tests/clients/tls.sh
}

stage_curl() {
    stage curl "the examples, asked by curl"
    has curl || { skip "curl is not installed"; return; }
    tap curl.sh $((test_seconds * 2)) tests/clients/curl.sh
}

# Each example is a program of its own, asked by real clients: example_NAME.sh prints TAP.
stage_examples() {
    stage examples "the other examples, by their own clients"
    has curl || { skip "curl is not installed"; return; }
    for script in $(all_of "example_*.sh"); do
        tap "$(basename "$script")" $((test_seconds * 2)) "$script"
    done
}

# What needs minutes, gigabytes or a browser: long_NAME.sh prints TAP.
stage_long() {
    stage long "large transfers, other servers, a browser"
    for script in $(all_of "long_*.sh"); do
        tap "$(basename "$script")" $((test_seconds * 12)) "$script"
    done
}

# fuzz_one SOURCE: builds and runs one fuzzer; prints a TAP line. What is kept in
# tests/fuzz/corpus/NAME is where it starts from, what it finds on the way stays in build/.
fuzz_one() {
    name=$(basename "$1" .c)
    name=${name#fuzz_}
    out=$build/fuzz/$name
    mkdir -p "$out/corpus" "$out/found"
    rm -f "$out"/found/*
    set -- "$1" "$out/corpus"
    [ ! -f "tests/fuzz/$name.dict" ] || set -- "$@" "-dict=tests/fuzz/$name.dict"
    [ -d "tests/fuzz/corpus/$name" ] && set -- "$@" "tests/fuzz/corpus/$name"
    source=$1
    shift
    # shellcheck disable=SC2086
    if ! "$fuzz_cc" -std=gnu11 -g -O1 $warnings -pthread -I . $rooms $sanitizers \
            -fsanitize=fuzzer "$source" -o "$out/fuzzer" >"$out/log" 2>&1; then
        echo "not ok - fuzzer $name does not build"
        sed 's/^/# /' "$out/log"
    elif limited $((fuzz_seconds + 60)) "$out/fuzzer" -max_total_time="$fuzz_seconds" -timeout=10 \
            -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$out/found/" "$@" \
            >"$out/log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$out/log")
        [ "${runs:-0}" -gt 0 ] || printf 'not '
        echo "ok - fuzzer $name: nothing found in ${runs:-0} runs"
    else
        echo "not ok - fuzzer $name"
        tail -n 40 "$out/log" | sed 's/^/# /'
        for artifact in "$out"/found/*; do
            [ -f "$artifact" ] || continue
            echo "# ${artifact##*/}, as hex:"
            od -A n -v -t x1 "$artifact" | sed 's/^/# /'
        done
    fi
}

# One fuzzer built as public services build it, and as a plain program and for AFL++, each run
# for a moment; prints TAP lines.
fuzz_services() {
    out=$build/fuzz/out
    rm -rf "$out"
    mkdir -p "$out/new"
    if has zip && CC=$fuzz_cc CXX=$fuzz_cc++ OUT=$out FUZZERS=head tests/fuzz/build.sh &&
            [ -s "$out/fuzz_head_seed_corpus.zip" ] &&
            "$out/fuzz_head" -max_total_time=2 "$out/new" tests/fuzz/corpus/head >"$out/log" 2>&1; then
        echo "ok - fuzzer head, built by build.sh"
    else
        echo "not ok - fuzzer head, built by build.sh"
    fi
    for compiler in "$cc" afl-clang-fast; do
        has "$compiler" || continue
        if "$compiler" -std=gnu11 -g tests/fuzz/fuzz_head.c tests/fuzz/standalone.c \
                -o "$out/alone" >"$out/log" 2>&1 &&
                "$out/alone" <tests/fuzz/corpus/head/large >>"$out/log" 2>&1; then
            echo "ok - fuzzer head, standalone, $compiler"
        else
            echo "not ok - fuzzer head, standalone, $compiler"
        fi
    done
}

stage_fuzz() {
    stage fuzz "fuzzers, $fuzz_seconds seconds each"
    sources=$(all_of "fuzz_*.c")
    find_fuzzer || { skip "no clang with a fuzzer"; return; }
    taken=$logs/taken.fuzz
    rm -rf "$taken" $build/fuzz.*.tap
    mkdir "$taken"
    lane=0
    lanes=
    while [ $lane -lt "$jobs" ]; do
        for source in $sources; do
            mkdir "$taken/$(basename "$source")" 2>/dev/null || continue
            fuzz_one "$source"
        done >$build/fuzz.$lane.tap 2>&1 &
        lanes="$lanes $!"
        lane=$((lane + 1))
    done
    # shellcheck disable=SC2086
    wait $lanes
    fuzz_services >$build/fuzz.services.tap 2>&1
    tap fuzzers 10 cat $build/fuzz.*.tap
    grep -h '^ok' $build/fuzz.*.tap | sed 's/^ok - /   /'
}

stage_compile() {
    stage compile "compilers, standards, switches, platforms"
    JOBS=$jobs tap compile.sh 3000 tests/platform/compile.sh
    grep 'left out:' $logs/compile-compile.sh.tap | sed 's/^# /   /'
}

stage_readme() {
    stage readme "the README's snippets and its first command"
    tap readme.sh 120 tests/project/readme.sh
}

stage_size() {
    stage size "code on a Cortex-M4"
    tap size.sh 120 tests/platform/size.sh
    sed -n 's/^# \(.* bytes.*\)/   \1/p' $logs/size-size.sh.tap
}

# Firmware in an emulator of its board.
stage_boards() {
    stage boards "firmware in an emulator of its board, lwIP on the host"
    tap boards.sh $((test_seconds * 4)) tests/platform/boards.sh
    sed -n 's/^# \(.* bytes\)$/   \1/p' $logs/boards-boards.sh.tap
}

# What the benchmark counts exactly; its times belong on a quiet machine.
stage_counts() {
    stage counts "instructions, system calls, allocations and memory of a request"
    has valgrind && has strace || { skip "valgrind or strace is not installed"; return; }
    { if tests/bench/run.sh --quick --check --only instructions,calls,allocations,memory; then
          echo "ok - counted costs are within their targets"
      else
          echo "not ok - counted costs are within their targets"
      fi
      echo "1..1"; } 2>&1 | sed '/^ok\|^not ok\|^1\.\./!s/^/# /' >$build/counts.tap
    tap counts 10 cat $build/counts.tap
    sed -n 's/^# \(.*[0-9] *ok\)$/   \1/p' $build/counts.tap
}

stage_packaging() {
    stage packaging "CMake in its three roles, pkg-config, version"
    has cmake || { skip "cmake is not installed"; return; }
    tap packaging.sh 600 tests/project/packaging.sh
}

# What compilers and analysers find without running anything; tests/project/analysis.sh.
stage_analysis() {
    stage analysis "gcc -fanalyzer, clang-tidy, cppcheck"
    JOBS=$jobs tap analysis.sh 900 tests/project/analysis.sh
}

# --- the run ------------------------------------------------------------------------------

# stage_jobs STAGE: what of it can run by itself, as STAGE or STAGE:NAME
stage_jobs() {
    case $1 in
    long) find tests -name 'long_*.sh' | sort | sed 's|.*/|long:|; s|\.sh$||' ;;
    examples) find tests -name 'example_*.sh' | sort | sed 's|.*/|examples:|; s|\.sh$||' ;;
    *) echo "$1" ;;
    esac
}

# run_job JOB: one stage or a part of it, in a shell of its own, so that nothing it sets or breaks
# reaches another. What it prints is kept until it has ended; its sums are in JOB.result, which a
# job that dies does not write.
run_job() {
    job=$1
    job_start=$(now)
    : >"$logs/$job.running"
    export JOBS="$jobs"
    (
        passed=0 failed=0 skipped=      # of this job; show() adds them up
        case $job in *:*) only=${job#*:} ;; esac
        sources=$(all_of "test_*.c" | grep -v /test_tls.c)
        case ${job%%:*} in
        compile | size) "stage_${job%%:*}" ;;
        *)  if has "$cc"; then
                "stage_${job%%:*}"
            else
                stage "${job%%:*}" "no C compiler"
                fail "there is no $cc"
            fi ;;
        esac
        finish
        echo "$passed $failed$skipped" >"$logs/$job.sum"
        mv "$logs/$job.sum" "$logs/$job.result"
    ) >"$logs/$job.out" 2>&1 </dev/null
    echo $(($(now) - job_start)) >"$logs/$job.seconds"
    : >"$logs/$job.done"
}

# show JOB: what it printed, all at once, and its sums into ours
show() {
    clear_progress
    cat "$logs/$1.out"
    if [ -s "$logs/$1.result" ]; then
        read -r good bad left <"$logs/$1.result"
        passed=$((passed + good))
        failed=$((failed + bad))
        skipped="$skipped${left:+ $left}"
    else
        stage_name=$1
        fail "$1 has died"
    fi
    shown="$shown$1 "
}

# On a terminal one line that is written over; in a log a line when another begins, and one a minute.
progress() {
    running=
    for name in $queue; do
        [ -e "$logs/$name.running" ] && [ ! -e "$logs/$name.done" ] || continue
        ready=$(find $logs -name "${name%%:*}-*.status" 2>/dev/null | grep -c .)
        case $name in *:*) ready=0 ;; esac
        running="$running $name"
        [ ! -t 1 ] || [ "$ready" -eq 0 ] || running="$running($ready)"
    done
    seconds=$(($(now) - start))
    state="$(echo "$shown" | wc -w | tr -d ' ') of $(echo "$queue" | wc -w | tr -d ' ') done"
    if [ -t 1 ]; then
        printf '\r%d s, %s:%.90s\033[K' $seconds "$state" "$running"
    elif [ $((seconds / 60)) -ne $minute ] || [ "$running" != "$told" ]; then
        minute=$((seconds / 60))
        told=$running
        echo "-- $seconds s, $state, running:$running"
    fi
}

clear_progress() {
    [ ! -t 1 ] || printf '\r\033[K'
}

# run_queue LANES: all of $queue, so many jobs at once
run_queue() {
    lane=0
    lanes=
    shown=" "
    minute=0
    told=
    while [ $lane -lt "$1" ]; do
        for name in $queue; do
            mkdir "$logs/taken/$name" 2>/dev/null || continue
            run_job "$name"
        done &
        lanes="$lanes $!"
        lane=$((lane + 1))
    done
    alive=yes
    while [ $alive = yes ]; do
        alive=no
        for lane in $lanes; do
            ! kill -0 "$lane" 2>/dev/null || alive=yes
        done
        for name in $queue; do
            case $shown in *" $name "*) continue ;; esac
            [ ! -e "$logs/$name.done" ] || show "$name"
        done
        [ $alive = no ] || { progress; sleep 1; }
    done
    for name in $queue; do
        case $shown in *" $name "*) ;; *) : >>"$logs/$name.out"; show "$name" ;; esac
    done
}

# minutes: how long each stage took, and which took longer than it may
minutes() {
    echo "== minutes by stage, side by side:"
    for name in $together $apart; do
        [ -s "$logs/$name.seconds" ] || continue
        read -r seconds <"$logs/$name.seconds"
        allowed=$(budget "$name")
        over=
        [ $seconds -le $((allowed * 60)) ] || over=" over its budget of $allowed"
        printf '%7d.%d  %s%s\n' $((seconds / 60)) $((seconds % 60 / 6)) "$name" "$over"
    done | sort -rn
}

mkdir -p $logs || exit 2
rm -rf $logs/* $build/*.lock
mkdir $logs/taken
job=
trap 'trap "" TERM; clear_progress; kill -TERM 0; exit 130' INT TERM
[ $install = no ] || install_missing
start=$(now)
libraries=$(cmocka_flags)
# several scripts want them, side by side
if { wants tls || wants examples || wants long; } && has openssl; then
    tests/server/tls_certificates.sh $build/tls || echo "   openssl makes no certificates"
fi
together=
apart=
for name in $stages; do
    case " $alone " in
    *" ${name%%:*} "*) apart="$apart $name" ;;
    *)  together="$together $(stage_jobs "$name")" ;;
    esac
done
processors=$jobs
# shellcheck disable=SC2086
together=$(echo $together)
# shellcheck disable=SC2086
apart=$(echo $apart)
if [ -n "$together" ]; then
    queue=$together
    case $together in
    *" "*) jobs=1; run_queue "$processors" ;;
    *)  run_queue 1 ;;
    esac
fi
if [ -n "$apart" ]; then
    jobs=$processors
    queue=$apart
    run_queue 1
fi
[ $full = no ] || minutes
if [ $full = yes ] && has python3; then
    echo "== what was tried against the server, and what came of it (tests/trust/table.py):"
    tests/trust/table.py
fi
seconds=$(($(now) - start))
echo "== $seconds seconds${skipped:+; skipped:$skipped}"
[ $full = no ] || [ $seconds -le $((whole_budget * 60)) ] ||
    echo "   over the budget of $whole_budget minutes"
if [ "$stages" = "$everyday" ]; then
    left=
    for name in $all; do
        wants "$name" || left="$left $name"
    done
    echo "== left to --full:$left; sanitizers, the suites over TLS, most random programs"
fi
if [ -s $logs/failures ]; then
    again=$(sort -u $logs/failures | tr '\n' ' ')
    option=
    [ $full = no ] || option=" --full"
    echo "== to repeat what failed: tests/run.sh$option --no-install ${again% }"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
