// Writes docs/errors.md from the table of the build, dist/errors/index.js. A pure test holds the page against the source.
import { writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

const EXIT_TITLES = {
  failed: 'failed',
  usage: 'usage',
  unreachable: 'daemon unreachable',
  notFound: 'not found',
  conflict: 'conflict',
  timedOut: 'timed out',
  imageInvalid: 'image invalid',
  interrupted: 'interrupted',
};

/** The page as text, from the tables ERRORS and EXIT of src/errors. */
export function renderErrorsPage(errors, exit) {
  const sections = Object.entries(EXIT_TITLES).map(([name, title]) => {
    const entries = Object.entries(errors).filter(([, entry]) => entry.exit === name);
    const items = entries.map(([code, { meaning, next }]) => `- **\`${code}\`** ${meaning} ${next}`);
    return [`## Exit code ${exit[name]}: ${title}`, '', ...items].join('\n');
  });
  return `# Errors

Every failure has a stable code: in the library as \`error.code\`, over HTTP as \`code\`, with \`--json\` as \`error.code\`
on stderr. Messages may change between versions, codes do not. Each code belongs to one exit code of the command;
exit code ${exit.ok} is success. First what it means, then what to do.

Written by \`scripts/errors-page.mjs\` from \`src/errors/index.ts\`.

${sections.join('\n\n')}
`;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { ERRORS, EXIT } = await import(new URL('../dist/errors/index.js', import.meta.url).href);
  writeFileSync(new URL('../docs/errors.md', import.meta.url), renderErrorsPage(ERRORS, EXIT));
}
