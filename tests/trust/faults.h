/* faults.h - the system calls and allocations of a server, each of which can be made to fail
 *
 * Linked with -Wl,--wrap=NAME for each name of fault_calls. While fault_armed is set (the server
 * is running, not a client) every call is a point: it is counted, remembered with the place it
 * came from, and fails if its number is that of the fault. What is open and allocated is counted
 * as well.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAULT_SHORT (-1)        /* one byte is taken or given */
#define FAULT_ZERO  (-2)        /* none: the end of a file */

#define FAULT_ERRORS 10

/* name, the errors its manual page documents and this use can meet, then 0. A call of which
 * all errors but SHORT are to be survived without a trace stands in fault_is_harmless(). */
#define FAULT_CALLS(X) \
    X(socket,        EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, EAFNOSUPPORT)                 \
    X(bind,          EADDRINUSE, EACCES, EADDRNOTAVAIL, ENOMEM, EROFS)                      \
    X(listen,        EADDRINUSE, EOPNOTSUPP)                                                \
    X(connect,       ECONNREFUSED, EACCES, EAGAIN, EINTR)                                   \
    X(accept4,       EAGAIN, EINTR, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO, EPERM) \
    X(recv,          EAGAIN, EINTR, FAULT_SHORT, ECONNRESET, ETIMEDOUT, ENOMEM, ENOBUFS)    \
    X(send,          EAGAIN, EINTR, FAULT_SHORT, ECONNRESET, EPIPE, ENOBUFS, ENOMEM)        \
    X(sendmsg,       EAGAIN, EINTR, FAULT_SHORT, ECONNRESET, EPIPE, ENOBUFS, ENOMEM)        \
    X(sendfile,      EAGAIN, EINTR, FAULT_SHORT, EINVAL, EIO, ENOMEM, EPIPE, EOVERFLOW, FAULT_ZERO) \
    X(shutdown,      ENOTCONN, ENOBUFS)                                                     \
    X(setsockopt,    ENOPROTOOPT, EINVAL, ENOMEM)                                           \
    X(getsockopt,    ENOPROTOOPT, ENOBUFS)                                                  \
    X(getsockname,   ENOBUFS)                                                               \
    X(getpeername,   ENOTCONN, ENOBUFS)                                                     \
    X(pselect,       EINTR, ENOMEM)                                                         \
    X(poll,          EINTR, ENOMEM)                                                         \
    X(epoll_create1, EMFILE, ENFILE, ENOMEM)                                                \
    X(epoll_ctl,     ENOMEM, ENOSPC)                                                        \
    X(epoll_wait,    EINTR)                                                                 \
    X(fcntl,         EINVAL, EINTR)                                                         \
    X(ioctl,         EINVAL, ENOTTY)                                                        \
    X(pipe,          EMFILE, ENFILE)                                                        \
    X(open,          ENOENT, EACCES, EMFILE, ENFILE, ENOMEM, EINTR, ENOSPC, EROFS, EEXIST)  \
    X(openat,        ENOENT, EACCES, EMFILE, ENOMEM, EINTR, ELOOP)                          \
    X(syscall,       ENOSYS, EAGAIN, EPERM, EINTR, ENOENT, EXDEV, EMFILE, ENOMEM)           \
    X(fstat,         EOVERFLOW, ENOMEM)                                                     \
    X(lstat,         EACCES, ENOENT, ENOMEM)                                                \
    X(pread,         EINTR, EIO, FAULT_SHORT, FAULT_ZERO)                                   \
    X(read,          EAGAIN, EINTR, EIO)                                                    \
    X(write,         EINTR, EIO, FAULT_SHORT, ENOSPC, EDQUOT, EFBIG)                        \
    X(fsync,         EIO, ENOSPC, EINTR)                                                    \
    X(rename,        EACCES, ENOSPC, EXDEV, ENOENT)                                         \
    X(unlink,        EACCES, EIO)                                                           \
    X(chmod,         EPERM, EROFS)                                                          \
    X(lseek,         EOVERFLOW)                                                             \
    X(getcwd,        ENOENT, ERANGE)                                                        \
    X(getrlimit,     EINVAL)                                                                \
    X(close,         EINTR, EIO)                                                            \
    X(malloc,        ENOMEM)                                                                \
    X(calloc,        ENOMEM)                                                                \
    X(realloc,       ENOMEM)

#define FAULT_ENUM(name, ...) FAULT_##name,
#define FAULT_ROW(name, ...) { #name, { __VA_ARGS__ } },

enum { FAULT_CALLS(FAULT_ENUM) FAULT_COUNT };

static const struct fault_call {
    const char *name;
    int errors[FAULT_ERRORS];
} fault_calls[FAULT_COUNT] = { FAULT_CALLS(FAULT_ROW) };

#define FAULT_POINTS 60000

typedef struct fault_point {
    uint8_t call;
    uint32_t nth;               /* of its kind, from 0 */
    void *site;                 /* the address behind the call */
} fault_point;

/* One call fails: the nth of its kind, as the number of others may differ from run to run. */
typedef struct fault_plan {
    int call;                   /* FAULT_COUNT: none */
    size_t nth;                 /* from 0 */
    int error;
} fault_plan;

static bool fault_armed;
static fault_plan fault_plans[2];
static fault_point fault_points[FAULT_POINTS];
static size_t fault_count;      /* points since the run began */
static uint32_t fault_nth[FAULT_COUNT];     /* of each kind */
static unsigned fault_hits;     /* faults since the run began */
static long fault_blocks;       /* allocated by the server, and not freed */
static long fault_open;         /* descriptors of the server */
static long fault_bad_closes;   /* of descriptors that were not open */
static unsigned long fault_moves;       /* bytes and sockets that passed: the server is not idle */

static int fault_errors_of(int call)
{
    int n = 0;
    while (n < FAULT_ERRORS && fault_calls[call].errors[n] != 0)
        n++;
    return n;
}

/* 0: go on. Else errno is set, or it is FAULT_SHORT or _ZERO. */
static int fault_here(int call, void *site)
{
    if (!fault_armed)
        return 0;
    uint32_t nth = fault_nth[call]++;
    if (fault_count < FAULT_POINTS) {
        fault_points[fault_count].call = (uint8_t)call;
        fault_points[fault_count].nth = nth;
        fault_points[fault_count].site = site;
    }
    fault_count++;
    for (int i = 0; i < 2; i++) {
        if (fault_plans[i].call != call || fault_plans[i].nth != nth)
            continue;
        fault_hits++;
        if (fault_plans[i].error > 0)
            errno = fault_plans[i].error;
        return fault_plans[i].error;
    }
    return 0;
}

#define FAULT(name) fault_here(FAULT_##name, __builtin_return_address(0))

static int fault_opened(int fd)
{
    if (fault_armed && fd >= 0)
        fault_open++;
    return fd;
}

static ssize_t fault_moved(ssize_t n)
{
    if (fault_armed && n > 0)
        fault_moves++;
    return n;
}

#define FAULT_SIMPLE(type, name, parameters, arguments) \
    type __real_##name parameters;                      \
    type __wrap_##name parameters;                      \
    type __wrap_##name parameters                       \
    {                                                   \
        return FAULT(name) != 0 ? (type)-1 : __real_##name arguments; \
    }

FAULT_SIMPLE(int, bind, (int fd, const struct sockaddr *at, socklen_t n), (fd, at, n))
FAULT_SIMPLE(int, listen, (int fd, int backlog), (fd, backlog))
FAULT_SIMPLE(int, connect, (int fd, const struct sockaddr *at, socklen_t n), (fd, at, n))
FAULT_SIMPLE(int, shutdown, (int fd, int how), (fd, how))
FAULT_SIMPLE(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t n),
             (fd, level, name, value, n))
FAULT_SIMPLE(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *n),
             (fd, level, name, value, n))
FAULT_SIMPLE(int, getsockname, (int fd, struct sockaddr *at, socklen_t *n), (fd, at, n))
FAULT_SIMPLE(int, getpeername, (int fd, struct sockaddr *at, socklen_t *n), (fd, at, n))
FAULT_SIMPLE(int, pselect,
             (int n, fd_set *r, fd_set *w, fd_set *e, const struct timespec *t,
              const sigset_t *signals), (n, r, w, e, t, signals))
FAULT_SIMPLE(int, poll, (struct pollfd *list, nfds_t n, int ms), (list, n, ms))
FAULT_SIMPLE(int, epoll_ctl, (int queue, int what, int fd, struct epoll_event *event),
             (queue, what, fd, event))
FAULT_SIMPLE(int, epoll_wait, (int queue, struct epoll_event *list, int n, int ms),
             (queue, list, n, ms))
FAULT_SIMPLE(int, fstat, (int fd, struct stat *about), (fd, about))
FAULT_SIMPLE(int, lstat, (const char *path, struct stat *about), (path, about))
FAULT_SIMPLE(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
FAULT_SIMPLE(int, fsync, (int fd), (fd))
FAULT_SIMPLE(int, rename, (const char *from, const char *to), (from, to))
FAULT_SIMPLE(int, unlink, (const char *path), (path))
FAULT_SIMPLE(int, chmod, (const char *path, mode_t mode), (path, mode))
FAULT_SIMPLE(off_t, lseek, (int fd, off_t at, int from), (fd, at, from))
FAULT_SIMPLE(int, getrlimit, (__rlimit_resource_t what, struct rlimit *limit), (what, limit))

#define FAULT_OPENS(name, parameters, arguments)        \
    int __real_##name parameters;                       \
    int __wrap_##name parameters;                       \
    int __wrap_##name parameters                        \
    {                                                   \
        return FAULT(name) != 0 ? -1 : fault_opened(__real_##name arguments); \
    }

FAULT_OPENS(socket, (int domain, int type, int protocol), (domain, type, protocol))
FAULT_OPENS(epoll_create1, (int flags), (flags))

#define FAULT_COUNTS(name, parameters, arguments, one)  \
    ssize_t __real_##name parameters;                   \
    ssize_t __wrap_##name parameters;                   \
    ssize_t __wrap_##name parameters                    \
    {                                                   \
        int fault = FAULT(name);                        \
        if (fault == FAULT_SHORT && n > 1)              \
            return fault_moved(__real_##name one);      \
        if (fault == FAULT_ZERO)                        \
            return 0;                                   \
        if (fault > 0)                                  \
            return -1;                                  \
        return fault_moved(__real_##name arguments);    \
    }

FAULT_COUNTS(recv, (int fd, void *to, size_t n, int flags), (fd, to, n, flags),
             (fd, to, 1, flags))
FAULT_COUNTS(send, (int fd, const void *from, size_t n, int flags), (fd, from, n, flags),
             (fd, from, 1, flags))
FAULT_COUNTS(sendfile, (int to, int from, off_t *at, size_t n), (to, from, at, n),
             (to, from, at, 1))
FAULT_COUNTS(pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at), (fd, to, 1, at))
FAULT_COUNTS(write, (int fd, const void *from, size_t n), (fd, from, n), (fd, from, 1))

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    int fault = FAULT(sendmsg);
    if (fault == FAULT_SHORT)
        return fault_moved(__real_send(fd, message->msg_iov[0].iov_base, 1, flags));
    return fault != 0 ? -1 : fault_moved(__real_sendmsg(fd, message, flags));
}

int __real_accept4(int fd, struct sockaddr *at, socklen_t *n, int flags);
int __wrap_accept4(int fd, struct sockaddr *at, socklen_t *n, int flags);
int __wrap_accept4(int fd, struct sockaddr *at, socklen_t *n, int flags)
{
    if (FAULT(accept4) != 0)
        return -1;
    int peer = fault_opened(__real_accept4(fd, at, n, flags));
    fault_moved(peer);
    return peer;
}

int __real_pipe(int ends[2]);
int __wrap_pipe(int ends[2]);
int __wrap_pipe(int ends[2])
{
    if (FAULT(pipe) != 0 || __real_pipe(ends) != 0)
        return -1;
    fault_opened(ends[0]);
    fault_opened(ends[1]);
    return 0;
}

char *__real_getcwd(char *to, size_t size);
char *__wrap_getcwd(char *to, size_t size);
char *__wrap_getcwd(char *to, size_t size)
{
    return FAULT(getcwd) != 0 ? NULL : __real_getcwd(to, size);
}

int __real_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...)
{
    va_list list;
    va_start(list, what);
    long argument = va_arg(list, long);
    va_end(list);
    return FAULT(fcntl) != 0 ? -1 : __real_fcntl(fd, what, argument);
}

int __real_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...);
int __wrap_ioctl(int fd, unsigned long what, ...)
{
    va_list more;
    va_start(more, what);
    void *argument = va_arg(more, void *);
    va_end(more);
    return FAULT(ioctl) != 0 ? -1 : __real_ioctl(fd, what, argument);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list list;
        va_start(list, flags);
        mode = va_arg(list, mode_t);
        va_end(list);
    }
    return FAULT(open) != 0 ? -1 : fault_opened(__real_open(path, flags, mode));
}

int __real_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...)
{
    return FAULT(openat) != 0 ? -1 : fault_opened(__real_openat(directory, path, flags));
}

/* openat2() has no function of its own. Other numbers are somebody else's. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number != SYS_openat2)
        return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return FAULT(syscall) != 0 ? -1
           : fault_opened((int)__real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* Linux has closed the descriptor whatever close() returns. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int fault = FAULT(close);
    if (!fault_armed)
        return __real_close(fd);
    fault_open--;
    if (__real_close(fd) != 0)
        fault_bad_closes++;
    if (fault == 0)
        return 0;
    errno = fault;
    return -1;
}

#define FAULT_ALLOCATES(name, parameters, arguments)    \
    void *__real_##name parameters;                     \
    void *__wrap_##name parameters;                     \
    void *__wrap_##name parameters                      \
    {                                                   \
        void *block = FAULT(name) != 0 ? NULL : __real_##name arguments; \
        if (fault_armed && block != NULL)               \
            fault_blocks++;                             \
        return block;                                   \
    }

FAULT_ALLOCATES(malloc, (size_t size), (size))
FAULT_ALLOCATES(calloc, (size_t count, size_t size), (count, size))

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size)
{
    void *block = FAULT(realloc) != 0 ? NULL : __real_realloc(old, size);
    if (fault_armed && block != NULL && old == NULL)
        fault_blocks++;
    return block;
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
    if (fault_armed && block != NULL)
        fault_blocks--;
    __real_free(block);
}

#endif
