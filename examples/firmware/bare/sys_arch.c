/* sys_arch.c - what lwIP asks of an operating system, on the threads of threads.c */
#include "board.h"
#include "threads.h"

#include "lwip/sys.h"

#include <string.h>

#ifndef TCPIP_STACK
#define TCPIP_STACK 1536        /* 444 bytes were used, without callbacks of a product */
#endif

void sys_init(void)
{
}

u32_t sys_now(void)
{
    return board_ms;
}

u32_t sys_jiffies(void)
{
    return board_ms;
}

static bool is_over(uint32_t start, u32_t timeout)
{
    return timeout != 0 && board_ms - start >= timeout;
}

err_t sys_sem_new(sys_sem_t *sem, u8_t count)
{
    sem->count = count;
    sem->valid = true;
    return ERR_OK;
}

void sys_sem_free(sys_sem_t *sem)
{
    sem->valid = false;
}

void sys_sem_signal(sys_sem_t *sem)
{
    sem->count++;
}

u32_t sys_arch_sem_wait(sys_sem_t *sem, u32_t timeout)
{
    uint32_t start = board_ms;
    bool had_work = true;
    while (sem->count == 0) {
        if (is_over(start, timeout))
            return SYS_ARCH_TIMEOUT;
        thread_yield(had_work);
        had_work = false;
    }
    sem->count--;
    return board_ms - start;
}

err_t sys_mbox_new(sys_mbox_t *box, int size)
{
    if (size > BOX_SIZE)
        return ERR_MEM;
    memset(box, 0, sizeof *box);
    box->size = (uint8_t)size;
    box->valid = true;
    return ERR_OK;
}

void sys_mbox_free(sys_mbox_t *box)
{
    box->valid = false;
}

err_t sys_mbox_trypost(sys_mbox_t *box, void *message)
{
    if (box->count == box->size)
        return ERR_MEM;
    box->message[(box->first + box->count++) % BOX_SIZE] = message;
    return ERR_OK;
}

/* Frames are taken from the device by board_poll(), never in an interrupt. */
err_t sys_mbox_trypost_fromisr(sys_mbox_t *box, void *message)
{
    return sys_mbox_trypost(box, message);
}

void sys_mbox_post(sys_mbox_t *box, void *message)
{
    while (sys_mbox_trypost(box, message) != ERR_OK)
        thread_yield(true);
}

u32_t sys_arch_mbox_tryfetch(sys_mbox_t *box, void **message)
{
    if (box->count == 0)
        return SYS_MBOX_EMPTY;
    if (message != NULL)
        *message = box->message[box->first];
    box->first = (uint8_t)((box->first + 1) % BOX_SIZE);
    box->count--;
    return 0;
}

u32_t sys_arch_mbox_fetch(sys_mbox_t *box, void **message, u32_t timeout)
{
    uint32_t start = board_ms;
    bool had_work = true;
    while (sys_arch_mbox_tryfetch(box, message) == SYS_MBOX_EMPTY) {
        if (is_over(start, timeout))
            return SYS_ARCH_TIMEOUT;
        thread_yield(had_work);
        had_work = false;
    }
    return board_ms - start;
}

/* lwIP starts one thread, its own; the size it asks for is not ours to know (see tcpip_init). */
sys_thread_t sys_thread_new(const char *name, lwip_thread_fn run, void *argument, int size,
                            int priority)
{
    static uint64_t stack[TCPIP_STACK / 8];
    (void)name, (void)size, (void)priority;
    return thread_add(run, argument, stack, sizeof stack);
}
