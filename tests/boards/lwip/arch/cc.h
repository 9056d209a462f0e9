/* The host's compiler, as lwIP wants it described, with none of the host's socket headers: the
 * program sees what firmware sees, an fd_set of lwIP's own and 0 as the first descriptor.
 *
 * LIBC_FD_SET: the C library's fd_set instead, with lwIP's descriptors in its upper part: the
 * arrangement of ESP-IDF. */
#ifndef LWIP_ARCH_CC_H
#define LWIP_ARCH_CC_H

#include <stdio.h>
#include <stdlib.h>

#ifdef LIBC_FD_SET
#include <sys/select.h>
#define LWIP_TIMEVAL_PRIVATE 0
#define LWIP_SOCKET_OFFSET 48
#endif

#ifndef BYTE_ORDER
#define BYTE_ORDER LITTLE_ENDIAN
#endif

#define LWIP_PLATFORM_DIAG(message) do { printf message; } while (0)
#define LWIP_PLATFORM_ASSERT(message) do { \
        printf("not ok - lwIP: %s, %s:%d\n", message, __FILE__, __LINE__); \
        fflush(stdout); \
        abort(); \
    } while (0)

typedef int sys_prot_t;

extern unsigned int lwip_port_rand(void);
#define LWIP_RAND() ((u32_t)lwip_port_rand())

#endif
