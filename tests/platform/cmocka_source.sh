# cmocka for machines that have no package of it: one C file, built from the system's source
# package, which an apt of its own fetches into build/; the machine's package lists stay as they
# are. To be sourced in the project's root.

cmocka_folder=build/cmocka

# What a test program is compiled with besides: where its headers are.
# shellcheck disable=SC2034
room_flags="-I . -I tests/text -I tests/machine -I tests/server -I tests/fuzz"

# Sets $cmocka, where the source is; fails when it cannot be had.
fetch_cmocka() {
    local apt=$PWD/$cmocka_folder/apt release uri key
    mkdir -p build
    for _ in $(seq 600); do         # two scripts may want it at once
        mkdir build/cmocka.lock 2>/dev/null && break
        sleep 0.5
    done
    if ! ls $cmocka_folder/cmocka-*/src/cmocka.c >/dev/null 2>&1 && command -v apt-get >/dev/null; then
        # shellcheck source=/dev/null
        release=$(. /etc/os-release && echo "$VERSION_CODENAME")
        uri=$(apt-get indextargets --format "\$(REPO_URI)" "Codename: $release" | head -n 1)
        key=$(dpkg -L debian-archive-keyring 2>/dev/null | grep '/debian-archive-keyring\.gpg$')
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        : >"$apt/status"
        echo "deb-src ${key:+[signed-by=$key]} $uri $release main" >"$apt/sources.list"
        (
            cd $cmocka_folder || exit
            apt="-qq -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=-
                 -o Dir::State::lists=$apt/lists -o Dir::State::status=$apt/status
                 -o Dir::Cache=$apt/cache -o APT::Sandbox::User=root"
            # shellcheck disable=SC2086
            apt-get $apt update && apt-get $apt source --download-only cmocka &&
                tar xf cmocka_*.orig.tar.?z
        ) >$cmocka_folder/log 2>&1
        rm -rf "$apt"
    fi
    rmdir build/cmocka.lock 2>/dev/null
    cmocka=$(ls -d $cmocka_folder/cmocka-*/ 2>/dev/null | head -n 1)
    [ -f "$cmocka/src/cmocka.c" ]
}

# build_cmocka COMPILER OBJECT
build_cmocka() {
    local name
    for name in inttypes stdint stdio stdlib string strings time unistd setjmp signal sys_time \
        sys_types; do
        echo "#define HAVE_$(echo $name | tr a-z A-Z)_H 1"
    done >"${2%.o}.h"
    for name in SNPRINTF VSNPRINTF GCC_THREAD_LOCAL_STORAGE STRUCT_TIMESPEC CLOCK_GETTIME_REALTIME; do
        echo "#define HAVE_$name 1"
    done >>"${2%.o}.h"
    $1 -w -include "${2%.o}.h" -I "$cmocka/include" -c "$cmocka/src/cmocka.c" -o "$2"
}
