/* main.c - without an operating system: the server in one cooperative thread, lwIP in another */
#include "board.h"
#include "system.h"
#include "threads.h"

#ifdef UHTTP_TLS
#define STACK 6144              /* 2.7 KB were used, by the handshake */
#else
#define STACK 2048              /* 988 bytes were used */
#endif

enum { SERVER, TCPIP, SYSTEM_THREADS };     /* in the order they are added */

static uint64_t stack[STACK / 8];

void system_pause(void)
{
    thread_yield(false);
}

void system_status(uhttp_json_writer *w)
{
    uhttp_json_key(w, "stack_server");
    uhttp_json_uint(w, thread_stack_used(SERVER));
    uhttp_json_key(w, "stack_tcpip");
    uhttp_json_uint(w, thread_stack_used(TCPIP));
}

uint32_t system_stack_left(void)
{
    uint32_t least = UINT32_MAX;
    for (int i = 0; i < SYSTEM_THREADS; i++) {
        uint32_t left = thread_stack_size(i) - thread_stack_used(i);
        if (left < least)
            least = left;
    }
    return least;
}

static void run(void *argument)
{
    (void)argument;
    server_run();
}

int main(void)
{
    board_init();
    thread_add(run, NULL, stack, sizeof stack);
    threads_start();
    return 1;
}
