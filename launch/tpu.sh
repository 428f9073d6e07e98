#!/usr/bin/env bash
# Training on a slice of TPUs: ask for it, wait until there is one, install, train.
#     launch/tpu.sh NAME ZONE v6e-16 paper gs://BUCKET/paper
# The same line goes on where a slice that was taken away has stopped.
set -euo pipefail

usage="usage: launch/tpu.sh NAME ZONE ACCELERATOR CONFIG WORKDIR"
name=${1:?$usage} zone=${2:?$usage} accelerator=${3:?$usage}
config=${4:?$usage} workdir=${5:?$usage}
case $accelerator in
  v6e-*) runtime=v2-alpha-tpuv6e ;;
  v5litepod-*) runtime=v2-alpha-tpuv5-lite ;;
  v5p-*) runtime=v2-alpha-tpuv5 ;;
  *) echo "$accelerator is no v5litepod, v5p or v6e slice." >&2; exit 2 ;;
esac

tpu() { gcloud compute tpus "$@" --zone "$zone"; }
everywhere() { tpu tpu-vm ssh "$name" --worker=all --command="$1"; }

if ! tpu queued-resources describe "$name" >/dev/null 2>&1; then
  tpu queued-resources create "$name" --node-id "$name" \
    --accelerator-type "$accelerator" --runtime-version "$runtime" --spot
fi
state() { tpu queued-resources describe "$name" --format="value(state.state)"; }
until [ "$(state)" = ACTIVE ]; do
  case $(state) in
    FAILED | SUSPENDED) echo "$name is $(state); delete it and try again." >&2; exit 1 ;;
  esac
  sleep 30
done

tpu tpu-vm scp --recurse . "$name:twohand" --worker=all
everywhere "python3 -m venv ~/venv && ~/venv/bin/pip install -q './twohand[data,tpu,gcs]'"
everywhere "~/venv/bin/twohand train --config $config --workdir $workdir --distributed"
