import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { ERRORS, EXIT } from '../../src/errors/index.js';

const root = new URL('../../', import.meta.url);

interface Script {
  readonly renderErrorsPage: (errors: typeof ERRORS, exit: typeof EXIT) => string;
}

test('docs/errors.md is what scripts/errors-page.mjs writes', async () => {
  const { renderErrorsPage } = (await import(new URL('scripts/errors-page.mjs', root).href)) as Script;
  const page = renderErrorsPage(ERRORS, EXIT);
  expect(await readFile(new URL('docs/errors.md', root), 'utf8')).toBe(page);
  for (const code of Object.keys(ERRORS)) expect(page.split(`**\`${code}\`**`)).toHaveLength(2);
});
