#!/bin/sh
# Packs Stillwire, installs the tarball into a scratch directory as a stranger would, checks the package, and runs the
# example orchestrator on it. Needs root (network namespaces) and a built checkout. Arguments go to orchestrator.mjs.
set -eu

fail() { echo "run.sh: $*" >&2; exit 1; }

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
[ "$(id -u)" = 0 ] || fail 'needs root: it makes network namespaces'
for program in node npm ip nsenter; do
  command -v "$program" >/dev/null || fail "needs $program (Debian: nodejs, npm, iproute2, util-linux)"
done
[ -f "$root/dist/index.js" ] || fail 'the checkout is not built: npm ci && npm run build'

scratch=$(mktemp -d)
ORCHESTRA_RUN=$$
export ORCHESTRA_RUN

# The orchestrator cleans up after itself; this is for when it was killed.
clean_up() {
  rm -rf "$scratch"
  for name in ann bob cat; do
    namespace="orchestra-$ORCHESTRA_RUN-$name"
    [ -e "/run/netns/$namespace" ] || continue
    for pid in $(ip netns pids "$namespace"); do kill -KILL "$pid" || true; done
    ip netns delete "$namespace"
  done
  [ ! -e "/run/netns/stillwire-orchestra-$ORCHESTRA_RUN" ] || ip netns delete "stillwire-orchestra-$ORCHESTRA_RUN"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

echo '== pack'
(cd "$root" && npm pack --json --ignore-scripts --pack-destination "$scratch") >"$scratch/pack.json"
node "$here/check-package.mjs" "$scratch/pack.json"

echo '== install'
cd "$scratch"
echo '{ "private": true, "type": "module" }' >package.json
npm install --prefer-offline --no-audit --no-fund --loglevel=error ./stillwire-*.tgz
version=$(node -p 'require("./node_modules/stillwire/package.json").version')
[ "$(npx --no-install stillwire --version)" = "$version" ] || fail "the command stillwire does not say it is $version"

echo '== types, strict, as a consumer sees them'
cp "$here"/*.mjs .
cat >consumer.ts <<'CONSUMER'
import { define, open, save, StillwireError, type ErrorCode, type InflightFrame, type Mark } from 'stillwire';

export async function cut(): Promise<{ mark: Mark; frames: InflightFrame[]; path: string }> {
  const network = await open(define({ network: 'lab', segments: { lan: {} } }));
  const hold = await network.hold({ leaseMs: 5000, method: 'count' });
  const mark = await hold.mark();
  await hold.release();
  const frames = await mark.frames();
  const { path } = await save(network, mark, { name: 'monday', directory: '/tmp' });
  return { mark, frames, path };
}
export const codeOf = (error: unknown): ErrorCode | undefined =>
  error instanceof StillwireError ? error.code : undefined;
// @ts-expect-error a lease is a number: were everything `any`, this would be no error
export const wrong = (network: Awaited<ReturnType<typeof open>>) => network.hold({ leaseMs: 'long' });
CONSUMER
cat >tsconfig.json <<CONFIG
{
  "compilerOptions": {
    "module": "NodeNext", "target": "ES2022", "strict": true, "exactOptionalPropertyTypes": true,
    "noUncheckedIndexedAccess": true, "allowJs": true, "checkJs": true, "noEmit": true,
    "types": ["node"], "typeRoots": ["$root/node_modules/@types"]
  },
  "files": ["consumer.ts", "orchestrator.mjs", "traffic.mjs"]
}
CONFIG
node "$root/node_modules/typescript/bin/tsc" -p .

echo '== run'
TMPDIR=$scratch node orchestrator.mjs "$@"
