/*
 * The control port 7003: one question, one answer, a connection each, asked again until answered as expected.
 *
 *   HELLO sender family udp tcp lane                          -> READY   sender's flow to me may start; what it will carry
 *   TOTALS sender family datagrams bytes checksum shorts lane -> OK      what the sender's flow to me carried
 *
 * Both are idempotent, so a lost answer does no harm. Whoever answers READY has bound its UDP socket (see main.c).
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* A question that came in. */
struct asked {
  struct source source; /* first */
  char line[256];
  size_t fill;
};

static struct source listener;

static void ask_failed(struct ask *ask) {
  unwatch(&ask->source);
  ask->retry_at = now_ns() + ASK_RETRY_NS;
}

static void on_answer(struct source *self, uint32_t events) {
  struct ask *ask = (struct ask *)self;
  char answer[16] = {0};
  if (events & EPOLLIN) {
    ssize_t length = recv(self->fd, answer, sizeof answer - 1, MSG_DONTWAIT);
    ask->done = length > 0 && strcmp(answer, ask->expect) == 0;
    if (ask->done) unwatch(self);
    else ask_failed(ask);
  } else if (events & (EPOLLERR | EPOLLHUP)) {
    ask_failed(ask);
  } else {
    ssize_t length = (ssize_t)strlen(ask->line);
    if (send(self->fd, ask->line, (size_t)length, MSG_NOSIGNAL) == length) rewatch(self, EPOLLIN);
    else ask_failed(ask);
  }
}

void ask_tick(struct ask *ask, uint64_t now) {
  if (!ask->wanted || ask->done) return;
  if (ask->source.fd >= 0) {
    if (now - ask->since > ASK_TIMEOUT_NS) ask_failed(ask);
    return;
  }
  if (now < ask->retry_at) return;
  struct sockaddr_storage address = ask->flow->address;
  set_port(&address, CONTROL_PORT);
  ask->since = now;
  ask->source.handle = on_answer;
  ask->source.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (ask->source.fd < 0) die("socket");
  /* An immediate error (no route yet) shows as EPOLLERR or EPOLLHUP. */
  connect(ask->source.fd, (struct sockaddr *)&address, ask->flow->address_length);
  watch(&ask->source, EPOLLOUT);
}

static const char *answer_to(const char *line) {
  char sender[64], lane[64];
  int family, udp, tcp;
  unsigned long long sent, bytes, hash, shorts;
  if (sscanf(line, "HELLO %63s %d %d %d %63s", sender, &family, &udp, &tcp, lane) == 5) {
    struct flow *flow = find_flow(sender, strlen(sender), family, find_lane(lane));
    if (flow == NULL) return "UNKNOWN\n";
    flow->in.expects_udp = udp;
    flow->in.expects_tcp = tcp;
    flow->in.greeted = true;
    return "READY\n";
  }
  if (sscanf(line, "TOTALS %63s %d %llu %llu %llx %llu %63s", sender, &family, &sent, &bytes, &hash, &shorts, lane) == 7) {
    struct flow *flow = find_flow(sender, strlen(sender), family, find_lane(lane));
    if (flow == NULL) return "UNKNOWN\n";
    flow->in.total_sent = sent;
    flow->in.total_bytes = bytes;
    flow->in.total_hash = hash;
    flow->in.total_shorts = shorts;
    flow->in.totals_known = true;
    return "OK\n";
  }
  return "UNKNOWN\n";
}

static void on_question(struct source *self, uint32_t events) {
  struct asked *asked = (struct asked *)self;
  (void)events;
  ssize_t length = recv(self->fd, asked->line + asked->fill, sizeof asked->line - 1 - asked->fill, MSG_DONTWAIT);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length > 0) {
    asked->fill += (size_t)length;
    if (strchr(asked->line, '\n') == NULL && asked->fill < sizeof asked->line - 1) return;
    const char *answer = answer_to(asked->line);
    if (send(self->fd, answer, strlen(answer), MSG_NOSIGNAL) > 0) {
      memset(asked->line, 0, sizeof asked->line);
      asked->fill = 0;
      return; /* the asker closes */
    }
  }
  unwatch(self);
  free(asked);
}

static void on_connection(struct source *self, uint32_t events) {
  (void)events;
  int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  struct asked *asked = calloc(1, sizeof *asked);
  if (asked == NULL) die("memory");
  asked->source = (struct source){fd, on_question};
  watch(&asked->source, EPOLLIN);
}

void control_start(void) {
  listener = (struct source){listen_on(CONTROL_PORT, SOCK_STREAM), on_connection};
  watch(&listener, EPOLLIN);
}
