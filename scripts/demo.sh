#!/bin/sh
# Sets up what Stillwire and its demo need (scripts/setup.sh says what), then runs the demo. Needs root.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || {
  echo 'demo: it makes TAP devices and a network namespace: run as root' >&2
  exit 1
}
scripts/setup.sh
exec node dist/cli/main.js demo "$@"
