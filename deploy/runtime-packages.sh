#!/usr/bin/env bash
# Names the Debian packages that compiled programs need to run: those of the
# libraries that they are linked with, and the BLAS behind libtorch, which any
# package may provide. What these need in turn, apt knows. Run it where the
# programs were compiled; deploy/install-deps.sh --runtime installs the result
# where they are to run, on the same Debian.

set -euo pipefail

usage() {
  cat <<'USAGE'
usage: deploy/runtime-packages.sh PROGRAM...

  Prints the packages, one a line. A library of no package (of a libtorch that
  did not come from Debian) is named on stderr: it has to be copied.
USAGE
}

case "${1:---help}" in
  --help | -h)
    usage
    exit 0
    ;;
esac

fail() {
  echo "runtime-packages.sh: $*" >&2
  exit 1
}

# The package of a file. Debian 12 names some below /lib, which is /usr/lib.
package_of() {
  local path
  for path in "$1" "$(realpath "$1")" "/usr$1" "${1#/usr}"; do
    if dpkg-query -S "$path" 2> /dev/null | sed -n '1s/:.*//p' | grep .; then
      return
    fi
  done
  return 1
}

for program in "$@"; do
  [[ -x "$program" ]] || fail "$program: no such program"
  linked="$(objdump -p "$program" | awk '$1 == "NEEDED" { print $2 }')"
  # "libx.so.1 => /lib/libx.so.1 (0x…)"
  ldd "$program" | while read -r name arrow path _; do
    [[ "$arrow" == "=>" ]] || continue
    [[ "$path" != not ]] || fail "$program: $name was not found"
    if [[ "$name" != libblas.so.3 && "$name" != liblapack.so.3 ]]; then
      grep -qxF "$name" <<< "$linked" || continue
    fi
    package_of "$path" \
      || echo "runtime-packages.sh: of no package: $path" >&2
  done
done | sort -u
