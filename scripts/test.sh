#!/bin/sh
# Sets up what the tests need (scripts/setup.sh says what), then runs every check and suite. Needs root.
# For each suite: how many tests ran, how many must run at least. A skipped suite fails.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || {
  echo 'tests: the kernel and guest suites make TAP devices and namespaces: run as root' >&2
  exit 1
}
scripts/setup.sh --tests
exec node scripts/test.mjs "$@"
