/* The rest of a Cortex-M4 image, so that it links: vectors, a reset handler, and lwIP's socket
 * functions, which here only fail. It never runs; the linker is asked what it keeps. */
#include "lwip/sockets.h"
#include "lwip/netdb.h"
#include "lwip/sys.h"
#include <stddef.h>
#include <stdint.h>

int main(void);
void board_reset(void);

extern uint32_t board_stack_top;

void board_reset(void)
{
    (void)main();
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[2] = {
    (uintptr_t)&board_stack_top,
    (uintptr_t)&board_reset,
};

u32_t sys_now(void)
{
    return 0;
}

void sys_msleep(u32_t ms)
{
    (void)ms;
}

int lwip_accept(int s, struct sockaddr *addr, socklen_t *addrlen)
{
    (void)s, (void)addr, (void)addrlen;
    return -1;
}

int lwip_bind(int s, const struct sockaddr *name, socklen_t namelen)
{
    (void)s, (void)name, (void)namelen;
    return -1;
}

int lwip_shutdown(int s, int how)
{
    (void)s, (void)how;
    return -1;
}

int lwip_getpeername(int s, struct sockaddr *name, socklen_t *namelen)
{
    (void)s, (void)name, (void)namelen;
    return -1;
}

int lwip_getsockname(int s, struct sockaddr *name, socklen_t *namelen)
{
    (void)s, (void)name, (void)namelen;
    return -1;
}

int lwip_getsockopt(int s, int level, int optname, void *optval, socklen_t *optlen)
{
    (void)s, (void)level, (void)optname, (void)optval, (void)optlen;
    return -1;
}

int lwip_setsockopt(int s, int level, int optname, const void *optval, socklen_t optlen)
{
    (void)s, (void)level, (void)optname, (void)optval, (void)optlen;
    return -1;
}

int lwip_close(int s)
{
    (void)s;
    return -1;
}

int lwip_connect(int s, const struct sockaddr *name, socklen_t namelen)
{
    (void)s, (void)name, (void)namelen;
    return -1;
}

int lwip_listen(int s, int backlog)
{
    (void)s, (void)backlog;
    return -1;
}

ssize_t lwip_recv(int s, void *mem, size_t len, int flags)
{
    (void)s, (void)mem, (void)len, (void)flags;
    return -1;
}

ssize_t lwip_read(int s, void *mem, size_t len)
{
    (void)s, (void)mem, (void)len;
    return -1;
}

ssize_t lwip_recvfrom(int s, void *mem, size_t len, int flags, struct sockaddr *from,
                      socklen_t *fromlen)
{
    (void)s, (void)mem, (void)len, (void)flags, (void)from, (void)fromlen;
    return -1;
}

ssize_t lwip_send(int s, const void *dataptr, size_t size, int flags)
{
    (void)s, (void)dataptr, (void)size, (void)flags;
    return -1;
}

ssize_t lwip_sendmsg(int s, const struct msghdr *message, int flags)
{
    (void)s, (void)message, (void)flags;
    return -1;
}

ssize_t lwip_sendto(int s, const void *dataptr, size_t size, int flags,
                    const struct sockaddr *to, socklen_t tolen)
{
    (void)s, (void)dataptr, (void)size, (void)flags, (void)to, (void)tolen;
    return -1;
}

int lwip_socket(int domain, int type, int protocol)
{
    (void)domain, (void)type, (void)protocol;
    return -1;
}

ssize_t lwip_write(int s, const void *dataptr, size_t size)
{
    (void)s, (void)dataptr, (void)size;
    return -1;
}

ssize_t lwip_writev(int s, const struct iovec *iov, int iovcnt)
{
    (void)s, (void)iov, (void)iovcnt;
    return -1;
}

int lwip_select(int maxfdp1, fd_set *readset, fd_set *writeset, fd_set *exceptset,
                struct timeval *timeout)
{
    (void)maxfdp1, (void)readset, (void)writeset, (void)exceptset, (void)timeout;
    return -1;
}

int lwip_ioctl(int s, long cmd, void *argp)
{
    (void)s, (void)cmd, (void)argp;
    return -1;
}

int lwip_fcntl(int s, int cmd, int val)
{
    (void)s, (void)cmd, (void)val;
    return -1;
}

const char *lwip_inet_ntop(int af, const void *src, char *dst, socklen_t size)
{
    (void)af, (void)src, (void)dst, (void)size;
    return NULL;
}

int lwip_inet_pton(int af, const char *src, void *dst)
{
    (void)af, (void)src, (void)dst;
    return -1;
}

int lwip_getaddrinfo(const char *nodename, const char *servname, const struct addrinfo *hints,
                     struct addrinfo **res)
{
    (void)nodename, (void)servname, (void)hints, (void)res;
    return -1;
}

void lwip_freeaddrinfo(struct addrinfo *ai)
{
    (void)ai;
}
