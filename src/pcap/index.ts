/** The pcap room: pcapng written and read, classic pcap written. */
export { ENTERPRISE_NUMBER, MAX_CUSTOM_BYTES, MAX_OPTION_BYTES, MAX_PACKET_BYTES } from './format.js';
export type { PcapInterface, PcapPacket, PcapSection } from './format.js';
export { encodeHeader, encodeInterfaceStatistics, encodePacket } from './write.js';
export { decode, DEFAULT_PCAP_LIMITS } from './read.js';
export type { PcapLimits } from './read.js';
export { encodeClassic } from './classic.js';
