/* threads.h - two or three threads without an operating system: each runs until it waits
 *
 * lwIP's sockets want one thread for TCP/IP and one for the program. Threads that hand over by
 * themselves need no locks, no priorities and no timer interrupt but the clock's.
 */
#ifndef THREADS_H
#define THREADS_H

#include <stdbool.h>
#include <stdint.h>

#define THREADS_MAX 3

/* Adds a thread; the stack is filled with a pattern, so that its use can be seen. Returns its
 * number, from 0. */
int thread_add(void (*run)(void *), void *argument, uint64_t *stack, uint32_t bytes);

/* Starts the first thread; does not return. */
void threads_start(void);

/* Lets the others run: what a thread calls that has to wait. has_work: it has done something
 * since the last time. When no thread has, the processor sleeps until the next interrupt. */
void thread_yield(bool has_work);

uint32_t thread_stack_used(int thread);
uint32_t thread_stack_size(int thread);

#endif
