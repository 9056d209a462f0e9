#!/bin/bash
# examples/listen.c: IPv4, IPv6, both, a Unix socket, a socket from a supervisor
. "$(dirname "$0")/../script.sh"

build listen
start listen 0 127.0.0.1
is "IPv4" 127.0.0.1 "$(ask "$url/")"
if [ -e /proc/net/if_inet6 ] && [ -s /proc/net/if_inet6 ]; then
    start listen 0 ::
    is "dual-stack: IPv4" 127.0.0.1 "$(ask "$url/")"
    is "dual-stack: IPv6" ::1 "$(ask "http://[::1]:$port/")"
    start listen 0 127.0.0.1 ::1
    await "$dir/listen.out" '^listening' 2
    second=$(sed -n 's|.*localhost:\([0-9]*\)/ (::1).*|\1|p' "$dir/listen.out")
    is "two listeners: the second" ::1 "$(ask "http://[::1]:$second/")"
fi
start listen 0 127.0.0.1 "unix:$dir/socket"
await "$dir/listen.out" '^listening on unix:'
is "a Unix socket" "a Unix socket" "$(ask --unix-socket "$dir/socket" http://localhost/)"
is "and TCP beside it" 127.0.0.1 "$(ask "$url/")"

# What systemd does: the socket is 3, LISTEN_PID is the process's own number.
cat >"$dir/activate.c" <<'C'
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    char pid[20];
    struct sockaddr_in address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (argc < 2 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 5) != 0 || (fd != 3 && dup2(fd, 3) != 3))
        return 1;
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    execv(argv[1], argv + 1);
    return 1;
}
C
"$cc" -o "$dir/activate" "$dir/activate.c" || bail_out "activate.c builds"
"$dir/activate" "$dir/listen" >"$dir/activated" 2>&1 9<&- &
children+=($!)
await "$dir/activated" '^listening'
port=$(sed -n 's|.*localhost:\([0-9]*\)/ (systemd.*|\1|p' "$dir/activated")
is "a socket that systemd opened" 127.0.0.1 "$(ask "http://127.0.0.1:$port/")"
"$dir/listen" 0 nowhere 2>"$dir/err" >/dev/null
is "a wrong address is refused" 1 $?
done_testing
