/* lwIP as a small firmware configures it: sockets with select(), few connections, IPv4.
 * Only its headers are compiled here, so this names no more than what shapes the interface. */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS                   0
#define SYS_LIGHTWEIGHT_PROT     0
#define LWIP_COMPAT_MUTEX        1
#define LWIP_COMPAT_MUTEX_ALLOWED

#define LWIP_IPV4                1
#ifndef LWIP_IPV6
#define LWIP_IPV6                0
#endif

#define MEM_ALIGNMENT            4
#define MEMP_NUM_NETCONN         16
#define MEMP_NUM_TCP_PCB         16
#define MEMP_NUM_TCP_PCB_LISTEN  4
#define TCP_LISTEN_BACKLOG       1

#define LWIP_NETCONN             1
#ifndef LWIP_SOCKET
#define LWIP_SOCKET              1
#endif
#ifndef LWIP_SOCKET_SELECT
#define LWIP_SOCKET_SELECT       1
#endif
#define LWIP_SO_RCVTIMEO         1
#define SO_REUSE                 1
#define LWIP_DNS                 1
#define LWIP_ERRNO_STDINCLUDE    1

#endif
