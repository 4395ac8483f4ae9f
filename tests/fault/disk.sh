#!/usr/bin/env bash
# Makes a server's disk full, and the store's disk fail at every operation that
# there is, and checks that nothing is lost and that all goes on once there is
# space again. Builds what it needs.
#
#   tests/fault/disk.sh [--rounds N] [--seed N] [--stride N]

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" disk "$@"
