/*
 * A packet socket gets 802.1Q frames without their tag; PACKET_AUXDATA says which tag it was.
 * Relied on by the packet port, which puts the tag back (skb_vlan_untag() in __netif_receive_skb_core()).
 */
#include "probe.h"

#define TAG 0x6123 /* priority 3, VLAN 0x123 */

int main(void) {
  begin("packet_vlan_auxdata");
  int tap = open_tap("p0", 0), packet = open_packet("p0", 0), on = 1;
  uint8_t frame[64], got[128];
  char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
  struct iovec part = {got, sizeof got};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  MUST(setsockopt(packet, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on));
  make_frame(frame, 7);
  memmove(frame + 16, frame + 12, 48);
  frame[12] = 0x81;
  frame[13] = 0;
  frame[14] = TAG >> 8;
  frame[15] = TAG & 255;
  MUST(write(tap, frame, sizeof frame));
  CHECK(readable(packet, 1000), "nothing came");
  ssize_t length = recvmsg(packet, &message, 0);
  CHECK(length == 60, "%zd bytes instead of 60", length);
  CHECK(got[12] == EXPERIMENTAL >> 8 && got[14] == 7, "the tag is still in the frame");
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  CHECK(header != NULL && header->cmsg_type == PACKET_AUXDATA, "no PACKET_AUXDATA");
  struct tpacket_auxdata *aux = (struct tpacket_auxdata *)CMSG_DATA(header);
  CHECK(aux->tp_status & TP_STATUS_VLAN_VALID && aux->tp_vlan_tci == TAG, "tag 0x%x in auxdata", aux->tp_vlan_tci);
  CHECK(aux->tp_status & TP_STATUS_VLAN_TPID_VALID && aux->tp_vlan_tpid == 0x8100, "TPID 0x%x", aux->tp_vlan_tpid);
  return passed();
}
