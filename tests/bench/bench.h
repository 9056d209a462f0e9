/* What the servers of the benchmark share: how they say where they listen, and, when SIGTERM
 * ends them, how much processor time they used since then. Built by run.sh. */
#ifndef BENCH_H
#define BENCH_H

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t bench_stopped;     /* SIGTERM: end, and report */
static volatile sig_atomic_t bench_asked;       /* SIGUSR1: report, and go on */
static double bench_cpu_at_start_us;

static void bench_on_signal(int number)
{
    if (number == SIGTERM)
        bench_stopped = 1;
    else
        bench_asked = 1;
}

/* User and system time of this process, in microseconds. */
static double bench_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* No SA_RESTART: the signal has to end select() and epoll_wait(). */
static void bench_start(int port)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = bench_on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    printf("port %d pid %ld\n", port, (long)getpid());
    fflush(stdout);
    bench_cpu_at_start_us = bench_cpu_us();
}

static void bench_report_cpu(void)
{
    printf("cpu_us %.1f\n", bench_cpu_us() - bench_cpu_at_start_us);
    fflush(stdout);
}

#endif
