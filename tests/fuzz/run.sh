#!/usr/bin/env bash
# Builds the fuzz targets with clang and lets libFuzzer look for inputs that
# break them.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: tests/fuzz/run.sh [--seconds N] [--total] [--keep] [TARGET…]

  --seconds N  for so long each target runs (60)
  --total      N is for all targets together
  --keep       take what was found to tests/fuzz/corpus, if it reaches code that
               nothing there does
  --help       show this text

Without a TARGET all of tests/fuzz/target.h run, as many at a time as there are
processors, two at most. What a target begins with, and what it needs to reach
again what it once reached, lies in tests/fuzz/corpus/TARGET; ctest runs that too
(fuzz_corpus_test). Finds of a run, and a log each, stay in build/fuzz/runs.

Ends with a table and, where an input broke something (a crash, a sanitizer's
report, a promise that does not hold, ten seconds without an end, 2 GiB), with its
file and the command that shows it again; the status is 1 then. Once it is
mended, the file belongs into the corpus under a name that says what it was.
USAGE
}

seconds=60
total=false
keep=false
targets=()
while (($# > 0)); do
  case "$1" in
    --seconds)
      seconds="${2:-}"
      shift
      ;;
    --total) total=true ;;
    --keep) keep=true ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*)
      echo "run.sh: unknown option '$1'" >&2
      usage >&2
      exit 2
      ;;
    *) targets+=("$1") ;;
  esac
  shift
done
if ! [[ "$seconds" =~ ^[1-9][0-9]*$ ]]; then
  echo "run.sh: --seconds takes a whole number of at least 1" >&2
  exit 2
fi

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The newest there is; Debian 12's has a number in its name only.
find_clang() {
  command -v clang++ \
    || compgen -c clang++- | grep -E '^clang\+\+-[0-9]+$' | sort -Vu | tail -n 1
}

clang="$(find_clang)"
if [[ -z "$clang" ]]; then
  echo "run.sh: there is no clang++; deploy/install-deps.sh --tests" >&2
  exit 1
fi
start=$SECONDS
# Named again, it would make CMake begin anew.
compiler=()
[[ -f build/fuzz/CMakeCache.txt ]] || compiler=(-DCMAKE_CXX_COMPILER="$clang")
cmake --preset fuzz "${compiler[@]}" > /dev/null
cmake --build --preset fuzz -j "$(nproc)" --target kvrecall_fuzz
echo "built in $((SECONDS - start)) s"

corpus=tests/fuzz/corpus
runs=build/fuzz/runs
fuzzer=build/fuzz/bin/kvrecall_fuzz
if ((${#targets[@]} == 0)); then
  mapfile -t targets < <("$fuzzer" 2>&1 | tail -n +2)
fi
at_once=$(($(nproc) < 2 ? 1 : 2))
if "$total"; then
  seconds=$((seconds * at_once / ${#targets[@]}))
  seconds=$((seconds > 0 ? seconds : 1))
fi
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1

# One target; what it says goes to its log.
fuzz() {
  local target="$1" finds="$runs/$1"
  mkdir -p "$finds"
  "$fuzzer" --target="$target" -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="$runs/$target-" "$finds" "$corpus/$target" \
    > "$runs/$target.log" 2>&1
}

rm -rf "$runs"
mkdir -p "$runs"
echo "${#targets[@]} targets, $seconds s each, $at_once at a time"
for target in "${targets[@]}"; do
  while (($(jobs -rp | wc -l) >= at_once)); do wait -n || true; done
  fuzz "$target" &
done
wait || true

# "stat::number_of_executed_units: 5" and the last "cov: 5" of a log.
stat_of() { sed -n "s/^stat::$2: *//p" "$runs/$1.log" | tail -n 1; }
last_of() { grep -aoE "$2: [0-9]+" "$runs/$1.log" | tail -n 1 | grep -oE '[0-9]+'; }

found=0
printf '\n%-14s %12s %8s %8s %8s %9s\n' target executions "per s" corpus edges \
  findings
for target in "${targets[@]}"; do
  mapfile -t broken < <(find "$runs" -maxdepth 1 -type f \
    -name "$target-*" ! -name '*.log' | sort)
  found=$((found + ${#broken[@]}))
  printf '%-14s %12s %8s %8s %8s %9s\n' "$target" \
    "$(stat_of "$target" number_of_executed_units)" \
    "$(stat_of "$target" average_exec_per_sec)" \
    "$(last_of "$target" corp)" "$(last_of "$target" cov)" "${#broken[@]}"
done

# A log that does not come to its end is a finding, too: of the sanitizers there
# are some that leave no input.
for target in "${targets[@]}"; do
  mapfile -t broken < <(find "$runs" -maxdepth 1 -type f \
    -name "$target-*" ! -name '*.log' | sort)
  for input in "${broken[@]}"; do
    printf '\n%s\n  %s --target=%s %s\n' "$input" "$fuzzer" "$target" "$input"
    grep -aE 'does not hold|runtime error|ERROR:|a message of' \
      "$runs/$target.log" | head -n 3 | cut -c 1-200 | sed 's/^/  /'
  done
  if ((${#broken[@]} == 0)) && ! grep -aq '^Done ' "$runs/$target.log"; then
    printf '\n%s ended early; see %s\n' "$target" "$runs/$target.log"
    found=$((found + 1))
  fi
done
((found == 0)) || exit 1

if "$keep"; then
  for target in "${targets[@]}"; do
    "$fuzzer" --target="$target" -set_cover_merge=1 -use_counters=0 \
      "$corpus/$target" "$runs/$target" > "$runs/$target.merge.log" 2>&1
  done
  du -sh --apparent-size "$corpus"
fi
