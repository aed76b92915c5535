/** System calls. Nothing above this room knows a constant of the kernel's or touches koffi. */
export { check, EAGAIN, EBADFD, EINVAL, EMSGSIZE, errno, errnoName, systemError } from './libc.js';
export { copyMemory, emptyArena, mapArena, putPointer, type Arena } from './memory.js';
export { MappedFile } from './mapped-file.js';
export {
  areNoted,
  clearNotes,
  isNoted,
  MAX_NOTED,
  noteSendsIn,
  noteSent,
  NOTES_BYTES,
  type NotesPage,
} from './send-notes.js';
export * from './fd.js';
export * from './epoll.js';
export * from './netns.js';
export * from './link.js';
export * from './tap.js';
export * from './netlink.js';
export * from './packet.js';
export { isInSocket, PacketRing } from './packet-ring.js';
export { MessageVector } from './message-vector.js';
export * from './unix-datagram.js';
export * from './privilege.js';
export * from './fd-passing.js';
export * from './pidfd.js';
export * from './clock.js';
export * from './scheduling.js';
export * from './ownership.js';
export { MAX_BATCH, MAX_TAGS, Ring, type RingSetup } from './uring.js';
export { PAGE_BYTES } from './page.js';
