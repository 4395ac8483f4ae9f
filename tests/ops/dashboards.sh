#!/usr/bin/env bash
# Checks the dashboards against the schema that Grafana publishes, and what no
# schema says: no overlapping panels, real units, a description everywhere.
# Installs what it needs: Debian's Node.js where there is none, and Grafana's
# packages below build/.
#
#   tests/ops/dashboards.sh

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v npm > /dev/null; then
  as_root=()
  [[ "$(id -u)" == 0 ]] || as_root=(sudo)
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends nodejs npm
fi

schema="$PWD/build/ops/schema"
mkdir -p "$schema"
cp tests/ops/schema/* "$schema"
# The versions are exact, so what is there is what is wanted, or not there.
npm install --prefix "$schema" --no-audit --no-fund --silent

export PYTHONDONTWRITEBYTECODE=1
python3 deploy/grafana/generate.py --check
exec python3 tests/ops/dashboards.py "$schema"
