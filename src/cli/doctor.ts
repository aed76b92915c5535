/** `doctor`: what this machine can do, what is missing, and how to get it. */
import { EXIT } from '../errors/index.js';
import { defineCommand } from './command.js';
import { examine, type Finding } from './examine.js';
import type { Paint } from './terminal.js';

export const doctor = defineCommand({
  usage: 'doctor',
  group: 'machine',
  summary: 'what this machine can do, what is missing, how to get it',
  description: `Tries what networks and checkpoints need, changing nothing. Exit code 1 when something required is missing; the
rest only makes something impossible that you may not want.`,
  async run(session) {
    const findings = await examine(session);
    const ok = findings.every((finding) => !isObstacle(finding));
    await session.document({ ok, findings }, () =>
      [
        ...findings.map((finding) => describeFinding(finding, session.out.paint)),
        ok ? 'everything required is here' : 'something required is missing',
      ].join('\n'),
    );
    return ok ? EXIT.ok : EXIT.failed;
  },
});

const isObstacle = ({ state, required }: Finding): boolean => state === 'missing' && required;

function describeFinding(finding: Finding, paint: Paint): string {
  const { name, state, required, found, next } = finding;
  const color = state === 'ok' ? 'good' : isObstacle(finding) ? 'bad' : 'warn';
  const word = paint(color, state.padEnd(8));
  const optional = required || state === 'ok' ? '' : ' (optional)';
  return `${word} ${name.padEnd(15)} ${found}${optional}${next === undefined ? '' : `\n${' '.repeat(25)}→ ${next}`}`;
}
