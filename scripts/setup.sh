#!/bin/sh
# Makes a fresh Debian (12 or later) machine able to run Stillwire from this checkout: system packages, npm packages,
# the build, the guest image. Needs Node and npm to be there, and root only when a system package is missing.
# Says what it will do first, does only what is missing, and is quick when nothing is. All of its words go to stderr.
#
#   scripts/setup.sh [--tests]     --tests: also what the test suites need
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
exec 1>&2
PATH=$PATH:/usr/sbin:/sbin
guest=${STILLWIRE_CACHE:-$root/.cache}/guest

say() { echo "setup: $*"; }
refuse() {
  say "$*"
  exit 1
}

tests=
case ${1-} in
  '') ;;
  --tests) tests=yes ;;
  *) refuse 'usage: scripts/setup.sh [--tests]' ;;
esac

# Node first: without it nothing else is of use.
command -v node >/dev/null && command -v npm >/dev/null || refuse 'Node.js 20.19 or later and npm are needed, and not found'
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
  refuse "Node.js $(node --version) is too old: 20.19 or later is needed"

# What is missing, as lines of "program package".
missing=
want() { # want PACKAGE PROGRAM
  command -v "$2" >/dev/null || missing="$missing$2 $1
"
}
want qemu-system-x86 qemu-system-x86_64
want iproute2 ip
want cpio cpio
want gcc gcc
# A dynamic busybox would not run in the guest.
static() { head -c 4096 "$1" | grep -q ld-linux && return 1 || return 0; }
if ! command -v busybox >/dev/null || ! static "$(command -v busybox)"; then
  missing="${missing}busybox(static) busybox-static
"
fi
[ -n "$(find /usr/lib -maxdepth 2 -name libc.a 2>/dev/null | head -n 1)" ] || missing="${missing}libc.a libc6-dev
"
if [ -n "$tests" ]; then
  want tshark tshark
  want ethtool ethtool
fi
if [ ! -s "$guest/kernel.deb" ]; then # the guest's kernel is downloaded with these
  want apt apt-get
  want dpkg dpkg-deb
fi

if [ -n "$missing" ]; then
  packages=$(printf '%s' "$missing" | cut -d ' ' -f 2 | tr '\n' ' ')
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    if command -v apt-get >/dev/null; then say 'some programs are missing, and installing them needs root:'
    else say 'some programs are missing, and this machine has no apt-get to install them with:'; fi
    printf '%s' "$missing" | while read -r program package; do say "  $program  (Debian package $package)"; done
    refuse "nothing was changed. On Debian: apt-get install --no-install-recommends $packages"
  fi
fi

needs_npm=
[ -e node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] || needs_npm=yes
needs_build=$needs_npm
built=dist/cli/main.js
if [ ! -e "$built" ] || [ -n "$(find src scripts/build.mjs tsconfig.json -type f -newer "$built")" ]; then needs_build=yes; fi

[ -z "$missing" ] || say "will install these Debian packages: $packages"
[ -z "$needs_npm" ] || say 'will install the npm packages of package-lock.json into node_modules'
[ -z "$needs_build" ] || say 'will build src into dist'
[ -s "$guest/kernel.deb" ] ||
  say "will download Debian's cloud kernel for the guests into $guest (unpacked there, not installed)"
[ -s "$guest/initramfs.gz" ] || say "will build the guest image there"

if [ -n "$missing" ]; then
  export DEBIAN_FRONTEND=noninteractive
  install() { apt-get -q install -y --no-install-recommends $packages </dev/null; }
  # Package lists may be absent, or name files that are gone from the archive.
  if ! apt-get -qq -s install --no-install-recommends $packages >/dev/null 2>&1 || ! install; then
    say 'fetching package lists'
    apt-get -q update
    install
  fi
fi
[ -z "$needs_npm" ] || npm ci --no-audit --no-fund
[ -z "$needs_build" ] || npm run --silent build
scripts/guest-image.sh
