#!/bin/bash
# Evaluate a policy on a SLURM cluster: sbatch examples/cluster/slurm.sh
# This job only hands out the work and collects the results, so one core is enough. It submits an array of
# workers, waits for them, and submits again what a lost node has not finished. The working directory must be
# on a file system that all nodes see.
#SBATCH --job-name=udacity-gym
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=04:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail

source venv/bin/activate # with: pip install "udacity-gym[slurm]"
export NUMBA_CACHE_DIR="$PWD/.numba" # compiled once, for all nodes with the same processors

udacity-gym evaluate training --suite tracks-v1 --output results --executor slurm --workers 32 \
    --executor-option slurm_partition=cpu --executor-option timeout_min=120 --executor-option mem_gb=2
