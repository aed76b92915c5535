#!/bin/sh
# Builds the probes into a directory: one static program that is each of them by its name (so that libc is there once),
# a link for each, and `run`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
to=$1
mkdir -p "$to"
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
names=
for source in "$here"/*.c; do
  name=$(basename "$source" .c)
  gcc -std=gnu11 -O2 -Wall -Wextra -D"main=probe_$name" -c -o "$objects/$name.o" "$source"
  names="$names $name"
done
{
  echo '#include <string.h>'
  for name in $names; do echo "int probe_$name(void);"; done
  echo 'int main(int argc, char **argv) {'
  echo '  const char *slash = argc > 0 ? strrchr(argv[0], 47) : 0, *name = slash ? slash + 1 : argv[0];'
  for name in $names; do echo "  if (strcmp(name, \"$name\") == 0) return probe_$name();"; done
  echo '  return 2;'
  echo '}'
} >"$objects/main.c"
gcc -O2 -static -s -pthread -o "$to/probe" "$objects/main.c" "$objects"/*.o
for name in $names; do ln -sf probe "$to/$name"; done
echo $names | tr ' ' '\n' >"$to/list"
cp "$here/run" "$to/run"
chmod 755 "$to/run"
