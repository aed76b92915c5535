/**
 * Link counters by rtnetlink (RTM_GETSTATS, net/core/rtnetlink.c), in the calling thread's namespace. sysfs would
 * show the namespace it was mounted in.
 */
import { check, errno, native, systemError } from './libc.js';
import { closeFd } from './fd.js';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const NETLINK_ROUTE = 0;
const RTM_GETSTATS = 94;
const NLM_F_REQUEST = 1;
const NLMSG_ERROR = 2;
/** IFLA_STATS_LINK_64 as a filter bit. */
const FILTER_LINK_64 = 1;
const NLMSG_HEADER = 16;
const STATS_HEADER = 12;
const ATTRIBUTE_HEADER = 4;

const cSocket = native<[number, number, number]>('int socket(int domain, int type, int protocol)');
const cSend = native<[number, Uint8Array, number, number]>(
  'long send(int fd, const void *buffer, size_t length, int flags)',
);
const cRecv = native<[number, Uint8Array, number, number]>(
  'long recv(int fd, void *buffer, size_t length, int flags)',
);

/** struct rtnl_link_stats64, the terms we use. From the device's side: rx is what its reader wrote into it. */
export interface LinkCounters {
  readonly rxPackets: number;
  readonly txPackets: number;
  readonly rxDropped: number;
  readonly txDropped: number;
}

export class LinkStatistics {
  readonly #fd: number;
  readonly #request = Buffer.alloc(NLMSG_HEADER + STATS_HEADER);
  readonly #answer = Buffer.alloc(4096);

  constructor() {
    this.#fd = check(cSocket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_ROUTE), 'socket', 'NETLINK_ROUTE');
    this.#request.writeUInt32LE(this.#request.length, 0);
    this.#request.writeUInt16LE(RTM_GETSTATS, 4);
    this.#request.writeUInt16LE(NLM_F_REQUEST, 6);
    this.#request.writeUInt32LE(FILTER_LINK_64, NLMSG_HEADER + 8);
  }

  /** Counters of the device with this index. */
  read(index: number): LinkCounters {
    this.#request.writeInt32LE(index, NLMSG_HEADER + 4);
    check(cSend(this.#fd, this.#request, this.#request.length, 0), 'send', 'RTM_GETSTATS');
    const length = check(cRecv(this.#fd, this.#answer, this.#answer.length, 0), 'recv', 'RTM_GETSTATS');
    if (this.#answer.readUInt16LE(4) === NLMSG_ERROR) {
      throw systemError(-this.#answer.readInt32LE(NLMSG_HEADER), 'RTM_GETSTATS', `link ${index}`);
    }
    const base = NLMSG_HEADER + STATS_HEADER + ATTRIBUTE_HEADER;
    if (length < base + 64) throw systemError(errno(), 'RTM_GETSTATS', `short answer for link ${index}`);
    const counter = (n: number): number => Number(this.#answer.readBigUInt64LE(base + 8 * n));
    return { rxPackets: counter(0), txPackets: counter(1), rxDropped: counter(6), txDropped: counter(7) };
  }

  close(): void {
    closeFd(this.#fd);
  }
}
