#!/usr/bin/env bash
# From nothing to a result in fresh Debians, by Podman: deploy/quickstart.sh, then
# the Dockerfile's images, run as deploy/compose.yaml has them: their user without
# capabilities, a root that cannot be written to, health check and stop signal.
# Prints time and download size; exits with 0 only if all of it held.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: tests/ops/fresh-root.sh [12|13]... [options]

  12, 13         which Debian (default: both)
  --limit N      only the first N samples of the demo
  --only PART    quickstart, or images
  --variant V    of the server's image: cpu (default), or cuda (gigabytes more);
                 without a GPU it computes on the processor
  --worktree     the files as they lie here, not those of the last commit
  --keep         leave what was made in build/fresh-root (gigabytes)
  --help         show this text

Needs root, and Debian's mirror (KVRECALL_DEBIAN_MIRROR). Podman's images, containers
and settings are its own, in namespaces that end with it.
USAGE
}

fail() {
  echo "fresh-root.sh: $*" >&2
  exit 1
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
debians=()
options=()
worktree=false
keep=false
while (($# > 0)); do
  case "$1" in
    12 | 13) debians+=("$1") ;;
    --limit | --only | --variant)
      (($# >= 2)) || fail "$1 needs a value"
      options+=("$1" "$2")
      shift
      ;;
    --worktree) worktree=true ;;
    --keep) keep=true ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      usage >&2
      fail "unknown option '$1'"
      ;;
  esac
  shift
done
((${#debians[@]} > 0)) || debians=(12 13)
[[ "$(id -u)" == 0 ]] || fail "run this as root: it mounts and changes roots"

for program in debootstrap runc podman; do
  command -v "$program" > /dev/null \
    || apt-get install -y -q --no-install-recommends "$program"
done

work="$PWD/build/fresh-root"
mkdir -p "$work"
source="$work/source"
rm -rf "$source"
if "$worktree"; then
  mkdir "$source"
  git ls-files -z -co --exclude-standard | while IFS= read -r -d '' name; do
    [[ -e "$name" ]] && printf '%s\0' "$name"
  done | tar -c --null -T - | tar -x -C "$source"
else
  git clone -q --depth 1 "file://$PWD" "$source"
fi
commit="$(git rev-parse --short=12 HEAD)"

# What is mounted and started below goes when these namespaces go, whatever
# happens; so nothing that is mounted is there when the roots are removed.
clean_up() {
  rm -rf --one-file-system "$source"
  "$keep" || rm -rf --one-file-system "$work"/debian-*/{quickstart,images,base,podman}
}
trap clean_up EXIT
export PYTHONDONTWRITEBYTECODE=1
for debian in "${debians[@]}"; do
  unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    python3 tests/ops/fresh_root.py --debian "$debian" --work "$work" \
    --source "$source" --commit "$commit" "${options[@]}"
done
echo "fresh-root.sh: all is well"
