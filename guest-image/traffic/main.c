/*
 * traffic: the load of the demo, the soak and the guest tests.
 *
 * Theory of operation
 * -------------------
 * Goal: say exactly how many datagrams the network lost, doubled or reordered, and whether every byte of every TCP
 * stream arrived, across any number of checkpoints, without the sender ever waiting for whoever takes them.
 *
 * One process, one epoll loop. A timer ticks every 2 ms; on each tick every outgoing flow sends what is due by this
 * machine's CLOCK_MONOTONIC. Nothing outside the guest is asked for permission to send, and the console is written by a
 * child process, so that a slow reader of the console cannot hold a sender up. The largest gap between two datagrams of
 * a flow is kept: it shows whether a sender stood still by its own clock.
 *
 *   greeting    me -> peer:7003  HELLO; answered READY by a peer whose UDP socket is bound
 *   running     a flow starts when both ends have greeted each other: from here on every datagram counts
 *                 UDP 7001  header (magic, family, length, sequence, time, sender, receiver) and checked filling
 *                 TCP 7002  a 64-byte opening line, then words of a known generator
 *   finish      (a line on the console) senders stop; streams are shut down after a whole chunk
 *   closing     me -> peer:7003  TOTALS until answered OK; then lost = sender's total - distinct sequences received
 *   RESULT      when all totals went out and came in, all streams ended, and 500 ms passed without an arrival
 *
 * Invariant: `sent` grows only when send() took the whole datagram; a datagram refused by a full socket or queue is
 * sent again under the same sequence number. So whatever is counted as sent left the guest's socket layer.
 *
 * What can go wrong: a peer that never answers (RESULT comes after --finish-timeout with "complete":false); a stream
 * that breaks (never reopened: "intact":false); a datagram more than 262,144 sequences late ("tooOld", and lost).
 */
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

bool running;
uint64_t finishing_at;
static bool reported;
static int epoll_fd;

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void die(const char *what) {
  fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void control_epoll(int operation, struct source *source, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(epoll_fd, operation, source->fd, &event) < 0) die("epoll_ctl");
}
void watch(struct source *source, uint32_t events) { control_epoll(EPOLL_CTL_ADD, source, events); }
void rewatch(struct source *source, uint32_t events) { control_epoll(EPOLL_CTL_MOD, source, events); }
void unwatch(struct source *source) {
  control_epoll(EPOLL_CTL_DEL, source, 0);
  close(source->fd);
  source->fd = -1;
}

/* One dual-stack socket serves both families: an IPv4 sender appears as ::ffff:a.b.c.d. */
int listen_on(uint16_t port, int type) {
  int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0, on = 1;
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (fd < 0) die("socket");
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0) die("bind");
  if (type == SOCK_STREAM && listen(fd, 128) < 0) die("listen");
  return fd;
}

struct flow *find_flow(const char *peer, size_t length, int family) {
  for (int i = 0; i < flow_count; i++)
    if (flows[i].family == family && strlen(flows[i].peer) == length && memcmp(flows[i].peer, peer, length) == 0)
      return &flows[i];
  return NULL;
}

/* Flows are up when each has carried data, both ways: from now on the TCP counters count. */
static void notice_running(void) {
  for (int i = 0; i < flow_count; i++) {
    struct flow *flow = &flows[i];
    if (!flow->in.greeted || (flow->in.expects_udp && flow->in.received == 0)) return;
    if (flow->in.expects_tcp && flow->in.stream.words == 0) return;
    if (options.udp_rate > 0 && flow->out.sent == 0) return;
    if (options.tcp && flow->out.stream.words == 0) return;
  }
  running = true;
  mark_counters();
  console_print("RUNNING\n", 8);
}

static void on_tick(struct source *timer, uint32_t events) {
  (void)events;
  uint64_t ticks, now = now_ns();
  if (read(timer->fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN) die("timer");
  for (int i = 0; i < flow_count; i++) {
    struct flow *flow = &flows[i];
    ask_tick(&flow->greeting, now);
    if (flow->greeting.done && flow->in.greeted) {
      if (finishing_at == 0) udp_send_due(flow, now);
      stream_tick(flow, now);
    }
    ask_tick(&flow->totals, now);
  }
  if (!running && finishing_at == 0) notice_running();
  if (finishing_at != 0 && !reported) {
    bool complete = settled(now);
    if (complete || now - finishing_at > options.finish_timeout_ns) {
      reported = true;
      report("RESULT", complete);
    }
  }
  console_flush();
}

static void on_line(const char *line) {
  if (strcmp(line, "status") == 0) report("STATUS", false);
  if (strcmp(line, "finish") != 0 || finishing_at != 0) return;
  finishing_at = now_ns();
  for (int i = 0; i < flow_count; i++) {
    struct flow *flow = &flows[i];
    stream_stop(flow);
    snprintf(flow->totals.line, sizeof flow->totals.line, "TOTALS %s %d %llu %llu %llx\n", options.me, flow->family,
             (unsigned long long)flow->out.sent, (unsigned long long)flow->out.stream.words * 8,
             (unsigned long long)flow->out.stream.hash);
    flow->totals.wanted = true;
  }
}

int main(int argc, char **argv) {
  static struct source timer = {.handle = on_tick};
  signal(SIGPIPE, SIG_IGN);
  parse_options(argc, argv);
  console_fork(); /* before any descriptor that the child must not hold */
  if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll");
  console_start(on_line);
  udp_start();
  stream_start();
  control_start();
  timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
  if (timer.fd < 0 || timerfd_settime(timer.fd, 0, &every, NULL) < 0) die("timer");
  watch(&timer, EPOLLIN);
  for (;;) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll_fd, events, 64, -1);
    for (int i = 0; i < count; i++) {
      struct source *source = events[i].data.ptr;
      if (source->fd >= 0) source->handle(source, events[i].events);
    }
  }
}
