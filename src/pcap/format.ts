/**
 * The numbers of pcapng that writer and reader share (draft-ietf-opsawg-pcapng), and what a file means to us.
 *
 * A file is a chain of blocks, each `type, length, body, length` in 32-bit words, so that it can be walked from
 * both ends. A section header fixes the byte order; interface blocks follow and are numbered in order; packet
 * blocks name one. Whatever is not fixed travels as options: `code, length, value` padded to 32 bits.
 */

export const BLOCK = {
  sectionHeader: 0x0a0d0d0a,
  interface: 1,
  /** Obsolete since 2004, still found in old captures. */
  packet: 2,
  simplePacket: 3,
  interfaceStatistics: 5,
  enhancedPacket: 6,
} as const;

/** Option codes; 2 to 2987 mean something else in every kind of block. */
export const OPTION = {
  end: 0,
  comment: 1,
  /** Binary custom option that programs may copy into new files; its value begins with the enterprise number. */
  custom: 2989,
  section: { application: 4 },
  interface: { name: 2, description: 3, resolution: 9, offset: 14 },
  packet: { flags: 2, dropped: 4, packetId: 5 },
  statistics: { received: 4, dropped: 5 },
} as const;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const LINKTYPE_ETHERNET = 1;
/** type, length and the length again. */
export const BLOCK_OVERHEAD_BYTES = 12;

/**
 * Whose custom options are ours: 32473, the enterprise number that RFC 5612 sets aside for examples, because
 * Stillwire has none registered. The value must therefore tell by itself that it is Stillwire's.
 */
export const ENTERPRISE_NUMBER = 32_473;

/** Longest option value: its length is a 16-bit number. */
export const MAX_OPTION_BYTES = 65_535;
/** Longest {@link PcapPacket.custom}: an option that begins with the enterprise number. */
export const MAX_CUSTOM_BYTES = MAX_OPTION_BYTES - 4;

/** Largest packet of any libpcap reader (MAXIMUM_SNAPLEN); four times the longest super-frame. */
export const MAX_PACKET_BYTES = 262_144;

/** Bytes to the next 32-bit boundary included. */
export const padded = (length: number): number => Math.ceil(length / 4) * 4;

/** Where packets were seen: for Stillwire, a port. */
export interface PcapInterface {
  readonly name: string;
  readonly description?: string;
}

export interface PcapPacket {
  /** Index into {@link PcapSection.interfaces}. */
  readonly interface: number;
  /** Wall clock, nanoseconds since 1970; 0 to 2^64-1. */
  readonly timeNs: bigint;
  /** The frame, never cut short, at most {@link MAX_PACKET_BYTES}. */
  readonly bytes: Uint8Array;
  /** `epb_packetid`: the same packet seen on two interfaces has one id. */
  readonly packetId?: bigint;
  /** Bits 0 and 1 of `epb_flags`. */
  readonly direction?: 'inbound' | 'outbound';
  /** For a person; at most {@link MAX_OPTION_BYTES} of UTF-8. */
  readonly comment?: string;
  /** For Stillwire ({@link ENTERPRISE_NUMBER}); at most {@link MAX_CUSTOM_BYTES}. */
  readonly custom?: Uint8Array;
  /** Packets the interface lost between its packet before this one and this one. */
  readonly dropped?: number;
}

export interface PcapSection {
  /** The program that wrote it; empty when the file does not say. */
  readonly application: string;
  readonly comment?: string;
  readonly interfaces: readonly PcapInterface[];
}
