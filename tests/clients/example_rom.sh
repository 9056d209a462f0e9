#!/bin/bash
# examples/rom.c: files compiled in, and what a browser saves by their entity tags
. "$(dirname "$0")/../script.sh"

sh examples/rom_pack.sh examples/rom >"$dir/rom_files.h"
cmp -s "$dir/rom_files.h" examples/rom_files.h
ok "rom_files.h is what rom_pack.sh makes of examples/rom"

build rom
start rom 0

ask -o "$dir/page" "$url/"
cmp -s "$dir/page" examples/rom/index.html
ok "the page is served"
for name in app.js logo.png; do
    ask -o "$dir/file" "$url/$name"
    cmp -s "$dir/file" "examples/rom/$name"
    ok "$name arrives as it is"
done
is "with its type" "image/png" "$(ask -o "$dir/out" -w '%{content_type}' "$url/logo.png")"
is "and that of a script" "text/javascript; charset=utf-8" \
    "$(ask -o "$dir/out" -w '%{content_type}' "$url/app.js")"
ask --etag-save "$dir/etag" -o "$dir/out" "$url/logo.png"
is "a browser that has it hears so" "304 0" \
    "$(ask --etag-compare "$dir/etag" -o "$dir/out" -w '%{http_code} %{size_download}' "$url/logo.png")"
ask -r 10-19 -o "$dir/part" "$url/logo.png"
tail -c +11 examples/rom/logo.png | head -c 10 | cmp -s - "$dir/part"
ok "parts are served, too"
ask "$url/status" | grep -q '^{"uptime_s":[0-9]*}$'
ok "what the script asks for is JSON"
is "other names are not found" 404 "$(status "$url/none")"
is "nothing is written here" 405 "$(status -X PUT -d x "$url/app.js")"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
done_testing
