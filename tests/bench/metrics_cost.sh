#!/usr/bin/env bash
# Measures what metrics cost the engine thread, in 20 alternating pairs of the
# same work with and without; some seven minutes. Builds what it needs.
#
#   tests/bench/metrics_cost.sh [--pairs N]

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONPATH="$PWD/../fault"
exec ../fault/run.sh ../bench/metrics_cost "$@"
