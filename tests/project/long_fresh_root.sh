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

in_root -- bash -c "cd /uhttp && $second --quick" >"$dir/log" 2>&1
status=$?
sed 's/^/# /' "$dir/log"
is "the second command works: $second --quick" 0 $status
is "and has installed what it needs" 1 "$(grep -c '^[1-9][0-9]* passed, 0 failed$' "$dir/log")"
done_testing
