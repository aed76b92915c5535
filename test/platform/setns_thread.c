/*
 * setns() in a thread moves that thread alone; a tun descriptor opened there works from a thread in another namespace.
 * Relied on by the switch thread, which alone enters the network's namespace, and by QEMU, which inherits the
 * descriptor and stays in the host's.
 */
#include "probe.h"

#include <pthread.h>
#include <sys/wait.h>

static int tap;
static int inner;

static void *enter(void *unused) {
  (void)unused;
  if (setns(inner, CLONE_NEWNET) < 0) return "setns fails";
  tap = open_tap("p0", 0);
  return NULL;
}

static void *use(void *unused) {
  (void)unused;
  if (setns(inner, CLONE_NEWNET) < 0) return "setns fails";
  int packet = open_packet("p0", 0);
  send_frame(tap, 1); /* through the descriptor alone: any namespace will do, this checks the far end */
  if (!readable(packet, 1000) || read_frame(packet) != 1) return "a frame written does not reach the netdev";
  send_frame(packet, 2);
  return NULL;
}

static void run(void *(*body)(void *)) {
  pthread_t thread;
  void *why;
  if (pthread_create(&thread, NULL, body, NULL) != 0 || pthread_join(thread, &why) != 0) fail("no thread");
  if (why != NULL) fail("%s", (char *)why);
}

int main(void) {
  begin("setns_thread");
  int outer = open("/proc/thread-self/ns/net", O_RDONLY);
  MUST(outer);
  MUST(unshare(CLONE_NEWNET));
  inner = open("/proc/thread-self/ns/net", O_RDONLY);
  MUST(inner);
  MUST(setns(outer, CLONE_NEWNET));
  run(enter);
  CHECK(if_nametoindex("p0") == 0, "the whole process moved: p0 is visible in the main thread");
  send_frame(tap, 0); /* from outside: the descriptor needs no namespace */
  run(use);
  CHECK(readable(tap, 1000) && read_frame(tap) == 2, "a frame sent in there cannot be read out here");
  /* And by a child that inherits it, as QEMU does. */
  pid_t child = fork();
  MUST(child);
  if (child == 0) _exit(if_nametoindex("p0") == 0 && write(tap, "01234567890123", 14) == 14 ? 0 : 1);
  int status = 1;
  MUST(waitpid(child, &status, 0));
  CHECK(status == 0, "a child cannot use the inherited descriptor from outside");
  return passed();
}
