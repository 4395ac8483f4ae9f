#!/usr/bin/env bash
# The systemd unit at work: a fresh Debian of this machine's release is booted by
# systemd-nspawn, the server is installed as deploy/README.md says, and started,
# killed, encrypted, misconfigured, stopped and rebooted. Builds and installs what
# it needs; needs root, and Debian's mirror (KVRECALL_DEBIAN_MIRROR).
#
#   tests/ops/systemd.sh [--keep]     --keep: leave the root in build/ops/systemd

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
case "${1:-}" in
  "" | --keep) ;;
  *)
    sed -n '/^# /s/^# //p' systemd.sh
    [[ "$1" == --help || "$1" == -h ]]
    exit
    ;;
esac
[[ "$(id -u)" == 0 ]] || {
  echo "systemd.sh: run this as root: it boots a system" >&2
  exit 1
}
command -v debootstrap > /dev/null \
  || apt-get install -y -q --no-install-recommends debootstrap
command -v systemd-nspawn > /dev/null \
  || apt-get install -y -q --no-install-recommends systemd-container
# What is mounted and started ends with it, however it ends.
exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
  ./run.sh systemd_unit "$@"
