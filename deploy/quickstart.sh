#!/usr/bin/env bash
# From a fresh machine to a first result: installs, builds, starts the server
# with the embedded model on the loopback, runs the demo task, prints its
# result table, checks that every record was committed and streamed, and stops
# the server. Exits with 0 only if all of that holds.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: deploy/quickstart.sh [--limit N] [--state DIR] [--no-install]

  --limit N     only the first N demo samples (default: all)
  --state DIR   where a folder with the database and the log is made
                (default: $XDG_STATE_HOME/kvrecall/quickstart)
  --no-install  do not look for missing Debian packages
  --help        show this text
USAGE
}

fail() {
  echo "quickstart.sh: $*" >&2
  exit 1
}

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
state="${XDG_STATE_HOME:-${HOME:-/tmp}/.local/state}/kvrecall/quickstart"
submit_options=()
install=true
while (($# > 0)); do
  case "$1" in
    --limit)
      (($# >= 2)) || fail "--limit needs a number"
      submit_options+=(--limit "$2")
      shift
      ;;
    --state)
      (($# >= 2)) || fail "--state needs a folder"
      state="$2"
      shift
      ;;
    --no-install) install=false ;;
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

if "$install"; then "$root/deploy/install-deps.sh"; fi

echo "quickstart.sh: building (a few minutes the first time)"
(
  cd "$root"
  cmake --preset release
  # The programs alone; tests/run.sh builds the tests.
  cmake --build --preset release --target kvrecall-server kvrecall-client
)
server="$root/build/release/bin/kvrecall-server"
client="$root/build/release/bin/kvrecall-client"

# A folder of its own each time, so that nothing of an earlier, perhaps
# interrupted, run is counted here or lost.
mkdir -p "$state"
state="$(cd "$state" && mktemp -d "$PWD/$(date +%Y-%m-%dT%H-%M-%S)-XXXX")"
database="$state/kvrecall.db"
port_file="$state/ports.json"
log="$state/server.log"

server_pid=
stop_server() {
  if [[ -n "$server_pid" ]]; then
    kill -TERM "$server_pid" 2> /dev/null || true
    wait "$server_pid" 2> /dev/null || true
  fi
}
trap stop_server EXIT

"$server" --model nano --listen 127.0.0.1:0 --metrics 127.0.0.1:0 \
  --database "$database" --port-file "$port_file" > "$log" 2>&1 &
server_pid=$!

# The file appears, whole, once the server answers.
deadline=$((SECONDS + 120))
until [[ -s "$port_file" ]]; do
  kill -0 "$server_pid" 2> /dev/null \
    || fail "the server did not start: $(tail -n 1 "$log")"
  ((SECONDS < deadline)) || fail "the server took too long to start, see $log"
  sleep 0.1
done

# A value of a flat JSON object.
json_value() {
  python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}
export KVRECALL_SERVER
KVRECALL_SERVER="127.0.0.1:$(json_value grpc < "$port_file")"
metrics="127.0.0.1:$(json_value metrics < "$port_file")"

echo "quickstart.sh: the server is at $KVRECALL_SERVER; running the demo"
run_id="$("$client" submit --task demo --fresh "${submit_options[@]}" --detach)"
[[ "$run_id" =~ ^[0-9A-Za-z_-]+$ ]] || fail "no run was made"
echo
"$client" watch "$run_id"

# Streamed, listed, counted and (once the server has ended) committed must be
# the same records.
streamed="$("$client" watch "$run_id" --json 2>> "$log" | json_value steps)"
exported="$("$client" export "$run_id" | grep -c '^{"type":"step"' || true)"
counted="$(curl -fsS --max-time 30 "http://$metrics/metrics" \
  | awk '$1 ~ /^kvrecall_generation_tokens_total/ { sum += $2 }
         END { printf "%d", sum }')"

kill -TERM "$server_pid"
server_exit=0
wait "$server_pid" || server_exit=$?
server_pid=
committed="$(sqlite3 -readonly "$database" "
  SELECT count(*) FROM steps
  JOIN samples ON samples.id = steps.sample
              AND samples.recorded_attempt = steps.attempt
  JOIN runs ON runs.id = steps.run WHERE runs.run_id = '$run_id'")"

echo
echo "steps: $streamed streamed, $exported exported, $committed in the" \
  "database, $counted in /metrics"
echo "database: $database"
"$client" report "$run_id" --db "$database" --out "$state/report.html" \
  > /dev/null || fail "the report could not be written"
echo "report: $state/report.html"
echo "server log: $log"
[[ "$streamed" -gt 0 ]] || fail "no record was streamed"
[[ "$committed" == "$streamed" && "$exported" == "$streamed" \
  && "$counted" == "$streamed" ]] || fail "the counts differ"
((server_exit == 0)) || fail "the server ended with status $server_exit"
echo "quickstart.sh: all is well"
