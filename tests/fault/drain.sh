#!/usr/bin/env bash
# Sends SIGTERM to a server in every state that it can be in, and checks that it
# ends well and loses nothing. Builds what it needs.
#
#   tests/fault/drain.sh

exec "$(dirname "${BASH_SOURCE[0]}")/run.sh" drain "$@"
