#!/bin/bash
# examples/camera.c: pictures, one after the other, and viewers that do not keep up
. "$(dirname "$0")/../script.sh"

build camera
start camera 0

# bytes FILE FROM COUNT: as hexadecimal digits
bytes() {
    od -A n -v -t x1 -j "$2" -N "$3" "$1" | tr -d ' \n'
}

# frames FILE: the numbers of the frames in it
frames() {
    grep -a '^X-Frame: ' "$1" | tr -d '\r' | sed 's/.*: //'
}

is "the page is there" 200 "$(status "$url/")"
is "a single picture is a JPEG" "200 image/jpeg" \
    "$(ask -o "$dir/one" -w '%{http_code} %{content_type}' "$url/frame.jpg")"
size=$(wc -c <"$dir/one")
is "from its begin to its end" "ffd8 ffd9" "$(bytes "$dir/one" 0 2) $(bytes "$dir/one" $((size - 2)) 2)"

ask --max-time 1.5 -D "$dir/heads" -o "$dir/stream" "$url/stream"
boundary=$(tr -d '\r' <"$dir/heads" | sed -n 's/^Content-Type: multipart\/x-mixed-replace; boundary=//p')
[ -n "$boundary" ]
ok "the stream has a boundary"
is "and begins with it" "--$boundary" "$(head -n 1 "$dir/stream" | tr -d '\r')"
[ "$(frames "$dir/stream" | wc -l)" -ge 8 ] && frames "$dir/stream" | sort -n -c -u
ok "frames come ten times a second, their numbers rise"
# the first part: its lines, the empty one, and as many bytes of JPEG as it says
head_bytes=$(awk '{ n += length($0) + 1 } /^\r$/ { print n; exit }' "$dir/stream")
length=$(sed -n 's/^Content-Length: \([0-9]*\)\r$/\1/p' "$dir/stream" | head -n 1)
is "a frame is as long as it says" "ffd8 ffd90d0a2d2d" \
    "$(bytes "$dir/stream" "$head_bytes" 2) $(bytes "$dir/stream" $((head_bytes + length - 2)) 6)"

curl -q -sS --limit-rate 2k --max-time 3 -o "$dir/slow" "$url/stream" 2>"$dir/err" &
slow=$!
exec 8<>"/dev/tcp/127.0.0.1/$port"          # and one that does not read at all
printf 'GET /stream HTTP/1.1\r\nHost: a\r\n\r\n' >&8
ask --max-time 2 -o "$dir/fast" "$url/stream"
[ "$(frames "$dir/fast" | wc -l)" -ge 12 ]
ok "slow viewers hold nobody up"
wait $slow
is "HEAD gets a head and no stream, and the connection lives on" "200 1 200 0 " \
    "$(ask -I --max-time 2 -o "$dir/out" -o "$dir/out" -w '%{http_code} %{num_connects} ' \
       "$url/stream" "$url/stream")"

ask --max-time 5 -o "$dir/last" "$url/stream" &
last=$!
sleep 0.3
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
wait $last
is "a stream ends in order" 0 $?
is "with the last boundary" "--$boundary--" \
    "$(tail -n 1 "$dir/last" | tr -d '\r' | sed "s/^--uhttp-[0-9]*--\$/--$boundary--/")"
done_testing
