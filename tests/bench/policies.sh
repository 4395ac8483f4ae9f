#!/usr/bin/env bash
# All policies at three budgets on the demo task of the embedded model: what
# each would have held, and what the next token becomes if the model sees only
# that. Options: tests/bench/policies.py --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bin=build/release/bin
[[ -x "$bin/kvrecall-server" && -x "$bin/kvrecall-client" ]] || {
  echo "policies.sh: $bin has no programs; build them first:" \
    "cmake --preset release && cmake --build --preset release" >&2
  exit 1
}
export KVRECALL_SERVER_BINARY="$PWD/$bin/kvrecall-server"
export KVRECALL_CLIENT_BINARY="$PWD/$bin/kvrecall-client"
exec python3 tests/bench/policies.py "$@"
