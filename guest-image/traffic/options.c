/* The command line, and the flows that follow from it. */
#include "traffic.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options = {.finish_timeout_ns = 60000000000};
struct lane lanes[LANES_MAX] = {
    {.name = "main", .udp_rate = 500, .udp_min = 64, .udp_max = 1200, .tcp = true, .tcp_rate = 1000000}};
int lane_count = 1;
struct flow flows[FLOWS_MAX + 1]; /* the last is a place to fail in */
int flow_count;
bool running;
uint64_t finishing_at;

static const char everybody[] = "*"; /* receiver's name in a group's datagrams */

static void refuse(const char *what, const char *which) {
  fprintf(stderr, "traffic: %s: %s\n", what, which);
  exit(2);
}

static uint64_t seed_of(const char *sender, const char *receiver, int family, int lane) {
  uint64_t seed = HASH_START;
  for (const char *at = sender; *at; at++) seed = hash_word(seed, (uint8_t)*at);
  seed = hash_word(seed, '>');
  for (const char *at = receiver; *at; at++) seed = hash_word(seed, (uint8_t)*at);
  return hash_word(hash_word(seed, (uint64_t)family), (uint64_t)lane);
}

/* `10.1.0.2/fd01::2`, either may be absent: that family is 0 then. */
void parse_addresses(char *text, struct sockaddr_storage *four, struct sockaddr_storage *six) {
  memset(four, 0, sizeof *four);
  memset(six, 0, sizeof *six);
  for (char *address; (address = strsep(&text, "/")) != NULL;) {
    if (inet_pton(AF_INET, address, &((struct sockaddr_in *)four)->sin_addr) == 1) four->ss_family = AF_INET;
    else if (inet_pton(AF_INET6, address, &((struct sockaddr_in6 *)six)->sin6_addr) == 1) six->ss_family = AF_INET6;
    else refuse("bad address", address);
  }
}

static void add_flow(const char *peer, const struct lane *lane, const struct sockaddr_storage *address) {
  struct flow *flow = &flows[flow_count];
  if (address->ss_family == 0) return;
  if (flow_count++ == FLOWS_MAX) refuse("too many flows, the first left out is to", peer);
  flow->peer = peer;
  flow->lane = lane;
  flow->address = *address;
  flow->family = address->ss_family == AF_INET ? 4 : 6;
  flow->address_length = flow->family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  flow->in.window = calloc(WINDOW_BITS / 64, sizeof(uint64_t));
  if (flow->in.window == NULL) die("memory");
  const char *to_me = lane->group == NULL ? options.me : everybody, *to_it = lane->group == NULL ? peer : everybody;
  flow->in.seed = flow->in.stream.seed = seed_of(peer, to_me, flow->family, lane->number);
  flow->out.seed = flow->out.stream.seed = seed_of(options.me, to_it, flow->family, lane->number);
  flow->in.stream.hash = flow->out.stream.hash = HASH_START;
  flow->out.fd = flow->out.stream.source.fd = flow->greeting.source.fd = flow->totals.source.fd = -1;
  flow->out.stream.flow = flow->greeting.flow = flow->totals.flow = flow;
  flow->out.speaker = flow;
  for (struct flow *earlier = flow - 1; lane->group != NULL && earlier >= flows; earlier--)
    if (earlier->lane == lane && earlier->family == flow->family) flow->out.speaker = earlier;
  flow->greeting.expect = "READY\n";
  flow->totals.expect = "OK\n";
  snprintf(flow->greeting.line, sizeof flow->greeting.line, "HELLO %s %d %d %d %s\n", options.me, flow->family,
           lane->udp_rate > 0, lane->tcp, lane->name);
  flow->greeting.wanted = true;
}

/* b=10.1.0.2/fd01::2,c=10.1.0.3 */
static void parse_peers(const struct lane *lane) {
  char *rest = strdup(lane->peers != NULL ? lane->peers : lanes[0].peers); /* names are kept: never freed */
  if (rest == NULL) die("memory");
  for (char *peer; (peer = strsep(&rest, ",")) != NULL;) {
    struct sockaddr_storage four, six;
    char *addresses = peer, *name = strsep(&addresses, "=");
    if (*name == 0 || strlen(name) > NAME_MAX_LEN || addresses == NULL) {
      fprintf(stderr, "traffic: a peer is NAME=IPv4/IPv6, its name 1 to %d bytes: %s\n", NAME_MAX_LEN, name);
      exit(2);
    }
    if (strcmp(name, options.me) == 0) continue; /* so that every guest can be given the same list */
    parse_addresses(addresses, &four, &six);
    add_flow(name, lane, &four);
    add_flow(name, lane, &six);
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

static struct lane *open_lane(const char *name) {
  if (lane_count == LANES_MAX) refuse("too many lanes, the first left out is", name);
  if (strlen(name) > NAME_MAX_LEN || find_lane(name) != NULL) refuse("bad name of a lane", name);
  struct lane *lane = &lanes[lane_count];
  *lane = (struct lane){.name = name, .number = (uint8_t)lane_count, .udp_min = 64, .udp_max = 1200};
  lane_count++;
  return lane;
}

static bool parse_option(struct lane *lane, const char *option, char *value) {
  char *end;
  if (strcmp(option, "--me") == 0) options.me = value;
  else if (strcmp(option, "--peers") == 0) lane->peers = value;
  else if (strcmp(option, "--udp-rate") == 0) lane->udp_rate = parse_rate(value);
  else if (strcmp(option, "--udp-size") == 0) {
    lane->udp_min = lane->udp_max = (unsigned)strtoul(value, &end, 10);
    if (*end == '-') lane->udp_max = (unsigned)strtoul(end + 1, NULL, 10);
  } else if (strcmp(option, "--tcp-rate") == 0) {
    lane->tcp = strcmp(value, "off") != 0;
    lane->tcp_rate = lane->tcp ? parse_rate(value) : 0;
  } else if (strcmp(option, "--short-rate") == 0) lane->short_rate = parse_rate(value);
  else if (strcmp(option, "--group") == 0) lane->group = value;
  else if (strcmp(option, "--device") == 0) lane->device = value;
  else if (strcmp(option, "--churn") == 0) options.churn_ns = parse_rate(value) * 1000000u;
  else if (strcmp(option, "--finish-timeout") == 0) options.finish_timeout_ns = parse_rate(value) * 1000000000u;
  else return false;
  return true;
}

static bool is_sound(const struct lane *lane) {
  return lane->udp_min >= 48 && lane->udp_max <= 9000 && lane->udp_min <= lane->udp_max &&
         (lane->group == NULL) == (lane->device == NULL);
}

void parse_options(int argc, char **argv) {
  struct lane *lane = &lanes[0];
  bool sound = argc % 2 == 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--lane") == 0) lane = open_lane(argv[i + 1]);
    else sound &= parse_option(lane, argv[i], argv[i + 1]);
  }
  for (int i = 0; i < lane_count; i++) sound &= is_sound(&lanes[i]);
  if (!sound || options.me == NULL || lanes[0].peers == NULL || strlen(options.me) > NAME_MAX_LEN) {
    fprintf(stderr,
            "usage: traffic --me NAME --peers NAME=IPv4/IPv6,... [--udp-rate 500] [--udp-size 64-1200]\n"
            "               [--tcp-rate 1M|0|off] [--short-rate 0] [--churn MS] [--finish-timeout 60]\n"
            "               [--lane NAME [--peers ...] [--udp-rate 0] [--udp-size 64-1200] [--tcp-rate off]\n"
            "                            [--short-rate 0] [--group IPv4/IPv6 --device NIC]]...\n");
    exit(2);
  }
  for (int i = 0; i < lane_count; i++) parse_peers(&lanes[i]);
}

const struct lane *find_lane(const char *name) {
  for (int i = 0; i < lane_count; i++)
    if (strcmp(lanes[i].name, name) == 0) return &lanes[i];
  return NULL;
}

struct flow *find_flow(const char *peer, size_t length, int family, const struct lane *lane) {
  for (int i = 0; i < flow_count; i++)
    if (flows[i].family == family && flows[i].lane == lane && strlen(flows[i].peer) == length &&
        memcmp(flows[i].peer, peer, length) == 0)
      return &flows[i];
  return NULL;
}
