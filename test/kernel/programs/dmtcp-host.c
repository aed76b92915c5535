/*
 * Stands where a hypervisor under DMTCP would: has TAPs, and gives the plugin that is preloaded into it DMTCP's calls and
 * events, told what to do on its standard input. Every command is answered by one line.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct descriptor {
  const char *api, *dmtcp, *name, *author, *email, *description;
  void (*hook)(int event, void *data);
};
static struct descriptor plugin;
extern void dmtcp_initialize_plugin(void) __attribute__((weak));

void dmtcp_register_plugin(struct descriptor descriptor) { plugin = descriptor; }

void *dmtcp_dlsym(void *handle, const char *name) {
  (void)handle;
  return strcmp(name, "dmtcp_initialize_plugin") == 0 ? NULL : dlsym(dlopen("libc.so.6", RTLD_LAZY), name);
}

void *dmtcp_dlsym_lib(const char *library, const char *name) {
  (void)library;
  return dlsym(dlopen("libc.so.6", RTLD_LAZY), name);
}

/* The environment of a restart: ours, with RESTART_NAME as NAME, and more before and behind it than fits into a buffer. */
int dmtcp_protected_environ_fd(void) {
  static char filler[10000] = "FILLER=";
  int fd = memfd_create("environment", MFD_CLOEXEC);
  memset(filler + 7, 'x', sizeof filler - 8);
  for (char **variable = environ; *variable != NULL; variable++) {
    const char *text = strncmp(*variable, "RESTART_", 8) == 0 ? *variable + 8 : "STILLWIRE_GUEST_OTHER=no";
    if (write(fd, filler, sizeof filler) < 0 || write(fd, text, strlen(text) + 1) < 0) abort();
  }
  return fd;
}

static void answer(long result) { printf("%ld %s\n", result, result < 0 ? strerror(errno) : ""); }

static int open_tap(const char *name, int flags) {
  struct ifreq tap = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags};
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), header = 12;
  snprintf(tap.ifr_name, IFNAMSIZ, "%.15s", name);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &tap) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0) return -1;
  return fd;
}

static void show(int fd) {
  struct ifreq tap = {0};
  int header = 0, send_buffer = 0;
  if (ioctl(fd, TUNGETIFF, &tap) < 0) {
    printf("nothing\n");
    return;
  }
  ioctl(fd, TUNGETVNETHDRSZ, &header);
  ioctl(fd, TUNGETSNDBUF, &send_buffer);
  printf("%s header=%d sndbuf=%d nonblock=%d cloexec=%d\n", tap.ifr_name, header, send_buffer,
         (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* One end of a pair of sockets; the other stays open, and its number is the next. */
static void open_socket(void) {
  int ends[2] = {-1, -1};
  socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends);
  answer(ends[0]);
}

static void send_frame(int fd) {
  unsigned char frame[72] = {0}; /* a header of 12 that asks for nothing, and a broadcast */
  memset(frame + 12, 0xff, 6);
  answer(write(fd, frame, sizeof frame));
}

/* The flags the kernel has of a page that was kept from children. */
static void show_madvise(void) {
  char text[4096], *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned long from, to, kept = 0, found = 0;
  page[0] = 1;
  if (madvise(page, 4096, MADV_DONTFORK) < 0) return answer(-1);
  FILE *smaps = fopen("/proc/self/smaps", "r");
  while (fgets(text, sizeof text, smaps) != NULL) {
    if (sscanf(text, "%lx-%lx", &from, &to) == 2) found = from <= (unsigned long)page && (unsigned long)page < to;
    if (found && strncmp(text, "VmFlags:", 8) == 0) kept = strstr(text, " dc") != NULL;
  }
  printf("%s\n", kept ? "kept from children" : "shared with children");
}

int main(void) {
  char text[4096], name[4096];
  int a, c;
  unsigned long b;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (dmtcp_initialize_plugin == NULL) return 1;
  dmtcp_initialize_plugin();
  printf("ready %s %s\n", plugin.api, plugin.name);
  while (fgets(text, sizeof text, stdin) != NULL) {
    if (sscanf(text, "tap %s %d", name, &a) == 2) answer(open_tap(name, a));
    else if (sscanf(text, "enter %s", name) == 1) answer(setns(open(name, O_RDONLY | O_CLOEXEC), CLONE_NEWNET));
    else if (sscanf(text, "header %d %d", &a, &c) == 2) answer(ioctl(a, TUNSETVNETHDRSZ, &c));
    else if (sscanf(text, "offload %d %lu", &a, &b) == 2) answer(ioctl(a, TUNSETOFFLOAD, b));
    else if (sscanf(text, "sndbuf %d %lu", &a, &b) == 2) answer(ioctl(a, TUNSETSNDBUF, &b));
    else if (sscanf(text, "dup %d", &a) == 1) answer(dup(a));
    else if (sscanf(text, "move %d %d", &a, &c) == 2) answer(dup2(a, c)), close(a);
    else if (sscanf(text, "lose %d", &a) == 1) answer(dup2(open("/dev/net/tun", O_RDWR), a)); /* as DMTCP restores it */
    else if (sscanf(text, "close %d", &a) == 1) answer(close(a));
    else if (sscanf(text, "show %d", &a) == 1) show(a);
    else if (sscanf(text, "send %d", &a) == 1) send_frame(a);
    else if (sscanf(text, "read %d", &a) == 1) answer(read(a, text, sizeof text));
    else if (sscanf(text, "event %d", &a) == 1) plugin.hook(a, NULL), answer(0);
    else if (strncmp(text, "socket", 6) == 0) open_socket();
    else if (strncmp(text, "madvise", 7) == 0) show_madvise();
    else return 2;
  }
  return 0;
}
