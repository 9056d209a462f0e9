#!/usr/bin/env bash
# The Winsock half, built by mingw-w64 and run by Wine: unit tests, the machine with all its
# scripts, and the first example asked by the host's curl. Prints TAP.
. "$(dirname "$0")/../script.sh"
. tests/platform/cmocka_source.sh

wine=$(command -v wine64 || ls /usr/lib/wine/wine64 2>/dev/null)
[ -n "$wine" ] || skip_all "no wine64"
command -v x86_64-w64-mingw32-gcc >/dev/null || skip_all "no mingw-w64"
command -v curl >/dev/null || skip_all "no curl"
command -v python3 >/dev/null || skip_all "no python3"
fetch_cmocka || skip_all "the source of cmocka cannot be fetched"

out=build/windows
mkdir -p $out
export WINEPREFIX=$dir/prefix WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
server=
finish_windows() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null
    "${wine%wine64}wineserver64" -k 2>/dev/null || "${wine%wine64}wineserver" -k 2>/dev/null
    finish
}
trap finish_windows EXIT
"$wine" wineboot -i >$out/boot.log 2>&1 || skip_all "wine does not start"

cc="x86_64-w64-mingw32-gcc -O1"
build_cmocka "$cc" $out/cmocka.o
ok "cmocka builds"

# Left out: what compares with the C library's own doubles, or uses POSIX to do so.
tests="test_machine test_port"
for name in tests/text/test_text_*.c; do
    case $name in *_json.c | *_words.c | *_dates.c) ;; *) tests="$tests $(basename "$name" .c)" ;; esac
done
for name in $tests; do
    $cc -std=gnu11 -Wall -Wextra -I "$cmocka/include" $room_flags tests/*/"$name.c" $out/cmocka.o \
        -o "$out/$name.exe" -lws2_32 >"$out/$name.log" 2>&1 &&
        CMOCKA_MESSAGE_OUTPUT=TAP timeout 300 "$wine" "$out/$name.exe" >"$out/$name.log" 2>&1 &&
        [ "$(tap_passed "$out/$name.log")" -gt 0 ] && [ "$(tap_failed "$out/$name.log")" -eq 0 ]
    ok "$name, $(tap_passed "$out/$name.log") tests"
    [ $failures -eq 0 ] || grep -v '^ok' "$out/$name.log" | tail -n 20 | sed 's/^/# /'
done

$cc -std=c99 -Wall -Wextra -Wpedantic -Werror -I . examples/hello.c -o $out/hello.exe -lws2_32
ok "hello.exe builds"
gcc -o "$dir/ports" tests/clients/curl_server.c >"$dir/log" 2>&1 || bail_out "the ports' program builds"
for _ in 1 2 3 4 5; do
    port=$("$dir/ports" --free-port)
    "$wine" $out/hello.exe "$port" >$out/hello.out 2>&1 </dev/null &
    server=$!
    for _ in $(seq 100); do
        grep -q "listening on" $out/hello.out && break 2
        kill -0 $server 2>/dev/null || break
        sleep 0.1
    done
done
grep -q "http://localhost:$port/" $out/hello.out
ok "it says where it listens"
url=http://127.0.0.1:$port
is "it greets" "<h1>hello</h1> 200" "$(curl -sS -m 10 -w ' %{http_code}' $url/ | tr -d '\n' | sed 's/  / /')"
is "what is not there is 404" 404 "$(curl -sS -m 10 -o $out/o -w '%{http_code}' $url/x)"
is "HEAD has no body" "200 0" "$(curl -sS -m 10 -I -o $out/o -w '%{http_code} %{size_download}' $url/)"
is "connections are kept" "1 0 0" "$(curl -sS -m 10 -o $out/o -o $out/o -o $out/o \
    -w '%{num_connects} ' $url/ $url/ $url/ | sed 's/ $//')"
is "a large head gets 431" 431 "$(curl -sS -m 10 -o $out/o -w '%{http_code}' \
    -H "X: $(printf '%6000s' x | tr ' ' x)" $url/)"
urls=
for n in $(seq 50); do urls="$urls $url/?$n"; done
# shellcheck disable=SC2086
is "fifty at once are answered" 50 "$(curl -sS -m 30 --no-progress-meter --parallel --parallel-max 50 \
    $urls | grep -c hello)"
"$wine" $out/hello.exe "$port" >$out/o 2>&1 </dev/null
is "the port is not shared" 1 $?
grep -q "cannot listen on port $port: " $out/o      # Windows says in use, Wine denied
ok "and it says so"
is "a bad argument is refused" 2 "$("$wine" $out/hello.exe x >$out/o 2>&1 </dev/null; echo $?)"

# Files through Windows' own functions: a directory, and a body that becomes a file.
{ kill -KILL $server; wait $server; } 2>/dev/null
server=
site=$out/site
rm -rf $site
mkdir -p $site/sub
seq 100000 >$site/numbers.txt
echo secret >$out/secret
ln -s ../secret $site/up
ln -s numbers.txt $site/link.txt
cat >$out/store.c <<'END'
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include <stdio.h>
int main(int argc, char **argv)
{
    uhttp_server *s;
    uhttp_config config = { 0 };
    config.port = UHTTP_PORT_ANY;
    config.event_mode = true;
    config.max_content_length = 1;
    if (argc != 3 || uhttp_server_open(&s, &config) != UHTTP_OK)
        return 1;
    printf("port %d.\n", uhttp_server_port(s));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(s, -1);
        if (c != NULL && uhttp_event(c) == UHTTP_EVENT_HEADERS)
            uhttp_accept_body_to_file(c, argv[2], 0);
        else if (c != NULL && uhttp_event(c) == UHTTP_EVENT_COMPLETE)
            uhttp_respond_text(c, 201, "stored");
        else if (c != NULL && uhttp_event(c) == UHTTP_EVENT_REQUEST)
            uhttp_serve_dir(c, argv[1], "/");
    }
}
END
$cc -std=c99 -Wall -Wextra -Wpedantic -Werror -I . $out/store.c -o $out/store.exe -lws2_32
ok "a server of files builds"
"$wine" $out/store.exe $site $site/sub/stored >$out/store.out 2>&1 </dev/null &
server=$!
for _ in $(seq 200); do
    grep -q '^port .*\.' $out/store.out && break
    sleep 0.1
done
url=http://127.0.0.1:$(sed -n 's/^port \([0-9]*\)\..*/\1/p' $out/store.out)
curl -sS -m 20 $url/numbers.txt | cmp -s - $site/numbers.txt
ok "a file arrives as it is"
is "a part of it, too" 206 "$(curl -sS -m 10 -r 100-199 -o $out/o -w '%{http_code}' $url/numbers.txt)"
tail -c +101 $site/numbers.txt | head -c 100 | cmp -s - $out/o
ok "which is that part"
for name in up sub/../../secret ..%5csecret con NUMBER~1.TXT numbers.txt::\$DATA numbers.txt. none; do
    is "$name leads nowhere" 404 \
        "$(curl -sS -m 10 --path-as-is -o $out/o -w '%{http_code}' "$url/$name")"
done
is "a link that stays inside is followed" 200 \
    "$(curl -sS -m 10 -o $out/o -w '%{http_code}' $url/link.txt)"
is "a missing slash is redirected" 301 "$(curl -sS -m 10 -o $out/o -w '%{http_code}' $url/sub)"
echo old >$site/sub/stored
is "a body becomes a file" stored "$(curl -sS -m 20 -T $site/numbers.txt $url/x)"
cmp -s $site/numbers.txt $site/sub/stored
ok "in place of the old one"
curl -sS -m 1 --limit-rate 50k -T $site/numbers.txt $url/x >$out/o 2>&1
sleep 1
cmp -s $site/numbers.txt $site/sub/stored
ok "one that is broken off changes nothing"
is "and leaves nothing" stored "$(ls -A $site/sub)"

# Names beyond ASCII are UTF-8 in the program and UTF-16 in Windows; a loop that another thread
# wakes.
{ kill -KILL $server; wait $server; } 2>/dev/null
server=
name=$(printf 'gr\303\266\303\237e-\342\202\254.txt')
encoded=gr%C3%B6%C3%9Fe-%E2%82%AC.txt
cat >$out/woken.c <<'END'
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include <stdio.h>
#include <string.h>
static DWORD WINAPI wake(LPVOID s)
{
    for (;;) {
        Sleep(20);
        if (uhttp_server_wakeup((uhttp_server *)s) != UHTTP_OK)
            return 1;
    }
}
int main(int argc, char **argv)
{
    unsigned woken = 0;
    char path[600];
    uhttp_server *s;
    uhttp_config config = { 0 };
    config.port = UHTTP_PORT_ANY;
    config.event_mode = true;
    if (argc != 2 || uhttp_server_open(&s, &config) != UHTTP_OK ||
        CreateThread(NULL, 0, wake, s, 0, NULL) == NULL)
        return 1;
    printf("port %d.\n", uhttp_server_port(s));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(s, -1);
        if (c == NULL) {
            woken++;
        } else if (uhttp_event(c) == UHTTP_EVENT_HEADERS) {
            snprintf(path, sizeof path, "%s%s", argv[1], uhttp_path(c));
            uhttp_accept_body_to_file(c, path, 0);
        } else if (uhttp_event(c) == UHTTP_EVENT_COMPLETE) {
            uhttp_respond_text(c, 201, "stored");
        } else if (uhttp_event(c) == UHTTP_EVENT_REQUEST && strcmp(uhttp_path(c), "/woken") == 0) {
            snprintf(path, sizeof path, "%u", woken);
            uhttp_respond_text(c, 200, path);
        } else if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
            uhttp_serve_dir(c, argv[1], "/");
        }
    }
}
END
$cc -std=c99 -Wall -Wextra -Wpedantic -Werror -I . $out/woken.c -o $out/woken.exe -lws2_32
ok "a server that is woken builds"
LC_ALL=C.UTF-8 "$wine" $out/woken.exe $site >$out/woken.out 2>&1 </dev/null &
server=$!
for _ in $(seq 200); do
    grep -q '^port .*\.' $out/woken.out && break
    sleep 0.1
done
url=http://127.0.0.1:$(sed -n 's/^port \([0-9]*\)\..*/\1/p' $out/woken.out)
is "a body becomes a file with a name in UTF-8" stored \
    "$(curl -sS -m 20 -T $site/numbers.txt "$url/$encoded")"
cmp -s $site/numbers.txt "$site/$name"
ok "which is the name it has"
curl -sS -m 20 "$url/$encoded" | cmp -s - $site/numbers.txt
ok "and is served under it"
before=$(curl -sS -m 10 $url/woken)
sleep 2
[ "$(curl -sS -m 10 $url/woken)" -ge $((before + 10)) ]
ok "another thread wakes it, again and again"

# More clients than sockets that one select() can hold, listener and wake-up included. All ask and
# stay: those that have been idle for a second give way to the others.
{ kill -KILL $server; wait $server; } 2>/dev/null
server=
cat >$out/crowd.c <<'END'
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include <stdio.h>
int main(void)
{
    uhttp_server *s;
    uhttp_config config = { 0 };
    config.port = UHTTP_PORT_ANY;
    config.max_connections = 100;
    if (uhttp_server_open(&s, &config) != UHTTP_OK)
        return 1;
    printf("port %d.\n", uhttp_server_port(s));
    fflush(stdout);
    for (;;) {
        uhttp_conn *c = uhttp_wait(s, 1000);
        if (c != NULL)
            uhttp_respond_text(c, 200, "served");
    }
}
END
$cc -std=c99 -Wall -Wextra -Wpedantic -Werror -I . $out/crowd.c -o $out/crowd.exe -lws2_32
ok "a server with more slots than FD_SETSIZE builds"
"$wine" $out/crowd.exe >$out/crowd.out 2>&1 </dev/null &
server=$!
await $out/crowd.out '^port .*\.'
is "70 clients on 64 descriptors are all served" "70 served" "$(timeout 40 python3 -c '
import select, socket, sys, time
clients = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(70)]
for c in clients:
    c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
waiting, served, end = set(clients), 0, time.time() + 30
while waiting and time.time() < end:
    for c in select.select(list(waiting), [], [], 1)[0]:
        waiting.remove(c)
        try:
            served += b" 200 " in c.recv(4096)
        except OSError:
            pass
print(served, "served")' "$(sed -n 's/^port \([0-9]*\)\..*/\1/p' $out/crowd.out)")"

done_testing
