#include "memory_use.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "VmHWM:     5432 kB" -> bytes */
static uint64_t field(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
}

void covey_memory_use(struct covey_memory_use *out)
{
    char text[4096];
    *out = (struct covey_memory_use){0};
    int file =
        open("/proc/self/status", O_RDONLY | O_CLOEXEC); /* getrusage would count what ran before exec */
    if (file < 0)
        return;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0)
        return;
    text[size] = 0;
    out->peak_bytes = field(text, "\nVmHWM:");
    out->now_bytes = field(text, "\nVmRSS:");
    out->file_bytes = field(text, "\nRssFile:");
}
