#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Ends on ctest's own
# summary of the release build; its exit status is 0 only if all passed.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: tests/run.sh [--quick] [--no-install]

  --quick       leave out the sanitizer builds and the fuzzing
  --no-install  do not look for missing Debian packages
  --help        show this text
USAGE
}

quick=false
install=true
for argument in "$@"; do
  case "$argument" in
    --quick) quick=true ;;
    --no-install) install=false ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      echo "run.sh: unknown option '$argument'" >&2
      usage >&2
      exit 2
      ;;
  esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."

jobs="$(nproc)"
# No pipe and no condition around the command, so that a failure in it ends
# the script.
phase() {
  local name="$1" start=$SECONDS
  shift
  echo "=== $name"
  "$@"
  echo "=== $name: $((SECONDS - start)) s"
}

# Versions of clang-format differ in what they make of the same style, so only
# the reference one (Debian 12's) is asked.
check_format() {
  local formatter version
  if ! git rev-parse --is-inside-work-tree > /dev/null 2>&1; then
    echo "skipped: this is no git work tree"
    return
  fi
  formatter="$(command -v clang-format-14 || command -v clang-format || true)"
  version="$([[ -z "$formatter" ]] || "$formatter" --version)"
  if [[ "$version" != *"version 14."* ]]; then
    echo "skipped: clang-format 14 is needed, there is '${version:-none}'"
    return
  fi
  git ls-files -z --cached --others --exclude-standard \
    -- '*.h' '*.cc' '*.cu' '*.cuh' \
    | xargs -0 -r "$formatter" --dry-run -Werror
}

build() {
  cmake --preset "$1" > /dev/null
  cmake --build --preset "$1" -j "$jobs"
}

# Under a sanitizer, only the tests that its preset selects are built (a test
# and its target have one name): libtorch's headers would cost minutes, and
# what is built on them is not run here.
sanitize() {
  local tests
  cmake --preset "$1" > /dev/null
  tests="$(ctest --preset "$1" -N | sed -n 's/^ *Test *#[0-9]*: //p')"
  # shellcheck disable=SC2086 # a list of words
  cmake --build --preset "$1" -j "$jobs" --target $tests
  ctest --preset "$1" -j "$jobs"
}

if "$install"; then phase "packages" deploy/install-deps.sh --tests; fi
phase "format" check_format
phase "build without gRPC and libtorch (core)" build core
phase "build (release)" build release
if ! "$quick"; then
  phase "address sanitizer" sanitize asan
  phase "thread sanitizer" sanitize tsan
  # A minute in all; tests/fuzz/run.sh alone gives each target one.
  phase "fuzz" tests/fuzz/run.sh --seconds 60 --total
fi
# Several tests at once, each with threads for all processors: CMakePresets.json
# has those that wait sleep (OMP_WAIT_POLICY), or they would wait in each other's
# way.
echo "=== tests (release), $SECONDS s so far"
exec ctest --preset release -j "$jobs"
