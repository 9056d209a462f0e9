/* The compiler, as lwIP wants it described: gcc for Cortex-M with newlib. */
#ifndef LWIP_ARCH_CC_H
#define LWIP_ARCH_CC_H

#define BYTE_ORDER LITTLE_ENDIAN
#define LWIP_PLATFORM_DIAG(message)     do { } while (0)
#define LWIP_PLATFORM_ASSERT(message)   do { } while (0)

#endif
