#!/bin/bash
# examples/upload.c: forms with files, by curl
. "$(dirname "$0")/../script.sh"

files=$dir/files
mkdir "$files"
build upload
start upload 0 "$files" 4

head -c 3000000 /dev/urandom >"$dir/large.bin"
printf 'one\r\n--\r\ntwo' >"$dir/small.txt"
: >"$dir/empty"

is "the page has a form" "1" "$(ask "$url/" | grep -c 'enctype=multipart/form-data')"
is "a file is taken" '{"files":[{"name":"large.bin","bytes":3000000}]} 200' \
    "$(ask -w ' %{http_code}' -F "file=@$dir/large.bin" "$url/upload")"
cmp -s "$dir/large.bin" "$files/large.bin"
ok "and is what was sent"
is "the same name once more gets another" '{"files":[{"name":"2-large.bin","bytes":3000000}]}' \
    "$(ask -F "file=@$dir/large.bin" "$url/upload")"
is "several files and a field in one form" \
    '[{"name":"small.txt","bytes":12},{"name":"empty","bytes":0},{"name":"3-large.bin","bytes":3000000}]' \
    "$(ask -F note=hello -F "file=@$dir/small.txt" -F "file=@$dir/empty" \
        -F "file=@$dir/large.bin" "$url/upload" | sed 's/^{"files":\(.*\)}$/\1/')"
cmp -s "$dir/small.txt" "$files/small.txt" && [ -f "$files/empty" ] &&
    cmp -s "$dir/large.bin" "$files/3-large.bin"
ok "all of them are what was sent"
is "chunked, as a stream" '{"files":[{"name":"4-large.bin","bytes":3000000}]}' \
    "$(ask -H 'Transfer-Encoding: chunked' -H 'Expect:' -F "file=@$dir/large.bin" "$url/upload")"
is "no file was chosen" '{"files":[]}' \
    "$(ask -F 'file=;filename=' "$url/upload")"

before=$(ls "$files" | wc -l)
is "a name with a way out of the directory" '{"files":[{"name":"passwd","bytes":12}]}' \
    "$(ask -F "file=@$dir/small.txt;filename=../../etc/passwd" "$url/upload")"
is "and one of Windows" '{"files":[{"name":"_con.txt","bytes":12}]}' \
    "$(ask -F "file=@$dir/small.txt;filename=C:\\dir\\con.txt" "$url/upload")"
is "and a hidden one" '{"files":[{"name":"profile","bytes":12}]}' \
    "$(ask -F "file=@$dir/small.txt;filename=.profile" "$url/upload")"
is "they stand in the directory and nowhere else" "$((before + 3))" "$(ls "$files" | wc -l)"

# --- refusals -------------------------------------------------------------------------------

head -c 5000000 /dev/zero >"$dir/too_large"
: >"$dir/trace"
is "too large: 413" 413 "$(status -H 'Expect: 100-continue' --trace-ascii "$dir/trace" \
    -F "file=@$dir/too_large" "$url/upload")"
is "and nothing of it was sent" 0 "$(grep -c '^=> Send data' "$dir/trace")"
is "too large, without waiting: 413 arrives" 413 \
    "$(status -H 'Expect:' -F "file=@$dir/too_large" "$url/upload")"
is "too large, chunked: 413 as soon as that is known" 413 \
    "$(status -H 'Expect:' -H 'Transfer-Encoding: chunked' -F "file=@$dir/too_large" "$url/upload")"
is "no form: 415" 415 "$(status --data-binary "@$dir/small.txt" "$url/upload")"
is "a form that is cut short: 400" 400 "$(printf -- \
    '--b\r\nContent-Disposition: form-data; name=a; filename=cut\r\n\r\nx' |
    status -H 'Content-Type: multipart/form-data; boundary=b' --data-binary @- "$url/upload")"
is "and it says why" "form without its last delimiter" "$(cat "$dir/out")"
is "a malformed form, that is large: 400" 400 "$({
    printf -- '--b\r\nbad\r\n\r\n'; head -c 200000 /dev/zero; } |
    status -H 'Content-Type: multipart/form-data; boundary=b' --data-binary @- "$url/upload")"
is "no such path: 404" 404 "$(status "$url/other")"

# --- uploads that break off -------------------------------------------------------------------

exec 8<>"/dev/tcp/127.0.0.1/$port"
{ printf 'POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n'
  printf 'Content-Type: multipart/form-data; boundary=b\r\n\r\n'
  printf -- '--b\r\nContent-Disposition: form-data; name=a; filename=broken\r\n\r\n'
  head -c 500000 /dev/zero; } >&8
for _ in $(seq 100); do
    [ -s "$files/broken.part" ] && break
    sleep 0.05
done
[ -s "$files/broken.part" ]
ok "a file that is coming has another name"
is "others are served meanwhile" '{"files":[{"name":"meanwhile","bytes":12}]}' \
    "$(ask -F "file=@$dir/small.txt;filename=meanwhile" "$url/upload")"
exec 8>&-
for _ in $(seq 100); do
    [ -e "$files/broken.part" ] || break
    sleep 0.05
done
is "who breaks off leaves nothing behind" "" "$(ls "$files" | grep broken)"
is "nor does anybody else" "" "$(ls "$files" | grep '[.]part\|too_large\|cut')"

end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?

is "a directory that is not there is said at once" "$dir/not there is not a directory" \
    "$(timeout 10 "$dir/upload" 0 "$dir/not there" 2>&1)"
is "with status 1" 1 "$(timeout 10 "$dir/upload" 0 "$dir/not there" 2>/dev/null; echo $?)"
mkdir "$dir/not there"
start upload 0 "$dir/not there"
rmdir "$dir/not there"
is "one that has gone: 500" 500 "$(status -F "file=@$dir/small.txt" "$url/upload")"
is "and again, when the form is large" 500 "$(status -F "file=@$dir/large.bin" "$url/upload")"
end TERM "$started"
"$dir/upload" >"$dir/out" 2>"$dir/err"
is "it explains its arguments" 2 $?
done_testing
