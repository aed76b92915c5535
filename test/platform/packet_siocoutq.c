/*
 * SIOCOUTQ of a packet socket is above 0 while its frames wait in the device's qdisc, and 0 once they are in the TAP's
 * ring, read or not. Relied on by the drain: SIOCOUTQ 0 clears the qdisc, poll on the descriptor clears the ring.
 * A token bucket of one frame each 100 ms makes them wait.
 */
#include "probe.h"

#include <linux/pkt_sched.h>
#include <linux/sockios.h>

static int unsent(int packet) {
  int bytes = -1;
  MUST(ioctl(packet, SIOCOUTQ, &bytes));
  return bytes;
}

/* tc qdisc add dev DEVICE root tbf rate 600bps burst 60: one of our frames at once, the next after 100 ms. */
static void slow_down(const char *device) {
  struct {
    struct nlmsghdr header;
    struct tcmsg body;
    struct rtattr kind;
    char name[4];
    struct rtattr options, parameters;
    struct tc_tbf_qopt bucket;
    struct rtattr burst;
    uint32_t bytes;
  } ask = {.header = {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_NEWQDISC,
                      .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE},
           .body = {.tcm_ifindex = device_index(device), .tcm_parent = TC_H_ROOT},
           .kind = {sizeof(struct rtattr) + sizeof ask.name, TCA_KIND}, .name = "tbf",
           .options = {sizeof(struct rtattr) * 3 + sizeof ask.bucket + sizeof ask.bytes, TCA_OPTIONS},
           .parameters = {sizeof(struct rtattr) + sizeof ask.bucket, TCA_TBF_PARMS},
           .bucket = {.rate = {.rate = 600, .linklayer = TC_LINKLAYER_ETHERNET}, .limit = 100000},
           .burst = {sizeof(struct rtattr) + sizeof ask.bytes, TCA_TBF_BURST}, .bytes = 60};
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[512];
  } answer = {0};
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  MUST(fd);
  MUST(send(fd, &ask, sizeof ask, 0));
  MUST(recv(fd, &answer, sizeof answer, 0));
  close(fd);
  CHECK(answer.error.error == 0, "tbf: %s", strerror(-answer.error.error));
}

int main(void) {
  begin("packet_siocoutq");
  int tap = open_tap("p0", 0), packet = open_packet("p0", 0);
  slow_down("p0");
  for (uint8_t i = 0; i < 3; i++) send_frame(packet, i);
  CHECK(unsent(packet) > 0, "frames wait in the qdisc, and SIOCOUTQ is 0");
  CHECK(read_frame(tap) == 0 && read_frame(tap) == -1, "the token bucket does not hold frames back");
  for (int i = 0; i < 2000 && unsent(packet) > 0; i++) usleep(1000);
  CHECK(unsent(packet) == 0, "SIOCOUTQ stays at %d", unsent(packet));
  for (int i = 1; i < 3; i++) CHECK(read_frame(tap) == i, "SIOCOUTQ is 0, but frame %d is not in the ring", i);
  return passed();
}
