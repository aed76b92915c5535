/** Numbers of packet sockets: include/uapi/linux/if_packet.h. */
export const SOL_PACKET = 263;
export const PACKET_RX_RING = 5;
export const PACKET_STATISTICS = 6;
export const PACKET_COPY_THRESH = 7;
export const PACKET_AUXDATA = 8;
export const PACKET_VERSION = 10;
export const PACKET_VNET_HDR = 15;
export const PACKET_IGNORE_OUTGOING = 23;

export const TPACKET_V2 = 1;
/** Of a slot that is the kernel's; of one with a frame longer than it, all of which waits in the socket. */
export const TP_STATUS_KERNEL = 0;
export const TP_STATUS_COPY = 2;
