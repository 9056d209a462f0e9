#!/bin/sh
# Ten faults of mutation.py, always the same until their lines change; by hand it makes hundreds.
has() { command -v "$1" >/dev/null 2>&1; }
has python3 || { echo "1..0 # SKIP python3 is not installed"; exit 0; }
exec python3 "$(dirname "$0")/mutation.py" --count 10 --least 9 --seed "${SEED:-1}"
