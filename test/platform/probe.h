/*
 * What the probes share. A probe is one program for one kernel behaviour that the design relies on: it makes a network
 * namespace of its own, prints `ok NAME` or `not ok NAME: why`, and exits 0 or 1. Needs root.
 */
#ifndef STILLWIRE_PROBE_H
#define STILLWIRE_PROBE_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))
#define EXPERIMENTAL 0x88b5 /* local experimental EtherType: no protocol of the kernel answers it */

static const char *probe_name;

static UNUSED __attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...) {
  char why[256];
  va_list values;
  va_start(values, format);
  vsnprintf(why, sizeof why, format, values);
  va_end(values);
  printf("not ok %s: %s\n", probe_name, why);
  exit(1);
}

#define CHECK(condition, ...)        \
  do {                               \
    if (!(condition)) fail(__VA_ARGS__); \
  } while (0)
/* A system call that is only a means: its failure is not what the probe is about, but fails it. */
#define MUST(call)                                         \
  do {                                                     \
    if ((call) < 0) fail("%s: %s", #call, strerror(errno)); \
  } while (0)

static UNUSED void begin(const char *name) {
  probe_name = name;
  setvbuf(stdout, NULL, _IOLBF, 0);
  MUST(unshare(CLONE_NEWNET));
}

static UNUSED int passed(void) {
  printf("ok %s\n", probe_name);
  return 0;
}

static UNUSED void configure(const char *device, unsigned long request, struct ifreq *ifr) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  MUST(fd);
  strncpy(ifr->ifr_name, device, IFNAMSIZ - 1);
  if (ioctl(fd, request, ifr) < 0) fail("ioctl 0x%lx on %s: %s", request, device, strerror(errno));
  close(fd);
}

/* No IPv6 on the device: the kernel sends nothing by itself. /proc/sys/net shows the calling thread's namespace. */
static UNUSED void silence(const char *device) {
  char path[80];
  snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", device);
  int fd = open(path, O_WRONLY);
  if (fd < 0 && errno == ENOENT) return; /* a kernel without IPv6 */
  MUST(fd);
  MUST(write(fd, "1", 1));
  close(fd);
}

/* A silent TAP that is up. `flags`: IFF_VNET_HDR or 0. */
static UNUSED int open_tap(const char *device, int flags) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  struct ifreq ifr = {0};
  MUST(fd);
  strncpy(ifr.ifr_name, device, IFNAMSIZ - 1);
  ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags);
  MUST(ioctl(fd, TUNSETIFF, &ifr));
  silence(device);
  ifr.ifr_flags = IFF_UP | IFF_NOARP;
  configure(device, SIOCSIFFLAGS, &ifr);
  return fd;
}

static UNUSED int device_index(const char *device) {
  struct ifreq ifr = {0};
  configure(device, SIOCGIFINDEX, &ifr);
  return ifr.ifr_ifindex;
}

/* A packet socket on the device, as the switch opens it: protocol 0 first, so that nothing comes in before it is set up. */
static UNUSED int open_packet(const char *device, int vnet) {
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0), on = 1;
  struct sockaddr_ll where = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = device_index(device)};
  MUST(fd);
  if (vnet) MUST(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on));
  MUST(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on));
  MUST(bind(fd, (struct sockaddr *)&where, sizeof where));
  return fd;
}

/* A 60-byte frame with a number in it. */
static UNUSED size_t make_frame(uint8_t *frame, uint8_t number) {
  static const uint8_t header[14] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, EXPERIMENTAL >> 8, EXPERIMENTAL & 255};
  memset(frame, 0, 60);
  memcpy(frame, header, sizeof header);
  frame[14] = number;
  return 60;
}

static UNUSED void send_frame(int fd, uint8_t number) {
  uint8_t frame[60];
  ssize_t length = (ssize_t)make_frame(frame, number);
  if (write(fd, frame, (size_t)length) != length) fail("write of frame %d: %s", number, strerror(errno));
}

/* @returns the number in the next frame; -1 when there is none. A frame of somebody else fails the probe. */
static UNUSED int read_frame(int fd) {
  uint8_t frame[2048];
  ssize_t length = read(fd, frame, sizeof frame);
  if (length < 0 && errno == EAGAIN) return -1;
  if (length < 15) fail("read: %s", length < 0 ? strerror(errno) : "short");
  if (frame[12] != EXPERIMENTAL >> 8) fail("a frame of EtherType %02x%02x came from somewhere", frame[12], frame[13]);
  return frame[14];
}

static UNUSED int readable(int fd, int milliseconds) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  MUST(poll(&one, 1, milliseconds));
  return one.revents & POLLIN;
}

/* RTM_GETSTATS, IFLA_STATS_LINK_64: what the daemon reads, and the only way that shows the caller's own namespace. */
static UNUSED struct rtnl_link_stats64 link_stats(const char *device) {
  struct {
    struct nlmsghdr header;
    struct if_stats_msg body;
  } ask = {.header = {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETSTATS, .nlmsg_flags = NLM_F_REQUEST},
           .body = {.ifindex = (uint32_t)device_index(device), .filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64)}};
  struct rtnl_link_stats64 stats = {0};
  uint8_t answer[4096];
  int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  MUST(fd);
  MUST(send(fd, &ask, sizeof ask, 0));
  ssize_t length = recv(fd, answer, sizeof answer, 0);
  struct nlmsghdr *header = (struct nlmsghdr *)answer;
  close(fd);
  if (length < (ssize_t)(NLMSG_LENGTH(sizeof ask.body) + sizeof(struct rtattr)) || header->nlmsg_type != RTM_NEWSTATS)
    fail("RTM_GETSTATS: answer of type %d, %zd bytes", header->nlmsg_type, length);
  struct rtattr *attribute = (struct rtattr *)(answer + NLMSG_LENGTH(sizeof ask.body));
  if (attribute->rta_type != IFLA_STATS_LINK_64) fail("RTM_GETSTATS: attribute %d", attribute->rta_type);
  size_t size = RTA_PAYLOAD(attribute);
  memcpy(&stats, RTA_DATA(attribute), size < sizeof stats ? size : sizeof stats);
  return stats;
}

#endif
