/* The kernel's own counters of this network namespace: /proc/net/snmp and netstat (a line of names, a line of values)
   and snmp6 (a name and a value a line). The kernel adds IPv4's and IPv6's TCP together, not their UDP. */
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

void read_counters(struct counters *to) {
  *to = (struct counters){0};
  const struct wanted wanted[] = {
      {"Tcp:", "RetransSegs", &to->retrans_segs},
      {"TcpExt:", "TCPDSACKRecv", &to->dsack_recv},
      {"TcpExt:", "TCPFastRetrans", &to->fast_retrans},
      {"TcpExt:", "TCPTimeouts", &to->timeouts},
      {"TcpExt:", "TCPLossProbes", &to->loss_probes},
      {"Udp:", "InErrors", &to->udp_in_errors},
      {"Udp:", "RcvbufErrors", &to->udp_rcvbuf_errors},
      {"Udp:", "MemErrors", &to->udp_mem_errors},
      {"Udp:", "SndbufErrors", &to->udp_sndbuf_errors},
      {"Udp:", "NoPorts", &to->udp_no_ports},
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
}
