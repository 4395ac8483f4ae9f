#!/usr/bin/env bash
# Calls every method of a server with tokens of every kind, and connects to it in
# every way that must fail, and checks that it lets in whom it should. Builds what
# it needs.
#
#   tests/fault/access.sh

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" access "$@"
