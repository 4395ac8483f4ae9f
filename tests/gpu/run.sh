#!/usr/bin/env bash
# Everything that needs a GPU: kernel tests, parity in float32 and bfloat16,
# the benchmark of the 7B shape, and server and client end to end. Fetches
# nothing; what the machine lacks comes from the archive of tests/gpu/pack.sh.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: tests/gpu/run.sh [options]

  --pack FILE      archive of tests/gpu/pack.sh (default: build/gpu/pack.tar.gz
                   where it exists; else the system's own packages serve)
  --programs FILE  archive of tests/gpu/pack.sh --programs: nothing is compiled
  --part N         1: engine, tests, benchmark (no gRPC); 2: server and client;
                   all (default)
  --no-bench       leave out the benchmark
  --shape NAME     benchmark's shape (default: qwen2.5-7b)
  --prompts LIST   benchmark's lengths (default: 4096,16384,32768)
  --build DIR      where to build (default: build/gpu)
  --out DIR        where logs and JSON go (default: the build directory)
  --limit SECONDS  of each test program; what hangs is stopped (default: 600)
  --configure-only only check that everything is found
  --help           show this text

Needs: a GPU of compute capability 8.0 or newer, its driver, CUDA's compiler
(12.0 or newer), a libtorch with CUDA (from python3's torch, or in
CMAKE_PREFIX_PATH), CMake 3.25 or newer, Ninja, a C++20 compiler. With
--programs: the GPU, its driver, and python3's torch of the version that the
programs were compiled with. Where python3 has torch and transformers, plain
prefill is compared with theirs.
USAGE
}

fail() {
  echo "run.sh: $*" >&2
  exit 1
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root="$PWD"
pack=
programs=
limit=600
part=all
with_bench=true
shape=qwen2.5-7b
prompts=4096,16384,32768
build="$root/build/gpu"
out=
configure_only=false
while (($# > 0)); do
  case "$1" in
    --pack) pack="$2"; shift ;;
    --programs) programs="$2"; shift ;;
    --part) part="$2"; shift ;;
    --limit) limit="$2"; shift ;;
    --no-bench) with_bench=false ;;
    --shape) shape="$2"; shift ;;
    --prompts) prompts="$2"; shift ;;
    --build) build="$(realpath -m "$2")"; shift ;;
    --out) out="$(realpath -m "$2")"; shift ;;
    --configure-only) configure_only=true ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      echo "run.sh: unknown option '$1'" >&2
      usage >&2
      exit 2
      ;;
  esac
  shift
done
[[ "$part" =~ ^(1|2|all)$ ]] || fail "--part is 1, 2 or all"
out="${out:-$build}"
mkdir -p "$build" "$out"
if [[ -z "$pack$programs" && -e build/gpu/pack.tar.gz ]]; then
  pack=build/gpu/pack.tar.gz
fi
jobs="$(nproc)"

# Runs a command and says how long it took; its status is the command's. Where
# the status is looked at, bash ends nothing at the first error inside: a
# function that is run so says itself what must not fail.
phase() {
  local name="$1" start=$SECONDS rc=0
  shift
  echo "=== $name"
  "$@" || rc=$?
  echo "=== $name: $((SECONDS - start)) s$( ((rc == 0)) || echo ", FAILED")"
  return "$rc"
}

# --- the machine -------------------------------------------------------------
architecture='80;90'
if command -v nvidia-smi > /dev/null \
  && gpu="$(nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap \
    --format=csv,noheader)"; then
  gpu="${gpu%%$'\n'*}"  # the first of several
  echo "GPU: $gpu ($(date -u +%Y-%m-%d))"
  architecture="$(sed 's/.*, //; s/\.//' <<< "$gpu")"
elif ! "$configure_only"; then
  fail "no GPU: nvidia-smi is not there or sees none"
fi

torch_root="$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))' \
  2> /dev/null || true)"
prefixes=
find_compiler_and_libtorch() {
  local folder cuda_root
  nvcc="${CUDACXX:-$(command -v nvcc || true)}"
  for folder in /usr/local/cuda "${torch_root:+$torch_root/../nvidia/cu13}" \
    /usr/local/cuda-*; do
    if [[ -z "$nvcc" && -n "$folder" && -x "$folder/bin/nvcc" ]]; then
      nvcc="$(realpath "$folder/bin/nvcc")"
    fi
  done
  [[ -n "$nvcc" ]] || fail "CUDA's compiler nvcc was not found; set CUDACXX"
  export CUDACXX="$nvcc"
  echo "nvcc: $nvcc, $("$nvcc" --version | tail -n 2 | head -n 1)"
  # Python's package of nvcc keeps its libraries where nvcc does not look.
  cuda_root="$(dirname "$(dirname "$(realpath "$nvcc")")")"
  if [[ ! -d "$cuda_root/lib64" && -d "$cuda_root/lib" ]]; then
    export LIBRARY_PATH="$cuda_root/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
  fi
  # The environment separates by colons, CMake's variable by semicolons.
  prefixes="${CMAKE_PREFIX_PATH:-}"
  prefixes="${prefixes//:/;}"
  if [[ -n "$torch_root" ]]; then
    prefixes="${prefixes:+$prefixes;}$torch_root"
  fi
  [[ -n "$prefixes" ]] || fail "no libtorch: python3 has no torch, and \
CMAKE_PREFIX_PATH is empty"
  unset CMAKE_PREFIX_PATH
}
[[ -n "$programs" ]] || find_compiler_and_libtorch

# The archive's libraries are for its own programs and for ours: the machine's
# CMake and Python keep to their own.
flags=
linker_flags=
libraries="${LD_LIBRARY_PATH:-}"
with_libraries() {
  LD_LIBRARY_PATH="$libraries" "$@"
}

# Puts a script that sets the libraries' path in the place of each program of
# the archive, since CMake finds and calls them by itself. protoc looks for its
# include folder beside its own.
wrap_programs() {
  local usr="$1" program script
  mv "$usr/bin" "$usr/unwrapped"
  mkdir "$usr/bin"
  for program in "$usr"/unwrapped/*; do
    [[ -x "$program" ]] || continue
    script="$usr/bin/$(basename "$program")"
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' \
      "$libraries" "$program" > "$script"
    chmod +x "$script"
  done
}

if [[ -n "$pack" ]]; then
  sysroot="$build/sysroot"
  rm -rf "$sysroot"
  mkdir -p "$sysroot"
  tar -C "$sysroot" -xf "$pack"
  sysroot_libraries="$(dirname "$(find "$sysroot/usr/lib" \
    -name 'libcrypto.so' -print -quit)")"
  libraries="$sysroot_libraries${libraries:+:$libraries}"
  prefixes="$prefixes;$sysroot/usr"
  [[ ! -d "$sysroot/usr/bin" ]] || wrap_programs "$sysroot/usr"
  export PATH="$sysroot/usr/bin:$PATH"
  export PKG_CONFIG_SYSROOT_DIR="$sysroot"
  export PKG_CONFIG_LIBDIR="$sysroot_libraries/pkgconfig:$sysroot/usr/share/pkgconfig:$sysroot/usr/lib/pkgconfig"
  # Debian 12's Abseil leans on headers that newer compilers do not include
  # by themselves.
  flags='-include cstdint'
  # Where the linker finds what the libraries themselves need.
  linker_flags="-Wl,-rpath-link,$sysroot_libraries"
  echo "packages: $pack"
fi

if [[ -n "$programs" ]]; then
  [[ -n "$torch_root" ]] || fail "python3 has no torch; the programs need its \
libraries"
  rm -rf "$build/libraries"
  tar -C "$build" -xf "$programs"
  libraries="$build/libraries:$torch_root/lib:$torch_root/../nvidia/cu13/lib\
${libraries:+:$libraries}"
  echo "programs: $programs"
fi

configure() {
  local folder="$1"
  shift
  cmake -S "$root" -B "$folder" --preset cuda \
    "-DCMAKE_PREFIX_PATH=$prefixes" "-DCMAKE_CUDA_ARCHITECTURES=$architecture" \
    "-DCMAKE_CXX_FLAGS=$flags" "-DCMAKE_EXE_LINKER_FLAGS=$linker_flags" \
    -DKVRECALL_WERROR=OFF "$@"
}

# --- part 1 ------------------------------------------------------------------
# bench NAME OPTIONS…: all figures to bench-NAME.json, the table to a log.
bench() {
  local name="$1"
  shift
  with_libraries "$build/engine/bin/kvrecall-bench" --shape "$shape" \
    --device cuda --dtype bfloat16 --scopes global,layer \
    --budgets 0.1,0.2,0.3 --json "$out/bench-$name.json" "$@" \
    2>&1 | tee "$out/bench-$name.log"
}

run_bench() {
  bench "$shape" --prompt "$prompts" --decode 64 --repeat 3 \
    --policies h2o,random,oracle || return
  # The six policies of the bar for decode.
  bench "$shape-policies" --prompt 8192 --decode 64 --repeat 3 \
    --policies h2o,h2o_window,streaming,snapkv,random,oracle || return
  # One sequence alone: the memory of a text, not of two.
  bench "$shape-memory" --prompt 32768 --decode 8 --repeat 1 \
    --policies h2o,random,oracle --only telemetry
}

# What was measured beside what is asked for.
judge_bench() {
  python3 - "$out/bench-$shape" << 'PYTHON'
import json, sys

def results(name):
    return json.load(open(f"{sys.argv[1]}{name}.json"))["results"]

rows = []
for r in results(""):
    ratios, n = r["ratios"], r["prompt"]
    rows.append((f"prefill with telemetry / plain, {n}",
                 ratios["prefill_telemetry"], "<=", 1.15, n == 16384))
    rows.append((f"decode with telemetry / plain, {n}",
                 ratios["decode_telemetry"], "<=", 1.10, n == 16384))
    rows.append((f"plain decode / read bandwidth, {n}",
                 ratios["decode_of_bandwidth"], ">=", 0.8, True))
for r in results("-policies"):
    rows.append((f"decode with 6 policies / plain, {r['prompt']}",
                 r["ratios"]["decode_telemetry"], "<=", 1.10, True))
for r in results("-memory"):
    m = r["memory_bytes"]
    rows.append((f"GiB above weights and KV cache, {r['prompt']}",
                 (m["peak"] - m["loaded"] - m["kv_cache"]) / 2**30, "<=", 2,
                 True))
missed = 0
for name, value, relation, bound, judged in rows:
    good = value <= bound if relation == "<=" else value >= bound
    missed += judged and not good
    verdict = ("reached" if good else "NOT REACHED") if judged else ""
    print(f"{name:42}{value:8.3f}  {relation} {bound:<5} {verdict}".rstrip())
sys.exit(missed > 0)
PYTHON
}

# Plain prefill beside that of transformers' SDPA, in one run.
compare_sdpa() {
  local bench_script="$build/kvrecall-bench.sh"
  if ! python3 -c 'import numpy, torch, transformers' 2> /dev/null; then
    echo "left out: python3 has no torch with transformers and numpy"
    return
  fi
  # Its Python keeps to the machine's libraries too.
  printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" \
    "$build/engine/bin/kvrecall-bench" > "$bench_script"
  chmod +x "$bench_script"
  python3 tests/bench/compare_transformers.py --device cuda \
    --bench "$bench_script" --venv "$(python3 -c 'import sys; print(sys.prefix)')" \
    --prompt 0 --decode-at 4096 --sdpa-prompts 16384 --one-token-prompt 0 \
    --equality-prompt 0 --json "$out/sdpa.json"
}

part_1() {
  if [[ -z "$programs" ]]; then
    phase "configure the engine" configure "$build/engine" \
      -DKVRECALL_SERVICE=OFF
    "$configure_only" && return
    phase "build the engine" cmake --build "$build/engine" -j "$jobs" \
      --target gpu_kernel_test gpu_parity_test gpu_masked_test kvrecall-bench
  fi
  # All of it runs and is shown, whatever fails first.
  local failed=0
  local test
  for test in gpu_kernel_test gpu_masked_test gpu_parity_test; do
    phase "$test" with_libraries timeout "$limit" \
      "$build/engine/tests/$test" --gtest_brief=1 \
      --gtest_output="xml:$out/$test.xml" || failed=1
  done
  if "$with_bench"; then
    if phase "benchmark" run_bench; then
      phase "benchmark's bars" judge_bench || failed=1
    else
      failed=1
    fi
    phase "prefill beside transformers" compare_sdpa || failed=1
  fi
  ((failed == 0)) || fail "part 1 failed"
}

# --- part 2 ------------------------------------------------------------------
server_pid=
stop_server() {
  if [[ -n "$server_pid" ]]; then
    kill -TERM "$server_pid" 2> /dev/null || true
    wait "$server_pid" 2> /dev/null || true
  fi
}
trap stop_server EXIT

json_value() {
  python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"
}

end_to_end() {
  local nano="$root/deploy/models/nano"
  local state server client run_id streamed committed deadline
  state="$(mktemp -d)"
  server="$build/service/bin/kvrecall-server"
  client="$build/service/bin/kvrecall-client"
  # Not through a function, so that the number is the server's own.
  LD_LIBRARY_PATH="$libraries" "$server" --model "$nano" --device cuda --dtype bfloat16 \
    --listen 127.0.0.1:0 --metrics 127.0.0.1:0 \
    --database "$state/kvrecall.db" --port-file "$state/ports.json" \
    > "$out/server.log" 2>&1 &
  server_pid=$!
  deadline=$((SECONDS + 120))
  until [[ -s "$state/ports.json" ]]; do
    kill -0 "$server_pid" 2> /dev/null \
      || fail "the server did not start: $(tail -n 1 "$out/server.log")"
    ((SECONDS < deadline)) || fail "the server took too long to start"
    sleep 0.1
  done
  export KVRECALL_SERVER
  KVRECALL_SERVER="127.0.0.1:$(json_value grpc < "$state/ports.json")"
  run_id="$(with_libraries "$client" submit --task demo --data "$nano/demo" \
    --limit 5 --detach)" || fail "submit failed"
  [[ "$run_id" =~ ^[0-9A-Za-z_-]+$ ]] || fail "no run was made"
  with_libraries "$client" watch "$run_id" || fail "watch failed"
  streamed="$(with_libraries "$client" watch "$run_id" --json \
    | json_value steps)" || fail "watch --json failed"
  kill -TERM "$server_pid"
  wait "$server_pid" || fail "the server ended badly: see $out/server.log"
  server_pid=
  committed="$(python3 - "$state/kvrecall.db" << 'PYTHON'
import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM steps").fetchone()[0])
PYTHON
  )" || fail "the database cannot be read"
  echo "steps: $streamed streamed, $committed in the database"
  [[ "$streamed" -gt 0 && "$streamed" == "$committed" ]] \
    || fail "the counts differ"
}

part_2() {
  if [[ -z "$programs" ]]; then
    phase "configure server and client" configure "$build/service" \
      -DKVRECALL_TESTS=OFF
    "$configure_only" && return
    phase "build server and client" cmake --build "$build/service" -j "$jobs" \
      --target kvrecall-server kvrecall-client
  fi
  phase "submit, stream, SQLite" end_to_end
}

if [[ "$part" != 2 ]]; then part_1; fi
if [[ "$part" != 1 ]]; then part_2; fi
echo "run.sh: all is well"
