#!/bin/sh
# Builds the probes under .cache/platform (or $STILLWIRE_CACHE/platform) and runs them on this machine. Needs root and gcc.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
built=${STILLWIRE_CACHE:-$here/../../.cache}/platform
"$here/build.sh" "$built"
exec "$built/run"
