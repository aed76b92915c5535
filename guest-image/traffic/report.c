/* RESULT and STATUS lines: one JSON object, the shape is in ../README.md. The machine's counters count from RUNNING on:
   before it, connections to peers that are not up yet are retransmitted, which says nothing about the network.
   realRetransmits is the streams' own: segments sent again that the receiver did not report as had already (DSACK).
   Tail loss probes and early timeouts of a starved machine are reported; a lost segment is not. */
#define _GNU_SOURCE
#include "traffic.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static struct counters mark;
static char text[60 * 1024];
static size_t length;

/* The names the kernel gives them; those of both families are added up. */
struct shown {
  const char *name;
  size_t offset;
};
#define OF(member) offsetof(struct counters, member)
static const struct shown tcp[] = {
    {"RetransSegs", OF(retrans_segs)},  {"TCPDSACKRecv", OF(dsack_recv)},      {"TCPFastRetrans", OF(fast_retrans)},
    {"TCPTimeouts", OF(timeouts)},      {"TCPLossProbes", OF(loss_probes)},    {"ListenDrops", OF(listen_drops)},
    {"TCPBacklogDrop", OF(backlog_drops)}, {"TCPOFOQueue", OF(ofo_queued)}, {"TCPOFODrop", OF(ofo_dropped)},
    {"TCPRcvQDrop", OF(receive_drops)}, {"RcvPruned", OF(pruned)}, {"TCPSynRetrans", OF(syn_retrans)},
    {"TCPSlowStartRetrans", OF(timeout_retrans)}, {"TCPSpuriousRTOs", OF(spurious_rtos)},
    {"TCPDSACKIgnoredDubious", OF(dsack_ignored)}};
static const struct shown udp[] = {{"InErrors", OF(udp_in_errors)},
                                   {"RcvbufErrors", OF(udp_rcvbuf_errors)},
                                   {"MemErrors", OF(udp_mem_errors)},
                                   {"SndbufErrors", OF(udp_sndbuf_errors)},
                                   {"NoPorts", OF(udp_no_ports)}};
static const struct shown ip[] = {{"ReasmReqds", OF(fragments_in)},
                                  {"ReasmOKs", OF(reassembled)},
                                  {"ReasmFails", OF(reassembly_fails)},
                                  {"ReasmTimeout", OF(reassembly_timeouts)},
                                  {"FragCreates", OF(fragments_out)},
                                  {"FragFails", OF(fragmentation_fails)},
                                  {"InDiscards", OF(in_discards)},
                                  {"OutDiscards", OF(out_discards)},
                                  {"UnresolvedDiscards", OF(unresolved_discards)},
                                  {"FailedResolutions", OF(failed_resolutions)}};

static const struct shown link[] = {{"QueueDrops", OF(queue_drops)},
                                    {"DeviceDrops", OF(device_drops)},
                                    {"SoftnetDrops", OF(softnet_drops)}};

void mark_counters(void) { read_counters(&mark); }

/* A line too long is cut; FLOWS_MAX flows fit. */
void report_add(const char *format, ...) {
  va_list values;
  va_start(values, format);
  int added = vsnprintf(text + length, sizeof text - length, format, values);
  va_end(values);
  if (added > 0 && length + (size_t)added < sizeof text) length += (size_t)added;
}

void report_flow(const struct flow *flow, bool first) {
  report_add("%s{\"peer\":\"%s\",\"family\":%d,\"lane\":\"%s\"", first ? "" : ",", flow->peer, flow->family,
             flow->lane->name);
}

static bool intact(const struct flow *flow) {
  const struct stream_in *stream = &flow->in.stream;
  return stream->ended && !stream->broken && stream->wrong == 0 && stream->partial == 0 &&
         stream->words * 8 == flow->in.total_bytes && stream->hash == flow->in.total_hash;
}

/* Everything that the closing exchange can still bring has come. */
bool settled(uint64_t now) {
  for (int i = 0; i < flow_count; i++) {
    const struct flow *flow = &flows[i];
    if (!flow->totals.done || !flow->in.totals_known) return false;
    if (flow->in.expects_tcp && flow->in.total_bytes > 0 && !flow->in.stream.ended) return false;
    if (flow->out.stream.source.fd >= 0 || flow->in.shorts.open > 0) return false;
  }
  return now - udp_last_arrival > SETTLE_NS && now - finishing_at > SETTLE_NS;
}

static void add_received(void) {
  report_add(",\"udp\":[");
  for (int i = 0; i < flow_count; i++) {
    const struct flow *flow = &flows[i];
    report_flow(flow, i == 0);
    if (flow->in.totals_known)
      report_add(",\"sent\":%" PRIu64 ",\"lost\":%" PRId64, flow->in.total_sent,
                 (int64_t)(flow->in.total_sent - flow->in.received));
    else report_add(",\"sent\":null,\"lost\":null");
    report_add(",\"received\":%" PRIu64 ",\"duplicated\":%" PRIu64 ",\"reordered\":%" PRIu64, flow->in.received,
               flow->in.duplicated, flow->in.reordered);
    report_add(",\"damaged\":%" PRIu64 ",\"tooOld\":%" PRIu64 "}", flow->in.damaged, flow->in.too_old);
  }
  report_add("],\"tcp\":[");
  for (int i = 0, first = 1; i < flow_count; i++) {
    const struct flow *flow = &flows[i];
    if (!flow->in.expects_tcp) continue;
    report_flow(flow, first);
    report_add(",\"bytes\":%" PRIu64, flow->in.stream.words * 8 + flow->in.stream.partial);
    first = 0;
    if (flow->in.totals_known)
      report_add(",\"sent\":%" PRIu64 ",\"intact\":%s}", flow->in.total_bytes, intact(flow) ? "true" : "false");
    else
      report_add(",\"sent\":null,\"intact\":%s}",
                 flow->in.stream.wrong > 0 || flow->in.stream.ended ? "false" : "null");
  }
  report_add("]");
}

static void add_sent(void) {
  uint64_t largest = 0, real = 0;
  report_add(",\"out\":[");
  for (int i = 0; i < flow_count; i++) {
    struct flow *flow = &flows[i];
    struct stream_out *stream = &flow->out.stream;
    stream_measure(stream);
    real += flow->out.shorts.real_retransmits + flow->in.shorts.real_retransmits;
    if (flow->lane->number == 0 && flow->out.largest_gap_ns > largest) largest = flow->out.largest_gap_ns;
    if (stream->retransmitted > stream->unneeded) real += stream->retransmitted - stream->unneeded;
    const struct flow *speaker = flow->out.speaker;
    report_flow(flow, i == 0);
    report_add(",\"datagrams\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"largestGapMs\":%.1f", speaker->out.sent,
               speaker->out.refused, (double)speaker->out.largest_gap_ns / 1e6);
    report_add(",\"bytes\":%" PRIu64 ",\"retransmitted\":%u,\"unneeded\":%u}", stream->words * 8,
               stream->retransmitted, stream->unneeded);
  }
  report_add("],\"largestGapMs\":%.1f,\"realRetransmits\":%" PRIu64, (double)largest / 1e6, real);
}

static void add_growth(const char *table, const struct shown *shown, size_t count, const struct counters *now) {
  report_add(",\"%s\":{", table);
  for (size_t i = 0; i < count; i++) {
    size_t at = shown[i].offset / sizeof(uint64_t);
    report_add("%s\"%s\":%" PRIu64, i > 0 ? "," : "", shown[i].name, ((const uint64_t *)now)[at] - ((uint64_t *)&mark)[at]);
  }
  report_add("}");
}

static void add_counters(void) {
  struct counters now = {0};
  if (running) read_counters(&now);
  else mark = now; /* nothing counts yet */
#define SHOW(table) add_growth(#table "Counters", table, sizeof table / sizeof *table, &now)
  SHOW(tcp);
  SHOW(udp);
  SHOW(ip);
  SHOW(link);
#undef SHOW
}

void report(const char *word, bool complete) {
  length = 0;
  report_add("%s {\"guest\":\"%s\",\"running\":%s,\"finishing\":%s,\"complete\":%s", word, options.me,
      running ? "true" : "false", finishing_at != 0 ? "true" : "false", complete ? "true" : "false");
  add_received();
  add_sent();
  short_report();
  churn_report();
  add_counters();
  report_add("}\n");
  console_print(text, length);
}
