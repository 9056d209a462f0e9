/* The compiler, as lwIP wants it described: gcc for Cortex-M with newlib. */
#ifndef LWIP_ARCH_CC_H
#define LWIP_ARCH_CC_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>           /* newlib has struct timeval and fd_set; lwIP takes them */

#define LWIP_TIMEVAL_PRIVATE 0

#ifndef BYTE_ORDER
#define BYTE_ORDER LITTLE_ENDIAN
#endif

void board_die(const char *text);
#define LWIP_PLATFORM_DIAG(message)   do { } while (0)
#define LWIP_PLATFORM_ASSERT(message) board_die(message)
#ifdef NDEBUG
#define LWIP_NOASSERT
#endif

/* Ports and TCP's first sequence numbers: they should be hard to guess. */
uint32_t board_random(void);
#define LWIP_RAND() board_random()

#endif
