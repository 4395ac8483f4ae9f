#!/usr/bin/env bash
# Gathers from this Debian machine what building and running kvrecall needs
# beside libtorch and CUDA, for a machine with a GPU and no network:
# tests/gpu/run.sh --pack unpacks it. Headers, shared libraries (static ones
# only where there is no shared one), CMake and pkg-config files, protoc and
# its plugin, pkg-config; about 25 MB. The C and C++ libraries are not in it:
# the other machine's must be as new as this one's.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: tests/gpu/pack.sh [--engine | --programs] [FILE]

  --engine    only what the first part of run.sh needs: no gRPC, no SQLite
  --programs  instead, what run.sh compiled here in build/gpu, with the shared
              libraries that it needs beside libtorch, CUDA, C and C++: the
              other machine then compiles nothing
  FILE        where to write (default: build/gpu/pack.tar.gz or programs.tar.gz)
USAGE
}

engine_only=false
programs=false
file=
for argument in "$@"; do
  case "$argument" in
    --engine) engine_only=true ;;
    --programs) programs=true ;;
    --help | -h)
      usage
      exit 0
      ;;
    -*)
      echo "pack.sh: unknown option '$argument'" >&2
      usage >&2
      exit 2
      ;;
    *) file="$argument" ;;
  esac
done
caller="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ -z "$file" ]]; then
  "$programs" && file=programs.tar.gz || file=pack.tar.gz
  file="$PWD/build/gpu/$file"
fi
[[ "$file" == /* ]] || file="$caller/$file"
mkdir -p "$(dirname "$file")"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

# The programs as they lie in build/gpu, and their libraries in one folder.
pack_programs() {
  local program library
  mkdir "$folder/libraries"
  for program in build/gpu/engine/tests/gpu_*_test \
    build/gpu/engine/bin/kvrecall-bench \
    build/gpu/service/bin/kvrecall-{server,client}; do
    [[ -x "$program" ]] || continue
    mkdir -p "$folder/$(dirname "${program#build/gpu/}")"
    strip -o "$folder/${program#build/gpu/}" "$program"
    ldd "$program" | awk '$3 ~ "^/(usr/)?lib/" {print $3}' > "$folder/needed"
    while read -r library; do
      case "$(basename "$library")" in
        libc.* | libm.* | libdl.* | librt.* | libpthread.* | libresolv.* | libutil.*) ;;
        libstdc++.* | libgcc_s.* | libgomp.*) ;;
        *) cp -L "$library" "$folder/libraries/" ;;
      esac
    done < "$folder/needed"
    rm "$folder/needed"
  done
  [[ -d "$folder/engine" || -d "$folder/service" ]] || {
    echo "pack.sh: nothing is compiled in build/gpu: run.sh does that" >&2
    exit 1
  }
  tar -C "$folder" -czf "$file" .
  echo "$(ls "$folder"/*/*/* | wc -l) programs, \
$(ls "$folder/libraries" | wc -l) libraries, $(du -h "$file" | cut -f 1): $file"
}
if "$programs"; then
  pack_programs
  exit
fi

packages=(
  libabsl-dev libcli11-dev libgmock-dev libgtest-dev libssl-dev
  nlohmann-json3-dev zlib1g-dev
)
if ! "$engine_only"; then
  packages+=(
    libbenchmark-dev libcpp-httplib-dev libcurl4-openssl-dev libgrpc++-dev
    libpcre2-dev libprotobuf-dev libspdlog-dev libsqlite3-dev libutf8proc-dev
    libzip-dev pkg-config prometheus-cpp-dev protobuf-compiler
    protobuf-compiler-grpc
  )
fi

# With all that they depend on, but for the C and C++ libraries.
all="$(apt-cache depends --recurse --no-recommends --no-suggests \
  --no-conflicts --no-breaks --no-replaces --no-enhances --installed \
  "${packages[@]}" | grep -v '^ ' | sort -u \
  | grep -Ev '^(<|libc6|libc-dev|libstdc|libgcc|linux-libc|libcrypt|gcc-)' \
  | grep -Ev '^(rpcsvc-proto|libnsl|libtirpc|googletest|catch2)')"
missing=()
for package in "${packages[@]}"; do
  grep -qx "$package" <<< "$all" || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
  echo "pack.sh: not installed here: ${missing[*]}" >&2
  exit 1
fi

list="$folder/list"
# Debian 12 has merged /lib into /usr/lib; some packages name the old path.
# shellcheck disable=SC2086
dpkg -L $all | sed 's|^/lib/|/usr/lib/|' | sort -u | while read -r path; do
  [[ -d "$path" && ! -L "$path" ]] && continue
  case "$path" in
    /usr/include/* | /usr/lib/*.so | /usr/lib/*.so.*) ;;
    /usr/lib/*.cmake | /usr/lib/*.pc | /usr/share/cmake/*) ;;
    /usr/share/pkgconfig/*) ;;
    /usr/bin/protoc* | /usr/bin/grpc_cpp_plugin) ;;
    # Named by its CMake package, which looks whether it is there.
    /usr/bin/civetweb) ;;
    /usr/bin/pkg-config | /usr/bin/pkgconf | /usr/bin/*-pkg-config) ;;
    *.a) [[ -e "${path%.a}.so" ]] && continue ;;
    *) continue ;;
  esac
  [[ -e "$path" ]] && echo "${path#/}"
done > "$list"
tar -C / -czf "$file" --files-from "$list"
echo "$(wc -l < "$list") files, $(du -h "$file" | cut -f 1): $file"
