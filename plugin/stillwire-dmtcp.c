/*
 * Stillwire's plugin for DMTCP: the network of a process that DMTCP saves is saved with it, and a restarted process has live
 * TAPs. All policy is in Stillwire's daemon; in here are a line to it and the descriptors. What is said at which event, and
 * what becomes of it when the daemon is gone or silent, is in docs/dmtcp-protocol.md.
 *
 * Invariant: what an image has of us is the name of the checkpoint whose frames belong to it, or "none", which no daemon
 * restarts. A process whose TAPs were not given back ends with a word.
 *
 * No header of DMTCP's is needed: events and descriptor are the same in 3.x, 4.x and 5.0. Events run in DMTCP's own
 * thread, which signals do not reach, while its wrappers stand around libc: they would have the plugin's descriptors saved
 * and its calls wait for the checkpoint that they are part of. So system calls are made by libc's own syscall(3). Nor is
 * memory allocated: a thread may have been suspended in malloc(3).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/kcmp.h>
#include <net/if.h>
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
enum { MAX_NICS = 32, MAX_FDS = 8, MAX_TAP_FD = 4096, LINE_BYTES = 1024, REFUSED = 98 };
enum { HIGH_FD = 600 }; /* above a process's own descriptors, below those that DMTCP keeps for itself */

struct descriptor { /* dmtcp.h, DmtcpPluginDescriptor_t */
  const char *api, *dmtcp, *name, *author, *email, *description;
  void (*hook)(int event, void *data);
};
extern void dmtcp_register_plugin(struct descriptor) __attribute__((weak));
extern void *dmtcp_dlsym(void *, const char *) __attribute__((weak));
extern void *dmtcp_dlsym_lib(const char *library, const char *) __attribute__((weak));
extern void dmtcp_initialize(void) __attribute__((weak));
extern int dmtcp_protected_environ_fd(void) __attribute__((weak));

/* What a TAP was given last by a descriptor: the kernel does not tell. `order` counts all that were given; 0: none. */
static struct offload {
  char name[IFNAMSIZ]; /* of the TAP: another may be at the descriptor by now */
  unsigned value, order;
} offloads[MAX_TAP_FD];

/* A NIC of the process, with what a new one has to be told to be like it: a TAP, or a datagram socket, which has no flags. */
static struct nic {
  char name[IFNAMSIZ];
  int flags, header, send_buffer, status;
  struct offload offload;
  int fds[MAX_FDS], close_on_exec[MAX_FDS], count;
} nics[MAX_NICS];
static int nic_count;
static char socket_path[108], guest[256], checkpoint[256] = "none";
static int line = -1; /* to the daemon */
static int timeout_seconds = 300, wait_for_daemon;
static unsigned long sockets; /* a bit for each descriptor that was inherited as the socket of a NIC */

static long (*kernel)(long number, ...);
#define KERNEL(name, ...) kernel(SYS_##name, ##__VA_ARGS__)

static void tell(const char *format, ...) {
  char text[LINE_BYTES];
  int length = snprintf(text, sizeof text, "stillwire: guest %s: ", guest);
  va_list arguments;
  va_start(arguments, format);
  length += vsnprintf(text + length, sizeof text - length, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof text - 2) length = sizeof text - 2;
  text[length++] = '\n';
  KERNEL(write, 2, text, (long)length);
}

static void hang_up(void) {
  if (line >= 0) KERNEL(close, line);
  line = -1;
}

/* Moves a descriptor out of the way of the process's own, if there is room. */
static int lift(int fd) {
  int high = (int)KERNEL(fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD);
  if (high >= 0) KERNEL(close, fd);
  return high < 0 ? fd : high;
}

static int dial(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval most = {.tv_sec = timeout_seconds};
  line = lift((int)KERNEL(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  strcpy(address.sun_path, socket_path);
  KERNEL(setsockopt, line, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most); /* connect(2) has this bound too */
  KERNEL(setsockopt, line, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
  if (KERNEL(connect, line, &address, sizeof address) == 0) return 1;
  hang_up();
  return 0;
}

/* Whether a line could be sent: what the plugin says is shorter than one may be. */
static int say(const char *format, ...) {
  char text[LINE_BYTES];
  va_list arguments;
  va_start(arguments, format);
  long length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  text[length++] = '\n';
  return KERNEL(sendto, line, text, length, MSG_NOSIGNAL, NULL, 0L) == length;
}

/*
 * The next line, without its end, and the descriptor that came with it, -1 for none. Why there is none, or NULL.
 * The daemon says one line and waits: nothing that has come belongs to another.
 */
static const char *hear(char *text, int *descriptor) {
  *descriptor = -1;
  for (long length = 0; length < LINE_BYTES;) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec rest = {text + length, LINE_BYTES - length};
    struct msghdr message = {.msg_iov = &rest, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_LEN(sizeof(int))};
    long count = KERNEL(recvmsg, line, &message, MSG_CMSG_CLOEXEC);
    if (count <= 0) return count < 0 && errno == EAGAIN ? "did not answer in time" : "hung up";
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) memcpy(descriptor, CMSG_DATA(header), sizeof(int));
    length += count;
    if (text[length - 1] != '\n') continue;
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

/* Whether two descriptors of a name are not one and the same queue: copies of a descriptor share its file. */
static int are_different(const struct nic *nic, int fd) {
  long self = KERNEL(getpid), differ = KERNEL(kcmp, self, self, KCMP_FILE, (long)nic->fds[0], (long)fd);
  return differ < 0 ? (nic->flags & IFF_MULTI_QUEUE) != 0 : differ != 0; /* a kernel may be without kcmp(2) */
}

static const char *add_nic(int fd, const struct ifreq *tap) {
  struct nic *nic = nics;
  while (nic < nics + nic_count && strcmp(nic->name, tap->ifr_name) != 0) nic++;
  if (nic == nics + MAX_NICS) return "has more TAPs than the plugin takes";
  if (fd >= MAX_TAP_FD) return "has a TAP of a higher descriptor than the plugin takes";
  if (nic == nics + nic_count) {
    memset(nic, 0, sizeof *nic);
    strcpy(nic->name, tap->ifr_name);
    nic->flags = (unsigned short)tap->ifr_flags;
    KERNEL(ioctl, fd, TUNGETVNETHDRSZ, &nic->header);
    KERNEL(ioctl, fd, TUNGETSNDBUF, &nic->send_buffer);
    nic->status = (int)KERNEL(fcntl, fd, F_GETFL);
    nic_count++;
  } else if (are_different(nic, fd)) {
    return nic->flags & IFF_MULTI_QUEUE
               ? "has a TAP with several queues, which is not supported: give it one (queues=1)"
               : "has two TAPs of one name, from two namespaces, which is not supported: rename one";
  }
  if (nic->count == MAX_FDS) return "has more descriptors of one TAP than the plugin takes";
  if (offloads[fd].order > nic->offload.order && strcmp(offloads[fd].name, nic->name) == 0) nic->offload = offloads[fd];
  nic->close_on_exec[nic->count] = KERNEL(fcntl, fd, F_GETFD) & FD_CLOEXEC;
  nic->fds[nic->count++] = fd;
  return NULL;
}

static int is_datagram(int fd) {
  int type = 0, size = sizeof type;
  return KERNEL(getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

/* Finds every NIC of the process, in the order of their descriptors. What is wrong with them, or NULL. */
static const char *find_nics(void) {
  char status[1024] = "";
  long file = KERNEL(openat, AT_FDCWD, "/proc/self/status", O_RDONLY | O_CLOEXEC);
  KERNEL(read, file, status, sizeof status - 1);
  KERNEL(close, file);
  const char *places = strstr(status, "\nFDSize:"); /* there are for descriptors: not so many as there may be */
  const char *wrong = places == NULL ? "does not see in /proc how many descriptors it has" : NULL;
  nic_count = 0;
  for (int fd = 0; wrong == NULL && fd < atoi(places + 8); fd++) {
    struct ifreq tap = {0};
    if (KERNEL(ioctl, fd, TUNGETIFF, &tap) == 0 && (tap.ifr_flags & IFF_TAP)) wrong = add_nic(fd, &tap);
    else if (fd < 64 && (sockets >> fd & 1) && is_datagram(fd)) {
      snprintf(tap.ifr_name, IFNAMSIZ, "/%d", fd); /* no device's name */
      tap.ifr_flags = 0;
      wrong = add_nic(fd, &tap);
    }
  }
  return wrong;
}

/* Gives a TAP what the old one had. What is wrong with it, or NULL. */
static const char *equip(struct nic *nic, int fd) {
  struct ifreq tap = {0};
  if (KERNEL(ioctl, fd, TUNGETIFF, &tap) < 0) return "handed over something that is no TAP";
  if ((((unsigned short)tap.ifr_flags ^ nic->flags) & (IFF_VNET_HDR | IFF_NO_PI)) ||
      ((nic->flags & IFF_VNET_HDR) && KERNEL(ioctl, fd, TUNSETVNETHDRSZ, &nic->header) < 0)) {
    return "handed over a TAP with other headers";
  }
  if (nic->offload.order > 0 && KERNEL(ioctl, fd, TUNSETOFFLOAD, (long)nic->offload.value) < 0) {
    return "handed over a TAP without the offloads there were";
  }
  KERNEL(ioctl, fd, TUNSETSNDBUF, &nic->send_buffer);
  strcpy(nic->offload.name, tap.ifr_name);
  return NULL;
}

/* Puts what the daemon has handed over where an old one was. What is wrong with it, or NULL. */
static const char *attach(struct nic *nic, int fd) {
  if (fd < 0) return "handed over no descriptor";
  const char *wrong = nic->flags & IFF_TAP ? equip(nic, fd) : NULL;
  if (wrong != NULL) return wrong;
  if (!(nic->flags & IFF_TAP) && !is_datagram(fd)) return "handed over something that is no datagram socket";
  KERNEL(fcntl, fd, F_SETFL, nic->status);
  fd = lift(fd); /* it may have come in a place that is to be taken */
  for (int i = 0; i < nic->count; i++) {
    int flags = nic->close_on_exec[i] ? O_CLOEXEC : 0;
    if (KERNEL(dup3, fd, nic->fds[i], flags) < 0) return "handed over a TAP that could not be put in its place";
    offloads[nic->fds[i]] = nic->offload;
  }
  KERNEL(close, fd);
  return NULL;
}

static const char *const NO_NETWORK = "this checkpoint of DMTCP has no network, and will not restart";

/*
 * The answer to what was said at a checkpoint: 1 for GO, 0 for another, -1 for none. Without GO the line is closed, and told
 * what follows.
 */
static int answer_to(int said, char *answer, const char *if_not, const char *if_silent) {
  char reason[LINE_BYTES];
  int descriptor = -1;
  const char *trouble = said ? hear(answer, &descriptor) : "hung up";
  if (descriptor >= 0) KERNEL(close, descriptor);
  if (trouble == NULL && (strcmp(answer, "GO") == 0 || strncmp(answer, "GO ", 3) == 0)) return 1;
  hang_up();
  value_of(trouble == NULL ? answer : "", "reason", reason, sizeof reason);
  if (trouble == NULL) tell("%s: the daemon said %s", if_not, *reason ? reason : answer);
  else tell("%s: the daemon %s", if_silent, trouble);
  return trouble == NULL ? 0 : -1;
}

/* Looks at the NICs as they are now: whether they can be carried over. Else the line is closed, and told why. */
static int can_carry(int expected) {
  const char *wrong = find_nics();
  if (wrong == NULL && expected >= 0 && nic_count != expected) wrong = "got or lost a TAP meanwhile";
  if (wrong == NULL) return 1;
  hang_up();
  tell("%s; %s", wrong, NO_NETWORK);
  return 0;
}

static void before_suspension(void) {
  char answer[LINE_BYTES];
  const char *if_silent = wait_for_daemon ? "waits for the daemon" : NO_NETWORK;
  struct timespec second = {.tv_sec = 1};
  hang_up(); /* of a checkpoint that DMTCP gave up */
  strcpy(checkpoint, "none");
  if (!can_carry(-1)) return;
  for (int told = 0;; told = 1) {
    if (dial()) {
      int said = say("PRESUSPEND version=1 guest=%s pid=%ld nics=%d", guest, KERNEL(getpid), nic_count);
      if (answer_to(said, answer, NO_NETWORK, if_silent) >= 0) return;
    } else if (!told) tell("no daemon at %s; %s", socket_path, if_silent);
    if (!wait_for_daemon) return;
    KERNEL(nanosleep, &second, NULL);
  }
}

static void when_suspended(void) {
  char answer[LINE_BYTES];
  if (!can_carry(nic_count)) return; /* and the guest's driver may have set them since */
  if (answer_to(say("PRECHECKPOINT"), answer, NO_NETWORK, NO_NETWORK) <= 0) return;
  value_of(answer, "checkpoint", checkpoint, sizeof checkpoint);
  if (checkpoint[0] == 0) strcpy(checkpoint, "none");
}

/* The image has been written with the name in it: whatever is said now is too late for that. */
static void when_written(void) {
  char answer[LINE_BYTES];
  const char *by_itself = "goes on without having been told to";
  if (answer_to(say("RESUME"), answer, by_itself, by_itself) > 0) hang_up();
}

static void refuse(const char *who, const char *why) {
  tell("cannot be restarted from checkpoint %s: %s %s", checkpoint, who, why);
  KERNEL(exit_group, REFUSED);
}

/*
 * The environment of the restart lies in a file of DMTCP's, each variable ended by a zero. It is read here, for
 * dmtcp_get_restart_env() finds only what begins in its first eight bytes (3.0 to 5.0: it compares with the size of a
 * pointer to its buffer).
 */
static void from_restart_environment(const char *name, char *value, size_t size) {
  static char environment[1 << 21]; /* a kernel takes no more, as a rule */
  long length = KERNEL(pread64, dmtcp_protected_environ_fd(), environment, sizeof environment - 1, 0L);
  size_t named = strlen(name);
  environment[length < 0 ? 0 : length] = 0;
  for (const char *at = environment; at - environment < length; at += strlen(at) + 1) {
    if (strncmp(at, name, named) != 0 || at[named] != '=') continue;
    const char *found = at + named + 1;
    if (*found != 0 && strlen(found) < size) strcpy(value, found);
  }
}

static void after_restart(void) {
  char text[LINE_BYTES], value[LINE_BYTES], expected[16], daemon[200];
  const char *trouble;
  int descriptor, attached = 0;
  line = -1; /* its number is somebody else's in this life */
  from_restart_environment("STILLWIRE_DMTCP_SOCKET", socket_path, sizeof socket_path);
  from_restart_environment("STILLWIRE_GUEST", guest, sizeof guest);
  snprintf(daemon, sizeof daemon, "the daemon at %s", socket_path);
  if (!dial()) refuse(daemon, "is not there");
  if (!say("RESTART version=1 guest=%s pid=%ld checkpoint=%s nics=%d", guest, KERNEL(getpid), checkpoint, nic_count)) {
    refuse(daemon, "hung up");
  }
  for (;;) {
    if ((trouble = hear(text, &descriptor)) != NULL) refuse(daemon, trouble);
    if (strncmp(text, "ATTACH ", 7) == 0) {
      value_of(text, "nic", value, sizeof value);
      snprintf(expected, sizeof expected, "%d", attached);
      if (attached == nic_count || strcmp(value, expected) != 0) refuse(daemon, "handed over a TAP there is no place for");
      if ((trouble = attach(&nics[attached], descriptor)) != NULL) refuse(daemon, trouble);
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
  return dmtcp_dlsym != NULL ? dmtcp_dlsym(RTLD_NEXT, name) : dlsym(RTLD_NEXT, name);
}

/* Remembers what offloads a TAP was given. */
int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, ...);
  static unsigned count;
  va_list arguments;
  va_start(arguments, request);
  unsigned long argument = va_arg(arguments, unsigned long);
  va_end(arguments);
  if (real == NULL) real = (int (*)(int, unsigned long, ...))next("ioctl");
  int result = real(fd, request, argument);
  struct ifreq tap = {0};
  if (request == TUNSETOFFLOAD && result == 0 && fd < MAX_TAP_FD && real(fd, TUNGETIFF, &tap) == 0) {
    offloads[fd] = (struct offload){.value = (unsigned)argument, .order = ++count};
    strcpy(offloads[fd].name, tap.ifr_name);
  }
  return result;
}

/* A hypervisor keeps its guest's RAM from its children; with forked checkpointing the child is who writes the image. */
int madvise(void *address, size_t length, int advice) {
  static int (*real)(void *, size_t, int);
  const char *off = getenv("STILLWIRE_DMTCP_KEEP_FORK");
  if (advice == MADV_DONTFORK && (off == NULL || strcmp(off, "0") != 0)) return 0;
  if (real == NULL) real = (int (*)(void *, size_t, int))next("madvise");
  return real(address, length, advice);
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

/* libc's own syscall(3), whatever libc's file is called; where DMTCP does not tell, the next in line. */
static void *find_syscall(void) {
  static const char *const names[] = {"/libc.so", "/libc-"}; /* before glibc 2.34: libc-2.33.so */
  void *found = NULL;
  for (int i = 0; i < 2 && found == NULL && dmtcp_dlsym_lib != NULL; i++) found = dmtcp_dlsym_lib(names[i], "syscall");
  return found != NULL ? found : next("syscall");
}

void dmtcp_initialize_plugin(void) {
  kernel = (long (*)(long, ...))find_syscall();
  struct descriptor plugin = {"4", "", "stillwire", "Stillwire", "", "the network of a checkpoint", on_event};
  read_environment();
  if (dmtcp_register_plugin != NULL) dmtcp_register_plugin(plugin);
  void (*other)(void) = (void (*)(void))next("dmtcp_initialize_plugin");
  if (other != NULL) other();
}
