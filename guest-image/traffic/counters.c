/* The kernel's own counters of this network namespace: /proc/net/snmp and netstat (a line of names, a line of values)
   and snmp6 (a name and a value a line), stat/arp_cache and ndisc_cache. The kernel adds IPv4's and IPv6's TCP together, not their UDP. */
#define _GNU_SOURCE
#include "traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wanted {
  const char *table, *name; /* table: prefix of the line, such as `Tcp:`; NULL in snmp6 */
  uint64_t *value;
};

static void read_pairs(const char *path, const struct wanted *wanted, size_t count) {
  static char names[8192], values[8192];
  FILE *file = fopen(path, "re");
  if (file == NULL) return;
  while (fgets(names, sizeof names, file) != NULL && fgets(values, sizeof values, file) != NULL) {
    char *in_names, *in_values;
    char *table = strtok_r(names, " \n", &in_names);
    strtok_r(values, " \n", &in_values);
    for (char *name, *value; (name = strtok_r(NULL, " \n", &in_names)) != NULL &&
                             (value = strtok_r(NULL, " \n", &in_values)) != NULL;)
      for (size_t i = 0; i < count; i++)
        if (wanted[i].table != NULL && strcmp(table, wanted[i].table) == 0 && strcmp(name, wanted[i].name) == 0)
          *wanted[i].value += strtoull(value, NULL, 10);
  }
  fclose(file);
}

static void read_singles(const char *path, const struct wanted *wanted, size_t count) {
  char name[64];
  unsigned long long value;
  FILE *file = fopen(path, "re");
  if (file == NULL) return;
  while (fscanf(file, "%63s %llu", name, &value) == 2)
    for (size_t i = 0; i < count; i++)
      if (wanted[i].table == NULL && strcmp(name, wanted[i].name) == 0) *wanted[i].value += value;
  fclose(file);
}

/* A line of names, then a line of hexadecimal values for each CPU. */
static void read_neighbours(const char *path, struct counters *to) {
  static char names[1024], values[1024];
  FILE *file = fopen(path, "re");
  if (file == NULL) return;
  if (fgets(names, sizeof names, file) == NULL) names[0] = 0;
  while (fgets(values, sizeof values, file) != NULL) {
    char line[sizeof names], *in_names, *in_values, *name, *value;
    strcpy(line, names);
    for (name = strtok_r(line, " \n", &in_names), value = strtok_r(values, " \n", &in_values);
         name != NULL && value != NULL;
         name = strtok_r(NULL, " \n", &in_names), value = strtok_r(NULL, " \n", &in_values)) {
      if (strcmp(name, "unresolved_discards") == 0) to->unresolved_discards += strtoull(value, NULL, 16);
      if (strcmp(name, "res_failed") == 0) to->failed_resolutions += strtoull(value, NULL, 16);
    }
  }
  fclose(file);
}

void read_counters(struct counters *to) {
  *to = (struct counters){0};
  const struct wanted wanted[] = {
      {"Tcp:", "RetransSegs", &to->retrans_segs},
      {"TcpExt:", "TCPDSACKRecv", &to->dsack_recv},
      {"TcpExt:", "TCPFastRetrans", &to->fast_retrans},
      {"TcpExt:", "TCPTimeouts", &to->timeouts},
      {"TcpExt:", "TCPLossProbes", &to->loss_probes},
      {"TcpExt:", "ListenDrops", &to->listen_drops},
      {"TcpExt:", "TCPBacklogDrop", &to->backlog_drops},
      {"TcpExt:", "TCPOFOQueue", &to->ofo_queued},
      {"TcpExt:", "TCPOFODrop", &to->ofo_dropped},
      {"TcpExt:", "TCPRcvQDrop", &to->receive_drops},
      {"TcpExt:", "TCPZeroWindowDrop", &to->receive_drops},
      {"TcpExt:", "RcvPruned", &to->pruned},
      {"TcpExt:", "OfoPruned", &to->pruned},
      {"TcpExt:", "PruneCalled", &to->pruned},
      {"TcpExt:", "TCPSynRetrans", &to->syn_retrans},
      {"TcpExt:", "TCPSlowStartRetrans", &to->timeout_retrans},
      {"TcpExt:", "TCPSpuriousRTOs", &to->spurious_rtos},
      {"TcpExt:", "TCPDSACKIgnoredDubious", &to->dsack_ignored},
      {"Ip:", "ReasmReqds", &to->fragments_in},
      {"Ip:", "ReasmOKs", &to->reassembled},
      {"Ip:", "ReasmFails", &to->reassembly_fails},
      {"Ip:", "ReasmTimeout", &to->reassembly_timeouts},
      {"Ip:", "FragCreates", &to->fragments_out},
      {"Ip:", "FragFails", &to->fragmentation_fails},
      {"Ip:", "InDiscards", &to->in_discards},
      {"Ip:", "OutDiscards", &to->out_discards},
      {"Udp:", "InErrors", &to->udp_in_errors},
      {"Udp:", "RcvbufErrors", &to->udp_rcvbuf_errors},
      {"Udp:", "MemErrors", &to->udp_mem_errors},
      {"Udp:", "SndbufErrors", &to->udp_sndbuf_errors},
      {"Udp:", "NoPorts", &to->udp_no_ports},
      {NULL, "Ip6ReasmReqds", &to->fragments_in},
      {NULL, "Ip6ReasmOKs", &to->reassembled},
      {NULL, "Ip6ReasmFails", &to->reassembly_fails},
      {NULL, "Ip6ReasmTimeout", &to->reassembly_timeouts},
      {NULL, "Ip6FragCreates", &to->fragments_out},
      {NULL, "Ip6FragFails", &to->fragmentation_fails},
      {NULL, "Ip6InDiscards", &to->in_discards},
      {NULL, "Ip6OutDiscards", &to->out_discards},
      {NULL, "Udp6InErrors", &to->udp_in_errors},
      {NULL, "Udp6RcvbufErrors", &to->udp_rcvbuf_errors},
      {NULL, "Udp6MemErrors", &to->udp_mem_errors},
      {NULL, "Udp6SndbufErrors", &to->udp_sndbuf_errors},
      {NULL, "Udp6NoPorts", &to->udp_no_ports},
  };
  const size_t count = sizeof wanted / sizeof *wanted;
  read_pairs("/proc/net/snmp", wanted, count);
  read_pairs("/proc/net/netstat", wanted, count);
  read_singles("/proc/net/snmp6", wanted, count);
  read_neighbours("/proc/net/stat/arp_cache", to);
  read_neighbours("/proc/net/stat/ndisc_cache", to);
  read_links(to);
}
