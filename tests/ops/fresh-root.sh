#!/usr/bin/env bash
# From nothing to a result in fresh Debian roots, without a container engine:
# deploy/quickstart.sh by chroot, then every step of the Dockerfile and the images
# that come out, run as a container engine would run them: a network of their
# own, their user, and a root that cannot be written to.
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
  --keep         leave the roots in build/fresh-root (gigabytes), for a look
  --help         show this text

Needs root, overlay mounts, and Debian's mirror (KVRECALL_DEBIAN_MIRROR).
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

for program in debootstrap ip; do
  command -v "$program" > /dev/null && continue
  apt-get install -y -q --no-install-recommends debootstrap iproute2
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
  "$keep" || rm -rf --one-file-system "$work"/debian-*/{quickstart,images,base}
}
trap clean_up EXIT
export PYTHONDONTWRITEBYTECODE=1
for debian in "${debians[@]}"; do
  unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    python3 tests/ops/fresh_root.py --debian "$debian" --work "$work" \
    --source "$source" --commit "$commit" "${options[@]}"
done
echo "fresh-root.sh: all is well"
