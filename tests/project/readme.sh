#!/usr/bin/env bash
# What the README shows is what the examples are: every C snippet stands, line for line, in a file
# under examples/, and the command it begins with works in an empty folder. Prints TAP lines.
. "$(dirname "$0")/../script.sh"

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

awk -v dir="$dir" '/^```c$/ { n++; inside = 1; next } /^```$/ { inside = 0 }
                   inside { print > (dir "/snippet" n) }' "$root/README.md"
for snippet in "$dir"/snippet*; do
    plain "$snippet" >"$snippet.plain"
    found=1
    for example in "$root"/examples/*.c "$root"/examples/*/*.c; do
        plain "$example" >"$dir/example"
        if [ -s "$snippet.plain" ] && contains "$dir/example" "$snippet.plain"; then
            found=0
        fi
    done
    [ $found = 0 ]
    ok "README snippet stands in an example: $(head -n 1 "$snippet.plain")"
done

# Every link into the project leads somewhere: to a file, or to a headline of this page.
grep -o '](\(examples/\|tests/\|uhttp_server\)[^)]*)' "$root/README.md" | tr -d '])(' | sort -u |
    while read -r file; do
        [ -e "$root/$file" ] || echo "$file"
    done >"$dir/missing"
sed -n 's/^##* //p' "$root/README.md" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9\n-' >"$dir/headlines"
grep -o '](#[^)]*)' "$root/README.md" | tr -d '])(#' | sort -u |
    grep -v -x -F -f "$dir/headlines" >>"$dir/missing"
sed 's/^/# leads nowhere: /' "$dir/missing"
[ ! -s "$dir/missing" ]
ok "the README's links lead to files and headlines"
for example in "$root"/examples/*.c; do
    name=$(basename "$example")
    [ "$name" = first.c ] || grep -q "(examples/$name)" "$root/README.md" || echo "$name"
done >"$dir/missing"
sed 's/^/# not named: /' "$dir/missing"
[ ! -s "$dir/missing" ]
ok "the README names every example"

# The API at a glance is all of it, and nothing else.
sed -n '/^UHTTP_API/,/[;{]/p' "$root/uhttp_server.h" | grep -o 'uhttp_[a-z0-9_]*(' | tr -d '(' |
    sort -u >"$dir/declared"
sed -n '/^## API at a glance/,/^## Recipes/p' "$root/README.md" | grep -o '`uhttp_[a-z0-9_]*`' |
    tr -d '`' | sort >"$dir/listed"
[ "$(wc -l <"$dir/declared")" -gt 150 ] && sort -u "$dir/listed" | cmp -s - "$dir/declared" &&
    [ -z "$(uniq -d "$dir/listed")" ]
ok "the API at a glance names every public function, once"
sort -u "$dir/listed" | diff - "$dir/declared" | grep '^[<>]' | sed 's/^/# /'
[ "$(wc -l <"$root/README.md")" -lt 600 ]
ok "the README has less than 600 lines"
if command -v python3 >/dev/null; then
    "$root/tests/trust/table.py" --check >"$dir/table"
    ok "SECURITY.md has the table of what was counted as tests/trust/table.py writes it"
    sed -n '/^not/s/^/# /p' "$dir/table"
    "$root/tests/bench/peers.py" --check >"$dir/table"
    ok "the README's rows of the benchmark are those of tests/bench/peers.md"
fi

# What is named in prose exists in code: in the README, and in the header's own comments.
awk -v code="$dir/code" -v prose="$dir/prose" '
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
words "$dir/code" >"$dir/real"
{ words "$dir/prose"; words "$root/README.md"; } | sort -u | grep -v -x -F -f "$dir/real" |
    while read -r word; do      # the beginning of several names, as in uhttp_json_*
        grep -q "^${word}_" "$dir/real" || echo "$word"
    done >"$dir/missing"
sed 's/^/# does not exist: /' "$dir/missing"
[ "$(wc -l <"$dir/real")" -gt 300 ] && [ ! -s "$dir/missing" ]
ok "every name in the README and in the header's comments exists"

# The table of limits says what the header does with a configuration of zeros.
cat >"$dir/defaults.c" <<'PROGRAM'
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
"$cc" -I "$root" -o "$dir/defaults" "$dir/defaults.c" && "$dir/defaults" >"$dir/told"
[ "$(wc -l <"$dir/told")" -eq 14 ] && while read -r name value; do
    grep -q "^| \`$name\` | $value\( \|;\)" "$root/README.md" || echo "# $name: $value"
done <"$dir/told" >"$dir/wrong"
cat "$dir/wrong"
[ -f "$dir/wrong" ] && [ ! -s "$dir/wrong" ]
ok "the README's limits are the header's defaults"

# Its table of statuses has every one that the server refuses with, and no other.
grep -v '^ \*' "$dir/code" | grep -o '\(refuse\|REFUSE\|fail\|fails\)([^,]*, [45][0-9][0-9]\b' |
    grep -o '[0-9]*$' | sort -u >"$dir/sent"
sed -n '/^## Statuses/,/^## /s/^| \([0-9, ]*\) |.*/\1/p' "$root/README.md" | tr -cs '0-9' '\n' |
    sort -u >"$dir/tabled"
grep -v -x -F -f "$dir/tabled" "$dir/sent" | sed 's/^/# not in the table: /' >"$dir/wrong"
while read -r status; do
    [ -z "$status" ] || grep -q "\b$status\b" "$dir/code" || echo "# never sent: $status"
done <"$dir/tabled" >>"$dir/wrong"
cat "$dir/wrong"
[ "$(wc -l <"$dir/sent")" -gt 9 ] && [ ! -s "$dir/wrong" ]
ok "the README's statuses are those the server sends"

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
ok "the header's contents say how long each section is"

mkdir -p "$dir/new/examples"
cp "$root/uhttp_server.h" "$dir/new/"
cp "$root/examples/hello.c" "$dir/new/examples/"
command=$(sed -n 's/^\(cc .*hello\.c\) && .*/\1/p' "$root/README.md" | head -n 1)
(cd "$dir/new" && eval "$command") && [ -x "$dir/new/hello" ]
ok "the first command works in an empty folder: $command"
"$dir/new/hello" abc 2>/dev/null
[ $? = 2 ]
ok "hello explains its arguments"
done_testing
