#!/usr/bin/env bash
# Three servers share a study, one is killed half-way and started again; what they
# have, merged, must be what one server makes of the study. Builds what it needs.
#
#   tests/ops/servers.sh [--limit N]

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" servers "$@"
