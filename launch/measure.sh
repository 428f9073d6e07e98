#!/usr/bin/env bash
# The figures of docs/performance.md on this machine, in fifteen minutes at most:
#     launch/measure.sh OUT [RECORDS]
# OUT gets a table and a JSON file of each benchmark, beside PyTorch where it is installed
# (PEERS=none leaves it out), and what went wrong. RECORDS, a record set, is for the input
# pipeline. The first line asks whether this device computes what a CPU does.
set -uo pipefail

out=${1:?usage: launch/measure.sh OUT [RECORDS]}
records=${2:-}
peers=${PEERS:-all}
mkdir -p "$out"

# Seconds, name, command.
measure() {
  local limit=$1 name=$2
  shift 2
  if timeout "$limit" "$@" >"$out/$name.txt" 2>&1; then
    echo "$name: $out/$name.txt"
  else
    echo "$name: ended with $?, see $out/$name.txt"
  fi
}
bench() {
  local limit=$1 name=$2
  shift 2
  measure "$limit" "$name" twohand benchmark "$@" --out "$out/$name.json"
}

JAX_PLATFORMS="" measure 90 agreement python -m pytest -q -p no:cacheprovider \
  tests/mano/test_forward.py tests/models tests/collision -m "not slow"
bench 230 train train --config paper --batch 64 --dtypes bfloat16 --peers "$peers"
bench 60 train_float32 train --config paper --batch 32 --dtypes float32 --peers none
bench 90 refine refine --seconds 8 --peers "$peers"
bench 90 evaluate evaluate --seconds 8 --peers "$peers"
bench 60 mano mano --seconds 4 --peers "$peers"
bench 40 nearest nearest --peers "$peers"
bench 90 sapiens cues --size 1b --batch 8 --peers "$peers"
bench 90 hamer hamer --batches 1 4 64 --peers "$peers"
if [ -n "$records" ]; then
  bench 50 input input --dataset "$records"
fi
