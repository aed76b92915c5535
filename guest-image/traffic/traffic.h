/*
 * The traffic generator: see main.c for the theory of operation.
 *
 * A flow is one ordered pair of guests, one lane and one address family. This process is the sender of the flow to each
 * peer and the receiver of the flow from each peer, so a `struct flow` (one per peer, lane and family) has an `out` and
 * an `in` half. A lane is a kind of load with rates, sizes and addresses of its own; there is one, `main`, unless the
 * command line opens more.
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
#define SHORT_PORT 7004   /* short TCP connections */

#define NAME_MAX_LEN 12 /* bytes of a guest's name, as the datagram header carries it */
#define FLOWS_MAX 96
#define LANES_MAX 8
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
  char line[192];
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

/* Short connections, those of both ends together in one shape. */
struct shorts {
  uint64_t opened, completed, refused, timed_out, broken, damaged;
  uint64_t syn_retransmits, retransmitted, unneeded, real_retransmits;
  unsigned open; /* at this moment */
};

struct lane {
  const char *name;
  uint8_t number;    /* place on the command line, and in a datagram's header */
  uint64_t udp_rate; /* datagrams a second and flow; 0: none */
  unsigned udp_min, udp_max;
  bool tcp;
  uint64_t tcp_rate;   /* bytes a second and stream; 0: unlimited */
  uint64_t short_rate; /* short connections a second and flow; 0: none */
  char *peers;         /* as the command line gave them; NULL: those of the first lane */
  char *group;         /* datagrams go here instead of to the peers: IPv4/IPv6 */
  const char *device;  /* through which the group is reached */
};

struct flow {
  const char *peer;
  const struct lane *lane;
  int family; /* 4 or 6 */
  struct sockaddr_storage address;
  socklen_t address_length;

  struct ask greeting, totals;
  struct {
    int fd;
    uint64_t seed, sent, refused, next_ns, last_ns, largest_gap_ns;
    struct flow *speaker; /* whose datagrams reach this peer: the flow itself, but for a group its lane's first */
    struct stream_out stream;
    struct shorts shorts;
    struct exchange *exchanges; /* short connections that are open */
    uint64_t next_short_ns;
  } out;
  struct {
    bool greeted, expects_udp, expects_tcp, totals_known;
    uint64_t seed, received, duplicated, reordered, damaged, too_old;
    uint64_t next; /* one past the highest sequence seen */
    uint64_t *window;
    uint64_t total_sent, total_bytes, total_hash, total_shorts;
    struct stream_in stream;
    struct shorts shorts;
  } in;
};

struct options {
  const char *me;
  uint64_t finish_timeout_ns;
  uint64_t churn_ns; /* the neighbour table is emptied about this often; 0: never */
};

extern struct options options;
extern struct lane lanes[LANES_MAX];
extern int lane_count;
extern struct flow flows[FLOWS_MAX + 1];
extern int flow_count;
extern bool running;          /* every flow, both ways, has carried data */
extern uint64_t finishing_at; /* when `finish` was read; 0: not yet */

/* options.c */
void parse_options(int argc, char **argv);
struct flow *find_flow(const char *peer, size_t length, int family, const struct lane *lane); /* NULL: none */
const struct lane *find_lane(const char *name); /* NULL: none */
void parse_addresses(char *text, struct sockaddr_storage *four, struct sockaddr_storage *six);

/* loop.c */
void loop_start(void);
void loop_turn(void); /* waits for something to handle, and handles it */
uint64_t now_ns(void);
void watch(struct source *source, uint32_t events);
void rewatch(struct source *source, uint32_t events);
void unwatch(struct source *source); /* closes its descriptor */
void die(const char *what) __attribute__((noreturn));
int listen_on(uint16_t port, int type);
void set_port(struct sockaddr_storage *address, uint16_t port);

/* udp.c */
void udp_start(void);
void udp_send_due(struct flow *flow, uint64_t now);
extern uint64_t udp_last_arrival;

/* stream.c */
void stream_start(void);
void stream_tick(struct flow *flow, uint64_t now);
void stream_stop(struct flow *flow);
void stream_measure(struct stream_out *stream);

/* short.c */
void short_start(void);
void short_tick(struct flow *flow, uint64_t now); /* the client's end of a flow */
void short_turn(uint64_t now);                    /* all that are served */
void short_report(void);

/* neighbours.c */
void churn_start(void);
void churn_tick(uint64_t now);
void churn_report(void);

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
  uint64_t listen_drops, backlog_drops, ofo_queued, ofo_dropped, receive_drops, pruned, syn_retrans, timeout_retrans;
  uint64_t spurious_rtos, dsack_ignored;
  uint64_t udp_in_errors, udp_rcvbuf_errors, udp_mem_errors, udp_sndbuf_errors, udp_no_ports;
  uint64_t fragments_in, reassembled, reassembly_fails, reassembly_timeouts, fragments_out, fragmentation_fails;
  uint64_t in_discards, out_discards;
  uint64_t unresolved_discards, failed_resolutions;
  uint64_t queue_drops, device_drops, softnet_drops;
};
void read_counters(struct counters *counters);

/* links.c */
void read_links(struct counters *to); /* adds to what is there */

/* report.c */
void mark_counters(void);
void report_add(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_flow(const struct flow *flow, bool first); /* what every entry begins with */
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

/* The bytes of words `first`, first + 1, …, big-endian. `to` has room for whole words. */
void fill(uint8_t *to, size_t length, uint64_t seed, uint64_t first);

/* FNV-1a over 64-bit words instead of bytes. */
#define HASH_START 0xcbf29ce484222325u
static inline uint64_t hash_word(uint64_t hash, uint64_t word) { return (hash ^ word) * 0x100000001b3u; }

#endif
