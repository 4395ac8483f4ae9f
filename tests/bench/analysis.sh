#!/usr/bin/env bash
# Times what people wait for after a run of 200 samples of 128 steps, 6 policies,
# 3 budgets and 2 scopes (921 600 recalls): analyze with 2 000 resamples, the
# figures, and the report. Builds what it needs.
#
#   tests/bench/analysis.sh [FOLDER]

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder="${1:-$(mktemp -d)}"
cmake --preset release > /dev/null
cmake --build --preset release --target kvrecall-client large_run > /dev/null
bin=build/release/bin
database="$folder/large.db"
rm -f "$database"*
run="$("$bin/large_run" "$database")"
echo "database: $database, $(du -h "$database" | cut -f1)"

# Seconds of the middle one of three.
median_of_three() {
  for _ in 1 2 3; do
    local start end
    start=$(date +%s.%N)
    "$@" > "$folder/output.txt"
    end=$(date +%s.%N)
    awk -v a="$start" -v b="$end" 'BEGIN { print b - a }'
  done | sort -n | sed -n 2p
}

printf 'analyze   %6.2f s   (bar: 5)\n' \
  "$(median_of_three "$bin/kvrecall-client" analyze "$run" --db "$database")"
printf 'plot      %6.2f s   (six figures)\n' \
  "$(median_of_three "$bin/kvrecall-client" plot "$run" --db "$database" \
    --out "$folder/plots" 2> /dev/null)"
printf 'report    %6.2f s   (bar: 10)\n' \
  "$(median_of_three "$bin/kvrecall-client" report "$run" --db "$database" \
    --out "$folder/report.html" --force)"
echo "report: $folder/report.html, $(du -h "$folder/report.html" | cut -f1)"
