/* Zephyr's kernel as far as uhttp_server.h and examples/zephyr use it, from its documentation:
 * for compiling only. */
#ifndef ZEPHYR_STUB_KERNEL_H
#define ZEPHYR_STUB_KERNEL_H

#include <stdint.h>

#define CONFIG_ZVFS_POLL_MAX 12
#ifndef STUB_NO_EVENTFD
#define CONFIG_ZVFS_EVENTFD 1
#endif

uint32_t k_uptime_get_32(void);
int64_t k_uptime_get(void);
int printk(const char *format, ...);

#endif
