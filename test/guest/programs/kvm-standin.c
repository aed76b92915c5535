/*
 * Stands in for a plugin that lets DMTCP save KVM, which cannot run where the tests do. Like such a one it comes between
 * QEMU and ioctl(2), is told every event, and hands all on to whoever is behind it. It saves nothing: what it shows is
 * that it and Stillwire's plugin leave each other what is theirs.
 *
 * It appends lines to $STANDIN_LOG: `event GUEST N IOCTLS`, where IOCTLS are the calls that have come by so far.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PRESUSPEND = 15, RESTART = 18 }; /* dmtcp.h, DmtcpEvent_t */

struct descriptor { /* dmtcp.h, DmtcpPluginDescriptor_t */
  const char *api, *dmtcp, *name, *author, *email, *description;
  void (*hook)(int event, void *data);
};
extern void dmtcp_register_plugin(struct descriptor) __attribute__((weak));
extern void *dmtcp_dlsym(void *, const char *) __attribute__((weak));
extern void dmtcp_initialize(void) __attribute__((weak));

static char log_file[512], guest[64];
static volatile unsigned long ioctls;

/* The kernel itself: an open by libc would have DMTCP save the descriptor. */
static long kernel(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}

static void on_event(int event, void *data) {
  (void)data;
  if (event < PRESUSPEND || event > RESTART || log_file[0] == 0) return;
  char line[128];
  int length = snprintf(line, sizeof line, "event %s %d %lu\n", guest, event, ioctls);
  long fd = kernel(SYS_openat, AT_FDCWD, (long)log_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  kernel(SYS_write, fd, (long)line, length, 0);
  kernel(SYS_close, fd, 0, 0, 0);
}

static void *next(const char *name) {
  if (dmtcp_initialize != NULL) dmtcp_initialize();
  return dmtcp_dlsym != NULL ? dmtcp_dlsym(RTLD_NEXT, name) : NULL;
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  va_list arguments;
  va_start(arguments, request);
  unsigned long argument = va_arg(arguments, unsigned long);
  va_end(arguments);
  if (real == NULL) real = (int (*)(int, unsigned long, ...))next("ioctl");
  __sync_fetch_and_add(&ioctls, 1);
  return real != NULL ? real(fd, request, argument) : (int)syscall(SYS_ioctl, fd, request, argument);
}

void dmtcp_initialize_plugin(void) {
  struct descriptor plugin = {"4", "", "standin", "Stillwire", "", "events and calls, counted", on_event};
  const char *log = getenv("STANDIN_LOG"), *name = getenv("STILLWIRE_GUEST");
  if (log != NULL && strlen(log) < sizeof log_file) strcpy(log_file, log);
  if (name != NULL && strlen(name) < sizeof guest) strcpy(guest, name);
  if (dmtcp_register_plugin != NULL) dmtcp_register_plugin(plugin);
  void (*other)(void) = (void (*)(void))next("dmtcp_initialize_plugin");
  if (other != NULL) other();
}
