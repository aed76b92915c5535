/*
 * The echo agent: answers Stillwire's cookies in a guest that has no IPv4. docs/echo-agent.md is its specification.
 *
 *   gcc -O2 -static -o echo-agent agent.c        needs CAP_NET_RAW; serves every interface, also ones that come later
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { TYPE = 0x88b5, OPERATION = 9, LEAST = 28, REQUEST = 1, ANSWER = 2, HERE = 3, EVERY_SECONDS = 5 };
static const char magic[] = "STILLECHO";

/* Says on every interface that somebody here will answer; one that is down or no Ethernet is told another time. */
static void tell(int fd) {
  unsigned char here[46] = {0};
  memcpy(here, magic, OPERATION);
  here[OPERATION] = HERE;
  struct if_nameindex *all = if_nameindex();
  for (struct if_nameindex *one = all; one && one->if_index; one++) {
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(TYPE),
                             .sll_ifindex = (int)one->if_index,
                             .sll_halen = 6,
                             .sll_addr = {255, 255, 255, 255, 255, 255}};
    sendto(fd, here, sizeof here, 0, (struct sockaddr *)&to, sizeof to);
  }
  if (all) if_freenameindex(all);
}

int main(void) {
  int fd = socket(AF_PACKET, SOCK_DGRAM, htons(TYPE));
  struct timeval every = {.tv_sec = EVERY_SECONDS};
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &every, sizeof every) < 0) {
    perror("echo-agent");
    return 1;
  }
  for (tell(fd);;) {
    unsigned char frame[2048];
    struct sockaddr_ll from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &size);
    if (length < 0) {
      tell(fd); /* nothing for a while */
    } else if (length >= LEAST && memcmp(frame, magic, OPERATION) == 0 && frame[OPERATION] == REQUEST) {
      frame[OPERATION] = ANSWER; /* back to where it came from, on the interface it came by */
      sendto(fd, frame, (size_t)length, 0, (struct sockaddr *)&from, size);
    }
  }
}
