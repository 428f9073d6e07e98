#!/usr/bin/env bash
# Training on a Slurm cluster, one process for each GPU:
#     sbatch launch/slurm.sh paper /shared/paper
# Two minutes before its time is up the job gets SIGTERM: training saves, and the job
# queues again. The same happens when a node fails. Change the first lines to your site's.
#SBATCH --job-name=twohand
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

config=${1:?usage: sbatch launch/slurm.sh CONFIG WORKDIR}
workdir=${2:?usage: sbatch launch/slurm.sh CONFIG WORKDIR}

srun --kill-on-bad-exit=1 \
  twohand train --config "$config" --workdir "$workdir" --distributed
status=$?
# 143: stopped by SIGTERM, everything saved, not done.
if [ "$status" = 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
