#!/usr/bin/env bash
# What the scripts beside it share: builds the programs and runs NAME.py.
#
#   tests/fault/run.sh NAME [ARGUMENT…]

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cmake --preset release > /dev/null
targets=(kvrecall-server kvrecall-client watch_log kvrecall-load)
if [[ "$1" == disk ]]; then
  targets+=(disk_fault_test)
  export KVRECALL_DISK_FAULT_TEST="$PWD/build/release/tests/disk_fault_test"
fi
if [[ "$1" == access ]]; then
  targets+=(call_methods client_tls_test)
fi
cmake --build --preset release --target "${targets[@]}" > /dev/null
export KVRECALL_SERVER_BINARY="$PWD/build/release/bin/kvrecall-server"
export KVRECALL_CLIENT_BINARY="$PWD/build/release/bin/kvrecall-client"
export KVRECALL_WATCH_LOG="$PWD/build/release/bin/watch_log"
export KVRECALL_LOAD="$PWD/build/release/bin/kvrecall-load"
export KVRECALL_CALL_METHODS="$PWD/build/release/bin/call_methods"
export KVRECALL_TLS_TEST="$PWD/build/release/tests/client_tls_test"
export PYTHONDONTWRITEBYTECODE=1
name="$1"
shift
exec python3 "tests/fault/$name.py" "$@"
