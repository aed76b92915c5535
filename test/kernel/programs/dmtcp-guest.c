/*
 * Stands where DMTCP and a hypervisor under it would: as dmtcp_launch a guest that has the plugin preloaded and sends
 * and counts frames, as dmtcp_restart the same guest brought back from its image. Which of them it is its name says.
 *
 * An image is what the plugin and this program have in memory: both are loaded where they were before, since addresses
 * are not random here, and get back what was in their variables. The descriptors are not in it, as under DMTCP: where
 * a NIC was there is something else.
 *
 * Two threads, as in a process under DMTCP: the guest's own, which reads and sends frames as long as it holds `running`, and
 * that of the checkpoints, which does what the coordinator says and gives the plugin its events:
 *
 *   PRESUSPEND   the guest runs      PRECHECKPOINT   it stands      WRITE   the image      RESUME   it stands; then it runs
 *
 * Of what is behind the name of the program to launch it knows `-report FILE`, where it tells what it has sent and
 * received, and `-fault FILE`, which is read at each event: `EVENT stop`, `EVENT die` (before the plugin is told), or
 * `EVENT mute` (the plugin is not told).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_NIC = 3, NICS_MAX = 8, HEADER = 12, FRAME = HEADER + 60, ETHERTYPE = 0x88b6 /* 88b5 are Stillwire's own */, PERIOD_MS = 2, RANGES_MAX = 64 };

struct descriptor {
  const char *api, *dmtcp, *name, *author, *email, *description;
  void (*hook)(int event, void *data);
};
static struct descriptor plugin;
extern void dmtcp_initialize_plugin(void) __attribute__((weak));

/* All that a guest is. */
static struct guest {
  int nics, is_socket[NICS_MAX];
  unsigned number; /* of this guest, so that others know whose frames they count */
  unsigned long sent, received, lost, doubled;
  unsigned long next[256]; /* expected of each other guest */
  char report[PATH_MAX], fault[PATH_MAX], plugins[PATH_MAX], images[PATH_MAX];
} me;

static char image_name[PATH_MAX + 64];
static int coordinator = -1;
static pthread_mutex_t running = PTHREAD_MUTEX_INITIALIZER;

void dmtcp_register_plugin(struct descriptor descriptor) { plugin = descriptor; }

void *dmtcp_dlsym(void *handle, const char *name) {
  (void)handle;
  return strcmp(name, "dmtcp_initialize_plugin") == 0 ? NULL : dlsym(dlopen("libc.so.6", RTLD_LAZY), name);
}

int dmtcp_protected_environ_fd(void) {
  int fd = memfd_create("environment", MFD_CLOEXEC);
  for (char **variable = environ; *variable != NULL; variable++)
    if (write(fd, *variable, strlen(*variable) + 1) < 0) err(1, "environment");
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  int to_read = open(name, O_RDONLY | O_CLOEXEC); /* what can be written might be a disk */
  close(fd);
  return to_read;
}

const char *dmtcp_get_ckpt_filename(void) { return image_name; }

/* ---- The guest. ---- */

static void send_frame(void) {
  unsigned char frame[FRAME] = {0};
  unsigned char *bytes = frame + HEADER;
  memset(bytes, 0xff, 6);
  memcpy(bytes + 6, "\x52\x54\x00\x77\x00", 5);
  bytes[11] = (unsigned char)me.number;
  bytes[12] = ETHERTYPE >> 8;
  bytes[13] = ETHERTYPE & 0xff;
  bytes[14] = (unsigned char)me.number;
  memcpy(bytes + 16, &me.sent, sizeof me.sent);
  for (int nic = 0; nic < me.nics; nic++) {
    int skip = me.is_socket[nic] ? HEADER : 0;
    if (write(FIRST_NIC + nic, frame + skip, FRAME - skip) != FRAME - skip) return; /* its queue is full: it is sent later */
  }
  me.sent++;
}

static void receive_frames(int nic) {
  unsigned char frame[70000];
  long length;
  while ((length = read(FIRST_NIC + nic, frame, sizeof frame)) > 0) {
    unsigned char *bytes = frame + (me.is_socket[nic] ? 0 : HEADER);
    unsigned long number;
    if (bytes[12] != ETHERTYPE >> 8 || bytes[13] != (ETHERTYPE & 0xff)) continue;
    unsigned long *next = &me.next[bytes[14]];
    memcpy(&number, bytes + 16, sizeof number);
    me.received++;
    if (number < *next) me.doubled++;
    else me.lost += number - *next;
    if (number >= *next) *next = number + 1;
  }
}

static void report(void) {
  char text[256], name[PATH_MAX + 8];
  int length = snprintf(text, sizeof text, "{\"sent\":%lu,\"received\":%lu,\"lost\":%lu,\"doubled\":%lu}\n", me.sent, me.received,
                        me.lost, me.doubled);
  snprintf(name, sizeof name, "%s.new", me.report);
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text, length) != length || close(fd) < 0 || rename(name, me.report) < 0) err(1, "%s", name);
}

static void run_guest(void) {
  struct pollfd nics[NICS_MAX];
  for (int nic = 0; nic < me.nics; nic++) nics[nic] = (struct pollfd){FIRST_NIC + nic, POLLIN, 0};
  for (unsigned long turn = 0;; turn++) {
    poll(nics, me.nics, PERIOD_MS); /* outside the lock: whoever waits for it must get it */
    pthread_mutex_lock(&running);
    for (int nic = 0; nic < me.nics; nic++) receive_frames(nic);
    send_frame();
    if (turn % 10 == 0) report();
    pthread_mutex_unlock(&running);
    struct timespec pause = {0, 1000000};
    nanosleep(&pause, NULL);
  }
}

/* ---- Its image. ---- */

struct range { unsigned long at, length; };

/* The variables of the plugins: what of them can be written, and what lies behind it without a name. */
static int plugin_ranges(struct range *ranges) {
  char line[PATH_MAX + 128], mode[8], path[PATH_MAX];
  unsigned long from, to, end = 0;
  int count = 0;
  FILE *maps = fopen("/proc/self/maps", "re");
  while (fgets(line, sizeof line, maps) != NULL && count < RANGES_MAX) {
    path[0] = 0;
    sscanf(line, "%lx-%lx %7s %*s %*s %*s %4095s", &from, &to, mode, path);
    int is_ours = path[0] != 0 && strstr(me.plugins, path) != NULL, is_behind = path[0] == 0 && from == end;
    if (is_ours) end = to;
    if (mode[1] == 'w' && (is_ours || is_behind)) ranges[count++] = (struct range){from, to - from};
    if (is_behind) end = to;
  }
  fclose(maps);
  return count;
}

static void put(int fd, const void *data, size_t length) {
  if (write(fd, data, length) != (ssize_t)length) err(1, "image");
}

static void get(int fd, void *data, size_t length) {
  if (read(fd, data, length) != (ssize_t)length) err(1, "image");
}

static void write_image(void) {
  struct range ranges[RANGES_MAX];
  char unfinished[PATH_MAX + 80];
  int count = plugin_ranges(ranges);
  snprintf(unfinished, sizeof unfinished, "%s.temp", image_name);
  int fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) err(1, "%s", unfinished);
  put(fd, &me, sizeof me);
  put(fd, &count, sizeof count);
  put(fd, ranges, count * sizeof *ranges);
  for (int i = 0; i < count; i++) put(fd, (void *)ranges[i].at, ranges[i].length);
  close(fd);
  if (rename(unfinished, image_name) < 0) err(1, "%s", image_name);
}

static void read_image(const char *name) {
  struct range now[RANGES_MAX], then[RANGES_MAX];
  char images[PATH_MAX];
  int count, fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) err(1, "%s", name);
  strcpy(images, me.images);
  get(fd, &me, sizeof me);
  get(fd, &count, sizeof count);
  get(fd, then, count * sizeof *then);
  if (plugin_ranges(now) != count || memcmp(now, then, count * sizeof *now) != 0) errx(1, "the plugins lie elsewhere");
  for (int i = 0; i < count; i++) get(fd, (void *)then[i].at, then[i].length);
  close(fd);
  strcpy(me.images, images);
  for (int nic = 0; nic < me.nics; nic++) dup2(open("/dev/null", O_RDWR | O_CLOEXEC), FIRST_NIC + nic);
}

/* ---- What the coordinator says. ---- */

/* Whether the plugin is to be told. */
static int is_told(const char *event) {
  char text[64] = "", kind[16] = "", name[32] = "";
  FILE *file = fopen(me.fault, "re");
  if (file == NULL) return 1;
  if (fgets(text, sizeof text, file) == NULL || sscanf(text, "%31s %15s", name, kind) != 2) name[0] = 0;
  fclose(file);
  if (strcmp(name, event) != 0) return 1;
  if (strcmp(kind, "die") == 0) raise(SIGKILL);
  if (strcmp(kind, "stop") == 0) raise(SIGSTOP);
  return strcmp(kind, "mute") != 0;
}

static void *attend(void *unused) {
  (void)unused;
  FILE *said = fdopen(dup(coordinator), "r");
  char event[64];
  int told = 1;
  while (said != NULL && fgets(event, sizeof event, said) != NULL) {
    event[strcspn(event, "\n")] = 0;
    int is_first = strcmp(event, "PRESUSPEND") == 0, is_last = strcmp(event, "RESUME") == 0;
    int number = is_first ? 15 : strcmp(event, "PRECHECKPOINT") == 0 ? 16 : is_last ? 17 : 0;
    if (number == 16) pthread_mutex_lock(&running);
    if (is_first) told = 1;
    told = is_told(event) && told;
    if (number != 0 && told) plugin.hook(number, NULL);
    if (strcmp(event, "WRITE") == 0) write_image();
    if (is_last) pthread_mutex_unlock(&running);
    if (write(coordinator, "done\n", 5) != 5) break;
  }
  exit(0); /* without its coordinator such a process ends */
}

static void join(const char *host, const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  inet_pton(AF_INET, host, &address.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) err(1, "no coordinator at %s:%s", host, port);
  coordinator = fcntl(fd, F_DUPFD_CLOEXEC, 100);
  close(fd);
  if (write(coordinator, "join\n", 5) != 5) err(1, "coordinator");
}

static void find_nics(void) {
  for (int fd = FIRST_NIC; me.nics < NICS_MAX; fd++, me.nics++) {
    struct ifreq tap;
    int type = 0, header = HEADER;
    socklen_t size = sizeof type;
    me.is_socket[me.nics] = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
    if (!me.is_socket[me.nics] && (ioctl(fd, TUNGETIFF, &tap) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)) return;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  }
}

int main(int argc, char **argv) {
  const char *role = strrchr(argv[0], '/') == NULL ? argv[0] : strrchr(argv[0], '/') + 1, *host = "", *port = "", *image = "";
  int is_restart = strcmp(role, "dmtcp_restart") == 0;
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (strcmp(argv[i], "--version") == 0) return puts("stand-in (DMTCP) 9.9.9") < 0;
    if (strcmp(argv[i], "--coord-host") == 0) host = value;
    if (strcmp(argv[i], "--coord-port") == 0) port = value;
    if (strcmp(argv[i], "--ckptdir") == 0) snprintf(me.images, sizeof me.images, "%s", value);
    if (strcmp(argv[i], "--with-plugin") == 0) snprintf(me.plugins, sizeof me.plugins, "%s", value);
    if (strcmp(argv[i], "-report") == 0) snprintf(me.report, sizeof me.report, "%s", value);
    if (strcmp(argv[i], "-fault") == 0) snprintf(me.fault, sizeof me.fault, "%s", value);
    if (strcmp(argv[i], "-number") == 0) me.number = (unsigned)atoi(value);
    image = argv[i];
  }
  if (getenv("LD_PRELOAD") == NULL) { /* the first time */
    if (is_restart) { /* the image says which plugins */
      char images[PATH_MAX];
      int fd = open(image, O_RDONLY | O_CLOEXEC);
      strcpy(images, me.images);
      if (fd < 0) err(1, "%s", image);
      get(fd, &me, sizeof me);
    }
    setenv("LD_PRELOAD", me.plugins, 1);
    personality(ADDR_NO_RANDOMIZE);
    execv("/proc/self/exe", argv);
    err(1, "exec");
  }
  if (dmtcp_initialize_plugin == NULL) errx(1, "no plugin was loaded");
  if (is_restart) {
    char images[PATH_MAX];
    int fd = open(image, O_RDONLY | O_CLOEXEC);
    strcpy(images, me.images);
    get(fd, &me, sizeof me); /* for the names of the plugins */
    close(fd);
    strcpy(me.images, images);
  }
  dmtcp_initialize_plugin();
  if (is_restart) read_image(image);
  else find_nics();
  snprintf(image_name, sizeof image_name, "%s/ckpt_standin.dmtcp", me.images);
  join(host, port);
  if (is_restart) plugin.hook(18, NULL);
  pthread_t attendant;
  if (pthread_create(&attendant, NULL, attend, NULL) != 0) errx(1, "no thread");
  run_guest();
}
