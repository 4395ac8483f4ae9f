#!/usr/bin/env bash
# Keeps a server busy with clients that crash, for as long as it is told, and
# checks that it neither grows nor slows down nor loses anything. Builds what it
# needs.
#
#   tests/fault/soak.sh [--minutes N] [--seed N]

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" soak "$@"
