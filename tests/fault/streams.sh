#!/usr/bin/env bash
# Readers that stall, wait and leave, by the hundred and by the thousand. Builds
# what it needs.
#
#   tests/fault/streams.sh [--short]

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" streams "$@"
