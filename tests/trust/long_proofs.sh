#!/bin/sh
# The proofs that decide framing; by hand: tests/trust/proofs.sh.
exec "$(dirname "$0")/proofs.sh"
