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
usage: tests/gpu/pack.sh [--engine] [FILE]

  --engine  only what the first part of run.sh needs: no gRPC, no SQLite
  FILE      where to write (default: build/gpu/pack.tar.gz)
USAGE
}

engine_only=false
file=build/gpu/pack.tar.gz
for argument in "$@"; do
  case "$argument" in
    --engine) engine_only=true ;;
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
[[ "$file" == /* ]] || file="$PWD/$file"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

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

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
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
mkdir -p "$(dirname "$file")"
tar -C / -czf "$file" --files-from "$list"
echo "$(wc -l < "$list") files, $(du -h "$file" | cut -f 1): $file"
