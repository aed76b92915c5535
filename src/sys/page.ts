/** The machine's page. */
import { check, native } from './libc.js';

const SC_PAGESIZE = 30;
const cSysconf = native<[number]>('long sysconf(int name)');

export const PAGE_BYTES = check(cSysconf(SC_PAGESIZE), 'sysconf', 'page size');
