#!/bin/bash
# examples/metrics.c: the Prometheus text format
. "$(dirname "$0")/../script.sh"

build metrics
start metrics 0
is "metrics are plain text of version 0.0.4" "text/plain; version=0.0.4" \
    "$(ask -o "$dir/first" -w '%{content_type}' "$url/metrics")"
ask -o /dev/null "$url/elsewhere"
ask -o "$dir/second" "$url/metrics"
value() { sed -n "s/^$2 //p" "$dir/$1"; }
is "requests are counted" "$(($(value first uhttp_requests_total) + 2))" \
    "$(value second uhttp_requests_total)"
is "a gauge has its value" 21.5 "$(value second device_temperature_celsius)"
is "each metric has help, type and value" "$(grep -c '^# HELP' "$dir/second")" \
    "$(grep -c '^[a-z]' "$dir/second")"
is "another method is refused" 405 "$(status -X POST "$url/metrics")"
"$dir/metrics" no 2>/dev/null
is "what is not a port is refused" 2 $?
done_testing
