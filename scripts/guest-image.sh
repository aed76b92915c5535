#!/bin/sh
# Builds the guest image of demo, soak and guest tests under .cache/guest (or $STILLWIRE_CACHE/guest):
#
#   vmlinuz         Debian's current cloud kernel: its package is downloaded and unpacked there, never installed
#   initramfs.gz    busybox, that kernel's network modules, guest-image/init, the traffic generator, the echo
#                   agent, the platform probes
#
# Does nothing when what it is made of has not changed. The kernel stays the one first downloaded, so that it works
# offline and checkpoints stay restorable; `--refresh-kernel` looks for a newer one.
# Equal inputs give an equal initramfs, byte for byte: a checkpoint records its hash.
# Needs apt-get (for the download), dpkg-deb, busybox (static), cpio, gcc with libc6-dev. No root.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
guest=${STILLWIRE_CACHE:-$root/.cache}/guest
# Loaded in the order of modules.dep; what a kernel has built in, or has not at all, is left out.
modules='virtio_pci virtio_net failover net_failover virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev
  e1000 e1000e af_packet ipv6 8021q bridge tun veth dummy sch_tbf'

say() { echo "guest image: $*" >&2; }
refuse() {
  say "$*"
  exit 1
}

case ${1-} in
  '') ;;
  --refresh-kernel) rm -f "$guest/kernel.deb" ;;
  *) refuse "usage: guest-image.sh [--refresh-kernel]" ;;
esac
mkdir -p "$guest"
exec 9>"$guest/lock" # two test runs may ask at the same time
flock 9

scratch=$(mktemp -d "$guest/build.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# The package behind the meta package: linux-image-6.1.0-56-cloud-amd64 today.
kernel_package() {
  apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ <]*\)$/\1/p' | head -n 1
}

fetch_kernel() {
  command -v apt-get >/dev/null || refuse 'apt-get is missing: the kernel comes from the Debian archive'
  [ "$(dpkg --print-architecture)" = amd64 ] || refuse 'only amd64 guests are built'
  package=$(kernel_package)
  # Without package lists, or with old ones, the name or the file is not found: lists of our own, so that no root is needed.
  if [ -z "$package" ] || ! download "$package"; then
    mkdir -p "$guest/apt/lists/partial" "$guest/apt/cache/archives/partial"
    say 'fetching package lists'
    export APT_CONFIG="$guest/apt/apt.conf"
    printf 'Dir::State::Lists "%s";\nDir::Cache "%s";\n' "$guest/apt/lists" "$guest/apt/cache" >"$APT_CONFIG"
    apt-get -qq update >&2
    package=$(kernel_package)
    [ -n "$package" ] || refuse 'the package linux-image-cloud-amd64 is not known to apt'
    download "$package" || refuse "cannot download $package"
    rm -rf "$guest/apt"
  fi
}

download() {
  say "downloading $1 (unpacked, not installed)"
  (cd "$scratch" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$1" >&2) || return 1
  mv "$scratch/$1"_*.deb "$guest/kernel.deb"
}

# Content of all inputs, tools included.
stamp() {
  (cd "$root" && find guest-image examples/echo-agent test/platform scripts/guest-image.sh -type f ! -name '*.md' | LC_ALL=C sort |
    xargs sha256sum)
  sha256sum "$(command -v busybox)" "$guest/kernel.deb" | cut -d ' ' -f 1
  gcc --version | head -n 1
}

[ -s "$guest/kernel.deb" ] || fetch_kernel
stamp >"$scratch/stamp"
if [ -s "$guest/vmlinuz" ] && [ -s "$guest/initramfs.gz" ] && cmp -s "$scratch/stamp" "$guest/stamp"; then exit 0; fi

say 'building'
rm -f "$guest/stamp"
dpkg-deb -x "$guest/kernel.deb" "$scratch/kernel"
busybox=$(command -v busybox)
tree=$scratch/tree
mkdir -p "$tree/bin" "$tree/sbin" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/tmp" "$tree/root" "$tree/platform"

cp "$busybox" "$tree/bin/busybox"
for applet in $("$busybox" --list); do
  [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
done
ln -s ../bin/busybox "$tree/sbin/modprobe" # where the kernel itself looks
cp "$root/guest-image/init" "$tree/init"
chmod 755 "$tree/init"

gcc -std=gnu11 -O2 -Wall -static -s -o "$tree/bin/traffic" "$root"/guest-image/traffic/*.c
gcc -std=gnu11 -O2 -Wall -static -s -o "$tree/bin/echo-agent" "$root/examples/echo-agent/agent.c"
gcc -std=gnu11 -O2 -Wall -static -s -o "$tree/bin/witness" "$root/guest-image/witness.c"
"$root/test/platform/build.sh" "$tree/platform"

# Modules, with all that they depend on. Newer Debian compresses them.
version=$(ls "$scratch"/kernel/boot/vmlinuz-* | sed 's/.*vmlinuz-//')
source=$(find "$scratch/kernel" -type d -path "*lib/modules/$version")
target=$tree/lib/modules/$version
mkdir -p "$target"
add_module() {
  name=$(echo "$1" | tr - _)
  [ ! -e "$target/$name.ko" ] || return 0
  pattern=$(echo "$name" | sed 's/_/[-_]/g')
  file=$(find "$source" -name "$pattern.ko" -o -name "$pattern.ko.xz" | head -n 1)
  case $file in
    '') return 0 ;;
    *.xz) "$busybox" xzcat "$file" >"$target/$name.ko" ;;
    *) cp "$file" "$target/$name.ko" ;;
  esac
  for dependency in $(tr '\0' '\n' <"$target/$name.ko" | sed -n 's/^depends=//p' | tr , ' '); do
    add_module "$dependency"
  done
}
for module in $modules; do add_module "$module"; done
"$busybox" depmod -b "$tree" "$version"

find "$tree" -exec touch -h -d @0 {} +
(cd "$tree" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -9n >"$scratch/initramfs.gz"
mv "$scratch/kernel/boot/vmlinuz-$version" "$guest/vmlinuz"
mv "$scratch/initramfs.gz" "$guest/initramfs.gz"
mv "$scratch/stamp" "$guest/stamp"
say "ready: kernel $version, initramfs $(($(wc -c <"$guest/initramfs.gz") / 1024)) KiB in $guest"
