/* See kernel.h. The names are those of 4.4 and later, with STUB_OLD_NAMES those of 4.0 to 4.3. */
#ifndef ZEPHYR_STUB_SOCKET_H
#define ZEPHYR_STUB_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/fdtable.h>

#ifdef STUB_OLD_NAMES
#define STUB(name)        name
#define AF_INET           1
#define AF_INET6          2
#define IPPROTO_TCP       6
#define IPPROTO_IPV6      41
#define SOL_SOCKET        1
#define SO_REUSEADDR      2
#define SO_REUSEPORT      15
#define TCP_NODELAY       1
#define IPV6_V6ONLY       26
enum { SOCK_STREAM = 1 };
#else
#define STUB(name)        net_##name
#define NET_AF_INET       1
#define NET_AF_INET6      2
#define NET_IPPROTO_TCP   6
#define NET_IPPROTO_IPV6  41
#define ZSOCK_SOL_SOCKET  1
#define ZSOCK_SO_REUSEADDR 2
#define ZSOCK_SO_REUSEPORT 15
#define ZSOCK_TCP_NODELAY 1
#define ZSOCK_IPV6_V6ONLY 26
enum { NET_SOCK_STREAM = 1 };
#endif

#define ZSOCK_POLLIN   1
#define ZSOCK_POLLOUT  4
#define ZSOCK_POLLERR  8
#define ZSOCK_POLLHUP  0x10
#define ZSOCK_POLLNVAL 0x20
#define ZSOCK_SHUT_WR  1

typedef unsigned short STUB(sa_family_t);
typedef size_t STUB(socklen_t);

struct STUB(in_addr) { uint8_t s4_addr[4]; };
struct STUB(in6_addr) { uint8_t s6_addr[16]; };

struct STUB(sockaddr) {
    STUB(sa_family_t) sa_family;
    char data[24];
};

struct STUB(sockaddr_in) {
    STUB(sa_family_t) sin_family;
    uint16_t sin_port;
    struct STUB(in_addr) sin_addr;
};

struct STUB(sockaddr_in6) {
    STUB(sa_family_t) sin6_family;
    uint16_t sin6_port;
    struct STUB(in6_addr) sin6_addr;
    uint8_t sin6_scope_id;
};

struct zsock_pollfd {
    int fd;
    short events, revents;
};

int zsock_socket(int family, int type, int protocol);
int zsock_close(int fd);
int zsock_shutdown(int fd, int how);
int zsock_bind(int fd, const struct STUB(sockaddr) *address, STUB(socklen_t) length);
int zsock_listen(int fd, int backlog);
int zsock_accept(int fd, struct STUB(sockaddr) *address, STUB(socklen_t) *length);
ssize_t zsock_send(int fd, const void *bytes, size_t length, int flags);
ssize_t zsock_recv(int fd, void *bytes, size_t room, int flags);
int zsock_fcntl(int fd, int command, int flags);
int zsock_poll(struct zsock_pollfd *fds, int count, int timeout_ms);
int zsock_setsockopt(int fd, int level, int name, const void *value, STUB(socklen_t) length);
int zsock_getpeername(int fd, struct STUB(sockaddr) *address, STUB(socklen_t) *length);
int zsock_getsockname(int fd, struct STUB(sockaddr) *address, STUB(socklen_t) *length);

#undef STUB

#endif
