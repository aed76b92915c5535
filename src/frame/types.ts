/** Identity of a port: `guest/nic` for a guest's NIC, the plain name for any other. Never a device name. */
export type PortId = string;

/** Size of the virtio-net header that travels with every frame (struct virtio_net_hdr, linux/virtio_net.h). */
export const VNET_HEADER_BYTES = 10;

/** Shortest Ethernet frame without FCS. */
export const MIN_FRAME_BYTES = 60;

/** Longest frame we carry: a 64 KiB TSO super-frame and its Ethernet and VLAN headers. */
export const MAX_FRAME_BYTES = 65_536 + 64;

/** A frame that was in flight at a cut: it had entered the network and had not been delivered everywhere. */
export interface InflightFrame {
  /** Order of arrival in the network, unique in one checkpoint. */
  readonly sequence: number;
  /** Wall clock at arrival, nanoseconds since 1970. */
  readonly timeNs: bigint;
  /** Where it entered. */
  readonly ingress: PortId;
  /** Where it has still to be delivered; never empty. Fixed when the frame was held. */
  readonly destinations: readonly PortId[];
  /** Its virtio-net header, {@link VNET_HEADER_BYTES} long; all zero for a plain frame. */
  readonly vnet: Uint8Array;
  /** The Ethernet frame, 802.1Q tags in place, no FCS. With GSO in `vnet` it may be a super-frame. */
  readonly bytes: Uint8Array;
}
