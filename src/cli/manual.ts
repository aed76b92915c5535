/** What `stillwire help` says after the lists of options and commands. */
import { EXIT, type ExitName } from '../errors/index.js';

const EXIT_MEANINGS: Readonly<Record<ExitName, string>> = {
  ok: 'done',
  failed: 'failed',
  usage: 'wrong arguments, network file or name; nothing was begun',
  unreachable: 'no daemon answers',
  notFound: 'no such network, checkpoint or hold',
  conflict: 'exists already, is held, busy, or has changed',
  timedOut: 'not quiet, not proven or not done in time',
  imageInvalid: 'the checkpoint is damaged or of another version',
  interrupted: 'interrupted; what was begun is undone',
};

const exits = Object.entries(EXIT).map(
  ([name, code]) => `  ${String(code).padStart(3)}  ${EXIT_MEANINGS[name as ExitName]}`,
);

export const MANUAL = `The network meant: -n, else the only one that runs, else that of ./stillwire.yaml.
A checkpoint is named, or given as a path. What two networks have of one name, -n tells apart.

Output: results on stdout, progress and errors on stderr. --json: one document with schemaVersion 1
(demo: without; hold and what writes packets: none); errors then are {"schemaVersion":1,"error":{code,message,details,next}} on stderr.

Environment: every option is a variable too, such as STILLWIRE_NETWORK, STILLWIRE_JSON=1 or
STILLWIRE_QUIET_WAIT; an option on the command line goes first. STILLWIRE_RUN is the directory of sockets
(/run/stillwire for root), STILLWIRE_STATE that of checkpoints (/var/lib/stillwire for root).
STILLWIRE_ENGINE=epoll or io_uring chooses what turns the switch; else it is what the machine allows.

Exit codes:
${exits.join('\n')}

A first network:
  stillwire up lab.yaml                # in the foreground; ^C takes it down
  stillwire checkpoint before --kill   # the guests end once the checkpoint is durable
  stillwire restart before             # and everything carries on`;
