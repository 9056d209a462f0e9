/* threads.c - see threads.h; Cortex-M0 to M7, floating point in software */
#include "threads.h"
#include "board.h"

#ifdef __ARM_FP
#error "change() does not save the registers of the floating-point unit"
#endif

#define PATTERN 0xdeadbeefu

static struct {
    uint32_t *sp;
    uint32_t *stack;            /* its lowest word */
    uint32_t words;
    void (*run)(void *);
    void *argument;
} threads[THREADS_MAX];
static int count, current, idle;

/* Saves what a C function must leave as it found it (r4 to r11, and where to return to) on one
 * stack, and takes the same off another. Thumb-1 only, so that a Cortex-M0 has it too. */
__attribute__((naked)) static void change(uint32_t **from, uint32_t *to)
{
    (void)from, (void)to;
    __asm volatile("push {r4-r7, lr}\n"
                   "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4-r7}\n"
                   "mov r2, sp\n str r2, [r0]\n mov sp, r1\n"
                   "pop {r4-r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
                   "pop {r4-r7, pc}\n");
}

/* Where a new thread begins. */
static void enter(void)
{
    threads[current].run(threads[current].argument);
    for (;;)
        thread_yield(false);
}

int thread_add(void (*run)(void *), void *argument, uint64_t *stack, uint32_t bytes)
{
    int n = count;
    if (n == THREADS_MAX)
        board_die("too many threads");
    count++;
    threads[n].stack = (uint32_t *)stack;
    threads[n].words = bytes / 4;
    threads[n].run = run;
    threads[n].argument = argument;
    for (uint32_t i = 0; i < threads[n].words; i++)
        threads[n].stack[i] = PATTERN;
    /* what change() will take: eight registers and the address, 8 bytes aligned at entry */
    threads[n].sp = threads[n].stack + threads[n].words - 9;
    threads[n].sp[8] = (uint32_t)(uintptr_t)enter | 1u;
    return n;
}

void threads_start(void)
{
    uint32_t *nowhere;
    change(&nowhere, threads[0].sp);
}

void thread_yield(bool has_work)
{
    int from = current;
    idle = has_work || board_poll() ? 0 : idle + 1;
    if (idle > count) {
        board_sleep();
        idle = 0;
    }
    current = (current + 1) % count;
    if (current != from)
        change(&threads[from].sp, threads[current].sp);
}

uint32_t thread_stack_used(int thread)
{
    uint32_t untouched = 0;
    while (untouched < threads[thread].words && threads[thread].stack[untouched] == PATTERN)
        untouched++;
    return (threads[thread].words - untouched) * 4;
}

uint32_t thread_stack_size(int thread)
{
    return threads[thread].words * 4;
}
