#!/usr/bin/env bash
# Measures how many records a second go to the disk and to a stream. Builds what
# it needs.
#
#   tests/fault/rate.sh [--short] [--records N] [--words N]

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" rate "$@"
