/* The command line, and the flows that follow from it. */
#include "traffic.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {
    .udp_rate = 500, .udp_min = 64, .udp_max = 1200, .tcp = true, .tcp_rate = 1000000, .finish_timeout_ns = 60000000000};
struct flow flows[FLOWS_MAX + 1]; /* the last is a place to fail in */
int flow_count;
bool running;
uint64_t finishing_at;

static uint64_t seed_of(const char *sender, const char *receiver, int family) {
  uint64_t seed = HASH_START;
  for (const char *at = sender; *at; at++) seed = hash_word(seed, (uint8_t)*at);
  seed = hash_word(seed, '>');
  for (const char *at = receiver; *at; at++) seed = hash_word(seed, (uint8_t)*at);
  return hash_word(seed, (uint64_t)family);
}

static void add_flow(const char *peer, const char *address) {
  struct flow *flow = &flows[flow_count];
  struct sockaddr_in *four = (struct sockaddr_in *)&flow->address;
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)&flow->address;
  if (inet_pton(AF_INET, address, &four->sin_addr) == 1) flow->family = 4;
  else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) flow->family = 6;
  if (flow->family == 0 || flow_count == FLOWS_MAX) {
    fprintf(stderr, "traffic: bad address %s of %s, or more than %d flows\n", address, peer, FLOWS_MAX);
    exit(2);
  }
  flow_count++;
  flow->peer = peer;
  flow->address.ss_family = flow->family == 4 ? AF_INET : AF_INET6;
  flow->address_length = flow->family == 4 ? sizeof *four : sizeof *six;
  four->sin_port = htons(UDP_PORT); /* same place in sockaddr_in6 */
  flow->in.window = calloc(WINDOW_BITS / 64, sizeof(uint64_t));
  if (flow->in.window == NULL) die("memory");
  flow->in.seed = flow->in.stream.seed = seed_of(peer, options.me, flow->family);
  flow->out.seed = flow->out.stream.seed = seed_of(options.me, peer, flow->family);
  flow->in.stream.hash = flow->out.stream.hash = HASH_START;
  flow->out.fd = flow->out.stream.source.fd = flow->greeting.source.fd = flow->totals.source.fd = -1;
  flow->out.stream.flow = flow->greeting.flow = flow->totals.flow = flow;
  flow->greeting.expect = "READY\n";
  flow->totals.expect = "OK\n";
  snprintf(flow->greeting.line, sizeof flow->greeting.line, "HELLO %s %d %d %d\n", options.me, flow->family,
           options.udp_rate > 0, options.tcp);
  flow->greeting.wanted = true;
}

/* b=10.1.0.2/fd01::2,c=10.1.0.3 */
static void parse_peers(char *text) {
  for (char *rest = text, *peer; (peer = strsep(&rest, ",")) != NULL;) {
    char *addresses = peer, *name = strsep(&addresses, "=");
    if (*name == 0 || strlen(name) > NAME_MAX_LEN || addresses == NULL) {
      fprintf(stderr, "traffic: a peer is NAME=IPv4/IPv6, its name 1 to %d bytes: %s\n", NAME_MAX_LEN, name);
      exit(2);
    }
    if (strcmp(name, options.me) == 0) continue; /* so that every guest can be given the same list */
    for (char *address; (address = strsep(&addresses, "/")) != NULL;) add_flow(name, address);
  }
}

/* 2M -> 2,000,000 */
static uint64_t parse_rate(const char *text) {
  char *end;
  uint64_t rate = strtoull(text, &end, 10);
  if (*end == 'k' || *end == 'K') return rate * 1000;
  if (*end == 'm' || *end == 'M') return rate * 1000000;
  return rate;
}

void parse_options(int argc, char **argv) {
  char *peers = NULL;
  for (int i = 1; i + 1 < argc; i += 2) {
    char *value = argv[i + 1], *end;
    if (strcmp(argv[i], "--me") == 0) options.me = value;
    else if (strcmp(argv[i], "--peers") == 0) peers = value;
    else if (strcmp(argv[i], "--udp-rate") == 0) options.udp_rate = parse_rate(value);
    else if (strcmp(argv[i], "--udp-size") == 0) {
      options.udp_min = options.udp_max = (unsigned)strtoul(value, &end, 10);
      if (*end == '-') options.udp_max = (unsigned)strtoul(end + 1, NULL, 10);
    } else if (strcmp(argv[i], "--tcp-rate") == 0) {
      options.tcp = strcmp(value, "off") != 0;
      options.tcp_rate = options.tcp ? parse_rate(value) : 0;
    } else if (strcmp(argv[i], "--finish-timeout") == 0) options.finish_timeout_ns = parse_rate(value) * 1000000000u;
    else argc = 0;
  }
  if (argc % 2 == 0 || options.me == NULL || peers == NULL || strlen(options.me) > NAME_MAX_LEN ||
      options.udp_min < 48 || options.udp_max > 9000 || options.udp_min > options.udp_max) {
    fprintf(stderr, "usage: traffic --me NAME --peers NAME=IPv4/IPv6,... [--udp-rate 500] [--udp-size 64-1200]\n"
                    "               [--tcp-rate 1M|0|off] [--finish-timeout 60]\n");
    exit(2);
  }
  parse_peers(peers);
}

struct flow *find_flow(const char *peer, size_t length, int family) {
  for (int i = 0; i < flow_count; i++)
    if (flows[i].family == family && strlen(flows[i].peer) == length && memcmp(flows[i].peer, peer, length) == 0)
      return &flows[i];
  return NULL;
}
