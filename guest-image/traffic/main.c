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
 *                 TCP 7004  short connections: a question, an answer, a rest, the end (see short.c)
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

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static bool reported;

/* Whoever asks has hung up when the answer comes: while a client of the console is connected and slow, QEMU writes single
 * bytes twice into its log (chardev/char.c, qemu_chr_write_buffer: a refused byte is logged, and tried again). */
#define ANSWER_NS 100000000ull
static unsigned asked;
static uint64_t answer_at;

/* Flows are up when each has carried data, both ways: from now on the TCP counters count. */
static void notice_running(void) {
  for (int i = 0; i < flow_count; i++) {
    struct flow *flow = &flows[i];
    if (!flow->in.greeted || (flow->in.expects_udp && flow->in.received == 0)) return;
    if (flow->in.expects_tcp && flow->in.stream.words == 0) return;
    if (flow->lane->udp_rate > 0 && flow->out.speaker->out.sent == 0) return;
    if (flow->lane->tcp && flow->out.stream.words == 0) return;
    if (flow->lane->short_rate > 0 && flow->out.shorts.completed == 0) return;
  }
  running = true;
  mark_counters();
  console_print("RUNNING\n", 8);
}

/* Once nothing can be added to them: short connections that are open are let come to their end. */
static void tell_totals(struct flow *flow) {
  if (flow->totals.wanted || flow->out.shorts.open > 0) return;
  snprintf(flow->totals.line, sizeof flow->totals.line, "TOTALS %s %d %llu %llu %llx %llu %s\n", options.me,
           flow->family, (unsigned long long)flow->out.speaker->out.sent,
           (unsigned long long)flow->out.stream.words * 8, (unsigned long long)flow->out.stream.hash,
           (unsigned long long)flow->out.shorts.completed, flow->lane->name);
  flow->totals.wanted = true;
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
      short_tick(flow, now);
    }
    if (finishing_at != 0) tell_totals(flow);
    ask_tick(&flow->totals, now);
  }
  short_turn(now);
  if (finishing_at == 0) churn_tick(now);
  if (!running && finishing_at == 0) notice_running();
  for (; asked > 0 && now >= answer_at; asked--) report("STATUS", false);
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
  if (strcmp(line, "status") == 0) {
    asked++;
    answer_at = now_ns() + ANSWER_NS;
  }
  if (strcmp(line, "finish") != 0 || finishing_at != 0) return;
  finishing_at = now_ns();
  for (int i = 0; i < flow_count; i++) stream_stop(&flows[i]);
}

int main(int argc, char **argv) {
  static struct source timer = {.handle = on_tick};
  signal(SIGPIPE, SIG_IGN);
  parse_options(argc, argv);
  console_fork(); /* before any descriptor that the child must not hold */
  loop_start();
  console_start(on_line);
  udp_start();
  stream_start();
  short_start();
  churn_start();
  control_start();
  timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  struct itimerspec every = {{0, TICK_NS}, {0, TICK_NS}};
  if (timer.fd < 0 || timerfd_settime(timer.fd, 0, &every, NULL) < 0) die("timer");
  watch(&timer, EPOLLIN);
  for (;;) loop_turn();
}
