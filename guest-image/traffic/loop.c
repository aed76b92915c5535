/* The loop everything runs in, its clock, and how sockets come into it. */
#include "traffic.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static int epoll_fd;

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void fill(uint8_t *to, size_t length, uint64_t seed, uint64_t first) {
  for (size_t at = 0; at < length; at += 8) {
    uint64_t word = htobe64(word_at(seed, first + at / 8));
    memcpy(to + at, &word, length - at < 8 ? length - at : 8);
  }
}

void die(const char *what) {
  fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
  exit(2);
}

static void control_epoll(int operation, struct source *source, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(epoll_fd, operation, source->fd, &event) < 0) die("epoll_ctl");
}
void watch(struct source *source, uint32_t events) { control_epoll(EPOLL_CTL_ADD, source, events); }
void rewatch(struct source *source, uint32_t events) { control_epoll(EPOLL_CTL_MOD, source, events); }
void unwatch(struct source *source) {
  control_epoll(EPOLL_CTL_DEL, source, 0);
  close(source->fd);
  source->fd = -1;
}

/* One dual-stack socket serves both families: an IPv4 sender appears as ::ffff:a.b.c.d. */
int listen_on(uint16_t port, int type) {
  int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0, on = 1;
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  if (fd < 0) die("socket");
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) < 0) die("bind");
  if (type == SOCK_STREAM && listen(fd, 128) < 0) die("listen");
  return fd;
}

void set_port(struct sockaddr_storage *address, uint16_t port) {
  ((struct sockaddr_in *)address)->sin_port = htons(port); /* same place in sockaddr_in6 */
}

void loop_start(void) {
  if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll");
}

void loop_turn(void) {
  struct epoll_event events[64];
  int count = epoll_wait(epoll_fd, events, 64, -1);
  for (int i = 0; i < count; i++) {
    struct source *source = events[i].data.ptr;
    if (source->fd >= 0) source->handle(source, events[i].events); /* an earlier one may have closed it */
  }
}
