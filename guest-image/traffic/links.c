/* What this machine dropped at its own network devices, on either side of the driver: the queues in front of a device
   (rtnetlink(7), RTM_GETQDISC: nothing in /proc tells them), the devices themselves (/proc/net/dev), and the queue behind
   reception (/proc/net/softnet_stat). A router that is given frames faster than it can send them on drops in the first.
   What a device dropped on reception is not told: frames of protocols that nobody knows count there, a switch's own too. */
#define _GNU_SOURCE
#include "traffic.h"

#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Every attribute is read by its type and length: the kernel may send more of them, and longer ones. */
static const struct rtattr *find(const struct rtattr *attribute, int length, int type) {
  for (; RTA_OK(attribute, length); attribute = RTA_NEXT(attribute, length))
    if ((attribute->rta_type & NLA_TYPE_MASK) == type) return attribute;
  return NULL;
}

static uint64_t drops_of(const struct nlmsghdr *message) {
  const struct tcmsg *queue = NLMSG_DATA(message);
  const struct rtattr *all = TCA_RTA(queue);
  const struct rtattr *stats = find(all, (int)TCA_PAYLOAD(message), TCA_STATS2);
  if (stats == NULL) return 0;
  const struct rtattr *counts = find(RTA_DATA(stats), (int)RTA_PAYLOAD(stats), TCA_STATS_QUEUE);
  if (counts == NULL || RTA_PAYLOAD(counts) < sizeof(struct gnet_stats_queue)) return 0;
  return ((const struct gnet_stats_queue *)RTA_DATA(counts))->drops;
}

static uint64_t read_queues(void) {
  static char answer[64 * 1024] __attribute__((aligned(NLMSG_ALIGNTO)));
  struct {
    struct nlmsghdr header;
    struct tcmsg queue;
  } ask = {.header = {.nlmsg_len = sizeof ask, .nlmsg_type = RTM_GETQDISC, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
  uint64_t drops = 0;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0 || send(fd, &ask, sizeof ask, 0) < 0) goto done;
  for (ssize_t got; (got = recv(fd, answer, sizeof answer, 0)) > 0;) {
    int length = (int)got;
    for (const struct nlmsghdr *next = (void *)answer; NLMSG_OK(next, length); next = NLMSG_NEXT(next, length)) {
      if (next->nlmsg_type != RTM_NEWQDISC) goto done; /* NLMSG_DONE, or an error */
      /* A root's numbers have its children's in them. */
      if (((const struct tcmsg *)NLMSG_DATA(next))->tcm_parent == TC_H_ROOT) drops += drops_of(next);
    }
  }
done:
  if (fd >= 0) close(fd);
  return drops;
}

static void read_devices(struct counters *to) {
  char line[512];
  FILE *file = fopen("/proc/net/dev", "re");
  if (file == NULL) return;
  while (fgets(line, sizeof line, file) != NULL) {
    unsigned long long dropped;
    if (sscanf(line, " %*[^:]: %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &dropped) == 1)
      to->device_drops += dropped; /* else it is one of the two lines of names */
  }
  fclose(file);
}

void read_links(struct counters *to) {
  char line[512];
  unsigned dropped;
  to->queue_drops = read_queues();
  read_devices(to);
  FILE *file = fopen("/proc/net/softnet_stat", "re");
  if (file == NULL) return;
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "%*x %x", &dropped) == 1) to->softnet_drops += dropped;
  fclose(file);
}
