#!/bin/bash
# Clients whose network goes down: nobody says FIN or RST, and each is noticed all the same. The
# server is here, the clients are in a network namespace behind a cable that is pulled.
. "$(dirname "$0")/../script.sh"

PATH=$PATH:/usr/sbin:/sbin
command -v ip >/dev/null || skip_all "iproute2 is not installed"
name=uhttp$$
ip netns add "$name" 2>/dev/null || skip_all "no network namespace can be made here"
finish_network() {
    finish                          # who is in there keeps it
    ip link del "u$$" 2>/dev/null
    ip netns del "$name" 2>/dev/null
}
trap finish_network EXIT
ip link add "u$$" type veth peer name "c$$" netns "$name" 2>/dev/null &&
    ip address add 198.51.100.1/30 dev "u$$" && ip link set "u$$" up &&
    ip -n "$name" address add 198.51.100.2/30 dev "c$$" && ip -n "$name" link set "c$$" up ||
    skip_all "no virtual cable can be made here"

cat >"$dir/server.c" <<'C'
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t ids[8];
static const char *paths[8];
static size_t count;

static void remember(uhttp_conn *c)
{
    ids[count] = uhttp_id(c);
    paths[count++] = strcmp(uhttp_path(c), "/held") == 0 ? "held"
                   : strcmp(uhttp_path(c), "/events") == 0 ? "events" : "much";
}

static void hear(uhttp_conn *c)
{
    if (uhttp_event(c) == UHTTP_EVENT_CLOSED) {
        for (size_t i = 0; i < count; i++) {
            if (ids[i] == uhttp_id(c))
                printf("gone: %s\n", paths[i]);
        }
    } else if (uhttp_event(c) == UHTTP_EVENT_REQUEST) {
        if (strcmp(uhttp_path(c), "/idle") == 0) {
            (void)uhttp_respond_text(c, 200, "idle");
            return;
        }
        remember(c);
        if (strcmp(uhttp_path(c), "/held") != 0)
            (void)uhttp_sse_begin(c);
    }
}

int main(int argc, char **argv)
{
    static char block[4000];
    uhttp_server *server;
    uhttp_config config = { 0 };
    (void)argc;
    config.address = argv[1];
    config.port = UHTTP_PORT_ANY;
    config.event_mode = true;
    config.dead_peer_timeout_ms = (uint32_t)atol(argv[2]);
    config.keep_alive_timeout_ms = UHTTP_NEVER;
    config.send_timeout_ms = 4000;
    if (uhttp_server_open(&server, &config) != UHTTP_OK)
        return 1;
    printf("port %d\n", uhttp_server_port(server));
    memset(block, 'x', sizeof block - 1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    uint32_t next = uhttp_millis(), connections = 99;
    for (;;) {
        uhttp_conn *c = uhttp_wait(server, 20);
        if (c != NULL)
            hear(c);
        uhttp_stats stats;
        uhttp_server_stats(server, &stats);
        if (stats.connections != connections)
            printf("connections %u\n", (unsigned)(connections = stats.connections));
        if ((int32_t)(uhttp_millis() - next) < 0)
            continue;
        next += 100;                    /* 40 kB/s, and two events a second */
        for (size_t i = 0; i < count; i++) {
            c = uhttp_find(server, ids[i]);
            if (c != NULL && strcmp(paths[i], "held") != 0 &&
                (strcmp(paths[i], "much") == 0 || next / 100 % 5 == 0))
                (void)uhttp_sse_comment(c, strcmp(paths[i], "much") == 0 ? block : "tick");
        }
    }
}
C
"$cc" -O1 -Wall -I . -o "$dir/server" "$dir/server.c" >"$dir/log" 2>&1 || bail_out "the server builds"
"$dir/server" 198.51.100.1 5000 >"$dir/out" 2>&1 &
children+=($!)
await "$dir/out" '^port'
port=$(sed -n 's/^port //p' "$dir/out")

for path in held events much; do
    ip netns exec "$name" curl -q -sS -N --max-time 60 -o /dev/null "http://198.51.100.1:$port/$path" 2>/dev/null &
    children+=($!)
done
ip netns exec "$name" bash -c "exec 3<>/dev/tcp/198.51.100.1/$port
    printf 'GET /idle HTTP/1.1\r\nHost: a\r\n\r\n' >&3; sleep 60" &
children+=($!)
await "$dir/out" '^connections 4'
ok "four clients are there"
sleep 2
is "and stay" "" "$(grep gone "$dir/out")"
ip -n "$name" link set "c$$" down
SECONDS=0
await "$dir/out" '^connections 0' 2
ok "none keeps its slot"
[ $SECONDS -le 10 ]
ok "within five seconds and five ($SECONDS)"
is "the program is told of each" "gone: events
gone: held
gone: much" "$(grep gone "$dir/out" | sort)"
done_testing
