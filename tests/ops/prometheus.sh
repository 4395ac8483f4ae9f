#!/usr/bin/env bash
# A real Prometheus, with the rules of deploy/prometheus, scrapes a real server
# while it runs the demo; then everything that dashboards and alerts ask is asked
# of it. Builds what it needs, and unpacks Debian's prometheus below build/ where
# none is installed.
#
#   tests/ops/prometheus.sh [--limit N]    N samples of the demo (default: all)

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v prometheus > /dev/null || ! command -v promtool > /dev/null; then
  # Unpacked, not installed: no service is started, and root is not needed.
  unpacked="$PWD/build/ops/prometheus"
  if [[ ! -x "$unpacked/usr/bin/promtool" ]]; then
    if ! apt-cache show prometheus > /dev/null 2>&1; then
      as_root=()
      [[ "$(id -u)" == 0 ]] || as_root=(sudo)
      "${as_root[@]}" apt-get update -q
    fi
    download="$(mktemp -d)"
    trap 'rm -rf "$download"' EXIT
    # apt-get's own user may have to write there.
    chmod 755 "$download"
    (cd "$download" && apt-get download -q prometheus)
    mkdir -p "$unpacked"
    dpkg -x "$download"/prometheus_*.deb "$unpacked"
    rm -rf "$download"
    trap - EXIT
  fi
  PATH="$unpacked/usr/bin:$PATH"
fi

cmake --preset release > /dev/null
cmake --build --preset release --target kvrecall-server kvrecall-client \
  > /dev/null
export KVRECALL_SERVER_BINARY="$PWD/build/release/bin/kvrecall-server"
export KVRECALL_CLIENT_BINARY="$PWD/build/release/bin/kvrecall-client"
export PYTHONDONTWRITEBYTECODE=1
python3 tests/ops/promql_test.py --quiet
exec python3 tests/ops/prometheus.py "$@"
