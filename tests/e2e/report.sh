#!/usr/bin/env bash
# Runs the demo, writes its report, opens it in headless Chromium and tests what
# a reader sees there. Keeps pictures of it where a folder is given.
#
#   tests/e2e/report.sh [FOLDER]

set -euo pipefail
if [[ "${1:-}" == --help || "${1:-}" == -h ]]; then
  sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 0
fi
if [[ -n "${1:-}" ]]; then
  mkdir -p "$1"
  KVRECALL_SCREENSHOTS="$(cd "$1" && pwd)"
  export KVRECALL_SCREENSHOTS
fi
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
deploy/install-deps.sh --tests
cmake --preset release > /dev/null
cmake --build --preset release --target kvrecall-client kvrecall-server
export KVRECALL_SERVER_BINARY="$PWD/build/release/bin/kvrecall-server"
export KVRECALL_CLIENT_BINARY="$PWD/build/release/bin/kvrecall-client"
export PYTHONDONTWRITEBYTECODE=1
python3 tests/integration/report_test.py -v
if [[ -n "${KVRECALL_SCREENSHOTS:-}" ]]; then
  echo "pictures: $KVRECALL_SCREENSHOTS"
fi
