/* The operating system, as lwIP wants it described: none of it is used, only named. */
#ifndef LWIP_ARCH_SYS_ARCH_H
#define LWIP_ARCH_SYS_ARCH_H

typedef void *sys_sem_t;
typedef void *sys_mbox_t;
typedef void *sys_thread_t;
typedef unsigned int sys_prot_t;

#endif
