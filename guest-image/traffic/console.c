/*
 * The console: lines in on stdin, lines out on stdout. A child process does the writing, one write() a line, so that
 * lines are not torn and a slow console cannot hold up the senders: the parent only ever fills a pipe and a buffer.
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#define LINE_MAX_BYTES (64 * 1024)

static struct source input;
static void (*deliver)(const char *line);
static int pipe_fd = -1;
static char *waiting; /* what the pipe has not taken yet */
static size_t waiting_length;

static void write_line(const char *line, size_t length) {
  while (length > 0) {
    ssize_t written = write(STDOUT_FILENO, line, length);
    if (written < 0 && errno != EINTR) return;
    if (written > 0) line += written, length -= (size_t)written;
  }
}

static void writer(int from) {
  static char buffer[LINE_MAX_BYTES];
  size_t fill = 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (ssize_t length; (length = read(from, buffer + fill, sizeof buffer - fill)) > 0;) {
    fill += (size_t)length;
    for (char *end; (end = memchr(buffer, '\n', fill)) != NULL;) {
      size_t line = (size_t)(end - buffer) + 1;
      write_line(buffer, line);
      memmove(buffer, buffer + line, fill -= line);
    }
  }
  _exit(0);
}

void console_fork(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) die("pipe");
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    close(ends[1]);
    writer(ends[0]);
  }
  close(ends[0]);
  pipe_fd = ends[1];
  fcntl(pipe_fd, F_SETFL, O_NONBLOCK);
}

void console_flush(void) {
  while (waiting_length > 0) {
    ssize_t written = write(pipe_fd, waiting, waiting_length);
    if (written <= 0) return;
    memmove(waiting, waiting + written, waiting_length -= (size_t)written);
  }
}

void console_print(const char *text, size_t length) {
  if ((waiting = realloc(waiting, waiting_length + length)) == NULL) die("memory");
  memcpy(waiting + waiting_length, text, length);
  waiting_length += length;
  console_flush();
}

static void on_input(struct source *self, uint32_t events) {
  static char line[256];
  static size_t fill;
  char bytes[256];
  (void)events;
  ssize_t length = read(self->fd, bytes, sizeof bytes);
  if (length < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (length <= 0) unwatch(self); /* nobody will say anything any more; the traffic goes on */
  for (ssize_t i = 0; i < length; i++) {
    if (bytes[i] == '\n' || bytes[i] == '\r') {
      line[fill] = 0;
      if (fill > 0) deliver(line);
      fill = 0;
    } else if (fill < sizeof line - 1) line[fill++] = bytes[i];
  }
}

void console_start(void (*on_line)(const char *line)) {
  struct termios mode;
  deliver = on_line;
  if (tcgetattr(STDIN_FILENO, &mode) == 0) {
    mode.c_lflag &= ~(tcflag_t)ECHO;  /* an echo would stand in the middle of a line */
    mode.c_oflag &= ~(tcflag_t)ONLCR; /* lines end in \n alone */
    tcsetattr(STDIN_FILENO, TCSANOW, &mode);
  }
  input = (struct source){STDIN_FILENO, on_input};
  watch(&input, EPOLLIN);
}
