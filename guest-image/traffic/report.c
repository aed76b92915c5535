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
static char text[48 * 1024];
static size_t length;

void mark_counters(void) { read_counters(&mark); }

/* A line too long is cut; FLOWS_MAX flows fit. */
static __attribute__((format(printf, 1, 2))) void add(const char *format, ...) {
  va_list values;
  va_start(values, format);
  int added = vsnprintf(text + length, sizeof text - length, format, values);
  va_end(values);
  if (added > 0 && length + (size_t)added < sizeof text) length += (size_t)added;
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
    if (flow->out.stream.source.fd >= 0) return false;
  }
  return now - udp_last_arrival > SETTLE_NS && now - finishing_at > SETTLE_NS;
}

static void add_received(void) {
  add(",\"udp\":[");
  for (int i = 0; i < flow_count; i++) {
    const struct flow *flow = &flows[i];
    add("%s{\"peer\":\"%s\",\"family\":%d,", i > 0 ? "," : "", flow->peer, flow->family);
    if (flow->in.totals_known)
      add("\"sent\":%" PRIu64 ",\"lost\":%" PRId64 ",", flow->in.total_sent,
          (int64_t)(flow->in.total_sent - flow->in.received));
    else add("\"sent\":null,\"lost\":null,");
    add("\"received\":%" PRIu64 ",\"duplicated\":%" PRIu64 ",\"reordered\":%" PRIu64, flow->in.received,
        flow->in.duplicated, flow->in.reordered);
    add(",\"damaged\":%" PRIu64 ",\"tooOld\":%" PRIu64 "}", flow->in.damaged, flow->in.too_old);
  }
  add("],\"tcp\":[");
  for (int i = 0, first = 1; i < flow_count; i++) {
    const struct flow *flow = &flows[i];
    if (!flow->in.expects_tcp) continue;
    add("%s{\"peer\":\"%s\",\"family\":%d,\"bytes\":%" PRIu64, first ? "" : ",", flow->peer, flow->family,
        flow->in.stream.words * 8 + flow->in.stream.partial);
    first = 0;
    if (flow->in.totals_known)
      add(",\"sent\":%" PRIu64 ",\"intact\":%s}", flow->in.total_bytes, intact(flow) ? "true" : "false");
    else add(",\"sent\":null,\"intact\":%s}", flow->in.stream.wrong > 0 || flow->in.stream.ended ? "false" : "null");
  }
  add("]");
}

static void add_sent(void) {
  uint64_t largest = 0, real = 0;
  add(",\"out\":[");
  for (int i = 0; i < flow_count; i++) {
    struct flow *flow = &flows[i];
    struct stream_out *stream = &flow->out.stream;
    stream_measure(stream);
    if (flow->out.largest_gap_ns > largest) largest = flow->out.largest_gap_ns;
    if (stream->retransmitted > stream->unneeded) real += stream->retransmitted - stream->unneeded;
    add("%s{\"peer\":\"%s\",\"family\":%d,\"datagrams\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"largestGapMs\":%.1f",
        i > 0 ? "," : "", flow->peer, flow->family, flow->out.sent, flow->out.refused,
        (double)flow->out.largest_gap_ns / 1e6);
    add(",\"bytes\":%" PRIu64 ",\"retransmitted\":%u,\"unneeded\":%u}", stream->words * 8, stream->retransmitted,
        stream->unneeded);
  }
  add("],\"largestGapMs\":%.1f,\"realRetransmits\":%" PRIu64, (double)largest / 1e6, real);
}

static void add_counters(void) {
  struct counters now = {0};
  if (running) read_counters(&now);
  else mark = now; /* nothing counts yet */
  uint64_t retrans = now.retrans_segs - mark.retrans_segs, dsack = now.dsack_recv - mark.dsack_recv;
  add(",\"tcpCounters\":{\"RetransSegs\":%" PRIu64 ",\"TCPDSACKRecv\":%" PRIu64, retrans, dsack);
  add(",\"TCPFastRetrans\":%" PRIu64 ",\"TCPTimeouts\":%" PRIu64 ",\"TCPLossProbes\":%" PRIu64 "}",
      now.fast_retrans - mark.fast_retrans, now.timeouts - mark.timeouts, now.loss_probes - mark.loss_probes);
  add(",\"udpCounters\":{\"InErrors\":%" PRIu64 ",\"RcvbufErrors\":%" PRIu64 ",\"MemErrors\":%" PRIu64
      ",\"SndbufErrors\":%" PRIu64 ",\"NoPorts\":%" PRIu64 "}",
      now.udp_in_errors - mark.udp_in_errors, now.udp_rcvbuf_errors - mark.udp_rcvbuf_errors,
      now.udp_mem_errors - mark.udp_mem_errors,
      now.udp_sndbuf_errors - mark.udp_sndbuf_errors, now.udp_no_ports - mark.udp_no_ports);
}

void report(const char *word, bool complete) {
  length = 0;
  add("%s {\"guest\":\"%s\",\"running\":%s,\"finishing\":%s,\"complete\":%s", word, options.me,
      running ? "true" : "false", finishing_at != 0 ? "true" : "false", complete ? "true" : "false");
  add_received();
  add_sent();
  add_counters();
  add("}\n");
  console_print(text, length);
}
