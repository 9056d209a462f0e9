#!/bin/bash
# The README's commands in an empty Debian root, where nothing is installed by chance: the first
# as it is written, the second with --quick. The root is a folder, entered by chroot in mount and
# process namespaces of its own; its devices are made there, so that nothing of this machine can
# be reached, or removed, through it.
mapfile -t proxies < <(env | grep -i '^[a-z]*_proxy=')
. "$(dirname "$0")/../script.sh"

has() { command -v "$1" >/dev/null 2>&1; }

[ "$(id -u)" = 0 ] || skip_all "an empty root takes root to make"
for tool in apt-get debootstrap unshare ip git; do
    has $tool || skip_all "$tool is not installed"
done
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016  # for apt to expand
archive=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $codename" 'Component: main' |
    head -n 1)
[ -n "$archive" ] || skip_all "apt knows no archive of this system"
unshare --mount --pid --fork true 2>/dev/null || skip_all "namespaces are not allowed here"

fresh=$(mktemp -d "${TMPDIR:-/tmp}/uhttp-root.XXXXXX") || exit 2
trap 'finish; rm -rf --one-file-system "$fresh"' EXIT
chmod 755 "$fresh"

# apart FLAG... COMMAND...: runs it in namespaces of its own; all that it started ends with it
apart() { unshare --mount --pid --fork --kill-child "$@"; }

# in_root FLAG... -- COMMAND...: runs it in the root, which gets its devices for that long
in_root() {
    local flags=()
    while [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    shift
    # shellcheck disable=SC2016  # expanded by the inner shell
    apart "${flags[@]}" sh -c '
        root=$1
        shift
        mount -t proc proc "$root/proc" && mount -t tmpfs -o mode=755 tmpfs "$root/dev" &&
            cd "$root/dev" || exit 125
        mknod -m 666 null c 1 3 && mknod -m 666 zero c 1 5 && mknod -m 666 full c 1 7 &&
            mknod -m 666 random c 1 8 && mknod -m 666 urandom c 1 9 && mknod -m 666 tty c 5 0 &&
            ln -s /proc/self/fd fd && ln -s fd/0 stdin && ln -s fd/1 stdout && ln -s fd/2 stderr &&
            mkdir shm pts && mount -t tmpfs -o mode=1777 tmpfs shm &&
            mount -t devpts -o newinstance,ptmxmode=666 devpts pts && ln -s pts/ptmx ptmx || exit 125
        ! ip link show lo | grep -q DOWN || ip link set lo up || exit 125
        chroot "$root" "$@"' sh "$fresh" \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${proxies[@]}" "$@"
}

apart debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates "$codename" "$fresh" \
    "$archive" >"$dir/log" 2>&1 || bail_out "debootstrap makes an empty root"
# packages come from where this machine takes them, as it takes them
rm -rf "$fresh/etc/apt/sources.list"
cp -a /etc/apt/. "$fresh/etc/apt/" && cp -an /usr/lib/apt/methods/. "$fresh/usr/lib/apt/methods/" &&
    cp /etc/resolv.conf /etc/hosts "$fresh/etc/" || bail_out "apt is set up in the root"
mkdir "$fresh/uhttp" && git ls-files -z | tar -c --null -T - | tar -x -C "$fresh/uhttp" ||
    bail_out "the tree is copied"

first=$(sed -n '/^cc .*hello/p' README.md | head -n 1)
second=$(sed -n '/^tests\/run\.sh$/p' README.md | head -n 1)

# shellcheck disable=SC2016  # expanded by the inner shell
in_root --net -- bash -c '
    cd /uhttp || exit
    eval "$1" >/tmp/hello.out 2>&1 &
    for _ in $(seq 300); do
        exec 3<>/dev/tcp/127.0.0.1/8080 && break
        sleep 0.1
    done 2>/dev/null
    printf "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3 && cat <&3
    cat /tmp/hello.out >&2' bash "$first" >"$dir/answer" 2>"$dir/log"
is "the first command works: $first" "HTTP/1.1 200 OK" "$(head -n 1 "$dir/answer" | tr -d '\r')"

# --- the first hour: the README's programs, from the header and their one file alone -------------

mkdir -p "$fresh/new/examples"
cp uhttp_server.h "$fresh/new/"
sed -n '/^```c$/,/^```$/p' README.md | awk '/^```c$/ { n++ } n == 1 && !/^```/' >"$fresh/new/first.c"
grep -q 'int main(void)' "$fresh/new/first.c"
ok "the README begins with a whole program"
for name in hello api form upload events websocket own_loop https; do
    cp "examples/$name.c" "$fresh/new/examples/"
    echo "$name $(sed -n '3s/^ \*     build: //p' "examples/$name.c")"
done >"$fresh/new/programs"

# talks to each: a request, and a word that the answer must contain
cat >"$fresh/new/talk.sh" <<'TALK'
cd /new || exit
# open: connects descriptor 3 to the port, as soon as somebody listens there
open() {
    local try
    for try in $(seq 300); do
        exec 3<>"/dev/tcp/127.0.0.1/$1" && return
        sleep 0.1
    done 2>/dev/null
    false
}
# talk NAME PORT WORD REQUEST: the program listens there, and answers with that word
talk() {
    open "$2" && printf "$4" >&3 && timeout 10 grep -a -m 1 -q -e "$3" <&3 &&
        echo "works $1" || { echo "fails $1"; cat "/tmp/$1.out"; }
    exec 3>&-
    kill "$started"
    wait "$started" 2>/dev/null
}
begin() {       # NAME ARGUMENT...
    "./$1" "${@:2}" >"/tmp/$1.out" 2>&1 </dev/null &
    started=$!
}
get() { printf 'GET %s HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n%s\\r\\n' "$1" "${2:-}"; }
post() {        # PATH TYPE BODY
    printf 'POST %s HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: %s\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s' \
        "$1" "$2" "${#3}" "$3"
}
cc -o first first.c && begin first && talk first 8080 '<h1>hello</h1>' "$(get /)"
while read -r name command; do
    eval "$command" >/tmp/build.out 2>&1 && [ ! -s /tmp/build.out ] ||
        { echo "fails $name: $command"; cat /tmp/build.out; continue; }
    mkdir -p "/tmp/$name"
    case $name in
    hello) begin hello 8101 && talk hello 8101 '<h1>hello</h1>' "$(get /)" ;;
    api) begin api 8102 && talk api 8102 '200 OK' "$(get /api/items)" ;;
    form) begin form 8103 && talk form 8103 '<form' "$(get /login)" ;;
    upload) begin upload 8104 /tmp/upload && talk upload 8104 '<form\|<input' "$(get /)" ;;
    events) begin events 8105 && talk events 8105 '^data:' "$(get /events)" ;;
    websocket) begin websocket 8106 && talk websocket 8106 '101 Switching' \
        'GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n' ;;
    own_loop) begin own_loop 8107 && talk own_loop 8107 '200 OK' "$(get /)" ;;
    https)
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
            -subj /CN=localhost -keyout key.pem -out chain.pem 2>/dev/null
        begin https 8108 chain.pem key.pem
        open 8108 && exec 3>&- &&
            printf 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
            timeout 10 openssl s_client -quiet -connect 127.0.0.1:8108 2>/dev/null |
            grep -q '200 OK' && echo "works https" || { echo "fails https"; cat /tmp/https.out; }
        kill "$started" ;;
    esac
done <programs
TALK
in_root -- bash -c 'apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
    --no-install-recommends libmbedtls-dev openssl' >"$dir/log" 2>&1 ||
    bail_out "mbedTLS and openssl are installed in the root"
in_root --net -- bash /new/talk.sh >"$dir/said" 2>&1
for name in first hello api form upload events websocket own_loop https; do
    grep -q "^works $name\$" "$dir/said"
    ok "the first hour: $name builds by its own command and answers"
done
[ $failures -eq 0 ] || sed 's/^/# /' "$dir/said"

# --- the second command --------------------------------------------------------------------------

in_root -- bash -c "cd /uhttp && $second --quick" >"$dir/log" 2>&1
status=$?
sed 's/^/# /' "$dir/log"
is "the second command works: $second --quick" 0 $status
is "and has installed what it needs" 1 "$(grep -c '^[1-9][0-9]* passed, 0 failed$' "$dir/log")"
done_testing
