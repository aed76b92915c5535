/** Arguments and environment, parsed by commander into a command with its flags, or a page of the manual. */
import { readFileSync } from 'node:fs';
import { Command as Parser, CommanderError } from 'commander';
import { StillwireError } from '../errors/index.js';
import { GROUPS, type Command } from './command.js';
import { MANUAL } from './manual.js';
import { dropRefusals, globalOptions, type GlobalFlags } from './options.js';

export interface Invocation {
  readonly command: Command;
  readonly operands: readonly string[];
  readonly flags: object;
  readonly globals: GlobalFlags;
}

/** The program's own version. */
export function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function parserOf(commands: readonly Command[], onChoice: (choice: Invocation) => void): Parser {
  const program = new Parser('stillwire')
    .description('Checkpoint and restart a network of virtual machines at one instant, with no frame lost.')
    .version(version(), '-V, --version', 'the version')
    .helpOption('-h, --help', 'this, or the page of a command')
    .helpCommand('help [command]', 'this, or the page of a command')
    .addHelpText('after', `\n${MANUAL}`)
    .configureHelp({ showGlobalOptions: true, optionDescription: ({ description }) => description });
  for (const option of globalOptions()) program.addOption(option);
  for (const command of commands) {
    const [name = '', ...operands] = command.usage.split(' ');
    const parser = program
      .command(name)
      .summary(command.summary)
      .description(command.description ?? command.summary)
      .helpGroup(GROUPS[command.group])
      .action(() => {
        onChoice({
          command,
          operands: parser.args,
          flags: parser.opts(),
          globals: program.opts<GlobalFlags>(),
        });
      });
    for (const operand of operands) parser.argument(operand);
    for (const option of command.options ?? []) parser.addOption(option);
  }
  return program;
}

/** Every parser: settings are not handed down to commands that exist already. */
const all = (program: Parser): Parser[] => [program, ...program.commands];

/**
 * @returns what to run, or the text of a page that was asked for
 * @throws StillwireError USAGE
 */
export function parseArguments(commands: readonly Command[], args: readonly string[]): Invocation | string {
  let choice: Invocation | undefined;
  let page = '';
  const program = parserOf(commands, (chosen) => (choice = chosen));
  for (const parser of all(program)) {
    parser.exitOverride().configureOutput({
      writeOut: (text) => (page += text),
      // Only the help shown for want of a command comes here: errors are thrown and told once.
      writeErr: (text) => (page += text),
      outputError: () => undefined,
    });
    dropRefusals(parser.options, process.env);
  }
  try {
    program.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return page.trimEnd();
    const words = error.code === 'commander.help' ? page : error.message.replace(/^error: /, '');
    throw new StillwireError('USAGE', words.trimEnd());
  }
  if (choice === undefined) throw new StillwireError('INTERNAL', 'no command was chosen');
  return choice;
}
