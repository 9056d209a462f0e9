#!/bin/bash
# examples/api.c: create, read, update, delete, and what clients do wrong
. "$(dirname "$0")/../script.sh"

build api
start api 0
items=$url/api/items

# send METHOD URL JSON: the status; what it says goes to $dir/out, its head to $dir/head
send() {
    status -X "$1" -D "$dir/head" -H 'Content-Type: application/json; charset=utf-8' \
        --data-binary "$3" "$2"
}
# reply: status and text of the last answer that send() or status() asked for
reply() {
    echo "$1 $(cat "$dir/out")"
}
head_has() {
    tr -d '\r' <"$dir/head" | grep -qi "^$1\$"
}

is "at first there is nothing" '{"total":0,"items":[]}' "$(ask "$items")"
is "an item is created" '201 {"id":1,"name":"nail","quantity":100,"price":0.05}' \
    "$(reply "$(send POST "$items" '{"name":"nail","quantity":100,"price":0.05}')")"
head_has "Location: /api/items/1"
ok "and the answer says where it is"
head_has "Content-Type: application/json"
ok "and that it is JSON"
head_has "Access-Control-Allow-Origin: \*"
ok "and that any page may read it"
is "it is there" '200 {"id":1,"name":"nail","quantity":100,"price":0.05}' \
    "$(reply "$(status "$items/1")")"
is "a name may be in any script, and have quotes" \
    '201 {"id":2,"name":"<Schraube> \"Größe 5\" 🔩","quantity":0,"price":0}' \
    "$(reply "$(send POST "$items" \
        '{ "name" : "<Schraube> \"Gr\u00f6\u00dfe 5\" \ud83d\udd29", "more": [null] }')")"
is "an item is replaced" '200 {"id":1,"name":"long nail","quantity":7,"price":1.5}' \
    "$(reply "$(send PUT "$items/1" '{"name":"long nail","quantity":7,"price":15e-1}')")"
is "and stays so" '200 {"id":1,"name":"long nail","quantity":7,"price":1.5}' \
    "$(reply "$(status "$items/1")")"
for i in 3 4 5; do
    send POST "$items" "{\"name\":\"item $i\"}" >"$dir/status"
done
names() {
    ask "$items?$1" | grep -o '"name":"item [0-9]"' | grep -o '[0-9]' | tr '\n' ' '
}
is "a page of the list" "3 4 " "$(names "offset=2&limit=2")"
is "the last page is shorter" "5 " "$(names "offset=4&limit=2")"
is "behind it there is none" '{"total":5,"items":[]}' "$(ask "$items?offset=5")"
is "HEAD has the length of the list" \
    "$(ask "$items" | wc -c | tr -d ' ')" \
    "$(ask -I "$items" | tr -d '\r' | sed -n 's/^Content-Length: //p')"
is "an item is deleted" "204 " "$(reply "$(status -X DELETE "$items/4")")"
is "then it is no more" '404 {"error":"there is no such item"}' "$(reply "$(status "$items/4")")"
is "and the others are" "3 5 " "$(names "")"

for id in 0 6 99999999999999999999 1x -1 %31%32 1/2 x; do
    is "there is no item $id" 404 "$(status "$items/$id")"
done
is "an id may be escaped as anything" 200 "$(status "$items/%31")"
is "elsewhere there is nothing, and it says so in JSON" '404 {"error":"there is nothing here"}' \
    "$(reply "$(status "$url/api")")"
is "a slash more is another path" 404 "$(status "$items/")"

is "another method is not allowed" 405 "$(status -X PATCH -D "$dir/head" "$items/1")"
head_has "Allow: GET, HEAD, PUT, DELETE, OPTIONS"
ok "and those that are, are named"
is "nor is deleting the list" 405 "$(status -X DELETE -D "$dir/head" "$items")"
head_has "Allow: GET, HEAD, POST, OPTIONS"
ok "which has others"
is "a browser may ask first" 204 \
    "$(status -X OPTIONS -D "$dir/head" -H 'Origin: http://site.example' \
        -H 'Access-Control-Request-Method: PUT' "$items/1")"
head_has "Access-Control-Allow-Methods: .*PUT.*" && head_has "Access-Control-Allow-Headers: .*"
ok "and is answered"

while IFS='|' read -r json want; do
    is "$json is refused" "$want" "$(reply "$(send POST "$items" "$json")")"
done <<'TABLE'
|400 {"error":"not JSON from byte 0 on"}
{"name":"x",}|400 {"error":"not JSON from byte 12 on"}
{"name":"x"|400 {"error":"not JSON from byte 11 on"}
[]|422 {"error":"invalid","fields":{"name":"a text of 1 to 63 bytes"}}
{"name":""}|422 {"error":"invalid","fields":{"name":"a text of 1 to 63 bytes"}}
{"name":5}|422 {"error":"invalid","fields":{"name":"a text of 1 to 63 bytes"}}
{"name":"a\u0000b"}|422 {"error":"invalid","fields":{"name":"a text of 1 to 63 bytes"}}
{"name":"x","quantity":-1}|422 {"error":"invalid","fields":{"quantity":"an integer of 0 to 2147483647"}}
{"name":"x","quantity":2147483648}|422 {"error":"invalid","fields":{"quantity":"an integer of 0 to 2147483647"}}
{"name":"x","quantity":1.5}|422 {"error":"invalid","fields":{"quantity":"an integer of 0 to 2147483647"}}
{"name":"x","quantity":"1"}|422 {"error":"invalid","fields":{"quantity":"an integer of 0 to 2147483647"}}
{"name":"x","price":-0.5}|422 {"error":"invalid","fields":{"price":"a number that is not negative"}}
{"name":"x","price":1e999}|422 {"error":"invalid","fields":{"price":"a number that is not negative"}}
{"name":"","quantity":-1,"price":"1"}|422 {"error":"invalid","fields":{"name":"a text of 1 to 63 bytes","quantity":"an integer of 0 to 2147483647","price":"a number that is not negative"}}
TABLE
is "a name of 63 bytes is taken" 201 \
    "$(send POST "$items" "{\"name\":\"$(head -c 63 /dev/zero | tr '\0' n)\"}")"
is "one of 64 is not" 422 \
    "$(send POST "$items" "{\"name\":\"$(head -c 64 /dev/zero | tr '\0' n)\"}")"
is "another type of body is refused" 415 "$(status -d 'name=nail' "$items")"
is "as is a body too large" 413 "$(send POST "$items" "$(head -c 5000 /dev/zero | tr '\0' ' ')")"
for query in limit=101 limit=-1 limit=x limit= limit offset=1001 offset=99999999999999999999; do
    is "'?$query' is refused" 422 "$(status "$items?$query")"
done
status "$items?limit=x&offset=-1" >"$dir/status"
is "both are named" \
    '{"error":"invalid","fields":{"offset":"a number up to 1000","limit":"a number up to 100"}}' \
    "$(cat "$dir/out")"
is "nothing of that was stored" '"total":5' "$(ask "$items" | grep -o '"total":[0-9]*')"

at_once 8 -H 'Content-Type: application/json' -d '{"name":"many"}' -w '%{http_code}\n' \
    -o "$dir/out" "$items?[1-1000]" >"$dir/codes"
is "a full table takes no more" "995 201, 5 503" \
    "$(grep -c 201 "$dir/codes") 201, $(grep -c 503 "$dir/codes") 503"
is "a page has 100 items at most" 100 "$(ask "$items?limit=100" | grep -o '"id":' | wc -l | tr -d ' ')"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
is "without complaints" "" "$(cat "$dir/api.err")"
done_testing
