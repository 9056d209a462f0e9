#!/bin/bash
# examples/files.c: a directory over HTTP, as curl sees it
. "$(dirname "$0")/../script.sh"

site=$dir/site
mkdir -p "$site/sub/deep" "$site/idx"
head -c 3000000 /dev/urandom >"$site/big.bin"
echo '<p>index' >"$site/idx/index.html"
seq 20000 >"$site/app.js"
gzip -9 -k "$site/app.js"
echo strange >"$site/<b>&\"quoted\".txt"
echo hidden >"$site/.hidden"
echo secret >"$dir/secret"
ln -s ../secret "$site/link"
ln -s / "$site/all"
ln -s nowhere "$site/dangling"
touch -d '2020-01-02 03:04:05 UTC' "$site/app.js" "$site/big.bin"

build files
start files 0 "$site"

ask "$url/" >"$dir/listing"
grep -q '<td><a href="./big.bin">big.bin</a>' "$dir/listing" &&
    grep -q '<td><a href="./sub/">sub/</a>' "$dir/listing"
ok "a directory without index.html is listed"
changed=$(date -d '2020-01-02 03:04:05 UTC' '+%Y-%m-%d %H:%M')
grep -q ">big.bin</a><td>2.9 MiB<td>$changed\$" "$dir/listing" &&
    grep -q ">app.js</a><td>106.3 KiB<td>$changed\$" "$dir/listing" &&
    grep -q '>sub/</a><td><td>20' "$dir/listing"
ok "with sizes and dates, directories without a size"
is "directories first" "idx/ sub/ " \
    "$(sed -n 's/.*>\([a-z][a-z]*\/\)<.*/\1/p' "$dir/listing" | tr '\n' ' ')"
is "links are not listed, as they may lead out" "" "$(grep -Eo "dangling|>link<|>all/<" "$dir/listing")"
grep -q 'href="./%3Cb%3E%26%22quoted%22.txt">&lt;b&gt;&amp;&quot;quoted&quot;.txt</a>' "$dir/listing"
ok "names are escaped in text and link"
! grep -q hidden "$dir/listing"
ok "hidden ones are not listed"
is "nor served" 404 "$(status "$url/.hidden")"
is "a link of the listing works" "strange" "$(ask "$url/%3Cb%3E%26%22quoted%22.txt")"
is "index.html is served for its directory" "<p>index" "$(ask "$url/idx/")"
is "a missing slash is redirected, and the query kept" "301 $url/sub/?a=b" \
    "$(ask -o "$dir/out" -w '%{http_code} %{redirect_url}' "$url/sub?a=b")"
ask -L "$url/sub" | grep -q 'href="./deep/"'
ok "and followed"

ask -o "$dir/whole" "$url/big.bin"
cmp -s "$dir/whole" "$site/big.bin"
ok "3 MB arrive as they are"
ask -r 1000000-1000999 -o "$dir/part" -D "$dir/head" "$url/big.bin"
tail -c +1000001 "$site/big.bin" | head -c 1000 | cmp -s - "$dir/part" &&
    grep -q '^HTTP/1.1 206' "$dir/head" &&
    grep -q '^Content-Range: bytes 1000000-1000999/3000000' "$dir/head"
ok "a range is a range"
ask -r -500 -o "$dir/part" "$url/big.bin"
tail -c 500 "$site/big.bin" | cmp -s - "$dir/part"
ok "so is the end"
is "behind the end there is nothing" 416 "$(status -r 3000000- "$url/big.bin")"
head -c 1234567 "$site/big.bin" >"$dir/resumed"
ask -C - -o "$dir/resumed" "$url/big.bin"
cmp -s "$dir/resumed" "$site/big.bin"
ok "a download is resumed (-C -)"
ask -Z --parallel-immediate -r 0-999999 -o "$dir/p1" "$url/big.bin" \
    --next -q -sS -r 1000000- -o "$dir/p2" "$url/big.bin"
cat "$dir/p1" "$dir/p2" | cmp -s - "$site/big.bin"
ok "two halves make a whole"

ask --compressed -D "$dir/head" -o "$dir/out" "$url/app.js"
cmp -s "$dir/out" "$site/app.js" && grep -q '^Content-Encoding: gzip' "$dir/head" &&
    grep -q '^Vary: Accept-Encoding' "$dir/head"
ok "the .gz beside a file is sent to who wants it (--compressed)"
is "its length on the way is that of the .gz" "$(stat -c %s "$site/app.js.gz")" \
    "$(ask --compressed -o "$dir/out" -w '%{size_download}' "$url/app.js")"
ask -D "$dir/head" -o "$dir/out" "$url/app.js"
cmp -s "$dir/out" "$site/app.js" && ! grep -q '^Content-Encoding' "$dir/head" &&
    grep -q '^Vary: Accept-Encoding' "$dir/head"
ok "others get the file, and caches are told (Vary)"

is "unchanged since then: 304 (-z)" "304 0" \
    "$(ask -z 'Thu, 02 Jan 2020 03:04:05 GMT' -o "$dir/out" -w '%{http_code} %{size_download}' "$url/app.js")"
is "changed since then: 200" 200 "$(status -z 'Thu, 02 Jan 2020 03:04:04 GMT' "$url/app.js")"
ask --etag-save "$dir/etag" -o "$dir/out" "$url/big.bin"
is "the same entity tag: 304" 304 "$(status --etag-compare "$dir/etag" "$url/big.bin")"
echo more >>"$site/big.bin"
is "no longer the same: 200" 200 "$(status --etag-compare "$dir/etag" "$url/big.bin")"
is "HEAD tells the length and sends nothing" "3000005" \
    "$(ask -I "$url/big.bin" | tr -d '\r' | sed -n 's/^Content-Length: //p')"

for path in /../secret /%2e%2e/secret /..%2fsecret /sub/../../secret /link /all/etc/passwd /all/ \
        //etc/passwd /..%5csecret /big.bin/ /big.bin%20 /con /%c0%ae%c0%ae/secret; do
    is "$path leads nowhere" 404 "$(status --path-as-is "$url$path")"
done
is "other methods are not allowed" 405 "$(status -X DELETE "$url/big.bin")"

ask --limit-rate 1500k -o "$dir/slow" "$url/big.bin" &
slow=$!
is "others are served while one reads slowly" "<p>index" "$(ask "$url/idx/")"
wait $slow
cmp -s "$dir/slow" "$site/big.bin"
ok "who gets it all, too"
await "$dir/files.out" '"GET /big.bin" 200 3000005'
ok "the log counts the bytes"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
is "without complaints" "" "$(cat "$dir/files.err")"
"$dir/files" 0 "$dir/secret" >"$dir/out" 2>&1
is "what is no directory is refused" 1 $?
done_testing
