#!/usr/bin/env bash
# Sends a server more than it takes, of everything. Builds what it needs.
#
#   tests/fault/overload.sh [--short]

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" overload "$@"
