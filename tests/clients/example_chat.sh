#!/bin/bash
# examples/chat.c and the two small pages of WebSocket, with a client of a few lines
. "$(dirname "$0")/../script.sh"

python3 -c 'import socket, struct' 2>/dev/null || skip_all "there is no Python 3"
client() { # PORT ARGUMENT...
    timeout 30 python3 tests/clients/websocket_client.py "$@" 2>&1
}
build chat
build websocket
build websocket_events

start websocket 0
is "a page shows it" 200 "$(status "$url/")"
is "without a handshake it is not found" 404 "$(status "$url/ws")"
is "what is said comes back, and the end is said" "hello
grüße
1000 " "$(client "$port" /ws hello '<' ping grüße '<' close)"
is "a message of just the limit comes back" 65536 \
    "$(client "$port" /ws "$(printf %065536d 0)" '<' | tr -d '\n' | wc -c | tr -d ' ')"
is "a longer one is refused with its reason" "1009 message exceeds max_ws_message_length" \
    "$(client "$port" /ws "$(printf %065537d 0)" '<close')"
is "other paths are not found" "HTTP/1.1 404 Not Found" "$(client "$port" /other)"
ask -o "$dir/out" -D "$dir/head" -H 'Upgrade: websocket' -H 'Connection: Upgrade' \
    -H 'Sec-WebSocket-Version: 12' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' "$url/ws"
is "another version gets 426 and is told which" "HTTP/1.1 426 Upgrade Required
Sec-WebSocket-Version: 13" "$(tr -d '\r' <"$dir/head" | grep -e ^HTTP -e Version)"
ask -o "$dir/out" -D "$dir/head" -H 'Upgrade: websocket' -H 'Connection: Upgrade' \
    -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
    -H 'Origin: http://evil.example' "$url/ws"
is "a page of another site gets 403" "HTTP/1.1 403 Forbidden" "$(head -n 1 "$dir/head" | tr -d '\r')"
end TERM "$started"

start websocket_events 0
is "short messages come whole, longer ones in parts" "5 bytes in 1 part
4096 bytes in 1 part
4097 bytes in 2 parts
100000 bytes in 25 parts
1000 " "$(client "$port" /ws hello '<' "$(printf %04096d 0)" '<' "$(printf %04097d 0)" '<' \
              "$(printf %0100000d 0)" '<' close)"
is "it says so when one has ended" "closed: 1000 " "$(grep closed "$dir/websocket_events.out" |
    tail -n 1)"
end TERM "$started"

start chat 0
client "$port" /ws '{"name":"Ann"}' '<' '<' '<' '<' '<close' >"$dir/ann" &
children+=($!)
for _ in $(seq 50); do
    [ -s "$dir/ann" ] && break
    sleep 0.1
done
is "a second person hears who is there and what both say" '{"people":["Ann","Bob"]}
{"from":"Bob","text":"hello \"all\" <b>"}
1000 ' "$(client "$port" /ws '{"name":"Bob"}' '<' '{"text":"hello \"all\" <b>"}' '<' close)"
is "a name is taken once" '{"error":"this name is taken"}
1000 ' "$(client "$port" /ws '{"name":"Ann"}' '<' '<close')"
is "without a name nobody is heard" "1008 a name, please, of up to 40 bytes" \
    "$(client "$port" /ws '{"text":"x"}' '<close')"
is "what is not JSON ends it" "1003 JSON only" "$(client "$port" /ws 'nonsense' '<close')"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
for _ in $(seq 50); do
    grep -q '^1001' "$dir/ann" && break
    sleep 0.1
done
is "the first person has heard all of it, and that the server goes away" '{"people":["Ann"]}
{"people":["Ann","Bob"]}
{"from":"Bob","text":"hello \"all\" <b>"}
{"people":["Ann"]}
1001 ' "$(cat "$dir/ann")"
done_testing
