/* The operating system, as lwIP wants it described: the cooperative threads of threads.c.
 * Nobody is interrupted by anybody, so a counter is a semaphore. */
#ifndef LWIP_ARCH_SYS_ARCH_H
#define LWIP_ARCH_SYS_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#define BOX_SIZE 16             /* the largest mailbox of lwipopts.h */

typedef struct sys_sem_t {
    int32_t count;
    bool valid;
} sys_sem_t;

typedef struct sys_mbox_t {
    void *message[BOX_SIZE];
    uint8_t size, first, count;
    bool valid;
} sys_mbox_t;

typedef int sys_thread_t;
typedef int sys_prot_t;

#define sys_sem_valid(s)        ((s)->valid)
#define sys_sem_set_invalid(s)  ((s)->valid = false)
#define sys_mbox_valid(m)       ((m)->valid)
#define sys_mbox_set_invalid(m) ((m)->valid = false)

#endif
