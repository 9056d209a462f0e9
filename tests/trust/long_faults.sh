#!/bin/sh
# Two minutes of faults.sh: a sample with a seed. By hand, tests/trust/faults.sh injects them all.
exec "$(dirname "$0")/faults.sh" --sample 200 --tls-sample 60 --pairs 20 --seed "${SEED:-1}"
