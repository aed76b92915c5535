/** Every command, in the manual's order. */
import { capture } from './capture.js';
import { checkpoint } from './checkpoint.js';
import type { Command } from './command.js';
import { demo } from './demo.js';
import { doctor } from './doctor.js';
import { down } from './down.js';
import { frames } from './frames.js';
import { hold } from './hold.js';
import { list, remove } from './list.js';
import { mark, release } from './mark.js';
import { restart, restore } from './restart.js';
import { show } from './show.js';
import { status } from './status.js';
import { up } from './up.js';
import { verify } from './verify.js';

export const COMMANDS: readonly Command[] = [
  up,
  status,
  checkpoint,
  restart,
  capture,
  down,
  list,
  show,
  verify,
  frames,
  remove,
  hold,
  mark,
  restore,
  release,
  doctor,
  demo,
];
