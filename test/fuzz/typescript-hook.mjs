/** Module hooks (node:module) that read `x.js` of an import as `x.ts` when that is what is there, types taken out. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const options = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  inlineSourceMap: true,
};

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, next) {
  // Helpers of the pure suite are used here too; what they ask of the test runner is answered by a stand-in.
  if (specifier === 'vitest') return next(new URL('./without-vitest.ts', import.meta.url).href, context);
  if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL?.endsWith('.ts')) {
    const source = new URL(specifier.slice(0, -3) + '.ts', context.parentURL);
    if (existsSync(source)) return { url: source.href, format: 'module', shortCircuit: true };
  }
  return next(specifier, context);
}

/** @type {import('node:module').LoadHook} */
export function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  const fileName = fileURLToPath(url);
  const { outputText } = ts.transpileModule(readFileSync(fileName, 'utf8'), {
    compilerOptions: options,
    fileName,
  });
  return { format: 'module', source: outputText, shortCircuit: true };
}
