#!/bin/sh
# What the README shows is what the examples are: every C snippet stands, line for line, in a file
# under examples/, and the command it begins with works in an empty folder. Prints TAP lines.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
count=0
failed=0

report() { # STATUS NAME
    count=$((count + 1))
    if [ "$1" = 0 ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
        failed=1
    fi
}

# Without indentation and blank lines, and with the header's path as a user would write it.
plain() { sed -e 's/^[[:space:]]*//' -e '/^$/d' -e 's|"\.\./uhttp_server\.h"|"uhttp_server.h"|' "$@"; }

# contains FILE SNIPPET: do the snippet's lines stand in the file, one after the other?
contains() {
    awk 'NR == FNR { want[++n] = $0; next }
         { have[++m] = $0 }
         END {
             for (i = 1; i + n - 1 <= m; i++) {
                 for (j = 1; j <= n && have[i + j - 1] == want[j]; j++) { }
                 if (j > n) exit 0
             }
             exit 1
         }' "$2" "$1"
}

awk -v dir="$tmp" '/^```c$/ { n++; inside = 1; next } /^```$/ { inside = 0 }
                   inside { print > (dir "/snippet" n) }' "$root/README.md"
for snippet in "$tmp"/snippet*; do
    plain "$snippet" >"$snippet.plain"
    found=1
    for example in "$root"/examples/*.c "$root"/examples/*/*.c; do
        plain "$example" >"$tmp/example"
        if [ -s "$snippet.plain" ] && contains "$tmp/example" "$snippet.plain"; then
            found=0
        fi
    done
    report "$found" "README snippet stands in an example: $(head -n 1 "$snippet.plain")"
done

# Every link into the project leads somewhere: to a file, or to a headline of this page.
grep -o '](\(examples/\|tests/\|uhttp_server\)[^)]*)' "$root/README.md" | tr -d '])(' | sort -u |
    while read -r file; do
        [ -e "$root/$file" ] || echo "$file"
    done >"$tmp/missing"
sed -n 's/^##* //p' "$root/README.md" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9\n-' >"$tmp/headlines"
grep -o '](#[^)]*)' "$root/README.md" | tr -d '])(#' | sort -u |
    grep -v -x -F -f "$tmp/headlines" >>"$tmp/missing"
sed 's/^/# leads nowhere: /' "$tmp/missing"
[ ! -s "$tmp/missing" ]
report $? "the README's links lead to files and headlines"
for example in "$root"/examples/*.c; do
    name=$(basename "$example")
    [ "$name" = first.c ] || grep -q "(examples/$name)" "$root/README.md" || echo "$name"
done >"$tmp/missing"
sed 's/^/# not named: /' "$tmp/missing"
[ ! -s "$tmp/missing" ]
report $? "the README names every example"

# The API at a glance is all of it, and nothing else.
sed -n '/^UHTTP_API/,/[;{]/p' "$root/uhttp_server.h" | grep -o 'uhttp_[a-z0-9_]*(' | tr -d '(' |
    sort -u >"$tmp/declared"
sed -n '/^## API at a glance/,/^## Recipes/p' "$root/README.md" | grep -o '`uhttp_[a-z0-9_]*`' |
    tr -d '`' | sort >"$tmp/listed"
[ "$(wc -l <"$tmp/declared")" -gt 150 ] && sort -u "$tmp/listed" | cmp -s - "$tmp/declared" &&
    [ -z "$(uniq -d "$tmp/listed")" ]
report $? "the API at a glance names every public function, once"
sort -u "$tmp/listed" | diff - "$tmp/declared" | grep '^[<>]' | sed 's/^/# /'
[ "$(wc -l <"$root/README.md")" -lt 600 ]
report $? "the README has less than 600 lines"

# What is named in prose exists in code: in the README, and in the header's own comments.
awk -v code="$tmp/code" -v prose="$tmp/prose" '
    { line = $0; text = "" }
    inside { end = index(line, "*/"); if (!end) { print line >prose; next }
             print substr(line, 1, end) >prose; line = substr(line, end + 2); inside = 0 }
    { while ((at = index(line, "/*")) > 0) {
          text = text substr(line, 1, at - 1); line = substr(line, at + 2)
          end = index(line, "*/")
          if (!end) { print line >prose; inside = 1; line = ""; break }
          print substr(line, 1, end) >prose; line = substr(line, end + 2)
      }
      print text line >code }' "$root/uhttp_server.h"
words() { grep -o '\(uhttp\|UHTTP\)_[a-zA-Z0-9_]*[a-zA-Z0-9]' "$@" | sort -u; }
words "$tmp/code" >"$tmp/real"
{ words "$tmp/prose"; words "$root/README.md"; } | sort -u | grep -v -x -F -f "$tmp/real" |
    while read -r word; do      # the beginning of several names, as in uhttp_json_*
        grep -q "^${word}_" "$tmp/real" || echo "$word"
    done >"$tmp/missing"
sed 's/^/# does not exist: /' "$tmp/missing"
[ "$(wc -l <"$tmp/real")" -gt 300 ] && [ ! -s "$tmp/missing" ]
report $? "every name in the README and in the header's comments exists"

# The table of limits says what the header does with a configuration of zeros.
cat >"$tmp/defaults.c" <<'PROGRAM'
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"
#include <stdio.h>

static void put(const char *name, unsigned long number, unsigned long unit, const char *unit_name)
{
    printf("%s %lu%s\n", name, number / unit, unit_name);
}

int main(void)
{
    uhttp_config c;
    uint32_t times[UH_TIMES];
    memset(&c, 0, sizeof c);
    uh_config_complete(&c);
    uh_times_complete(times, &c);
    put("max_connections", c.max_connections, 1, "");
    put("max_headers_length", c.max_headers_length, 1024, " KiB");
    put("max_content_length", c.max_content_length, 1024, " KiB");
    put("max_send_buffer", c.max_send_buffer, 1024, " KiB");
    put("max_ws_message_length", c.max_ws_message_length, 1024, " KiB");
    put("file_chunk_size", c.file_chunk_size, 1024, " KiB");
    put("keep_alive_max_requests", c.keep_alive_max_requests, 1, "");
    put("keep_alive_timeout_ms", times[UH_TIME_IDLE], 1000, " s");
    put("request_timeout_ms", times[UH_TIME_REQUEST], 1000, " s");
    put("body_timeout_ms", times[UH_TIME_BODY], 1000, " s");
    put("send_timeout_ms", times[UH_TIME_SEND], 1000, " s");
    put("dead_peer_timeout_ms", c.dead_peer_timeout_ms, 1000, " s");
    put("ws_ping_interval_ms", times[UH_TIME_WEBSOCKET], 1000, " s");
    printf("response_timeout_ms%s\n", times[UH_TIME_RESPONSE] == UHTTP_NEVER ? " never" : "");
    return 0;
}
PROGRAM
"${CC:-cc}" -I "$root" -o "$tmp/defaults" "$tmp/defaults.c" && "$tmp/defaults" >"$tmp/told"
[ "$(wc -l <"$tmp/told")" -eq 14 ] && while read -r name value; do
    grep -q "^| \`$name\` | $value\( \|;\)" "$root/README.md" || echo "# $name: $value"
done <"$tmp/told" >"$tmp/wrong"
cat "$tmp/wrong"
[ -f "$tmp/wrong" ] && [ ! -s "$tmp/wrong" ]
report $? "the README's limits are the header's defaults"

# Its table of statuses has every one that the server refuses with, and no other.
grep -v '^ \*' "$tmp/code" | grep -o '\(refuse\|REFUSE\|fail\|fails\)([^,]*, [45][0-9][0-9]\b' |
    grep -o '[0-9]*$' | sort -u >"$tmp/sent"
sed -n '/^## Statuses/,/^## /s/^| \([0-9, ]*\) |.*/\1/p' "$root/README.md" | tr -cs '0-9' '\n' |
    sort -u >"$tmp/tabled"
grep -v -x -F -f "$tmp/tabled" "$tmp/sent" | sed 's/^/# not in the table: /' >"$tmp/wrong"
while read -r status; do
    [ -z "$status" ] || grep -q "\b$status\b" "$tmp/code" || echo "# never sent: $status"
done <"$tmp/tabled" >>"$tmp/wrong"
cat "$tmp/wrong"
[ "$(wc -l <"$tmp/sent")" -gt 9 ] && [ ! -s "$tmp/wrong" ]
report $? "the README's statuses are those the server sends"

# The header's contents name every section that there is, and about how long it is.
awk '/^ \*     [0-9][0-9] [A-Z]/ { told[$2] = $NF; next }
     /^ \* [0-9][0-9] [A-Z]/ && bar { at = $2; told[at] += 0 }
     { bar = /^\/\*==/; lines[at]++ }
     END {
         delete lines[""]; delete lines["00"]; delete told["00"]
         for (at in told) {
             off = told[at] - lines[at]
             if (off < 0) off = -off
             if (!lines[at] || off > 150 + lines[at] / 10) {
                 printf "# section %s: %d lines, the contents say %d\n", at, lines[at], told[at]
                 bad = 1
             }
             n++
         }
         exit bad || n < 15
     }' "$root/uhttp_server.h"
report $? "the header's contents say how long each section is"

mkdir -p "$tmp/new/examples"
cp "$root/uhttp_server.h" "$tmp/new/"
cp "$root/examples/hello.c" "$tmp/new/examples/"
command=$(sed -n 's/^\(cc .*hello\.c\) && .*/\1/p' "$root/README.md" | head -n 1)
(cd "$tmp/new" && eval "$command") && [ -x "$tmp/new/hello" ]
report $? "the first command works in an empty folder: $command"
"$tmp/new/hello" abc 2>/dev/null
[ $? = 2 ]
report $? "hello explains its arguments"
echo "1..$count"
exit $failed
