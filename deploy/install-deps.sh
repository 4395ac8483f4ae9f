#!/usr/bin/env bash
# Installs, from Debian's packages, what building and testing kvrecall needs.
# Debian 12 is the reference; the same names exist in Debian 13.
# Costs nothing when everything is there already.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: deploy/install-deps.sh [--client | --tests | --runtime FILE]
                              [--no-recommends]

  --client         only what kvrecall-client needs (no libtorch): for a laptop
  --tests          what the tests need, too: a browser, and clang to fuzz with
  --runtime FILE   what compiled programs need to run, and nothing to compile
                   with: the packages in FILE, which deploy/runtime-packages.sh
                   has written, and what the client calls
  --no-recommends  leave out the packages that Debian merely recommends
  --help           show this text
USAGE
}

client_only=false
with_tests=false
runtime=
recommends=()
while (($# > 0)); do
  case "$1" in
    --client) client_only=true ;;
    --tests) with_tests=true ;;
    --runtime)
      if [[ ! -s "${2:-}" ]]; then
        echo "install-deps.sh: --runtime needs a file of packages" >&2
        exit 2
      fi
      runtime="$2"
      shift
      ;;
    --no-recommends) recommends=(--no-install-recommends) ;;
    --help | -h)
      usage
      exit 0
      ;;
    *)
      echo "install-deps.sh: unknown option '$1'" >&2
      usage >&2
      exit 2
      ;;
  esac
  shift
done

# What the client calls, and no library says: gnuplot draws its figures, in these
# fonts; the certificates are of those who vouch for a server or a download.
called=(gnuplot-nox fonts-dejavu-core ca-certificates)

packages=(
  "${called[@]}"
  g++ cmake ninja-build ccache pkg-config git
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  libabsl-dev libsqlite3-dev libssl-dev zlib1g-dev libutf8proc-dev
  nlohmann-json3-dev libcli11-dev
  # The client downloads LongBench's archive and unpacks it.
  libcurl4-openssl-dev libzip-dev
  # What the tests need. The server's metrics need the last one too.
  libgtest-dev libgmock-dev libcpp-httplib-dev
)
if ! "$client_only"; then
  packages+=(
    # Without OpenBLAS, libtorch falls to a reference BLAS, many times slower.
    # oneDNN, which libtorch uses too, multiplies the matrices of a prefill.
    libtorch-dev libopenblas0-pthread libdnnl-dev
    prometheus-cpp-dev libspdlog-dev libpcre2-dev libbenchmark-dev
    # What the scripts and the end-to-end tests use.
    sqlite3 python3 curl clang-format
  )
fi

if "$with_tests"; then
  packages+=(
    # A report is looked at as its readers do.
    chromium
    # libFuzzer is clang's.
    clang libclang-rt-dev
  )
fi

if [[ -n "$runtime" ]]; then
  mapfile -t packages < "$runtime"
  packages+=("${called[@]}")
fi

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
  {
    echo "install-deps.sh: this is no Debian system (there is no apt-get)."
    echo "Install the equivalents of: ${packages[*]}"
  } >&2
  exit 1
fi

is_installed() {
  # "pkg-config" is a name that another package may merely provide.
  case "$1" in
    pkg-config) command -v pkg-config > /dev/null && return 0 ;;
  esac
  [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" \
    == installed* ]]
}

missing=()
for package in "${packages[@]}"; do
  is_installed "$package" || missing+=("$package")
done

if ((${#missing[@]} > 0)); then
  as_root=()
  if [[ "$(id -u)" != 0 ]]; then
    if ! command -v sudo > /dev/null; then
      {
        echo "install-deps.sh: run this as root, there is no sudo. Missing:"
        echo "  ${missing[*]}"
      } >&2
      exit 1
    fi
    as_root=(sudo)
  fi

  echo "install-deps.sh: installing ${missing[*]}"
  # A mirror that fails once mostly answers the second time.
  updated=false
  for pause in 2 5 0; do
    if "${as_root[@]}" apt-get update -q; then
      updated=true
      break
    fi
    sleep "$pause"
  done
  "$updated" || echo "install-deps.sh: 'apt-get update' failed; going on" \
    "with the package lists that are there" >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q -o Acquire::Retries=3 "${recommends[@]}" \
    "${missing[@]}"
else
  echo "install-deps.sh: all ${#packages[@]} packages are installed"
fi

# OpenBLAS has Debian's highest priority, so it is in use unless someone chose
# another library by hand; that choice is theirs, but they should know.
if ! "$client_only" && [[ -z "$runtime" ]] && command -v update-alternatives > /dev/null; then
  link="libblas.so.3-$(dpkg-architecture -qDEB_HOST_MULTIARCH 2> /dev/null \
    || gcc -dumpmachine)"
  in_use="$(update-alternatives --query "$link" 2> /dev/null \
    | sed -n 's/^Value: //p' || true)"
  case "$in_use" in
    *openblas*) ;;
    *)
      {
        echo "install-deps.sh: the BLAS in use is '${in_use:-unknown}', not"
        echo "OpenBLAS; the engine will be many times slower. Choose it with:"
        echo "  update-alternatives --config $link"
      } >&2
      ;;
  esac
fi
