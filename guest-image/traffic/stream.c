/*
 * Bulk TCP on port 7002: a 64-byte opening line "STREAM sender family lane\n", zero-padded, then the big-endian words of the
 * flow's generator until the sender shuts its side down. The receiver checks every byte and keeps the checksum of what
 * it really got. A stream that breaks is not opened again: it is damaged, and says so.
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <endian.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define OPENING 64
#define TURN (64 * 1024) /* bytes a stream may move before others have a turn */
#define CREDIT_NS 20000000 /* a rate's credit is kept for this long */

/* An accepted connection: of no flow until its opening line is complete. */
struct incoming {
  struct source source; /* first */
  struct flow *flow;
  char opening[OPENING];
  size_t fill;
};

static struct source listener;

/* --- sender --- */

static void generate(struct stream_out *stream) {
  for (size_t i = 0; i < CHUNK / 8; i++) {
    uint64_t word = word_at(stream->seed, stream->words + i);
    stream->hash = hash_word(stream->hash, word);
    stream->chunk[i] = htobe64(word);
  }
  stream->words += CHUNK / 8;
  stream->at = 0;
  stream->fill = CHUNK;
}

/* The connection's own count, not the machine's: connections to peers that are not up yet are retransmitted, too. */
void stream_measure(struct stream_out *stream) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  if (stream->source.fd < 0 || !stream->connected) return;
  if (getsockopt(stream->source.fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return;
  stream->retransmitted = info.tcpi_total_retrans - stream->connect_retransmits;
  stream->unneeded = info.tcpi_dsack_dups;
}

static void close_out(struct stream_out *stream, bool broken) {
  stream->broken |= broken;
  stream_measure(stream);
  if (stream->source.fd >= 0) unwatch(&stream->source);
}

/* All is acknowledged, and a DSACK for what was sent twice has had time to come: after the end nobody would count it. */
static bool acknowledged(struct stream_out *stream, uint64_t now) {
  int unacknowledged = 0;
  if (ioctl(stream->source.fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged > 0) stream->acked_at = 0;
  else if (stream->acked_at == 0) stream->acked_at = now;
  return stream->acked_at != 0 && now - stream->acked_at > SETTLE_NS;
}

/* Sends what is generated and allowed. @returns false when the socket takes no more */
static bool send_some(struct stream_out *stream) {
  if (stream->at == stream->fill) {
    if (stream->stopped || (stream->flow->lane->tcp_rate > 0 && stream->credit < CHUNK)) return true;
    generate(stream);
    stream->credit -= stream->flow->lane->tcp_rate > 0 ? CHUNK : 0;
  }
  ssize_t sent = send(stream->source.fd, (uint8_t *)stream->chunk + stream->at, stream->fill - stream->at,
                      MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) close_out(stream, true);
  if (sent <= 0) return false;
  stream->at += (size_t)sent;
  return true;
}

static void move(struct stream_out *stream) {
  for (size_t turn = 0; turn < TURN / CHUNK; turn++)
    if (!send_some(stream)) return;
}

static void on_writable(struct source *self, uint32_t events) {
  struct stream_out *stream = (struct stream_out *)self;
  if (!stream->connected) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    char opening[OPENING] = {0};
    snprintf(opening, sizeof opening, "STREAM %s %d %s\n", options.me, stream->flow->family,
             stream->flow->lane->name);
    if (error != 0 || send(self->fd, opening, OPENING, MSG_NOSIGNAL) != OPENING) {
      unwatch(self);
      stream->retry_at = now_ns() + ASK_RETRY_NS;
      return;
    }
    stream->connected = true;
    stream->last_ns = now_ns();
    stream_measure(stream);
    stream->connect_retransmits = stream->retransmitted;
    /* With a rate the tick pushes; without one, the socket's room pulls. */
    rewatch(self, stream->flow->lane->tcp_rate > 0 ? 0 : EPOLLOUT);
    return;
  }
  if (events & (EPOLLERR | EPOLLHUP)) close_out(stream, true);
  else move(stream);
}

static void connect_out(struct stream_out *stream) {
  struct sockaddr_storage address = stream->flow->address;
  set_port(&address, STREAM_PORT);
  stream->source.handle = on_writable;
  stream->source.fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (stream->source.fd < 0) die("socket");
  connect(stream->source.fd, (struct sockaddr *)&address, stream->flow->address_length);
  watch(&stream->source, EPOLLOUT);
}

void stream_tick(struct flow *flow, uint64_t now) {
  struct stream_out *stream = &flow->out.stream;
  if (!flow->lane->tcp || stream->broken) return;
  if (stream->source.fd < 0) {
    if (!stream->connected && !stream->stopped && now >= stream->retry_at) connect_out(stream);
    return;
  }
  if (!stream->connected) return;
  uint64_t elapsed = now - stream->last_ns;
  stream->last_ns = now;
  stream->credit += stream->flow->lane->tcp_rate / 1000 * elapsed / 1000000;
  uint64_t most = stream->flow->lane->tcp_rate / 1000 * CREDIT_NS / 1000000 + CHUNK;
  if (stream->credit > most) stream->credit = most;
  if (stream->flow->lane->tcp_rate > 0 || stream->stopped) move(stream);
  if (stream->source.fd >= 0 && stream->stopped && stream->at == stream->fill && acknowledged(stream, now)) {
    shutdown(stream->source.fd, SHUT_WR);
    close_out(stream, false); /* the kernel sees to the rest */
  }
}

void stream_stop(struct flow *flow) {
  struct stream_out *stream = &flow->out.stream;
  stream->stopped = true;
  if (stream->connected && stream->source.fd >= 0) rewatch(&stream->source, 0);
}

/* --- receiver --- */

static void check(struct stream_in *stream, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    uint64_t word;
    if (stream->partial == 0 && length >= 8) {
      memcpy(&word, bytes, 8);
      bytes += 8;
      length -= 8;
    } else {
      stream->word[stream->partial++] = *bytes++;
      length--;
      if (stream->partial < 8) continue;
      memcpy(&word, stream->word, 8);
      stream->partial = 0;
    }
    word = be64toh(word);
    stream->wrong += word != word_at(stream->seed, stream->words++);
    stream->hash = hash_word(stream->hash, word);
  }
}

static bool identify(struct incoming *incoming) {
  char sender[OPENING], lane[OPENING];
  int family;
  incoming->opening[OPENING - 1] = 0;
  if (sscanf(incoming->opening, "STREAM %63s %d %63s", sender, &family, lane) != 3) return false;
  struct flow *flow = find_flow(sender, strlen(sender), family, find_lane(lane));
  if (flow == NULL || flow->in.stream.opened) return false;
  incoming->flow = flow;
  return flow->in.stream.opened = true;
}

static void on_stream(struct source *self, uint32_t events) {
  static uint8_t bytes[TURN];
  struct incoming *incoming = (struct incoming *)self;
  (void)events;
  ssize_t length;
  if (incoming->flow == NULL) {
    length = recv(self->fd, incoming->opening + incoming->fill, OPENING - incoming->fill, MSG_DONTWAIT);
    if (length > 0 && (incoming->fill += (size_t)length) < OPENING) return;
    if (length > 0 && identify(incoming)) return;
  } else {
    length = recv(self->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (length > 0) check(&incoming->flow->in.stream, bytes, (size_t)length);
    if (length > 0) return;
  }
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (incoming->flow != NULL) {
    incoming->flow->in.stream.ended = true;
    incoming->flow->in.stream.broken = length < 0;
  }
  unwatch(self);
  free(incoming);
}

static void on_connection(struct source *self, uint32_t events) {
  (void)events;
  int fd = accept4(self->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  struct incoming *incoming = calloc(1, sizeof *incoming);
  if (incoming == NULL) die("memory");
  incoming->source = (struct source){fd, on_stream};
  watch(&incoming->source, EPOLLIN);
}

void stream_start(void) {
  listener = (struct source){listen_on(STREAM_PORT, SOCK_STREAM), on_connection};
  watch(&listener, EPOLLIN);
}
