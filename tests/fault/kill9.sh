#!/usr/bin/env bash
# Kills a server at random moments while a run goes on, and checks that nothing
# is lost, sent twice or computed otherwise. Builds what it needs.
#
#   tests/fault/kill9.sh [--rounds N] [--seed N]

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" kill9 "$@"
