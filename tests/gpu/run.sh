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
  --part N         1: engine, tests, benchmark (no gRPC); 2: server and client;
                   all (default)
  --no-bench       leave out the benchmark
  --shape NAME     benchmark's shape (default: qwen2.5-7b)
  --prompts LIST   benchmark's lengths (default: 4096,16384,32768)
  --build DIR      where to build (default: build/gpu)
  --out DIR        where logs and JSON go (default: the build directory)
  --configure-only only check that everything is found
  --help           show this text

Needs: a GPU of compute capability 8.0 or newer, its driver, CUDA's compiler, a
libtorch with CUDA (from python3's torch, or in CMAKE_PREFIX_PATH), CMake 3.25
or newer, a C++20 compiler.
USAGE
}

fail() {
  echo "run.sh: $*" >&2
  exit 1
}

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root="$PWD"
pack=
part=all
bench=true
shape=qwen2.5-7b
prompts=4096,16384,32768
build="$root/build/gpu"
out=
configure_only=false
while (($# > 0)); do
  case "$1" in
    --pack) pack="$2"; shift ;;
    --part) part="$2"; shift ;;
    --no-bench) bench=false ;;
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
if [[ -z "$pack" && -e build/gpu/pack.tar.gz ]]; then
  pack=build/gpu/pack.tar.gz
fi
jobs="$(nproc)"

phase() {
  local name="$1" start=$SECONDS
  shift
  echo "=== $name"
  "$@"
  echo "=== $name: $((SECONDS - start)) s"
}

# --- the machine -------------------------------------------------------------
architecture='80;90'
if command -v nvidia-smi > /dev/null \
  && gpu="$(nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap \
    --format=csv,noheader | head -n 1)"; then
  echo "GPU: $gpu ($(date -u +%Y-%m-%d))"
  architecture="$(sed 's/.*, //; s/\.//' <<< "$gpu")"
elif ! "$configure_only"; then
  fail "no GPU: nvidia-smi is not there or sees none"
fi

nvcc="${CUDACXX:-$(command -v nvcc || true)}"
torch_root="$(python3 -c 'import os, torch; print(os.path.dirname(torch.__file__))' \
  2> /dev/null || true)"
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

prefixes="${CMAKE_PREFIX_PATH:-}"
if [[ -n "$torch_root" ]]; then
  prefixes="${prefixes:+$prefixes;}$torch_root"
fi
[[ -n "$prefixes" ]] || fail "no libtorch: python3 has no torch, and \
CMAKE_PREFIX_PATH is empty"
unset CMAKE_PREFIX_PATH

flags=
if [[ -n "$pack" ]]; then
  sysroot="$build/sysroot"
  rm -rf "$sysroot"
  mkdir -p "$sysroot"
  tar -C "$sysroot" -xf "$pack"
  multiarch="$(basename "$(dirname "$(find "$sysroot/usr/lib" \
    -name 'libcrypto.so' | head -n 1)")")"
  prefixes="$prefixes;$sysroot/usr"
  export PATH="$sysroot/usr/bin:$PATH"
  export LD_LIBRARY_PATH="$sysroot/usr/lib/$multiarch${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  export PKG_CONFIG_SYSROOT_DIR="$sysroot"
  export PKG_CONFIG_LIBDIR="$sysroot/usr/lib/$multiarch/pkgconfig:$sysroot/usr/share/pkgconfig:$sysroot/usr/lib/pkgconfig"
  # Debian 12's Abseil leans on headers that newer compilers do not include
  # by themselves.
  flags='-include cstdint'
  echo "packages: $pack"
fi

configure() {
  local folder="$1"
  shift
  cmake -S "$root" -B "$folder" --preset cuda \
    "-DCMAKE_PREFIX_PATH=$prefixes" "-DCMAKE_CUDA_ARCHITECTURES=$architecture" \
    "-DCMAKE_CXX_FLAGS=$flags" -DKVRECALL_WERROR=OFF "$@"
}

# --- part 1 ------------------------------------------------------------------
run_bench() {
  "$build/engine/bin/kvrecall-bench" --shape "$shape" --device cuda \
    --dtype bfloat16 --prompt "$prompts" --decode 64 --prefill-chunk 2048 \
    --policies h2o,random,oracle --scopes global,layer \
    --budgets 0.1,0.2,0.3 --repeat 3 --json "$out/bench-$shape.json" \
    2>&1 | tee "$out/bench-$shape.log"
}

part_1() {
  phase "configure the engine" configure "$build/engine" -DKVRECALL_SERVICE=OFF
  "$configure_only" && return
  phase "build the engine" cmake --build "$build/engine" -j "$jobs" \
    --target gpu_kernel_test gpu_parity_test kvrecall-bench
  # All of it runs and is shown, whatever fails first.
  local failed=0
  phase "kernel tests" "$build/engine/tests/gpu_kernel_test" --gtest_brief=1 \
    --gtest_output="xml:$out/gpu_kernel_test.xml" || failed=1
  phase "parity tests" "$build/engine/tests/gpu_parity_test" \
    --gtest_output="xml:$out/gpu_parity_test.xml" || failed=1
  if "$bench"; then
    phase "benchmark" run_bench || failed=1
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
  local state server client run_id streamed committed deadline
  state="$(mktemp -d)"
  server="$build/service/bin/kvrecall-server"
  client="$build/service/bin/kvrecall-client"
  "$server" --model nano --device cuda --dtype bfloat16 \
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
  run_id="$("$client" submit --task demo --limit 5 --detach)"
  [[ "$run_id" =~ ^[0-9A-Za-z_-]+$ ]] || fail "no run was made"
  "$client" watch "$run_id"
  streamed="$("$client" watch "$run_id" --json | json_value steps)"
  kill -TERM "$server_pid"
  wait "$server_pid" || fail "the server ended badly: see $out/server.log"
  server_pid=
  committed="$(python3 - "$state/kvrecall.db" << 'PYTHON'
import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM steps").fetchone()[0])
PYTHON
  )"
  echo "steps: $streamed streamed, $committed in the database"
  [[ "$streamed" -gt 0 && "$streamed" == "$committed" ]] \
    || fail "the counts differ"
}

part_2() {
  phase "configure server and client" configure "$build/service" \
    -DKVRECALL_TESTS=OFF
  "$configure_only" && return
  phase "build server and client" cmake --build "$build/service" -j "$jobs" \
    --target kvrecall-server kvrecall-client
  phase "submit, stream, SQLite" end_to_end
}

if [[ "$part" != 2 ]]; then part_1; fi
if [[ "$part" != 1 ]]; then part_2; fi
echo "run.sh: all is well"
