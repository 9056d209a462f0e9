/* lwipopts.h - lwIP for an HTTP server in 64 KiB of RAM
 *
 * Every number has its reason beside it. The four at the top are the program's; what depends on
 * them is computed. What stands in an #ifndef may be overridden with -D.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#ifndef HTTP_SLOTS
#define HTTP_SLOTS      4       /* config.max_connections: a slot with its buffers and TCP window
                                   takes some 5 KB. A browser opens up to six, and waits */
#endif
#ifndef HTTP_BACKLOG
#define HTTP_BACKLOG    4       /* config.backlog: a browser's connections come in one burst,
                                   and one that finds no place repeats after a second */
#endif
#ifdef UHTTP_TLS
#define HTTP_LISTENERS  2
#else
#define HTTP_LISTENERS  1
#endif
#define HTTP_CLIENTS    (HTTP_LISTENERS * HTTP_BACKLOG + HTTP_SLOTS)

/*--- threads ----------------------------------------------------------------------*/

#define NO_SYS                      0   /* sockets need a thread for TCP/IP */
#ifdef THREADS_COOPERATE
#define SYS_LIGHTWEIGHT_PROT        0   /* nobody is interrupted: nothing to protect */
#define LWIP_TCPIP_CORE_LOCKING     0
#define LWIP_COMPAT_MUTEX           1   /* a semaphore does for a mutex */
#define LWIP_COMPAT_MUTEX_ALLOWED
#else
#define SYS_LIGHTWEIGHT_PROT        1
#define LWIP_TCPIP_CORE_LOCKING     1   /* a call costs a lock, not a change of threads */
#endif
#define TCPIP_THREAD_STACKSIZE      2048    /* 1 KiB suffices; in bytes, also on FreeRTOS */
#define DEFAULT_THREAD_STACKSIZE    2048
#define TCPIP_THREAD_PRIO           3       /* above the server's: packets do not wait */

/*--- sockets ----------------------------------------------------------------------*/

#define LWIP_NETCONN                1
#define LWIP_SOCKET                 1
#define LWIP_SOCKET_SELECT          1   /* what the server waits with */
#define LWIP_SOCKET_POLL            0
#define LWIP_COMPAT_SOCKETS         0   /* no macros named send, read, close */
#define LWIP_POSIX_SOCKETS_IO_NAMES 0
#define SO_REUSE                    1   /* listen at once after a restart */
#define LWIP_ERRNO_STDINCLUDE       1   /* newlib's errno.h */
/* One for each socket: slots, listeners, the one that wakes the server, and those that wait to
 * be accepted. With fewer, lwIP resets newcomers. FD_SETSIZE must not be less. */
#ifndef MEMP_NUM_NETCONN
#define MEMP_NUM_NETCONN            (HTTP_CLIENTS + HTTP_LISTENERS + 1)
#endif
#define TCP_LISTEN_BACKLOG          1   /* else lwIP accepts all that come, until it is out of
                                           netconns, and resets the rest */
#define DEFAULT_ACCEPTMBOX_SIZE     HTTP_BACKLOG    /* not less than the backlog */
/* Pieces received and not yet read. When it is full a segment stays with TCP, so this needs no
 * more than a window in full segments, which is two; the rest is for small ones. */
#define DEFAULT_TCP_RECVMBOX_SIZE   8
#define DEFAULT_UDP_RECVMBOX_SIZE   2   /* wake-ups: one is as good as many */

/*--- TCP --------------------------------------------------------------------------*/

#define TCP_MSS                     1460    /* a full frame of Ethernet */
/* What a sender may send before we have read: two segments keep a 10 Mbit/s line busy. Every
 * further one costs 1.5 KB for each slot (PBUF_POOL_SIZE). */
#ifndef TCP_WND
#define TCP_WND                     (2 * TCP_MSS)
#endif
/* An even number of segments: lwIP calls a socket writable above half of it, and with three,
 * a large answer waits for the client's delayed acknowledgement after each pair. */
#ifndef TCP_SND_BUF
#define TCP_SND_BUF                 (4 * TCP_MSS)
#endif
#define TCP_SND_QUEUELEN            16      /* pbufs in it: four a segment, as answers come as
                                               head and body */
#define LWIP_TCP_RTO_TIME           1000    /* ms until a first packet is repeated (RFC 6298);
                                               lwIP's own default is three seconds */
/* Connections: the clients, and four that are closed and wait for TIME_WAIT to end. If there is
 * none left, lwIP takes the oldest of these. */
#ifndef MEMP_NUM_TCP_PCB
#define MEMP_NUM_TCP_PCB            (HTTP_CLIENTS + 4)
#endif
#define MEMP_NUM_TCP_PCB_LISTEN     HTTP_LISTENERS
#ifndef MEMP_NUM_TCP_SEG
#define MEMP_NUM_TCP_SEG            (HTTP_SLOTS * 6)    /* four on the way each, and FINs */
#endif
#define LWIP_TCP_KEEPALIVE          1       /* config.dead_peer_timeout_ms: else 11 minutes */
#define TCP_QUEUE_OOSEQ             1       /* a lost packet costs one repeat, not a window;
                                               needs room in PBUF_POOL */

/*--- memory -----------------------------------------------------------------------*/

#define MEM_ALIGNMENT               8
/* The heap holds what is sent and not yet acknowledged. All slots at once could ask for
 * HTTP_SLOTS * TCP_SND_BUF = 23 KB; with less, a sender finds it full and the server waits. */
#ifndef MEM_SIZE
#define MEM_SIZE                    10240
#endif
/* The pool holds what is received and not yet read: of each slot a window, of each client in the
 * backlog its request, and four frames just arriving. With fewer, frames are lost and come again
 * after a second. */
#ifndef PBUF_POOL_SIZE
#define PBUF_POOL_SIZE              (HTTP_SLOTS * TCP_WND / TCP_MSS + HTTP_CLIENTS - HTTP_SLOTS + 4)
#endif
#define PBUF_POOL_BUFSIZE           1520    /* a frame of 1514 bytes in one piece */
#define MEMP_NUM_PBUF               8       /* for static data that is sent without a copy */
#define MEMP_NUM_UDP_PCB            (1 + LWIP_DHCP + LWIP_DNS)  /* one is the wake-up's */
#define MEMP_NUM_NETBUF             2       /* wake-ups on their way */
#define TCPIP_MBOX_SIZE             16      /* frames and calls on their way to lwIP's thread */
#define MEMP_NUM_TCPIP_MSG_INPKT    16      /* so many may be frames */
#define MEMP_NUM_TCPIP_MSG_API      4       /* and so many callbacks of the loopback */

/*--- protocols --------------------------------------------------------------------*/

#define LWIP_IPV4                   1
#ifndef LWIP_IPV6
#define LWIP_IPV6                   0       /* 1: nothing else changes here */
#endif
#define LWIP_ARP                    1
#define ARP_QUEUEING                1       /* else all but one of a burst of first answers are */
#define MEMP_NUM_ARP_QUEUE          8       /* lost while the peer's address is asked for */
#define ARP_QUEUE_LEN               8
#define LWIP_ICMP                   1       /* ping */
#define LWIP_UDP                    1
#define LWIP_TCP                    1
#define LWIP_RAW                    0
#define LWIP_DNS                    0
#define LWIP_DHCP                   0       /* the emulated boards have a fixed address */
#define IP_REASSEMBLY               0       /* TCP does not fragment; saves its timer and pool */
#define IP_FRAG                     0
/* uhttp_server_wakeup() sends a datagram to 127.0.0.1. A program that needs no wake-up sets both
 * to 0 and saves a socket. */
#ifndef LWIP_NETIF_LOOPBACK
#define LWIP_NETIF_LOOPBACK         1
#define LWIP_HAVE_LOOPIF            1
#endif
#ifndef LWIP_LOOPBACK_MAX_PBUFS
#define LWIP_LOOPBACK_MAX_PBUFS     4       /* wake-ups nobody has read yet */
#endif

/*--- counters, for GET /api/status ------------------------------------------------*/

#define LWIP_STATS                  1
#define LWIP_STATS_DISPLAY          0
#define LINK_STATS                  0
#define ETHARP_STATS                0
#define IP_STATS                    0
#define ICMP_STATS                  0
#define UDP_STATS                   0
#define TCP_STATS                   0
#define SYS_STATS                   0
#define MEM_STATS                   1
#define MEMP_STATS                  1

#endif
