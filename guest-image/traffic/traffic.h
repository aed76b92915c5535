/*
 * The traffic generator: see main.c for the theory of operation.
 *
 * A flow is one ordered pair of guests and one address family. This process is the sender of the flow to each peer and
 * the receiver of the flow from each peer, so a `struct flow` (one per peer and family) has an `out` and an `in` half.
 */
#ifndef STILLWIRE_TRAFFIC_H
#define STILLWIRE_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define UDP_PORT 7001     /* sequence-numbered datagrams */
#define STREAM_PORT 7002  /* bulk TCP */
#define CONTROL_PORT 7003 /* greeting and closing exchange */

#define NAME_MAX_LEN 12 /* bytes of a guest's name, as the datagram header carries it */
#define FLOWS_MAX 64
#define TICK_NS 2000000         /* senders act every 2 ms */
#define ASK_RETRY_NS 200000000  /* after a control exchange that failed */
#define ASK_TIMEOUT_NS 3000000000 /* of one control exchange: room for one lost SYN */
#define SETTLE_NS 500000000     /* receivers wait this long after the last arrival */
#define WINDOW_BITS (1u << 18)  /* sequences remembered per flow, to tell a duplicate from a late one */
#define CHUNK 8192              /* bytes generated at a time; a stream's length is a multiple of it */

/* An epoll entry. `handle` is called with the ready events. */
struct source {
  int fd;
  void (*handle)(struct source *self, uint32_t events);
};

/* One question on the control port, asked again and again until it is answered as expected. */
struct ask {
  struct source source; /* first: handlers cast */
  struct flow *flow;
  bool wanted, done;
  uint64_t since, retry_at;
  char line[160];
  const char *expect;
};

struct stream_out {
  struct source source; /* first */
  struct flow *flow;
  bool connected, stopped, broken;
  uint64_t seed, words, hash; /* words generated so far, and their checksum */
  uint64_t credit, last_ns, retry_at, acked_at;
  uint32_t connect_retransmits;             /* of the SYN: no data, not counted */
  uint32_t retransmitted, unneeded;         /* segments sent again, and of those the receiver had (DSACK) */
  uint64_t chunk[CHUNK / 8];
  size_t at, fill; /* bytes of the chunk already sent, and in it */
};

struct stream_in {
  bool opened, ended, broken;
  uint64_t seed, words, hash, wrong;
  unsigned partial; /* bytes of an incomplete word, kept in `word` */
  uint8_t word[8];
};

struct flow {
  const char *peer;
  int family; /* 4 or 6 */
  struct sockaddr_storage address;
  socklen_t address_length;

  struct ask greeting, totals;
  struct {
    int fd;
    uint64_t seed, sent, refused, next_ns, last_ns, largest_gap_ns;
    struct stream_out stream;
  } out;
  struct {
    bool greeted, expects_udp, expects_tcp, totals_known;
    uint64_t seed, received, duplicated, reordered, damaged, too_old;
    uint64_t next; /* one past the highest sequence seen */
    uint64_t *window;
    uint64_t total_sent, total_bytes, total_hash;
    struct stream_in stream;
  } in;
};

struct options {
  const char *me;
  uint64_t udp_rate; /* datagrams a second and flow; 0: none */
  unsigned udp_min, udp_max;
  bool tcp;
  uint64_t tcp_rate; /* bytes a second and stream; 0: unlimited */
  uint64_t finish_timeout_ns;
};

extern struct options options;
extern struct flow flows[FLOWS_MAX + 1];
extern int flow_count;
extern bool running;          /* every flow, both ways, has carried data */
extern uint64_t finishing_at; /* when `finish` was read; 0: not yet */

/* options.c */
void parse_options(int argc, char **argv);
struct flow *find_flow(const char *peer, size_t length, int family);

/* loop.c */
void loop_start(void);
void loop_turn(void); /* waits for something to handle, and handles it */
uint64_t now_ns(void);
void watch(struct source *source, uint32_t events);
void rewatch(struct source *source, uint32_t events);
void unwatch(struct source *source); /* closes its descriptor */
void die(const char *what) __attribute__((noreturn));
int listen_on(uint16_t port, int type);

/* udp.c */
void udp_start(void);
void udp_send_due(struct flow *flow, uint64_t now);
extern uint64_t udp_last_arrival;

/* stream.c */
void stream_start(void);
void stream_tick(struct flow *flow, uint64_t now);
void stream_stop(struct flow *flow);
void stream_measure(struct stream_out *stream);

/* control.c */
void control_start(void);
void ask_tick(struct ask *ask, uint64_t now);

/* console.c */
void console_fork(void);
void console_start(void (*on_line)(const char *line));
void console_print(const char *text, size_t length);
void console_flush(void);

/* counters.c */
struct counters {
  uint64_t retrans_segs, dsack_recv, fast_retrans, timeouts, loss_probes;
  uint64_t udp_in_errors, udp_rcvbuf_errors, udp_mem_errors, udp_sndbuf_errors, udp_no_ports;
};
void read_counters(struct counters *counters);

/* report.c */
void mark_counters(void);
void report(const char *word, bool complete);
bool settled(uint64_t now);

/*
 * The pseudo-random bytes of a flow: word i is a bijection of i (an odd multiplication, then a xorshift), so any shift,
 * loss, repetition or damage shows at the first word, and a receiver can check at any offset.
 */
static inline uint64_t word_at(uint64_t seed, uint64_t index) {
  uint64_t word = (seed + index) * 0x9e3779b97f4a7c15u;
  return word ^ (word >> 29);
}

/* FNV-1a over 64-bit words instead of bytes. */
#define HASH_START 0xcbf29ce484222325u
static inline uint64_t hash_word(uint64_t hash, uint64_t word) { return (hash ^ word) * 0x100000001b3u; }

#endif
