#!/bin/sh
# Installs what is missing, builds, runs every test and says how many passed.
#
#   tests/run.sh [--quick | --full] [--no-install] [STAGE...]
#
#   --quick        only the unit tests, built once with the machine's compiler
#   --full         also what takes long: boards clang valgrind counts long, and 30 seconds for
#                  each fuzzer
#   --no-install   take the machine as it is; what cannot run is skipped
#   STAGE          only these, of: unit pollers asan m32 tsan loops tls curl examples readme fuzz
#                  compile size packaging boards clang valgrind counts long
#
# Everything built lies in build/. FUZZ_SECONDS (5) is the time for each fuzzer, DRIVER_SECONDS (2)
# for the random driver under sanitizers, JOBS (the number of processors) how much is built at
# once, TEST_SECONDS (240) how long one test program may take. The last line is "N passed, N failed"; the status is 0 if something ran and nothing failed.
set -u
export LC_ALL=C

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 2
build=build
logs=$build/logs
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
test_seconds=${TEST_SECONDS:-240}
everyday="unit pollers asan m32 tsan loops tls curl examples readme fuzz compile size packaging"
all="$everyday boards clang valgrind counts long"

quick=no
full=no
install=yes
stages=
for argument in "$@"; do
    case $argument in
    --quick) quick=yes ;;
    --full) full=yes ;;
    --no-install) install=no ;;
    -*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
    *)  case " $all " in
        *" $argument "*) stages="$stages $argument" ;;
        *) echo "no such stage: $argument (there are: $all)"; exit 2 ;;
        esac ;;
    esac
done
if [ $full = yes ]; then
    [ -n "$stages" ] || stages=$all
    fuzz_seconds=${FUZZ_SECONDS:-30}
    driver_seconds=${DRIVER_SECONDS:-60}
else
    [ -n "$stages" ] || stages=$everyday
    fuzz_seconds=${FUZZ_SECONDS:-5}
    driver_seconds=${DRIVER_SECONDS:-2}
fi
[ $quick = no ] || stages=unit

has() {
    command -v "$1" >/dev/null 2>&1
}

wants() {
    case " $stages " in *" $1 "*) true ;; *) false ;; esac
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
    cat >$build/probe.c
    "$@" $build/probe.c -o $build/probe >/dev/null 2>&1
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
    units="unit pollers asan clang m32 tsan loops tls valgrind"
    missing "$all" "has cc" gcc libc6-dev
    missing "$units packaging" has_cmocka libcmocka-dev
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
    missing "clang fuzz compile" "has clang" clang
    missing "clang fuzz" has_clang_sanitizers libclang-rt-dev llvm
    missing "valgrind counts" "has valgrind" valgrind libc6-dbg
    missing "counts" "has strace" strace
    missing "compile packaging" "has g++" g++
    # gcc-multilib itself would remove every cross compiler
    [ "$cpu" = x86_64 ] && missing "m32 compile" has_m32 \
        "gcc-${gcc_major:-12}-multilib" "g++-${gcc_major:-12}-multilib"
    missing "compile long" "has tcc" tcc
    missing "compile long" "has musl-gcc" musl-tools
    missing "compile packaging long" "has x86_64-w64-mingw32-gcc" gcc-mingw-w64-x86-64-win32
    missing "compile size boards" has_arm gcc-arm-none-eabi libnewlib-arm-none-eabi
    missing "compile size" has_lwip liblwip-dev
    missing "boards" "has qemu-system-arm" qemu-system-arm
    missing "boards" "has dpkg-source" dpkg-dev
    missing "boards" "has python3" python3
    missing "boards" "has ip" iproute2
    missing "boards" "has wrk" wrk
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
    stage_passed=$passed
    stage_failed=$failed
    stage_start=$(now)
    shift
    echo "== $stage_name: $*"
}

skip() {
    echo "   skipped: $*"
    skipped="$skipped $stage_name"
}

finish() {
    if [ $((passed + failed)) -gt $((stage_passed + stage_failed)) ]; then
        echo "   $((passed - stage_passed)) passed, $((failed - stage_failed)) failed" \
            "($(($(now) - stage_start)) s)"
    fi
}

# fail NAME [LOG]: one failure that no TAP line tells of.
fail() {
    failed=$((failed + 1))
    echo "   FAILED: $1"
    if [ -n "${2:-}" ] && [ -s "$2" ]; then
        tail -n 60 "$2" | sed 's/^/      /'
    fi
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
    read -r status <"$out.status"
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
    fi
}

# --- unit tests ---------------------------------------------------------------------------

# The conversions of test code are its own affair; tests/platform/compile.sh judges the header's.
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wundef -Werror"
rooms="-I tests/text -I tests/machine -I tests/server -I tests/fuzz"
unit_flags="-std=gnu11 -g $warnings -pthread -I . $rooms"

# all_of PATTERN: what is called so, in whatever room
all_of() {
    find tests -name "$1" | sort
}

# build_tests DIRECTORY COMPILER FLAG...: one program from each of $sources, several at once;
# cmocka's flags come last, from $libraries. What fails to build is a failure.
build_tests() {
    directory=$build/$1
    shift
    mkdir -p "$directory"
    if [ -z "$sources" ]; then
        fail "there is nothing to build"
        return
    fi
    # shellcheck disable=SC2016  # expanded by the inner shell
    echo "$sources" | OUT=$directory COMPILE="$*" LIBRARIES=$libraries xargs -P "$jobs" -n 1 sh -c '
        name=$OUT/$(basename "$0" .c)
        rm -f "$name"
        $COMPILE "$0" -o "$name" $LIBRARIES >"$name.log" 2>&1'
    for source in $sources; do
        name=$directory/$(basename "$source" .c)
        [ -e "$name" ] || fail "$source does not build" "$name.log"
    done
}

# run_tests DIRECTORY SECONDS COMMAND...: runs each program that was built, under the command, as
# many at once as there are processors.
run_tests() {
    directory=$build/$1
    run_seconds=$2
    shift 2
    names=
    for source in $sources; do
        name=$(basename "$source" .c)
        [ ! -x "$directory/$name" ] || names="$names $name"
    done
    lane=0
    while [ $lane -lt "$jobs" ]; do
        number=0
        for name in $names; do
            [ $((number % jobs)) -ne $lane ] ||
                tap_run "$name" "$run_seconds" "$@" "$directory/$name"
            number=$((number + 1))
        done &
        lane=$((lane + 1))
    done
    wait
    for name in $names; do
        tap_count "$name" "$run_seconds"
    done
}

# can_run COMPILER FLAG...: does a program with these flags build and run here?
can_run() {
    echo 'int main(void) { return 0; }' | compiles "$@" && $build/probe 2>/dev/null
}

export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS="handle_segv=2:handle_sigbus=2:detect_stack_use_after_return=1"
export UBSAN_OPTIONS="print_stacktrace=1"
export TSAN_OPTIONS="halt_on_error=1"
sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"

stage_unit() {
    stage unit "unit tests, $cc"
    # shellcheck disable=SC2086
    build_tests unit "$cc" -O1 $unit_flags
    run_tests unit "$test_seconds" env
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
        build_tests epoll "$cc" -O1 $unit_flags -DUHTTP_POLLER=UHTTP_POLLER_EPOLL
        run_tests epoll "$test_seconds" env
        sources=$(all_of test_server.c; all_of "test_server_[dlp]*.c")
        with_kqueue="$with_kqueue -DUH_KQUEUE=1 -I tests/platform/kqueue" ;;
    esac
    # shellcheck disable=SC2086
    build_tests kqueue "$cc" -O1 $unit_flags $with_kqueue
    run_tests kqueue "$test_seconds" env
}

stage_asan() {
    stage asan "unit tests, gcc, address and undefined behaviour sanitizers"
    # shellcheck disable=SC2086
    can_run gcc $sanitizers || { skip "gcc has no sanitizers here"; return; }
    # shellcheck disable=SC2086
    build_tests asan gcc -O1 $unit_flags $sanitizers
    run_tests asan $((test_seconds * 2)) env DRIVER_SECONDS="$driver_seconds"
}

stage_clang() {
    stage clang "unit tests, clang, address and undefined behaviour sanitizers"
    # shellcheck disable=SC2086
    can_run clang $sanitizers || { skip "clang has no sanitizers here"; return; }
    # shellcheck disable=SC2086
    build_tests clang clang -O1 $unit_flags $sanitizers
    run_tests clang $((test_seconds * 2)) env
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
        build_tests m32 gcc -O1 $unit_flags $m32
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

stage_valgrind() {
    stage valgrind "unit tests, memcheck"
    has valgrind || { skip "valgrind is not installed"; return; }
    # shellcheck disable=SC2086
    wants unit || build_tests unit "$cc" -O1 $unit_flags
    # the machine's replays would take as long here as all the rest; sanitizers have seen them
    everything=$sources
    sources=$(echo "$sources" | grep -v test_machine)
    run_tests unit $((test_seconds * 4)) \
        valgrind -q --error-exitcode=99 --leak-check=full
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
    sources=tests/server/test_tls.c
    static="-Wl,--wrap=calloc -Wl,-Bstatic -lmbedtls -lmbedx509 -lmbedcrypto -Wl,-Bdynamic"
    # shellcheck disable=SC2086
    if ! echo 'int main(void) { return 0; }' | compiles "$cc" $static; then
        echo "   no static mbedTLS that can be linked: the test program is left out"
    else
        libraries="$static $(cmocka_flags)"
        # shellcheck disable=SC2086
        can_run gcc $sanitizers && build_tests tls gcc -O1 $unit_flags $sanitizers ||
            build_tests tls "$cc" -O1 $unit_flags
        run_tests tls $((test_seconds * 2)) env
        # the suites that are not about TLS, over TLS
        sources=
        for name in server server_requests server_limits server_streams server_uploads \
            server_files server_fields server_arguments request_extras; do
            sources="$sources tests/server/test_$name.c"
        done
        sources=$(printf '%s\n' $sources)
        secure="$unit_flags -DLOOP_TLS -DUHTTP_TLS"
        # shellcheck disable=SC2086
        can_run gcc $sanitizers && build_tests tls-suites gcc -O1 $secure $sanitizers ||
            build_tests tls-suites "$cc" -O1 $secure
        run_tests tls-suites $((test_seconds * 2)) env
        libraries=$(cmocka_flags)
    fi
    has curl || { skip "curl is not installed"; return; }
    tap tls.sh "$test_seconds" env CC="$cc" tests/clients/tls.sh
}

stage_curl() {
    stage curl "the examples, asked by curl"
    [ -f tests/clients/curl.sh ] || { skip "there is no tests/clients/curl.sh"; return; }
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
        tap "$(basename "$script")" $((test_seconds * 6)) "$script"
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
        echo "ok - fuzzer $name: nothing found in $runs runs"
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

stage_fuzz() {
    stage fuzz "fuzzers, $fuzz_seconds seconds each"
    sources=$(all_of "fuzz_*.c")
    find_fuzzer || { skip "no clang with a fuzzer"; return; }
    # two at a time: one after the other in each half of the list
    for half in 0 1; do
        number=0
        for source in $sources; do
            [ $((number % 2)) -ne $half ] || fuzz_one "$source"
            number=$((number + 1))
        done >$build/fuzz.$half.tap 2>&1 &
    done
    wait
    tap fuzzers 10 cat $build/fuzz.0.tap $build/fuzz.1.tap
    grep -h '^ok' $build/fuzz.?.tap | sed 's/^ok - /   /'
}

stage_compile() {
    stage compile "compilers, standards, switches, platforms"
    JOBS=$jobs tap compile.sh 1200 tests/platform/compile.sh
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

# --- the run ------------------------------------------------------------------------------

mkdir -p $logs || exit 2
rm -f $logs/*
start=$(now)
[ $install = no ] || install_missing
libraries=$(cmocka_flags)
for name in $stages; do
    if [ "$name" != compile ] && [ "$name" != size ] && ! has "$cc"; then
        stage "$name" "no C compiler"
        fail "there is no $cc"
        continue
    fi
    sources=$(all_of "test_*.c" | grep -v /test_tls.c)
    "stage_$name"
    finish
done
echo "== $(($(now) - start)) seconds${skipped:+; skipped:$skipped}"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
