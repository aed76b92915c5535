/*
 * ARP and ND churn: now and then every resolved neighbour is forgotten, so that the next frame has to ask again.
 *
 * Nothing may be lost by it in this guest, or it would be taken for the network's loss:
 * - frames wait in the entry until the answer comes, in a queue of 208 KiB that drops its oldest: it is made larger than
 *   all sockets can fill;
 * - an entry that is being resolved is left alone, since its queue is dropped with it (neigh_invalidate()). That is why
 *   this is not `ip neigh flush`.
 * `unresolvedDiscards` of the kernel's own statistics shows that it held.
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <fcntl.h>
#include <glob.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

#define ENTRIES_MAX 128
#define QUEUE_BYTES "67108864"

struct forget {
  struct nlmsghdr header;
  struct ndmsg message;
  struct rtattr attribute;
  uint8_t address[16];
};

static int netlink = -1;
static uint64_t next_at, flushes, forgotten;

/* Default and every device's own: those that exist have a copy. */
static void raise_queues(void) {
  glob_t found = {0};
  glob("/proc/sys/net/ipv4/neigh/*/unres_qlen_bytes", 0, NULL, &found);
  glob("/proc/sys/net/ipv6/neigh/*/unres_qlen_bytes", GLOB_APPEND, NULL, &found);
  for (size_t i = 0; i < found.gl_pathc; i++) {
    int fd = open(found.gl_pathv[i], O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, QUEUE_BYTES, sizeof QUEUE_BYTES - 1) < 0) die(found.gl_pathv[i]);
    close(fd);
  }
  globfree(&found);
}

void churn_start(void) {
  if (options.churn_ns == 0) return;
  raise_queues();
  if ((netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) < 0) die("netlink");
}

/* Adds the order to forget this entry, if it is one to be forgotten. */
static bool to_forget(const struct nlmsghdr *header, struct forget *order) {
  const struct ndmsg *entry = NLMSG_DATA(header);
  int length = (int)NLMSG_PAYLOAD(header, sizeof *entry);
  if (!(entry->ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY))) return false;
  for (const struct rtattr *at = (const struct rtattr *)(entry + 1); RTA_OK(at, length); at = RTA_NEXT(at, length)) {
    if (at->rta_type != NDA_DST || RTA_PAYLOAD(at) > sizeof order->address) continue;
    *order = (struct forget){.message = *entry, .attribute = {at->rta_len, NDA_DST}};
    memcpy(order->address, RTA_DATA(at), RTA_PAYLOAD(at));
    order->header = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(sizeof *entry) + RTA_ALIGN(at->rta_len),
                                      .nlmsg_type = RTM_DELNEIGH,
                                      .nlmsg_flags = NLM_F_REQUEST};
    return true;
  }
  return false;
}

/* The kernel answers these requests before send() returns: nothing here waits. */
static size_t list_entries(struct forget *orders) {
  static uint8_t answer[32768] __attribute__((aligned(8)));
  struct {
    struct nlmsghdr header;
    struct ndmsg message;
  } dump = {{sizeof dump, RTM_GETNEIGH, NLM_F_REQUEST | NLM_F_DUMP, 0, 0}, {0}};
  size_t count = 0;
  if (send(netlink, &dump, sizeof dump, 0) < 0) return 0;
  for (;;) {
    ssize_t received = recv(netlink, answer, sizeof answer, MSG_DONTWAIT);
    if (received <= 0) return count;
    unsigned length = (unsigned)received;
    for (const struct nlmsghdr *at = (const struct nlmsghdr *)answer; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
      if (at->nlmsg_type == NLMSG_DONE) return count; /* an error is that of an entry gone before it was forgotten */
      if (count < ENTRIES_MAX && at->nlmsg_type == RTM_NEWNEIGH && to_forget(at, &orders[count])) count++;
    }
  }
}

void churn_tick(uint64_t now) {
  static struct forget orders[ENTRIES_MAX];
  if (options.churn_ns == 0 || !running || now < next_at) return;
  /* Between half and one and a half times the period, so that guests do not keep step. */
  uint64_t wait = options.churn_ns / 2 + word_at(flows[0].out.seed, flushes) % options.churn_ns;
  bool first = next_at == 0;
  next_at = now + wait;
  if (first) return;
  size_t count = list_entries(orders);
  flushes++;
  for (size_t i = 0; i < count; i++)
    if (send(netlink, &orders[i], orders[i].header.nlmsg_len, 0) > 0) forgotten++;
}

void churn_report(void) {
  report_add(",\"churn\":{\"flushes\":%llu,\"forgotten\":%llu}", (unsigned long long)flushes,
             (unsigned long long)forgotten);
}
