/*
 * Stillwire's plugin for DMTCP: lets the network of a process that DMTCP saves be saved with it.
 *
 * Goal: no checkpoint of DMTCP, whoever asks for it, leaves behind an image whose network is torn; and a restarted
 * process has live TAPs. All policy is in Stillwire's daemon; in here are a line to it and the descriptors.
 *
 *   PRESUSPEND      the process runs      ask; GO when the daemon holds the network and has drained it
 *   PRECHECKPOINT   its threads stand     look at the TAPs a last time, for the guest's driver may have set them since;
 *                                         ask; GO names the daemon's checkpoint, and the name is saved in our memory
 *   RESUME          its image is written  say where; GO when all are
 *   RESTART         another life          show the name; get a TAP for each there was; GO when all may run
 *
 * Invariant: what an image has of us is the name of the checkpoint whose frames belong to it, or "none". A restart of
 * "none" is told the daemon, which refuses it; so images that DMTCP made while nobody held the network do not run again.
 *
 * What can go wrong: the daemon is gone or does not answer in time. Then a checkpoint goes on with "none" (or waits,
 * if the user wants that), and a restart ends the process with a word: a dead network is never silent.
 *
 * No header of DMTCP's is needed: events and descriptor are the same in 3.x, 4.x and 5.0. Events run in DMTCP's own
 * thread while its wrappers stand around libc, which would have the plugin's descriptors saved and its calls wait for
 * the checkpoint that they are part of; so in here the kernel is called directly. Nor is memory allocated: a thread may
 * have been suspended in malloc(3). docs/dmtcp-protocol.md has the lines.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kcmp.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

enum { PRESUSPEND = 15, PRECHECKPOINT = 16, RESUME = 17, RESTART = 18 }; /* dmtcp.h, DmtcpEvent_t */
enum { MAX_NICS = 32, MAX_FDS = 8, LINE_BYTES = 1024, MAX_PATH_BYTES = 900, REFUSED = 98 };
enum { HIGH_FD = 600 }; /* above a process's own descriptors, below those that DMTCP keeps for itself */

struct descriptor { /* dmtcp.h, DmtcpPluginDescriptor_t */
  const char *api, *dmtcp, *name, *author, *email, *description;
  void (*hook)(int event, void *data);
};
extern void dmtcp_register_plugin(struct descriptor) __attribute__((weak));
extern void *dmtcp_dlsym(void *, const char *) __attribute__((weak));
extern void dmtcp_initialize(void) __attribute__((weak));
extern int dmtcp_protected_environ_fd(void) __attribute__((weak));
extern const char *dmtcp_get_ckpt_filename(void) __attribute__((weak));

/* A NIC of the process, with what a new one has to be told to be like it: a TAP, or a datagram socket, which has no flags. */
static struct nic {
  char name[IFNAMSIZ];
  int flags, header, send_buffer, status;
  int fds[MAX_FDS], close_on_exec[MAX_FDS], count;
} nics[MAX_NICS];
static int nic_count;
static struct offload { char name[IFNAMSIZ]; unsigned long value; } offloads[MAX_NICS]; /* as the process set them last */
static char socket_path[108], guest[256], checkpoint[256] = "none";
static int line = -1; /* to the daemon */
static int timeout_seconds = 300, wait_for_daemon;
static unsigned long sockets; /* a bit for each descriptor that was inherited as the socket of a NIC */

static long kernel(long number, long a, long b, long c, long d, long e) {
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
#else
#error "stillwire-dmtcp: system calls are written for x86-64 and arm64"
#endif
}
#define KERNEL(name, a, b, c, d) kernel(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), 0)

static void tell(const char *format, ...) {
  char text[LINE_BYTES];
  int length = snprintf(text, sizeof text, "stillwire: guest %s: ", guest);
  va_list arguments;
  va_start(arguments, format);
  length += vsnprintf(text + length, sizeof text - length, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof text - 2) length = sizeof text - 2;
  text[length++] = '\n';
  KERNEL(write, 2, text, length, 0);
}

static void hang_up(void) {
  if (line >= 0) KERNEL(close, line, 0, 0, 0);
  line = -1;
}

static int dial(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  long fd = KERNEL(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, 0), high;
  if (fd < 0) return 0;
  strcpy(address.sun_path, socket_path);
  if (KERNEL(connect, fd, &address, sizeof address, 0) < 0) {
    KERNEL(close, fd, 0, 0, 0);
    return 0;
  }
  high = KERNEL(fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD, 0);
  line = high < 0 ? fd : high;
  if (high >= 0) KERNEL(close, fd, 0, 0, 0);
  return 1;
}

static int say(const char *format, ...) {
  char text[LINE_BYTES];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text - 1, format, arguments), sent = 0;
  va_end(arguments);
  if (length > (int)sizeof text - 2) return 0;
  text[length++] = '\n';
  while (sent < length) {
    long count = kernel(SYS_sendto, line, (long)(text + sent), length - sent, MSG_NOSIGNAL, 0);
    if (count == -EINTR) continue;
    if (count <= 0) return 0;
    sent += count;
  }
  return 1;
}

static double now(void) {
  struct timespec time;
  KERNEL(clock_gettime, CLOCK_MONOTONIC, &time, 0, 0);
  return time.tv_sec + time.tv_nsec / 1e9;
}

/* The next line, without its end, and the descriptor that came with it, -1 for none. Why there is none, or NULL. */
static const char *hear(char *text, int *descriptor) {
  double until = now() + timeout_seconds;
  *descriptor = -1;
  for (int length = 0; length < LINE_BYTES;) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec byte = {text + length, 1}; /* one at a time: what comes after the line is not ours yet */
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_LEN(sizeof(int))};
    struct pollfd readable = {.fd = line, .events = POLLIN};
    double left = until - now();
    if (left <= 0) return "did not answer in time";
    struct timespec most = {.tv_sec = (time_t)left, .tv_nsec = (long)((left - (time_t)left) * 1e9)};
    if (KERNEL(ppoll, &readable, 1, &most, 0) <= 0) continue;
    long count = KERNEL(recvmsg, line, &message, MSG_CMSG_CLOEXEC, 0);
    if (count == -EINTR) continue;
    if (count <= 0) return "hung up";
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
      if (*descriptor >= 0) KERNEL(close, *descriptor, 0, 0, 0);
      memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    }
    if (text[length++] != '\n') continue;
    text[length - 1] = 0;
    return NULL;
  }
  return "said more than a line holds";
}

/* The value of a key in a line, percent-encoding undone; empty where there is none. */
static void value_of(const char *text, const char *key, char *value, size_t size) {
  size_t length = strlen(key), put = 0;
  const char *at = text;
  while ((at = strchr(at, ' ')) != NULL && (strncmp(++at, key, length) != 0 || at[length] != '=')) continue;
  for (at = at == NULL ? "" : at + length + 1; *at != 0 && *at != ' ' && put + 1 < size; at++) {
    unsigned code;
    if (*at == '%' && sscanf(at + 1, "%2x", &code) == 1) at += 2;
    else code = (unsigned char)*at;
    value[put++] = (char)code;
  }
  value[put] = 0;
}

/* A path as it goes into a line, empty if it does not fit: names of guests and checkpoints need no encoding. */
static const char *encoded(const char *value, char *text, size_t size) {
  size_t put = 0;
  for (; *value != 0; value++) {
    unsigned char byte = (unsigned char)*value;
    if (put + 4 > size) return "";
    if (byte > ' ' && byte != '%' && byte != 0x7f) text[put++] = *value;
    else put += snprintf(text + put, size - put, "%%%02x", byte);
  }
  text[put] = 0;
  return text;
}

static void remember_offload(const char *name, unsigned long value) {
  for (struct offload *offload = offloads; offload < offloads + MAX_NICS; offload++) {
    if (offload->name[0] != 0 && strcmp(offload->name, name) != 0) continue;
    strcpy(offload->name, name);
    offload->value = value;
    return;
  }
}

/* Whether two descriptors of a name are not one and the same queue: copies of a descriptor share its file. */
static int are_different(const struct nic *nic, int fd) {
  long self = KERNEL(getpid, 0, 0, 0, 0), differ = kernel(SYS_kcmp, self, self, KCMP_FILE, nic->fds[0], fd);
  return differ < 0 ? (nic->flags & IFF_MULTI_QUEUE) != 0 : differ != 0; /* a kernel may be without kcmp(2) */
}

static const char *add_nic(int fd, const struct ifreq *tap) {
  struct nic *nic = nics;
  while (nic < nics + nic_count && strcmp(nic->name, tap->ifr_name) != 0) nic++;
  if (nic == nics + MAX_NICS) return "has more TAPs than the plugin takes";
  if (nic == nics + nic_count) {
    memset(nic, 0, sizeof *nic);
    strcpy(nic->name, tap->ifr_name);
    nic->flags = (unsigned short)tap->ifr_flags;
    KERNEL(ioctl, fd, TUNGETVNETHDRSZ, &nic->header, 0);
    KERNEL(ioctl, fd, TUNGETSNDBUF, &nic->send_buffer, 0);
    nic->status = KERNEL(fcntl, fd, F_GETFL, 0, 0);
    nic_count++;
  } else if (are_different(nic, fd)) {
    return nic->flags & IFF_MULTI_QUEUE
               ? "has a TAP with several queues, which is not supported: give it one (queues=1)"
               : "has two TAPs of one name, from two namespaces, which is not supported: rename one";
  }
  if (nic->count == MAX_FDS) return "has more descriptors of one TAP than the plugin takes";
  nic->close_on_exec[nic->count] = KERNEL(fcntl, fd, F_GETFD, 0, 0) & FD_CLOEXEC;
  nic->fds[nic->count++] = fd;
  return NULL;
}

static int is_datagram(int fd) {
  int type = 0, size = sizeof type;
  return kernel(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, (long)&type, (long)&size) == 0 && type == SOCK_DGRAM;
}

/* Finds every NIC of the process, in the order of their descriptors. What is wrong with them, or NULL. */
static const char *find_nics(void) {
  struct entry { unsigned long inode, offset; unsigned short length; unsigned char type; char name[]; };
  char entries[4096];
  int fds[4096], count = 0;
  const char *wrong = NULL;
  long size, directory = KERNEL(openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  nic_count = 0;
  if (directory < 0) return "does not see its own descriptors in /proc";
  while ((size = KERNEL(getdents64, directory, entries, sizeof entries, 0)) > 0) {
    for (long at = 0; at < size; at += ((struct entry *)(entries + at))->length) {
      int fd = atoi(((struct entry *)(entries + at))->name), place = count;
      if (((struct entry *)(entries + at))->name[0] == '.' || fd == directory || count == 4096) continue;
      for (; place > 0 && fds[place - 1] > fd; place--) fds[place] = fds[place - 1]; /* they come in order, as a rule */
      fds[place] = fd;
      count++;
    }
  }
  KERNEL(close, directory, 0, 0, 0);
  for (int i = 0; i < count && wrong == NULL; i++) {
    struct ifreq tap = {0};
    if (KERNEL(ioctl, fds[i], TUNGETIFF, &tap, 0) == 0 && (tap.ifr_flags & IFF_TAP)) wrong = add_nic(fds[i], &tap);
    else if (fds[i] < 64 && (sockets >> fds[i] & 1) && is_datagram(fds[i])) {
      snprintf(tap.ifr_name, IFNAMSIZ, "/%d", fds[i]); /* no device's name */
      tap.ifr_flags = 0;
      wrong = add_nic(fds[i], &tap);
    }
  }
  return wrong;
}

/*
 * Gives a TAP what the old one had. What is wrong with it, or NULL.
 * `before` are the offloads of the old ones by their names: the new names may be those of other old ones.
 */
static const char *equip(struct nic *nic, const struct offload *before, int fd) {
  struct ifreq tap = {0};
  if (KERNEL(ioctl, fd, TUNGETIFF, &tap, 0) < 0) return "handed over something that is no TAP";
  if (((unsigned short)tap.ifr_flags ^ nic->flags) & (IFF_VNET_HDR | IFF_NO_PI)) {
    return "handed over a TAP with other headers";
  }
  if ((nic->flags & IFF_VNET_HDR) && KERNEL(ioctl, fd, TUNSETVNETHDRSZ, &nic->header, 0) < 0) {
    return "handed over a TAP whose headers cannot be set";
  }
  for (int i = 0; i < MAX_NICS; i++) {
    if (strcmp(before[i].name, nic->name) != 0) continue;
    if (KERNEL(ioctl, fd, TUNSETOFFLOAD, before[i].value, 0) < 0) return "handed over a TAP without the offloads there were";
    remember_offload(tap.ifr_name, before[i].value);
  }
  KERNEL(ioctl, fd, TUNSETSNDBUF, &nic->send_buffer, 0);
  strcpy(nic->name, tap.ifr_name);
  return NULL;
}

/* Puts what the daemon has handed over where an old one was. What is wrong with it, or NULL. */
static const char *attach(struct nic *nic, const struct offload *before, int fd) {
  if (fd < 0) return "handed over no descriptor";
  const char *wrong = nic->flags & IFF_TAP ? equip(nic, before, fd) : is_datagram(fd) ? NULL : "handed over something that is no datagram socket";
  if (wrong != NULL) return wrong;
  KERNEL(fcntl, fd, F_SETFL, nic->status, 0);
  long high = KERNEL(fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD, 0); /* it may have come in a place that is to be taken */
  if (high < 0) return "handed over a TAP there is no room for";
  KERNEL(close, fd, 0, 0, 0);
  for (int i = 0; i < nic->count; i++) {
    if (KERNEL(dup3, high, nic->fds[i], nic->close_on_exec[i] ? O_CLOEXEC : 0, 0) < 0) {
      return "handed over a TAP that could not be put in its place";
    }
  }
  KERNEL(close, high, 0, 0, 0);
  return NULL;
}

static const char *const NO_NETWORK = "this checkpoint of DMTCP has no network, and will not restart";

/* Asks at a checkpoint: 1 for GO, 0 for another answer, -1 for none. Without GO the line is closed, and told what follows. */
static int ask(const char *event, char *answer, const char *if_not, const char *if_silent) {
  char reason[LINE_BYTES];
  int descriptor = -1;
  const char *trouble = say("%s", event) ? hear(answer, &descriptor) : "hung up";
  if (descriptor >= 0) KERNEL(close, descriptor, 0, 0, 0);
  if (trouble == NULL && (strcmp(answer, "GO") == 0 || strncmp(answer, "GO ", 3) == 0)) return 1;
  hang_up();
  value_of(trouble == NULL ? answer : "", "reason", reason, sizeof reason);
  if (trouble == NULL) tell("%s: the daemon said %s", if_not, *reason ? reason : answer);
  else tell("%s: the daemon %s", if_silent, trouble);
  return trouble == NULL ? 0 : -1;
}

static void before_suspension(void) {
  char event[LINE_BYTES], answer[LINE_BYTES];
  const char *wrong = find_nics(), *if_silent = wait_for_daemon ? "waits for the daemon" : NO_NETWORK;
  hang_up(); /* of a checkpoint that DMTCP gave up */
  strcpy(checkpoint, "none");
  if (wrong != NULL) {
    tell("%s; %s", wrong, NO_NETWORK);
    return;
  }
  snprintf(event, sizeof event, "PRESUSPEND version=1 guest=%s pid=%ld nics=%d", guest, KERNEL(getpid, 0, 0, 0, 0), nic_count);
  for (int told = 0;; told = 1) {
    if (dial()) {
      if (ask(event, answer, NO_NETWORK, if_silent) >= 0 || !wait_for_daemon) return;
    } else if (!told) {
      tell("no daemon at %s; %s", socket_path, if_silent);
    }
    if (!wait_for_daemon) return;
    struct timespec second = {.tv_sec = 1};
    KERNEL(nanosleep, &second, 0, 0, 0);
  }
}

static void when_suspended(void) {
  char answer[LINE_BYTES];
  int count = nic_count;
  const char *wrong = find_nics();
  if (wrong == NULL && nic_count != count) wrong = "got or lost a TAP meanwhile";
  if (wrong != NULL) {
    hang_up();
    tell("%s; %s", wrong, NO_NETWORK);
  } else if (ask("PRECHECKPOINT", answer, NO_NETWORK, NO_NETWORK) > 0) {
    value_of(answer, "checkpoint", checkpoint, sizeof checkpoint);
    if (checkpoint[0] == 0) strcpy(checkpoint, "none");
  }
}

/* The image has been written with the name in it: whatever is said now is too late for that. */
static void when_written(void) {
  char event[LINE_BYTES], path[MAX_PATH_BYTES], answer[LINE_BYTES];
  const char *image = dmtcp_get_ckpt_filename != NULL ? dmtcp_get_ckpt_filename() : "";
  snprintf(event, sizeof event, "RESUME image=%s", encoded(image == NULL ? "" : image, path, sizeof path));
  const char *by_itself = "goes on without having been told to";
  if (ask(event, answer, by_itself, by_itself) > 0) hang_up();
}

static void refuse(const char *who, const char *why) {
  tell("cannot be restarted from checkpoint %s: %s %s", checkpoint, who, why);
  kernel(SYS_exit_group, REFUSED, 0, 0, 0, 0);
}

/*
 * The environment of the restart lies in a file of DMTCP's, each variable ended by a zero. It is read here, for
 * dmtcp_get_restart_env() finds only what begins in its first eight bytes (3.0 to 5.0: it compares with the size of a
 * pointer to its buffer).
 */
static void from_restart_environment(const char *name, char *value, size_t size) {
  char block[4096], variable[512];
  size_t length = 0, named = strlen(name);
  long count, offset = 0, fd = dmtcp_protected_environ_fd != NULL ? dmtcp_protected_environ_fd() : -1;
  while ((count = KERNEL(pread64, fd, block, sizeof block, offset)) > 0) {
    for (long i = 0; i < count; i++) {
      if (length < sizeof variable) variable[length] = block[i];
      length++;
      if (block[i] != 0) continue;
      const char *found = variable + named + 1;
      int is_it = length <= sizeof variable && strncmp(variable, name, named) == 0 && variable[named] == '=';
      if (is_it && *found != 0 && strlen(found) < size) strcpy(value, found);
      length = 0;
    }
    offset += count;
  }
}

static void after_restart(void) {
  char text[LINE_BYTES], value[LINE_BYTES], expected[16], daemon[200];
  struct offload before[MAX_NICS];
  const char *trouble;
  int descriptor, attached = 0;
  line = -1; /* its number is somebody else's in this life */
  memcpy(before, offloads, sizeof before);
  memset(offloads, 0, sizeof offloads);
  from_restart_environment("STILLWIRE_DMTCP_SOCKET", socket_path, sizeof socket_path);
  from_restart_environment("STILLWIRE_GUEST", guest, sizeof guest);
  snprintf(daemon, sizeof daemon, "the daemon at %s", socket_path);
  if (!dial()) refuse(daemon, "is not there");
  if (!say("RESTART version=1 guest=%s pid=%ld checkpoint=%s nics=%d", guest, KERNEL(getpid, 0, 0, 0, 0), checkpoint, nic_count)) {
    refuse(daemon, "hung up");
  }
  for (;;) {
    if ((trouble = hear(text, &descriptor)) != NULL) refuse(daemon, trouble);
    if (strncmp(text, "ATTACH ", 7) == 0) {
      value_of(text, "nic", value, sizeof value);
      snprintf(expected, sizeof expected, "%d", attached);
      if (attached == nic_count || strcmp(value, expected) != 0) refuse(daemon, "handed over a TAP there is no place for");
      if ((trouble = attach(&nics[attached], before, descriptor)) != NULL) refuse(daemon, trouble);
      if (!say("ATTACHED nic=%d", attached++)) refuse(daemon, "hung up");
    } else if (strcmp(text, "GO") == 0) {
      if (attached < nic_count) refuse(daemon, "did not hand over a TAP for each there was");
      hang_up();
      return;
    } else if (strncmp(text, "REFUSE ", 7) == 0) {
      value_of(text, "reason", value, sizeof value);
      refuse("the daemon refuses it:", value);
    } else refuse(daemon, "said something that is no answer");
  }
}

static void on_event(int event, void *data) {
  (void)data;
  if (socket_path[0] == 0) return;
  if (event == PRESUSPEND) before_suspension();
  else if (event == PRECHECKPOINT && line >= 0) when_suspended();
  else if (event == RESUME && line >= 0) when_written();
  else if (event == RESTART) after_restart();
}

static void *next(const char *name) {
  if (dmtcp_initialize != NULL) dmtcp_initialize();
  return dmtcp_dlsym != NULL ? dmtcp_dlsym(RTLD_NEXT, name) : NULL;
}

/* Remembers what offloads a TAP was given: the kernel does not tell. */
int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  va_list arguments;
  va_start(arguments, request);
  unsigned long argument = va_arg(arguments, unsigned long);
  va_end(arguments);
  if (real == NULL) real = (int (*)(int, unsigned long, ...))next("ioctl");
  int result;
  if (real != NULL) result = real(fd, request, argument);
  else {
    long raw = KERNEL(ioctl, fd, request, argument, 0);
    result = raw < 0 ? -1 : (int)raw;
    if (raw < 0) errno = (int)-raw;
  }
  struct ifreq tap = {0};
  if (request == TUNSETOFFLOAD && result == 0 && KERNEL(ioctl, fd, TUNGETIFF, &tap, 0) == 0) {
    remember_offload(tap.ifr_name, argument);
  }
  return result;
}

/* A hypervisor keeps its guest's RAM from its children; with forked checkpointing the child is who writes the image. */
int madvise(void *address, size_t length, int advice) {
  const char *off = getenv("STILLWIRE_DMTCP_KEEP_FORK");
  if (advice == MADV_DONTFORK && (off == NULL || strcmp(off, "0") != 0)) return 0;
  long result = KERNEL(madvise, address, length, advice, 0);
  if (result < 0) errno = (int)-result;
  return result < 0 ? -1 : 0;
}

static void read_environment(void) {
  const char *path = getenv("STILLWIRE_DMTCP_SOCKET"), *name = getenv("STILLWIRE_GUEST");
  const char *seconds = getenv("STILLWIRE_DMTCP_TIMEOUT"), *unreachable = getenv("STILLWIRE_DMTCP_UNREACHABLE");
  if (name != NULL && strlen(name) < sizeof guest) strcpy(guest, name);
  if (path != NULL && strlen(path) < sizeof socket_path) strcpy(socket_path, path);
  else if (path != NULL) tell("STILLWIRE_DMTCP_SOCKET is longer than a socket's path may be: its network will not be saved");
  if (seconds != NULL && atoi(seconds) > 0) timeout_seconds = atoi(seconds);
  for (const char *at = getenv("STILLWIRE_DMTCP_SOCKETS"); at != NULL && *at != 0; at = strchr(at, ','), at += at != NULL) {
    if (atoi(at) < 64) sockets |= 1UL << atoi(at);
  }
  wait_for_daemon = unreachable != NULL && strcmp(unreachable, "wait") == 0;
}

void dmtcp_initialize_plugin(void) {
  struct descriptor plugin = {"4", "", "stillwire", "Stillwire", "", "the network of a checkpoint", on_event};
  read_environment();
  if (dmtcp_register_plugin != NULL) dmtcp_register_plugin(plugin);
  void (*other)(void) = (void (*)(void))next("dmtcp_initialize_plugin");
  if (other != NULL) other();
}
