#!/bin/sh
# Compiles the header in every way it promises to work and looks at what comes out: compilers,
# standards, switches, the order of includes, the names that leave it, Windows, Cortex-M4.
# Prints TAP lines. A compiler that is not installed is left out, and a remark says so.
#
#   tests/platform/compile.sh            everything
#   tests/platform/compile.sh PATTERN    only the checks whose name matches (a grep pattern), as "g++.*NO_LOG"
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$root/build/compile
pattern=${1:-.}
lwip=${LWIP_INCLUDE:-/usr/include/lwip}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}

rm -rf "$work"
mkdir -p "$work/check" || exit 2
cd "$work" || exit 2
count=0

# check NAME COMMAND: notes a check; all of them run at the end, several at a time, each as a
# script of its own in the work directory. Its first line is the name, and $0.o is a file it may
# write (never /dev/null: a compiler that fails as root removes it).
check() {
    if printf '%s\n' "$1" | grep -q -e "$pattern"; then
        count=$((count + 1))
        printf '# %s\n%s\n' "$1" "$2" >"check/$(printf %04d $count)"
    fi
}

has() {
    command -v "$1" >/dev/null 2>&1 || { echo "# not installed, left out: $1"; return 1; }
}

is_linux() {
    [ "$(uname -s)" = Linux ]
}

# --- compilers, switches ------------------------------------------------------------------

warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wundef -Werror"
in_c="$warnings -Wstrict-prototypes -I ../.."
in_cpp="$warnings -x c++ -I ../.."

c_compilers=
cpp_compilers=
has gcc && ! gcc --version | grep -q clang && c_compilers=gcc
has clang && c_compilers="$c_compilers clang"
has g++ && ! g++ --version | grep -q clang && cpp_compilers=g++
has clang++ && cpp_compilers="$cpp_compilers clang++"

switches="UHTTP_STATIC UHTTP_NO_FILES UHTTP_NO_WEBSOCKET UHTTP_NO_JSON UHTTP_NO_MULTIPART
          UHTTP_NO_LOG UHTTP_NO_HEAP UHTTP_ASSERT UHTTP_MALLOC UHTTP_MILLIS UHTTP_TIME"
sets="none $switches all"

# UHTTP_TLS is added to these where the compiler finds mbedTLS.
tls_sets="UHTTP_TLS tls_all"

# flags SET: what the compiler has to be told. Functions a program would supply are in hooks.h.
flags() {
    case $1 in
    none) ;;
    all) for switch in $switches; do flags "$switch"; done ;;
    tls_all) flags all; echo -DUHTTP_TLS ;;
    UHTTP_ASSERT) echo "-include hooks.h -DUHTTP_ASSERT=HOOK_ASSERT" ;;
    UHTTP_MALLOC) echo "-include hooks.h -DUHTTP_MALLOC=hook_malloc" \
                       "-DUHTTP_REALLOC=hook_realloc -DUHTTP_FREE=hook_free" ;;
    UHTTP_MILLIS) echo "-include hooks.h -DUHTTP_MILLIS=hook_millis" ;;
    UHTTP_TIME) echo "-include hooks.h -DUHTTP_TIME=hook_time" ;;
    *) echo "-D$1" ;;
    esac
}

# matrix SETS COMPILER FLAG...: one check for each set of switches.
matrix() {
    matrix_sets=$1
    shift
    for set in $matrix_sets; do
        # "-x c++" has to come before the file, and says enough in the name by the compiler
        check "$(echo "$*" | sed "s/$warnings//; s/ -Wstrict-prototypes//; s/ -x c++//
                                  s/ -I [^ ]*//g; s/ -isystem [^ ]*//g; s/ *$//"), switches: $set" \
              "$* $(flags "$set" | tr '\n' ' ') -c impl.c -o \$0.o"
    done
}

# --- the programs that are compiled -------------------------------------------------------

cat >hooks.h <<'EOF'
/* What a program may give the header to call; no system header, as it comes before it. */
#ifndef HOOKS_H
#define HOOKS_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
void hook_failed(void);
void *hook_malloc(size_t size);
void *hook_realloc(void *old, size_t size);
void hook_free(void *old);
unsigned int hook_millis(void);
long long hook_time(void);
#ifdef __cplusplus
}
#endif
#define HOOK_ASSERT(x) ((x) ? (void)0 : hook_failed())
#endif
EOF
cat >hooks.c <<'EOF'
#include "hooks.h"
#include <stdlib.h>
void hook_failed(void) { abort(); }
void *hook_malloc(size_t size) { return malloc(size); }
void *hook_realloc(void *old, size_t size) { return realloc(old, size); }
void hook_free(void *old) { free(old); }
unsigned int hook_millis(void) { return 0; }
long long hook_time(void) { return 0; }
EOF
cat >impl.c <<'EOF'
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
EOF
cat >public.c <<'EOF'
#include "uhttp_server.h"
EOF
cat >first.c <<'EOF'
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
EOF
cat >last.c <<'EOF'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <stdint.h>
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
EOF
cat >last_posix.c <<'EOF'
#define _POSIX_C_SOURCE 200809L
#include "last.c"
EOF
cat >last_gnu.c <<'EOF'
#define _GNU_SOURCE
#include "last.c"
EOF
cat >twice.c <<'EOF'
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include "uhttp_server.h"
#undef UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
EOF
cat >later.c <<'EOF'
/* Another header of the program has brought the public half, and with it <stdint.h>. */
#include "uhttp_server.h"
#include "uhttp_server.h"
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
EOF
cat >windows_first.c <<'EOF'
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include "impl.c"
EOF
cat >windows_last.c <<'EOF'
#include "impl.c"
#include <windows.h>
EOF
cat >user.c <<'EOF'
#include "uhttp_server.h"
int main(void)
{
    return uhttp_strerror(UHTTP_OK) == 0;
}
EOF
cat >static_one.c <<'EOF'
#define UHTTP_STATIC
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
int other(void);
int main(void)
{
    return uhttp_strerror(UHTTP_OK) == 0 || other();
}
EOF
cat >static_two.c <<'EOF'
#define UHTTP_STATIC
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
int other(void);
int other(void)
{
    return uhttp_strerror(UHTTP_OK) == 0;
}
EOF

cat >tls_words.c <<'EOF'
#define _GNU_SOURCE
#include <mbedtls/ssl.h>
#undef MBEDTLS_ERROR_C
#define UHTTP_TLS
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
int main(void)
{
    char text[200];
    *uh_tls_put_reason(text, -0x7780) = 0;
    return strcmp(text, "mbedTLS error (-0x7780)");
}
EOF

# --- the matrix: compilers x standards x switches -----------------------------------------

for cc in $c_compilers; do
    matrix "$sets" "$cc -std=c99 $in_c"
    for std in c11 c17 gnu11; do        # the code that comes of them is no other
        matrix "$sets" "$cc -std=$std -fsyntax-only $in_c"
    done
    matrix "none UHTTP_NO_FILES UHTTP_NO_LOG UHTTP_NO_HEAP all" "$cc -std=c99 -O2 $in_c"
    matrix "none all" "$cc -std=c99 -funsigned-char $in_c"
done
for cxx in $cpp_compilers; do
    matrix "$sets" "$cxx -std=c++11 $in_cpp"
    matrix "none all" "$cxx -std=c++11 -O2 $in_cpp"
    matrix "none all" "$cxx -std=c++20 $in_cpp"
done
if is_linux && has tcc; then
    matrix "$sets" "tcc -std=c99 -Wall -Werror -I ../.."
fi
if is_linux && has musl-gcc; then
    matrix "$sets" "musl-gcc -std=c99 $in_c"
    matrix "none all" "musl-gcc -std=gnu11 $in_c"
    check "musl, linked statically" \
          "musl-gcc -static -std=c99 $in_c impl.c user.c -o musl && ./musl"
fi
# Debian's gcc-N-multilib lacks one link, which the second include path replaces.
multiarch="-isystem /usr/include/$(gcc -print-multiarch 2>/dev/null)"
echo '#include <errno.h>' >m32.c
if gcc -m32 "${multiarch%% *}" "${multiarch#* }" -c m32.c -o m32.o 2>/dev/null; then
    matrix "$sets" "gcc -m32 -std=c99 $multiarch $in_c"
    matrix "none all" "gcc -m32 -std=c99 -O2 $multiarch $in_c"
    matrix "none all" "g++ -m32 -std=c++11 $multiarch $in_cpp"
else
    echo "# not installed, left out: gcc -m32"
fi

# A switch is on when it is defined, whatever its value.
first_c=${c_compilers# }
first_c=${first_c%% *}
for switch in UHTTP_STATIC UHTTP_NO_FILES UHTTP_NO_WEBSOCKET UHTTP_NO_JSON \
              UHTTP_NO_MULTIPART UHTTP_NO_LOG UHTTP_NO_HEAP; do
    for value in 0 ""; do
        check "$switch defined as '$value' is on" \
              "$first_c -E -P -I ../.. -D$switch=1 impl.c >on.$switch.$value.i &&
               $first_c -E -P -I ../.. -D$switch=$value impl.c | cmp - on.$switch.$value.i"
    done
done

# --- where and how often it is included ---------------------------------------------------

for cc in $c_compilers; do
    for std in c99 c11 gnu11; do
        check "$cc -std=$std, the public half alone" "$cc -std=$std $in_c -c public.c -o \$0.o"
        check "$cc -std=$std, included first" "$cc -std=$std $in_c -c first.c -o \$0.o"
        check "$cc -std=$std, included twice" "$cc -std=$std $in_c -c twice.c -o \$0.o"
        # under a strict standard too late an include may be refused, if it says why
        for program in last last_posix later; do
            log=$program.$cc.$std.log
            check "$cc -std=$std, $program: behind system headers" \
                  "$cc -std=$std $in_c -c $program.c -o \$0.o 2>$log && exit 0
                   cat $log; [ $std != gnu11 ] && grep '#error' $log"
        done
        check "$cc -std=$std, behind system headers, the file defines what it needs" \
              "$cc -std=$std $in_c -c last_gnu.c -o \$0.o"
    done
    check "$cc, one file implements, another uses" \
          "$cc -std=c99 $in_c impl.c user.c -o two.$cc && ./two.$cc"
    check "$cc, UHTTP_STATIC without UHTTP_IMPLEMENTATION is one error and no warning" \
          "! $cc -std=c99 $in_c -DUHTTP_STATIC -c public.c -o \$0.o 2>\$0.said &&
           [ \$(grep -c -E '(error|warning)[:,]' \$0.said) = 1 ] && grep -q IMPLEMENTATION \$0.said"
    check "$cc, UHTTP_STATIC in two files of one program" \
          "$cc -std=c99 $in_c static_one.c static_two.c -o static.$cc && ./static.$cc"
done
for cxx in $cpp_compilers; do
    cc=gcc
    [ "$cxx" = clang++ ] && cc=clang
    check "$cxx, the public half alone" "$cxx -std=c++11 $in_cpp -c public.c -o \$0.o"
    check "$cxx, included twice" "$cxx -std=c++11 $in_cpp -c twice.c -o \$0.o"
    check "$cxx, included last" "$cxx -std=c++11 $in_cpp -c last.c -o \$0.o"
    check "$cxx, the public half before" "$cxx -std=c++11 $in_cpp -c later.c -o \$0.o"
    check "$cxx uses what $cc implements" \
          "$cc -std=c99 $in_c -c impl.c -o c.$cc.o &&
           $cxx -std=c++11 $in_cpp -c user.c -o user.$cxx.o &&
           $cxx c.$cc.o user.$cxx.o -o mixed.$cxx && ./mixed.$cxx"
    check "$cc uses what $cxx implements" \
          "$cxx -std=c++11 $in_cpp -c impl.c -o cpp.$cxx.o &&
           $cc -std=c99 $in_c -c user.c -o user.$cc.o &&
           $cxx cpp.$cxx.o user.$cc.o -o mixed.$cc && ./mixed.$cc"
done

# --- what leaves the header ---------------------------------------------------------------

# names SET, undefined SET, state SET: of the object that implements
cat >object.sh <<'EOF'
# object.sh FILE.o QUESTION: prints what should not be there, and is true if there is nothing.
case $2 in
names)      nm -g --defined-only "$1" | awk '$3 !~ /^uhttp_/ { print; bad = 1 } END { exit bad }' ;;
no-names)   nm -g --defined-only "$1" | awk 'NF { print; bad = 1 } END { exit bad }' ;;
rooms)      nm --defined-only "$1" |
            awk '$3 !~ /^(uhttp|uh|UH)_|^\.|\.[0-9]+$/ { print; bad = 1 } END { exit bad }' ;;
state)      nm --defined-only "$1" |
            awk '$2 ~ /^[bBcCdDsSgG]$/ { print; bad = 1 } END { exit bad }' ;;
manners)    nm -u "$1" | awk '$2 ~ /^(v?f?printf|__v?f?printf_chk|f?puts|f?putc|putchar|perror)$/ ||
                              $2 ~ /^(_?exit|_Exit|abort|quick_exit|signal|sigaction|raise)$/ ||
                              $2 ~ /^(pthread_create|thrd_create|fork)$/ {
                print; bad = 1 } END { exit bad }' ;;
no-malloc)  nm -u "$1" | awk '$2 ~ /^(m|c|re)alloc$|^free$|strdup$/ { print; bad = 1 }
                              END { exit bad }' ;;
no-hooks)   nm -u "$1" | awk '$2 ~ /^hook_/ { print; bad = 1 } END { exit bad }' ;;
no-clock)   nm -u "$1" | awk '$2 ~ /^(clock_gettime|gettimeofday|time)$/ { print; bad = 1 }
                              END { exit bad }' ;;
# what Unix sockets need, lstat() and unlink(), stays
no-files)   nm -u "$1" | awk '$2 ~ /^(f?open(at)?(64)?|f?stat(64)?|rename|remove)$/ {
                print; bad = 1 } END { exit bad }' ;;
esac
EOF
# object NAME QUESTION COMPILER...
object() {
    name=$1
    question=$2
    shift 2
    check "$name" "$* -c impl.c -o \$0.o && sh object.sh \$0.o $question"
}
if is_linux && [ -n "$c_compilers" ] && [ -n "$cpp_compilers" ]; then
    plain="gcc -std=c99 -fno-pic $in_c"
    everything=$(flags all | tr '\n' ' ')
    object "object: only uhttp_ is visible to the linker" names "$plain"
    object "object: the same with clang" names "clang -std=c99 $in_c"
    object "object: the same in C++" names "g++ -std=c++11 $in_cpp"
    object "object: UHTTP_STATIC leaves nothing visible" no-names "$plain -DUHTTP_STATIC"
    object "object: every static name begins with uh_" rooms "$plain"
    object "object: no writable global state" state "$plain"
    object "object: never prints, exits, forks, touches a signal handler" manners "$plain"
    object "object: UHTTP_MALLOC replaces the allocator" no-malloc "$plain $(flags UHTTP_MALLOC)"
    object "object: UHTTP_NO_HEAP calls no allocator" no-malloc "$plain -DUHTTP_NO_HEAP"
    object "object: UHTTP_NO_HEAP calls none of the program's either" no-hooks \
           "$plain -DUHTTP_NO_HEAP $(flags UHTTP_MALLOC)"
    object "object: UHTTP_MILLIS and UHTTP_TIME replace the clocks" no-clock \
           "$plain $(flags UHTTP_MILLIS) $(flags UHTTP_TIME)"
    object "object: UHTTP_NO_FILES opens none" no-files "$plain -DUHTTP_NO_FILES"

    cat >format.c <<'EOF'
#include "uhttp_server.h"
uhttp_result answer(uhttp_conn *c);
uhttp_result answer(uhttp_conn *c) { return uhttp_respond_printf(c, 200, 0, FORMAT, "text"); }
EOF
    formatted="gcc -Wformat -Werror -I ../.. -c format.c -o format.o"
    check "uhttp_respond_printf: the compiler compares a format with its arguments" \
          "$formatted -DFORMAT='\"%s\"' && ! $formatted -DFORMAT='\"%d\"'"
    check "object: openat2() is asked on Linux, not on Android, whose sandbox ends the process" \
          "$plain -c impl.c -o \$0.o && nm -u \$0.o | grep -q -w syscall &&
           $plain -D__ANDROID__ -c impl.c -o \$0.o && ! nm -u \$0.o | grep -w syscall"
    darwin="gcc -E -dD -std=c99 -I ../.. -I ../../tests/platform/kqueue -U__linux__ -D__APPLE__"
    darwin="$darwin -D_POSIX_C_SOURCE=200809L"
    check "macOS with _POSIX_C_SOURCE: included first, it asks for all of Darwin" \
          "$darwin impl.c 2>&1 | grep '^#define _DARWIN_C_SOURCE 1'"
    check "macOS with _POSIX_C_SOURCE: behind a system header it says what is missing" \
          "$darwin -D_SYS_CDEFS_H_ impl.c 2>&1 | grep '#error.*_DARWIN_C_SOURCE'"

    # every function that is declared can be called, whatever is switched off
    cat >every.sh <<'EOF'
# every.sh SET FLAG...: a program that mentions every function of the public half, linked
set=$1
shift
gcc -std=c99 -I ../.. "$@" -DUHTTP_PUBLIC_ONLY -fsyntax-only -aux-info "every.$set.txt" public.c || exit
{
    echo '#include "uhttp_server.h"'
    echo 'int main(void) { void (*volatile f)(void) = 0;'
    sed -n 's|^/\* [^ ]*uhttp_server\.h:[^*]*\*/ .*[ *]\(uhttp_[a-z0-9_]*\) (.*|f = (void (*)(void))\1;|p' \
        "every.$set.txt" | sort -u
    echo 'return f == 0; }'
} >"every.$set.c"
grep -q 'void))uhttp_wait;' "every.$set.c" || { echo "cannot read every.$set.txt"; exit 1; }
gcc -std=c99 -I ../.. "$@" impl.c hooks.c "every.$set.c" -o "every.$set" && "./every.$set"
EOF
    for set in $sets; do
        case $set in UHTTP_STATIC | all) continue ;; esac
        check "every declared function can be linked, switches: $set" \
              "sh every.sh $set $(flags "$set" | tr '\n' ' ')"
    done
    check "every declared function can be linked, every UHTTP_NO_*" \
          "sh every.sh no $(echo "$everything" | tr ' ' '\n' | grep UHTTP_NO_ | tr '\n' ' ')"

    # the public half: three includes, and no name of its own but uhttp_ and UHTTP_
    check "public half: includes stddef.h, stdint.h, stdbool.h and nothing else" \
          "gcc -H -std=c99 -I ../.. -fsyntax-only public.c 2>&1 | grep '^\.\. ' |
           grep -v -E '/(stddef|stdint|stdbool)\.h\$' && exit 1; exit 0"
    cat >macros.awk <<'EOF'
# in the output of gcc -E -dD: macros the header itself defines
/^# [0-9]+ "/ { here = $3 ~ /uhttp_server\.h"$/; next }
here && /^#define / {
    split($2, name, "(")
    if (name[1] !~ allowed) { print name[1]; bad = 1 }
}
END { exit bad }
EOF
    check "public half: every macro begins with UHTTP_" \
          "gcc -E -dD -std=c99 -I ../.. public.c | awk -v allowed='^(UHTTP|uhttp)_' -f macros.awk"
    check "implementation: every macro begins with UHTTP_ or UH_, or is for the system" \
          "gcc -E -dD -std=c99 -I ../.. impl.c | awk -v allowed='^(UHTTP|uhttp|UH|uh)_|^_' -f macros.awk"
    cat >names.awk <<'EOF'
# in the output of gcc -E: at file scope, and between the braces of an enum, every word of the
# header is a keyword, a standard type, or begins with uhttp_ or UHTTP_
BEGIN {
    n = split("typedef struct union enum extern static inline const void char short int long " \
              "signed unsigned float double _Bool bool size_t ptrdiff_t " \
              "int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t " \
              "intptr_t uintptr_t", words, " ")
    for (i = 1; i <= n; i++)
        known[words[i]] = 1
}
/^# [0-9]+ "/ { here = $3 ~ /uhttp_server\.h"$/; next }
!here { next }
{
    line = $0
    gsub(/"[^"]*"/, "", line)
    while (match(line, /[A-Za-z_][A-Za-z_0-9]*|[0-9][0-9A-Za-z]*|[^ \t]/)) {
        word = substr(line, RSTART, RLENGTH)
        line = substr(line, RSTART + RLENGTH)
        if (word == "{") { depth++; in_enum = depth == 1 && seen_enum }
        else if (word == "}") { depth--; in_enum = 0 }
        else if (word == "(") paren++
        else if (word == ")") paren--
        else if (word == ";" && depth == 0) seen_enum = 0
        else if (word == "enum") seen_enum = 1
        if (word ~ /^[A-Za-z_]/ && !(word in known) && word !~ /^(uhttp|UHTTP)_|^__/ &&
            ((depth == 0 && paren == 0) || (in_enum && depth == 1) ||
             (depth == 0 && paren == 1 && last == "*" && before == "("))) {
            print word
            bad = 1
        }
        before = last
        last = word
    }
}
END { exit bad }
EOF
    check "public half: every name begins with uhttp_ or UHTTP_" \
          "gcc -E -std=c99 -I ../.. public.c | awk -f names.awk"
fi

# --- the programs that come with it -------------------------------------------------------

for cc in $c_compilers; do
    for source in "$root"/examples/*.c "$root"/examples/dashboard/*.c "$root"/tests/bench/*.c; do
        [ -f "$source" ] || continue
        source=${source#"$root/"}
        case $source in tests/bench/*) is_linux || continue ;; esac
        for header in mbedtls/ssl.h openssl/ssl.h cjson/cJSON.h; do
            mark="#include <${header%%/*}/"
            [ $header != mbedtls/ssl.h ] || mark='#define UHTTP_TLS'
            echo "#include <$header>" >header.c
            ! grep -q "$mark" "$root/$source" || $cc -c header.c -o header.o 2>/dev/null ||
                continue 2
        done
        check "$cc, $source" \
              "$cc -Wall -Wextra -Wpedantic -Wshadow -Werror -I ../.. -c ../../$source -o \$0.o"
    done
done

for cxx in $cpp_compilers; do
    check "$cxx, examples/hello.cpp" "$cxx -std=c++11 -Wall -Wextra -Wpedantic -Wshadow -Werror \
          -c ../../examples/hello.cpp -o \$0.o"
done

# --- HTTPS --------------------------------------------------------------------------------

echo '#include <mbedtls/ssl.h>' >mbedtls.c
if $first_c -c mbedtls.c -o mbedtls.o 2>/dev/null; then
    for cc in $c_compilers; do
        for std in c99 c11 gnu11; do
            matrix "$tls_sets" "$cc -std=$std $in_c"
        done
        check "$cc, UHTTP_TLS, without mbedTLS's own words a code is still said" \
              "$cc -std=c99 -I ../.. tls_words.c -o tls_words.$cc -lmbedtls -lmbedx509 -lmbedcrypto &&
               ./tls_words.$cc"
        check "$cc, UHTTP_TLS, included twice" \
              "$cc -std=c99 $in_c -DUHTTP_TLS -c twice.c -o \$0.o"
    done
    for cxx in $cpp_compilers; do
        matrix "$tls_sets" "$cxx -std=c++11 $in_cpp"
    done
    if is_linux && [ -n "$c_compilers" ]; then
        object "object: UHTTP_TLS, only uhttp_ is visible to the linker" names "$plain -DUHTTP_TLS"
        object "object: UHTTP_TLS, no writable global state" state "$plain -DUHTTP_TLS"
        object "object: UHTTP_TLS, never prints, exits, touches a signal handler" manners \
               "$plain -DUHTTP_TLS"
    fi
else
    echo "# not installed, left out: mbedTLS"
fi

# --- Windows ------------------------------------------------------------------------------

for cpu in x86_64 i686; do
    windows=$cpu-w64-mingw32-gcc
    if ! command -v $windows >/dev/null; then
        [ $cpu = x86_64 ] && has $windows
        continue
    fi
    [ $cpu = i686 ] || matrix "$sets" "$windows -std=c99 $in_c"
    matrix "none all" "$windows -std=gnu11 -O2 $in_c"
    check "$windows, the public half alone" "$windows -std=c99 $in_c -c public.c -o \$0.o"
    check "$windows, included twice" "$windows -std=c99 $in_c -c twice.c -o \$0.o"
    check "$windows, behind windows.h" "$windows $in_c -c windows_first.c -o \$0.o"
    check "$windows, before windows.h" "$windows $in_c -c windows_last.c -o \$0.o"
    for source in "$root"/examples/*.c; do
        [ $cpu = x86_64 ] || break
        name=$(basename "$source" .c)
        # these use what POSIX has, as CMakeLists.txt knows, or a TLS library
        case $name in delayed | form | listen | own_loop | prefork | https | mtls | openssl | redirect)
            continue ;;
        esac
        check "$windows, $name.exe" "$windows -Wall -Wextra -Werror -I ../.. \
              ../../examples/$name.c -o $name.$cpu.exe -lws2_32"
    done
    if command -v $cpu-w64-mingw32-g++ >/dev/null; then
        matrix "none all" "$cpu-w64-mingw32-g++ -std=c++11 $in_cpp"
    fi
done

# --- lwIP on a Cortex-M4 ------------------------------------------------------------------

if has arm-none-eabi-gcc; then
    if [ -f "$lwip/lwip/sockets.h" ]; then
        firmware="-mcpu=cortex-m4 -mthumb -Os -DUHTTP_LWIP -I ../../tests/platform -isystem $lwip"
        matrix "$sets" "arm-none-eabi-gcc -std=c99 $firmware $in_c"
        matrix "none all" "arm-none-eabi-gcc -std=gnu11 $firmware $in_c"
        matrix "none all" "arm-none-eabi-gcc -std=c99 -DLWIP_IPV6=1 $firmware $in_c"
        matrix "none all" \
               "arm-none-eabi-g++ -std=c++11 -fno-exceptions -fno-rtti $firmware $in_cpp"
        lwip_gcc="arm-none-eabi-gcc -std=c99 $firmware $in_c"
        for include in fcntl.h sys/uio.h sys/ioctl.h; do
            # newlib's names and lwIP's are not the same; what it does not have is left out
            echo "#include <$include>" >header.c
            arm-none-eabi-gcc -c header.c -o header.o 2>/dev/null || continue
            check "arm-none-eabi-gcc, behind newlib's $include: not blocking, whatever it says" \
                  "$lwip_gcc -include $include -c impl.c -o \$0.o &&
                   arm-none-eabi-nm -u \$0.o | grep -q -w lwip_ioctl &&
                   ! arm-none-eabi-nm -u \$0.o | grep -w lwip_fcntl"
        done
        check "arm-none-eabi-gcc, head and body of an answer are given to lwIP in one call" \
              "$lwip_gcc -c impl.c -o \$0.o && arm-none-eabi-nm -u \$0.o | grep -q -w lwip_sendmsg &&
               ! arm-none-eabi-nm -u \$0.o | grep -w lwip_send"
        for option in LWIP_SOCKET LWIP_SOCKET_SELECT; do
            check "arm-none-eabi-gcc, $option=0 is refused in words" \
                  "$lwip_gcc -D$option=0 -c impl.c -o \$0.o 2>&1 |
                   grep '#error.*LWIP_SOCKET_SELECT'"
        done
        check "arm-none-eabi-gcc, ESP-IDF has a clock, bare lwIP has none" \
              "$lwip_gcc -DESP_PLATFORM -c impl.c -o \$0.o &&
               arm-none-eabi-nm -u \$0.o | grep -q -w time &&
               $lwip_gcc -c impl.c -o \$0.o && ! arm-none-eabi-nm -u \$0.o | grep -w time"
        check "arm-none-eabi-gcc, included twice" \
              "arm-none-eabi-gcc -std=c99 $firmware $in_c -c twice.c -o \$0.o"
    else
        echo "# not installed, left out: the headers of lwIP in $lwip"
    fi
fi

# --- a foreign platform: the port of the tests, and one that is only declared ---------------

cat >port.h <<'EOF'
/* A port whose functions are elsewhere. */
#define UHTTP_PORT_VERSION 1
#ifdef __cplusplus
extern "C" {
#endif
uhttp_result uhttp_port_listen(intptr_t *listener, const uhttp_address *at,
                               const uhttp_config *config);
int uhttp_port_accept(intptr_t listener, intptr_t *socket, uhttp_address *peer);
int uhttp_port_recv(intptr_t socket, void *to, size_t room);
int uhttp_port_send(intptr_t socket, const uhttp_str *parts, int count);
void uhttp_port_shut(intptr_t socket);
void uhttp_port_abort(intptr_t socket);
void uhttp_port_close(intptr_t socket);
bool uhttp_port_address(intptr_t socket, bool of_peer, uhttp_address *address);
int uhttp_port_wait(uhttp_port_watch *list, uint32_t count, int timeout_ms);
bool uhttp_port_wake_open(intptr_t *wake);
bool uhttp_port_wake_send(intptr_t wake);
void uhttp_port_wake_drain(intptr_t wake);
void uhttp_port_wake_close(intptr_t wake);
uint32_t uhttp_port_millis(void);
int64_t uhttp_port_time(void);
#ifdef __cplusplus
}
#endif
EOF
sed 's/VERSION 1/VERSION 0/' port.h >old_port.h
port="-DUHTTP_PLATFORM_HEADER='\"port.h\"' -I ."
memory_port="-DUHTTP_PLATFORM_HEADER='\"memory_port.h\"'
    -I $(dirname "$(find "$root/tests" -name memory_port.h)")"
memory_port=$(echo $memory_port)
for cc in $c_compilers; do
    matrix "none all" "$cc -std=c99 $memory_port $in_c"
    matrix "none all" "$cc -std=c99 $port $in_c"
    check "$cc, a port of another version is refused in words" \
          "$cc -std=c99 -DUHTTP_PLATFORM_HEADER='\"old_port.h\"' -I . $in_c -c impl.c -o \$0.o 2>&1 |
           grep '#error.*another version'"
done
for cxx in $cpp_compilers; do
    matrix "none all" "$cxx -std=c++11 $memory_port $in_cpp"
done
if gcc -m32 "${multiarch%% *}" "${multiarch#* }" -c m32.c -o m32.o 2>/dev/null; then
    matrix "none all" "gcc -m32 -std=c99 $multiarch $memory_port $in_c"
fi
if has arm-none-eabi-gcc; then
    for cpu in cortex-m0plus cortex-m4; do
        matrix "none all" "arm-none-eabi-gcc -std=c99 -mcpu=$cpu -mthumb -Os $memory_port $in_c"
        check "arm-none-eabi-gcc, $cpu: a port is all of the system that is called" \
              "arm-none-eabi-gcc -std=c99 -mcpu=$cpu -mthumb -Os $port $in_c -c impl.c -o \$0.o &&
               arm-none-eabi-nm -u \$0.o | grep -q -w uhttp_port_wait &&
               ! arm-none-eabi-nm -u \$0.o |
               grep -v -E ' (uhttp_port_[a-z_]+|__aeabi_[a-z0-9]+|__gnu_thumb1_case_[a-z]+)\$' |
               grep -v -E ' (mem(chr|cmp|cpy|move|set)|str[a-z]+|vsnprintf|malloc|realloc|free)\$'"
    done
fi

# --- Zephyr, as far as stub headers tell ------------------------------------------------------

zephyr="-D__ZEPHYR__ -I ../../tests/platform/zephyr"
example="-std=gnu17 $warnings -Wno-conversion -I ../.. -c ../../examples/zephyr/src/main.c"
for cc in $c_compilers; do
    matrix "none all" "$cc -std=c99 $zephyr $in_c"
done
for cxx in $cpp_compilers; do
    matrix "none" "$cxx -std=c++11 $zephyr -DSTUB_OLD_NAMES $in_cpp"
done
if has arm-none-eabi-gcc; then
    for names in "" " -DSTUB_OLD_NAMES"; do
        check "Zephyr$names: the example" \
              "arm-none-eabi-gcc -mcpu=cortex-m3 -mthumb -Os $zephyr$names $example -o \$0.o"
    done
    for wake in "" " -DSTUB_NO_EVENTFD"; do
        check "Zephyr$wake: nothing of POSIX is called" \
              "arm-none-eabi-gcc -std=c99 -mthumb -mcpu=cortex-m4 $zephyr$wake $in_c -c impl.c -o \$0.o &&
               arm-none-eabi-nm -u \$0.o | grep -q -w zsock_poll &&
               ! arm-none-eabi-nm -u \$0.o |
               grep -v -E ' (zsock_[a-z]+|zvfs_eventfd[a-z_]*|k_uptime_get_32|__errno|__aeabi_[a-z0-9]+)\$' |
               grep -v -E ' (mem(chr|cmp|cpy|move|set)|str[a-z]+|vsnprintf|malloc|realloc|free)\$'"
    done
fi

# --- run and report -----------------------------------------------------------------------

echo "1..$count"
# shellcheck disable=SC2016  # expanded by the inner shell
find check -type f | sort | xargs -P "$jobs" -n 1 sh -c \
    'sh "$0" >"$0.log" 2>&1 </dev/null; echo $? >"$0.status"; rm -f "$0.o"'
failed=0
number=0
seen=
while [ $number -lt $count ]; do
    number=$((number + 1))
    job=check/$(printf %04d $number)
    name=$(sed -n '1s/^# //p' "$job")
    if [ "$(cat "$job.status" 2>/dev/null)" = 0 ]; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sum=$(cksum <"$job.log")
        case "$seen" in
        *"<$sum>"*) echo "#   (said the same as one before)" ;;
        *) sed 1d "$job" | sed 's/^ */#   $ /'; head -n 30 "$job.log" | sed 's/^/#   /' ;;
        esac
        seen="$seen<$sum>"
        failed=1
    fi
done
exit $failed
