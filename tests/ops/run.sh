#!/usr/bin/env bash
# What the scripts beside it share: builds the programs and runs NAME.py.
#
#   tests/ops/run.sh NAME [ARGUMENT…]

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cmake --preset release > /dev/null
cmake --build --preset release --target kvrecall-server kvrecall-client \
  > /dev/null
export KVRECALL_SERVER_BINARY="$PWD/build/release/bin/kvrecall-server"
export KVRECALL_CLIENT_BINARY="$PWD/build/release/bin/kvrecall-client"
export PYTHONPATH="$PWD/tests/fault" PYTHONDONTWRITEBYTECODE=1
name="$1"
shift
exec python3 "tests/ops/$name.py" "$@"
