#!/bin/bash
# examples/put.c: files by curl -T
. "$(dirname "$0")/../script.sh"

files=$dir/files
mkdir "$files"
build put
start put 0 "$files"

head -c 5000000 /dev/urandom >"$dir/large.bin"
printf 'one\r\ntwo' >"$dir/small.txt"
: >"$dir/empty"

# a body may come with its head or behind it, with a length or in chunks
for name in large.bin small.txt empty; do
    size=$(wc -c <"$dir/$name" | tr -d ' ')
    is "curl -T $name" "saved $name, $size bytes 201" \
        "$(ask -w ' %{http_code}' -T "$dir/$name" "$url/" | tr -d '\n')"
    cmp -s "$dir/$name" "$files/$name"
    ok "it is what was sent"
    rm "$files/$name"
    is "$name without waiting for 100 Continue" 201 \
        "$(status -H 'Expect:' -T "$dir/$name" "$url/")"
    cmp -s "$dir/$name" "$files/$name"
    ok "it is what was sent"
    ask "$url/$name" | cmp -s - "$dir/$name"
    ok "and is given back"
    is "$name in chunks" 201 "$(ask -o "$dir/out" -w '%{http_code}' -H 'Transfer-Encoding: chunked' \
        -T - "$url/chunked-$name" <"$dir/$name")"
    cmp -s "$dir/$name" "$files/chunked-$name"
    ok "it is what was sent"
done
is "without a body it is an empty file" 201 "$(status -X PUT "$url/none")"
[ -f "$files/none" ] && [ ! -s "$files/none" ]
ok "it is there, and empty"
is "a name is replaced" 201 "$(status -T "$dir/small.txt" "$url/large.bin")"
cmp -s "$dir/small.txt" "$files/large.bin"
ok "by what was sent"
is "a name beyond ASCII" 201 "$(status -T "$dir/small.txt" "$url/%C3%A9t%C3%A9%20%25.txt")"
[ -f "$files/été %.txt" ]
ok "is the file's name"

# --- refusals -------------------------------------------------------------------------------

before=$(ls -A "$files" | wc -l)
for name in ../outside %2e%2e/outside a/b .hidden 'a%5Cb' 'c:x' CON.txt 'HTPASS~1' 'end.' '%0A'; do
    is "no name for a file: $name" 403 \
        "$(status --path-as-is -T "$dir/small.txt" "$url/$name")"
done
is "no name at all" 403 "$(status -X PUT --data-binary x "$url/")"
[ ! -e "$dir/outside" ] && [ "$(ls -A "$files" | wc -l)" -eq "$before" ]
ok "nothing was written"
is "another method: 405" 405 "$(status -X DELETE "$url/small.txt")"
is "a name that is not there: 404" 404 "$(status "$url/other")"
is "more than it may be: 413" 413 \
    "$(status -H 'Content-Length: 2000000000' -X PUT --data-binary x "$url/too-large")"

# --- uploads that break off -------------------------------------------------------------------

exec 8<>"/dev/tcp/127.0.0.1/$port"
{ printf 'PUT /broken HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n'
  head -c 500000 /dev/zero; } >&8
for _ in $(seq 100); do
    [ "$(ls -A "$files" | grep -c '^\.upload-')" = 1 ] && break
    sleep 0.05
done
is "a file that is coming has another name" 1 "$(ls -A "$files" | grep -c '^\.upload-')"
is "which nobody may read" 404 "$(status "$url/$(ls -A "$files" | grep '^\.upload-')")"
is "others are served meanwhile" 201 "$(status -T "$dir/small.txt" "$url/meanwhile")"
exec 8>&-
for _ in $(seq 100); do
    [ "$(ls -A "$files" | grep -c '^\.upload-')" = 0 ] && break
    sleep 0.05
done
is "when it breaks off nothing is left" 0 "$(ls -A "$files" | grep -c '^\.upload-')"
[ ! -e "$files/broken" ]
ok "and no file has its name"

end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
is "no directory: it says so" "$dir/nowhere is not a directory" "$("$dir/put" 0 "$dir/nowhere" 2>&1)"
for port in x '' -1 70000 80x; do
    "$dir/put" "$port" "$files" >"$dir/out" 2>&1
    is "a port that is none is refused: '$port'" 2 $?
done
done_testing
