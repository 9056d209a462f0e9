/* The server, and the device of the host's programs: see examples/firmware/device.h. */
#define UHTTP_IMPLEMENTATION
#include "device.h"

#include "lwip/stats.h"
#include "lwip/sys.h"

#include <string.h>

#ifdef ESP_PLATFORM

/* As FAT and SPIFFS have it: no file takes the place of another, and there is no fsync().
 * For the linker's --wrap. */
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    if (access(to, F_OK) != 0)
        return __real_rename(from, to);
    errno = EEXIST;
    return -1;
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    (void)fd;
    errno = ENOSYS;
    return -1;
}

#endif

uint32_t device_millis(void)
{
    return (uint32_t)sys_now();
}

size_t device_image_size(void)
{
    return 20000;
}

void device_image_read(size_t offset, void *to, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)to)[i] = (uint8_t)((offset + i) * 2654435761u >> 13);
}

bool device_flash_begin(void)
{
    return true;
}

bool device_flash_write(const void *data, size_t length)
{
    (void)data, (void)length;
    return true;
}

bool device_flash_end(bool install)
{
    return install;
}

static void add(uhttp_json_writer *w, const char *name, uint32_t value)
{
    uhttp_json_key(w, name);
    uhttp_json_uint(w, value);
}

void device_status(uhttp_json_writer *w)
{
    add(w, "lwip_heap_most", (uint32_t)lwip_stats.mem.max);
    add(w, "lwip_heap_errors", lwip_stats.mem.err);
    add(w, "pbuf_pool_errors", lwip_stats.memp[MEMP_PBUF_POOL]->err);
    add(w, "segment_errors", lwip_stats.memp[MEMP_TCP_SEG]->err);
    add(w, "pcb_errors", lwip_stats.memp[MEMP_TCP_PCB]->err);
    add(w, "netconn_errors", lwip_stats.memp[MEMP_NETCONN]->err);
}
