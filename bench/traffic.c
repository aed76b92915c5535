/*
 * The traffic of the benchmark: both ends of it, on the kernel's own sockets.
 *
 *   traffic serve                       prints "ready"; serves until stdin ends or it is killed
 *   traffic tcp HOST WARM_MS MS         one bulk stream: what the other end has acknowledged in the MS after WARM_MS
 *   traffic rr HOST MS                  one request of one byte at a time, and the time until its answer
 *   traffic flood MS HOST...            64-byte frames to each host in turn, as fast as the sockets take them
 *   traffic offloads DEVICE [off]       the device's offloads; off: turns them off first
 *
 * Each prints its figures as one line of JSON. Served are: bulk streams, read and discarded; requests, sent back; and a port
 * whose socket takes nothing (a filter drops all), so that floods are counted by the device and cost their reader nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STREAM_PORT = 7100, ECHO_PORT = 7101, DISCARD_PORT = 7102 };
enum { CHUNK = 128 * 1024, STREAMS_MAX = 16, BATCH = 32, HOSTS_MAX = 64, ANSWER_BOUND_MS = 200 };
/* Ethernet 14, IPv4 20, UDP 8 and this are 60 bytes; the frame check sequence makes them 64. */
enum { SMALL_PAYLOAD = 18 };

static uint8_t chunk[CHUNK];

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int64_t in_ms(const char *ms)
{
    return now_ns() + atoll(ms) * 1000000LL;
}

static int open_socket(int type, const char *host, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) err(1, "socket");
    if (host == NULL) {
        int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) err(1, "bind to port %d", port);
        return fd;
    }
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) errx(2, "%s is no IPv4 address", host);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) err(1, "connect to %s", host);
    return fd;
}

static void take_nothing(int fd)
{
    struct sock_filter drop[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = drop};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) err(1, "SO_ATTACH_FILTER");
}

static void answer(int fd)
{
    struct sockaddr_in from;
    uint8_t request[64];
    socklen_t length = sizeof from;
    ssize_t bytes = recvfrom(fd, request, sizeof request, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
    if (bytes >= 0) sendto(fd, request, (size_t)bytes, 0, (struct sockaddr *)&from, length);
}

/* stdin, the listener, the echo, then the streams. */
static void serve(void)
{
    struct pollfd fds[3 + STREAMS_MAX] = {{.fd = 0, .events = POLLIN}};
    nfds_t count = 3;
    fds[1] = (struct pollfd){.fd = open_socket(SOCK_STREAM, NULL, STREAM_PORT), .events = POLLIN};
    fds[2] = (struct pollfd){.fd = open_socket(SOCK_DGRAM, NULL, ECHO_PORT), .events = POLLIN};
    take_nothing(open_socket(SOCK_DGRAM, NULL, DISCARD_PORT));
    if (listen(fds[1].fd, STREAMS_MAX) < 0) err(1, "listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (poll(fds, count, -1) < 0) err(1, "poll");
        if (fds[0].revents != 0 && read(0, chunk, CHUNK) <= 0) return;
        if (fds[2].revents != 0) answer(fds[2].fd);
        for (nfds_t i = 3; i < count; i++) {
            if (fds[i].revents == 0 || recv(fds[i].fd, chunk, CHUNK, 0) > 0) continue;
            close(fds[i].fd);
            fds[i] = fds[--count]; /* its events, if any, are seen again at the next turn */
            fds[i--].revents = 0;
        }
        if (fds[1].revents != 0 && count < 3 + STREAMS_MAX)
            fds[count++] = (struct pollfd){.fd = accept(fds[1].fd, NULL, NULL), .events = POLLIN};
    }
}

static struct tcp_info stream_state(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) err(1, "TCP_INFO");
    return info;
}

static void send_until(int fd, int64_t end)
{
    while (now_ns() < end)
        if (send(fd, chunk, CHUNK, 0) < 0 && errno != EAGAIN) err(1, "send");
}

static void bulk(const char *host, const char *warm_ms, const char *ms)
{
    int fd = open_socket(SOCK_STREAM, host, STREAM_PORT);
    struct timeval bound = {.tv_usec = ANSWER_BOUND_MS * 1000}; /* a stream that stands still is a figure, too */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    send_until(fd, in_ms(warm_ms));
    struct tcp_info before = stream_state(fd);
    int64_t began = now_ns();
    send_until(fd, in_ms(ms));
    struct tcp_info after = stream_state(fd);
    double seconds = (double)(now_ns() - began) / 1e9;
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    printf("{\"bitsPerSecond\":%.0f,\"retransmits\":%u}\n",
           (double)(after.tcpi_bytes_acked - before.tcpi_bytes_acked) * 8 / seconds,
           after.tcpi_total_retrans - before.tcpi_total_retrans);
}

/* One exchange; its nanoseconds, or -1 when no answer came. */
static int64_t exchange(int fd, uint8_t number)
{
    uint8_t got;
    int64_t began = now_ns();
    if (send(fd, &number, 1, 0) < 0) return -1;
    do
        if (recv(fd, &got, 1, 0) < 0) return -1;
    while (got != number); /* the late answer to one that was given up */
    return now_ns() - began;
}

static int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static int open_echo(const char *host)
{
    int fd = open_socket(SOCK_DGRAM, host, ECHO_PORT);
    struct timeval bound = {.tv_usec = ANSWER_BOUND_MS * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof bound);
    return fd;
}

static void request_response(const char *host, const char *ms)
{
    enum { MOST = 1 << 22 };
    int64_t *times = malloc(MOST * sizeof *times);
    if (times == NULL) err(1, "malloc");
    int fd = open_echo(host);
    size_t count = 0, lost = 0;
    for (int64_t end = in_ms(ms); now_ns() < end && count < MOST;) {
        int64_t time = exchange(fd, (uint8_t)(count + lost));
        if (time < 0) lost++;
        else times[count++] = time;
    }
    if (count == 0) errx(1, "%s does not answer", host);
    qsort(times, count, sizeof *times, by_size);
    printf("{\"count\":%zu,\"lost\":%zu,\"p50Us\":%.2f,\"p99Us\":%.2f,\"maxUs\":%.2f}\n", count, lost,
           (double)times[count / 2] / 1e3, (double)times[count * 99 / 100] / 1e3, (double)times[count - 1] / 1e3);
}

/* Every bridge between us has learned where the host is when it has answered. */
static void teach(const char *host)
{
    int fd = open_echo(host);
    for (uint8_t tries = 0; exchange(fd, tries) < 0;)
        if (++tries == 20) errx(1, "%s does not answer", host);
    close(fd);
}

static void flood(const char *ms, char **hosts, int count)
{
    struct iovec piece = {.iov_base = chunk, .iov_len = SMALL_PAYLOAD};
    struct mmsghdr batch[BATCH] = {0};
    int fds[HOSTS_MAX];
    uint64_t sent = 0, refused = 0;
    for (int i = 0; i < BATCH; i++) batch[i].msg_hdr = (struct msghdr){.msg_iov = &piece, .msg_iovlen = 1};
    for (int i = 0; i < count; i++) {
        teach(hosts[i]);
        fds[i] = open_socket(SOCK_DGRAM, hosts[i], DISCARD_PORT);
    }
    for (int64_t end = in_ms(ms); now_ns() < end;)
        for (int i = 0; i < count; i++) {
            int taken = sendmmsg(fds[i], batch, BATCH, 0);
            if (taken < 0) refused++;
            else sent += (uint64_t)taken;
        }
    printf("{\"sent\":%lu,\"refused\":%lu}\n", sent, refused);
}

/* The old one-word ethtool calls, which every kernel has. */
static void offloads(const char *device, int off)
{
    static const struct {
        const char *name;
        uint32_t get, set;
    } kinds[] = {{"tx-checksum", ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM},
                 {"tso", ETHTOOL_GTSO, ETHTOOL_STSO},
                 {"gso", ETHTOOL_GGSO, ETHTOOL_SGSO},
                 {"gro", ETHTOOL_GGRO, ETHTOOL_SGRO}};
    struct ethtool_value value = {0};
    struct ifreq request = {.ifr_data = (void *)&value};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    const char *comma = "";
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    printf("[");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        value = (struct ethtool_value){.cmd = kinds[i].set};
        if (off && ioctl(fd, SIOCETHTOOL, &request) < 0) err(1, "%s off on %s", kinds[i].name, device);
        value = (struct ethtool_value){.cmd = kinds[i].get};
        if (ioctl(fd, SIOCETHTOOL, &request) < 0) err(1, "%s of %s", kinds[i].name, device);
        if (value.data == 0) continue;
        printf("%s\"%s\"", comma, kinds[i].name);
        comma = ",";
    }
    puts("]");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(mode, "serve") == 0) serve();
    else if (strcmp(mode, "tcp") == 0 && argc == 5) bulk(argv[2], argv[3], argv[4]);
    else if (strcmp(mode, "rr") == 0 && argc == 4) request_response(argv[2], argv[3]);
    else if (strcmp(mode, "flood") == 0 && argc > 3 && argc <= 3 + HOSTS_MAX) flood(argv[2], argv + 3, argc - 3);
    else if (strcmp(mode, "offloads") == 0 && argc > 2) offloads(argv[2], argc > 3);
    else errx(2, "usage: traffic serve | tcp HOST WARM_MS MS | rr HOST MS | flood MS HOST... | offloads DEVICE [off]");
    return 0;
}
