/**
 * `npm run fuzz`: starts fuzz.ts from its source. Node 20 runs no TypeScript, so a hook strips the types on the way in;
 * the compiler that checks them is `npm run typecheck`.
 */
import { register } from 'node:module';

process.setSourceMapsEnabled(true);
register('./typescript-hook.mjs', import.meta.url);
await import('./fuzz.ts');
