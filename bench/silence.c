/*
 * How long a guest says nothing, by this machine's clock: a guest whose own clock stands while it is stopped cannot tell.
 *
 *   silence [EXCEPT...]   prints "ready" and looks each millisecond how many frames each device of its namespace, but lo and
 *                         those named, has received, that is, the guest behind it has sent; at the end of its stdin it
 *                         prints "silence N", the milliseconds of the longest time in which one of them received none
 *
 * Time before a device's first frame does not count; time after its last does.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DEVICES_MAX = 64, TEXT_MAX = 64 * 1024 };

struct device {
    char name[16];
    unsigned long long frames;
    double last; /* when it had received one; 0: never */
    double longest;
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static struct device devices[DEVICES_MAX];
static int count;

static struct device *device_of(const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(devices[i].name, name) == 0) return &devices[i];
    if (count == DEVICES_MAX) return NULL;
    snprintf(devices[count].name, sizeof devices[count].name, "%s", name);
    return &devices[count++];
}

/* proc_net_dev: two lines of titles, then `name: bytes packets ...` */
static void look(int fd)
{
    static char text[TEXT_MAX];
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    if (length < 0) err(1, "/proc/self/net/dev");
    text[length] = 0;
    double now = now_ms();
    for (char *line = text; line != NULL && *line != 0;) {
        char name[16];
        unsigned long long frames;
        int found = sscanf(line, " %15[^:|]: %*u %llu", name, &frames) == 2;
        line = strchr(line, '\n');
        if (line != NULL) line++;
        struct device *one = found ? device_of(name) : NULL;
        if (one == NULL) continue;
        if (one->last != 0 && now - one->last > one->longest) one->longest = now - one->last;
        if (frames != one->frames && one->frames != 0) one->last = now;
        one->frames = frames;
    }
}

static int is_excepted(const char *name, char **excepted)
{
    if (strcmp(name, "lo") == 0) return 1;
    for (; *excepted != NULL; excepted++)
        if (strcmp(name, *excepted) == 0) return 1;
    return 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    int fd = open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC);
    if (fd < 0) err(1, "/proc/self/net/dev");
    look(fd);
    puts("ready");
    fflush(stdout);
    struct pollfd end = {STDIN_FILENO, POLLIN, 0};
    while (poll(&end, 1, 1) == 0) look(fd);
    double longest = 0;
    for (int i = 0; i < count; i++)
        if (!is_excepted(devices[i].name, argv + 1) && devices[i].longest > longest) longest = devices[i].longest;
    printf("silence %.1f\n", longest);
    return 0;
}
