#!/usr/bin/env bash
# Takes the header the ways a project can take it: add_subdirectory, install and find_package,
# pkg-config, a component of ESP-IDF; and asks each for the version. Prints TAP lines.
# shellcheck disable=SC2317  # most functions are called through check
. "$(dirname "$0")/../script.sh"
work=$root/build/packaging
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
rm -rf "$work"
mkdir -p "$work" && cd "$work" || exit 2

# check NAME COMMAND...: one TAP line; what the command printed follows a failure.
check() {
    local before=$failures
    "${@:2}" >log 2>&1 </dev/null
    ok "$1"
    [ "$failures" = "$before" ] || sed 's/^/# /' log
}

skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

part() {
    sed -n "s/^#define[ ]*UHTTP_VERSION_$1[ ]*\([0-9]*\).*/\1/p" "$root/uhttp_server.h"
}
version=$(part MAJOR).$(part MINOR).$(part PATCH)

# Of a tree without git nobody knows what belongs to it.
top_entries() {
    git -C "$root" ls-files | sed 's|/.*||' | sort -u >level
    printf '%s\n' .ci .clang-format .github .gitignore CMakeLists.txt LICENSE README.md examples \
        tests uhttp_server.h | sort | diff - level
}
ignored() {
    for source in "$root"/examples/*.c; do
        program=$(sed -n '3s/^ \*     build: .*-o \([a-z_]*\) .*/\1/p' "$source")
        git -C "$root" check-ignore -q "$program" || { echo "$program is not ignored"; return 1; }
    done
}
if git -C "$root" ls-files 2>/dev/null | grep -q .; then
    check "the top level holds what it should and nothing else" top_entries
    check "what the examples' build commands leave is ignored" ignored
else
    skip "the top level holds what it should and nothing else" "no git here"
fi

cat >program.c <<'EOF'
#define UHTTP_IMPLEMENTATION
#include <uhttp_server.h>
#include <stdio.h>

int main(void)
{
    uhttp_server *server;
    uhttp_config config = { 0 };
    config.address = "127.0.0.1";
    config.port = UHTTP_PORT_ANY;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        return 1;
    (void)uhttp_wait(server, 0);
    uhttp_server_close(server);
    printf("%s %s %d.%d.%d %ld\n", uhttp_version(), UHTTP_VERSION, UHTTP_VERSION_MAJOR,
           UHTTP_VERSION_MINOR, UHTTP_VERSION_PATCH, (long)UHTTP_VERSION_NUMBER);
    return 0;
}
EOF

# says_version PROGRAM: it runs, and every form of the version is the same.
says_version() {
    said=$("$1") || return
    number_form=$(($(part MAJOR) * 10000 + $(part MINOR) * 100 + $(part PATCH)))
    [ "$said" = "$version $version $version $number_form" ] ||
        { echo "'$said', but the header says $version"; return 1; }
}

# --- the header alone ---------------------------------------------------------------------

one_file() {
    "$cc" -I "$root" program.c -o alone && says_version ./alone
}

# A version named anywhere else in the text of the project is the same: "uHTTP 1.2.3", "v1.2.3".
named_versions() {
    grep -n -o -E '(uHTTP|uhttp_server\.h|uhttp_server) v?[0-9]+\.[0-9]+\.[0-9]+' \
        "$root/README.md" "$root/uhttp_server.h" 2>/dev/null |
        grep -v -F " $version" | grep -v -F " v$version" && return 1
    return 0
}

check "one file: the version is the same in every form" one_file
check "no other version is named" named_versions

# --- part of another project --------------------------------------------------------------

mkdir sub
cat >sub/CMakeLists.txt <<EOF
cmake_minimum_required(VERSION 3.14)
project(sub LANGUAGES C)
add_subdirectory("$root" uhttp)
add_executable(program ../program.c)
target_link_libraries(program PRIVATE uhttp::server)
get_property(targets DIRECTORY "$root" PROPERTY BUILDSYSTEM_TARGETS)
get_property(tests DIRECTORY "$root" PROPERTY TESTS)
if(NOT targets STREQUAL "uhttp_server" OR tests)
    message(FATAL_ERROR "brings more than its target: \${targets} \${tests}")
endif()
install(TARGETS program DESTINATION bin)
EOF
sub_project() {
    cmake -S sub -B sub/build && cmake --build sub/build && says_version sub/build/program
}
sub_install() {
    cmake --install sub/build --prefix "$work/sub/prefix" &&
        [ "$(cd sub/prefix && find . -type f)" = ./bin/program ]
}
check "sub-project: the target and nothing else; a program links and runs" sub_project
check "sub-project: the parent's install stays the parent's" sub_install

# --- on its own ---------------------------------------------------------------------------

top_level() {
    cmake -S "$root" -B top -DCMAKE_INSTALL_PREFIX="$work/elsewhere" &&
        cmake --build top --parallel "$jobs" &&
        for source in "$root"/examples/*.c; do
            # those need a TLS library
            ! grep -q -e '#define UHTTP_TLS' -e '#include <openssl/' "$source" || continue
            [ ! -f "$source" ] || [ -x "top/examples/$(basename "$source" .c)" ] || return 1
        done && [ -x top/examples/dashboard ]
}
top_tests() {
    (cd top && ctest -N) >tests.txt && cat tests.txt &&
        for source in "$root"/tests/*/test_*.c; do
            [ "${source##*/}" != test_tls.c ] || continue
            [ ! -f "$source" ] || grep -q ": $(basename "$source" .c)\$" tests.txt || return 1
        done
}
# installed, and then moved: nothing in it may name where it was
top_install() {
    cmake --install top --prefix "$work/prefix.first" && mv prefix.first prefix &&
        cmp "$root/uhttp_server.h" prefix/include/uhttp_server.h &&
        ! grep -r -l -e "$root" -e prefix.first -e "$work/elsewhere" prefix
}
check "top level: tests and examples build" top_level
if grep -q '^CMOCKA_LIBRARY:.*NOTFOUND' top/CMakeCache.txt; then
    skip "top level: every test program is known to ctest" "no cmocka"
else
    check "top level: every test program is known to ctest" top_tests
fi
check "top level: installs, and what is installed can be moved" top_install

mkdir found
cat >found/CMakeLists.txt <<'EOF'
cmake_minimum_required(VERSION 3.14)
project(found LANGUAGES C)
find_package(uhttp_server ${WANTED} REQUIRED)
if(NOT uhttp_server_VERSION STREQUAL EXPECTED)
    message(FATAL_ERROR "the package says ${uhttp_server_VERSION}, not ${EXPECTED}")
endif()
add_executable(program ../program.c)
target_link_libraries(program PRIVATE uhttp::server)
EOF
find_package() {
    rm -rf found/build
    cmake -S found -B found/build -DCMAKE_PREFIX_PATH="$work/prefix" -DEXPECTED="$version" "$@"
}
find_and_build() {
    find_package -DWANTED="$version" && cmake --build found/build &&
        says_version found/build/program
}
find_later() {
    ! find_package -DWANTED="$(($(part MAJOR) + 1)).0.0"
}
# until 1.0 another minor version is another library
find_other_minor() {
    [ "$(part MAJOR)" -gt 0 ] || [ "$(part MINOR)" -eq 0 ] ||
        ! find_package -DWANTED="0.$(($(part MINOR) - 1)).0"
}
check "find_package: a foreign project finds it, links and runs" find_and_build
check "find_package: before 1.0, no other minor version is found" find_other_minor
check "find_package: a later version is not found" find_later

pc() {
    PKG_CONFIG_PATH=$work/prefix/share/pkgconfig pkg-config "$@" uhttp_server
}
pc_build() {
    # shellcheck disable=SC2046
    "$cc" $(pc --cflags) program.c -o pc $(pc --libs) && says_version ./pc
}
pc_version() {
    [ "$(pc --modversion)" = "$version" ]
}
if command -v pkg-config >/dev/null; then
    check "pkg-config: a foreign program compiles and runs" pc_build
    check "pkg-config: the version" pc_version
else
    skip "pkg-config" "not installed"
fi

# --- Windows ------------------------------------------------------------------------------

windows() {
    cmake -S "$root" -B windows -DCMAKE_SYSTEM_NAME=Windows \
        -DCMAKE_C_COMPILER=x86_64-w64-mingw32-gcc -DUHTTP_BUILD_TESTS=OFF \
        -DUHTTP_BUILD_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$work/prefix.windows" &&
        cmake --install windows && grep -q '^Libs:.* -lws2_32' \
            prefix.windows/share/pkgconfig/uhttp_server.pc
}
windows_sub() {
    cmake -S sub -B sub/windows -DCMAKE_SYSTEM_NAME=Windows \
        -DCMAKE_C_COMPILER=x86_64-w64-mingw32-gcc && cmake --build sub/windows --target program
}
if command -v x86_64-w64-mingw32-gcc >/dev/null; then
    check "Windows: installs, pkg-config names ws2_32" windows
    check "Windows: a program of a sub-project links by itself" windows_sub
else
    skip "Windows" "no x86_64-w64-mingw32-gcc"
fi

# --- component of ESP-IDF -----------------------------------------------------------------

# ESP-IDF reads the file twice: as a script, to learn what it requires, and in its project.
mkdir esp
cat >esp/script.cmake <<EOF
set(ESP_PLATFORM 1)
macro(idf_component_register)
    message(STATUS "registered: \${ARGV}")
    return()
endmacro()
include("$root/CMakeLists.txt")
EOF
cat >esp/CMakeLists.txt <<EOF
cmake_minimum_required(VERSION 3.16)
project(esp LANGUAGES C)
set(ESP_PLATFORM 1)
function(idf_component_register)
    cmake_parse_arguments(ARG "" "" "SRCS;INCLUDE_DIRS;REQUIRES;PRIV_REQUIRES" \${ARGV})
    if(ARG_SRCS OR ARG_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "not include-only: \${ARGV}")
    endif()
    add_library(component INTERFACE)
    target_include_directories(component INTERFACE "\${CMAKE_CURRENT_SOURCE_DIR}/\${ARG_INCLUDE_DIRS}")
endfunction()
add_subdirectory("$root" uhttp)
if(TARGET uhttp_server)
    message(FATAL_ERROR "more than a component")
endif()
add_executable(program ../program.c)
target_link_libraries(program PRIVATE component)
EOF
esp_script() {
    cmake -P esp/script.cmake 2>&1 | tee esp/said && grep -q 'registered: INCLUDE_DIRS;' esp/said
}
esp_project() {
    cmake -S esp -B esp/build && cmake --build esp/build && says_version esp/build/program
}
check "ESP-IDF: what it requires can be read as a script" esp_script
check "ESP-IDF: a component with nothing but an include path" esp_project

# --- HTTPS ---------------------------------------------------------------------------------

tls_level() {
    cmake -S "$root" -B tls -DUHTTP_TLS=ON -DUHTTP_BUILD_TESTS=OFF \
        -DCMAKE_INSTALL_PREFIX="$work/prefix.tls" &&
        cmake --build tls --parallel "$jobs" && [ -x tls/examples/https ] && cmake --install tls
}
tls_package() {
    (unset PKG_CONFIG_SYSROOT_DIR
     PKG_CONFIG_PATH=$work/prefix.tls/share/pkgconfig pkg-config --cflags --libs uhttp_server) \
        >tls.flags && cat tls.flags && grep -q -e '-DUHTTP_TLS' tls.flags &&
        grep -q -e '-lmbedtls -lmbedx509 -lmbedcrypto' tls.flags
}
if echo '#include <mbedtls/ssl.h>' | "$cc" -x c -c - -o mbedtls.o 2>/dev/null; then
    check "UHTTP_TLS: finds mbedTLS, the examples build" tls_level
    if command -v pkg-config >/dev/null; then
        check "UHTTP_TLS: pkg-config says what to define and link" tls_package
    fi
else
    skip "UHTTP_TLS: finds mbedTLS, the examples build" "mbedTLS is not installed"
fi

# --- what a release consists of ------------------------------------------------------------

# Unpacked, it is a project of its own: its CMake file installs it, its manifests say its version.
release() {
    "$root/.ci/release" https://example.org/uhttp.git && mkdir unpacked &&
        tar -xzf "$root/build/release/uhttp_server-$version.tar.gz" -C unpacked || return
    files=unpacked/uhttp_server-$version
    cmp "$root/uhttp_server.h" "$files/uhttp_server.h" && [ -f "$files/LICENSE" ] &&
        grep -q "\"version\": \"$version\"" "$files/library.json" &&
        grep -q "^version: \"$version\"" "$files/idf_component.yml" &&
        cmake -S "$files" -B release -DUHTTP_BUILD_EXAMPLES=OFF -DUHTTP_BUILD_TESTS=OFF &&
        cmake --install release --prefix "$work/released" && [ -f released/include/uhttp_server.h ] &&
        "$cc" -I "$files" -o hello "$files/examples/hello.c" && [ -x hello ] || return
    ! command -v python3 || python3 -m json.tool "$files/library.json"
}
check "a release is a project of its own, with manifests that say its version" release

done_testing
