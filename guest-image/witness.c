/* Which echo requests have come to this guest, in what order, and how often: seen below IP and bridges, on every
   device, from the moment a device receives at all (an address answers, and a bridge forwards, only a little later).

     witness &              says `WITNESS ready`
     killall -USR1 witness  says `WITNESS 0-41 43 42 42`: their sequence numbers as they came, rising by one from a to b
                            as `a-b`; `WITNESS none`

   Each on a line of its own, behind whatever prompt the shell has left. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
enum { MOST = 65536, ETHERNET = 14, IP_PROTOCOL = 23, ICMP = 1, ECHO_REQUEST = 8 };

static uint16_t came[MOST];
static size_t count;
static volatile sig_atomic_t asked;

static void ask(int signal) { asked = signal; }

static void tell(void) {
  asked = 0;
  printf("\nWITNESS%s", count == 0 ? " none" : "");
  for (size_t from = 0, to; from < count; from = to + 1) {
    for (to = from; to + 1 < count && came[to + 1] == came[to] + 1; to++) {}
    printf(to == from ? " %u" : " %u-%u", came[from], came[to]);
  }
  printf("\n");
  fflush(stdout);
}

int main(void) {
  const int one = 1, room = 16 << 20;
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0) {
    perror("witness");
    return 1;
  }
  const struct sigaction on_ask = {.sa_handler = ask}; /* no SA_RESTART: it ends the wait */
  sigaction(SIGUSR1, &on_ask, NULL);
  setvbuf(stdout, NULL, _IOFBF, 1 << 16); /* one write a line, or the shell's prompt comes in between */
  printf("\nWITNESS ready\n");
  fflush(stdout);
  for (;;) {
    uint8_t frame[2048];
    ssize_t length = asked ? 0 : recv(fd, frame, sizeof frame, 0);
    if (asked) tell();
    if (length < 0 && errno != EINTR && errno != ENETDOWN) {
      perror("witness");
      return 1;
    }
    if (length < ETHERNET + 20 + 8 || frame[12] != 8 || frame[13] != 0) continue;
    const uint8_t *icmp = frame + ETHERNET + (frame[ETHERNET] & 0xf) * 4;
    if (frame[IP_PROTOCOL] != ICMP || icmp[0] != ECHO_REQUEST || icmp + 8 > frame + length) continue;
    if (count < MOST) came[count++] = (uint16_t)(icmp[6] << 8 | icmp[7]);
  }
}
