#!/usr/bin/env bash
# Kills a server at random moments while a run goes on, and checks that nothing
# is lost, sent twice or computed otherwise. Builds what it needs.
#
#   tests/fault/kill9.sh [--rounds N] [--seed N]

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cmake --preset release > /dev/null
cmake --build --preset release --target kvrecall-server kvrecall-client watch_log \
  > /dev/null
export KVRECALL_SERVER_BINARY="$PWD/build/release/bin/kvrecall-server"
export KVRECALL_CLIENT_BINARY="$PWD/build/release/bin/kvrecall-client"
export KVRECALL_WATCH_LOG="$PWD/build/release/bin/watch_log"
exec python3 tests/fault/kill9.py "$@"
