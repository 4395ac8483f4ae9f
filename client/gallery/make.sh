#!/usr/bin/env bash
# Makes the images of this folder anew: the demo, its figures, and pictures of
# its report as headless Chromium shows it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
gallery="$PWD/client/gallery"
work="$(mktemp -d)"
trap 'kill "${server:-0}" 2> /dev/null || true; rm -rf "$work"' EXIT

cmake --preset release > /dev/null
cmake --build --preset release --target kvrecall-client kvrecall-server > /dev/null
bin="$PWD/build/release/bin"
"$bin/kvrecall-server" --model nano --database "$work/demo.db" \
  --listen 127.0.0.1:0 --metrics "" --port-file "$work/ports.json" \
  > "$work/server.log" 2>&1 &
server=$!
until [[ -s "$work/ports.json" ]]; do
  kill -0 "$server" || { cat "$work/server.log" >&2; exit 1; }
  sleep 0.1
done
KVRECALL_SERVER="127.0.0.1:$(sed -n 's/.*"grpc": *\([0-9]*\).*/\1/p' "$work/ports.json")"
export KVRECALL_SERVER

run="$("$bin/kvrecall-client" submit --task demo --gap --detach --policies \
  "h2o,h2o_window,h2o_evict,h2o_evict@entropy(1),h2o_evict@periodic(8),h2o_evict@random(0.1),streaming,snapkv,tova,random" \
  2> /dev/null)"
"$bin/kvrecall-client" watch "$run" > /dev/null 2>&1
# On the demo's small model recall at a budget of 0.1 is below the default of 0.5
# at nearly every step: a lower threshold has something to tell apart.
"$bin/kvrecall-client" plot "$run" --out "$gallery" --tau 0.2
"$bin/kvrecall-client" report "$run" --out "$work/report.html" --tau 0.2

KVRECALL_PAGE="$work/report.html" KVRECALL_GALLERY="$gallery" \
  PYTHONPATH=tests/integration PYTHONDONTWRITEBYTECODE=1 python3 - <<'PYTHON'
import os, tempfile
import browser
page, gallery = os.environ["KVRECALL_PAGE"], os.environ["KVRECALL_GALLERY"]
texts = """for (const e of [...document.body.children]) {
  if (e.id === "texts") break; e.style.display = "none"; }
  setTimeout(() => document.querySelectorAll(".tokens span")[12].click(), 300);"""
with tempfile.TemporaryDirectory() as folder:
    browser.screenshot(page, f"{gallery}/report.png", 1200, 1500, "", folder)
    browser.screenshot(page, f"{gallery}/report_texts.png", 1200, 800, texts,
                       folder)
PYTHON
ls -l "$gallery"
