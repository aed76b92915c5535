/*
 * Short TCP connections on port 7004.
 *
 *   client                                                            server
 *   connect
 *   question: 64-byte opening "SHORT sender family lane sequence       checks every byte
 *     length answer\n", zero-padded, then `length` known bytes    ->
 *   checks every byte                                             <-   answer: `answer` known bytes
 *   rest, shut down                                               ->   rest, close: served
 *   end of file: completed
 *
 * Judged: each one opened is completed by the client and served, once, by the server. What was refused, took longer than
 * BOUND_NS, broke off or was damaged is counted as that, and as nothing else.
 *
 * The rest: a segment sent again too early is reported as such by the receiver (DSACK), a while after it was
 * acknowledged, and much later in a network that is held. Who closes before that never hears of it, and would count a
 * retransmission that nothing was lost for; so each end rests until all is accounted for, REST_MOST_NS at most, and the
 * client stays until the server has closed. It also keeps a few connections open and idle at every cut.
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define OPENING 64
#define QUESTION_MAX 2048
#define ANSWER_MAX 16384
#define OPEN_MAX 32 /* of a flow at a time */
#define REST_NS 300000000
#define REST_MOST_NS 10000000000
#define BOUND_NS 60000000000
#define LATE_NS 500000000 /* further behind its rate than this, a client forgets the rest */

/* The client's end. */
struct exchange {
  struct source source; /* first */
  struct flow *flow;
  struct exchange *next;
  uint64_t sequence, began, answered_at; /* 0: not yet */
  bool connected, shut_down, ended;
  unsigned question, answer, got;
  uint32_t syn_retransmits;
};

/* The server's end. */
struct service {
  struct source source; /* first */
  struct flow *flow;
  struct service *next;
  char opening[OPENING];
  unsigned fill; /* of the opening */
  uint64_t sequence;
  unsigned question, answer, asked, answered;
  uint64_t resting_since; /* 0: not yet */
  bool damaged, ended;
  uint32_t syn_retransmits;
};

static struct source listener;
static struct service *services; /* freed by a tick after they have ended: this turn of the loop may still have an event */
static uint8_t scratch[ANSWER_MAX + 8], known[ANSWER_MAX + 8];

/* Questions and answers come out of the stream's generator, from places that it does not reach. */
static uint64_t question_words(uint64_t sequence) { return (1ull << 62) + sequence * 8192; }
static uint64_t answer_words(uint64_t sequence) { return question_words(sequence) + 4096; }

static bool is_known(const uint8_t *bytes, size_t length, unsigned from, uint64_t seed, uint64_t words) {
  fill(known, from + length, seed, words);
  return memcmp(bytes, known + from, length) == 0;
}

static struct tcp_info measure(int fd) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
  return info;
}

static bool is_rested(int fd, uint32_t of_syn, uint64_t since, uint64_t now) {
  struct tcp_info info = measure(fd);
  bool accounted = info.tcpi_total_retrans - of_syn <= info.tcpi_dsack_dups && info.tcpi_unacked == 0;
  return now - since > (accounted ? REST_NS : REST_MOST_NS);
}

/* A SYN sent again is counted apart: no DSACK tells whether it was lost or only late. */
static void add_retransmits(struct shorts *shorts, int fd, uint32_t of_syn) {
  struct tcp_info info = measure(fd);
  uint32_t sent_again = info.tcpi_total_retrans - of_syn;
  shorts->syn_retransmits += of_syn;
  shorts->retransmitted += sent_again;
  shorts->unneeded += info.tcpi_dsack_dups;
  if (sent_again > info.tcpi_dsack_dups) shorts->real_retransmits += sent_again - info.tcpi_dsack_dups;
}

/* --- client --- */

/* Ends it, counted as `as`; a later tick frees it. */
static void end_exchange(struct exchange *exchange, uint64_t *as) {
  (*as)++;
  exchange->flow->out.shorts.open--;
  exchange->ended = true;
  if (exchange->source.fd >= 0) unwatch(&exchange->source);
}

static void ask(struct exchange *exchange) {
  struct shorts *shorts = &exchange->flow->out.shorts;
  int error = 0, fd = exchange->source.fd;
  socklen_t length = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error == ECONNREFUSED) return end_exchange(exchange, &shorts->refused);
  if (error != 0) return end_exchange(exchange, error == ETIMEDOUT ? &shorts->timed_out : &shorts->broken);
  exchange->connected = true;
  exchange->syn_retransmits = measure(fd).tcpi_total_retrans;
  memset(scratch, 0, OPENING);
  snprintf((char *)scratch, OPENING, "SHORT %s %d %s %llu %u %u\n", options.me, exchange->flow->family,
           exchange->flow->lane->name, (unsigned long long)exchange->sequence, exchange->question, exchange->answer);
  fill(scratch + OPENING, exchange->question, exchange->flow->out.stream.seed, question_words(exchange->sequence));
  ssize_t size = OPENING + exchange->question; /* a fresh socket takes it all */
  if (send(fd, scratch, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) != size) end_exchange(exchange, &shorts->broken);
  else rewatch(&exchange->source, EPOLLIN);
}

static void on_exchange(struct source *self, uint32_t events) {
  struct exchange *exchange = (struct exchange *)self;
  struct shorts *shorts = &exchange->flow->out.shorts;
  (void)events;
  if (!exchange->connected) return ask(exchange);
  ssize_t length = recv(self->fd, scratch, ANSWER_MAX, MSG_DONTWAIT);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length == 0 && exchange->shut_down) return end_exchange(exchange, &shorts->completed);
  if (length <= 0)
    return end_exchange(exchange, length < 0 && errno == ETIMEDOUT ? &shorts->timed_out : &shorts->broken);
  if (exchange->got + (size_t)length > exchange->answer ||
      !is_known(scratch, (size_t)length, exchange->got, exchange->flow->out.stream.seed, answer_words(exchange->sequence)))
    return end_exchange(exchange, &shorts->damaged);
  exchange->got += (unsigned)length;
  if (exchange->got == exchange->answer) exchange->answered_at = now_ns();
}

static void open_exchange(struct flow *flow, uint64_t now) {
  struct exchange *exchange = calloc(1, sizeof *exchange);
  if (exchange == NULL) die("memory");
  uint64_t dice = word_at(~flow->out.seed, (1ull << 61) + flow->out.shorts.opened);
  *exchange = (struct exchange){.source.handle = on_exchange, .flow = flow, .next = flow->out.exchanges, .began = now};
  exchange->sequence = flow->out.shorts.opened++;
  exchange->question = (unsigned)(dice >> 20) % QUESTION_MAX;
  exchange->answer = 1 + (unsigned)(dice >> 40) % ANSWER_MAX;
  flow->out.exchanges = exchange;
  flow->out.shorts.open++;
  struct sockaddr_storage address = flow->address;
  set_port(&address, SHORT_PORT);
  exchange->source.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (exchange->source.fd < 0) die("socket");
  connect(exchange->source.fd, (struct sockaddr *)&address, flow->address_length);
  watch(&exchange->source, EPOLLOUT);
}

static void settle_exchange(struct exchange *exchange, uint64_t now) {
  struct shorts *shorts = &exchange->flow->out.shorts;
  if (now - exchange->began > BOUND_NS) end_exchange(exchange, &shorts->timed_out);
  else if (exchange->answered_at != 0 && !exchange->shut_down &&
           is_rested(exchange->source.fd, exchange->syn_retransmits, exchange->answered_at, now)) {
    add_retransmits(shorts, exchange->source.fd, exchange->syn_retransmits);
    exchange->shut_down = shutdown(exchange->source.fd, SHUT_WR) == 0;
  }
}

void short_tick(struct flow *flow, uint64_t now) {
  for (struct exchange **at = &flow->out.exchanges, *exchange; (exchange = *at) != NULL;) {
    if (exchange->ended) {
      *at = exchange->next;
      free(exchange);
      continue;
    }
    settle_exchange(exchange, now); /* freed by the next tick: this turn of the loop may still have an event for it */
    at = &exchange->next;
  }
  if (flow->lane->short_rate == 0 || finishing_at != 0) return;
  if (now > flow->out.next_short_ns + LATE_NS) flow->out.next_short_ns = now - LATE_NS;
  if (flow->out.next_short_ns > now || flow->out.shorts.open >= OPEN_MAX) return;
  open_exchange(flow, now);
  flow->out.next_short_ns += 1000000000u / flow->lane->short_rate;
}

/* --- server --- */

/* Ends it; freed by a later tick. */
static void end_service(struct service *service, bool whole) {
  if (service->flow != NULL) {
    struct shorts *shorts = &service->flow->in.shorts;
    shorts->open--;
    if (service->damaged) shorts->damaged++;
    else if (whole) shorts->completed++;
    else shorts->broken++;
    add_retransmits(shorts, service->source.fd, service->syn_retransmits);
  }
  unwatch(&service->source);
  service->ended = true;
}

static bool identify(struct service *service) {
  char sender[OPENING], lane[OPENING];
  int family;
  unsigned long long sequence;
  service->opening[OPENING - 1] = 0;
  if (sscanf(service->opening, "SHORT %63s %d %63s %llu %u %u", sender, &family, lane, &sequence, &service->question,
             &service->answer) != 6)
    return false;
  service->sequence = sequence;
  service->flow = find_flow(sender, strlen(sender), family, find_lane(lane));
  if (service->flow == NULL || service->question >= QUESTION_MAX || service->answer > ANSWER_MAX) return false;
  service->flow->in.shorts.opened++;
  service->flow->in.shorts.open++;
  return true;
}

/* Sends what the socket takes. @returns false when the connection is broken */
static bool answer(struct service *service) {
  if (service->asked < service->question || service->answered == service->answer) return true;
  fill(known, service->answer, service->flow->in.stream.seed, answer_words(service->sequence));
  ssize_t sent = send(service->source.fd, known + service->answered, service->answer - service->answered,
                      MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return false;
  if (sent > 0) service->answered += (unsigned)sent;
  rewatch(&service->source, service->answered < service->answer ? EPOLLIN | EPOLLOUT : EPOLLIN);
  return true;
}

static void take_question(struct service *service, size_t length) {
  struct flow *flow = service->flow;
  uint64_t words = question_words(service->sequence);
  if (service->asked + length > service->question ||
      !is_known(scratch, length, service->asked, flow->in.stream.seed, words))
    service->damaged = true;
  service->asked += (unsigned)length;
}

static void on_service(struct source *self, uint32_t events) {
  struct service *service = (struct service *)self;
  ssize_t length;
  if (service->resting_since != 0) return end_service(service, false); /* only an error can come now */
  if (service->flow == NULL) {
    length = recv(self->fd, service->opening + service->fill, OPENING - service->fill, MSG_DONTWAIT);
    if (length > 0 && (service->fill += (unsigned)length) < OPENING) return;
    if (length > 0 && !identify(service)) length = 0;
  } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    length = recv(self->fd, scratch, QUESTION_MAX, MSG_DONTWAIT);
    if (length > 0) take_question(service, (size_t)length);
  } else length = 1;
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) length = 1;
  if (length > 0 && !service->damaged && answer(service)) return;
  if (length == 0 && !service->damaged && service->flow != NULL && service->answered == service->answer) {
    service->resting_since = now_ns();
    rewatch(self, 0); /* the end of file would be told for ever */
  } else end_service(service, false);
}

void short_turn(uint64_t now) {
  for (struct service **at = &services, *service; (service = *at) != NULL;) {
    if (service->ended) {
      *at = service->next;
      free(service);
      continue;
    }
    if (service->resting_since != 0 &&
        is_rested(service->source.fd, service->syn_retransmits, service->resting_since, now))
      end_service(service, true);
    at = &service->next;
  }
}

static void on_connection(struct source *self, uint32_t events) {
  (void)events;
  int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  struct service *service = calloc(1, sizeof *service);
  if (service == NULL) die("memory");
  service->source = (struct source){fd, on_service};
  service->next = services;
  services = service;
  service->syn_retransmits = measure(fd).tcpi_total_retrans;
  watch(&service->source, EPOLLIN);
}

void short_start(void) {
  listener = (struct source){listen_on(SHORT_PORT, SOCK_STREAM), on_connection};
  watch(&listener, EPOLLIN);
}

static void add_shorts(const struct shorts *shorts) {
  report_add(",\"opened\":%llu,\"completed\":%llu,\"refused\":%llu,\"timedOut\":%llu,\"broken\":%llu,\"damaged\":%llu",
             (unsigned long long)shorts->opened, (unsigned long long)shorts->completed,
             (unsigned long long)shorts->refused, (unsigned long long)shorts->timed_out,
             (unsigned long long)shorts->broken, (unsigned long long)shorts->damaged);
  report_add(",\"synRetransmits\":%llu,\"retransmitted\":%llu,\"unneeded\":%llu,\"realRetransmits\":%llu}",
             (unsigned long long)shorts->syn_retransmits, (unsigned long long)shorts->retransmitted,
             (unsigned long long)shorts->unneeded, (unsigned long long)shorts->real_retransmits);
}

void short_report(void) {
  report_add(",\"short\":[");
  for (int i = 0, first = 1; i < flow_count; i++) {
    const struct flow *flow = &flows[i];
    if (flow->lane->short_rate == 0) continue;
    report_flow(flow, first);
    first = 0;
    report_add(",\"served\":{\"told\":%s", flow->in.totals_known ? "" : "null");
    if (flow->in.totals_known) report_add("%llu", (unsigned long long)flow->in.total_shorts);
    add_shorts(&flow->in.shorts);
    report_add(",\"made\":{\"open\":%u", flow->out.shorts.open);
    add_shorts(&flow->out.shorts);
    report_add("}");
  }
  report_add("]");
}
