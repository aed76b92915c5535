/*
 * Unix datagram sockets: the ends of a pair are limited by their send buffers and not by max_dgram_qlen; a bound socket
 * takes that many frames and one more, as its own namespace had it when it was made; SIOCOUTQ is 0 exactly when all that
 * was sent has been read, in any process; and a frame uses no more of the send buffer than the reckoning of
 * sys/unix-datagram.ts. Relied on by ports of kind dgram: what may have met a full queue, and what has been read.
 */
#include "probe.h"

#include <linux/sockios.h>
#include <sys/un.h>

enum { QUEUE = 20, FRAME = 1514 };

static uint8_t bytes[70000];

static int used(int fd) {
  int count = -1;
  MUST(ioctl(fd, SIOCOUTQ, &count));
  return count;
}

static int cost(int length) {
  int rounded = 512;
  while (rounded < length + 384) rounded *= 2;
  return rounded + 512;
}

static void set_queue_length(const char *frames) {
  int fd = open("/proc/sys/net/unix/max_dgram_qlen", O_WRONLY);
  MUST(fd);
  MUST(write(fd, frames, strlen(frames)));
  close(fd);
}

static struct sockaddr_un name_of(const char *name) { /* abstract: nothing to remove */
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path + 1, name);
  return address;
}

static int fill(int fd, const struct sockaddr_un *to) {
  int count = 0;
  while (sendto(fd, bytes, FRAME, 0, (const struct sockaddr *)to, to ? sizeof *to : 0) == FRAME) count++;
  CHECK(errno == EAGAIN, "a full queue says %s", strerror(errno));
  return count;
}

int main(void) {
  begin("unix_dgram");
  set_queue_length("20");
  int pair[2], buffer = 1 << 18;
  socklen_t size = sizeof buffer;
  MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
  static const int lengths[] = {1, 60, 193, 1000, FRAME, 1729, 3777, 9018, 16065, 33000, 65600};
  for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    MUST(send(pair[0], bytes, (size_t)lengths[i], 0));
    CHECK(used(pair[0]) > 0 && used(pair[0]) <= cost(lengths[i]), "%d bytes use %d, reckoned %d", lengths[i], used(pair[0]), cost(lengths[i]));
    CHECK(recv(pair[1], bytes, sizeof bytes, 0) == lengths[i], "a frame came in another length");
    CHECK(used(pair[0]) == 0, "all is read, and SIOCOUTQ is %d", used(pair[0]));
  }

  MUST(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer));
  MUST(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &buffer, &size));
  int count = fill(pair[0], NULL);
  CHECK(count > QUEUE + 1, "a pair takes %d frames only", count);
  CHECK(count * cost(FRAME) >= buffer, "full at %d frames of %d bytes, before the buffer of %d", count, cost(FRAME), buffer);

  struct sockaddr_un ours = name_of("stillwire-probe");
  int bound = socket(AF_UNIX, SOCK_DGRAM, 0), other = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  MUST(bind(bound, (struct sockaddr *)&ours, sizeof ours));
  set_queue_length("5"); /* too late for the socket that is there */
  count = fill(other, &ours);
  CHECK(count == QUEUE + 1, "a bound socket with a queue of %d takes %d", QUEUE, count);
  return passed();
}
