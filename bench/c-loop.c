/*
 * A plain learning bridge over TAP descriptors: poll, read, write. The peer that shows what the system calls alone cost
 * when a program as simple as possible makes them, in C.
 *
 *   c-loop NETNS:DEVICE NETNS:DEVICE...     NETNS is a path; makes the TAPs there, prints "ready", runs until it is killed
 *
 * Frames travel with their virtio-net header, so super-frames stay whole. At most BURST frames a port and turn.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORTS_MAX = 64, BURST = 64, VNET = 10, FRAME_MAX = VNET + 14 + 4 + 65535, STATIONS = 1024, RING_FRAMES = 8192 };

struct station {
    uint8_t mac[6];
    int8_t port; /* 0: none, else the port's number plus one */
};

static struct station stations[STATIONS];
static struct pollfd ports[PORTS_MAX];
static int port_count;

static struct station *station_of(const uint8_t *mac)
{
    return &stations[(mac[3] * 7 + mac[4] * 31 + mac[5]) % STATIONS];
}

static void learn(const uint8_t *mac, int port)
{
    struct station *station = station_of(mac);
    if (station->port == port + 1 && memcmp(station->mac, mac, 6) == 0) return;
    memcpy(station->mac, mac, 6);
    station->port = (int8_t)(port + 1);
}

/* The port a frame goes to; -1: all others. */
static int port_of(const uint8_t *mac)
{
    const struct station *station = station_of(mac);
    if ((mac[0] & 1) != 0 || memcmp(station->mac, mac, 6) != 0) return -1;
    return station->port - 1;
}

/* A frame that a TAP does not take is dropped, as every bridge does. */
static void send_to(int port, const uint8_t *bytes, size_t length)
{
    if (write(ports[port].fd, bytes, length) < 0) return;
}

static void serve(int from)
{
    static uint8_t bytes[FRAME_MAX];
    for (int i = 0; i < BURST; i++) {
        ssize_t length = read(ports[from].fd, bytes, sizeof bytes);
        if (length < VNET + 14) return;
        learn(bytes + VNET + 6, from);
        int to = port_of(bytes + VNET);
        if (to >= 0 && to != from) send_to(to, bytes, (size_t)length);
        for (int other = 0; to < 0 && other < port_count; other++)
            if (other != from) send_to(other, bytes, (size_t)length);
    }
}

static int open_tap(const char *device)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) err(1, "/dev/net/tun");
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (ioctl(fd, TUNSETIFF, &request) < 0) err(1, "TUNSETIFF %s", device);
    if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) < 0) err(1, "TUNSETOFFLOAD");
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    request.ifr_qlen = RING_FRAMES; /* as long as Stillwire's */
    if (ioctl(control, SIOCSIFTXQLEN, &request) < 0) err(1, "SIOCSIFTXQLEN %s", device);
    request.ifr_flags = IFF_UP | IFF_BROADCAST | IFF_MULTICAST;
    if (ioctl(control, SIOCSIFFLAGS, &request) < 0) err(1, "SIOCSIFFLAGS %s", device);
    close(control);
    return fd;
}

static void enter(const char *namespace)
{
    int fd = open(namespace, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) err(1, "%s", namespace);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > PORTS_MAX + 1) errx(2, "usage: c-loop NETNS:DEVICE NETNS:DEVICE...");
    for (port_count = 0; port_count < argc - 1; port_count++) {
        char *place = argv[port_count + 1];
        char *colon = strrchr(place, ':');
        if (colon == NULL) errx(2, "%s: NETNS:DEVICE is expected", place);
        *colon = '\0';
        enter(place);
        ports[port_count] = (struct pollfd){.fd = open_tap(colon + 1), .events = POLLIN};
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (poll(ports, (nfds_t)port_count, -1) < 0) err(1, "poll");
        for (int i = 0; i < port_count; i++)
            if (ports[i].revents != 0) serve(i);
    }
}
