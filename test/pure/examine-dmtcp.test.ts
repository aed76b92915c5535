/** What doctor says of a DMTCP, of each kind that there is. */
import { expect, test } from 'vitest';
import { judgeDmtcp, type DmtcpSeen } from '../../src/cli/examine.js';

const SEEN: DmtcpSeen = {
  launch: { ran: true, words: 'dmtcp_launch (DMTCP) 5.0.0' },
  options: '  --gzip, --no-gzip, (environment variable DMTCP_GZIP=[01])',
  commands: '-bc, --bcheckpoint   --json',
  forks: false,
  compiler: { ran: true, words: 'cc 12' },
};

test('it can be used: what it can do is told', () => {
  expect(judgeDmtcp(SEEN)).toEqual({
    name: 'DMTCP',
    state: 'ok',
    required: false,
    found: 'dmtcp_launch (DMTCP) 5.0.0: gzip, dmtcp_command -bc, dmtcp_command --json',
  });
  const forking = judgeDmtcp({ ...SEEN, commands: '-bc', forks: true });
  expect(forking.found).toBe('dmtcp_launch (DMTCP) 5.0.0: gzip, forked, dmtcp_command -bc');
  expect(judgeDmtcp({ ...SEEN, options: '', commands: '' }).found).toBe('dmtcp_launch (DMTCP) 5.0.0');
});

const nothing = { launch: { ran: false, words: 'dmtcp_launch is not installed' }, options: '', commands: '' };
test.each([
  ['none', { ...SEEN, ...nothing }, 'missing', /^dmtcp_launch is not installed; .*`dmtcp` need it$/],
  ['too old', { ...SEEN, launch: { ran: true, words: 'dmtcp_launch (DMTCP) 2.6.0' } }, 'limited', /2\.6\.0/],
])('%s: how to build one, for it is no package', (_, seen, state, found) => {
  const finding = judgeDmtcp(seen);
  expect(finding.state).toBe(state);
  expect(finding.found).toMatch(found);
  expect(finding.next).toMatch(/github\.com\/dmtcp\/dmtcp.*docs\/dmtcp\.md/);
  expect(finding.next).not.toContain('apt-get');
});

test('without a compiler the plugin cannot be made', () => {
  const finding = judgeDmtcp({ ...SEEN, compiler: { ran: false, words: 'cc is not installed' } });
  expect(finding).toMatchObject({ state: 'limited', next: 'apt-get install gcc' });
  expect(finding.found).toContain('no compiler for the plugin');
});
