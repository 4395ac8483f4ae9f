#!/usr/bin/env bash
# A study on a Slurm of its own: starts one on this machine, divides the demo among
# the tasks of an array, has the server of one killed and another task queued again
# half-way, and checks that what is joined in the end is what one server makes of
# it. Installs Debian's Slurm where there is none; needs root for that, and to run
# it. Builds what it needs.
#
#   tests/ops/slurm.sh [--shards N]

set -euo pipefail
if ! command -v slurmctld slurmd munged sbatch > /dev/null; then
  echo "installing slurm-wlm and munge"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends slurm-wlm munge > /dev/null
fi
exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" slurm "$@"
