/* uhttp_server.h - an HTTP/1.1 server in one C header, driven from your own loop
 *
 * MIT licence, see the end of the file.
 */
#ifndef UHTTP_SERVER_H
#define UHTTP_SERVER_H

/*==============================================================================
 * 00 INTRODUCTION            what it is, how to use it, how long things live
 *==============================================================================
 * Include this header where you need its declarations, and in exactly one file define
 * UHTTP_IMPLEMENTATION first. There are no threads and no callbacks: your program asks for
 * the next request and answers it.
 *
 *     #define UHTTP_IMPLEMENTATION
 *     #include "uhttp_server.h"
 *     #include <stdio.h>
 *     #include <string.h>
 *
 *     int main(void)
 *     {
 *         uhttp_server *server;
 *         uhttp_result result = uhttp_server_open(&server, &(uhttp_config){ .port = 8080 });
 *         if (result != UHTTP_OK) {
 *             fprintf(stderr, "cannot listen: %s\n", uhttp_strerror(result));
 *             return 1;
 *         }
 *         for (;;) {
 *             uhttp_conn *c = uhttp_wait(server, 1000);
 *             if (c == NULL)
 *                 continue;                       // a quiet second: do your own work
 *             if (strcmp(uhttp_path(c), "/") == 0)
 *                 uhttp_respond_html(c, 200, "<h1>hello</h1>");
 *             else
 *                 uhttp_respond_error(c, 404);
 *         }
 *     }
 *
 * THE LOOP  uhttp_wait() never blocks on one client: it serves all of them a little and
 * returns the next connection that has something for the program. You may respond at once or
 * hours later; other requests are served meanwhile. A program that has a loop already (poll,
 * epoll, libuv, GLib) uses uhttp_server_watch() and uhttp_process_events() instead.
 *
 * OWNERSHIP  From the moment uhttp_wait() returns a uhttp_conn until its response is finished,
 * the pointer is yours and stays valid, even if the client disconnects: calls on it then
 * return UHTTP_ERR_CLOSED, and from then on you no longer use it. A response is finished when
 * the call that completes it (uhttp_respond*, uhttp_stream_end, uhttp_close) has returned
 * UHTTP_OK; the server sends what is left. A connection you neither answer nor close keeps its
 * slot for ever. For queues and other threads keep uhttp_id(c): uhttp_find() returns the
 * connection of that request, or NULL, never another request.
 *
 * STRINGS  Every string you are given (path, headers, body) ends with NUL and is stored in the
 * connection's own buffer. It is valid until the response is finished, and still readable
 * until the next uhttp_wait(). Three things are valid only until the next uhttp_wait(): a piece
 * of a streamed body, a WebSocket message, and after uhttp_ws_accept() the strings of its
 * request. Requests with a NUL in their path, query or headers are refused; a body or a message
 * may contain NULs: use its length.
 *
 * THREADS  Make all calls on a server and its connections in one thread, the one that runs the
 * loop. Only uhttp_server_wakeup() may be called from other threads and from signal handlers:
 * put your result into a queue of your own, wake the loop, and respond there
 * (examples/delayed.c). The parsers and JSON functions that take no connection may be used in
 * any thread. Several servers in one program are independent. What the header calls (log,
 * access_log, a transport, functions of files) must not call functions of a server or a
 * connection; the parsers and uhttp_access_format() are allowed. Only file access can block,
 * for as long as the disk takes. The header prints nothing, never exits, has no global state
 * and installs no signal handlers.
 *
 * EVENTS  What uhttp_event(c) returns, and what you may do next. Without config.event_mode you
 * get only those marked *.
 *
 *     REQUEST *     a request; its body, if any, is complete    respond, or accept the body
 *     HEADERS       a request whose body is still to come       respond, or accept the body
 *     DATA          part of a streamed body has arrived         uhttp_read_buffer()
 *     COMPLETE      the accepted body is complete               respond
 *     ERROR         the body failed, or response_timeout_ms     respond, or wait: it is refused
 *                   has passed, see uhttp_error()
 *     WRITABLE      there is room after UHTTP_ERR_AGAIN         continue writing
 *     CLOSED        the client of your request or stream has    forget the connection
 *                   gone; see VANISHED CLIENTS
 *     WS_REQUEST    a WebSocket handshake                       uhttp_ws_accept(), or respond
 *     WS_MESSAGE *  a WebSocket message                         uhttp_ws_message(), send
 *     WS_CHUNK_...  part of a message over the limit            uhttp_ws_message()
 *     WS_PING       a ping, which has been answered             nothing
 *     WS_CLOSE *    the WebSocket has ended, see uhttp_ws_code  forget the connection
 *
 * Answer every REQUEST, HEADERS and WS_REQUEST, if only with uhttp_respond_error(): one that is
 * not answered keeps its slot.
 *
 * STATES  What may be called depends on how far the request is. Any other call returns
 * UHTTP_ERR_STATE and changes nothing; looking at the request is always allowed.
 *
 *     offered       after HEADERS, and in event mode after REQUEST and WS_REQUEST: accept the
 *                   body, respond, begin a stream, close
 *     arriving      after uhttp_accept_body*(): read it, close, or respond early, which ends
 *                   the upload
 *     complete      after REQUEST, WS_REQUEST, COMPLETE, ERROR: respond, begin a stream,
 *                   accept a WebSocket, close
 *     streaming     after uhttp_*_begin(): write, end, close
 *     WebSocket     after uhttp_ws_accept(): send, ping, close
 *     finished      the response is complete: the connection is no longer yours
 *     disconnected  everything returns UHTTP_ERR_CLOSED
 *
 * MEMORY  On the heap the server and its slots are allocated at open. An idle connection has
 * no buffers. They are allocated with its first byte, 2 KiB each, grow as needed, and are
 * given back when it becomes idle. One connection takes at most about
 *
 *     4 x max_headers_length + 2 KiB    the request's head, its decoded strings, requests
 *                                       that came with it
 *     max_content_length                a body collected in memory, or the limit it was
 *                                       accepted with; 64 KiB for a streamed one
 *     max_send_buffer + 4 KiB           the response, or a file_chunk_size of a file
 *     max_ws_message_length + 2 KiB     a WebSocket, instead of the first two
 *
 * and max_connections times that is the most a server takes. In fixed memory (config.memory)
 * nothing is ever allocated elsewhere, mbedTLS's own memory excepted. Each connection has two
 * buffers of equal size:
 *
 *     UHTTP_MEMORY_SIZE(connections, buffer) = base + connections x (slot + 2 x buffer)
 *     for example, 32 bits, 5 connections, 1 KiB:  1400 + 5 x (340 + 2 x 1024) = 13 340 bytes
 *
 * The input buffer holds the head, the decoded copies of its path, query and cookies, and
 * behind them a collected body; the output buffer a copied response with its head (150 to 300
 * bytes). A browser's head takes 500 to 1000 bytes, with cookies up to 2 KiB: 1 KiB suffices
 * for devices that talk to devices, 2 KiB for browsers. What exceeds a buffer is refused with
 * 431 or 413, or fails with UHTTP_ERR_MEMORY. Streams, files, static data and streamed bodies
 * may be any size.
 *
 * MANY CONNECTIONS  select() takes longer with every idle connection. On Linux, macOS and BSD
 * uhttp_wait() therefore switches to epoll or kqueue when it watches 64 sockets, and back, at
 * the earliest, when fewer than 24 are left. It stays with select() if the system refuses (no
 * descriptors, a sandbox) and with config.memory, unless UHTTP_POLLER says otherwise. Open a
 * server after fork(), in the process that serves. A child that inherits an open server leaves
 * it alone until exec() or _exit(): uhttp_server_close() in the child sends bytes the parent
 * will send again, removes the parent's Unix socket and ends its TLS connections.
 *
 * VANISHED CLIENTS  A client that loses power or network cannot close its connection. Within
 * dead_peer_timeout_ms the system notices it for the server: by keep-alive probes while there
 * is nothing to send, otherwise by data that is not acknowledged:
 *
 *     Linux               both, to within 5 s; unacknowledged data not before send_timeout_ms,
 *                         as the system cannot tell it from a client that does not read
 *     macOS, Windows 10   both
 *     BSD                 probes; unacknowledged data by send_timeout_ms
 *     lwIP                probes; without LWIP_TCP_KEEPALIVE 1 the client is given up only 11
 *                         minutes after the first; unacknowledged data: after TCP_MAXRTX
 *                         attempts
 *     Zephyr, ports       whatever the network stack does
 *
 * A client that closes its connection may have closed its sending side only, and still read: a
 * request that you hold goes on, uhttp_is_open() is false, and CLOSED comes when the client
 * resets the connection. Both are noticed at once, except if the client has sent more than fits
 * the buffer while its request is being answered: then Linux, macOS and BSD are asked once a
 * second. Elsewhere a stream discards such bytes, and its connection closes at its end; a
 * response that is held learns at its first write that the client has gone.
 *
 * SWITCHES  Define them before the implementing include; a switch is on when it is
 * defined, whatever its value.
 *
 *     UHTTP_IMPLEMENTATION   compile the server here (in one file)
 *     UHTTP_STATIC           all functions static: a private copy for this one file
 *     UHTTP_TLS              HTTPS through mbedTLS 2.28 or 3.x, to be linked with it
 *     UHTTP_NO_JSON          no JSON reader and writer
 *     UHTTP_NO_MULTIPART     no reader of multipart/form-data
 *     UHTTP_NO_FILES         no files: neither sent nor written
 *     UHTTP_NO_WEBSOCKET     no WebSocket
 *     UHTTP_NO_LOG           no logging and no log texts: config.log and access_log are not
 *                            called
 *     UHTTP_NO_HEAP          fixed memory only: config.memory must be given, no allocator is
 *                            called or linked
 *     UHTTP_MALLOC(size), UHTTP_REALLOC(pointer, size), UHTTP_FREE(pointer)
 *                            the allocator; define all three or none
 *     UHTTP_ASSERT(truth)    checks of the header's own invariants; nothing by default
 *     UHTTP_MILLIS()         a millisecond clock, uint32_t, may wrap, never jumps
 *     UHTTP_TIME()           seconds since 1970; before 2020 there is no Date header
 *     UHTTP_POLLER           what waits for the sockets, from the first uhttp_wait() on:
 *                            UHTTP_POLLER_SELECT, UHTTP_POLLER_EPOLL (Linux) or
 *                            UHTTP_POLLER_KQUEUE (macOS, BSD); see MANY CONNECTIONS
 *     UHTTP_LWIP             sockets of lwIP; automatic with ESP-IDF
 *     UHTTP_PLATFORM_HEADER  "my_port.h": any other network stack, see uhttp_port_listen();
 *                            Zephyr needs no switch and no port
 *     FD_SETSIZE             Windows, before the include: sockets one server can watch
 *
 * Under a strict -std= on Linux the implementing include comes before all system
 * headers, or the file defines _GNU_SOURCE itself (with _POSIX_C_SOURCE on macOS:
 * _DARWIN_C_SOURCE).
 *
 * PORTING  A C99 or C++11 compiler is needed, 8-bit bytes, and pointers of 32 or 64 bits; byte
 * order, alignment and the sign of char do not matter.
 *
 *     Linux, macOS, BSD       nothing to define
 *     Windows                 nothing to define; link with ws2_32
 *     ESP-IDF                 nothing to define; see LWIP
 *     lwIP elsewhere          UHTTP_LWIP, and lwipopts.h as described in LWIP
 *     another network stack   UHTTP_PLATFORM_HEADER: your file implements uhttp_port_listen()
 *                             and the functions described there
 *     no heap                 UHTTP_NO_HEAP and config.memory
 *     no files, or your own   UHTTP_NO_FILES, or config.files
 *     no clock                define UHTTP_MILLIS(); without UHTTP_TIME() no Date is sent
 *     no random source        uhttp_tls_config.entropy; plain HTTP needs none
 *
 * LWIP  Define UHTTP_LWIP (ESP-IDF: automatic) and run the server in a thread of its own or in
 * the main loop of another. examples/firmware/ boots in an emulator with these settings; the
 * reason for every number is in its lwipopts.h.
 *
 *     LWIP_SOCKET, LWIP_SOCKET_SELECT   1: the server waits in lwip_select()
 *     SO_REUSE            1, to listen again immediately after a restart
 *     TCP_LISTEN_BACKLOG  1; otherwise lwIP accepts clients until it has no netconn left, and
 *                         resets the rest
 *     LWIP_NETIF_LOOPBACK, LWIP_HAVE_LOOPIF, LWIP_UDP   1 for uhttp_server_wakeup(), which
 *                         sends itself a datagram
 *     MEMP_NUM_NETCONN    slots + listeners + backlog of each + 1 (wake-up)
 *     MEMP_NUM_TCP_PCB    slots + backlogs + 4 closed connections in TIME_WAIT
 *     PBUF_POOL_SIZE      slots x TCP_WND / TCP_MSS + backlogs + 4; (slots + backlogs) x
 *                         TCP_WND / TCP_MSS + 4 if uploads wait in the backlog. With fewer,
 *                         packets are lost and sent again a second later
 *     TCP_SND_BUF         an even number of segments, four if there is RAM. lwIP reports a
 *                         socket as writable when more than half is free: with three segments,
 *                         responses over 4 KiB ran at 22 a second instead of 1150
 *     MEM_SIZE            for data not yet acknowledged, at most slots x TCP_SND_BUF; with less
 *                         the server waits at times (10 KiB were enough for four slots)
 *     LWIP_TCP_KEEPALIVE  1: see VANISHED CLIENTS
 *     DEFAULT_ACCEPTMBOX_SIZE   not less than config.backlog
 *     LWIP_TCP_RTO_TIME   1000: a lost first packet is repeated after one second, not three
 *     ARP_QUEUEING        1; otherwise only one response to a first burst of clients arrives
 *     config.backlog      4: a browser opens its connections in one burst
 *
 * A connection that the server ends, after an error or its last request, is closed when the
 * client closes it, or two seconds later: half-closed sockets are not safe in lwIP. If several
 * threads call uhttp_server_wakeup(), LWIP_TCPIP_CORE_LOCKING or LWIP_NETCONN_SEM_PER_THREAD
 * must be 1.
 *
 * The server's thread needs 1.2 KiB of stack for the server, 4 KiB with TLS, and what your
 * program needs. The example used 988 bytes in all (TLS: 2672), lwIP's thread 444. An open TLS
 * connection takes 25 KB of mbedTLS's heap (records of 16 KiB in, 4 KiB out), 30 KB during the
 * handshake. Date is sent once the clock is set (SNTP); except with ESP-IDF, define UHTTP_TIME.
 *
 * Files need config.files; with ESP-IDF they are those of its virtual file system (which has
 * been run on Linux only): uhttp_serve_dir(c, "/spiffs", "/") serves what is mounted there. FAT
 * needs long names (CONFIG_FATFS_LFN_HEAP), SPIFFS CONFIG_SPIFFS_USE_MTIME for caching. Neither
 * can replace a file: the old one is removed before the new one gets its name.
 *
 * ZEPHYR  Automatic with Zephyr 4.0 or later (__ZEPHYR__); examples/zephyr/ is a project.
 * Compiled against stub headers, never run. Give the server a thread of its own.
 *
 *     CONFIG_NET_SOCKETS, CONFIG_NET_TCP   y
 *     CONFIG_ZVFS_EVENTFD     y for uhttp_server_wakeup()
 *     CONFIG_ZVFS_POLL_MAX    2 x (slots + listeners)
 *     CONFIG_ZVFS_OPEN_MAX    slots + listeners + 1 (wake-up), and what else is open
 *     CONFIG_NET_MAX_CONTEXTS, CONFIG_NET_MAX_CONN   slots + listeners + backlogs, and others
 *
 * There is a Date header once UHTTP_TIME is defined. Files need config.files, HTTPS mbedTLS
 * (UHTTP_TLS). Zephyr does not half-close sockets: as on lwIP, a connection that the server
 * ends is closed when the client closes it, or two seconds later.
 *
 * CONTENTS   search for the tag; how many lines, about
 *
 *     01 PUBLIC API     types, configuration, functions                   1730
 *     02 CONFIGURATION  switches and sizes                                 230
 *     03 PLATFORM       sockets, clock, poller, wake-up, files            3170
 *     04 MEMORY         block pool, the one buffer type                    130
 *     05 TEXT           pure functions on slices                          3600
 *     06 TRANSPORT      plain TCP, and TLS through mbedTLS                1180
 *     07 CONNECTION     the slot, its state, moving bytes                 1280
 *     08 RESPONSE       head writer, refusals, streams of every kind      1580
 *     09 REQUEST        what a head means; the accessors; the end         1030
 *     10 BODY           length or chunked; collected, streamed, skipped    390
 *     11 FILES          sent and written; conditions, ranges, directories  810
 *     12 WEBSOCKET      handshake, frames in and out                       750
 *     13 MACHINE        the table of states                                110
 *     14 SERVER         open, wait, deadlines, foreign loops, shutdown    1530
 *     15 CHANGES        what changed in which version                       60
 *     16 MIGRATION      from the Python uhttp server, Mongoose, ESP-IDF    160
 *
 * THE LIFE OF A CONNECTION
 *
 *               accept (TLS: IDLE until its first byte)
 *                 v
 *          +-------------+  done (plain: at once)
 *          |  HANDSHAKE  |---------------.           plain HTTP to a TLS port: SEND, 400
 *          +-------------+               v
 *  .---------------------------------> +--------+   FIN in IDLE or HEAD, nothing owed: CLOSED
 *  |  .------------------------------> |  IDLE  |   FIN, bytes still owed: SEND, then close
 *  |  |                                +--------+
 *  |  |                                    | first byte, arrived or already buffered
 *  |  |                                    v
 *  |  |              refused (4xx,5xx) +--------+
 *  |  |        .-----------------------|  HEAD  |
 *  |  |        |                       +--------+
 *  |  |        |    event mode, body    |   |   | no body, or body all here:
 *  |  |        |    still to come:      |   |   | REQUEST
 *  |  |        |    HEADERS             v   |   | / WS_REQUEST
 *  |  |        |                 +-------+  |   |
 *  |  |        |<---- answer ----| OFFER |  |   |
 *  |  |        |                 +-------+  |   |
 *  |  |        |      accept_body*,  |      |   |
 *  |  |        |      100 Continue   v      v   |
 *  |  |        |<-- early answer, +--------+    |
 *  |  |        |    refused       |  BODY  |--. | complete: COMPLETE (or REQUEST)
 *  |  |        |                  +--------+  | |
 *  |  |        |                    DATA ^____| v
 *  |  |        |                             +--------+
 *  |  |        |<--------- respond* ---------| ANSWER |  with the program,
 *  |  |        |                             +--------+  for a microsecond or an hour
 *  |  |        |              *_begin |        | ws_accept
 *  |  |        v                      v        v
 *  |  |    +--------+     *_end  +--------+  +-----------+   we close   +---------+
 *  |  '----|  SEND  |<-----------| STREAM |  | WEBSOCKET |------------->| GOODBYE |
 *  |  keep +--------+            +--------+  +-----------+              +---------+
 *  |        |  |  ^                                | peer closes             |
 *  |   keep,|  |  '--------------------------------+-------------------------'
 *  |        |  | close, all sent
 *  |  unread|  |
 *  |   body v  v
 *  |  +------+ +--------+  FIN, or deadline
 *  '--| SKIP | | LINGER |----------------------> +--------+  program told   +------+
 *     +------+ +--------+   any state, on        | CLOSED |---------------->| FREE |
 *                           transport failure -> +--------+  the id is dead +------+
 */

/* An implementing file needs the system's full set of declarations, and this is the last
 * moment to ask for it. */
#if defined(UHTTP_IMPLEMENTATION) && defined(__linux__) && !defined(_GNU_SOURCE) && \
    !defined(_FEATURES_H) && !defined(UHTTP_LWIP) && !defined(UHTTP_PLATFORM_HEADER) && \
    !defined(ESP_PLATFORM) && !defined(__ZEPHYR__)
#define _GNU_SOURCE 1
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64    /* files beyond 2 GiB, also where a pointer has 32 bits */
#endif
#endif

#if defined(UHTTP_IMPLEMENTATION) && defined(__APPLE__) && !defined(_DARWIN_C_SOURCE) && \
    !defined(_SYS_CDEFS_H_)
#define _DARWIN_C_SOURCE 1      /* or _POSIX_C_SOURCE would hide most of it */
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*==============================================================================
 * 01 PUBLIC API                             everything a program needs to know
 *==============================================================================
 * Functions that can fail return UHTTP_OK or a negative uhttp_result. A call that
 * fails changes nothing, unless its comment says otherwise.
 *
 * Any argument may be NULL. Where a string, a struct, a connection or a server is needed, NULL
 * gives UHTTP_ERR_INVALID: uhttp_respond_text(c, 200, uhttp_query(c, "name")) fails if there is
 * no such parameter, and does not crash. Comparisons with NULL are false, look-ups find
 * nothing. A uhttp_conn * of an open server can always be passed, even long after its request
 * was finished: the call then fails, or concerns the request this connection has now.
 */

#define UHTTP_VERSION_MAJOR  0
#define UHTTP_VERSION_MINOR  1
#define UHTTP_VERSION_PATCH  0
#define UHTTP_VERSION        "0.1.0"
#define UHTTP_VERSION_NUMBER \
    (UHTTP_VERSION_MAJOR * 10000 + UHTTP_VERSION_MINOR * 100 + UHTTP_VERSION_PATCH)

#if defined(UHTTP_STATIC) && !defined(UHTTP_IMPLEMENTATION)
#error "uhttp_server.h: UHTTP_STATIC needs UHTTP_IMPLEMENTATION in each file that includes it"
#define UHTTP_API extern
#elif defined(UHTTP_STATIC) && defined(__GNUC__)
#define UHTTP_API static __attribute__((unused))
#elif defined(UHTTP_STATIC)
#define UHTTP_API static
#else
#define UHTTP_API extern
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__MINGW32__)        /* has the compiler compare a format with its arguments */
#define UHTTP_FORMAT(text, first) __attribute__((__format__(__gnu_printf__, text, first)))
#elif defined(__GNUC__)
#define UHTTP_FORMAT(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define UHTTP_FORMAT(text, first)
#endif

typedef struct uhttp_server uhttp_server;   /* listeners, connections and their memory */
typedef struct uhttp_conn uhttp_conn;       /* one client, and at most one request of it */
typedef struct uhttp_tls_config uhttp_tls_config;   /* these four are described further below */
typedef struct uhttp_transport uhttp_transport;
typedef struct uhttp_files uhttp_files;
typedef struct uhttp_access uhttp_access;

/* A slice of text: len bytes at ptr, not NUL-terminated. ptr NULL: absent. */
typedef struct uhttp_str {
    const char *ptr;
    size_t len;
} uhttp_str;

typedef enum uhttp_result {
    UHTTP_OK              = 0,
    UHTTP_ERR_CLOSED      = -1,     /* the client has disconnected, or was answered for you */
    UHTTP_ERR_STATE       = -2,     /* wrong state for this call; the connection is fine */
    UHTTP_ERR_INVALID     = -3,     /* an argument that cannot be sent or understood */
    UHTTP_ERR_AGAIN       = -4,     /* not yet, or no room now; try again later */
    UHTTP_ERR_MEMORY      = -5,     /* too large, or out of memory */
    UHTTP_ERR_SYSTEM      = -6,     /* a system call on a file or socket failed */
    UHTTP_ERR_IN_USE      = -7,     /* the port is in use */
    UHTTP_ERR_DENIED      = -8,     /* permission denied, as for a port below 1024 */
    UHTTP_ERR_UNSUPPORTED = -9      /* not supported by this build or system */
} uhttp_result;

/* Why uhttp_wait() has returned a connection; the introduction has a table of what may be done
 * then. Outside event mode it is always REQUEST, or one of the two marked * for a WebSocket. */
typedef enum uhttp_event_type {
    UHTTP_EVENT_NONE = 0,
    UHTTP_EVENT_REQUEST,    /* a request without a body, or with a complete one */
    UHTTP_EVENT_HEADERS,    /* its body is still to come: respond, or uhttp_accept_body*() */
    UHTTP_EVENT_DATA,       /* part of a streamed body: uhttp_read_buffer() */
    UHTTP_EVENT_COMPLETE,   /* the accepted body is complete */
    UHTTP_EVENT_ERROR,      /* the body failed: uhttp_error(); respond, or it is refused */
    UHTTP_EVENT_WRITABLE,   /* a stream or WebSocket that had no room has room again */
    UHTTP_EVENT_CLOSED,     /* the client of your request or stream has disconnected */
    UHTTP_EVENT_WS_REQUEST, /* like REQUEST, but for a WebSocket: uhttp_ws_accept() */
    UHTTP_EVENT_WS_MESSAGE, /* * a complete message: uhttp_ws_message() */
    UHTTP_EVENT_WS_CHUNK_FIRST,     /* the first part of one over max_ws_message_length, */
    UHTTP_EVENT_WS_CHUNK_NEXT,      /* a further part, */
    UHTTP_EVENT_WS_CHUNK_LAST,      /* and the last one */
    UHTTP_EVENT_WS_PING,    /* a ping has arrived and has been answered */
    UHTTP_EVENT_WS_CLOSE    /* * the WebSocket has ended: uhttp_ws_code() */
} uhttp_event_type;

/*------------------------------------------------------------------------------
 * Configuration: zero means default. uhttp_server_open() copies the struct; what it points to
 * must outlive the server, except tls, which is needed during the call only (see
 * uhttp_tls_config for what must stay).
 */
#define UHTTP_NEVER     UINT32_MAX      /* for times: no limit */
#define UHTTP_UNLIMITED SIZE_MAX        /* for sizes and counts: no limit */
#define UHTTP_PORT_ANY  (-1)            /* let the system choose; see uhttp_server_port() */
#define UHTTP_PORT_NONE (-100)          /* listen nowhere; see uhttp_server_adopt() */

typedef struct uhttp_config {
    const char *address;        /* numeric; NULL: "0.0.0.0"; "::" listens on IPv4 as well;
                                   "unix:/path": a Unix socket, see uhttp_server_listen() */
    int port;                   /* 1 to 65535, UHTTP_PORT_ANY or UHTTP_PORT_NONE; 0: 80 */
    uint32_t unix_mode;         /* permissions of a "unix:" socket, as 0660; 0: what the umask
                                   leaves of 0777 */
    const intptr_t *listen_fd;  /* adopt this listening socket and ignore address and port; the
                                   server owns it and closes it, but after a failed open it
                                   is still yours; NULL: none */
    int backlog;                /* clients that wait to be accepted; 0: 128, on lwIP 2 */
    bool reuse_port;            /* SO_REUSEPORT: several processes accept on one port */
    bool event_mode;            /* bodies as events, see uhttp_accept_body() */
    bool keep_alive_hint;       /* send "Keep-Alive: timeout=", a second less than the time
                                   kept, unless newcomers wait: pooling clients close first */
    const uhttp_tls_config *tls;    /* of the first listener; NULL: plain HTTP; ignored with
                                       UHTTP_PORT_NONE */

    uint32_t max_connections;           /* slots, up to a million; 0: 64 on the heap (Windows:
                                           60), 5 in fixed memory and on firmware */
    uint32_t keep_alive_timeout_ms;     /* between two requests; 0: 30000 */
    size_t keep_alive_max_requests;     /* on one connection, 1: no keep-alive; 0: 100 */
    uint32_t request_timeout_ms;        /* first byte to end of head, and connect to first
                                           byte; not renewed; 0: 5000 */
    uint32_t body_timeout_ms;           /* while less than 1 KiB of a body arrives; 0: 10000 */
    uint32_t send_timeout_ms;           /* while a client takes less than 1 KiB; 0: 10000 */
    uint32_t response_timeout_ms;       /* a request held longer is answered 503, and calls on
                                           it return UHTTP_ERR_CLOSED; in event mode an _ERROR
                                           with 503 comes instead; 0: never */
    uint32_t dead_peer_timeout_ms;      /* until a client that vanished without closing is
                                           noticed, see VANISHED CLIENTS; 0: 60000 */

    size_t max_headers_length;  /* request line, fields and empty line; else 431; 0: 4 KiB */
    size_t max_content_length;  /* of a body collected in memory; else 413; 0: 512 KiB */
    size_t max_send_buffer;     /* of a copied response, its head included; 0: 64 KiB */
    size_t max_ws_message_length;   /* longer WebSocket messages arrive in parts (event mode) or
                                   are refused with 1009; 0: 64 KiB; in fixed memory at most
                                   the buffer less 132 bytes */
    uint32_t ws_ping_interval_ms;   /* a WebSocket peer silent for so long is pinged, and
                                   disconnected when silent as long again; 0: 30000 */

    size_t file_chunk_size;     /* of a file that is read piece by piece, at most
                                   max_send_buffer; 0: 16 KiB on the heap, 4 KiB in fixed
                                   memory */
    const uhttp_files *files;   /* NULL: the system's */

    const char *default_headers;    /* complete lines, "Name: value\r\n" each, for every
                                       response that has no field of that name (see
                                       uhttp_add_header()); not Date, Content-Encoding, what
                                       only the server may set, nor a field twice that may occur
                                       once; checked at open; NULL: none */
    const char *trusted_proxies;    /* whose X-Forwarded-* fields are trusted: addresses and
                                   CIDR blocks, "127.0.0.1, 10.0.0.0/8, fd00::/8", or "unix"
                                   for peers without an address; read at open, 24 bytes of
                                   memory each; NULL: nobody's */
    void *memory;               /* all the memory the server may use, any alignment; NULL: the
                                   heap, unless UHTTP_NO_HEAP */
    size_t memory_size;         /* see UHTTP_MEMORY_SIZE */

    void (*log)(void *user, const char *line);  /* one line for what was refused and why; may be
                                   called inside any function of the server: it must not change
                                   what you have passed to that one */
    void (*access_log)(void *user, const uhttp_access *entry);
    void *user;                 /* handed to log and access_log */
} uhttp_config;

/* How many bytes config.memory needs for so many connections, each with two buffers: input and
 * output. A request head with the decoded copies of its path, query and cookies, followed by a
 * collected body, must fit one buffer (else 431 or 413), a copied response the other. A buffer
 * has at least 512 bytes. This is a constant expression. */
#define UHTTP_MEMORY_SIZE(connections, buffer)           \
    (UHTTP_MEMORY_BASE + (size_t)(connections) *         \
     (UHTTP_MEMORY_SLOT + 2u * (((size_t)(buffer) + 7u) & ~(size_t)7u)))

#define UHTTP_MEMORY_SLOT (sizeof(void *) > 4 ? 400u : 340u)    /* one connection */
#ifdef _WIN32
#define UHTTP_MEMORY_BASE 3800u                         /* the server; fd_set is large */
#elif defined(__unix__) || defined(__APPLE__)
#define UHTTP_MEMORY_BASE (sizeof(void *) > 4 ? 1920u : 1632u)      /* epoll, kqueue */
#else
#define UHTTP_MEMORY_BASE (sizeof(void *) > 4 ? 1680u : 1400u)  /* the server */
#endif

/* Counters since open, and present values. */
typedef struct uhttp_stats {
    uint64_t accepted;          /* connections */
    uint64_t requests;          /* whose head was valid */
    uint64_t refused;           /* requests the server answered itself, with an error */
    uint64_t bytes_in, bytes_out;
    uint64_t evicted;           /* connections that gave way to a newcomer: idle for a second,
                                   waiting to be closed, or silent for a second */
    uint64_t accept_failures;   /* accept() without descriptors or memory */
    uint32_t connections;       /* now: slots taken, of max_connections */
    bool waiting;               /* now: newcomers wait for a slot, or to be accepted at all */
    uint32_t held;              /* now: requests with the program, WebSockets included */
    uint32_t websockets;        /* now: open WebSockets */
    uint32_t forgotten;         /* now: slots held for a program that has not yet noticed that
                                   the client has gone; if they grow, requests are leaked */
} uhttp_stats;

/* One socket for the program's own loop. */
#define UHTTP_READABLE 1u
#define UHTTP_WRITABLE 2u

typedef struct uhttp_watch {
    intptr_t fd;
    uint16_t wish;          /* UHTTP_READABLE | UHTTP_WRITABLE: what to wait for */
    uint16_t ready;         /* what happened; set by the program (errors: both bits) */
    uint64_t token;         /* identifies this socket; hand it back unchanged */
} uhttp_watch;

/*------------------------------------------------------------------------------
 * Server
 */

/* Opens a server: takes its memory, binds and listens.
 *
 *   server  receives the server; NULL on failure
 *   config  NULL: all defaults
 *
 * Fails with
 *   UHTTP_ERR_INVALID      a field of config is out of range or malformed; no memory is given
 *                          and UHTTP_NO_HEAP is set
 *   UHTTP_ERR_MEMORY       no memory, or config.memory gives less than 512 bytes a buffer
 *   UHTTP_ERR_IN_USE       the port is in use
 *   UHTTP_ERR_DENIED       the system does not permit this port
 *   UHTTP_ERR_UNSUPPORTED  tls without UHTTP_TLS or a transport, IPv6 or reuse_port the
 *                          system lacks
 *   UHTTP_ERR_SYSTEM       anything else the system refused
 * and because of tls (see uhttp_tls_config.error) with
 *   UHTTP_ERR_INVALID      certificate or key is missing or malformed, they do not belong
 *                          together, or the password is wrong
 *   UHTTP_ERR_SYSTEM       a file cannot be read, or there is no entropy
 *   UHTTP_ERR_MEMORY       no memory for them
 */
UHTTP_API uhttp_result uhttp_server_open(uhttp_server **server, const uhttp_config *config);

/* Adds a listener, so that one server can serve IPv4 and IPv6, or HTTP and HTTPS. The arguments
 * are those of uhttp_config. Fails with UHTTP_ERR_MEMORY if there are UHTTP_MAX_LISTENERS
 * already, with UHTTP_ERR_STATE after uhttp_server_shutdown(), and like uhttp_server_open().
 *
 * "unix:/path" creates a Unix socket (POSIX; the path begins with a slash, port means nothing).
 * UHTTP_ERR_INVALID: the path is too long for a socket's address (about 100 bytes), or the
 * system has no Unix sockets. An existing socket of that name is replaced if no process listens
 * on it; otherwise, or if it is not a socket: UHTTP_ERR_IN_USE. It is removed when the listener
 * is closed, unless another server has put its own in that place. */
#define UHTTP_MAX_LISTENERS 4
UHTTP_API uhttp_result uhttp_server_listen(uhttp_server *server, const char *address, int port,
                                           const uhttp_tls_config *tls);

/* Serves an existing connection: accepted by inetd or a supervisor, or one end of a socket
 * pair.
 *
 *   fd   a connected stream socket; on success the server owns and closes it
 *   tls  it speaks TLS, configured like the first secure listener
 *
 * After a failure fd is still the caller's, though it may have become non-blocking:
 *   UHTTP_ERR_AGAIN    no slot is free, or no more sockets can be watched now; try later
 *   UHTTP_ERR_MEMORY   no memory for it, or a descriptor that cannot be watched
 *   UHTTP_ERR_INVALID  not a connected socket; tls without a secure listener
 *   UHTTP_ERR_STATE    after uhttp_server_shutdown() */
UHTTP_API uhttp_result uhttp_server_adopt(uhttp_server *server, intptr_t fd, bool tls);

/* Loads renewed certificates and keys, which every secure listener uses from now on; open
 * connections keep those they began with.
 *
 *   tls  only certificate, more and, for listeners that ask for client certificates, client_ca
 *        are read, and error is written; everything else stays as each listener was opened
 *
 * Listeners with an mbedtls_config or a transport of the program's own are not changed. Fails
 * like uhttp_server_open(), with UHTTP_ERR_STATE if all secure listeners are of that kind or
 * there are none, and with UHTTP_ERR_UNSUPPORTED without UHTTP_TLS. After a failure the old
 * certificates stay in use. */
UHTTP_API uhttp_result uhttp_server_reload_tls(uhttp_server *server,
                                               const uhttp_tls_config *tls);

/* Serves all connections and returns the next one that has something for the program; NULL when
 * timeout_ms has passed without one, on a signal, on uhttp_server_wakeup(), and when a shutdown
 * is complete.
 *
 *   timeout_ms  0: look at the network once and do not wait; negative: wait for ever
 *
 * It also handles the timeouts of connections, which never make it return NULL. */
UHTTP_API uhttp_conn *uhttp_wait(uhttp_server *server, int timeout_ms);

/* For a program with a loop of its own: fills list with the sockets to watch. Call it before
 * each sleep. Returns how many sockets there are; if they are more than capacity, only capacity
 * entries were written. A loop that keeps its registrations (epoll, libuv) compares both fd and
 * token: if both are known, it is the same socket. A new connection may have the fd of one that
 * was closed, but never its token. */
UHTTP_API size_t uhttp_server_watch(uhttp_server *server, uhttp_watch *list, size_t capacity);

/* The same for a loop that keeps its registrations (epoll, libuv, GLib), without listing every
 * socket before each sleep: fills list with what has changed since the last call and returns
 * the number of entries. Those with wish 0 come first: stop watching the socket, for now or for
 * ever. What does not fit is returned by the next call, so call it until it returns 0.
 *
 *     while ((n = uhttp_server_watch_changes(server, list, 64)) > 0)
 *         for (size_t i = 0; i < n; i++)
 *             update(&list[i]);       // wish 0: remove; token unknown: add; else: modify
 *
 * The first call lists every socket. From then on the server does not close the descriptor of
 * a finished connection until you know that it is gone: the descriptor stays valid, and its
 * number is not reused, until the next call of this function or of uhttp_process_events() after
 * the one that returned the entry with wish 0. Do not call uhttp_wait() for this server any
 * more, and stop watching all of its sockets before uhttp_server_close(). */
UHTTP_API size_t uhttp_server_watch_changes(uhttp_server *server, uhttp_watch *list,
                                            size_t capacity);

/* The capacity that is always enough for max_connections; a constant expression. */
#define UHTTP_WATCH_CAPACITY(connections) ((size_t)(connections) + UHTTP_MAX_LISTENERS + 1u)

/* How many milliseconds your own loop may sleep at most; 0: do not sleep, -1: no limit. */
UHTTP_API int uhttp_server_timeout(uhttp_server *server);

/* Tells the server what happened to its sockets (entries with ready 0 are ignored), serves the
 * connections and returns the next one that has something for the program, or NULL. Call it
 * after each sleep, even if only time has passed, and again with (NULL, 0) until it returns
 * NULL. Entries of sockets that are closed already are ignored. */
UHTTP_API uhttp_conn *uhttp_process_events(uhttp_server *server, const uhttp_watch *ready,
                                           size_t count);

/* uhttp_server_watch() and uhttp_process_events() for select(); the sets are fd_set *. The
 * first adds the server's sockets to both sets, and raises *max_fd if needed. It fails, with
 * the sets unchanged, with UHTTP_ERR_MEMORY if a descriptor does not fit an fd_set (FD_SETSIZE
 * is that of the implementing file). The second takes NULL for a set in which nothing happened:
 * call it with (NULL, NULL) until it returns NULL. */
UHTTP_API uhttp_result uhttp_server_fd_sets(uhttp_server *server, void *read_set,
                                            void *write_set, int *max_fd);
UHTTP_API uhttp_conn *uhttp_process_fd_sets(uhttp_server *server, const void *read_set,
                                            const void *write_set);

/* Makes uhttp_wait() return NULL, now or the next time it is called, though connections that
 * have something for you come first; and wakes a loop of your own. The only function that may
 * be called from other threads and signal handlers (but not from an interrupt handler of a
 * microcontroller); it keeps errno. A wake-up that returned UHTTP_OK is never lost, though it
 * may come a second late when lwIP is out of memory; several may lead to one NULL.
 * UHTTP_ERR_AGAIN: the network has no memory for it now (Windows), try again later.
 * UHTTP_ERR_UNSUPPORTED: not possible on this system. */
UHTTP_API uhttp_result uhttp_server_wakeup(uhttp_server *server);

/* Ends the server gracefully, without blocking: closes listeners, and connections kept alive
 * once they have been idle for a second; ends the others with "Connection: close" after the
 * request they are in. A client that has connected, if only to the backlog, but has not sent
 * anything yet has two seconds to do so: its request may be on the way. Returns UHTTP_ERR_AGAIN
 * while anything is left, UHTTP_OK when all is done: call it and uhttp_wait() in turn. The
 * server closes WebSockets with 1001 (going away); end held requests and streams yourself. */
UHTTP_API uhttp_result uhttp_server_shutdown(uhttp_server *server);

/* Closes and frees everything at once, including requests the program still holds; the log
 * names method and path of each that was never answered. NULL is allowed. */
UHTTP_API void uhttp_server_close(uhttp_server *server);

UHTTP_API int uhttp_server_port(const uhttp_server *server);    /* of the first listener */
/* The port of a listener, counted from 0 in the order they were opened; 0: there is no such
 * listener, or it is a Unix socket. */
UHTTP_API int uhttp_listener_port(const uhttp_server *server, size_t index);
UHTTP_API intptr_t uhttp_server_fd(const uhttp_server *server); /* -1 after shutdown */
UHTTP_API bool uhttp_server_is_secure(const uhttp_server *server);  /* the first listener */
UHTTP_API bool uhttp_server_event_mode(const uhttp_server *server);
UHTTP_API void uhttp_server_stats(const uhttp_server *server, uhttp_stats *stats);

UHTTP_API const char *uhttp_strerror(uhttp_result result);
UHTTP_API const char *uhttp_version(void);

/* The server's millisecond clock (see UHTTP_MILLIS). It wraps: compare differences. */
UHTTP_API uint32_t uhttp_millis(void);

/*------------------------------------------------------------------------------
 * Request: what the client asked for. For the lifetime of strings see the introduction.
 */
UHTTP_API const char *uhttp_method(const uhttp_conn *c);    /* "GET", or any other token */
UHTTP_API const char *uhttp_url(const uhttp_conn *c);       /* the raw request target */
UHTTP_API const char *uhttp_protocol(const uhttp_conn *c);  /* "HTTP/1.1", or "HTTP/1.0" */
UHTTP_API bool uhttp_is_get(const uhttp_conn *c);           /* GET, or HEAD, which is answered
                                                               like GET but without a body */

/* The decoded path; "*" for "OPTIONS *". Dot segments and %2F are decoded but not resolved; a
 * plus stays a plus. Never empty as long as the request's strings are there. RFC 9112 section
 * 3.2. */
UHTTP_API const char *uhttp_path(const uhttp_conn *c);

/* The host the client asked for, with its port if there is one: from an absolute target, else
 * from the Host field; NULL if an HTTP/1.0 client sent none. RFC 9112 section 3.3. */
UHTTP_API const char *uhttp_host(const uhttp_conn *c);

/* Writes the full URL (scheme, host, path and query) into buffer, with NUL. Returns the length,
 * or UHTTP_ERR_MEMORY if size is too small. A missing host is replaced by the server's own
 * address, or "localhost" on a Unix socket. X-Forwarded-Proto and X-Forwarded-Host of a
 * trusted proxy take precedence: it must set or remove both, or clients could set them. */
UHTTP_API int uhttp_full_url(const uhttp_conn *c, char *buffer, size_t size);

/* The value of the first header field of that name, whatever its case; NULL: absent. */
UHTTP_API const char *uhttp_header(const uhttp_conn *c, const char *name);
UHTTP_API size_t uhttp_header_count(const uhttp_conn *c);
/* The header field with that index, in the order received; false: there is none. name and value
 * may be NULL. Taking all of them in order is linear. */
UHTTP_API bool uhttp_header_at(const uhttp_conn *c, size_t index, const char **name,
                               const char **value);

/* The decoded value of the first query parameter of that name ("?a=1&b=x+y"); "" when it
 * has none ("?flag"); NULL: absent. A % that begins no escape stands for itself ("?a=100%"). */
UHTTP_API const char *uhttp_query(uhttp_conn *c, const char *name);
UHTTP_API size_t uhttp_query_count(uhttp_conn *c);
/* The parameter of that index, in the order received; false: there is none. name and value may
 * be NULL. Taking all of them in order is linear. */
UHTTP_API bool uhttp_query_at(uhttp_conn *c, size_t index, const char **name,
                              const char **value);

/* The value of the first cookie of that name, not decoded; NULL: absent. Several Cookie fields
 * are read as one. See uhttp_cookie_next(). RFC 6265 section 5.4 */
UHTTP_API const char *uhttp_cookie(uhttp_conn *c, const char *name);
UHTTP_API size_t uhttp_cookie_count(uhttp_conn *c);
UHTTP_API bool uhttp_cookie_at(uhttp_conn *c, size_t index, const char **name,
                               const char **value);

/* Does the decoded path match this pattern? For routing with plain ifs:
 *
 *     if (uhttp_path_match(c, "/api/items/:id", &id, 1))
 *
 *   pattern   a segment ":name" matches any segment that is not empty, a '*' at the end matches
 *             the rest, which may be empty; everything else matches itself
 *   captures  receives the parts of uhttp_path() they matched, in order, as far as capacity
 *             allows; undefined if the path does not match
 *
 * An encoded slash (%2F) separates segments like any other. */
UHTTP_API bool uhttp_path_match(const uhttp_conn *c, const char *pattern, uhttp_str *captures,
                                size_t capacity);

/* Decodes the Basic credentials of the request (RFC 7617 section 2).
 *
 *   buffer, size    where they are stored; three quarters of the Authorization field is always
 *                   enough
 *   user, password  receive strings in buffer
 *
 * Compare the password with uhttp_secure_equals(). Fails with
 *   UHTTP_ERR_INVALID  there are none, or they are malformed or contain control characters
 *   UHTTP_ERR_MEMORY   size is too small
 */
UHTTP_API uhttp_result uhttp_basic_auth(const uhttp_conn *c, char *buffer, size_t size,
                                        const char **user, const char **password);

/* Are two strings equal? The time this takes depends only on their lengths, not on where they
 * differ, so timing does not help an attacker to guess the secret. */
UHTTP_API bool uhttp_secure_equals(const char *given, const char *secret);

/* The whole body, followed by a NUL; length may be NULL. Returns NULL if there is no body, if
 * it is not collected in memory, or if uhttp_wait() has not yet reported it complete. */
UHTTP_API const void *uhttp_body(const uhttp_conn *c, size_t *length);

/* The same as a slice, for the parsers: uhttp_json_find(uhttp_body_str(c), "name"). */
UHTTP_API uhttp_str uhttp_body_str(const uhttp_conn *c);

/* The announced length of the body, 0 without one; -1: chunked, and not yet complete. */
UHTTP_API int64_t uhttp_content_length(const uhttp_conn *c);
UHTTP_API const char *uhttp_content_type(const uhttp_conn *c);      /* NULL: none */

/* Parses a collected application/x-www-form-urlencoded body, once and in place: from then on
 * uhttp_body() returns NULL, and what it has returned before is no longer valid. The functions
 * below do it automatically, and find nothing in a body that is not a form. If it fails, the
 * body is unchanged:
 *   UHTTP_ERR_STATE    the body is not collected in memory, or not yet complete
 *   UHTTP_ERR_INVALID  another content type, %00 or a NUL
 *   UHTTP_ERR_MEMORY   names without '=' need a byte each, and there is no room for it
 *
 * A request without a body is an empty form: UHTTP_OK. */
UHTTP_API uhttp_result uhttp_form_parse(uhttp_conn *c);

/* The decoded value of the first form field of that name; "" when it is empty; NULL: absent. */
UHTTP_API const char *uhttp_form(uhttp_conn *c, const char *name);
UHTTP_API size_t uhttp_form_count(uhttp_conn *c);
UHTTP_API bool uhttp_form_at(uhttp_conn *c, size_t index, const char **name,
                             const char **value);

/* Writes the address of the TCP peer into buffer, with NUL: "192.0.2.1" or "2001:db8::1"
 * (IPv4-mapped addresses as IPv4), and its port into *port unless port is NULL. Returns
 * the length, 0 for a Unix socket, or UHTTP_ERR_MEMORY if size is too small (46 is always
 * enough). */
UHTTP_API int uhttp_socket_address(const uhttp_conn *c, char *buffer, size_t size, int *port);

/* Writes the client's address. Without config.trusted_proxies this is the TCP peer. Otherwise
 * X-Forwarded-For is read from its right end, where the nearest proxy added an address, for as
 * long as the proxy that added it is trusted. Result and errors are those of
 * uhttp_socket_address(), without the port. */
UHTTP_API int uhttp_remote_address(const uhttp_conn *c, char *buffer, size_t size);

/* Writes the addresses from that client to the TCP peer: "192.0.2.1, 10.0.0.7, 10.0.0.1".
 * Returns the length, or UHTTP_ERR_MEMORY if size is too small. */
UHTTP_API int uhttp_remote_addresses(const uhttp_conn *c, char *buffer, size_t size);

UHTTP_API bool uhttp_is_secure(const uhttp_conn *c);    /* arrived over a secure transport */
/* Writes the subject of the verified client certificate ("C=DE, O=Example, CN=alice") into
 * buffer, with NUL. Returns the length, 0 if the client has presented no valid certificate,
 * UHTTP_ERR_MEMORY if size is too small, UHTTP_ERR_CLOSED if the client has disconnected, or
 * UHTTP_ERR_UNSUPPORTED without UHTTP_TLS. */
UHTTP_API int uhttp_client_subject(uhttp_conn *c, char *buffer, size_t size);
UHTTP_API bool uhttp_is_loaded(const uhttp_conn *c);    /* the request's body is complete */
/* False once the client has disconnected or has closed its sending side. A client that closed
 * only its sending side (as "nc -N" does) still gets its response. */
UHTTP_API bool uhttp_is_open(const uhttp_conn *c);
UHTTP_API intptr_t uhttp_fd(const uhttp_conn *c);       /* -1 once the client has gone */

/* Identifies this request; never 0, and never reused while the server exists. */
UHTTP_API uint64_t uhttp_id(const uhttp_conn *c);
/* The request with that id, as long as the program owns it and its client is connected; else
 * NULL. */
UHTTP_API uhttp_conn *uhttp_find(uhttp_server *server, uint64_t id);
/* Iterates over the connections the program owns: returns the one after c, the first one if c
 * is NULL, and NULL at the end. */
UHTTP_API uhttp_conn *uhttp_next(uhttp_server *server, const uhttp_conn *c);

/* A pointer of your own, stored with the request; NULL when a request begins. */
UHTTP_API void uhttp_set_context(uhttp_conn *c, void *context);
UHTTP_API void *uhttp_context(const uhttp_conn *c);
UHTTP_API uhttp_server *uhttp_server_of(const uhttp_conn *c);

/*------------------------------------------------------------------------------
 * Response. All of these can fail with the first of these that applies:
 *
 *   UHTTP_ERR_CLOSED   the client has disconnected; do not use c any more
 *   UHTTP_ERR_STATE    this request has been answered, or a stream has begun
 *   UHTTP_ERR_INVALID  status not 200 to 599, control characters in a header; with 204, 205 or
 *                      304: data, a stream, a formatted or a JSON response
 *   UHTTP_ERR_MEMORY   head and copied body exceed max_send_buffer, or out of memory
 *
 * After a failure nothing has been sent, and except after CLOSED another response may be tried.
 * INVALID, MEMORY and UNSUPPORTED are logged, and STATE of a JSON text that is not complete.
 * If the program then calls uhttp_wait() without having sent another response or accepted the
 * body, the client gets a 500 and the request is finished: c is the server's again. This
 * applies only to the request that the last uhttp_wait() returned; one held longer stays the
 * program's.
 */

/* Sends a whole response and finishes the request.
 *
 *   status        200 to 599; the reason phrase is supplied
 *   content_type  NULL: none
 *   data, length  any bytes; copied before the function returns
 *
 * What the client cannot take at once is sent by later calls of uhttp_wait(). A HEAD request
 * gets the head only. RFC 9110 section 15, RFC 9112 section 6. */
UHTTP_API uhttp_result uhttp_respond(uhttp_conn *c, int status, const char *content_type,
                                     const void *data, size_t length);

/* The same with a string: text/plain and text/html in UTF-8, application/json, which is not
 * checked. NULL: UHTTP_ERR_INVALID. */
UHTTP_API uhttp_result uhttp_respond_text(uhttp_conn *c, int status, const char *text);
UHTTP_API uhttp_result uhttp_respond_html(uhttp_conn *c, int status, const char *html);
UHTTP_API uhttp_result uhttp_respond_json(uhttp_conn *c, int status, const char *json);

/* Formats the body as printf() does, without a buffer of your own.
 *
 *     uhttp_respond_printf(c, 200, "text/plain", "%.1f degrees\n", celsius);
 *
 * In a page, escape what comes from a client with uhttp_html_escape() first. Fails like
 * uhttp_respond(), and with UHTTP_ERR_INVALID if vsnprintf() fails. */
UHTTP_API uhttp_result uhttp_respond_printf(uhttp_conn *c, int status, const char *content_type,
                                            const char *format, ...) UHTTP_FORMAT(4, 5);

/* Like uhttp_respond(), but without a copy, and so of any length: data must stay valid until it
 * has been sent, best for ever. */
UHTTP_API uhttp_result uhttp_respond_static(uhttp_conn *c, int status, const char *content_type,
                                            const void *data, size_t length);

/* Location: url with status 301, 302, 303, 307 or 308 (0: 302). Bytes of url beyond ASCII are
 * percent-encoded; blanks and control characters are UHTTP_ERR_INVALID. */
UHTTP_API uhttp_result uhttp_respond_redirect(uhttp_conn *c, int status, const char *url);

/* 405 with the methods that this path allows: "GET, POST". RFC 9110 section 15.5.6 */
UHTTP_API uhttp_result uhttp_respond_not_allowed(uhttp_conn *c, const char *allow);

/* A status with its standard phrase as plain text: "404 Not Found". */
UHTTP_API uhttp_result uhttp_respond_error(uhttp_conn *c, int status);

/* Adds a header field to the response that follows. UHTTP_ERR_INVALID: a field that only the
 * server may set (Content-Length, Transfer-Encoding, Content-Range, Trailer, TE, Upgrade,
 * Keep-Alive, Connection, of which only "close" is allowed and obeyed), a name that is not a
 * token, control characters in value.
 *
 * An added field replaces the server's own field of that name (Content-Type, Location, ETag,
 * Cache-Control, ...) and the one in config.default_headers; only Set-Cookie, Vary, Link,
 * WWW-Authenticate and Content-Security-Policy are sent in addition to it. Adding a name again
 * adds another line, except for fields that may occur once: a second Content-Type,
 * Content-Disposition, Location, ETag, Last-Modified, Expires, Age, Retry-After, Date, Server,
 * Strict-Transport-Security, X-Frame-Options, X-Content-Type-Options, Referrer-Policy, or
 * Access-Control-Allow-Origin, -Allow-Credentials or -Max-Age replaces the first. Event
 * streams, NDJSON and multipart keep their own Content-Type and discard an added one, even if
 * they fail. */
UHTTP_API uhttp_result uhttp_add_header(uhttp_conn *c, const char *name, const char *value);

typedef enum uhttp_same_site {
    UHTTP_SAME_SITE_LAX = 0,
    UHTTP_SAME_SITE_STRICT,
    UHTTP_SAME_SITE_NONE
} uhttp_same_site;

/* A cookie to set; zero is the safe default. */
typedef struct uhttp_new_cookie {
    const char *name;
    const char *value;          /* NULL: "" */
    const char *path;           /* NULL: "/" */
    const char *domain;         /* NULL: this host only */
    int64_t max_age_s;          /* 0: until the browser closes; negative: deletes the cookie */
    int64_t expires_s;          /* since 1970, for clients without Max-Age; 0: none */
    uhttp_same_site same_site;
    bool secure;                /* Secure even over plain HTTP, for use behind a TLS proxy */
    bool insecure;              /* not Secure even over TLS */
    bool script_readable;       /* without HttpOnly */
} uhttp_new_cookie;

/* Adds a Set-Cookie field to the response that follows: by default with Path=/, HttpOnly,
 * SameSite=Lax, and Secure over TLS. Fails like uhttp_add_header(), and with UHTTP_ERR_INVALID
 * for a value with spaces, quotes, commas, semicolons, backslashes or non-ASCII bytes; name and
 * value of more than 4096 bytes together, or an attribute of more than 1024; a path that does
 * not begin with '/'; SameSite=None or a name that begins with __Secure- or __Host- without
 * Secure; __Host- with a domain or a path other than "/". RFC 6265bis section 4.1 */
UHTTP_API uhttp_result uhttp_set_cookie(uhttp_conn *c, const uhttp_new_cookie *cookie);

/* Begins a body of unknown length: chunked for HTTP/1.1 clients, ended by closing the
 * connection for HTTP/1.0. Fails like uhttp_respond(). Once begun, uhttp_stream_end() or
 * uhttp_close() finishes the request. You may write as rarely as you like. A client that resets
 * the connection is noticed at once. One that only closed its sending side may still be
 * reading: the stream ends when all is sent and you have written nothing for two seconds (a
 * quarter of a second while new clients wait for a slot). An event stream first gets a comment,
 * which a client that has gone answers with a reset. */
UHTTP_API uhttp_result uhttp_stream_begin(uhttp_conn *c, int status, const char *content_type);

/* Appends a piece, all of it or nothing. Small pieces are sent together: at the next
 * uhttp_wait(), or when another stream is written to. For a HEAD request it succeeds and sends
 * nothing. Fails with
 *   UHTTP_ERR_CLOSED   the client has disconnected; do not use c any more
 *   UHTTP_ERR_STATE    no stream has begun
 *   UHTTP_ERR_INVALID  data is NULL, length is not 0
 *   UHTTP_ERR_AGAIN    no room now, the client reads slowly; in event mode one
 *                      UHTTP_EVENT_WRITABLE follows when it would fit
 *   UHTTP_ERR_MEMORY   it can never fit max_send_buffer, or out of memory */
UHTTP_API uhttp_result uhttp_stream_write(uhttp_conn *c, const void *data, size_t length);

/* Ends the body and finishes the request; never fails for want of room. */
UHTTP_API uhttp_result uhttp_stream_end(uhttp_conn *c);

/* Bytes the next uhttp_stream_write() or uhttp_ws_send() could take now; 0 outside a stream or
 * WebSocket. */
UHTTP_API size_t uhttp_send_room(const uhttp_conn *c);

/*--- Three kinds of streams. Their functions fail like uhttp_stream_write(), and with
 * UHTTP_ERR_INVALID where they say so. To broadcast, iterate over the streams with
 * uhttp_next(); where you get UHTTP_ERR_AGAIN, skip this piece, or drop that client with
 * uhttp_close().
 */

/* Begins a stream of Server-Sent Events: 200, text/event-stream, with Cache-Control: no-store
 * and X-Accel-Buffering: no (for nginx as a proxy). uhttp_sse_send() also works after
 * uhttp_stream_begin() with a head of your own. A client that reconnects sends the last id it
 * has seen in its Last-Event-ID field. WHATWG HTML section 9.2. */
UHTTP_API uhttp_result uhttp_sse_begin(uhttp_conn *c);

typedef struct uhttp_sse_event {
    const char *event;          /* its type, one line; NULL: "message" */
    const char *id;             /* one line, "" forgets the last one; NULL: as before */
    const char *data;           /* UTF-8, any number of lines; NULL: only id or retry_ms */
    size_t data_length;         /* 0: up to its NUL */
    uint32_t retry_ms;          /* the client's pause before it connects again; 0: as it was */
} uhttp_sse_event;

/* Sends one event. Lines of data may end with CR, LF or CR LF; the client gets LF. A last empty
 * line counts. UHTTP_ERR_INVALID: CR or LF in event or id, an event without data (clients
 * would ignore it), nothing at all. Clients replace bytes that are not UTF-8. */
UHTTP_API uhttp_result uhttp_sse_send(uhttp_conn *c, const uhttp_sse_event *event);

/* Sends a comment, which clients ignore: one every 15 seconds or so keeps proxies from closing
 * an idle connection. NULL: an empty one. */
UHTTP_API uhttp_result uhttp_sse_comment(uhttp_conn *c, const char *text);

/* Like uhttp_stream_end(). A browser then reconnects: respond with 204 to stop that. */
UHTTP_API uhttp_result uhttp_sse_end(uhttp_conn *c);

/* Begins a stream of JSON values, one per line: 200, application/x-ndjson, with Cache-Control:
 * no-store. */
UHTTP_API uhttp_result uhttp_ndjson_begin(uhttp_conn *c);

/* Sends one value and a line end. UHTTP_ERR_INVALID: an empty text, or a CR or LF in it (in
 * JSON strings they are escaped); nothing else is checked. uhttp_json_begin_row() builds a
 * value without a buffer of your own. */
UHTTP_API uhttp_result uhttp_ndjson_send(uhttp_conn *c, const char *json);
UHTTP_API uhttp_result uhttp_ndjson_end(uhttp_conn *c);     /* like uhttp_stream_end() */

/* Begins a stream whose frames replace each other, like the pictures of a camera (MJPEG): 200,
 * multipart/x-mixed-replace with a boundary the server chooses, and Cache-Control: no-store. */
UHTTP_API uhttp_result uhttp_multipart_begin(uhttp_conn *c);

/* Sends a frame with its length, its type (NULL: none) and the fields added with
 * uhttp_add_header() since the last one. These belong to this call even if it fails: add them
 * again to try again. If adding one fails (UHTTP_ERR_AGAIN: no room now), all are discarded.
 * Some browsers show a frame only when the next one begins, or the stream ends.
 * UHTTP_ERR_MEMORY: the frame with its fields exceeds max_send_buffer; it is skipped and logged
 * once, and the stream goes on: cameras need a larger max_send_buffer than the default.
 * UHTTP_ERR_INVALID: control characters in content_type, the boundary in data. UHTTP_ERR_STATE:
 * uhttp_multipart_begin() was not called. RFC 2046 section 5.1. */
UHTTP_API uhttp_result uhttp_multipart_frame(uhttp_conn *c, const char *content_type,
                                             const void *data, size_t length);
UHTTP_API uhttp_result uhttp_multipart_end(uhttp_conn *c);  /* like uhttp_stream_end() */

/* Abandons the request without a response, or in the middle of a stream: the connection is
 * closed, so that the client sees that the body is incomplete. Responses to pipelined requests
 * before it that the client has not taken yet may be lost, too. UHTTP_ERR_STATE: already
 * finished. */
UHTTP_API uhttp_result uhttp_close(uhttp_conn *c);

/*------------------------------------------------------------------------------
 * Event mode (config.event_mode): bodies larger than memory.
 *
 * Whether a small body arrives together with its head depends on the network: be prepared for
 * _REQUEST and for _HEADERS. A program that always wants the body calls the same
 * uhttp_accept_body*() after either one: a body that has arrived already, or an absent one,
 * which counts as empty, is then delivered like any other. Every request you hear of ends
 * exactly once: by your response, _ERROR, _CLOSED, or a call that returns UHTTP_ERR_CLOSED;
 * after the last three no event follows.
 */

/* Why uhttp_wait() has returned this connection, until it is called again; then _NONE. */
UHTTP_API uhttp_event_type uhttp_event(const uhttp_conn *c);

/* After UHTTP_EVENT_HEADERS, _REQUEST or _WS_REQUEST: accepts the body into memory; one
 * _COMPLETE follows, then uhttp_body(). Sends "100 Continue" if the client waits for it.
 *
 *   limit  bytes, announced or counted, beyond which _ERROR with 413 comes;
 *          0: max_content_length
 *
 * UHTTP_ERR_STATE: at another moment, a second time, after uhttp_form_parse() (which all
 * functions for forms call), or outside event mode. */
UHTTP_API uhttp_result uhttp_accept_body(uhttp_conn *c, uint64_t limit);

/* Accepts the body piece by piece: _DATA whenever some has arrived, then one _COMPLETE. If the
 * program does not read, the sender has to wait; memory stays bounded. limit 0: none. */
UHTTP_API uhttp_result uhttp_accept_body_streaming(uhttp_conn *c, uint64_t limit);

/* Returns what has arrived of a streamed body, without a copy; NULL: nothing. Valid until
 * the next uhttp_wait(). May also be called right after accepting and after _COMPLETE, but no
 * longer once a response has begun. */
UHTTP_API const void *uhttp_read_buffer(uhttp_conn *c, size_t *length);

UHTTP_API uint64_t uhttp_bytes_received(const uhttp_conn *c);   /* of this body, decoded */

/* After UHTTP_EVENT_ERROR: the status that fits what failed, and a text (text may be NULL);
 * else 0. */
UHTTP_API int uhttp_error(const uhttp_conn *c, const char **text);

/* Accepts the body into a file: it is written as it arrives, to a temporary file in the same
 * directory (its name begins with ".upload-"), which is renamed to path when the body is
 * complete; then one _COMPLETE follows. If anything happens before (the client disconnects, a
 * response, uhttp_close()), the temporary file is removed.
 *
 *   path   in an existing directory; a file of this name is replaced. Needed only during the
 *          call: the server keeps a copy, made absolute, in the connection's buffer
 *   limit  as above; 0: none
 *
 * _ERROR follows if the file cannot be created or written (507 if the disk is full, else 500),
 * or if the body fails, as above. If only the new name could not be made to last, the new file
 * has replaced the old one all the same. The call itself fails like the other two, and with
 *   UHTTP_ERR_MEMORY       no room for the name in the buffer
 *   UHTTP_ERR_UNSUPPORTED  there are no files: see config.files and UHTTP_NO_FILES */
UHTTP_API uhttp_result uhttp_accept_body_to_file(uhttp_conn *c, const char *path,
                                                 uint64_t limit);

/*------------------------------------------------------------------------------
 * WebSocket (RFC 6455). uhttp_ws_accept() turns a request that asks for it into a WebSocket.
 * From then on uhttp_wait() returns its messages like requests, with and without event mode:
 *
 *     switch (uhttp_event(c)) {
 *     case UHTTP_EVENT_WS_MESSAGE:
 *         uhttp_ws_send(c, UHTTP_WS_TEXT, uhttp_ws_message(c, &length), length);
 *         break;
 *     case UHTTP_EVENT_WS_CLOSE:              // always the last event of a WebSocket
 *         forget(uhttp_context(c));
 *         break;
 *     default:                                // a request, if not in event mode
 *         if (uhttp_is_websocket_request(c))
 *             uhttp_ws_accept(c, NULL);
 *         else
 *             uhttp_respond_html(c, 200, page);
 *     }
 *
 * c, uhttp_id(c) and uhttp_context(c) stay the same until the WebSocket ends. The strings of
 * its request are valid only until the next uhttp_wait(), and behind a proxy the client's
 * address is known only until then: copy what you need later. Masking, fragments, UTF-8, pongs
 * and the close handshake are handled automatically. A client that has sent nothing for
 * ws_ping_interval_ms is pinged, and disconnected if it sends nothing for as long again, unless
 * it was taking a large message; one that reads too slowly is disconnected after
 * send_timeout_ms.
 *
 * Every WebSocket ends with exactly one UHTTP_EVENT_WS_CLOSE, whichever side closes it and even
 * if a call has returned UHTTP_ERR_CLOSED; from the next uhttp_wait() on, c is the server's
 * again. Only uhttp_close() drops the connection at once, without an event. To broadcast,
 * iterate over the connections with uhttp_next().
 */

/* Is this request a WebSocket handshake: GET, HTTP/1.1, no body, "Connection: Upgrade" and
 * "Upgrade: websocket"? Always false with UHTTP_NO_WEBSOCKET. */
UHTTP_API bool uhttp_is_websocket_request(const uhttp_conn *c);

typedef struct uhttp_ws_options {
    const char *origins;    /* sites whose pages may connect, as "https://example.org,
                               https://www.example.org", besides this server's own pages; "*":
                               all; NULL: only this server's own */
    const char *protocols;  /* subprotocols the program speaks, as "chat.v2, chat.v1"; the first
                               one in the client's list is chosen; NULL: none */
    uhttp_str *protocol;    /* receives the chosen one, a slice of protocols; ptr NULL: none */
} uhttp_ws_options;

/* Accepts the handshake: the request becomes a WebSocket. Check path, cookies or authentication
 * before; to refuse the request, respond to it like to any other. Fields added with
 * uhttp_add_header() or uhttp_set_cookie() are sent with the 101 response.
 *
 *   options  NULL: all defaults
 *
 * If there is an Origin field (all browsers send it), it must have the scheme, host and port
 * that the request was sent to (a proxy in config.trusted_proxies may say which) or be listed
 * in origins: otherwise pages of other sites could connect with the user's cookies.
 *
 * Returns UHTTP_OK, or one of these, after the server has answered the request:
 *   UHTTP_ERR_DENIED   another site's page: 403 was sent
 *   UHTTP_ERR_INVALID  426 was sent: not a handshake, or not version 13; 400: a malformed key
 * or, with nothing sent:
 *   UHTTP_ERR_CLOSED, UHTTP_ERR_STATE, UHTTP_ERR_MEMORY   as for a response
 *   UHTTP_ERR_UNSUPPORTED   built with UHTTP_NO_WEBSOCKET
 * RFC 6455 section 4.2. */
UHTTP_API uhttp_result uhttp_ws_accept(uhttp_conn *c, const uhttp_ws_options *options);

/* The data of a WebSocket event: the message or its part; the payload of a ping; for _WS_CLOSE
 * the client's reason, or why the server closed ("" if there is none). A NUL follows the data;
 * a message may also contain NULs. Valid until the next uhttp_wait(). length may be NULL.
 * Returns NULL if this is not one of these events. */
UHTTP_API const char *uhttp_ws_message(const uhttp_conn *c, size_t *length);

/* Is the message text (valid UTF-8) rather than binary? A long text may be split into parts in
 * the middle of a character. */
UHTTP_API bool uhttp_ws_is_text(const uhttp_conn *c);

/* The status code of UHTTP_EVENT_WS_CLOSE: the client's, 1005 if it sent none; 1006 if the
 * connection broke or timed out; if the server had to close it: 1002 (protocol error), 1007
 * (invalid UTF-8), 1009 (too long) or 1011 (out of memory). Else 0. RFC 6455 section 7 */
UHTTP_API int uhttp_ws_code(const uhttp_conn *c);

/* Is c a WebSocket that messages can be sent to: accepted, and not being closed? */
UHTTP_API bool uhttp_ws_is_open(const uhttp_conn *c);

typedef enum uhttp_ws_type {
    UHTTP_WS_TEXT = 1,      /* UTF-8, which is checked */
    UHTTP_WS_BINARY = 2
} uhttp_ws_type;

/* Sends one message, all of it or nothing. Messages sent without a uhttp_wait() in between
 * leave together. The functions below fail in the same way:
 *
 *   UHTTP_ERR_CLOSED   the client has disconnected or is closing; _WS_CLOSE follows
 *   UHTTP_ERR_STATE    not a WebSocket, or you have closed it; between uhttp_ws_begin() and
 *                      uhttp_ws_end(), another message; outside them, a piece or an end
 *   UHTTP_ERR_INVALID  a text that is not UTF-8; type, NULL or length out of range
 *   UHTTP_ERR_AGAIN    no room now, the client reads slowly: skip the message, or send it again
 *                      later (in event mode one UHTTP_EVENT_WRITABLE follows; see also
 *                      uhttp_send_room())
 *   UHTTP_ERR_MEMORY   larger than max_send_buffer (in fixed memory, less 16 bytes), or out of
 *                      memory
 *   UHTTP_ERR_UNSUPPORTED   built with UHTTP_NO_WEBSOCKET */
UHTTP_API uhttp_result uhttp_ws_send(uhttp_conn *c, uhttp_ws_type type, const void *data,
                                     size_t length);

/* Sends a text message formatted as with printf(). */
UHTTP_API uhttp_result uhttp_ws_printf(uhttp_conn *c, const char *format, ...)
    UHTTP_FORMAT(2, 3);

/* Sends one message of any length in pieces: begin, pieces, end. The client receives it as one
 * message; it needs no more memory than its largest piece. Each piece is sent whole or not at
 * all; a text may be cut in the middle of a character. Until the end no other message can be
 * sent. uhttp_ws_begin() reserves room for the end, which never fails for lack of room.
 * UHTTP_ERR_INVALID: the text ends in the middle of a character; send the rest of it, or close
 * the WebSocket. */
UHTTP_API uhttp_result uhttp_ws_begin(uhttp_conn *c, uhttp_ws_type type);
UHTTP_API uhttp_result uhttp_ws_piece(uhttp_conn *c, const void *data, size_t length);
UHTTP_API uhttp_result uhttp_ws_end(uhttp_conn *c);

/* Sends a ping with up to 125 bytes, also between the pieces of a message. The pong is not
 * reported. */
UHTTP_API uhttp_result uhttp_ws_ping(uhttp_conn *c, const void *data, size_t length);

/* Closes the WebSocket: sends a close frame after everything sent before, and waits up to two
 * seconds for the client's. Messages that still arrive are dropped; _WS_CLOSE follows.
 *
 *   code    1000: normal, 1001: going away, 1008: policy, 1011: internal error; any of 1000 to
 *           1003 and 1007 to 1014; 3000 to 4999: the program's own; 0: neither code nor reason
 *   reason  UTF-8, up to 123 bytes; NULL or "": none. Omitted if there is no room for it
 *
 * Never fails for want of room. */
UHTTP_API uhttp_result uhttp_ws_close(uhttp_conn *c, int code, const char *reason);

/*------------------------------------------------------------------------------
 * Files. They are sent piece by piece, as fast as the client reads, however large they are; on
 * Linux, macOS and FreeBSD with sendfile(), except over TLS and from config.files.
 * Conditional requests (If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since,
 * If-Range) are supported for GET and HEAD, a single range (Range) for GET; a request for
 * several ranges gets the whole file. RFC 9110 sections 13 and 14. Only the disk itself can
 * block here.
 *
 * These functions respond whatever they find, and then return UHTTP_OK: 200, 206, 304, 412 or
 * 416; 404 if there is no such file, 403 if the system does not permit reading it, 503 without
 * descriptors or memory, and 406 if there is only a .gz and the client refuses gzip. They fail
 * like other responses, and with UHTTP_ERR_UNSUPPORTED without files (see config.files). If the
 * program has added an ETag or Last-Modified field, conditions are evaluated with it; an added
 * Content-Encoding is UHTTP_ERR_INVALID.
 *
 * If a file becomes shorter while it is sent, or cannot be read, the connection is closed; if
 * it grows, only the announced length is sent.
 */
typedef struct uhttp_file_options {
    const char *content_type;   /* NULL: by the name's extension */
    const char *cache_control;  /* Cache-Control of 200, 206 and 304; NULL: none */
    bool no_gzip;               /* do not look for a .gz next to the file */
    bool hidden;                /* of a directory: also serve names that begin with a dot */
    bool list;                  /* the program answers for directories without index.html: see
                                   uhttp_serve_dir_with() */
} uhttp_file_options;

/* Sends a file and finishes the request.
 *
 *   path     any file the program may read; links are followed
 *   options  NULL: all as by default
 *
 * If there is a file of that name with .gz appended, it is sent to clients that accept gzip,
 * with Content-Encoding: gzip, its own entity tag, and ranges of its own bytes. The server
 * assumes that it has the same content. If there is only the .gz, clients that send no
 * Accept-Encoding get it too (RFC 9110 section 12.5.3). */
UHTTP_API uhttp_result uhttp_respond_file(uhttp_conn *c, const char *path,
                                          const uhttp_file_options *options);

/* Serves a directory tree: responds with the file that the path of the request names.
 *
 *   root    the directory; "." is the current one
 *   prefix  the part of uhttp_path() before the file's name: "/" or "/static/"
 *
 * A path that ends with a slash means the index.html there; a directory named without the slash
 * is redirected (301). Methods other than GET and HEAD get 405. On every system a path gets 404
 * if one of its segments is empty, "." or "..", begins with a dot (unless hidden), ends with a
 * dot or a space, is not UTF-8, contains a control character, backslash or colon, is a device
 * name of Windows, or looks like a short name of FAT or NTFS ("LONGNA~1"). Symbolic links below
 * root are followed only where the system guarantees that they stay below it (Linux since 5.6;
 * Windows), elsewhere not at all. */
UHTTP_API uhttp_result uhttp_serve_dir(uhttp_conn *c, const char *root, const char *prefix);

/* The same with options. With options->list, UHTTP_ERR_UNSUPPORTED is returned and nothing is
 * sent for a directory without index.html: respond yourself. The directory is root, a slash,
 * and uhttp_path() without prefix; it is safe to use, and below root. */
UHTTP_API uhttp_result uhttp_serve_dir_with(uhttp_conn *c, const char *root, const char *prefix,
                                            const uhttp_file_options *options);

/* A file in ROM. The table may also contain its .gz, or the .gz alone. */
typedef struct uhttp_rom_file {
    const char *path;       /* without a leading slash: "index.html", "img/logo.png" */
    const void *data;
    size_t size;
    const char *etag;       /* of the content: see uhttp_file_info; NULL: none */
    const char *type;       /* NULL: by the extension */
    int64_t modified;       /* seconds since 1970; 0: unknown */
} uhttp_rom_file;

/* Like uhttp_serve_dir() for a table of files, which are sent without a copy. The table and
 * everything it points to must stay valid for ever. Needs no config.files, but fails with
 * UHTTP_ERR_UNSUPPORTED if UHTTP_NO_FILES is defined. */
UHTTP_API uhttp_result uhttp_serve_rom(uhttp_conn *c, const uhttp_rom_file *files, size_t count,
                                       const char *prefix);

/*------------------------------------------------------------------------------
 * JSON (RFC 8259): written piece by piece, read in place; no allocation, no recursion. With
 * UHTTP_NO_JSON writers report UHTTP_ERR_UNSUPPORTED and nothing is found.
 */

/* How deep arrays and objects may be nested, written or read. */
#define UHTTP_JSON_MAX_DEPTH 64

/* A JSON text being written. Its fields are private to the writer.
 *
 * The writer adds commas and colons, escapes strings, keeps track of open arrays and objects,
 * and remembers the first error: every later call returns that error and writes nothing, so a
 * program can write a whole text and check uhttp_json_error() once, at the end. A call writes
 * all of its piece or nothing. It returns
 *   UHTTP_OK           written
 *   UHTTP_ERR_AGAIN    only when writing to a client: no room now. Nothing is written or
 *                      remembered: make the same call again later
 *   UHTTP_ERR_MEMORY   the buffer is full, or the piece can never fit
 *   UHTTP_ERR_INVALID  not UTF-8, not a finite number, not JSON (uhttp_json_raw)
 *   UHTTP_ERR_STATE    a member without a key, a key elsewhere, an end without its begin, a
 *                      second top-level value, nested deeper than UHTTP_JSON_MAX_DEPTH
 *   UHTTP_ERR_CLOSED   the client has disconnected
 */
typedef struct uhttp_json_writer {
    char        *buffer;    /* NULL: the text goes through room() */
    size_t       size;
    size_t       length;
    uhttp_result (*room)(void *user, size_t length, char **where);
    void        *user;
    uint64_t     kinds;     /* of what is open, innermost in the lowest bit: 1 for an object */
    uint8_t      depth;     /* how many are open */
    bool         empty;     /* the innermost, or the whole text, is still empty */
    bool         named;     /* a key is written, its value is not */
    bool         whole;     /* AGAIN is remembered too: it is a row, an event or a message */
    uhttp_result error;     /* the first one */
} uhttp_json_writer;

/* Begins a JSON text in a buffer of the program's.
 *
 *   buffer, size  always NUL-terminated, so the text may have size - 1 bytes
 *
 * If a piece does not fit (UHTTP_ERR_MEMORY), the buffer contains everything before it.
 */
UHTTP_API void uhttp_json_begin(uhttp_json_writer *w, char *buffer, size_t size);

/* Opens or closes an object or an array. In an object, write a key before each value. */
UHTTP_API uhttp_result uhttp_json_object_begin(uhttp_json_writer *w);
UHTTP_API uhttp_result uhttp_json_object_end(uhttp_json_writer *w);
UHTTP_API uhttp_result uhttp_json_array_begin(uhttp_json_writer *w);
UHTTP_API uhttp_result uhttp_json_array_end(uhttp_json_writer *w);

/* Writes the name of the next member, escaped like a string. Duplicate names are not
 * detected. */
UHTTP_API uhttp_result uhttp_json_key(uhttp_json_writer *w, const char *name);
UHTTP_API uhttp_result uhttp_json_key_n(uhttp_json_writer *w, const char *name, size_t length);

/* Writes a string.
 *
 *   text    UTF-8; with a length it may contain NULs; NULL writes null
 *   length  in bytes
 *
 * The quote, the backslash and control characters are escaped, and nothing else. Text that is
 * not UTF-8 is UHTTP_ERR_INVALID.
 */
UHTTP_API uhttp_result uhttp_json_string(uhttp_json_writer *w, const char *text);
UHTTP_API uhttp_result uhttp_json_string_n(uhttp_json_writer *w, const char *text,
                                           size_t length);

/* Writes an integer. JavaScript rounds integers beyond 2^53: send those as strings. */
UHTTP_API uhttp_result uhttp_json_int(uhttp_json_writer *w, int64_t value);
UHTTP_API uhttp_result uhttp_json_uint(uhttp_json_writer *w, uint64_t value);

/* Writes a number with the fewest digits that read back as the same double: 0.1, 1, -0, 1e-9.
 * NaN and infinity are UHTTP_ERR_INVALID: JSON cannot express them. */
UHTTP_API uhttp_result uhttp_json_double(uhttp_json_writer *w, double value);

/* Writes true or false. */
UHTTP_API uhttp_result uhttp_json_bool(uhttp_json_writer *w, bool value);

/* Writes null. */
UHTTP_API uhttp_result uhttp_json_null(uhttp_json_writer *w);

/* Writes a value that is JSON already, unchanged. It is checked first: anything but one valid
 * value is UHTTP_ERR_INVALID. Its levels are not counted with those that are open. */
UHTTP_API uhttp_result uhttp_json_raw(uhttp_json_writer *w, const char *text, size_t length);

/* Returns the result when the whole text has been written: UHTTP_OK if it is one complete
 * value, the first error if there was one, UHTTP_ERR_STATE if something is still open or
 * missing. */
UHTTP_API uhttp_result uhttp_json_error(const uhttp_json_writer *w);

/* Returns how many bytes have been written, the NUL not counted. */
UHTTP_API size_t uhttp_json_length(const uhttp_json_writer *w);

typedef enum uhttp_json_type {
    UHTTP_JSON_NONE,        /* there is no such value, or the text is broken before its end */
    UHTTP_JSON_NULL,
    UHTTP_JSON_BOOL,
    UHTTP_JSON_NUMBER,
    UHTTP_JSON_STRING,
    UHTTP_JSON_ARRAY,
    UHTTP_JSON_OBJECT
} uhttp_json_type;

/* A value is a part of the text it was found in, so it is valid as long as that text, and can
 * be searched in turn: uhttp_json_find(value.text, "name"). It is always well formed. */
typedef struct uhttp_json_value {
    uhttp_str       text;   /* with its quotes, brackets or braces; empty for UHTTP_JSON_NONE */
    uhttp_json_type type;
} uhttp_json_value;

/* Tells whether a text is one JSON value in valid UTF-8, with only white space around it.
 *
 *   text            any bytes
 *   error_position  on failure, the offset of the first wrong byte (the backslash of a bad
 *                   escape, the first byte of a bad character); text.len if the text ends too
 *                   early, unless it ends within one of these. NULL: not needed
 *
 * Also refused are half a surrogate pair (\ud800), a byte order mark, and more than
 * UHTTP_JSON_MAX_DEPTH levels: RFC 8259 section 9 leaves such limits to readers.
 */
UHTTP_API bool uhttp_json_valid(uhttp_str text, size_t *error_position);

/* Finds a value by its path.
 *
 *   text  a JSON text, or the text of a value
 *   path  names of members and indexes of elements: "user.tags[2]", "[0].id"; "" is the whole.
 *         A backslash makes '.', '[' and itself part of a name: "hosts.www\\.example" in C is
 *         the member "www.example" of the member "hosts". A dot may lead the path, and must
 *         where the first name is empty: "." is the member "".
 *
 * Names in the text are compared after unescaping; of duplicate names the first is found.
 * Returns the value; its type is UHTTP_JSON_NONE if there is none. The text is checked up to
 * the end of the value and no further; uhttp_json_valid() checks all of it.
 */
UHTTP_API uhttp_json_value uhttp_json_find(uhttp_str text, const char *path);

/* An iteration over the members of an object or the elements of an array. */
typedef struct uhttp_json_iter {
    uhttp_json_value key;       /* of a member: a string; in an array UHTTP_JSON_NONE */
    uhttp_json_value value;
    const char *next, *end;     /* private, like the rest */
    char close;                 /* what ends it: ']' or '}'; NUL at the end */
    bool first;                 /* no comma is due yet */
} uhttp_json_iter;

/* Starts an iteration. A value that is neither an array nor an object has no elements.
 *
 *     uhttp_json_iter it = uhttp_json_iterate(uhttp_json_find(text, "items"));
 *     while (uhttp_json_next(&it))
 *         use(it.value);
 */
UHTTP_API uhttp_json_iter uhttp_json_iterate(uhttp_json_value container);

/* Goes to the next member or element; false: there is none. Each byte is read once. */
UHTTP_API bool uhttp_json_next(uhttp_json_iter *it);

/* Reads a number as an integer.
 *
 * Returns UHTTP_OK, or UHTTP_ERR_INVALID with *number unchanged (it may hold a default): not a
 * number, out of the type's range, or written with a fraction or an exponent, even 1.0.
 */
UHTTP_API uhttp_result uhttp_json_to_int32(uhttp_json_value value, int32_t *number);
UHTTP_API uhttp_result uhttp_json_to_uint32(uhttp_json_value value, uint32_t *number);
UHTTP_API uhttp_result uhttp_json_to_int64(uhttp_json_value value, int64_t *number);
UHTTP_API uhttp_result uhttp_json_to_uint64(uhttp_json_value value, uint64_t *number);

/* Reads a number as the nearest double, ties to even, in every locale and rounding mode.
 *
 * Returns UHTTP_OK, or UHTTP_ERR_INVALID with *number unchanged: not a number, or larger than
 * any double (1e400). A number too small for a double becomes zero.
 */
UHTTP_API uhttp_result uhttp_json_to_double(uhttp_json_value value, double *number);

/* Reads true or false; anything else is UHTTP_ERR_INVALID, with *flag unchanged. */
UHTTP_API uhttp_result uhttp_json_to_bool(uhttp_json_value value, bool *flag);

/* Decodes a string to a C string.
 *
 *   buffer, size  room for the text and a NUL; value.text.len - 1 is always enough
 *
 * Returns UHTTP_OK, or a failure with the buffer unchanged:
 *   UHTTP_ERR_INVALID  not a string, or one with a NUL inside (\u0000)
 *   UHTTP_ERR_MEMORY   the buffer is too small
 */
UHTTP_API uhttp_result uhttp_json_to_string(uhttp_json_value value, char *buffer, size_t size);

/* Decodes a string that may contain NULs; *length receives its length, without the terminating
 * NUL. Otherwise like uhttp_json_to_string(). */
UHTTP_API uhttp_result uhttp_json_to_bytes(uhttp_json_value value, char *buffer, size_t size,
                                           size_t *length);

/* Tells whether the value is this string, after unescaping: uhttp_json_equals(it.key, "id"). */
UHTTP_API bool uhttp_json_equals(uhttp_json_value value, const char *text);

/* Begins a text that becomes the response to c's request, written directly into its output
 * buffer: head and text together may have max_send_buffer bytes. uhttp_json_respond() sends it;
 * any other response discards it. */
UHTTP_API void uhttp_json_begin_response(uhttp_json_writer *w, uhttp_conn *c);

/* Sends the finished text as application/json. If the writer has an error, it is returned and
 * the text discarded, and you may send another response. Otherwise like uhttp_respond(). */
UHTTP_API uhttp_result uhttp_json_respond(uhttp_json_writer *w, int status);

/* Begins a text of any length in the stream c has begun (see uhttp_stream_begin). A call that
 * returns UHTTP_ERR_AGAIN wrote nothing: repeat it later. End with uhttp_stream_end(). */
UHTTP_API void uhttp_json_begin_stream(uhttp_json_writer *w, uhttp_conn *c);

/* Begins one line of the NDJSON stream c has begun, written directly into its output buffer.
 * uhttp_json_send_row() sends it as a whole: here UHTTP_ERR_AGAIN is remembered like any error.
 * Any other write to c discards it. */
UHTTP_API void uhttp_json_begin_row(uhttp_json_writer *w, uhttp_conn *c);

/* Sends the finished line, or returns the writer's error and discards it. After UHTTP_ERR_AGAIN
 * write the whole line again when there is room. UHTTP_ERR_STATE: already sent or discarded, or
 * as uhttp_json_error(). */
UHTTP_API uhttp_result uhttp_json_send_row(uhttp_json_writer *w);

/* Begins the data of one Server-Sent Event in the stream c has begun, written directly into its
 * output buffer; uhttp_json_send_event() sends it as a whole. Like uhttp_json_begin_row().
 *
 *     uhttp_json_begin_event(&w, c, NULL);
 *     uhttp_json_object_begin(&w);
 *     ...
 *     result = uhttp_json_send_event(&w);
 *
 *   event  its type, id and retry_ms; data is NULL. NULL: an event of nothing but data
 *
 * UHTTP_ERR_INVALID: event has data, or its type or id CR or LF. */
UHTTP_API void uhttp_json_begin_event(uhttp_json_writer *w, uhttp_conn *c,
                                      const uhttp_sse_event *event);

/* Sends the finished event, like uhttp_json_send_row(). */
UHTTP_API uhttp_result uhttp_json_send_event(uhttp_json_writer *w);

/* Begins a JSON text that becomes one message of the WebSocket c, written directly into its
 * output buffer. uhttp_json_send_message() sends it as a whole: here UHTTP_ERR_AGAIN is
 * remembered like any error. Any other message or ping to c discards it. */
UHTTP_API void uhttp_json_begin_message(uhttp_json_writer *w, uhttp_conn *c);

/* Sends the finished text, or returns the writer's error and discards it. After UHTTP_ERR_AGAIN
 * write the whole message again when there is room. UHTTP_ERR_STATE: already sent or discarded,
 * or as uhttp_json_error(). */
UHTTP_API uhttp_result uhttp_json_send_message(uhttp_json_writer *w);

/*------------------------------------------------------------------------------
 * multipart/form-data (RFC 7578): what a browser sends for a form with files. It is parsed as
 * it arrives, so a form may be larger than memory, or from a body in memory. You feed bytes and
 * take events; data are not copied, nothing is allocated. With UHTTP_NO_MULTIPART
 * uhttp_formdata_begin() fails.
 *
 *     result = uhttp_formdata_begin(&form, uhttp_content_type(c), buffer, sizeof buffer);
 *     ...
 *     uhttp_formdata_feed(&form, data, length);
 *     while ((event = uhttp_formdata_next(&form)) != UHTTP_FORMDATA_MORE)
 *         ...                             // _PART, _DATA ..., _PART_END, _PART ..., _END
 */
typedef enum uhttp_formdata_event {
    UHTTP_FORMDATA_MORE = 0,    /* everything fed has been used: feed the next bytes */
    UHTTP_FORMDATA_PART,        /* a part begins: name, filename, content_type, headers */
    UHTTP_FORMDATA_DATA,        /* a piece of its data: data */
    UHTTP_FORMDATA_PART_END,    /* the part is complete */
    UHTTP_FORMDATA_END,         /* the form is complete; what follows is ignored */
    UHTTP_FORMDATA_ERROR        /* malformed: uhttp_formdata_error(); the rest is ignored */
} uhttp_formdata_event;

typedef struct uhttp_formdata {
    /* From _PART until _PART_END; the strings end with NUL. */
    const char *name;           /* of the form's field; "" is possible */
    const char *filename;       /* as the client sent it, see uhttp_safe_filename(); NULL: not a
                                   file; "": no file was chosen */
    const char *content_type;   /* NULL: none */
    uhttp_str headers;          /* all header lines, for uhttp_header_next() */

    uhttp_str data;             /* from _DATA until the next call */

    uint32_t max_parts;         /* more parts are an error; 1000 unless you change it after
                                   uhttp_formdata_begin() */

    /* Private. */
    const char *why;
    char *buffer;
    size_t size, used;          /* of buffer */
    uhttp_str in;               /* fed and not yet used */
    uhttp_result error;
    uint32_t parts;
    uint8_t state;
    uint8_t length;             /* of delimiter */
    uint8_t matched;            /* bytes of it that stand at the end of what was used */
    uint8_t assumed;            /* of these, bytes that are no data in any case */
    bool open;                  /* inside a part */
    char delimiter[74];         /* CR LF - - boundary */
} uhttp_formdata;

/* Begins to parse a form.
 *
 *   content_type  of the request, with its boundary; NULL is allowed and fails
 *   buffer, size  for the header lines of one part, and its name, filename and content type as
 *                 strings: 1 KiB is enough except for very long names. Must stay valid until
 *                 the form has been parsed
 *
 * Returns UHTTP_OK, UHTTP_ERR_INVALID (not multipart/form-data, or its boundary is missing or
 * malformed, RFC 2046 section 5.1.1) or UHTTP_ERR_UNSUPPORTED; after a failure there are no
 * events. */
UHTTP_API uhttp_result uhttp_formdata_begin(uhttp_formdata *form, const char *content_type,
                                            char *buffer, size_t size);

/* Feeds the next bytes of the form, cut anywhere. They are not copied and must stay valid until
 * uhttp_formdata_next() has returned _MORE. UHTTP_ERR_STATE: it has not yet done so. */
UHTTP_API uhttp_result uhttp_formdata_feed(uhttp_formdata *form, const void *data,
                                           size_t length);

/* Takes the next event. Each part gives _PART, any number of _DATA, and _PART_END; _END and
 * _ERROR come once. The events, and the data joined, do not depend on how the input was cut. */
UHTTP_API uhttp_formdata_event uhttp_formdata_next(uhttp_formdata *form);

/* Returns the result when all of the body has been fed; text may be NULL.
 *   UHTTP_OK           the form is complete
 *   UHTTP_ERR_AGAIN    it is not: its last delimiter is missing
 *   UHTTP_ERR_INVALID  it is malformed; text says how
 *   UHTTP_ERR_MEMORY   headers too long for the buffer, or more than max_parts
 * Lines must end with CR LF. A part is skipped if its headers are malformed, if it has no
 * "Content-Disposition: form-data" with a name, or a Content-Transfer-Encoding that changes the
 * data. In a quoted name or filename a backslash escapes only a quote and a backslash, and
 * nothing where the name ends with one (filename="report\"). Browsers send %22, %0D and %0A for
 * a quote and line ends, which are left as they are. A filename* that is not UTF-8, or contains
 * control characters, is replaced by filename, or by "" if there is none. */
UHTTP_API uhttp_result uhttp_formdata_error(const uhttp_formdata *form, const char **text);

/*------------------------------------------------------------------------------
 * The access log
 */

/* What config.access_log receives when a response has been sent or has failed. The strings are
 * valid only during the call. */
struct uhttp_access {
    const char *address;        /* of the client, see uhttp_remote_address(); "": none */
    const char *method;         /* "" when the request could not be read */
    const char *url;
    int version_minor;          /* 1 for HTTP/1.1 */
    int status;
    uint64_t bytes;             /* of body handed to the network */
    uint32_t duration_ms;       /* from the head's last byte to the response's last */
    int64_t time_s;             /* of the response's end, since 1970; 0 without a clock */
};

/* Writes an entry of the access log in the Common Log Format, with NUL and without a line end:
 *
 *     192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] "GET /index.html HTTP/1.1" 200 1043
 *
 * Quotes, backslashes, control characters and bytes beyond ASCII become \xHH. Returns the
 * length, UHTTP_ERR_MEMORY when size is too small. */
UHTTP_API int uhttp_access_format(const uhttp_access *entry, char *buffer, size_t size);

/*------------------------------------------------------------------------------
 * HTTPS
 */

/* A certificate chain (the server's own certificate first, then the intermediate ones, as in
 * Let's Encrypt's fullchain.pem) and its private key, each from a file or from memory, PEM or
 * DER. */
typedef struct uhttp_tls_certificate {
    const char *chain_file;     /* NULL: it is in memory */
    const char *key_file;
    const void *chain;          /* length 0: a PEM text that ends with NUL */
    size_t chain_length;
    const void *key;
    size_t key_length;
    const char *key_password;   /* of an encrypted key; NULL: none */
} uhttp_tls_certificate;

typedef enum uhttp_client_certificate {
    UHTTP_CLIENT_IGNORED = 0,   /* clients are not asked for a certificate */
    UHTTP_CLIENT_OPTIONAL,      /* clients without a valid one have no uhttp_client_subject() */
    UHTTP_CLIENT_REQUIRED       /* clients without a valid one get no connection */
} uhttp_client_certificate;

/* A secure listener. Needs UHTTP_TLS, unless the program brings a transport of its own. It
 * speaks TLS 1.2, and 1.3 if mbedTLS is built with it, with cipher suites that have forward
 * secrecy and authenticated encryption. Sessions are resumed with tickets and a cache, except
 * where clients are asked for certificates, which are verified each time. TLS takes its memory
 * from mbedTLS's own allocator (mbedtls_platform_set_calloc_free), even with config.memory. */
struct uhttp_tls_config {
    uhttp_tls_certificate certificate;
    const uhttp_tls_certificate *more;  /* for other host names (SNI), those in the */
    size_t more_count;                  /* subjectAltName of each, also wildcards */

    uhttp_client_certificate client_certificate;
    const char *client_ca_file; /* who must have issued clients' certificates; PEM or DER */
    const void *client_ca;      /* the same in memory; length 0: PEM that ends with NUL */
    size_t client_ca_length;

    bool larger_curves;         /* P-384 and P-521 too; default: X25519, then P-256 */
    bool no_alpn;               /* do not select "http/1.1" when the client offers protocols */
    uint32_t handshake_timeout_ms;      /* 0: 10000 */
    uint32_t max_handshakes;    /* at a time; further clients wait to be accepted; 0: half of
                                   max_connections */

    /* Fills to with length random bytes; false: it cannot. Used in addition to the system's
     * source if there is one. NULL: only the system's. mbedTLS 4 has a hook of its own. */
    bool (*entropy)(void *user, void *to, size_t length);
    void *entropy_user;

    char *error;                /* receives which certificate or key is wrong, and mbedTLS's */
    size_t error_size;          /* reason; config.log gets the same text */

    void *mbedtls_config;       /* a complete mbedtls_ssl_config * that outlives the server; of
                                   the fields above only the two limits are used then */
    const uhttp_transport *transport;   /* your own transport instead of mbedTLS, and */
    void *transport_user;       /* what its open() receives; both outlive the server */
};

/*------------------------------------------------------------------------------
 * Transport: how bytes are sent and received. The header contains plain TCP and, with
 * UHTTP_TLS, mbedTLS; you can plug in another TLS library through uhttp_tls_config
 * (examples/openssl.c). The functions work on a non-blocking socket and must never block. recv,
 * send and handshake return a count (handshake: 0 when done) or one of the values below; a
 * count larger than what was asked for is treated as UHTTP_FAILED. After UHTTP_FAILED only
 * close(t, false) follows. None may be NULL.
 */
#define UHTTP_WANT_READ  (-1)   /* nothing was done; call again when the socket is readable */
#define UHTTP_WANT_WRITE (-2)   /* the same, when it is writable */
#define UHTTP_FAILED     (-3)   /* the connection is lost */
#define UHTTP_FULL       (-5)   /* recv and send: no memory now; called again in 100 ms */
#define UHTTP_PLAIN      (-4)   /* handshake only: the peer speaks plain HTTP. It gets a 400;
                                   recv and send transfer plain bytes from now on */

struct uhttp_transport {
    void *(*open)(void *user, intptr_t fd);      /* state for one peer; NULL: no memory */
    int (*handshake)(void *t);                   /* 0: done */
    int (*recv)(void *t, void *to, size_t room); /* 0: the peer will send no more */
    /* Sends the parts one after the other, or as much of them as it can. After UHTTP_WANT_WRITE
     * it gets the same bytes again, possibly followed by more, or at another address. */
    int (*send)(void *t, const uhttp_str *parts, int count);
    size_t (*pending)(void *t);                  /* bytes recv can give without the network */
    /* true: nothing more will be sent: tells the peer so (close_notify) without waiting, and
     * shuts down the write side of the socket; called at most once, and not if a response is
     * cut short. false: frees t; the server closes fd. */
    void (*close)(void *t, bool only_write_side);
};

/* An IP address and a port. */
typedef struct uhttp_address {
    uint8_t address[16];    /* in network byte order; IPv4 uses the first four */
    uint16_t port;
    uint8_t family;         /* 4 or 6; 0: none, as of a Unix socket */
} uhttp_address;

/*------------------------------------------------------------------------------
 * Other network stacks: FreeRTOS-Plus-TCP, NetX, a modem, a simulation. Define
 * UHTTP_PLATFORM_HEADER as the name of a file of yours ("my_port.h", quotes included). The
 * implementing file includes it and, besides the C library, uses only the functions below. Your
 * file declares or defines them, static or not, and defines UHTTP_PORT_VERSION as 1: the
 * version described here. Other files that implement them include uhttp_server.h for the types.
 * A socket is any intptr_t except -1: a descriptor, an index, a pointer.
 *
 *     uhttp_result uhttp_port_listen(intptr_t *listener, const uhttp_address *at,
 *                                    const uhttp_config *config);
 *         Binds and listens. Port 0: the stack chooses one. An address of zeros: all addresses;
 *         with family 6, IPv4 too if possible. Of config use what the stack supports: backlog,
 *         reuse_port, dead_peer_timeout_ms. UHTTP_ERR_IN_USE: the port is taken; _DENIED: not
 *         permitted; _UNSUPPORTED: no such family; _MEMORY; _SYSTEM: anything else.
 *     int uhttp_port_accept(intptr_t listener, intptr_t *socket, uhttp_address *peer);
 *         0: a new connection. UHTTP_WANT_READ: no client is waiting. UHTTP_FULL: no socket or
 *         memory for it now, try again later. UHTTP_FAILED: the client has disconnected.
 *     int uhttp_port_recv(intptr_t socket, void *to, size_t room);
 *         The number of bytes read. 0: the client will send no more. UHTTP_WANT_READ: nothing
 *         has arrived. UHTTP_FULL: no memory now. UHTTP_FAILED: the connection is lost.
 *     int uhttp_port_send(intptr_t socket, const uhttp_str *parts, int count);
 *         Sends one or two parts in order. The number of bytes taken: at least one, perhaps not
 *         all. UHTTP_WANT_WRITE: no room now. UHTTP_FULL and UHTTP_FAILED: as above.
 *     void uhttp_port_shut(intptr_t socket);
 *         Ends sending: FIN after everything that was sent. Receiving goes on.
 *     void uhttp_port_abort(intptr_t socket);
 *         Makes the close that follows a reset, so that an incomplete response is noticed.
 *     void uhttp_port_close(intptr_t socket);
 *         Closes a connection (FIN after everything that was sent) or a listener and frees the
 *         socket, whatever its state.
 *     bool uhttp_port_address(intptr_t socket, bool of_peer, uhttp_address *address);
 *         The address of the client (of_peer), or of this end or the listener; false: none.
 *     int uhttp_port_wait(uhttp_port_watch *list, uint32_t count, int timeout_ms);
 *         Waits until something happens to a socket of the list, for at most timeout_ms (0: do
 *         not wait, negative: no limit). Sets ready, in every entry whose wish is not 0, to the
 *         bits of wish that are true now (level-triggered); entries with wish 0 are skipped.
 *         Readable: a listener with a client waiting; a connection with data, at its end, or
 *         lost. Writable: a connection that takes more data, or is lost. Returns how many
 *         entries are ready; negative: interrupted.
 *     bool uhttp_port_wake_open(intptr_t *wake);
 *     bool uhttp_port_wake_send(intptr_t wake);
 *     void uhttp_port_wake_drain(intptr_t wake);
 *     void uhttp_port_wake_close(intptr_t wake);
 *         For uhttp_server_wakeup(): an object that uhttp_port_wait() reports as readable from
 *         send until drain. send returns false if the wake-up is lost, open if there is none.
 *     uint32_t uhttp_port_millis(void);
 *         A millisecond clock that may wrap and never jumps (UHTTP_MILLIS replaces it).
 *     int64_t uhttp_port_time(void);
 *         Seconds since 1970; 0: there is no clock (UHTTP_TIME replaces it).
 *
 * Only uhttp_port_wait() may block. All are called in the thread of the server's loop, except
 * uhttp_port_wake_send(), which is called wherever uhttp_server_wakeup() is. After UHTTP_FULL
 * the server leaves that socket alone for 100 ms, even if it is ready. Define
 * UHTTP_PORT_SOCKETS if uhttp_port_wait() can only watch so many sockets, listeners and wake-up
 * included: further clients wait, or take the place of an idle one. A socket that the program
 * passes in (listen_fd, uhttp_server_adopt()) is one of the port's own. There are no default
 * files (use config.files) and no Unix sockets; uhttp_server_fd_sets() is not supported.
 */
typedef struct uhttp_port_watch {
    intptr_t socket;
    uint8_t wish;       /* UHTTP_READABLE | UHTTP_WRITABLE; 0: skip it */
    uint8_t ready;      /* the same bits */
} uhttp_port_watch;

/*------------------------------------------------------------------------------
 * File functions (config.files): for LittleFS, FatFS or any other storage. Without them the
 * files are the system's (POSIX, Windows, ESP-IDF). They are called from within the server's
 * functions, must not call it back, and all clients wait until they return. open, read and
 * close are required; what they return is checked.
 */
typedef struct uhttp_file_info {
    uint64_t size;
    int64_t modified;       /* seconds since 1970; 0: unknown */
    uint32_t modified_ns;   /* and nanoseconds, if known */
    bool is_dir;
    const void *data;       /* the whole file in ROM or flash, valid for ever: it is sent from
                               here, and neither read nor closed; NULL: it must be read */
    const char *etag;       /* without quotes, up to 63 characters, valid while the file is
                               open; NULL: made from size and time, none without a time */
    const char *type;       /* media type, valid for ever; NULL: by the extension */
} uhttp_file_info;

struct uhttp_files {
    void *user;             /* passed to the functions */

    /* Opens a file for reading and fills in *info, which is zeroed before.
     *   path  NUL-terminated, with '/' as the separator
     *   root  NULL: path comes from the program. Otherwise path begins with root and a slash,
     *         and the rest comes from a client: it is checked (no "..", no empty segment, no
     *         name like "LONGNA~1"), but you must not follow a link in it out of root. "" is a
     *         valid root
     * A directory may be opened too; it is closed again. UHTTP_ERR_SYSTEM: there is no such
     * file, so its .gz is sent if there is one, else 404. UHTTP_ERR_DENIED becomes 403,
     * UHTTP_ERR_MEMORY (no memory or descriptors) 503, any other failure 404. */
    uhttp_result (*open)(void *user, const char *path, const char *root, void **file,
                         uhttp_file_info *info);
    /* Reads up to length bytes at an offset and returns how many; 0: failure, or the end. */
    size_t (*read)(void *user, void *file, uint64_t offset, void *to, size_t length);
    void (*close)(void *user, void *file);

    /* The next three are for uhttp_accept_body_to_file(); all NULL: it is unsupported. */
    /* Creates a new file; UHTTP_ERR_IN_USE: it exists already, another name is tried. */
    uhttp_result (*create)(void *user, const char *path, void **file);
    /* Appends all of data; UHTTP_ERR_MEMORY: the storage is full. */
    uhttp_result (*write)(void *user, void *file, const void *data, size_t length);
    /* Closes the file created with the path written. path NULL: removes it. Else renames it
     * to path, replacing a file of that name, so that it survives a power loss; after a failure
     * nothing is left of it, unless it has been renamed already. */
    uhttp_result (*finish)(void *user, void *file, const char *written, const char *path);
};

/*------------------------------------------------------------------------------
 * Parsers that can be used without a server: no I/O, no allocation, never past the end of a
 * text.
 */

/* Decodes %XX from in to out, which has room for in.len bytes and may be the same memory. With
 * plus_is_blank it decodes a query or form: + is a space, and a % that does not begin an escape
 * is left as it is, as browsers do. UHTTP_ERR_INVALID: %00, or without plus_is_blank a
 * malformed escape; the contents of out are undefined then. RFC 3986 section 2.1. */
UHTTP_API uhttp_result uhttp_percent_decode(uhttp_str in, bool plus_is_blank, char *out,
                                            size_t *length);

/* Encodes text as part of a URL (a segment of a path, a name or a value of a query): everything
 * but letters, digits and "-._~" becomes %XX. Returns the length, UHTTP_ERR_MEMORY if size is
 * too small (three times the length of text plus one is always enough), or UHTTP_ERR_INVALID
 * for NULL; after a failure buffer contains "". RFC 3986 section 2. */
UHTTP_API int uhttp_percent_encode(const char *text, char *buffer, size_t size);

/* Escapes text as part of an HTML page, between tags or in a quoted attribute: the characters
 * & < > " ' become entities. Otherwise like uhttp_percent_encode(), with six times the length.
 * Escape everything that comes from a client before it becomes part of a page. */
UHTTP_API int uhttp_html_escape(const char *text, char *buffer, size_t size);

/* Is the slice this text? False if either is absent. */
UHTTP_API bool uhttp_str_equals(uhttp_str s, const char *text);

/* Copies a slice to a string. Returns its length, UHTTP_ERR_MEMORY if size is too small, or
 * UHTTP_ERR_INVALID if the slice is absent or contains a NUL; buffer contains "" then. */
UHTTP_API int uhttp_str_copy(uhttp_str s, char *buffer, size_t size);

typedef struct uhttp_url_parts {
    uhttp_str scheme, host, port, path, query, fragment;    /* ptr NULL: absent */
} uhttp_url_parts;

/* Splits an absolute URL or "/path?query". Nothing is decoded; user information is refused.
 * UHTTP_ERR_INVALID: malformed (a % that does not begin an escape is allowed in the query
 * only). RFC 3986 section 3. */
UHTTP_API uhttp_result uhttp_url_split(uhttp_str url, uhttp_url_parts *parts);

/* Takes the next raw "name=value" off the front of *query; value.ptr is NULL without '='. Empty
 * pairs ("a&&b") are skipped. False: no more. This tells "?flag" from "?flag=", which are both
 * "" for uhttp_query():
 *
 *     uhttp_url_split(url, &parts);               // of uhttp_url(c), as a slice
 *     while (uhttp_query_next(&parts.query, &name, &value)) {
 *         if (uhttp_str_equals(name, "flag"))
 *             bare = value.ptr == NULL;           // "?flag"; for "?flag=" value is empty
 *     }
 */
UHTTP_API bool uhttp_query_next(uhttp_str *query, uhttp_str *name, uhttp_str *value);

/* Takes the next "name=value" off the value of a Cookie field, both without surrounding white
 * space; what has no '=' is skipped. False: no more. RFC 6265 section 4.2.1 */
UHTTP_API bool uhttp_cookie_next(uhttp_str *cookies, uhttp_str *name, uhttp_str *value);

/* Takes the next "Name: value\r\n" off *fields, the value without surrounding white space.
 * False: no more, or, if fields->len is not 0, a malformed line. RFC 9112 section 5. */
UHTTP_API bool uhttp_header_next(uhttp_str *fields, uhttp_str *name, uhttp_str *value);

/* Takes the next element off a comma-separated list; empty ones are skipped. A comma in a
 * quoted string separates, too. False: no more. RFC 9110 section 5.6.1. */
UHTTP_API bool uhttp_list_next(uhttp_str *list, uhttp_str *element);

/* Takes the next piece off a field value with parameters, as `text/html; charset="utf-8"`:
 * first "text/html", whose value.ptr is NULL, then "charset" and its value, a token or a quoted
 * string with its quotes. False: no more, or, if params->len is not 0, malformed.
 * RFC 9110 section 5.6.6. */
UHTTP_API bool uhttp_param_next(uhttp_str *params, uhttp_str *name, uhttp_str *value);

/* Removes quotes and backslashes from a quoted string, and copies a token as it is. out has
 * room for value.len bytes and may be the same memory. UHTTP_ERR_INVALID: it is neither, and
 * nothing was written. RFC 9110 section 5.6.4. */
UHTTP_API uhttp_result uhttp_unquote(uhttp_str value, char *out, size_t *length);

/* Turns a client's file name into one that is safe in a directory of yours, on every system:
 * what follows the last slash or backslash, as valid UTF-8, with '_' instead of control
 * characters, characters that change the direction of writing, and each of " * : < > ? |; it
 * has no leading or trailing dots and spaces, is not a device name of Windows nor a short name
 * of FAT ("A~1" becomes "A_1"), and is never empty ("_").
 *
 *   filename      NULL is allowed
 *   buffer, size  for the name and its NUL; a longer name is cut between two characters. At
 *                 least 2 bytes; most file systems take up to 256
 *
 * Returns the length. Two clients may send the same name. */
UHTTP_API size_t uhttp_safe_filename(const char *filename, char *buffer, size_t size);

/* A parsed request head; the slices are parts of the text. */
typedef struct uhttp_head {
    uhttp_str method, target;
    uhttp_str path;             /* raw; "/" when an absolute target has none */
    uhttp_str query;            /* raw, behind the '?'; ptr NULL: none */
    uhttp_str host;             /* of the absolute target, else of Host; ptr NULL: none */
    uhttp_str fields;           /* all field lines, without the empty line */
    int64_t content_length;     /* -1: none given */
    size_t cookie_length;       /* of all Cookie values together */
    int version_minor;          /* 0 or 1; a later 1.x counts as 1 */
    bool plain;                 /* path is known to have no '%' */
    bool chunked;
    bool close;                 /* Connection: close */
    bool keep_alive;            /* Connection: keep-alive */
    bool upgrade;               /* Connection: upgrade; not with UHTTP_NO_WEBSOCKET */
    bool expect_continue;       /* Expect: 100-continue in 1.1, and a body is coming */
    const char *why;            /* after a failure: what is wrong; NULL with UHTTP_NO_LOG */
} uhttp_head;

/* Reads a strict request head (RFC 9112 sections 2 to 6). Returns its length, 0 when the
 * text ends before the head does, or the negated status of the refusal: -400, -413, -417,
 * -501 or -505. */
UHTTP_API int uhttp_head_parse(uhttp_str text, uhttp_head *head);

/* The state of a chunked body; zero at the beginning. */
typedef struct uhttp_chunked {
    uint64_t left;          /* of the current chunk */
    uint64_t data;          /* bytes decoded so far */
    uint64_t framing;       /* bytes of sizes, extensions, trailers so far */
    uint8_t state;
} uhttp_chunked;

/* Decodes the next part of a chunked body: *in_length bytes from in, up to *out_length bytes to
 * out, which may be the same memory or before it. Both lengths are set to what was used.
 * Returns UHTTP_OK at the end of the body (bytes after it are not used), UHTTP_ERR_AGAIN if
 * more input or room is needed, UHTTP_ERR_INVALID if it is malformed or its framing exceeds 16
 * KiB plus eight times its data. Trailers are checked and ignored. RFC 9112 section 7.1. */
UHTTP_API uhttp_result uhttp_chunked_decode(uhttp_chunked *chunked, const char *in,
                                            size_t *in_length, char *out, size_t *out_length);

/* Writes an HTTP date ("Sun, 06 Nov 1994 08:49:37 GMT") and a NUL: 30 bytes. seconds count from
 * 1970; times before the year 0 become its start, after the year 9999 its end. RFC 9110 section
 * 5.6.7. */
UHTTP_API void uhttp_date_format(int64_t seconds, char *out);

/* Decodes base64 strictly: padding is required, and unused bits must be zero. out has room for
 * three quarters of in.len bytes and may be the same memory. UHTTP_ERR_INVALID: malformed; the
 * contents of out are undefined then. RFC 4648 section 4 */
UHTTP_API uhttp_result uhttp_base64_decode(uhttp_str in, void *out, size_t *length);

/* Encodes bytes as padded base64, with a NUL: out needs (in.len + 2) / 3 * 4 + 1 bytes. Returns
 * the length. RFC 4648 section 4 */
UHTTP_API size_t uhttp_base64_encode(uhttp_str in, char *out);

/* Computes the SHA-1 digest of bytes. Good enough for WebSocket handshakes and entity tags, not
 * for security. RFC 3174 */
UHTTP_API void uhttp_sha1(uhttp_str in, uint8_t digest[20]);

/* Checks UTF-8 that arrives piece by piece, cut anywhere.
 *
 *   state  0 before the first piece; then private to the function
 *
 * Returns UHTTP_OK (valid so far, and no character is cut), UHTTP_ERR_AGAIN (valid so far, ends
 * within a character), or UHTTP_ERR_INVALID as soon as a byte is wrong. RFC 3629 */
UHTTP_API uhttp_result uhttp_utf8_check(uint8_t *state, uhttp_str text);

/* The head of a WebSocket frame. */
typedef struct uhttp_ws_frame {
    uint64_t length;        /* of the payload behind the head */
    uint8_t opcode;         /* 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong */
    bool fin;               /* the last frame of its message */
    bool masked;
    uint8_t mask[4];
} uhttp_ws_frame;

/* Reads the head of a WebSocket frame. Returns its length (2 to 14), 0 if the text ends before
 * the head does, or -1002 for a protocol error: reserved bits or opcodes, a length of 2^63 or
 * more or not in its shortest form, a control frame that is fragmented or longer than 125. That
 * clients mask and servers do not is left to the caller. RFC 6455 section 5.2 */
UHTTP_API int uhttp_ws_frame_parse(uhttp_str text, uhttp_ws_frame *frame);

/* Copies length bytes of payload from from to to, which may be at or before it, and removes the
 * mask (or applies it); mask is left as the next bytes need it. RFC 6455 section 5.3 */
UHTTP_API void uhttp_ws_unmask(void *to, const void *from, size_t length, uint8_t mask[4]);

/* Reads a date in any of HTTP's three forms into seconds since 1970. now, in the same seconds,
 * tells which century two digits of a year mean: the last one that is not more than 50 years
 * ahead. False: not a date, and *seconds is unchanged. RFC 9110 section 5.6.7. */
UHTTP_API bool uhttp_date_parse(uhttp_str text, int64_t now, int64_t *seconds);

typedef enum uhttp_range_kind {
    UHTTP_RANGE_WHOLE,      /* no usable range: another unit, malformed, or several at once */
    UHTTP_RANGE_PART,       /* length bytes starting at first, at least one */
    UHTTP_RANGE_NONE        /* beyond the end: 416 */
} uhttp_range_kind;

/* Reads the value of a Range field ("bytes=0-499", "bytes=500-", "bytes=-500") against a
 * representation of that size. *first and *length are set for a part, and for the whole. RFC
 * 9110 section 14.1. */
UHTTP_API uhttp_range_kind uhttp_range_parse(uhttp_str value, uint64_t size, uint64_t *first,
                                             uint64_t *length);

/* Is this text UTF-8 (RFC 3629): nothing overlong, no surrogates? */
UHTTP_API bool uhttp_utf8_valid(uhttp_str text);

/* The media type for the extension of a name, whatever its case; "application/octet-stream" if
 * it is unknown. Never NULL. */
UHTTP_API const char *uhttp_mime_type(uhttp_str name);

/* The phrase of a final status of RFC 9110 (but not 305), or of 428, 429, 431, 451 and, with
 * files, 507, with WebSocket 101; "" for any other. */
UHTTP_API const char *uhttp_status_phrase(int status);

#ifdef __cplusplus
}
#endif

#endif /* UHTTP_SERVER_H */

#if defined(UHTTP_IMPLEMENTATION) && !defined(UH_IMPLEMENTED)
#define UH_IMPLEMENTED

/*==============================================================================
 * 02 CONFIGURATION                    what the user defined, and every default
 *==============================================================================
 * Switches become 0 or 1 here and are asked with #if; numbers get their defaults.
 */

#ifdef UHTTP_NO_LOG
#define UH_LOG 0
#else
#define UH_LOG 1
#endif

#ifdef UHTTP_TLS
#define UH_TLS 1
#else
#define UH_TLS 0
#endif

#ifdef UHTTP_NO_JSON
#define UH_JSON 0
#else
#define UH_JSON 1
#endif

#ifdef UHTTP_NO_FILES
#define UH_FILES 0
#define UH_PHRASES_OF_FILES
#else
#define UH_FILES 1
#define UH_PHRASES_OF_FILES "507Insufficient Storage\0"
#endif

#ifdef UHTTP_NO_MULTIPART
#define UH_MULTIPART 0
#else
#define UH_MULTIPART 1
#endif

#ifdef UHTTP_NO_WEBSOCKET
#define UH_WS 0
#define UH_PHRASES_OF_WEBSOCKET
#else
#define UH_WS 1
#define UH_PHRASES_OF_WEBSOCKET "101Switching Protocols\0"
#endif

#ifdef UHTTP_NO_HEAP
#define UH_HEAP 0
#else
#define UH_HEAP 1
#endif

/* The functions uhttp_port_*(): the program's, or those for Zephyr below. */
#if defined(UHTTP_PLATFORM_HEADER) || defined(__ZEPHYR__)
#define UH_PORT 1
#else
#define UH_PORT 0
#endif

#if (defined(UHTTP_LWIP) || defined(ESP_PLATFORM)) && !UH_PORT
#define UH_LWIP 1
#else
#define UH_LWIP 0
#endif

#if UH_LWIP && defined(ESP_PLATFORM)    /* files and a clock as in POSIX, or nearly */
#define UH_ESP 1
#else
#define UH_ESP 0
#endif

#if defined(_WIN32) && !UH_LWIP && !UH_PORT
#define UH_WINSOCK 1
#else
#define UH_WINSOCK 0
#endif

#define UH_POSIX (!UH_PORT && !UH_LWIP && !UH_WINSOCK)
#define UH_ROOMY (UH_POSIX || UH_WINSOCK)       /* large stacks, fast networks */

/* Slots by default, on the heap and in fixed memory, and clients that wait to be accepted: on
 * Windows an fd_set holds 64 sockets, on lwIP who waits holds packets of everybody's pool. */
#define UH_SLOTS       (UH_POSIX ? 64u : UH_WINSOCK ? 60u : UH_SLOTS_FIXED)
#define UH_SLOTS_FIXED 5u
#define UH_BACKLOG     (UH_LWIP ? 2 : 128)

#if defined(__linux__) && UH_POSIX
#define UH_LINUX 1
#else
#define UH_LINUX 0
#endif

/* Do accepted sockets have what a listener was told about vanished clients? Elsewhere it must
 * not be told: on macOS and NetBSD its own keepalive would end it. */
#ifndef UH_INHERITS_PROBES
#if UH_LINUX || (UH_POSIX && (defined(__FreeBSD__) || defined(__DragonFly__)))
#define UH_INHERITS_PROBES 1
#else
#define UH_INHERITS_PROBES 0
#endif
#endif

/* What watches the sockets: the program's choice, or both where there are two. */
#define UHTTP_POLLER_SELECT 1
#define UHTTP_POLLER_EPOLL  2
#define UHTTP_POLLER_KQUEUE 3

#ifndef UH_KQUEUE
#if (defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || \
     defined(__OpenBSD__) || defined(__DragonFly__)) && UH_POSIX
#define UH_KQUEUE 1
#else
#define UH_KQUEUE 0
#endif
#endif

#ifdef UHTTP_POLLER
#define UH_QUEUE_ALWAYS (UHTTP_POLLER != UHTTP_POLLER_SELECT)
#if UHTTP_POLLER != UHTTP_POLLER_SELECT && \
    (UHTTP_POLLER != UHTTP_POLLER_EPOLL || !UH_LINUX || UH_KQUEUE) && \
    (UHTTP_POLLER != UHTTP_POLLER_KQUEUE || !UH_KQUEUE)
#error "uhttp_server.h: UHTTP_POLLER is UHTTP_POLLER_SELECT, _EPOLL (Linux) or _KQUEUE (BSD)"
#endif
#define UH_QUEUE ((UH_LINUX || UH_KQUEUE) && UHTTP_POLLER != UHTTP_POLLER_SELECT)
#else
#define UH_QUEUE_ALWAYS 0
#define UH_QUEUE (UH_LINUX || UH_KQUEUE)
#endif

/* Bitmaps of any length for select(): Linux takes them, the heap holds them. */
#ifndef UH_OWN_BITMAPS
#define UH_OWN_BITMAPS (UH_LINUX && UH_HEAP)
#endif

#if defined(UHTTP_MALLOC) != defined(UHTTP_REALLOC) || \
    defined(UHTTP_MALLOC) != defined(UHTTP_FREE)
#error "uhttp_server.h: define all of UHTTP_MALLOC, UHTTP_REALLOC, UHTTP_FREE, or none"
#endif
#if !UH_HEAP                    /* nothing is called, whatever the program has defined */
#undef UHTTP_MALLOC
#undef UHTTP_REALLOC
#undef UHTTP_FREE
#define UHTTP_MALLOC(size)           ((void)(size), (void *)NULL)
#define UHTTP_REALLOC(pointer, size) ((void)(pointer), (void)(size), (void *)NULL)
#define UHTTP_FREE(pointer)          ((void)(pointer))
#elif !defined(UHTTP_MALLOC)
#include <stdlib.h>
#define UHTTP_MALLOC(size)           malloc(size)
#define UHTTP_REALLOC(pointer, size) realloc(pointer, size)
#define UHTTP_FREE(pointer)          free(pointer)
#endif

/* The first byte of a word in memory whose top bit is set in mask, where the compiler can
 * tell cheaply; 0 is right everywhere, as bytes are then asked one by one. */
#if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define UH_WORD_FIRST(mask) \
    ((size_t)(sizeof(size_t) > sizeof(long) ? __builtin_ctzll(mask) \
                                            : __builtin_ctzl(mask)) / 8u)
#else
#define UH_WORD_FIRST(mask) ((size_t)((mask) & 0u))
#endif

/* Where small code is asked for, loops take one byte a round instead of several, and what GCC
 * would copy to a caller although that makes it larger is kept apart, as a large function with
 * one caller, whose every jump would be long with it. Elsewhere what is done for every line of
 * a head is put where it is called from, and what is done for few of them is not. */
#ifdef __OPTIMIZE_SIZE__
#define UH_WIDE 0
#define UH_APART __attribute__((noinline))
#define UH_INLINE
#define UH_SELDOM
#else
#define UH_WIDE 1
#define UH_APART
#define UH_INLINE inline
#ifdef __GNUC__
#define UH_SELDOM __attribute__((noinline))
#else
#define UH_SELDOM
#endif
#endif

#ifndef UHTTP_ASSERT
#define UHTTP_ASSERT(truth) ((void)0)
#endif

#define UH_BLOCK         2048u      /* first size of a buffer on the heap */
#define UH_BUFFER_MIN    512u       /* the least a buffer in fixed memory may be */
#define UH_HOLD          4096u      /* answers that may wait for the next one, heap only */
#define UH_CONTINUE_ROOM 32u        /* room in tx beside a response: "100 Continue" */
#define UH_STREAM_BLOCK  65536u     /* reading block of a streamed body, heap only */
#define UH_DIRECT        2048u      /* larger responses are sent from where they lie */
#define UH_SKIP_LIMIT    65536u     /* unread body that is drained rather than closed upon */
#define UH_WINDOW_MIN    64u        /* room behind a head that a body needs at least */
#define UH_NAMES_ROOM    512u       /* and behind it, on the heap, the names of its file */
#define UH_PROGRESS      1024u      /* bytes that renew a deadline */
#define UH_WS_CONTROL    131u       /* the longest control frame of a client, and its head */
#define UH_WS_ROOM       16u        /* in tx beside a message: its head, and what ends it all */
#define UH_WS_END        6u         /* of it: the end of a message in pieces, a close frame */
#define UH_TURNS         64         /* turns before the network is asked again */
#define UH_LINGER_MS     2000u
#define UH_LINGER_MOST   0x1000000u     /* bytes discarded meanwhile, if UH_ROOMY: 16 MiB */
#define UH_GRACE_MS      1000u      /* idle, kept alive or silent, before it may be evicted */
#define UH_PEEK_MS       1000u      /* how often peers with full input are looked after */
#define UH_QUARTER_MS    250u       /* how often something is done for newcomers that wait */
#define UH_BACKOFF_MS    100u       /* until what failed for want of something is tried again */
#define UH_EPISODE_MS    10000u     /* without newcomers that wait, until the log tells again */
#define UH_SLOW_QUARTERS 40u        /* a peer is judged by so long a time, */
#define UH_SLOW_BYTES    10240u     /* in which it must move so much while newcomers wait */
#define UH_TRIM_MS       1000u      /* how often unneeded blocks are given back */
#define UH_FORM_PARTS    1000u      /* of a form, unless the program says otherwise */
#define UH_QUEUE_AT      64u        /* so many watched sockets make epoll or kqueue cheaper, */
#define UH_QUEUE_LEAVE   24u        /* so few make select() cheaper again, */
#define UH_QUEUE_NEAR    256u       /* if their tokens are below this: next looks at each; */
#define UH_QUEUE_SLEEPS  64u        /* and that many sleeps long, as many may come again */
#define UH_QUEUE_EVENTS  32u        /* taken from it at once */
#define UH_SIZE_MAX      0x7fffffffu    /* of anything in one buffer */
#define UH_SLOTS_MAX     0xffffffu  /* an id has 24 bits for the slot */

/* A public function of a feature that is left out: it looks at nothing and gives one answer,
 * UHTTP_ERR_UNSUPPORTED if it LACKS what it is for. */
#define UH_STUB_1(type, name, answer, A) \
    UHTTP_API type name(A a) { (void)a; return answer; }
#define UH_STUB_2(type, name, answer, A, B) \
    UHTTP_API type name(A a, B b) { (void)a; (void)b; return answer; }
#define UH_STUB_3(type, name, answer, A, B, C) \
    UHTTP_API type name(A a, B b, C c) { (void)a; (void)b; (void)c; return answer; }
#define UH_STUB_4(type, name, answer, A, B, C, D) \
    UHTTP_API type name(A a, B b, C c, D d) \
    { (void)a; (void)b; (void)c; (void)d; return answer; }
#define UH_LACKS_1(name, A) UH_STUB_1(uhttp_result, name, UHTTP_ERR_UNSUPPORTED, A)
#define UH_LACKS_2(name, A, B) UH_STUB_2(uhttp_result, name, UHTTP_ERR_UNSUPPORTED, A, B)
#define UH_LACKS_3(name, A, B, C) UH_STUB_3(uhttp_result, name, UHTTP_ERR_UNSUPPORTED, A, B, C)
#define UH_LACKS_4(name, A, B, C, D) \
    UH_STUB_4(uhttp_result, name, UHTTP_ERR_UNSUPPORTED, A, B, C, D)

#define UH_STATIC_ASSERT(truth, name) typedef char uh_static_assert_##name[(truth) ? 1 : -1]

/*==============================================================================
 * 03 PLATFORM          POSIX, Winsock, lwIP, Zephyr or another: all of it is here
 *==============================================================================
 * Sockets that never block, a millisecond clock that may wrap, the poller around
 * select(), epoll and kqueue, and a socket that wakes it. Nobody else includes a system header.
 */

#include <stdarg.h>
#include <string.h>

#if UH_LWIP && !UH_ESP  /* newlib's <stdio.h> may bring a timeval and an fd_set of its own */
#ifdef __cplusplus
extern "C"
#endif
int vsnprintf(char *text, size_t size, const char *format, va_list list);
#else
#include <stdio.h>              /* vsnprintf(), rename() */
#endif

#if UH_PORT

#ifdef UHTTP_PLATFORM_HEADER
#include UHTTP_PLATFORM_HEADER
#else
#include <errno.h>
#include <zephyr/kernel.h>
#include <zephyr/net/socket.h>
#ifdef CONFIG_ZVFS_EVENTFD
#include <zephyr/zvfs/eventfd.h>
#endif
#endif

typedef intptr_t uh_socket;
#define UH_NO_SOCKET (-1)

#elif UH_WINSOCK

#include <winsock2.h>
#include <ws2tcpip.h>
#include <time.h>

typedef SOCKET uh_socket;
#define UH_NO_SOCKET INVALID_SOCKET

#elif UH_LWIP

#if UH_ESP
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#endif
#include "lwip/opt.h"
#include "lwip/sockets.h"
#include "lwip/inet.h"
#include "lwip/sys.h"

#if !LWIP_SOCKET || !LWIP_SOCKET_SELECT
#error "uhttp_server.h: lwIP needs LWIP_SOCKET and LWIP_SOCKET_SELECT set to 1 in lwipopts.h"
#endif

typedef int uh_socket;
#define UH_NO_SOCKET (-1)

#else

#if defined(__linux__) && !defined(_GNU_SOURCE) && !defined(_DEFAULT_SOURCE) && \
    (!defined(_POSIX_C_SOURCE) || _POSIX_C_SOURCE < 200809L)
#error "uhttp_server.h: include it before system headers, or define _GNU_SOURCE"
#endif
#if defined(__APPLE__) && defined(_POSIX_C_SOURCE) && !defined(_DARWIN_C_SOURCE)
#error "uhttp_server.h: include it before system headers, or define _DARWIN_C_SOURCE"
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#if UH_KQUEUE
#include <sys/event.h>
#elif UH_QUEUE
#include <sys/epoll.h>
#endif

#if UH_FILES
#if defined(__linux__)
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#endif
#endif

typedef int uh_socket;
#define UH_NO_SOCKET (-1)

#endif

#if UH_LWIP
#define UH_IPV6 LWIP_IPV6
#else
#define UH_IPV6 1
#endif

/* Counts bytes of what is sent from where it lies: memory, or files of any size. */
#if UH_FILES
typedef uint64_t uh_extent;
#else
typedef size_t uh_extent;
#endif

/* The TCP peer. Mapped IPv4 is stored as 4. */
typedef uhttp_address uh_peer;

typedef enum uh_sys_error {
    UH_SYS_AGAIN, UH_SYS_INTERRUPTED, UH_SYS_FULL, UH_SYS_FAILED
} uh_sys_error;

/*--- Zephyr: a port that the header brings itself, see uhttp_port_listen() ------*/

#if UH_PORT && !defined(UHTTP_PLATFORM_HEADER)

/* Since 4.4 the names of its sockets have prefixes. */
#ifdef AF_INET
#define UH_ZEPHYR(name)        name
#define UH_ZEPHYR_FAMILY(name) name
#define UH_ZEPHYR_OPTION(name) name
#else
#define UH_ZEPHYR(name)        net_##name
#define UH_ZEPHYR_FAMILY(name) NET_##name
#define UH_ZEPHYR_OPTION(name) ZSOCK_##name
#endif

/* A socket that is watched for reading and writing costs poll two of its events; listeners and
 * the wake-up one. */
#define UHTTP_PORT_VERSION 1
#ifdef CONFIG_ZVFS_EVENTFD
#define UHTTP_PORT_SOCKETS (CONFIG_ZVFS_POLL_MAX / 2 + 1)
#else
#define UHTTP_PORT_SOCKETS (CONFIG_ZVFS_POLL_MAX / 2)
#endif

typedef union uh_sockaddr {
    struct UH_ZEPHYR(sockaddr) any;
    struct UH_ZEPHYR(sockaddr_in) v4;
    struct UH_ZEPHYR(sockaddr_in6) v6;
} uh_sockaddr;

/* Out of sockets or memory? */
static bool uh_zephyr_is_full(void)
{
    return errno == ENFILE || errno == EMFILE || errno == ENOMEM || errno == ENOBUFS;
}

static uhttp_result uh_zephyr_result(void)
{
    switch (errno) {
    case EADDRINUSE:      return UHTTP_ERR_IN_USE;
    case EACCES:          return UHTTP_ERR_DENIED;
    case EAFNOSUPPORT:
    case EPFNOSUPPORT:
    case EPROTONOSUPPORT: return UHTTP_ERR_UNSUPPORTED;
    default:              return uh_zephyr_is_full() ? UHTTP_ERR_MEMORY : UHTTP_ERR_SYSTEM;
    }
}

static bool uh_zephyr_option(int fd, int level, int name, int value)
{
    return zsock_setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static bool uh_zephyr_prepare(int fd)
{
    (void)uh_zephyr_option(fd, UH_ZEPHYR_FAMILY(IPPROTO_TCP), UH_ZEPHYR_OPTION(TCP_NODELAY), 1);
    return zsock_fcntl(fd, ZVFS_F_SETFL, ZVFS_O_NONBLOCK) == 0;
}

/* Reads a socket address; false: it is not IP's. */
static bool uh_zephyr_read(const uh_sockaddr *from, uhttp_address *to)
{
    const uint8_t *port = (const uint8_t *)&from->v4.sin_port;
    memset(to, 0, sizeof *to);
    if (from->any.sa_family == UH_ZEPHYR_FAMILY(AF_INET)) {
        to->family = 4;
        memcpy(to->address, &from->v4.sin_addr, 4);
    } else if (from->any.sa_family == UH_ZEPHYR_FAMILY(AF_INET6)) {
        to->family = 6;
        port = (const uint8_t *)&from->v6.sin6_port;
        memcpy(to->address, &from->v6.sin6_addr, 16);
    } else {
        return false;
    }
    to->port = (uint16_t)(port[0] << 8 | port[1]);
    return true;
}

/* Writes one; its length. */
static size_t uh_zephyr_write(uh_sockaddr *to, const uhttp_address *from)
{
    const uint8_t port[2] = { (uint8_t)(from->port >> 8), (uint8_t)from->port };
    memset(to, 0, sizeof *to);
    if (from->family == 4) {
        to->v4.sin_family = UH_ZEPHYR_FAMILY(AF_INET);
        memcpy(&to->v4.sin_port, port, sizeof port);
        memcpy(&to->v4.sin_addr, from->address, 4);
        return sizeof to->v4;
    }
    to->v6.sin6_family = UH_ZEPHYR_FAMILY(AF_INET6);
    memcpy(&to->v6.sin6_port, port, sizeof port);
    memcpy(&to->v6.sin6_addr, from->address, 16);
    return sizeof to->v6;
}

/* Sets what a listener needs; "::" takes IPv4 as well where the system maps it. */
static bool uh_zephyr_set(int fd, const uhttp_address *at, bool reuse_port)
{
    static const uint8_t any[16] = { 0 };
    const int level = UH_ZEPHYR_OPTION(SOL_SOCKET);
    int only_v6 = memcmp(at->address, any, sizeof any) != 0;
    (void)uh_zephyr_option(fd, level, UH_ZEPHYR_OPTION(SO_REUSEADDR), 1);
    if (at->family == 6)
        (void)uh_zephyr_option(fd, UH_ZEPHYR_FAMILY(IPPROTO_IPV6),
                               UH_ZEPHYR_OPTION(IPV6_V6ONLY), only_v6);
    return !reuse_port || uh_zephyr_option(fd, level, UH_ZEPHYR_OPTION(SO_REUSEPORT), 1);
}

static uhttp_result uhttp_port_listen(intptr_t *listener, const uhttp_address *at,
                                      const uhttp_config *config)
{
    uh_sockaddr address;
    size_t length = uh_zephyr_write(&address, at);
    int fd = zsock_socket(address.any.sa_family, UH_ZEPHYR_FAMILY(SOCK_STREAM),
                          UH_ZEPHYR_FAMILY(IPPROTO_TCP));
    if (fd < 0)
        return uh_zephyr_result();
    uhttp_result result = UHTTP_OK;
    if (!uh_zephyr_set(fd, at, config->reuse_port))
        result = UHTTP_ERR_UNSUPPORTED;
    else if (zsock_bind(fd, &address.any, (UH_ZEPHYR(socklen_t))length) != 0 ||
             !uh_zephyr_prepare(fd) || zsock_listen(fd, config->backlog) != 0)
        result = uh_zephyr_result();
    if (result != UHTTP_OK)
        (void)zsock_close(fd);
    *listener = fd;
    return result;
}

static int uhttp_port_accept(intptr_t listener, intptr_t *socket, uhttp_address *peer)
{
    uh_sockaddr from;
    UH_ZEPHYR(socklen_t) length = sizeof from;
    memset(&from, 0, sizeof from);
    int fd = zsock_accept((int)listener, &from.any, &length);
    if (fd < 0 && errno == EAGAIN)
        return UHTTP_WANT_READ;
    if (fd < 0)
        return uh_zephyr_is_full() ? UHTTP_FULL : UHTTP_FAILED;
    if (!uh_zephyr_prepare(fd)) {
        (void)zsock_close(fd);
        return UHTTP_FAILED;
    }
    (void)uh_zephyr_read(&from, peer);
    *socket = fd;
    return 0;
}

static int uhttp_port_recv(intptr_t socket, void *to, size_t room)
{
    int n = (int)zsock_recv((int)socket, to, room, 0);
    if (n >= 0)
        return n;
    return errno == EAGAIN ? UHTTP_WANT_READ : uh_zephyr_is_full() ? UHTTP_FULL : UHTTP_FAILED;
}

static int uhttp_port_send(intptr_t socket, const uhttp_str *parts, int count)
{
    int sent = 0;
    for (int i = 0; i < count; i++) {
        int n = (int)zsock_send((int)socket, parts[i].ptr, parts[i].len, 0);
        if (n < 0 && sent > 0)
            break;
        if (n < 0)
            return errno == EAGAIN       ? UHTTP_WANT_WRITE
                   : uh_zephyr_is_full() ? UHTTP_FULL : UHTTP_FAILED;
        sent += n;
        if ((size_t)n < parts[i].len)
            break;
    }
    return sent;
}

static void uhttp_port_shut(intptr_t socket)
{
    (void)zsock_shutdown((int)socket, ZSOCK_SHUT_WR);
}

static void uhttp_port_abort(intptr_t socket) { (void)socket; }     /* it has no SO_LINGER */
static void uhttp_port_close(intptr_t socket) { (void)zsock_close((int)socket); }

static bool uhttp_port_address(intptr_t socket, bool of_peer, uhttp_address *address)
{
    uh_sockaddr at;
    UH_ZEPHYR(socklen_t) length = sizeof at;
    memset(&at, 0, sizeof at);
    return (of_peer ? zsock_getpeername((int)socket, &at.any, &length)
                    : zsock_getsockname((int)socket, &at.any, &length)) == 0 &&
           uh_zephyr_read(&at, address);
}

/* Errors and hang-ups come unasked: they are what the socket is watched for. */
static uint8_t uh_zephyr_ready(const uhttp_port_watch *w, const struct zsock_pollfd *fd)
{
    unsigned ready = 0;
    if ((fd->revents & ZSOCK_POLLIN) != 0)
        ready = UHTTP_READABLE;
    if ((fd->revents & ZSOCK_POLLOUT) != 0)
        ready |= UHTTP_WRITABLE;
    if ((fd->revents & (ZSOCK_POLLERR | ZSOCK_POLLHUP | ZSOCK_POLLNVAL)) != 0)
        ready = UHTTP_READABLE | UHTTP_WRITABLE;
    return (uint8_t)(w->wish & ready);
}

static int uhttp_port_wait(uhttp_port_watch *list, uint32_t count, int timeout_ms)
{
    struct zsock_pollfd fds[UHTTP_PORT_SOCKETS];
    int n = 0;
    int ready = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].wish == 0)
            continue;
        fds[n].fd = (int)list[i].socket;
        fds[n].events = (short)(((list[i].wish & UHTTP_READABLE) != 0 ? ZSOCK_POLLIN : 0) |
                                ((list[i].wish & UHTTP_WRITABLE) != 0 ? ZSOCK_POLLOUT : 0));
        fds[n++].revents = 0;
    }
    if (zsock_poll(fds, n, timeout_ms) < 0)
        return -1;
    n = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].wish == 0)
            continue;
        list[i].ready = uh_zephyr_ready(&list[i], &fds[n++]);
        ready += list[i].ready != 0 ? 1 : 0;
    }
    return ready;
}

#ifdef CONFIG_ZVFS_EVENTFD

static bool uhttp_port_wake_open(intptr_t *wake)
{
    int fd = zvfs_eventfd(0, ZVFS_EFD_NONBLOCK);
    *wake = fd;
    return fd >= 0;
}

/* A full counter wakes as well. */
static bool uhttp_port_wake_send(intptr_t wake)
{
    return zvfs_eventfd_write((int)wake, 1) == 0 || errno == EAGAIN;
}

static void uhttp_port_wake_drain(intptr_t wake)
{
    zvfs_eventfd_t count;
    (void)zvfs_eventfd_read((int)wake, &count);
}

static void uhttp_port_wake_close(intptr_t wake) { (void)zsock_close((int)wake); }

#else

static bool uhttp_port_wake_open(intptr_t *wake)
{
    *wake = UH_NO_SOCKET;
    return false;
}

static bool uhttp_port_wake_send(intptr_t wake) { return wake != UH_NO_SOCKET; }
static void uhttp_port_wake_drain(intptr_t wake) { (void)wake; }
static void uhttp_port_wake_close(intptr_t wake) { (void)wake; }

#endif

#ifndef UHTTP_MILLIS
#define UHTTP_MILLIS() k_uptime_get_32()
#endif
#ifndef UHTTP_TIME
#define UHTTP_TIME() ((int64_t)0)       /* the program's to define where there is a clock */
#endif

#endif

/*--- what differs between the systems -----------------------------------------*/

#if UH_PORT

#if !defined(UHTTP_PORT_VERSION) || UHTTP_PORT_VERSION != 1
#error "uhttp_server.h: UHTTP_PLATFORM_HEADER is for another version: see uhttp_port_listen()"
#endif

#ifndef UHTTP_PORT_SOCKETS
#define UHTTP_PORT_SOCKETS UINT32_MAX
#endif
#ifndef UHTTP_MILLIS
#define UHTTP_MILLIS() uhttp_port_millis()
#endif
#ifndef UHTTP_TIME
#define UHTTP_TIME() uhttp_port_time()
#endif

static bool uh_sys_start(void) { return true; }
static void uh_sys_stop(void) { }
static int uh_sys_error_keep(void) { return 0; }        /* there may be no errno */
static void uh_sys_error_restore(int error) { (void)error; }

static void uh_sys_close(uh_socket fd) { uhttp_port_close(fd); }
static void uh_sys_shut_write(uh_socket fd) { uhttp_port_shut(fd); }
static void uh_sys_shut(uh_socket fd) { uhttp_port_shut(fd); }
static void uh_sys_reset_on_close(uh_socket fd) { uhttp_port_abort(fd); }

/* A port does not tell: then only closing is right. */
static bool uh_sys_resets_on_close(uh_socket fd)
{
    (void)fd;
    return true;
}

#define uh_unix_mark(fd)            ((void)(fd), 0u)
#define uh_unix_remove(fd, mark)    ((void)(fd), (void)(mark))

static bool uh_sys_prepare(uh_socket fd) { return fd != UH_NO_SOCKET; }
static void uh_sys_probe(uh_socket fd, uint32_t dead_ms, uint32_t send_ms)
{
    (void)fd;           /* the port's affair: it has the configuration */
    (void)dead_ms;
    (void)send_ms;
}

static int uh_sys_recv(uh_socket fd, void *to, size_t room)
{
    return uhttp_port_recv(fd, to, room);
}

static int uh_sys_send(uh_socket fd, const uhttp_str *parts, int count)
{
    return uhttp_port_send(fd, parts, count);
}

/* An IPv4 address in IPv6's clothes becomes one. */
static void uh_port_unmap(uh_peer *peer)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    if (peer->family != 6 || memcmp(peer->address, mapped, sizeof mapped) != 0)
        return;
    memmove(peer->address, peer->address + 12, 4);
    memset(peer->address + 4, 0, 12);
    peer->family = 4;
}

static bool uh_sys_address(uh_socket fd, bool of_peer, uh_peer *address)
{
    memset(address, 0, sizeof *address);
    if (fd == UH_NO_SOCKET || !uhttp_port_address(fd, of_peer, address))
        return false;
    uh_port_unmap(address);
    return true;
}

static bool uh_sys_listens(uh_socket fd)
{
    uh_peer local;
    return uh_sys_address(fd, false, &local);
}

static bool uh_sys_peer(uh_socket fd, uh_peer *peer) { return uh_sys_address(fd, true, peer); }

static uh_peer uh_sys_local(uh_socket fd)
{
    uh_peer local;
    if (!uh_sys_address(fd, false, &local))
        memset(&local, 0, sizeof local);
    return local;
}

static uh_socket uh_sys_accept(uh_socket fd, uh_peer *peer, uh_sys_error *error)
{
    intptr_t accepted = UH_NO_SOCKET;
    memset(peer, 0, sizeof *peer);
    int result = uhttp_port_accept(fd, &accepted, peer);
    uh_port_unmap(peer);
    *error = result == UHTTP_WANT_READ ? UH_SYS_AGAIN
           : result == UHTTP_FULL      ? UH_SYS_FULL : UH_SYS_FAILED;
    return result == 0 ? accepted : UH_NO_SOCKET;
}

/* Is something there to be read, or a newcomer to be accepted? */
static bool uh_sys_is_readable(uh_socket fd)
{
    uhttp_port_watch one;
    memset(&one, 0, sizeof one);
    one.socket = fd;
    one.wish = UHTTP_READABLE;
    return uhttp_port_wait(&one, 1, 0) > 0;
}

#define UH_SETS_ARE_SHORT   0
#define UH_ACCEPT_IS_GREEDY 0

static uh_socket uh_sys_renumber(uh_socket fd) { return fd; }

/* Addresses as text: not every stack can read and write them. */

static size_t uh_port_put_number(char *out, unsigned value, unsigned base)
{
    unsigned scale = 1;
    size_t n = 0;
    while (value / scale >= base)
        scale *= base;
    for (; scale > 0; scale /= base)
        out[n++] = "0123456789abcdef"[value / scale % base];
    return n;
}

static size_t uh_port_put_v4(char *out, const uint8_t *address)
{
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            out[n++] = '.';
        n += uh_port_put_number(out + n, address[i], 10);
    }
    return n;
}

static unsigned uh_port_group(const uint8_t *address, int at)
{
    return (unsigned)address[at * 2] << 8 | address[at * 2 + 1];
}

/* The longest run of zeros is left out (RFC 5952 section 4.2). */
static size_t uh_port_put_v6(char *out, const uint8_t *address)
{
    size_t n = 0;
    int gap = -1;
    int longest = 1;
    for (int i = 0; i < 8; i++) {
        int run = 0;
        while (i + run < 8 && uh_port_group(address, i + run) == 0)
            run++;
        if (run > longest) {
            longest = run;
            gap = i;
        }
    }
    for (int i = 0; i < 8; i++) {
        if (i > 0 || i == gap)
            out[n++] = ':';
        if (i != gap) {
            n += uh_port_put_number(out + n, uh_port_group(address, i), 16);
            continue;
        }
        i += longest - 1;
        if (i == 7)
            out[n++] = ':';
    }
    return n;
}

/* Writes an address with its NUL; its length, 0: none, or size is too small. */
static size_t uh_peer_format(const uh_peer *peer, char *out, size_t size)
{
    char text[48];
    size_t length = peer->family == 4   ? uh_port_put_v4(text, peer->address)
                    : peer->family == 6 ? uh_port_put_v6(text, peer->address) : 0;
    if (length == 0 || length >= size)
        return 0;
    memcpy(out, text, length);
    out[length] = '\0';
    return length;
}

static bool uh_port_read_v4(const char *p, const char *end, uint8_t *out)
{
    for (int i = 0; i < 4; i++) {
        const char *start = p;
        unsigned value = 0;
        for (; p < end && *p >= '0' && *p <= '9' && value <= 255; p++)
            value = value * 10 + (unsigned)(*p - '0');
        if (p == start || value > 255 || (*start == '0' && p - start > 1))
            return false;
        out[i] = (uint8_t)value;
        if (i < 3 && (p == end || *p++ != '.'))
            return false;
    }
    return p == end;
}

/* Reads up to four hexadecimal digits; what is behind them, p: none. */
static const char *uh_port_read_group(const char *p, const char *end, uint8_t *out)
{
    unsigned value = 0;
    for (int digits = 0; p < end && digits < 4; digits++, p++) {
        char letter = (char)(*p | 32);
        bool is_decimal = *p >= '0' && *p <= '9';
        if (!is_decimal && (letter < 'a' || letter > 'f'))
            break;
        value = value << 4 | (unsigned)(is_decimal ? *p - '0' : letter - 'a' + 10);
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return p;
}

/* "::" stands for as many zeros as are missing, once (RFC 4291 section 2.2). */
static bool uh_port_read_v6(const char *p, const char *end, uint8_t *out)
{
    size_t at = 0;
    size_t gap = SIZE_MAX;
    if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        p += 2;
    }
    while (p < end) {
        if (at <= 12 && uh_port_read_v4(p, end, out + at)) {
            at += 4;
            break;
        }
        const char *behind = at < 16 ? uh_port_read_group(p, end, out + at) : p;
        if (behind == p)
            return false;
        at += 2;
        p = behind;
        if (p == end)
            break;
        if (*p++ != ':' || p == end || (*p == ':' && gap != SIZE_MAX))
            return false;
        if (*p == ':') {
            gap = at;
            p++;
        }
    }
    if (gap == SIZE_MAX || at == 16)
        return gap == SIZE_MAX && at == 16;
    memmove(out + gap + (16 - at), out + gap, at - gap);
    memset(out + gap, 0, 16 - at);
    return true;
}

/* Reads a numeric address; false: it is none. */
static bool uh_peer_parse(uhttp_str text, uh_peer *peer)
{
    const char *end = text.ptr + text.len;
    memset(peer, 0, sizeof *peer);
    peer->family = uh_port_read_v4(text.ptr, end, peer->address)   ? 4
                   : uh_port_read_v6(text.ptr, end, peer->address) ? 6 : 0;
    uh_port_unmap(peer);
    return peer->family != 0;
}

static uhttp_result uh_sys_listen(uh_socket *fd, const char *address, int port,
                                  const uhttp_config *config)
{
    uh_peer at;
    uhttp_str text = { address, strlen(address) };
    intptr_t listener = UH_NO_SOCKET;
    if (!uh_peer_parse(text, &at))
        return UHTTP_ERR_INVALID;
    at.port = (uint16_t)port;
    uhttp_result result = uhttp_port_listen(&listener, &at, config);
    *fd = result == UHTTP_OK ? listener : UH_NO_SOCKET;
    return result;
}

#elif UH_WINSOCK

#ifndef UHTTP_MILLIS
#define UHTTP_MILLIS() ((uint32_t)GetTickCount64())
#endif
#ifndef UHTTP_TIME
#define UHTTP_TIME() ((int64_t)time(NULL))
#endif


static bool uh_sys_start(void)
{
    WSADATA data;
    return WSAStartup(MAKEWORD(2, 2), &data) == 0;
}

static void uh_sys_stop(void) { WSACleanup(); }
static int uh_sys_error_keep(void) { return WSAGetLastError(); }
static void uh_sys_error_restore(int error) { WSASetLastError(error); }

static uh_sys_error uh_sys_last_error(void)
{
    switch (WSAGetLastError()) {
    case WSAEWOULDBLOCK: return UH_SYS_AGAIN;
    case WSAEINTR:       return UH_SYS_INTERRUPTED;
    case WSAEMFILE:
    case WSAENOBUFS:     return UH_SYS_FULL;
    default:             return UH_SYS_FAILED;
    }
}

static uhttp_result uh_sys_listen_result(void)
{
    switch (WSAGetLastError()) {
    case WSAEADDRINUSE:   return UHTTP_ERR_IN_USE;
    case WSAEACCES:       return UHTTP_ERR_DENIED;
    case WSAEAFNOSUPPORT: return UHTTP_ERR_UNSUPPORTED;
    default:              return UHTTP_ERR_SYSTEM;
    }
}

static void uh_sys_sleep(uint32_t time_ms) { Sleep((DWORD)time_ms); }
static void uh_sys_close(uh_socket fd) { closesocket(fd); }
static void uh_sys_shut_write(uh_socket fd) { shutdown(fd, SD_SEND); }
static void uh_sys_shut(uh_socket fd) { shutdown(fd, SD_BOTH); }

static bool uh_sys_prepare(uh_socket fd)
{
    u_long on = 1;
    BOOL at_once = TRUE;        /* see POSIX */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, (const char *)&at_once, sizeof at_once);
    (void)SetHandleInformation((HANDLE)fd, HANDLE_FLAG_INHERIT, 0);     /* to no child */
    return ioctlsocket(fd, (long)FIONBIO, &on) == 0;
}

static int uh_sys_recv_raw(uh_socket fd, void *to, size_t room)
{
    return recv(fd, (char *)to, (int)room, 0);
}

static int uh_sys_send_raw(uh_socket fd, const uhttp_str *parts, int count)
{
    WSABUF list[2];
    DWORD sent = 0;
    for (int i = 0; i < count; i++) {
        list[i].buf = (char *)(uintptr_t)parts[i].ptr;
        list[i].len = (ULONG)parts[i].len;
    }
    if (WSASend(fd, list, (DWORD)count, &sent, 0, NULL, NULL) != 0)
        return -1;
    return (int)sent;
}

static uh_socket uh_sys_accept_raw(uh_socket fd, struct sockaddr *address, socklen_t *length)
{
    uh_socket peer = accept(fd, address, length);
    if (peer != UH_NO_SOCKET && !uh_sys_prepare(peer)) {
        uh_sys_close(peer);
        return UH_NO_SOCKET;
    }
    return peer;
}

/* Windows: SO_REUSEADDR would let anyone steal the port; SO_REUSEPORT does not exist. */
static bool uh_sys_reuse(uh_socket fd, bool reuse_port)
{
    BOOL on = TRUE;
    setsockopt(fd, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&on, sizeof on);
    return !reuse_port;
}

#define UH_CALL(name) name

#elif UH_LWIP

#ifndef UHTTP_MILLIS
#define UHTTP_MILLIS() ((uint32_t)sys_now())
#endif
#if !defined(UHTTP_TIME) && UH_ESP
#define UHTTP_TIME() ((int64_t)time(NULL))      /* right once SNTP has set it; 1970 before */
#elif !defined(UHTTP_TIME)
#define UHTTP_TIME() ((int64_t)0)       /* the program's to define where there is a clock */
#endif

static bool uh_sys_start(void) { return true; }
static void uh_sys_stop(void) { }
static int uh_sys_error_keep(void) { return errno; }
static void uh_sys_error_restore(int error) { errno = error; }

static uh_sys_error uh_sys_last_error(void)
{
    int error = errno;          /* asked once: it may be a call */
    if (error == EWOULDBLOCK || error == EAGAIN)
        return UH_SYS_AGAIN;
    return error == ENFILE || error == ENOMEM || error == ENOBUFS ? UH_SYS_FULL : UH_SYS_FAILED;
}

static uhttp_result uh_sys_listen_result(void)
{
    return errno == EADDRINUSE ? UHTTP_ERR_IN_USE : UHTTP_ERR_SYSTEM;
}

static void uh_sys_sleep(uint32_t time_ms) { sys_msleep((u32_t)time_ms); }
static void uh_sys_close(uh_socket fd) { lwip_close(fd); }
static void uh_sys_shut(uh_socket fd) { lwip_shutdown(fd, SHUT_RDWR); }

/* It is not shut: behind the peer's FIN it would be in TIME_WAIT, and lwIP takes the memory of
 * such a connection without telling its socket, whose close then hits the next client. */
static void uh_sys_shut_write(uh_socket fd) { (void)fd; }

static bool uh_sys_prepare(uh_socket fd)
{
    int on = 1;
    lwip_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return lwip_ioctl(fd, (long)FIONBIO, &on) == 0;     /* newlib's O_NONBLOCK is another */
}

static int uh_sys_recv_raw(uh_socket fd, void *to, size_t room)
{
    return (int)lwip_recv(fd, to, room, 0);
}

static int uh_sys_send_raw(uh_socket fd, const uhttp_str *parts, int count)
{
    struct iovec list[2];
    struct msghdr message;
    memset(&message, 0, sizeof message);
    for (int i = 0; i < count; i++) {
        list[i].iov_base = (void *)(uintptr_t)parts[i].ptr;
        list[i].iov_len = parts[i].len;
    }
    message.msg_iov = list;
    message.msg_iovlen = count;
    return (int)lwip_sendmsg(fd, &message, 0);
}

static uh_socket uh_sys_accept_raw(uh_socket fd, struct sockaddr *address, socklen_t *length)
{
    uh_socket peer = lwip_accept(fd, address, length);
    if (peer != UH_NO_SOCKET && !uh_sys_prepare(peer)) {
        uh_sys_close(peer);
        return UH_NO_SOCKET;
    }
    return peer;
}

static bool uh_sys_reuse(uh_socket fd, bool reuse_port)
{
    int on = 1;
    lwip_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  /* fails without SO_REUSE */
    return !reuse_port;
}

#define UH_CALL(name) lwip_##name

#else

#ifndef UHTTP_MILLIS
static uint32_t uh_sys_millis(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000u + (uint32_t)(now.tv_nsec / 1000000);
}
#define UHTTP_MILLIS() uh_sys_millis()
#endif
#ifndef UHTTP_TIME
#define UHTTP_TIME() ((int64_t)time(NULL))
#endif

static bool uh_sys_start(void) { return true; }
static void uh_sys_stop(void) { }
static int uh_sys_error_keep(void) { return errno; }
static void uh_sys_error_restore(int error) { errno = error; }

static uh_sys_error uh_sys_last_error(void)
{
    switch (errno) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
        return UH_SYS_AGAIN;
    case EINTR:
        return UH_SYS_INTERRUPTED;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return UH_SYS_FULL;
    default:
        return UH_SYS_FAILED;
    }
}

static uhttp_result uh_sys_listen_result(void)
{
    switch (errno) {
    case EADDRINUSE:   return UHTTP_ERR_IN_USE;
    case EACCES:
    case EPERM:        return UHTTP_ERR_DENIED;
    case EAFNOSUPPORT: return UHTTP_ERR_UNSUPPORTED;
    default:           return UHTTP_ERR_SYSTEM;
    }
}

static void uh_sys_sleep(uint32_t time_ms) { (void)poll(NULL, 0, (int)time_ms); }
static void uh_sys_close(uh_socket fd) { close(fd); }
static void uh_sys_shut_write(uh_socket fd) { shutdown(fd, SHUT_WR); }
static void uh_sys_shut(uh_socket fd) { shutdown(fd, SHUT_RDWR); }

/* An answer in several sends must not wait for the peer's delayed ACK. Accepted sockets inherit
 * this from their listener; what is no TCP does without. */
static bool uh_sys_prepare(uh_socket fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 &&
           fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

#ifdef MSG_NOSIGNAL
#define UH_SEND_FLAGS MSG_NOSIGNAL
#else
#define UH_SEND_FLAGS 0
#endif

static int uh_sys_recv_raw(uh_socket fd, void *to, size_t room)
{
    return (int)recv(fd, to, room, 0);
}

static int uh_sys_send_raw(uh_socket fd, const uhttp_str *parts, int count)
{
    struct iovec list[2];
    struct msghdr message;
    if (count == 1)
        return (int)send(fd, parts[0].ptr, parts[0].len, UH_SEND_FLAGS);
    memset(&message, 0, sizeof message);
    for (int i = 0; i < count; i++) {
        list[i].iov_base = (void *)(uintptr_t)parts[i].ptr;
        list[i].iov_len = parts[i].len;
    }
    message.msg_iov = list;
    message.msg_iovlen = 2;
    return (int)sendmsg(fd, &message, UH_SEND_FLAGS);
}

static uh_socket uh_sys_accept_raw(uh_socket fd, struct sockaddr *address, socklen_t *length)
{
#if defined(__linux__) && defined(_GNU_SOURCE)
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    uh_socket peer = accept(fd, address, length);
    if (peer != UH_NO_SOCKET && !uh_sys_prepare(peer)) {
        uh_sys_close(peer);
        return UH_NO_SOCKET;
    }
    return peer;
#endif
}

static bool uh_sys_reuse(uh_socket fd, bool reuse_port)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return false;
    if (!reuse_port)
        return true;
#ifdef SO_REUSEPORT
    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
#else
    return false;
#endif
}

#define UH_CALL(name) name

#endif

/*--- sockets, the same everywhere but on foreign platforms ----------------------*/

#if !UH_PORT

typedef union uh_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_storage space;
#if UH_POSIX
    struct sockaddr_un path;
#endif
#if UH_IPV6
    struct sockaddr_in6 v6;
#endif
} uh_sockaddr;

static uint16_t uh_port_read(const void *network_order)
{
    const uint8_t *bytes = (const uint8_t *)network_order;
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void uh_port_write(void *network_order, int port)
{
    uint8_t *bytes = (uint8_t *)network_order;
    bytes[0] = (uint8_t)(port >> 8);
    bytes[1] = (uint8_t)port;
}

static void uh_peer_set(uh_peer *peer, const uh_sockaddr *from)
{
    memset(peer, 0, sizeof *peer);
    if (from->any.sa_family == AF_INET) {
        peer->family = 4;
        peer->port = uh_port_read(&from->v4.sin_port);
        memcpy(peer->address, &from->v4.sin_addr, 4);
    }
#if UH_IPV6
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    if (from->any.sa_family == AF_INET6) {
        const uint8_t *bytes = (const uint8_t *)&from->v6.sin6_addr;
        bool is_v4 = memcmp(bytes, mapped, sizeof mapped) == 0;
        peer->family = is_v4 ? 4 : 6;
        peer->port = uh_port_read(&from->v6.sin6_port);
        memcpy(peer->address, is_v4 ? bytes + 12 : bytes, is_v4 ? 4 : 16);
    }
#endif
}

/* Reads a numeric address into a socket address; its length, 0: not an address. */
static socklen_t uh_sockaddr_set(uh_sockaddr *to, const char *address, int port)
{
    memset(to, 0, sizeof *to);
    if (UH_CALL(inet_pton)(AF_INET, address, &to->v4.sin_addr) == 1) {
        to->v4.sin_family = AF_INET;
        uh_port_write(&to->v4.sin_port, port);
        return (socklen_t)sizeof to->v4;
    }
#if UH_IPV6
    if (UH_CALL(inet_pton)(AF_INET6, address, &to->v6.sin6_addr) == 1) {
        to->v6.sin6_family = AF_INET6;
        uh_port_write(&to->v6.sin6_port, port);
        return (socklen_t)sizeof to->v6;
    }
#endif
    return 0;
}

/* "::" takes IPv4 as well, a specific IPv6 address only its own kind. */
static bool uh_sys_set_dual_stack(uh_socket fd, const uh_sockaddr *address)
{
#if UH_IPV6
    static const uint8_t any[16] = { 0 };
    if (address->any.sa_family != AF_INET6)
        return true;
    int only_v6 = memcmp(&address->v6.sin6_addr, any, sizeof any) != 0;
    return UH_CALL(setsockopt)(fd, IPPROTO_IPV6, IPV6_V6ONLY, (const char *)&only_v6,
                               (socklen_t)sizeof only_v6) == 0;
#else
    (void)fd;
    (void)address;
    return true;
#endif
}

#if UH_POSIX

/* Reads "unix:/path"; its length, 0: it is none. */
static socklen_t uh_unix_address(uh_sockaddr *to, const char *address)
{
    size_t length = strlen(address);
    if (strncmp(address, "unix:/", 6) != 0 || length - 5 >= sizeof to->path.sun_path)
        return 0;
    to->path.sun_family = AF_UNIX;
    memcpy(to->path.sun_path, address + 5, length - 5 + 1);
    return (socklen_t)sizeof to->path;
}

static bool uh_unix_is(const uh_sockaddr *at) { return at->any.sa_family == AF_UNIX; }

/* Is a socket of that name there, which nobody listens to? */
static bool uh_unix_is_stale(const uh_sockaddr *at, socklen_t length)
{
    struct stat about;
    if (lstat(at->path.sun_path, &about) != 0 || !S_ISSOCK(about.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool stale = fd >= 0 && uh_sys_prepare(fd) && connect(fd, &at->any, length) != 0 &&
                 errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

/* Nobody can connect before listen(), so nobody meets other permissions than these. */
static uhttp_result uh_unix_bind(int fd, const uh_sockaddr *at, socklen_t length, uint32_t mode)
{
    bool bound = bind(fd, &at->any, length) == 0;
    uhttp_result result = bound ? UHTTP_OK : uh_sys_listen_result();
    if (result == UHTTP_ERR_IN_USE && uh_unix_is_stale(at, length) &&
        unlink(at->path.sun_path) == 0) {
        bound = bind(fd, &at->any, length) == 0;
        result = bound ? UHTTP_OK : uh_sys_listen_result();
    }
    if (bound && mode != 0 && chmod(at->path.sun_path, (mode_t)mode) != 0)
        result = uh_sys_listen_result();
    if (bound && result != UHTTP_OK)
        unlink(at->path.sun_path);
    return result;
}

/* Which file has the name of a listening Unix socket, in a number; 0: it has no name there. */
static uint32_t uh_unix_find(int fd, uh_sockaddr *at)
{
    socklen_t length = (socklen_t)sizeof *at;
    struct stat about;
    memset(at, 0, sizeof *at);
    if (getsockname(fd, &at->any, &length) != 0 || !uh_unix_is(at) ||
        at->path.sun_path[0] != '/' || lstat(at->path.sun_path, &about) != 0)
        return 0;
    uint32_t mark = (uint32_t)about.st_ino ^ (uint32_t)about.st_dev << 16;
    return mark != 0 ? mark : 1;
}

static uint32_t uh_unix_mark(int fd)
{
    uh_sockaddr at;
    return uh_unix_find(fd, &at);
}

/* Removes that name while this socket still listens, as who finds it gone may bind it; but not
 * what another server has put in its place. */
static void uh_unix_remove(int fd, uint32_t mark)
{
    uh_sockaddr at;
    if (mark != 0 && uh_unix_find(fd, &at) == mark)
        unlink(at.path.sun_path);
}

#else

#define uh_unix_address(to, address)        ((socklen_t)0)
#define uh_unix_is(at)                      false
#define uh_unix_bind(fd, at, length, mode)  ((void)(mode), UHTTP_ERR_UNSUPPORTED)
#define uh_unix_mark(fd)                    ((void)(fd), 0u)
#define uh_unix_remove(fd, mark)            ((void)(fd), (void)(mark))

#endif

static uhttp_result uh_sys_bind(uh_socket fd, const uh_sockaddr *at, socklen_t length,
                                bool reuse_port, uint32_t unix_mode)
{
    if (uh_unix_is(at))
        return uh_unix_bind(fd, at, length, unix_mode);
    if (!uh_sys_reuse(fd, reuse_port) || !uh_sys_set_dual_stack(fd, at))
        return UHTTP_ERR_UNSUPPORTED;
    return UH_CALL(bind)(fd, &at->any, length) == 0 ? UHTTP_OK : uh_sys_listen_result();
}

static uhttp_result uh_sys_listen(uh_socket *fd, const char *address, int port,
                                  const uhttp_config *config)
{
    uh_sockaddr at;
    socklen_t length = uh_sockaddr_set(&at, address, port);
    if (length == 0)
        length = uh_unix_address(&at, address);
    if (length == 0)
        return UHTTP_ERR_INVALID;
    *fd = UH_CALL(socket)(at.any.sa_family, SOCK_STREAM, 0);
    if (*fd == UH_NO_SOCKET)
        return uh_sys_listen_result();
    uhttp_result result = uh_sys_bind(*fd, &at, length, config->reuse_port, config->unix_mode);
    if (result == UHTTP_OK &&
        (!uh_sys_prepare(*fd) || UH_CALL(listen)(*fd, config->backlog) != 0)) {
        result = uh_sys_listen_result();
        uh_unix_remove(*fd, uh_unix_mark(*fd));
    }
    if (result != UHTTP_OK) {
        uh_sys_close(*fd);
        *fd = UH_NO_SOCKET;
    }
    return result;
}

/* Is this a socket that listens? A system that cannot tell is believed. */
static bool uh_sys_listens(uh_socket fd)
{
    uh_sockaddr at;
    socklen_t length = (socklen_t)sizeof at;
#ifdef SO_ACCEPTCONN
    int on = 0;
    socklen_t size = (socklen_t)sizeof on;
    if (UH_CALL(getsockopt)(fd, SOL_SOCKET, SO_ACCEPTCONN, (char *)&on, &size) == 0)
        return on != 0;
#endif
    return UH_CALL(getsockname)(fd, &at.any, &length) == 0;
}

/* Lets the coming close() look like what it is: an abort. */
static void uh_sys_reset_on_close(uh_socket fd)
{
    struct linger now;
    now.l_onoff = 1;
    now.l_linger = 0;
    UH_CALL(setsockopt)(fd, SOL_SOCKET, SO_LINGER, (const char *)&now, (socklen_t)sizeof now);
}

static bool uh_sys_resets_on_close(uh_socket fd)
{
    struct linger how;
    socklen_t size = (socklen_t)sizeof how;
    how.l_onoff = 0;
    return UH_CALL(getsockopt)(fd, SOL_SOCKET, SO_LINGER, (char *)&how, &size) == 0 &&
           how.l_onoff != 0;
}

/* The address of a connected socket's other end; false: it is not connected, or no socket. */
static bool uh_sys_peer(uh_socket fd, uh_peer *peer)
{
    uh_sockaddr at;
    socklen_t length = (socklen_t)sizeof at;
    memset(&at, 0, sizeof at);
    if (UH_CALL(getpeername)(fd, &at.any, &length) != 0)
        return false;
    uh_peer_set(peer, &at);
    return true;
}

static void uh_sys_option(uh_socket fd, int level, int name, uint32_t value)
{
    int number = (int)value;
    UH_CALL(setsockopt)(fd, level, name, (const char *)&number, (socklen_t)sizeof number);
}

/* A peer that vanished without FIN or RST is noticed after dead_ms: by probes in the second
 * half of that time if nothing is owed, else by what it does not acknowledge. Where that counts
 * a closed window too, a slow reader has its time. What has no such option does without: an
 * older system, a Unix socket. */
#if UH_LWIP                     /* which may be built without the last two */
static void uh_sys_probe(uh_socket fd, uint32_t dead_ms, uint32_t send_ms)
{
    (void)send_ms;
    if (dead_ms == UHTTP_NEVER)
        return;
    uh_sys_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    uh_sys_option(fd, IPPROTO_TCP, TCP_KEEPALIVE, dead_ms / 2);
#if LWIP_TCP_KEEPALIVE
    uh_sys_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, dead_ms < 12000 ? 1 : dead_ms / 6000);
    uh_sys_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
#endif
}
#else
#if UH_WINSOCK                  /* since Windows 10, whose numbers older headers do not have */
#define UH_KEEP_IDLE     3
#define UH_KEEP_INTERVAL 17
#define UH_KEEP_COUNT    16
#define UH_GIVE_UP       5      /* TCP_MAXRT, in seconds */
#elif defined(TCP_KEEPINTVL)
#ifdef __APPLE__
#define UH_KEEP_IDLE     TCP_KEEPALIVE
#define UH_GIVE_UP       TCP_RXT_CONNDROPTIME
#else
#define UH_KEEP_IDLE     TCP_KEEPIDLE
#endif
#define UH_KEEP_INTERVAL TCP_KEEPINTVL
#define UH_KEEP_COUNT    TCP_KEEPCNT
#endif

static void uh_sys_probe(uh_socket fd, uint32_t dead_ms, uint32_t send_ms)
{
    uint32_t sixth = dead_ms < 12000 ? 1 : dead_ms / 6000;
    uint32_t idle = dead_ms / 1000 > 3 * sixth ? dead_ms / 1000 - 3 * sixth : 1;
    (void)send_ms;
    (void)idle;
    if (dead_ms == UHTTP_NEVER)
        return;
    uh_sys_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#ifdef UH_KEEP_IDLE
    uh_sys_option(fd, IPPROTO_TCP, UH_KEEP_IDLE, idle);
    uh_sys_option(fd, IPPROTO_TCP, UH_KEEP_INTERVAL, sixth);
    uh_sys_option(fd, IPPROTO_TCP, UH_KEEP_COUNT, 3);
#endif
#ifdef TCP_USER_TIMEOUT
    if (send_ms != UHTTP_NEVER)
        uh_sys_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, dead_ms > send_ms ? dead_ms : send_ms);
#elif defined(UH_GIVE_UP)
    uh_sys_option(fd, IPPROTO_TCP, UH_GIVE_UP, idle + 3 * sixth);
#endif
}
#endif

/* The address of a socket's own end; family 0 if it has none. */
static uh_peer uh_sys_local(uh_socket fd)
{
    uh_sockaddr at;
    uh_peer local;
    socklen_t length = (socklen_t)sizeof at;
    memset(&local, 0, sizeof local);
    memset(&at, 0, sizeof at);
    if (fd != UH_NO_SOCKET && UH_CALL(getsockname)(fd, &at.any, &length) == 0)
        uh_peer_set(&local, &at);
    return local;
}

static uh_socket uh_sys_accept(uh_socket fd, uh_peer *peer, uh_sys_error *error)
{
    uh_sockaddr from;
    socklen_t length = (socklen_t)sizeof from;
    from.any.sa_family = 0;
    uh_socket accepted = uh_sys_accept_raw(fd, &from.any, &length);
    if (accepted == UH_NO_SOCKET)
        *error = uh_sys_last_error();
    else
        uh_peer_set(peer, &from);
    if (UH_ROOMY && accepted != UH_NO_SOCKET && length == 0) {      /* macOS: it has left */
        uh_sys_close(accepted);
        *error = UH_SYS_FAILED;
        return UH_NO_SOCKET;
    }
    return accepted;
}

/* UHTTP_FULL: no memory for it now; the system may call the socket ready all the same. */
static int uh_sys_count(int n)
{
    static const int8_t words[] = {
        UHTTP_WANT_READ, UHTTP_WANT_READ, UHTTP_FULL, UHTTP_FAILED
    };
    return n >= 0 ? n : words[uh_sys_last_error()];
}

/* A count, 0 at the end, UHTTP_WANT_READ, UHTTP_FULL or UHTTP_FAILED. */
static int uh_sys_recv(uh_socket fd, void *to, size_t room)
{
    return uh_sys_count(uh_sys_recv_raw(fd, to, room));
}

/* A count, UHTTP_WANT_WRITE, UHTTP_FULL or UHTTP_FAILED. */
static int uh_sys_send(uh_socket fd, const uhttp_str *parts, int count)
{
    int n = uh_sys_count(uh_sys_send_raw(fd, parts, count));
    return n == UHTTP_WANT_READ ? UHTTP_WANT_WRITE : n;
}

/* Is something there to be read, or a newcomer to be accepted? */
#if !UH_POSIX
static bool uh_sys_is_readable(uh_socket fd)
{
    fd_set set;
    struct timeval at_once;
    memset(&set, 0, sizeof set);
    memset(&at_once, 0, sizeof at_once);
    FD_SET((size_t)fd, &set);
    return UH_CALL(select)((int)fd + 1, &set, NULL, NULL, &at_once) > 0;
}
#else
static bool uh_sys_is_readable(uh_socket fd)
{
    struct pollfd about;
    about.fd = fd;
    about.events = POLLIN;
    return poll(&about, 1, 0) > 0;
}
#endif

/* Can there be more descriptors than a set has room for? lwIP has as many of either. */
#define UH_SETS_ARE_SHORT   (!UH_LWIP)
#define UH_ACCEPT_IS_GREEDY (!UH_LWIP)      /* needs a descriptor to see that nobody is there */

/* Gives a socket the lowest number that is free, for sets that have a bit for each number. */
static uh_socket uh_sys_renumber(uh_socket fd)
{
#if !UH_POSIX
    return fd;
#else
    int lower = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (lower < 0)
        return fd;
    uh_sys_close(fd);
    return lower;
#endif
}

/* Writes an address with its NUL; its length, 0: none, or size is too small. */
static size_t uh_peer_format(const uh_peer *peer, char *out, size_t size)
{
    char text[64];
    const char *done = NULL;
    if (peer->family == 4)
        done = UH_CALL(inet_ntop)(AF_INET, peer->address, text, sizeof text);
#if UH_IPV6
    if (peer->family == 6)
        done = UH_CALL(inet_ntop)(AF_INET6, peer->address, text, sizeof text);
#endif
    size_t length = done != NULL ? strlen(text) : 0;
    if (length == 0 || length >= size)
        return 0;
    memcpy(out, text, length + 1);
    return length;
}

/* Reads a numeric address; false: it is none. */
static bool uh_peer_parse(uhttp_str text, uh_peer *peer)
{
    char address[48];
    uh_sockaddr at;
    if (text.len == 0 || text.len >= sizeof address || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(address, text.ptr, text.len);
    address[text.len] = '\0';
    if (uh_sockaddr_set(&at, address, 0) == 0)
        return false;
    uh_peer_set(peer, &at);
    return true;
}

#endif

/*--- what the system tells of a peer ----------------------------------------------*/

/* Bytes that a connection has taken and not passed on, as the peer has no room; 0 where the
 * system does not tell. What BSD and macOS count is what the peer has not acknowledged. */
#define UH_TELLS_UNSENT UH_POSIX

static uint32_t uh_sys_unsent(uh_socket fd)
{
    int bytes = 0;
#if UH_LINUX
    int failed = ioctl(fd, 0x894b, &bytes);     /* SIOCOUTQNSD; a Unix socket has none */
#elif UH_POSIX && defined(SO_NWRITE)
    socklen_t size = sizeof bytes;
    int failed = getsockopt(fd, SOL_SOCKET, SO_NWRITE, &bytes, &size);
#elif UH_POSIX && defined(FIONWRITE)
    int failed = ioctl(fd, FIONWRITE, &bytes);
#else
    int failed = 1;
    (void)fd;
#endif
    return failed == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

/* Has a peer left behind bytes that nobody has read? By FIN it may have, by RST it has. */
typedef enum uh_leaving { UH_STAYS, UH_SHUT, UH_GONE } uh_leaving;

#define UH_TELLS_LEAVING (UH_LINUX || UH_KQUEUE)

static uh_leaving uh_sys_leaving(uh_socket fd)
{
#if UH_KQUEUE
    const struct timespec at_once = { 0, 0 };
    struct kevent about;
    int queue = kqueue();
    EV_SET(&about, (uintptr_t)fd, EVFILT_READ, EV_ADD, 0, 0, 0);
    int count = queue < 0 ? 0 : kevent(queue, &about, 1, &about, 1, &at_once);
    if (queue >= 0)
        close(queue);
    if (count < 1 || (about.flags & EV_EOF) == 0)
        return UH_STAYS;
    return about.fflags != 0 ? UH_GONE : UH_SHUT;
#elif UH_LINUX
    struct pollfd about;
    about.fd = fd;
#ifdef POLLRDHUP
    about.events = POLLRDHUP;
#else
    about.events = 0x2000;      /* the same, but for SPARC; <poll.h> wants _GNU_SOURCE for it */
#endif
    if (poll(&about, 1, 0) < 1)
        return UH_STAYS;
    return (about.revents & (POLLERR | POLLHUP)) != 0 ? UH_GONE : UH_SHUT;
#else
    (void)fd;
    return UH_STAYS;
#endif
}

/*--- files: what config.files is by default -------------------------------------*/

#define UH_FILE_CANNOT (-6)     /* sendfile() does not work between these two */

#if UH_FILES && UH_WINSOCK

#define UH_PATH_MAX 512         /* of a path in UTF-16 */
#define UH_EPOCH    116444736000000000u     /* 1970 in the system's time, 100 ns since 1601 */

static uhttp_result uh_file_result(void)
{
    switch (GetLastError()) {
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION:    return UHTTP_ERR_DENIED;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS:       return UHTTP_ERR_IN_USE;
    case ERROR_TOO_MANY_OPEN_FILES:
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL:     return UHTTP_ERR_MEMORY;
    default:                         return UHTTP_ERR_SYSTEM;
    }
}

/* Writes a path in UTF-16 into UH_PATH_MAX characters. */
static bool uh_file_widen(const char *path, wchar_t *wide)
{
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, UH_PATH_MAX) > 0)
        return true;
    SetLastError(ERROR_FILE_NOT_FOUND);
    return false;
}

static HANDLE uh_file_handle(const char *path, DWORD access, DWORD disposition)
{
    wchar_t wide[UH_PATH_MAX];
    const DWORD others = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    if (!uh_file_widen(path, wide))
        return INVALID_HANDLE_VALUE;
    return CreateFileW(wide, access, others, NULL, disposition, FILE_FLAG_BACKUP_SEMANTICS,
                       NULL);
}

/* Does what was opened, links resolved, lie below root? A short name ("GIT~1") is a second
 * name, and could be that of a hidden file: it is none here. */
static bool uh_file_is_below(HANDLE file, const char *root, const char *name)
{
    wchar_t below[UH_PATH_MAX];
    wchar_t above[UH_PATH_MAX];
    for (const char *p = strchr(name, '~'); p != NULL; p = strchr(p + 1, '~')) {
        if (p[1] >= '0' && p[1] <= '9')
            return false;
    }
    HANDLE directory = uh_file_handle(root[0] != '\0' ? root : ".", 0, OPEN_EXISTING);
    if (directory == INVALID_HANDLE_VALUE)
        return false;
    DWORD length = GetFinalPathNameByHandleW(directory, above, UH_PATH_MAX, 0);
    DWORD whole = GetFinalPathNameByHandleW(file, below, UH_PATH_MAX, 0);
    CloseHandle(directory);
    if (length == 0 || length >= UH_PATH_MAX || whole < length || whole >= UH_PATH_MAX)
        return false;
    bool ends = above[length - 1] == L'\\' || below[length] == L'\\' || below[length] == L'\0';
    return ends && memcmp(above, below, length * sizeof *above) == 0;
}

static uhttp_result uh_file_open(void *user, const char *path, const char *root, void **file,
                                 uhttp_file_info *info)
{
    BY_HANDLE_FILE_INFORMATION about;
    HANDLE h = uh_file_handle(path, GENERIC_READ, OPEN_EXISTING);
    (void)user;
    if (h == INVALID_HANDLE_VALUE)
        return uh_file_result();
    if (GetFileType(h) != FILE_TYPE_DISK || !GetFileInformationByHandle(h, &about) ||
        (root != NULL && !uh_file_is_below(h, root, path + strlen(root)))) {
        CloseHandle(h);
        return UHTTP_ERR_SYSTEM;
    }
    uint64_t written = (uint64_t)about.ftLastWriteTime.dwHighDateTime << 32 |
                       about.ftLastWriteTime.dwLowDateTime;
    written = written > UH_EPOCH ? written - UH_EPOCH : 0;
    info->size = (uint64_t)about.nFileSizeHigh << 32 | about.nFileSizeLow;
    info->modified = (int64_t)(written / 10000000);
    info->modified_ns = (uint32_t)(written % 10000000) * 100;
    info->is_dir = (about.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    *file = h;
    return UHTTP_OK;
}

static size_t uh_file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    OVERLAPPED at;
    DWORD n = 0;
    (void)user;
    memset(&at, 0, sizeof at);
    at.Offset = (DWORD)(offset & 0xffffffffu);
    at.OffsetHigh = (DWORD)(offset >> 32);
    return ReadFile((HANDLE)file, to, (DWORD)(length & 0x7fffffff), &n, &at) ? n : 0;
}

static void uh_file_close(void *user, void *file)
{
    (void)user;
    CloseHandle((HANDLE)file);
}

static uhttp_result uh_file_create(void *user, const char *path, void **file)
{
    HANDLE h = uh_file_handle(path, GENERIC_WRITE, CREATE_NEW);
    (void)user;
    if (h == INVALID_HANDLE_VALUE)
        return uh_file_result();
    *file = h;
    return UHTTP_OK;
}

static uhttp_result uh_file_write(void *user, void *file, const void *data, size_t length)
{
    DWORD n = 0;
    (void)user;
    if (!WriteFile((HANDLE)file, data, (DWORD)length, &n, NULL))
        return uh_file_result();
    return n == length ? UHTTP_OK : UHTTP_ERR_MEMORY;
}

static uhttp_result uh_file_finish(void *user, void *file, const char *written,
                                   const char *path)
{
    wchar_t from[UH_PATH_MAX];
    wchar_t to[UH_PATH_MAX];
    bool kept = path != NULL && FlushFileBuffers((HANDLE)file) && uh_file_widen(path, to);
    bool named = uh_file_widen(written, from);
    (void)user;
    CloseHandle((HANDLE)file);
    if (kept && named &&
        MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return UHTTP_OK;
    uhttp_result result = path != NULL ? uh_file_result() : UHTTP_OK;
    if (named)
        DeleteFileW(from);
    return result;
}

#define UH_PATH_BYTES (UH_PATH_MAX * 3)     /* of a path in UTF-8 */

/* The same path with its drive and directories, so that it stays good when the program changes
 * its directory; as it is if that cannot be told. out has UH_PATH_BYTES. */
static const char *uh_file_absolute(const char *path, char *out)
{
    wchar_t wide[UH_PATH_MAX];
    wchar_t full[UH_PATH_MAX];
    DWORD length = uh_file_widen(path, wide) ? GetFullPathNameW(wide, UH_PATH_MAX, full, NULL)
                                             : 0;
    if (length == 0 || length >= UH_PATH_MAX ||
        WideCharToMultiByte(CP_UTF8, 0, full, -1, out, UH_PATH_BYTES, NULL, NULL) == 0)
        return path;
    return out;
}

static void uh_file_root_close(int kept) { (void)kept; }

#elif UH_FILES && (UH_POSIX || UH_ESP)

/* Failures of files, in the words of uhttp_files. */
static uhttp_result uh_file_result(void)
{
    switch (errno) {
    case EACCES:
    case EPERM:
    case EROFS:
        return UHTTP_ERR_DENIED;
    case EEXIST:
        return UHTTP_ERR_IN_USE;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EFBIG:
#ifdef EDQUOT
    case EDQUOT:
#endif
        return UHTTP_ERR_MEMORY;
    default:
        return UHTTP_ERR_SYSTEM;
    }
}

/* Its pointer is the descriptor plus one, as 0 is a valid descriptor. */
static int uh_file_fd(void *file) { return (int)((intptr_t)file - 1); }

#if UH_ESP

/* The virtual file system of ESP-IDF: no links, no current directory. FAT does not tell the
 * time of an open file, and a directory cannot be opened: NULL stands for it. */
static uhttp_result uh_file_open(void *user, const char *path, const char *root, void **file,
                                 uhttp_file_info *info)
{
    char bare[256];             /* without a slash at its end, which FAT does not find */
    struct stat about;
    size_t length = strlen(path);
    (void)user;
    (void)root;
    if (length >= sizeof bare)
        return UHTTP_ERR_SYSTEM;
    memcpy(bare, path, length + 1);
    while (length > 1 && bare[length - 1] == '/')
        bare[--length] = '\0';
    if (stat(bare, &about) != 0)
        return uh_file_result();
    info->is_dir = S_ISDIR(about.st_mode);
    if (!info->is_dir && (!S_ISREG(about.st_mode) || path[length] == '/'))
        return UHTTP_ERR_SYSTEM;
    int fd = info->is_dir ? -1 : open(bare, O_RDONLY);
    if (fd < 0 && !info->is_dir)
        return uh_file_result();
    info->size = (uint64_t)about.st_size;
    info->modified = (int64_t)about.st_mtime;
    *file = (void *)((intptr_t)fd + 1);
    return UHTTP_OK;
}

/* Not every file system there knows pread(). */
static size_t uh_file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    int fd = uh_file_fd(file);
    (void)user;
    if (lseek(fd, (off_t)offset, SEEK_SET) != (off_t)offset)
        return 0;
    ssize_t n = read(fd, to, length);
    return n > 0 ? (size_t)n : 0;
}

static void uh_file_close(void *user, void *file)
{
    (void)user;
    if (file != NULL)
        close(uh_file_fd(file));
}

static uhttp_result uh_file_create(void *user, const char *path, void **file)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    (void)user;
    if (fd < 0)
        return uh_file_result();
    *file = (void *)((intptr_t)fd + 1);
    return UHTTP_OK;
}

static uhttp_result uh_file_write(void *user, void *file, const void *data, size_t length)
{
    const char *p = (const char *)data;
    const char *end = p + length;
    (void)user;
    while (p < end) {
        ssize_t n = write(uh_file_fd(file), p, (size_t)(end - p));
        if (n <= 0)
            return n < 0 ? uh_file_result() : UHTTP_ERR_MEMORY;
        p += n;
    }
    return UHTTP_OK;
}

/* FAT and SPIFFS do not rename to the name of a file that is there: it is removed first. */
static uhttp_result uh_file_rename(const char *from, const char *to)
{
    struct stat about;
    if (rename(from, to) == 0)
        return UHTTP_OK;
    uhttp_result result = uh_file_result();
    if (stat(to, &about) != 0 || !S_ISREG(about.st_mode) || unlink(to) != 0)
        return result;
    return rename(from, to) == 0 ? UHTTP_OK : uh_file_result();
}

/* Where there is no fsync(), closing a file writes it. */
static uhttp_result uh_file_finish(void *user, void *file, const char *written,
                                   const char *path)
{
    int fd = uh_file_fd(file);
    uhttp_result result = UHTTP_OK;
    (void)user;
    if (path != NULL && fsync(fd) != 0 && errno != ENOSYS)
        result = uh_file_result();
    if (close(fd) != 0 && result == UHTTP_OK)
        result = uh_file_result();
    if (path != NULL && result == UHTTP_OK)
        result = uh_file_rename(written, path);
    if (path == NULL || result != UHTTP_OK)
        unlink(written);
    return path == NULL ? UHTTP_OK : result;
}

#else

/* Nothing here may wait, as opening a pipe would. */
#define UH_FILE_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#ifdef O_PATH
#define UH_FILE_PASSES (O_PATH | O_DIRECTORY | O_CLOEXEC)     /* of a directory on the way */
#else
#define UH_FILE_PASSES (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#endif

/* Opens a name below a directory, piece by piece, and follows no link. */
static int uh_file_walk(int root, const char *name)
{
    char piece[256];
    int directory = root;
    for (;;) {
        size_t length = strcspn(name, "/");
        bool last = name[length] == '\0' || name[length + 1] == '\0';
        bool fits = length < sizeof piece;
        memcpy(piece, length > 0 ? name : ".", length > 0 && fits ? length : 1);
        piece[length > 0 && fits ? length : 1] = '\0';
        bool must_be_directory = name[length] == '/';
        int flags = !last ? UH_FILE_PASSES : must_be_directory ? UH_FILE_FLAGS | O_DIRECTORY
                                                               : UH_FILE_FLAGS;
        int next = fits ? openat(directory, piece, flags | O_NOFOLLOW) : -1;
        int error = fits ? errno : ENAMETOOLONG;
        if (directory != root)
            close(directory);
        errno = error;
        if (next < 0 || last)
            return next;
        directory = next;
        name += length + 1;
    }
}

#if defined(O_LARGEFILE)        /* openat2() does not add it by itself */
#define UH_FILE_LARGE O_LARGEFILE
#elif defined(__O_LARGEFILE)
#define UH_FILE_LARGE __O_LARGEFILE
#else
#define UH_FILE_LARGE 0
#endif

/* Opens a name below a directory; whatever links are in it, never outside. */
static int uh_file_open_below(int root, const char *name)
{
#if defined(SYS_openat2) && !defined(__ANDROID__) && /* whose sandbox may end the process */ \
    (defined(_GNU_SOURCE) || defined(_DEFAULT_SOURCE))
    struct {
        uint64_t flags, mode, resolve;
    } how = { UH_FILE_FLAGS | UH_FILE_LARGE, 0, 0x0a };
    /* that is: RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS */
    int fd = (int)syscall(SYS_openat2, root, name[0] != '\0' ? name : ".", &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EAGAIN))
        return fd;
#endif
    return uh_file_walk(root, name);
}

/* The root of files stays open at *user, from the first name below it until
 * uh_file_root_close(): a file and the .gz beside it are looked for in turn. */
static int uh_file_open_in_root(void *user, const char *root, const char *name)
{
    int *kept = (int *)user;
    if (*kept < 0)
        *kept = open(root[0] != '\0' ? root : ".", UH_FILE_PASSES);
    return *kept >= 0 ? uh_file_open_below(*kept, name) : -1;
}

static void uh_file_root_close(int kept)
{
    if (kept >= 0)
        close(kept);
}

static uhttp_result uh_file_open(void *user, const char *path, const char *root, void **file,
                                 uhttp_file_info *info)
{
    struct stat about;
    int fd = root != NULL ? uh_file_open_in_root(user, root, path + strlen(root) + 1)
                          : open(path, UH_FILE_FLAGS);
    if (fd < 0)
        return uh_file_result();
    if (fstat(fd, &about) != 0 || (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode))) {
        close(fd);
        return UHTTP_ERR_SYSTEM;
    }
    info->size = (uint64_t)about.st_size;
    info->modified = (int64_t)about.st_mtime;
#ifdef __APPLE__
    info->modified_ns = (uint32_t)about.st_mtimespec.tv_nsec;
#else
    info->modified_ns = (uint32_t)about.st_mtim.tv_nsec;
#endif
    info->is_dir = S_ISDIR(about.st_mode);
    *file = (void *)((intptr_t)fd + 1);
    return UHTTP_OK;
}

static size_t uh_file_read(void *user, void *file, uint64_t offset, void *to, size_t length)
{
    ssize_t n;
    (void)user;
    do {
        n = pread(uh_file_fd(file), to, length, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}

static void uh_file_close(void *user, void *file)
{
    (void)user;
    close(uh_file_fd(file));
}

static uhttp_result uh_file_create(void *user, const char *path, void **file)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    (void)user;
    if (fd < 0)
        return uh_file_result();
    *file = (void *)((intptr_t)fd + 1);
    return UHTTP_OK;
}

/* Writing on would bring SIGXFSZ, which ends the process by default. */
static bool uh_file_is_at_limit(int fd)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           (uint64_t)lseek(fd, 0, SEEK_CUR) >= (uint64_t)limit.rlim_cur;
}

static uhttp_result uh_file_write(void *user, void *file, const void *data, size_t length)
{
    const char *p = (const char *)data;
    const char *end = p + length;
    (void)user;
    while (p < end) {
        if (uh_file_is_at_limit(uh_file_fd(file)))
            return UHTTP_ERR_MEMORY;
        ssize_t n = write(uh_file_fd(file), p, (size_t)(end - p));
        if (n < 0 && errno != EINTR)
            return uh_file_result();
        if (n == 0)
            return UHTTP_ERR_MEMORY;
        p += n > 0 ? n : 0;
    }
    return UHTTP_OK;
}

#define UH_PATH_BYTES 4096      /* of a path with its NUL */

/* A file's new name is safe when its directory is. One that cannot be opened, or whose file
 * system knows no such thing, is left alone. */
static bool uh_file_flush_directory(const char *path)
{
    char directory[UH_PATH_BYTES];
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (length + 2 > sizeof directory)
        return true;
    memcpy(directory, path, length);
    memcpy(directory + length, ".", 2);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool failed = fd >= 0 && fsync(fd) != 0 && (errno == EIO || errno == ENOSPC);
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return !failed;
}

/* The same path from the root of the file system, so that it stays good when the program
 * changes its directory; as it is if that cannot be told. out has UH_PATH_BYTES. */
static const char *uh_file_absolute(const char *path, char *out)
{
    if (path[0] == '/' || getcwd(out, UH_PATH_BYTES) == NULL || out[0] != '/')
        return path;
    size_t length = strlen(out);
    if (strlen(path) + 2 > UH_PATH_BYTES - length)
        return path;
    out[length] = '/';
    memcpy(out + length + 1, path, strlen(path) + 1);
    return out;
}

static uhttp_result uh_file_finish(void *user, void *file, const char *written,
                                   const char *path)
{
    bool flushed = path != NULL && fsync(uh_file_fd(file)) == 0;
    uhttp_result result = path != NULL && !flushed ? uh_file_result() : UHTTP_OK;
    (void)user;
    if (close(uh_file_fd(file)) != 0 && flushed) {      /* some systems write only now */
        result = uh_file_result();
        flushed = false;
    }
    bool renamed = flushed && rename(written, path) == 0;
    if (renamed && uh_file_flush_directory(path))
        return UHTTP_OK;
    if (flushed)
        result = uh_file_result();
    if (!renamed)               /* else it is whole, and what it has replaced is gone */
        unlink(written);
    return result;
}

#endif

#endif

#if UH_FILES && !UH_POSIX && !UH_WINSOCK    /* no path depends on a current directory */

#define UH_PATH_BYTES 1

static const char *uh_file_absolute(const char *path, char *out)
{
    (void)out;
    return path;
}

static void uh_file_root_close(int kept) { (void)kept; }

#endif

#if UH_FILES && (UH_POSIX || UH_WINSOCK || UH_ESP)

static const uhttp_files uh_files_of_system = {
    NULL, uh_file_open, uh_file_read, uh_file_close, uh_file_create, uh_file_write,
    uh_file_finish
};
static const uhttp_files *const uh_system_files = &uh_files_of_system;

#else

static const uhttp_files *const uh_system_files = NULL;

#endif

/* Sends from a file without a copy: a count, 0 at its end, UHTTP_WANT_WRITE, UHTTP_FULL,
 * UHTTP_FAILED or UH_FILE_CANNOT. */
#if UH_FILES && UH_LINUX

/* SIGPIPE cannot be switched off for one sendfile(). So it is held back meanwhile and taken
 * off again, also where some was sent before it came; a program that blocks it itself keeps it
 * pending. */
static int uh_sys_sendfile(uh_socket fd, void *file, uint64_t at, size_t length)
{
    off_t offset = (off_t)at;
    sigset_t pipe_signal, before;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigprocmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t n = sendfile(fd, uh_file_fd(file), &offset, length);
    int error = errno;
    if (n < (ssize_t)length && !sigismember(&before, SIGPIPE)) {
        const struct timespec at_once = { 0, 0 };
        sigtimedwait(&pipe_signal, NULL, &at_once);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (n < 0 && (error == EINVAL || error == ENOSYS || error == EOPNOTSUPP))
        return UH_FILE_CANNOT;
    errno = error;
    int sent = uh_sys_count((int)n);
    return sent == UHTTP_WANT_READ ? UHTTP_WANT_WRITE : sent;
}

#elif UH_FILES && (defined(__APPLE__) || defined(__FreeBSD__))

static int uh_sys_sendfile(uh_socket fd, void *file, uint64_t at, size_t length)
{
#ifdef __APPLE__
    off_t sent = (off_t)length;
    int result = sendfile(uh_file_fd(file), fd, (off_t)at, &sent, NULL, 0);
#else
    off_t sent = 0;
    int result = sendfile(uh_file_fd(file), fd, (off_t)at, length, NULL, &sent, 0);
#endif
    if (sent > 0 || result == 0)        /* some went even where it would block */
        return (int)sent;
    if (errno == EINVAL || errno == ENOTSUP || errno == EOPNOTSUPP)
        return UH_FILE_CANNOT;
    int why = uh_sys_count(-1);
    return why == UHTTP_WANT_READ ? UHTTP_WANT_WRITE : why;
}

#elif UH_FILES

static int uh_sys_sendfile(uh_socket fd, void *file, uint64_t at, size_t length)
{
    (void)fd;
    (void)file;
    (void)at;
    (void)length;
    return UH_FILE_CANNOT;
}

#endif

/*--- wake-up: a socket that one thread reads and any may write ------------------*/

#ifndef UH_WAKE_PIPE
#define UH_WAKE_PIPE UH_POSIX
#endif

/* lwIP may drop a datagram it has taken, as it needs memory to deliver it, too. So whoever
 * wakes also sets server.woken, and the server looks at that at least once in this time. */
#if UH_LWIP && (LWIP_NETIF_LOOPBACK || LWIP_HAVE_LOOPIF)
#define UH_WAKE_LOOK_MS 1000u
#else
#define UH_WAKE_LOOK_MS UHTTP_NEVER
#endif
#define UH_WAKE_IS_LOSSY (UH_WAKE_LOOK_MS != UHTTP_NEVER)

#if UH_WAKE_PIPE

typedef struct uh_wake {        /* a pipe */
    uh_socket in, out;
} uh_wake;

static bool uh_wake_open(uh_wake *w)
{
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    w->in = ends[0];
    w->out = ends[1];
    if (uh_sys_prepare(w->in) && uh_sys_prepare(w->out))
        return true;
    close(w->in);
    close(w->out);
    return false;
}

/* A full pipe wakes as well. */
static bool uh_wake_send(const uh_wake *w)
{
    return write(w->out, "", 1) == 1 || uh_sys_last_error() == UH_SYS_AGAIN;
}

static void uh_wake_drain(const uh_wake *w)
{
    char trash[64];
    while (read(w->in, trash, sizeof trash) == (ssize_t)sizeof trash) { }
}

static void uh_wake_close(uh_wake *w)
{
    close(w->in);
    close(w->out);
}

#elif UH_PORT

typedef struct uh_wake {
    uh_socket in;
} uh_wake;

static bool uh_wake_open(uh_wake *w) { return uhttp_port_wake_open(&w->in); }
static bool uh_wake_send(const uh_wake *w) { return uhttp_port_wake_send(w->in); }
static void uh_wake_drain(const uh_wake *w) { uhttp_port_wake_drain(w->in); }
static void uh_wake_close(uh_wake *w) { uhttp_port_wake_close(w->in); }

#elif UH_LWIP && !LWIP_NETIF_LOOPBACK && !LWIP_HAVE_LOOPIF

typedef struct uh_wake {        /* nothing to wake with */
    uh_socket in;
} uh_wake;

static bool uh_wake_open(uh_wake *w)
{
    w->in = UH_NO_SOCKET;
    return false;
}

static bool uh_wake_send(const uh_wake *w) { return w->in != UH_NO_SOCKET; }
static void uh_wake_drain(const uh_wake *w) { (void)w; }
static void uh_wake_close(uh_wake *w) { (void)w; }

#else

typedef struct uh_wake {
    uh_socket in;       /* a UDP socket connected to itself */
} uh_wake;

static bool uh_wake_open(uh_wake *w)
{
    uh_sockaddr at;
    socklen_t length = uh_sockaddr_set(&at, "127.0.0.1", 0);
    w->in = UH_CALL(socket)(AF_INET, SOCK_DGRAM, 0);
    if (w->in == UH_NO_SOCKET)
        return false;
    if (UH_CALL(bind)(w->in, &at.any, length) == 0 &&
        UH_CALL(getsockname)(w->in, &at.any, &length) == 0 &&
        UH_CALL(connect)(w->in, &at.any, length) == 0 && uh_sys_prepare(w->in))
        return true;
    uh_sys_close(w->in);
    return false;
}

/* Where so many datagrams wait that one would block, the socket is readable anyway. Without
 * memory there is none: whoever wakes is told so. */
static bool uh_wake_send(const uh_wake *w)
{
    return UH_CALL(send)(w->in, "", 1, 0) == 1 || uh_sys_last_error() == UH_SYS_AGAIN;
}

static void uh_wake_drain(const uh_wake *w)
{
    char trash[16];
    while (uh_sys_recv_raw(w->in, trash, sizeof trash) > 0) { }
}

static void uh_wake_close(uh_wake *w) { uh_sys_close(w->in); }

#endif

/*--- the poller: the one thing that knows select(), epoll and kqueue ---------------*/

#define UH_READ  1u         /* what a socket is watched for, and what happened to it */
#define UH_WRITE 2u
#define UH_LEAVING 4u       /* of a slot: closed, but the program's loop does not know */

#if UH_PORT

/* Watched sockets stand in the order of their tokens; a wish of 0: none. */
typedef struct uh_poller {
    uhttp_port_watch *list;
    uint32_t tokens;
    uint32_t count;         /* sockets watched */
    uint32_t cursor;        /* of uh_poller_next */
    int pending;            /* entries that were reported and next has not shown */
} uh_poller;

#define UH_WATCHED_SIZE sizeof(uhttp_port_watch)

static size_t uh_poller_size(uint32_t tokens) { return (size_t)tokens * UH_WATCHED_SIZE; }

/* p and memory have been wiped. */
static void uh_poller_open(uh_poller *p, void *memory, uint32_t tokens, bool fixed)
{
    (void)fixed;
    p->list = (uhttp_port_watch *)memory;
    p->tokens = tokens;
    for (uint32_t i = 0; i < tokens; i++)
        p->list[i].socket = UH_NO_SOCKET;
}

static bool uh_poller_is_full(const uh_poller *p, uint32_t sockets)
{
    (void)p;
    return sockets >= UHTTP_PORT_SOCKETS;
}

static bool uh_poller_fits(const uh_poller *p, uh_socket fd)
{
    return fd != UH_NO_SOCKET && p->count < UHTTP_PORT_SOCKETS;
}

static uh_socket uh_poller_socket(const uh_poller *p, uint32_t token)
{
    return p->list[token].socket;
}

static unsigned uh_poller_wish(const uh_poller *p, uint32_t token)
{
    return p->list[token].wish;
}

static bool uh_poller_watch(uh_poller *p, uh_socket fd, uint32_t token, unsigned interest)
{
    uhttp_port_watch *w = &p->list[token];
    bool is_new = w->wish == 0;
    if (is_new && (interest == 0 || !uh_poller_fits(p, fd)))
        return interest == 0;
    w->socket = interest != 0 ? fd : UH_NO_SOCKET;
    w->wish = (uint8_t)(interest & 3u);
    w->ready &= (uint8_t)~3u;
    p->count += is_new ? 1u : 0u;
    p->count -= interest == 0 ? 1u : 0u;
    return true;
}

static bool uh_poller_wait(uh_poller *p, int timeout_ms)
{
    p->cursor = 0;
    p->pending = 0;
    int n = uhttp_port_wait(p->list, p->tokens, timeout_ms);
    p->pending = n > 0 ? n : 0;
    return n >= 0;
}

static unsigned uh_poller_next(uh_poller *p, uint32_t *token)
{
    while (p->pending > 0 && p->cursor < p->tokens) {
        const uhttp_port_watch *w = &p->list[p->cursor++];
        unsigned got = w->wish & w->ready & 3u;
        if (w->wish == 0 || w->ready == 0)
            continue;
        p->pending--;
        *token = p->cursor - 1;
        if (got != 0)
            return got;
    }
    return 0;
}

static void uh_poller_end(uh_poller *p) { (void)p; }
static void uh_poller_close(uh_poller *p) { (void)p; }

/* For a loop of the program's own: what it was told stands in ready, above what is there. */
static void uh_poller_follow(uh_poller *p)
{
    for (uint32_t i = 0; i < p->tokens; i++)
        p->list[i].ready = 0;
}

static void uh_poller_set_socket(uh_poller *p, uint32_t token, uh_socket fd)
{
    p->list[token].socket = fd;
}

static unsigned uh_poller_told(const uh_poller *p, uint32_t token, uh_socket fd)
{
    (void)fd;
    return p->list[token].ready >> 2 & 3u;
}

static void uh_poller_set_told(uh_poller *p, uint32_t token, uh_socket fd, unsigned wish)
{
    (void)fd;
    p->list[token].ready = (uint8_t)(wish << 2);
}

/* There are no sets for select(). */
#define UH_HAS_FD_SETS 0
#define uh_fd_set_holds(set, fd, others) ((void)(set), (void)(fd), (void)(others), false)
#define uh_fd_set_add(set, fd)           ((void)(set), (void)(fd))
#define uh_fd_set_has(set, fd)           ((void)(set), (void)(fd), false)

#else

enum { UH_WANT_R, UH_WANT_W, UH_GOT_R, UH_GOT_W, UH_SETS };

/* Can a set of the system's own size hold fd, and so many others besides? Windows counts
 * sockets, the others have a bit for each descriptor. */
static bool uh_fd_set_holds(const void *set, uh_socket fd, uint32_t others)
{
#if UH_WINSOCK
    (void)fd;
    return ((const fd_set *)set)->fd_count + others < FD_SETSIZE;
#elif UH_LWIP && defined(LWIP_SOCKET_OFFSET)
    (void)set;
    (void)others;
    return fd >= LWIP_SOCKET_OFFSET && fd - LWIP_SOCKET_OFFSET < (int)FD_SETSIZE;
#else
    (void)set;
    (void)others;
    return fd >= 0 && fd < (int)FD_SETSIZE;
#endif
}

/* The program's own sets, see uhttp_server_fd_sets(). */
#define UH_HAS_FD_SETS 1

UH_APART static void uh_fd_set_add(void *set, uh_socket fd)
{
    FD_SET((size_t)fd, (fd_set *)set);
}

/* FD_ISSET knows no const. Winsock's sets may be full and hold it all the same. */
static bool uh_fd_set_has(const void *set, uh_socket fd)
{
    return set != NULL && (UH_WINSOCK || uh_fd_set_holds(set, fd, 0)) &&
           FD_ISSET((size_t)fd, (fd_set *)(uintptr_t)set) != 0;
}

#if UH_OWN_BITMAPS

/* Bitmaps as the kernel defines them, but as long as the highest descriptor needs. */
#define UH_WORD_BITS ((uint32_t)sizeof(unsigned long) * 8u)

typedef struct uh_fd_sets {
    unsigned long *set[UH_SETS];
    uint32_t words;                 /* of each set */
    bool fixed;
    unsigned long own[UH_SETS][1024u / (sizeof(unsigned long) * 8u)];
} uh_fd_sets;

static void uh_fd_sets_open(uh_fd_sets *f, bool fixed)
{
    f->fixed = fixed;
    f->words = 1024u / UH_WORD_BITS;
    for (int i = 0; i < UH_SETS; i++)
        f->set[i] = f->own[i];
}

static void uh_fd_sets_close(uh_fd_sets *f)
{
    if (f->set[0] != f->own[0])
        UHTTP_FREE(f->set[0]);
}

static bool uh_fd_sets_grow(uh_fd_sets *f, uint32_t words)
{
    if (f->fixed)
        return false;
    size_t bytes = (size_t)words * sizeof(unsigned long);
    unsigned long *all = (unsigned long *)UHTTP_MALLOC(UH_SETS * bytes);
    if (all == NULL)
        return false;
    memset(all, 0, UH_SETS * bytes);
    for (uint32_t i = 0; i < UH_SETS; i++)
        memcpy(all + i * words, f->set[i], (size_t)f->words * sizeof(unsigned long));
    uh_fd_sets_close(f);
    for (uint32_t i = 0; i < UH_SETS; i++)
        f->set[i] = all + i * words;
    f->words = words;
    return true;
}

/* Room for this descriptor in the sets? */
static bool uh_fd_sets_fit(uh_fd_sets *f, uh_socket fd)
{
    uint32_t words = (uint32_t)fd / UH_WORD_BITS + 1u;
    return fd >= 0 && (words <= f->words || uh_fd_sets_grow(f, words * 2u));
}

static void uh_fd_sets_put(uh_fd_sets *f, int set, uh_socket fd, bool on)
{
    unsigned long bit = 1ul << ((uint32_t)fd % UH_WORD_BITS);
    unsigned long *word = &f->set[set][(uint32_t)fd / UH_WORD_BITS];
    *word = on ? *word | bit : *word & ~bit;
}

/* UH_READ for one in this set, UH_WRITE for one in the next. */
static unsigned uh_fd_sets_get(const uh_fd_sets *f, int set, uh_socket fd)
{
    uint32_t word = (uint32_t)fd / UH_WORD_BITS;
    uint32_t place = (uint32_t)fd % UH_WORD_BITS;
    return (unsigned)(f->set[set][word] >> place & 1u) |
           (unsigned)(f->set[set + 1][word] >> place & 1u) * UH_WRITE;
}

/* Where there is pselect(), select() is often made of it. The sets are mostly one word long. */
static int uh_fd_sets_select(uh_fd_sets *f, uh_socket highest, int timeout_ms)
{
    struct timespec timeout;
    timeout.tv_sec = timeout_ms / 1000;
    timeout.tv_nsec = timeout_ms % 1000 * 1000000L;
    for (uint32_t i = 0; i <= (uint32_t)highest / UH_WORD_BITS; i++) {
        f->set[UH_GOT_R][i] = f->set[UH_WANT_R][i];
        f->set[UH_GOT_W][i] = f->set[UH_WANT_W][i];
    }
    return pselect((int)highest + 1, (fd_set *)(void *)f->set[UH_GOT_R],
                   (fd_set *)(void *)f->set[UH_GOT_W], NULL, timeout_ms < 0 ? NULL : &timeout,
                   NULL);
}

#else

typedef struct uh_fd_sets {
    fd_set set[UH_SETS];
} uh_fd_sets;

/* Sets of zeros are empty, on every system. */
static void uh_fd_sets_open(uh_fd_sets *f, bool fixed)
{
    (void)f;
    (void)fixed;
}

static void uh_fd_sets_close(uh_fd_sets *f) { (void)f; }

/* Where sockets are counted, one that is watched for one thing may later be for the other:
 * both sets together must not exceed one. */
static bool uh_fd_sets_fit(const uh_fd_sets *f, uh_socket fd)
{
#if UH_WINSOCK
    return uh_fd_set_holds(&f->set[UH_WANT_R], fd, 0) &&
           uh_fd_set_holds(&f->set[UH_WANT_W], fd, 0);
#else
    return uh_fd_set_holds(&f->set[UH_WANT_R], fd, 0);
#endif
}

static void uh_fd_sets_put(uh_fd_sets *f, int set, uh_socket fd, bool on)
{
    if (on)
        FD_SET((size_t)fd, &f->set[set]);
    else
        FD_CLR((size_t)fd, &f->set[set]);
}

/* UH_READ for one in this set, UH_WRITE for one in the next. */
static unsigned uh_fd_sets_get(uh_fd_sets *f, int set, uh_socket fd)
{
    return (FD_ISSET((size_t)fd, &f->set[set]) ? UH_READ : 0u) |
           (FD_ISSET((size_t)fd, &f->set[set + 1]) ? UH_WRITE : 0u);
}

static int uh_fd_sets_select(uh_fd_sets *f, uh_socket highest, int timeout_ms)
{
    struct timeval timeout;
    timeout.tv_sec = timeout_ms / 1000;
    timeout.tv_usec = timeout_ms % 1000 * 1000;
    f->set[UH_GOT_R] = f->set[UH_WANT_R];
    f->set[UH_GOT_W] = f->set[UH_WANT_W];
    return UH_CALL(select)((int)highest + 1, &f->set[UH_GOT_R], &f->set[UH_GOT_W], NULL,
                           timeout_ms < 0 ? NULL : &timeout);
}

#endif

#if UH_QUEUE

/* A set of sockets that the kernel keeps, level-triggered, so that one answered at once changes
 * nothing in it. Each function is one call of the system, or two of kqueue's filters. */

#if UH_KQUEUE

/* A child of fork() has no copy of it, and perhaps another file under its number. */
static void uh_queue_close(int queue, pid_t owner)
{
    if (getpid() == owner)
        close(queue);
}

static int uh_queue_open(void)
{
    int queue = kqueue();
    if (queue >= 0)
        (void)fcntl(queue, F_SETFD, FD_CLOEXEC);
    return queue;
}

/* Writes one change of a filter, if it is one; returns how many. udata is a pointer on some
 * systems, an integer on others. */
static int uh_queue_change(struct kevent *change, uh_socket fd, uint32_t token, bool was,
                           bool is)
{
    uintptr_t mark = token;
    if (was == is)
        return 0;
    change->ident = (uintptr_t)fd;
    change->flags = is ? EV_ADD : EV_DELETE;
    memcpy(&change->udata, &mark, sizeof mark);
    return 1;
}

static bool uh_queue_tell(int queue, uh_socket fd, uint32_t token, unsigned told, unsigned wish)
{
    struct kevent changes[2];
    memset(changes, 0, sizeof changes);
    int n = uh_queue_change(changes, fd, token, (told & UH_READ) != 0, (wish & UH_READ) != 0);
    changes[0].filter = EVFILT_READ;
    int write = uh_queue_change(changes + n, fd, token, (told & UH_WRITE) != 0,
                                (wish & UH_WRITE) != 0);
    if (write > 0)
        changes[n].filter = EVFILT_WRITE;
    return kevent(queue, changes, n + write, NULL, 0, NULL) == 0;
}

static int uh_queue_wait(int queue, uint32_t *got, int timeout_ms)
{
    struct kevent events[UH_QUEUE_EVENTS];
    struct timespec timeout;
    timeout.tv_sec = timeout_ms / 1000;
    timeout.tv_nsec = timeout_ms % 1000 * 1000000L;
    int n = kevent(queue, NULL, 0, events, (int)UH_QUEUE_EVENTS,
                   timeout_ms < 0 ? NULL : &timeout);
    for (int i = 0; i < n; i++) {
        uintptr_t mark;
        memcpy(&mark, &events[i].udata, sizeof mark);
        got[i] = (uint32_t)mark << 2 | (events[i].filter == EVFILT_WRITE ? UH_WRITE : UH_READ);
    }
    return n;
}

#else

static void uh_queue_close(int queue, pid_t owner)
{
    (void)owner;
    close(queue);
}

/* glibc's headers hide from tcc that the kernel packs this struct: then select() must do. */
#ifdef __x86_64__
#define UH_EPOLL_IS_PACKED (sizeof(struct epoll_event) == 12)
#else
#define UH_EPOLL_IS_PACKED true
#endif

static int uh_queue_open(void)
{
    return UH_EPOLL_IS_PACKED ? epoll_create1(EPOLL_CLOEXEC) : -1;
}

static bool uh_queue_tell(int queue, uh_socket fd, uint32_t token, unsigned told, unsigned wish)
{
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = ((wish & UH_READ) != 0 ? (uint32_t)EPOLLIN : 0u) |
                   ((wish & UH_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0u);
    event.data.u32 = token;
    return epoll_ctl(queue, wish == 0 ? EPOLL_CTL_DEL : told == 0 ? EPOLL_CTL_ADD
                                                                  : EPOLL_CTL_MOD,
                     fd, &event) == 0;
}

/* Errors and hang-ups come unasked: they are what the socket is watched for. */
static int uh_queue_wait(int queue, uint32_t *got, int timeout_ms)
{
    struct epoll_event events[UH_QUEUE_EVENTS];
    int n = epoll_wait(queue, events, (int)UH_QUEUE_EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        uint32_t what = events[i].events & (uint32_t)EPOLLIN ? UH_READ : 0u;
        if ((events[i].events & (uint32_t)EPOLLOUT) != 0)
            what |= UH_WRITE;
        if ((events[i].events & (uint32_t)(EPOLLERR | EPOLLHUP)) != 0)
            what = UH_READ | UH_WRITE;
        got[i] = events[i].data.u32 << 2 | what;
    }
    return n;
}

#endif

/* What is known of a token beside its socket. */
typedef struct uh_mark {
    uint32_t next : 26;     /* in the list of changes, see uh_poller.changed; 0: not in it */
    uint32_t wish : 2;
    uint32_t told : 2;      /* the wish as the queue, or the program's own loop, knows it */
    bool beyond : 1;        /* its descriptor is in no bitmap */
    bool far : 1;           /* costs much under select(), or cannot be there */
} uh_mark;

#define UH_MARK_LAST 0x3ffffffu
#define UH_WATCHED_SIZE (sizeof(uh_socket) + sizeof(uh_mark))

#else

#define UH_WATCHED_SIZE sizeof(uh_socket)

#endif

/* Watched sockets stand in the order of their tokens, those in use mostly at the front. The
 * bitmaps hold them also while a queue is in force: select() can take over at any moment. */
typedef struct uh_poller {
    uh_fd_sets sets;
    uh_socket *watched;     /* by token; UH_NO_SOCKET: none */
    uint32_t tokens;
    uint32_t cursor;        /* of uh_poller_next */
    int pending;            /* bits that select() reported and next has not shown */
    uh_socket highest;      /* ever watched: a few bits too many cost next to nothing */
#if UH_QUEUE
    uh_mark *marks;         /* by token */
    int queue;              /* of epoll or kqueue, in force; -1: select() is */
    bool follows;           /* the program's own loop is told of changes, and no queue is */
    uint8_t sleeps;         /* since so many were watched that a queue is cheaper */
    pid_t owner;            /* who made it */
    uint32_t count;         /* sockets watched */
    uint32_t far, beyond;   /* and how many of them are */
    uint32_t move_at;       /* as soon as so many are watched, a queue is made */
    uint32_t changed;       /* tokens plus one whose change the queue, or the program's own
                               loop, will be told before it sleeps: many a socket is closed
                               until then */
    uint32_t got[UH_QUEUE_EVENTS];      /* what it reported: tokens, and two bits */
#endif
} uh_poller;

/* Bytes of memory for so many tokens. */
static size_t uh_poller_size(uint32_t tokens) { return (size_t)tokens * UH_WATCHED_SIZE; }

/* p and memory have been wiped. */
static void uh_poller_open(uh_poller *p, void *memory, uint32_t tokens, bool fixed)
{
    uh_fd_sets_open(&p->sets, fixed);
    p->watched = (uh_socket *)memory;
    p->tokens = tokens;
    for (uint32_t i = 0; i < tokens; i++)
        p->watched[i] = UH_NO_SOCKET;
#if UH_QUEUE
    p->marks = (uh_mark *)(void *)(p->watched + tokens);
    p->queue = -1;
    p->move_at = UH_QUEUE_ALWAYS ? 0 : fixed ? UINT32_MAX : UH_QUEUE_AT;
#endif
}

/* Is there no room for one more socket beside so many, whatever its number? */
static bool uh_poller_is_full(const uh_poller *p, uint32_t sockets)
{
#if UH_WINSOCK
    (void)p;
    return sockets >= FD_SETSIZE;     /* each stands in a set once at most */
#else
    (void)p;
    (void)sockets;
    return false;
#endif
}

static void uh_poller_put(uh_poller *p, uh_socket fd, unsigned interest)
{
    uh_fd_sets_put(&p->sets, UH_WANT_R, fd, (interest & UH_READ) != 0);
    uh_fd_sets_put(&p->sets, UH_WANT_W, fd, (interest & UH_WRITE) != 0);
    if (fd > p->highest)
        p->highest = fd;
}

/* Waiting has failed. False: a signal came, which lwIP knows nothing of. Anything else would
 * fail again at once, and is slept over. */
static bool uh_poller_failed(int timeout_ms)
{
    uint32_t time = (uint32_t)timeout_ms;
    if (!UH_LWIP && uh_sys_last_error() == UH_SYS_INTERRUPTED)
        return false;
    uh_sys_sleep(time < UH_BACKOFF_MS ? time : UH_BACKOFF_MS);
    return true;
}

/* Sleeps in select(), see uh_poller_wait. */
static bool uh_poller_select(uh_poller *p, int timeout_ms)
{
#if UH_WINSOCK
    if (p->sets.set[UH_WANT_R].fd_count + p->sets.set[UH_WANT_W].fd_count == 0) {
        /* Winsock refuses to select() on nothing */
        Sleep(timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms);
        return true;
    }
#endif
    int n = uh_fd_sets_select(&p->sets, p->highest, timeout_ms);
    if (n < 0)
        return uh_poller_failed(timeout_ms);
    p->pending = n;
    return true;
}

/* The next socket that select() reported; 0: no more. */
static unsigned uh_poller_selected(uh_poller *p, uint32_t *token)
{
    while (p->pending > 0 && p->cursor < p->tokens) {
        uh_socket fd = p->watched[p->cursor++];
        if (fd == UH_NO_SOCKET)
            continue;
        unsigned got = uh_fd_sets_get(&p->sets, UH_GOT_R, fd);
        if (got != 0) {
            p->pending -= got == (UH_READ | UH_WRITE) ? 2 : 1;
            *token = p->cursor - 1;
            return got;
        }
    }
    return 0;
}

#if UH_QUEUE

static bool uh_poller_fits(uh_poller *p, uh_socket fd)
{
    return uh_fd_sets_fit(&p->sets, fd) || p->queue >= 0 || p->follows;
}

static unsigned uh_poller_wish(const uh_poller *p, uint32_t token)
{
    return p->marks[token].wish;
}

/* The last words of whoever closes the server. What follows tells the queue nothing: it may be
 * that of the parent, which a forked child must not take sockets from. */
static void uh_poller_end(uh_poller *p)
{
    if (p->queue >= 0)
        uh_queue_close(p->queue, p->owner);
    p->queue = -1;
}

/* Makes what the queue knows of a token what it should know. */
static bool uh_poller_tell(uh_poller *p, uint32_t token)
{
    uh_mark *m = &p->marks[token];
    if (m->told != m->wish &&
        !uh_queue_tell(p->queue, p->watched[token], token, m->told, m->wish))
        return false;
    m->told = m->wish;
    return true;
}

/* Tells it later, before it sleeps. */
static void uh_poller_tell_later(uh_poller *p, uint32_t token)
{
    if (p->marks[token].next != 0)
        return;
    p->marks[token].next = p->changed & UH_MARK_LAST;
    p->changed = token + 1;
}

/* Takes the list of changes; what is not told after all is noted anew. */
static uint32_t uh_poller_changes(uh_poller *p)
{
    uint32_t list = p->changed;
    p->changed = UH_MARK_LAST;
    return list;
}

static bool uh_poller_next_change(uh_poller *p, uint32_t *list, uint32_t *token)
{
    if (*list == UH_MARK_LAST)
        return false;
    *token = *list - 1;
    *list = p->marks[*token].next;
    p->marks[*token].next = 0;
    return true;
}

/* Back to select(). If a queue was refused, twice as many sockets will have to ask for it. */
static void uh_poller_leave(uh_poller *p, bool refused)
{
    uh_poller_end(p);
    for (uint32_t i = 0; i < p->tokens; i++)
        p->marks[i].next = p->marks[i].told = 0u;
    if (refused)
        p->move_at = p->count * 2 + 2;
}

/* Over to the queue, unless the system refuses: it has no descriptors or memory, or forbids. */
static void uh_poller_move(uh_poller *p)
{
    p->queue = uh_queue_open();
    p->sleeps = 0;
    p->owner = getpid();
    p->changed = UH_MARK_LAST;
    bool good = p->queue >= 0;
    for (uint32_t i = 0; i < p->tokens && good; i++)
        good = p->watched[i] == UH_NO_SOCKET || uh_poller_tell(p, i);
    if (!good)
        uh_poller_leave(p, true);
}

/* Tells the queue all that has changed. If it cannot take a socket, select() does; where that
 * cannot hold all of them either, it is asked again next time. */
static void uh_poller_tell_all(uh_poller *p)
{
    uint32_t list = uh_poller_changes(p);
    uint32_t token;
    bool good = true;
    while (uh_poller_next_change(p, &list, &token)) {
        if (p->watched[token] != UH_NO_SOCKET && !uh_poller_tell(p, token)) {
            uh_poller_tell_later(p, token);
            good = false;
        }
    }
    if (!good && p->beyond == 0)
        uh_poller_leave(p, true);
}

/* Chooses who will watch the sockets, with some distance between the way there and back. */
static void uh_poller_choose(uh_poller *p)
{
    if (p->queue < 0 && p->count < p->move_at)
        return;
    if (p->queue < 0)
        uh_poller_move(p);
    if (p->count >= UH_QUEUE_LEAVE || p->far > 0)
        p->sleeps = 0;
    else if (!UH_QUEUE_ALWAYS && ++p->sleeps >= UH_QUEUE_SLEEPS)
        uh_poller_leave(p, false);
    if (p->queue >= 0)
        uh_poller_tell_all(p);
}

/* Counts a token in (1) or out (-1). */
static void uh_poller_count(uh_poller *p, const uh_mark *m, uint32_t by)
{
    p->count += by;
    p->beyond += m->beyond ? by : 0;
    p->far += m->far ? by : 0;
}

/* The first words with a socket. */
static bool uh_poller_take(uh_poller *p, uh_socket fd, uint32_t token)
{
    uh_mark *m = &p->marks[token];
    m->beyond = !uh_fd_sets_fit(&p->sets, fd);
    m->far = m->beyond || token >= UH_QUEUE_NEAR;
    if (m->beyond && p->queue < 0 && !p->follows)
        return false;
    p->watched[token] = fd;
    uh_poller_count(p, m, 1);
    return true;
}

/* Watches fd under this token for exactly interest; 0: no longer, which must be said before fd
 * is closed, as a forked child may have a copy. False: fd does not fit (then nothing has
 * changed). A token has one socket at a time. */
static bool uh_poller_watch(uh_poller *p, uh_socket fd, uint32_t token, unsigned interest)
{
    uh_mark *m = &p->marks[token];
    if (p->watched[token] == UH_NO_SOCKET &&
        (interest == 0 || !uh_poller_take(p, fd, token)))
        return interest == 0;
    m->wish = interest & 3u;
    if (!m->beyond)
        uh_poller_put(p, fd, interest);
    bool good = true;
    if (p->follows || (p->queue >= 0 && interest != 0 && !m->beyond))
        uh_poller_tell_later(p, token);
    else if (p->queue >= 0)
        good = uh_poller_tell(p, token) || interest == 0;
    if (!good)
        m->wish = m->told;
    if (m->wish == 0) {
        if (!p->follows)
            m->told = 0;
        p->watched[token] = UH_NO_SOCKET;
        uh_poller_count(p, m, UINT32_MAX);
    }
    return good;
}

/* Sleeps until something happens, at most timeout_ms (negative: for ever). False: a signal
 * came. */
static bool uh_poller_wait(uh_poller *p, int timeout_ms)
{
    p->cursor = 0;
    p->pending = 0;
    uh_poller_choose(p);
    if (p->queue < 0)
        return uh_poller_select(p, timeout_ms);
    int n = uh_queue_wait(p->queue, p->got, timeout_ms);
    p->pending = n > 0 ? n : 0;
    return n >= 0 || uh_poller_failed(timeout_ms);
}

/* The next socket something happened to; 0: no more. */
static unsigned uh_poller_next(uh_poller *p, uint32_t *token)
{
    if (p->queue < 0)
        return uh_poller_selected(p, token);
    while (p->cursor < (uint32_t)p->pending) {
        uint32_t report = p->got[p->cursor++];
        *token = report >> 2;
        if ((report & p->marks[*token].wish) != 0)
            return report & p->marks[*token].wish;
    }
    return 0;
}

/* From now on the program's own loop is told of changes: it knows nothing yet. */
static void uh_poller_follow(uh_poller *p)
{
    if (p->queue >= 0)
        uh_poller_leave(p, false);
    p->follows = true;
    p->move_at = UINT32_MAX;
    p->changed = UH_MARK_LAST;
    for (uint32_t i = 0; i < p->tokens; i++) {
        if (p->watched[i] != UH_NO_SOCKET)
            uh_poller_tell_later(p, i);
    }
}

/* What it knows of this token and its socket. */
static unsigned uh_poller_told(const uh_poller *p, uint32_t token, uh_socket fd)
{
    (void)fd;
    return p->marks[token].told;
}

static void uh_poller_set_told(uh_poller *p, uint32_t token, uh_socket fd, unsigned wish)
{
    (void)fd;
    p->marks[token].told = wish & 3u;
}

#else

/* Could this socket be watched? */
static bool uh_poller_fits(uh_poller *p, uh_socket fd)
{
    return uh_fd_sets_fit(&p->sets, fd);
}

static unsigned uh_poller_wish(uh_poller *p, uint32_t token)
{
    return uh_fd_sets_get(&p->sets, UH_WANT_R, p->watched[token]);
}

static void uh_poller_end(uh_poller *p) { (void)p; }

static bool uh_poller_watch(uh_poller *p, uh_socket fd, uint32_t token, unsigned interest)
{
    if (p->watched[token] == UH_NO_SOCKET && (interest == 0 || !uh_fd_sets_fit(&p->sets, fd)))
        return interest == 0;
    uh_poller_put(p, fd, interest);
    p->watched[token] = interest != 0 ? fd : UH_NO_SOCKET;
    return true;
}

static bool uh_poller_wait(uh_poller *p, int timeout_ms)
{
    p->cursor = 0;
    p->pending = 0;
    return uh_poller_select(p, timeout_ms);
}

static unsigned uh_poller_next(uh_poller *p, uint32_t *token)
{
    return uh_poller_selected(p, token);
}

/* The sets of what select() reports are free for what the program's own loop was told. Sockets
 * are few: that costs no list. */
static void uh_poller_follow(uh_poller *p)
{
#if UH_OWN_BITMAPS
    memset(p->sets.set[UH_GOT_R], 0, (size_t)p->sets.words * sizeof(unsigned long));
    memset(p->sets.set[UH_GOT_W], 0, (size_t)p->sets.words * sizeof(unsigned long));
#else
    memset(&p->sets.set[UH_GOT_R], 0, 2 * sizeof p->sets.set[0]);
#endif
}

static unsigned uh_poller_told(uh_poller *p, uint32_t token, uh_socket fd)
{
    (void)token;
    return uh_fd_sets_get(&p->sets, UH_GOT_R, fd);
}

static void uh_poller_set_told(uh_poller *p, uint32_t token, uh_socket fd, unsigned wish)
{
    (void)token;
    uh_fd_sets_put(&p->sets, UH_GOT_R, fd, (wish & UH_READ) != 0);
    uh_fd_sets_put(&p->sets, UH_GOT_W, fd, (wish & UH_WRITE) != 0);
}

#endif

static uh_socket uh_poller_socket(const uh_poller *p, uint32_t token)
{
    return p->watched[token];
}

static void uh_poller_set_socket(uh_poller *p, uint32_t token, uh_socket fd)
{
    p->watched[token] = fd;
}

static void uh_poller_close(uh_poller *p)
{
    uh_poller_end(p);
    uh_fd_sets_close(&p->sets);
}

#endif

#if !UH_QUEUE                   /* no list of changes: every token is looked at */

static uint32_t uh_poller_changes(const uh_poller *p)
{
    (void)p;
    return 0;
}

static bool uh_poller_next_change(const uh_poller *p, uint32_t *list, uint32_t *token)
{
    *token = (*list)++;
    return *token < p->tokens;
}

static void uh_poller_tell_later(const uh_poller *p, uint32_t token)
{
    (void)p;
    (void)token;
}

#endif

/*--- what the processor does better than C says ---------------------------------*/

/* Each looks at UH_VECTOR_BYTES bytes from p on and answers with bits, UH_HIT_BITS for each
 * byte and the first byte's lowest, which of them are
 *
 *   odd      neither visible characters of ASCII nor spaces
 *   rare     neither letters, digits, '-' nor '.'
 *   behind   neither letters nor '-': what most names end with
 *
 * and uh_vector_place tells the first one's place. Where the compiler's baseline has no vectors
 * nobody asks. */
#define UH_VECTOR_BYTES 16

#if defined(__SSE2__) && defined(__GNUC__) && UH_WIDE

#include <emmintrin.h>
#define UH_VECTOR 1
#define UH_HIT_BITS 1
typedef unsigned uh_hits;

/* Sets the top bit of all bytes but those from first on, count of them. */
static UH_INLINE __m128i uh_vector_without(__m128i bytes, char first, int count)
{
    const __m128i places = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
    return _mm_adds_epu8(places, _mm_set1_epi8((char)(0x80 - count)));
}

/* The bytes whose top bit is set. */
static UH_INLINE uh_hits uh_vector_bits(__m128i found)
{
    return (unsigned)_mm_movemask_epi8(found);
}

static UH_INLINE size_t uh_vector_place(uh_hits found)
{
    return (unsigned)__builtin_ctz(found);
}

static UH_INLINE uh_hits uh_vector_odd(const char *p)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return uh_vector_bits(uh_vector_without(bytes, ' ', '~' - ' ' + 1));
}

static UH_INLINE uh_hits uh_vector_behind(const char *p)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    const __m128i hyphen = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));
    return uh_vector_bits(_mm_andnot_si128(hyphen, uh_vector_without(folded, 'a', 26)));
}

static UH_INLINE uh_hits uh_vector_rare(const char *p)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    const __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    const __m128i no_letters = uh_vector_without(folded, 'a', 26);
    const __m128i no_others = uh_vector_without(bytes, '-', '9' - '-' + 1);     /* nor '/' */
    const __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('/'));
    return uh_vector_bits(_mm_and_si128(no_letters, _mm_or_si128(no_others, slash)));
}

#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__AARCH64EB__) && \
      defined(__GNUC__) && UH_WIDE

#include <arm_neon.h>
#define UH_VECTOR 1
#define UH_HIT_BITS 4
typedef uint64_t uh_hits;

/* Of a vector of 0 and 255, four bits of each byte. */
static UH_INLINE uh_hits uh_vector_bits(uint8x16_t found)
{
    const uint8x8_t narrow = vshrn_n_u16(vreinterpretq_u16_u8(found), 4);
    return vget_lane_u64(vreinterpret_u64_u8(narrow), 0);
}

static UH_INLINE size_t uh_vector_place(uh_hits found)
{
    return (unsigned)__builtin_ctzll(found) / UH_HIT_BITS;
}

static UH_INLINE uh_hits uh_vector_odd(const char *p)
{
    const uint8x16_t bytes = vld1q_u8((const uint8_t *)(const void *)p);
    const uint8x16_t places = vsubq_u8(bytes, vdupq_n_u8(' '));
    return uh_vector_bits(vcgtq_u8(places, vdupq_n_u8('~' - ' ')));
}

static UH_INLINE uh_hits uh_vector_behind(const char *p)
{
    const uint8x16_t bytes = vld1q_u8((const uint8_t *)(const void *)p);
    const uint8x16_t folded = vorrq_u8(bytes, vdupq_n_u8(0x20));
    const uint8x16_t letters = vcltq_u8(vsubq_u8(folded, vdupq_n_u8('a')), vdupq_n_u8(26));
    return uh_vector_bits(vmvnq_u8(vorrq_u8(letters, vceqq_u8(bytes, vdupq_n_u8('-')))));
}

static UH_INLINE uh_hits uh_vector_rare(const char *p)
{
    const uint8x16_t bytes = vld1q_u8((const uint8_t *)(const void *)p);
    const uint8x16_t folded = vorrq_u8(bytes, vdupq_n_u8(0x20));
    const uint8x16_t letters = vcltq_u8(vsubq_u8(folded, vdupq_n_u8('a')), vdupq_n_u8(26));
    const uint8x16_t others = vcltq_u8(vsubq_u8(bytes, vdupq_n_u8('-')), vdupq_n_u8(13));
    const uint8x16_t slash = vceqq_u8(bytes, vdupq_n_u8('/'));
    return uh_vector_bits(vmvnq_u8(vorrq_u8(letters, vbicq_u8(others, slash))));
}

#else

#define UH_VECTOR 0
#define UH_HIT_BITS 1
typedef unsigned uh_hits;

static UH_INLINE size_t uh_vector_place(uh_hits found) { return found; }
static UH_INLINE uh_hits uh_vector_odd(const char *p) { return p == NULL; }
static UH_INLINE uh_hits uh_vector_behind(const char *p) { return p == NULL; }
static UH_INLINE uh_hits uh_vector_rare(const char *p) { return p == NULL; }

#endif

/*==============================================================================
 * 04 MEMORY                    a pool of equal blocks, and the one buffer type
 *==============================================================================
 * A buffer's first block comes from the pool; on the heap it may grow beyond it.
 * uh_buf_reserve is the only function that makes room, and nothing outside this
 * section knows whether memory is fixed.
 */

typedef struct uh_block {
    struct uh_block *next;
} uh_block;

typedef struct uh_pool {
    uh_block *free;
    uint32_t count;         /* of free blocks */
    uint32_t idle;          /* blocks that stayed free since the last trim */
    uint32_t block_size;
    bool fixed;             /* all blocks are there from the start; nothing grows */
} uh_pool;

static bool uh_pool_is_fixed(const uh_pool *m) { return !UH_HEAP || m->fixed; }

static void *uh_pool_take(uh_pool *m)
{
    uh_block *block = m->free;
    if (block == NULL)
        return uh_pool_is_fixed(m) ? NULL : UHTTP_MALLOC(m->block_size);
    m->free = block->next;
    m->count--;
    if (m->idle > m->count)
        m->idle = m->count;
    return block;
}

static void uh_pool_give(uh_pool *m, void *memory)
{
    uh_block *block = (uh_block *)memory;
    block->next = m->free;
    m->free = block;
    m->count++;
}

/* Frees what was not needed since the last call. */
static void uh_pool_trim(uh_pool *m)
{
    for (; m->idle > 0; m->idle--) {
        uh_block *block = m->free;
        m->free = block->next;
        m->count--;
        UHTTP_FREE(block);
    }
    m->idle = m->count;
}

/*   0 ... head ... tail ... size            limit: size may grow up to here
 *        [ bytes ]  [ room ]                (on the heap; fixed memory has one block)   */
typedef struct uh_buf {
    uint8_t *data;
    uint32_t head, tail, size, limit;
} uh_buf;

static uint32_t uh_buf_used(const uh_buf *b) { return b->tail - b->head; }
static uint32_t uh_buf_room(const uh_buf *b) { return b->size - b->tail; }

static void uh_buf_release(uh_pool *m, uh_buf *b)
{
    if (b->data != NULL && (uh_pool_is_fixed(m) || b->size == m->block_size))
        uh_pool_give(m, b->data);
    else if (b->data != NULL)
        UHTTP_FREE(b->data);
    b->data = NULL;
    b->head = b->tail = b->size = 0;
}

/* The first block of an empty buffer. */
static bool uh_buf_begin(uh_pool *m, uh_buf *b)
{
    b->data = (uint8_t *)uh_pool_take(m);
    if (b->data == NULL)
        return false;
    b->size = m->block_size;
    return true;
}

/* A larger block with room for n more bytes, those there are at its front. */
UH_SELDOM static bool uh_buf_grow(uh_pool *m, uh_buf *b, size_t n)
{
    uint32_t used = uh_buf_used(b);
    if (uh_pool_is_fixed(m) || n > UH_SIZE_MAX - used)
        return false;
    uint32_t least = used + (uint32_t)n;
    uint32_t size = b->size > 0 ? b->size : m->block_size;
    while (size < least)
        size = size > UH_SIZE_MAX / 2 ? UH_SIZE_MAX : size * 2;
    if (size > b->limit)
        size = b->limit;
    uint8_t *data = size < least ? NULL : (uint8_t *)UHTTP_MALLOC(size);
    if (data == NULL)
        return false;
    if (used > 0)
        memcpy(data, b->data + b->head, used);
    uh_buf_release(m, b);
    b->data = data;
    b->size = size;
    b->tail = used;
    return true;
}

/* Moves the bytes to the front. */
static void uh_buf_slide(uh_buf *b)
{
    uint32_t used = uh_buf_used(b);
    if (b->head > 0)
        memmove(b->data, b->data + b->head, used);
    b->head = 0;
    b->tail = used;
}

/* Makes room for n more bytes behind tail: slides, then grows, then says no. */
static bool uh_buf_reserve(uh_pool *m, uh_buf *b, size_t n)
{
    if (b->data != NULL && n <= uh_buf_room(b))
        return true;
    if (b->data == NULL && n <= m->block_size)
        return uh_buf_begin(m, b);
    if (n > b->size - uh_buf_used(b))
        return uh_buf_grow(m, b, n);
    uh_buf_slide(b);
    return true;
}

/*==============================================================================
 * 05 TEXT                              pure functions: bytes in, meaning out
 *==============================================================================
 * No I/O, no clock, no allocation, no connection. Nothing here looks past the end of
 * what it is given or needs a NUL behind it.
 */

/*--- 05a characters -------------------------------------------------------------*/

#define UH_IS_TOKEN 1u      /* tchar, RFC 9110 section 5.6.2 */
#define UH_IS_HOST  2u      /* of a reg-name, RFC 3986 section 3.2.2 */
#define UH_IS_HEX   4u

/* What a character may be part of. Nothing beyond ASCII is part of anything here. */
static const uint8_t uh_char_class[128] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 3, 0, 1, 3, 3, 3, 3, 2, 2, 3, 3, 2, 3, 3, 0,     /*   !"#$%&'()*+,-./ */
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 2, 0, 2, 0, 0,     /*  0123456789:;<=>? */
    0, 7, 7, 7, 7, 7, 7, 3, 3, 3, 3, 3, 3, 3, 3, 3,     /*  @ABCDEFGHIJKLMNO */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 0, 0, 1, 3,     /*  PQRSTUVWXYZ[\]^_ */
    1, 7, 7, 7, 7, 7, 7, 3, 3, 3, 3, 3, 3, 3, 3, 3,     /*  `abcdefghijklmno */
    3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 0, 1, 0, 3, 0      /*  pqrstuvwxyz{|}~  */
};

static bool uh_ascii_is(char c, unsigned what)
{
    return (uh_char_class[(unsigned char)c] & what) != 0;
}

static bool uh_char_is(char c, unsigned what)
{
    return (unsigned char)c < sizeof uh_char_class && uh_ascii_is(c, what);
}

static bool uh_char_is_digit(char c) { return c >= '0' && c <= '9'; }
static bool uh_char_is_blank(char c) { return c == ' ' || c == '\t'; }

/* A control character other than the tab: nothing a field value may contain. */
static bool uh_char_is_control(char c)
{
    unsigned char u = (unsigned char)c;
    return (u < 0x20 && u != '\t') || u == 0x7f;
}

static char uh_char_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

/* RFC 3986 section 3.1; a scheme begins with a letter besides. */
static bool uh_char_is_scheme(char c)
{
    char lower = uh_char_lower(c);
    return (lower >= 'a' && lower <= 'z') || uh_char_is_digit(c) || c == '+' || c == '-' ||
           c == '.';
}

static int uh_char_hex(char c)
{
    if (uh_char_is_digit(c))
        return c - '0';
    return uh_char_is(c, UH_IS_HEX) ? uh_char_lower(c) - 'a' + 10 : -1;
}

/* One hexadecimal digit of n, its lowest; ten is the letter for 10. */
static char uh_char_of_hex(unsigned n, char ten)
{
    n &= 15u;
    return (char)(n < 10 ? '0' + n : (unsigned)ten + n - 10);
}

/* Writes so many hexadecimal digits of a number. */
static char *uh_put_hex(char *out, size_t digits, uint64_t n)
{
    for (size_t i = digits; i-- > 0; n >>= 4)
        out[i] = uh_char_of_hex((unsigned)n, 'a');
    return out + digits;
}

/*--- 05b words: compare, numbers, percent, query, URL, lists, parameters, files --------*/

static uhttp_str uh_text_slice(const char *p, const char *end)
{
    uhttp_str s;
    s.ptr = p;
    s.len = (size_t)(end - p);
    return s;
}

/* An absent slice (NULL) ends where it begins: C knows no NULL + 0. */
static const char *uh_text_end(uhttp_str s) { return s.len > 0 ? s.ptr + s.len : s.ptr; }

/* NULL is an absent text. */
static uhttp_str uh_text_of(const char *string)
{
    return uh_text_slice(string, string != NULL ? string + strlen(string) : string);
}

/* Is one of what a function must be given missing? */
static bool uh_is_missing(const void *a, const void *b, const void *c)
{
    return a == NULL || b == NULL || c == NULL;
}

static bool uh_text_is(uhttp_str s, const char *word)
{
    return strlen(word) == s.len && memcmp(s.ptr, word, s.len) == 0;
}

/* word is in lower case */
static bool uh_text_is_nocase(uhttp_str s, const char *word)
{
    for (size_t i = 0; i < s.len; i++) {
        if (word[i] == '\0' || uh_char_lower(s.ptr[i]) != word[i])
            return false;
    }
    return word[s.len] == '\0';
}

/* Is the word, whatever its case, one of a list of strings in lower case that ends with ""? */
static bool uh_text_is_one_of(uhttp_str word, const char *list)
{
    while (*list != '\0' && !uh_text_is_nocase(word, list))
        list += strlen(list) + 1;
    return *list != '\0';
}

static bool uh_text_begins_nocase(uhttp_str s, const char *word)
{
    size_t n = strlen(word);
    return s.len >= n && uh_text_is_nocase(uh_text_slice(s.ptr, s.ptr + n), word);
}

/* The next eight, or four, characters, letters in lower case and all others that are no
 * control characters as they are or as a control character could be. */
static UH_INLINE uint64_t uh_text_fold8(const char *p)
{
    uint64_t eight;
    memcpy(&eight, p, sizeof eight);
    return eight | UINT64_C(0x2020202020202020);
}

static UH_INLINE uint32_t uh_text_fold4(const char *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    return four | 0x20202020u;
}

/* As uh_text_is_nocase(), for a text without control characters and a word of letters and '-',
 * four or more and as many as there are in the text: what else an OR with 0x20 makes one is one
 * of those. The last ones may be compared twice. */
static UH_INLINE bool uh_text_folds_to(const char *p, const char *word, size_t n)
{
    size_t at = 0;
    if (n < 8)
        return uh_text_fold4(p) == uh_text_fold4(word) &&
               uh_text_fold4(p + n - 4) == uh_text_fold4(word + n - 4);
    while (at + 8 < n && uh_text_fold8(p + at) == uh_text_fold8(word + at))
        at += 8;
    return at + 8 >= n && uh_text_fold8(p + n - 8) == uh_text_fold8(word + n - 8);
}

/* For a name and a literal of the same length. */
#define UH_NAME_IS(name, word)                                       \
    (UH_WIDE ? uh_text_folds_to((name).ptr, word, sizeof(word) - 1)  \
             : uh_text_is_nocase(name, word))

static bool uh_text_same(uhttp_str a, uhttp_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (uh_char_lower(a.ptr[i]) != uh_char_lower(b.ptr[i]))
            return false;
    }
    return true;
}

/* Are the next four characters all ASCII? */
static bool uh_text_is_ascii4(const char *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    return (four & 0x80808080u) == 0;
}

/* Skips letters, digits, '-' and '.' as far as whole vectors go. */
static UH_INLINE const char *uh_text_until_rare(const char *p, const char *end)
{
    for (; UH_VECTOR && end - p >= UH_VECTOR_BYTES; p += UH_VECTOR_BYTES) {
        uh_hits rare = uh_vector_rare(p);
        if (rare != 0)
            return p + uh_vector_place(rare);
    }
    return p;
}

/* Skips a token, vectors first, then four characters a round; the first byte behind it, p if
 * there is none. */
static const char *uh_text_token(const char *p, const char *end)
{
    p = uh_text_until_rare(p, end);
    for (; UH_WIDE && end - p >= 4 && uh_text_is_ascii4(p); p += 4) {
        if (!uh_ascii_is(p[0], UH_IS_TOKEN))
            return p;
        if (!uh_ascii_is(p[1], UH_IS_TOKEN))
            return p + 1;
        if (!uh_ascii_is(p[2], UH_IS_TOKEN))
            return p + 2;
        if (!uh_ascii_is(p[3], UH_IS_TOKEN))
            return p + 3;
    }
    while (p < end && uh_char_is(*p, UH_IS_TOKEN))
        p++;
    return p;
}

/* Skips a token that mostly ends in last, behind letters, digits, '-' and '.'. */
static UH_INLINE const char *uh_text_token_to(const char *p, const char *end, char last)
{
    const char *at = uh_text_until_rare(p, end);
    return UH_VECTOR && at < end && *at == last ? at : uh_text_token(at, end);
}

/* Does a word hold a byte that may be a control character? Subtracting 0x20 borrows into the
 * top bit of a byte below it, adding one carries 0x7f into it; tabs and the neighbours of such
 * bytes may be hit too. */
static size_t uh_word_may_control(const char *p)
{
    const size_t ones = (size_t)-1 / 0xff;
    size_t word;
    memcpy(&word, p, sizeof word);
    return ((word - ones * 0x20) | (word + ones)) & ~word & ones * 0x80;
}

/* The same where a vector found something, or does not fit: whole words are asked first. */
static const char *uh_text_until_control_by_word(const char *p, const char *end)
{
    while (UH_WIDE && end - p >= (ptrdiff_t)sizeof(size_t)) {
        size_t may = uh_word_may_control(p);
        const char *next = p + sizeof(size_t);
        if (may == 0) {
            p = next;
            continue;
        }
        for (p += UH_WORD_FIRST(may); p < next; p++) {
            if (uh_char_is_control(*p))
                return p;
        }
    }
    while (p < end && !uh_char_is_control(*p))
        p++;
    return p;
}

/* The first control character but the tab, or end. Most text has none for long. */
static UH_INLINE const char *uh_text_until_control(const char *p, const char *end)
{
    uh_hits odd;
    if (!UH_VECTOR || end - p < UH_VECTOR_BYTES)
        return uh_text_until_control_by_word(p, end);
    const char *last = end - UH_VECTOR_BYTES;       /* may overlap the one before */
    while ((odd = uh_vector_odd(p)) == 0) {
        if (p == last)
            return end;
        p = last - p > UH_VECTOR_BYTES ? p + UH_VECTOR_BYTES : last;
    }
    p += uh_vector_place(odd);
    return uh_char_is_control(*p) ? p : uh_text_until_control_by_word(p, end);
}

static bool uh_text_has_control(uhttp_str s)
{
    return uh_text_until_control(s.ptr, s.ptr + s.len) != s.ptr + s.len;
}

static bool uh_name_is_good(uhttp_str name)
{
    const char *end = uh_text_end(name);
    return name.len > 0 && uh_text_token(name.ptr, end) == end;
}

static uhttp_str uh_text_trim(uhttp_str s)
{
    const char *p = s.ptr;
    const char *end = p + s.len;
    while (end > p && uh_char_is_blank(end[-1]))
        end--;
    while (p < end && uh_char_is_blank(*p))
        p++;
    return uh_text_slice(p, end);
}

typedef enum uh_number { UH_NUMBER_OK, UH_NUMBER_BAD, UH_NUMBER_LARGE } uh_number;

/* Decimal digits and nothing else, up to INT64_MAX. */
static uh_number uh_text_decimal(uhttp_str s, int64_t *value)
{
    uint64_t n = 0;
    bool large = false;
    if (s.len == 0)
        return UH_NUMBER_BAD;
    for (size_t i = 0; i < s.len; i++) {
        if (!uh_char_is_digit(s.ptr[i]))
            return UH_NUMBER_BAD;
        large = large || n >= (uint64_t)1 << 60;    /* ten times less still fits n */
        n = n * 10 + (unsigned)(s.ptr[i] - '0');
    }
    *value = (int64_t)(n & INT64_MAX);
    return large || n > INT64_MAX ? UH_NUMBER_LARGE : UH_NUMBER_OK;
}

/* Zeroes something of known size. Compilers make a slow instruction of more than 64 bytes. */
static UH_INLINE void uh_wipe(void *p, size_t size)
{
    char *at = (char *)p;
    for (; UH_WIDE && size > 64; at += 64, size -= 64)
        memset(at, 0, 64);
    memset(at, 0, size);
}

UH_APART static char *uh_text_put(char *out, const void *text, size_t length)
{
    if (length > 0)
        memcpy(out, text, length);
    return out + length;
}

/* Writes n in decimal; the end of what was written (at most 20 digits). */
static char *uh_text_put_decimal(char *out, uint64_t n)
{
    char *end = out + 1;
    for (uint64_t rest = n / 10; rest > 0; rest /= 10)
        end++;
    for (char *p = end; p > out; n /= 10)
        *--p = (char)('0' + n % 10);
    return end;
}

/* The byte an escape ("%41") stands for, 0 for the NUL nobody takes; -1: no escape begins. */
static int uh_text_escape(const char *p, const char *end)
{
    int high = end - p >= 3 ? uh_char_hex(p[1]) : -1;
    int low = high >= 0 ? uh_char_hex(p[2]) : -1;
    return low >= 0 ? high << 4 | low : -1;
}

UHTTP_API uhttp_result uhttp_percent_decode(uhttp_str in, bool plus_is_blank, char *out,
                                            size_t *length)
{
    const char *p = in.ptr;
    const char *end = uh_text_end(in);
    char *to = out;
    if (length == NULL || (out == NULL && p < end))
        return UHTTP_ERR_INVALID;
    while (p < end) {
        char c = *p;
        if (c == '%') {
            int byte = uh_text_escape(p, end);
            if (byte == 0 || (byte < 0 && !plus_is_blank))
                return UHTTP_ERR_INVALID;
            if (byte > 0) {
                c = (char)byte;
                p += 2;
            }
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        *to++ = c;
        p++;
    }
    *length = (size_t)(to - out);
    return UHTTP_OK;
}

static char *uh_text_puts(char *out, const char *string)
{
    return uh_text_put(out, string, strlen(string));
}

/* Writes text as put() spells each of its characters, in up to six; its length, or why not. */
static int uh_text_spell(const char *text, char *buffer, size_t size,
                         size_t (*put)(char c, char *out))
{
    char spelled[6];
    size_t length = 0;
    int result = text == NULL || buffer == NULL ? UHTTP_ERR_INVALID : UHTTP_OK;
    if (size == 0 && result == UHTTP_OK)
        return UHTTP_ERR_MEMORY;
    for (; result == UHTTP_OK && *text != '\0'; text++) {
        size_t n = put(*text, spelled);
        if (n >= size - length || length > UH_SIZE_MAX - n)
            result = UHTTP_ERR_MEMORY;
        else
            length += (size_t)(uh_text_put(buffer + length, spelled, n) - (buffer + length));
    }
    if (buffer != NULL && size > 0)
        buffer[result == UHTTP_OK ? length : 0] = '\0';
    return result == UHTTP_OK ? (int)length : result;
}

/* All but the unreserved characters of RFC 3986 section 2.3 */
static size_t uh_char_percent_encode(char c, char *out)
{
    bool keep = (uh_char_is_scheme(c) && c != '+') || c == '_' || c == '~';
    out[0] = keep ? c : '%';
    out[1] = uh_char_of_hex((unsigned char)c >> 4, 'A');
    out[2] = uh_char_of_hex((unsigned char)c, 'A');
    return keep ? 1 : 3;
}

UHTTP_API int uhttp_percent_encode(const char *text, char *buffer, size_t size)
{
    return uh_text_spell(text, buffer, size, uh_char_percent_encode);
}

static size_t uh_char_html_escape(char c, char *out)
{
    static const char entities[] = "&&amp;\0<&lt;\0>&gt;\0\"&quot;\0'&#39;\0";
    for (const char *p = entities; *p != '\0'; p += strlen(p) + 1) {
        if (*p == c)
            return (size_t)(uh_text_puts(out, p + 1) - out);
    }
    *out = c;
    return 1;
}

UHTTP_API int uhttp_html_escape(const char *text, char *buffer, size_t size)
{
    return uh_text_spell(text, buffer, size, uh_char_html_escape);
}

UHTTP_API bool uhttp_str_equals(uhttp_str s, const char *text)
{
    return s.ptr != NULL && text != NULL && uh_text_is(s, text);
}

UHTTP_API int uhttp_str_copy(uhttp_str s, char *buffer, size_t size)
{
    bool good = s.ptr != NULL && buffer != NULL && memchr(s.ptr, '\0', s.len) == NULL;
    bool fits = s.len < size && s.len <= UH_SIZE_MAX;
    if (good && fits)
        *uh_text_put(buffer, s.ptr, s.len) = '\0';
    else if (buffer != NULL && size > 0)
        *buffer = '\0';
    return !good ? UHTTP_ERR_INVALID : fits ? (int)s.len : UHTTP_ERR_MEMORY;
}

/* The first c from p on, or end. */
static const char *uh_text_find(const char *p, const char *end, char c)
{
    const char *at = p < end ? (const char *)memchr(p, c, (size_t)(end - p)) : NULL;
    return at != NULL ? at : end;
}

/* Is this an IPv6 address? Where the system knows none, any text of its characters may be. */
static bool uh_text_is_v6(uhttp_str text)
{
    uh_peer peer;
    const char *end = uh_text_end(text);
    return UH_IPV6 ? uh_text_find(text.ptr, end, ':') < end && uh_peer_parse(text, &peer)
                   : text.len > 1;
}

/* "[v6]", or a name or IPv4 address; then optionally ':' and a port. RFC 3986 section 3.2.2 */
static bool uh_text_split_host(uhttp_str s, uhttp_str *host, uhttp_str *port)
{
    const char *p = s.ptr;
    const char *end = s.ptr + s.len;
    if (p < end && *p == '[') {
        p++;
        while (p < end && (uh_char_is(*p, UH_IS_HEX) || *p == ':' || *p == '.'))
            p++;
        if (p == end || *p != ']' || !uh_text_is_v6(uh_text_slice(s.ptr + 1, p)))
            return false;
        p++;
    } else {
        for (; p < end && uh_char_is(*p, UH_IS_HOST); p++) {
            if (*p == '%' && uh_text_escape(p, end) <= 0)
                return false;
        }
    }
    *host = uh_text_slice(s.ptr, p);
    port->ptr = NULL;
    port->len = 0;
    if (p == end)
        return true;
    int64_t number = 0;
    *port = uh_text_slice(p + 1, end);
    return *p == ':' && (port->len == 0 || (uh_text_decimal(*port, &number) == UH_NUMBER_OK &&
                                            number <= 65535));
}

/* Could this stand in a URL: no blank, no control character or NUL, and before the query every
 * escape whole? In a query browsers send a '%' as it was typed. */
static bool uh_text_is_url(uhttp_str s)
{
    const char *end = s.ptr + s.len;
    const char *query = uh_text_find(s.ptr, end, '?');
    for (const char *p = s.ptr; p < end; p++) {
        int byte = *p == '%' ? uh_text_escape(p, end) : 1;
        if ((unsigned char)*p <= ' ' || *p == 0x7f || byte == 0 || (byte < 0 && p < query))
            return false;
    }
    return true;
}

UHTTP_API uhttp_result uhttp_url_split(uhttp_str url, uhttp_url_parts *parts)
{
    const char *p = url.ptr;
    const char *end = uh_text_end(url);
    if (parts == NULL)
        return UHTTP_ERR_INVALID;
    memset(parts, 0, sizeof *parts);
    if (p == end || !uh_text_is_url(url))
        return UHTTP_ERR_INVALID;
    if (*p != '/') {
        while (p < end && uh_char_is_scheme(*p))
            p++;
        parts->scheme = uh_text_slice(url.ptr, p);
        if (parts->scheme.len == 0 || *url.ptr < 'A' || end - p < 3 || memcmp(p, "://", 3) != 0)
            return UHTTP_ERR_INVALID;
        p += 3;
        const char *from = p;
        while (p < end && *p != '/' && *p != '?' && *p != '#')
            p++;
        if (!uh_text_split_host(uh_text_slice(from, p), &parts->host, &parts->port) ||
            parts->host.len == 0)
            return UHTTP_ERR_INVALID;
    }
    const char *hash = uh_text_find(p, end, '#');
    const char *mark = uh_text_find(p, hash, '?');
    parts->path = uh_text_slice(p, mark);
    if (mark < hash)
        parts->query = uh_text_slice(mark + 1, hash);
    if (hash < end)
        parts->fragment = uh_text_slice(hash + 1, end);
    return UHTTP_OK;
}

/* Takes what stands before the next such character off the front; the text is not empty. */
static uhttp_str uh_text_take(uhttp_str *text, char separator)
{
    const char *end = text->ptr + text->len;
    const char *stop = uh_text_find(text->ptr, end, separator);
    uhttp_str piece = uh_text_slice(text->ptr, stop);
    *text = uh_text_slice(stop < end ? stop + 1 : end, end);
    return piece;
}

UHTTP_API bool uhttp_query_next(uhttp_str *query, uhttp_str *name, uhttp_str *value)
{
    while (!uh_is_missing(query, name, value) && query->len > 0) {
        uhttp_str pair = uh_text_take(query, '&');
        const char *stop = pair.ptr + pair.len;
        const char *equals = uh_text_find(pair.ptr, stop, '=');
        if (pair.len == 0)
            continue;
        *name = uh_text_slice(pair.ptr, equals);
        value->ptr = NULL;
        value->len = 0;
        if (equals < stop)
            *value = uh_text_slice(equals + 1, stop);
        return true;
    }
    return false;
}

UHTTP_API bool uhttp_cookie_next(uhttp_str *cookies, uhttp_str *name, uhttp_str *value)
{
    while (!uh_is_missing(cookies, name, value) && cookies->len > 0) {
        uhttp_str pair = uh_text_take(cookies, ';');
        const char *stop = pair.ptr + pair.len;
        const char *equals = uh_text_find(pair.ptr, stop, '=');
        if (equals == stop)
            continue;
        *name = uh_text_trim(uh_text_slice(pair.ptr, equals));
        *value = uh_text_trim(uh_text_slice(equals + 1, stop));
        return true;
    }
    return false;
}

UHTTP_API bool uhttp_list_next(uhttp_str *list, uhttp_str *element)
{
    while (list != NULL && element != NULL && list->len > 0) {
        *element = uh_text_trim(uh_text_take(list, ','));
        if (element->len > 0)
            return true;
    }
    return false;
}

/* Passes over a segment of a path. */
static const char *uh_path_segment(const char *p) { return p + strcspn(p, "/"); }

/* See uhttp_path_match(). captures NULL: only whether it matches. */
static bool uh_path_matches(const char *path, const char *pattern, uhttp_str *captures,
                            size_t capacity)
{
    size_t count = 0;
    char before = '/';
    for (char what; (what = *pattern) != '\0'; before = what) {
        const char *from = path;
        bool one = what == ':' && before == '/';
        if (!one && (what != '*' || pattern[1] != '\0')) {
            if (*path++ != what)
                return false;
            pattern++;
            continue;
        }
        pattern = one ? uh_path_segment(pattern) : pattern + 1;
        path = one ? uh_path_segment(path) : path + strlen(path);
        if (one && path == from)
            return false;
        if (captures != NULL && count < capacity)
            captures[count++] = uh_text_slice(from, path);
    }
    return *path == '\0';
}

UHTTP_API bool uhttp_secure_equals(const char *given, const char *secret)
{
    if (given == NULL || secret == NULL)
        return false;
    size_t given_length = strlen(given);
    size_t secret_length = strlen(secret);
    volatile unsigned difference = given_length != secret_length;
    for (size_t i = 0; i < given_length; i++) {     /* a shorter secret over and over */
        size_t at = secret_length > 0 ? i % secret_length : 0;
        difference = difference | ((unsigned char)given[i] ^ (unsigned char)secret[at]);
    }
    return difference == 0;
}

/* Behind the quoted string that begins at p; NULL: it is none. RFC 9110 section 5.6.4 */
static const char *uh_text_quoted(const char *p, const char *end)
{
    if (p == end || *p != '"')
        return NULL;
    for (p++; p < end && !uh_char_is_control(*p); p++) {
        if (*p == '"')
            return p + 1;
        if (*p == '\\' && (++p == end || uh_char_is_control(*p)))
            return NULL;
    }
    return NULL;
}

/* Behind a value as some clients write it: between quotes a backslash is itself, and a quote
 * ends only what a semicolon or nothing follows; without quotes it is any text without white
 * space. NULL: it does not end. */
static const char *uh_text_raw_value(const char *p, const char *end)
{
    const char *from = p;
    if (p < end && *p == '"') {
        while ((p = uh_text_find(p + 1, end, '"')) < end) {
            uhttp_str rest = uh_text_trim(uh_text_slice(p + 1, end));
            if (rest.len == 0 || *rest.ptr == ';')
                return p + 1;
        }
        return NULL;
    }
    while (p < end && *p != ';' && !uh_char_is_blank(*p))
        p++;
    return p > from ? p : NULL;
}

/* Takes the next parameter off the front; raw: its value may be odd. */
static bool uh_param_take(uhttp_str *params, uhttp_str *name, uhttp_str *value, bool raw)
{
    const char *p = params->ptr;
    const char *end = uh_text_end(*params);
    while (p < end && (*p == ';' || uh_char_is_blank(*p)))
        p++;
    *params = uh_text_slice(p, end);
    if (p == end)
        return false;
    while (p < end && (uh_char_is(*p, UH_IS_TOKEN) || *p == '/'))
        p++;
    *name = uh_text_slice(params->ptr, p);
    value->ptr = NULL;
    value->len = 0;
    if (p < end && *p == '=') {
        const char *from = p + 1;
        p = raw ? uh_text_raw_value(from, end)
            : from < end && *from == '"' ? uh_text_quoted(from, end) : uh_text_token(from, end);
        if (p == NULL || p == from || !uh_name_is_good(*name))
            return false;
        *value = uh_text_slice(from, p);
    }
    while (p < end && uh_char_is_blank(*p))
        p++;
    if (name->len == 0 || (p < end && *p != ';'))
        return false;
    *params = uh_text_slice(p, end);
    return true;
}

UHTTP_API bool uhttp_param_next(uhttp_str *params, uhttp_str *name, uhttp_str *value)
{
    return !uh_is_missing(params, name, value) && uh_param_take(params, name, value, false);
}

/* Copies what stands between quotes. A backslash escapes any character, or only the quote and
 * itself: some clients send paths as they are. The end of what was written. */
static char *uh_text_unescape(uhttp_str quoted, bool any, char *out)
{
    const char *end = quoted.ptr + quoted.len - 1;
    for (const char *p = quoted.ptr + 1; p < end; p++) {
        if (*p == '\\' && (any || p[1] == '"' || p[1] == '\\'))
            p++;
        *out++ = *p;
    }
    return out;
}

UHTTP_API uhttp_result uhttp_unquote(uhttp_str value, char *out, size_t *length)
{
    if (value.len == 0 || uh_is_missing(value.ptr, out, length))
        return UHTTP_ERR_INVALID;
    if (uh_text_quoted(value.ptr, value.ptr + value.len) == value.ptr + value.len) {
        *length = (size_t)(uh_text_unescape(value, true, out) - out);
        return UHTTP_OK;
    }
    if (!uh_name_is_good(value))
        return UHTTP_ERR_INVALID;
    memmove(out, value.ptr, value.len);
    *length = value.len;
    return UHTTP_OK;
}

/* What may follow in a character that has begun: how many bytes, and the range of the next. */
static const struct { uint8_t left, low, high; } uh_utf8_states[] = {
    { 0, 0x00, 0x7F }, { 1, 0x80, 0xBF }, { 2, 0x80, 0xBF }, { 3, 0x80, 0xBF },
    { 2, 0xA0, 0xBF }, { 2, 0x80, 0x9F }, { 3, 0x90, 0xBF }, { 3, 0x80, 0x8F }
};

/* The state behind the first byte of a character beyond ASCII; 0: it cannot be one. */
static uint8_t uh_utf8_begin(unsigned char lead)
{
    static const struct { uint8_t from, state; } leads[] = {
        { 0x80, 0 }, { 0xC2, 1 }, { 0xE0, 4 }, { 0xE1, 2 }, { 0xED, 5 }, { 0xEE, 2 },
        { 0xF0, 6 }, { 0xF1, 3 }, { 0xF4, 7 }, { 0xF5, 0 }
    };
    size_t i = sizeof leads / sizeof leads[0];
    while (lead < leads[--i].from) { }
    return leads[i].state;
}

UHTTP_API uhttp_result uhttp_utf8_check(uint8_t *state, uhttp_str text)
{
    const char *p = text.ptr;
    const char *end = uh_text_end(text);
    if (state == NULL || *state >= sizeof uh_utf8_states / sizeof uh_utf8_states[0])
        return UHTTP_ERR_INVALID;
    uint8_t now = *state;
    while (p < end) {
        size_t words[2];
        while (UH_WIDE && now == 0 && (size_t)(end - p) >= sizeof words) {
            memcpy(words, p, sizeof words);
            if (((words[0] | words[1]) & ((size_t)-1 / 255 * 128)) != 0)
                break;
            p += sizeof words;
        }
        if (p == end)
            break;
        unsigned char c = (unsigned char)*p++;
        if (now == 0 && c >= 0x80) {
            now = uh_utf8_begin(c);
            if (now == 0)
                return UHTTP_ERR_INVALID;
            continue;
        }
        if (c < uh_utf8_states[now].low || c > uh_utf8_states[now].high)
            return UHTTP_ERR_INVALID;
        now = (uint8_t)(uh_utf8_states[now].left - (now > 0));
    }
    *state = now;
    return now == 0 ? UHTTP_OK : UHTTP_ERR_AGAIN;
}

/* The length of the UTF-8 character beyond ASCII at p; 0: it is none. RFC 3629 */
static size_t uh_text_utf8_length(const char *p, const char *end)
{
    uint8_t state = uh_utf8_begin((unsigned char)*p);
    size_t length = 1u + uh_utf8_states[state].left;
    bool whole = state != 0 && (size_t)(end - p) >= length &&
                 uhttp_utf8_check(&state, uh_text_slice(p + 1, p + length)) == UHTTP_OK;
    return whole ? length : 0;
}

UHTTP_API bool uhttp_utf8_valid(uhttp_str text)
{
    uint8_t state = 0;
    return uhttp_utf8_check(&state, text) == UHTTP_OK;
}

/* Does the character of so many bytes make a file's name dangerous, or show as another: a
 * separator, a wildcard, a control character, one that turns the direction of writing? */
static bool uh_file_char_is_bad(const char *p, size_t length)
{
    const unsigned char *u = (const unsigned char *)p;
    if (length == 1)
        return u[0] < 0x20 || u[0] == 0x7f || strchr("\"*/:<>?\\|", *p) != NULL;
    if (length == 2)
        return (u[0] == 0xc2 && u[1] < 0xa0) || (u[0] == 0xd8 && u[1] == 0x9c);
    return length == 3 && u[0] == 0xe2 &&
           ((u[1] == 0x80 && ((u[2] & 0xfe) == 0x8e || (u[2] >= 0xaa && u[2] <= 0xae))) ||
            (u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9));
}

/* Copies a file's name as far as there is room; its length, without dots and blanks behind. */
static size_t uh_file_copy(const char *p, const char *end, char *to, size_t room)
{
    size_t made = 0;
    while (p < end) {
        size_t taken = (unsigned char)*p < 0x80 ? 1 : uh_text_utf8_length(p, end);
        bool bad = taken == 0 || uh_file_char_is_bad(p, taken);
        size_t given = bad ? 1 : taken;
        if (given > room - made)
            break;
        memcpy(to + made, bad ? "_" : p, given);
        made += given;
        p += taken > 0 ? taken : 1;
    }
    while (made > 0 && (to[made - 1] == '.' || to[made - 1] == ' '))
        made--;
    return made;
}

/* Is this the name of a device on Windows, whatever stands behind its dot? */
static bool uh_file_is_device(const char *name, const char *end)
{
    static const char devices[] =
        "con\0" "prn\0" "aux\0" "nul\0" "conin$\0" "conout$\0" "clock$\0";
    uhttp_str stem = uh_text_trim(uh_text_slice(name, uh_text_find(name, end, '.')));
    if (uh_text_is_one_of(stem, devices))
        return true;
    if (stem.len < 4)
        return false;
    const char *number = stem.ptr + 3;
    if (!uh_text_is_one_of(uh_text_slice(stem.ptr, number), "com\0" "lpt\0"))
        return false;
    return (stem.len == 4 && uh_char_is_digit(*number)) ||
           (stem.len == 5 && *number == '\xc2' &&       /* superscript one, two and three */
            memchr("\xb9\xb2\xb3", number[1], 3) != NULL);
}

/* Where a stem ends as that of the short name which FAT and NTFS give to a longer one,
 * "HTPASS~1": the '~'; NULL: it does not. It would be a second name of that file. */
static const char *uh_file_short_name(const char *p, const char *end)
{
    while ((p = uh_text_find(p, end, '~')) < end) {
        const char *tilde = p++;
        while (p < end && uh_char_is_digit(*p))
            p++;
        if (p > tilde + 1 && (p == end || *p == '.'))
            return tilde;
    }
    return NULL;
}

UHTTP_API size_t uhttp_safe_filename(const char *filename, char *buffer, size_t size)
{
    const char *p = filename != NULL ? filename : "";
    const char *end = p + strlen(p);
    for (const char *at = p; at < end; at++) {
        if (*at == '/' || *at == '\\')
            p = at + 1;
    }
    while (*p == '.' || *p == ' ')
        p++;
    if (size == 0 || buffer == NULL)
        return 0;
    size_t length = uh_file_copy(p, end, buffer, size - 1);
    if (size > 1 && (length == 0 || uh_file_is_device(buffer, buffer + length))) {
        buffer[0] = '_';
        length = 1 + uh_file_copy(p, end, buffer + 1, size - 2);
    }
    for (p = buffer; (p = uh_file_short_name(p, buffer + length)) != NULL; p++)
        buffer[p - buffer] = '_';
    buffer[length] = '\0';
    return length;
}

/*--- 05b addresses: networks, what proxies write -----------------------------------------*/

/* What an address is compared with: so many bits of another. */
typedef struct uh_network {
    uh_peer address;
    uint32_t bits;
} uh_network;

/* Reads "192.0.2.1", "10.0.0.0/8", "fd00::/8"; false: malformed. */
static bool uh_network_parse(uhttp_str text, uh_network *network)
{
    const char *end = uh_text_end(text);
    const char *slash = uh_text_find(text.ptr, end, '/');
    int64_t bits = 0;
    if (!uh_peer_parse(uh_text_slice(text.ptr, slash), &network->address))
        return false;
    bool is_v4 = network->address.family == 4;
    network->bits = is_v4 ? 32 : 128;
    if (slash == end)
        return true;
    if (uh_text_decimal(uh_text_slice(slash + 1, end), &bits) != UH_NUMBER_OK)
        return false;
    if (is_v4 && uh_text_find(text.ptr, slash, ':') < slash)
        bits -= 96;             /* of an IPv4-mapped address, which is stored as IPv4 */
    if (bits < 0 || bits > (int64_t)network->bits)
        return false;
    network->bits = (uint32_t)bits;
    return true;
}

static bool uh_network_holds(const uh_network *network, const uh_peer *peer)
{
    const uint8_t *a = network->address.address;
    const uint8_t *b = peer->address;
    uint32_t bytes = network->bits / 8;
    uint32_t rest = network->bits % 8;
    return network->address.family == peer->family && memcmp(a, b, bytes) == 0 &&
           (rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0);
}

#define UH_NETWORKS_BAD UINT32_MAX

/* Reads networks and "unix", for peers without an address, into out (NULL: nowhere). Returns
 * how many; UH_NETWORKS_BAD: *element is malformed. */
static uint32_t uh_networks_parse(const char *networks, uh_network *out, uhttp_str *element)
{
    uhttp_str list = uh_text_of(networks);
    uh_network nowhere;
    uint32_t count = 0;
    for (; uhttp_list_next(&list, element); count++) {
        uh_network *network = out != NULL ? &out[count] : &nowhere;     /* wiped, for "unix" */
        if (!uh_text_is(*element, "unix") && !uh_network_parse(*element, network))
            return UH_NETWORKS_BAD;
    }
    return count;
}

static bool uh_networks_hold(const uh_network *networks, uint32_t count, const uh_peer *peer)
{
    for (uint32_t i = 0; i < count; i++) {
        if (uh_network_holds(&networks[i], peer))
            return true;
    }
    return false;
}

/* Reads what proxies write into X-Forwarded-For: an address, some with a port behind it,
 * "[v6]:port" or "v4:port". */
static bool uh_text_forwarded(uhttp_str text, uh_peer *peer)
{
    const char *end = uh_text_end(text);
    const char *colon = uh_text_find(text.ptr, end, ':');
    if (text.len > 0 && *text.ptr == '[')
        text = uh_text_slice(text.ptr + 1, uh_text_find(text.ptr + 1, end, ']'));
    else if (colon < end && uh_text_find(colon + 1, end, ':') == end)
        text = uh_text_slice(text.ptr, colon);
    return uh_peer_parse(text, peer);
}

/*--- 05c request head ---------------------------------------------------------------*/

#if UH_LOG
#define UH_WHY(text) text
#define UH_REFUSE(head, status, text) ((head)->why = (text), -(status))
#else
#define UH_WHY(text) NULL
#define UH_REFUSE(head, status, text) ((void)(head), -(status))
#endif


/* Reads "name:" strictly; the byte behind the colon, NULL: no field line starts here. White
 * space before the colon and folded lines end here (RFC 9112 sections 5.1 and 5.2). */
static UH_INLINE const char *uh_head_name(const char *p, const char *end, uhttp_str *name)
{
    const char *colon = uh_text_token_to(p, end, ':');
    *name = uh_text_slice(p, colon);
    return colon > p && colon < end && *colon == ':' ? colon + 1 : NULL;
}

static bool uh_head_is_crlf(const char *p)
{
    return UH_WIDE ? memcmp(p, "\r\n", 2) == 0 : p[0] == '\r' && p[1] == '\n';
}

/* The CRLF of this line; NULL: a control character, a bare CR or LF before it. */
static UH_INLINE const char *uh_head_line_end(const char *p, const char *end)
{
    const char *cr = uh_text_until_control(p, end);
    return end - cr >= 2 && uh_head_is_crlf(cr) ? cr : NULL;
}

/* Reads up to CRLF; the byte behind it, NULL: the line is malformed. */
static UH_INLINE const char *uh_head_value(const char *p, const char *end, uhttp_str *value)
{
    const char *cr = uh_head_line_end(p, end);
    if (cr == NULL)
        return NULL;
    *value = uh_text_trim(uh_text_slice(p, cr));
    return cr + 2;
}

UHTTP_API bool uhttp_header_next(uhttp_str *fields, uhttp_str *name, uhttp_str *value)
{
    if (uh_is_missing(fields, name, value))
        return false;
    const char *end = uh_text_end(*fields);
    const char *p = fields->len > 0 ? uh_head_name(fields->ptr, end, name) : NULL;
    if (p != NULL)
        p = uh_head_value(p, end, value);
    if (p != NULL)
        *fields = uh_text_slice(p, end);
    return p != NULL;
}

/* Finds the line of a field by its name, in lower case or as another has it; NULL: there is
 * none. */
static const char *uh_fields_find(uhttp_str fields, uhttp_str name)
{
    const char *line;
    uhttp_str field, value;
    do {
        line = fields.ptr;
        if (!uhttp_header_next(&fields, &field, &value))
            return NULL;
    } while (!uh_text_same(field, name));
    return line;
}

/* Searches a head that begins at text for its end (CRLF CRLF), from p on, a line at a time.
 * NULL: it is not there yet; text: it never will be, an LF without CR comes first. */
static const char *uh_head_find_end(const char *text, const char *p, const char *end)
{
    const char *lf;
    while ((lf = (const char *)memchr(p, '\n', (size_t)(end - p))) != NULL) {
        if (lf == text || lf[-1] != '\r')
            return text;
        p = lf + 1;
        if (lf - text >= 3 && lf[-2] == '\n')
            return p;
    }
    return NULL;
}

/* "chunked" alone is understood. Behind other codings it still frames the body (501); anything
 * else leaves the body's end open (400). RFC 9112 sections 6.1 and 6.3 */
static int uh_head_transfer_encoding(uhttp_head *head, uhttp_str value)
{
    uhttp_str coding = { NULL, 0 };
    bool chunked = false;
    head->chunked = uh_text_is_nocase(value, "chunked");
    if (head->chunked)
        return 0;
    while (!chunked && uhttp_list_next(&value, &coding)) {
        if (!uh_name_is_good(coding))
            return UH_REFUSE(head, 400, UH_WHY("malformed Transfer-Encoding"));
        chunked = uh_text_is_nocase(coding, "chunked");
    }
    if (!chunked || value.ptr != coding.ptr + coding.len)
        return UH_REFUSE(head, 400, UH_WHY("chunked is not the last coding"));
    return UH_REFUSE(head, 501, UH_WHY("unknown transfer coding"));
}

/* How often the fields that decide something have come so far, and where the text ends. */
typedef struct uh_head_seen {
    uint32_t host, transfer_encoding, expect_unknown;
    const char *end;
} uh_head_seen;

static int uh_head_content_length(uhttp_head *head, uhttp_str value)
{
    if (head->content_length >= 0)
        return UH_REFUSE(head, 400, UH_WHY("repeated Content-Length"));
    switch (uh_text_decimal(value, &head->content_length)) {
    case UH_NUMBER_OK:    return 0;
    case UH_NUMBER_LARGE: return UH_REFUSE(head, 413, UH_WHY("Content-Length beyond 2^63"));
    case UH_NUMBER_BAD:   break;
    }
    return UH_REFUSE(head, 400, UH_WHY("malformed Content-Length"));
}

static int uh_head_host(uhttp_head *head, uh_head_seen *seen, uhttp_str value)
{
    uhttp_str host, port;
    bool plain = uh_text_until_rare(value.ptr, seen->end) >= value.ptr + value.len;
    if (seen->host++ > 0)
        return UH_REFUSE(head, 400, UH_WHY("repeated Host"));
    if (!(UH_VECTOR && plain) && (!uh_text_split_host(value, &host, &port) ||
                                 (host.len == 0 && port.ptr != NULL)))
        return UH_REFUSE(head, 400, UH_WHY("malformed Host"));
    if (head->host.ptr == NULL)     /* an absolute target's host beats the field */
        head->host = value;
    return 0;
}

/* Could a name of this first letter and length be one that decides something? */
static bool uh_head_may_decide(uhttp_str name)
{
    const unsigned letters = 1u << ('c' & 31) | 1u << ('e' & 31) | 1u << ('h' & 31) |
                             1u << ('t' & 31);
    const unsigned lengths = 1u << 4 | 1u << 6 | 1u << 10 | 1u << 14 | 1u << 17;
    return (letters >> (*name.ptr & 31) & 1u) != 0 && name.len < 18 &&
           (lengths >> name.len & 1u) != 0;
}

UH_SELDOM static void uh_head_expect(uhttp_head *head, uh_head_seen *seen, uhttp_str value)
{
    uhttp_str option;
    while (head->version_minor > 0 && uhttp_list_next(&value, &option)) {
        if (uh_text_is_nocase(option, "100-continue"))
            head->expect_continue = true;
        else
            seen->expect_unknown++;
    }
}

UH_SELDOM static void uh_head_connection(uhttp_head *head, uhttp_str value)
{
    uhttp_str option;
    while (uhttp_list_next(&value, &option)) {
        if (uh_text_is_nocase(option, "close"))
            head->close = true;
        else if (uh_text_is_nocase(option, "keep-alive"))
            head->keep_alive = true;
        else if (UH_WS && uh_text_is_nocase(option, "upgrade"))
            head->upgrade = true;
    }
}

/* Notes what a field decides; 0 or a negated status. Names are told apart by length first. */
UH_SELDOM static int uh_head_field(uhttp_head *head, uh_head_seen *seen, uhttp_str name,
                                   uhttp_str value)
{
    switch (name.len) {
    case 4:
        return UH_NAME_IS(name, "host") ? uh_head_host(head, seen, value) : 0;
    case 6:
        if (UH_NAME_IS(name, "cookie"))
            head->cookie_length += value.len + 2;   /* and "; " between two of them */
        else if (UH_NAME_IS(name, "expect"))
            uh_head_expect(head, seen, value);
        return 0;
    case 10:
        if (!UH_NAME_IS(name, "connection"))
            return 0;
        if (UH_WIDE && value.len == 10 && uh_text_folds_to(value.ptr, "keep-alive", 10))
            head->keep_alive = true;
        else
            uh_head_connection(head, value);
        return 0;
    case 14:
        return UH_NAME_IS(name, "content-length") ? uh_head_content_length(head, value)
                                                         : 0;
    case 17:
        if (!UH_NAME_IS(name, "transfer-encoding"))
            return 0;
        if (seen->transfer_encoding++ > 0)
            return UH_REFUSE(head, 400, UH_WHY("repeated Transfer-Encoding"));
        return uh_head_transfer_encoding(head, value);
    }
    return 0;
}

/* Reads "HTTP/1.1"; 0 or a negated status. RFC 9112 section 2.3 */
static int uh_head_version(uhttp_head *head, const char *p, const char *end)
{
    if (end - p != 8 || memcmp(p, "HTTP/", 5) != 0 || !uh_char_is_digit(p[5]) || p[6] != '.' ||
        !uh_char_is_digit(p[7]))
        return UH_REFUSE(head, 400, UH_WHY("malformed request line"));
    if (p[5] != '1')
        return UH_REFUSE(head, 505, UH_WHY("version other than HTTP/1"));
    head->version_minor = p[7] == '0' ? 0 : 1;
    return 0;
}

/* Skips what needs no look in a target. */
static const char *uh_head_skip_plain(const char *p, const char *end)
{
    while (p < end && (*p == '/' || (*p != '%' && uh_char_is(*p, UH_IS_HOST))))
        p++;
    return p;
}

/* Reads a target and a version as they mostly come: a path, perhaps a query, of such characters
 * before HTTP/1.1. False: they are others. */
static UH_INLINE bool uh_head_usual_target(uhttp_head *head, const char *p, const char *cr)
{
    if (cr - p < 10 || memcmp(cr - 9, " HTTP/1.1", 9) != 0 || *p != '/' ||
        head->method.len == 7)          /* CONNECT has seven letters */
        return false;
    const char *end = cr - 9;
    const char *mark = uh_head_skip_plain(p, end);
    if (mark < end && (*mark != '?' || uh_head_skip_plain(mark + 1, end) < end))
        return false;
    head->version_minor = 1;
    head->plain = true;
    head->target = uh_text_slice(p, end);
    head->path = uh_text_slice(p, mark);
    if (mark < end)
        head->query = uh_text_slice(mark + 1, end);
    return true;
}

/* Origin, absolute or asterisk form; 0 or a negated status. RFC 9112 section 3.2 */
static int uh_head_target(uhttp_head *head)
{
    uhttp_url_parts parts;
    if (uh_text_is(head->method, "CONNECT"))
        return UH_REFUSE(head, 501, UH_WHY("CONNECT"));
    if (uh_text_is(head->target, "*") && uh_text_is(head->method, "OPTIONS")) {
        head->path = head->target;
        return 0;
    }
    if (uhttp_url_split(head->target, &parts) != UHTTP_OK || parts.fragment.ptr != NULL)
        return UH_REFUSE(head, 400, UH_WHY("malformed request target"));
    head->path = parts.path;
    head->query = parts.query;
    if (parts.scheme.ptr != NULL) {
        if (!uh_text_is_nocase(parts.scheme, "http") &&
            !uh_text_is_nocase(parts.scheme, "https"))
            return UH_REFUSE(head, 400, UH_WHY("target of another scheme"));
        head->host = uh_text_slice(parts.host.ptr, parts.path.ptr);
        if (parts.path.len == 0)        /* then the path is "/": the last one of "://" */
            head->path = uh_text_slice(parts.host.ptr - 1, parts.host.ptr);
    }
    return 0;
}

/* Reads the request line from *p on and moves it behind; 0 or a negated status. */
static int uh_head_line(uhttp_head *head, const char **p, const char *end)
{
    const char *cr = uh_head_line_end(*p, end);
    if (cr == NULL)
        return UH_REFUSE(head, 400, UH_WHY("malformed request line"));
    const char *method_end = uh_text_token_to(*p, end, ' ');    /* no further than cr */
    if (method_end == *p || *method_end != ' ')
        return UH_REFUSE(head, 400, UH_WHY("malformed request line"));
    head->method = uh_text_slice(*p, method_end);
    const char *target = method_end + 1;
    if (UH_WIDE && uh_head_usual_target(head, target, cr)) {
        *p = cr + 2;
        return 0;
    }
    const char *target_end = uh_text_find(target, cr, ' ');
    if (target_end == target || target_end == cr)
        return UH_REFUSE(head, 400, UH_WHY("malformed request line"));
    head->target = uh_text_slice(target, target_end);
    *p = cr + 2;
    int status = uh_head_version(head, target_end + 1, cr);
    return status != 0 ? status : uh_head_target(head);
}

/* What the fields mean together; 0 or a negated status. RFC 9112 sections 3.2 and 6.3 */
static int uh_head_framing(uhttp_head *head, const uh_head_seen *seen)
{
    bool has_body = head->chunked || head->content_length > 0;
    if (seen->host == 0 && head->version_minor > 0)
        return UH_REFUSE(head, 400, UH_WHY("no Host"));
    if (seen->transfer_encoding > 0 && (head->content_length >= 0 || head->version_minor == 0))
        return UH_REFUSE(head, 400, UH_WHY("Transfer-Encoding with Content-Length or 1.0"));
    if (seen->expect_unknown > 0 && has_body)
        return UH_REFUSE(head, 417, UH_WHY("unknown expectation"));
    if (!has_body)
        head->expect_continue = false;
    return 0;
}

static void uh_head_terminate(uhttp_str s) { *(char *)(uintptr_t)(s.ptr + s.len) = '\0'; }

/* Reads a field line as they mostly come, where vectors are certain: ": " behind a name of
 * letters and '-', then a value of ASCII without blanks around it. The byte behind its CRLF;
 * NULL: the line is another, or none. The text ends with CRLF CRLF, so that a vector that
 * reaches the end has found something. */
static UH_INLINE const char *uh_head_usual_line(const char *p, const char *end, uhttp_str *name,
                                                uhttp_str *value)
{
    const char *last = end - UH_VECTOR_BYTES;
    const char *colon = p;
    uh_hits hits = 0;
    while (colon <= last && (hits = uh_vector_behind(colon)) == 0)
        colon += UH_VECTOR_BYTES;
    if (colon > last)
        hits = uh_vector_behind(last) >> (colon - last) * UH_HIT_BITS;
    colon += uh_vector_place(hits);
    if (colon == p || memcmp(colon, ": ", 2) != 0)
        return NULL;
    const char *cr = colon + 2;
    while (cr <= last && (hits = uh_vector_odd(cr)) == 0)
        cr += UH_VECTOR_BYTES;
    if (cr > last)
        hits = uh_vector_odd(last) >> (cr - last) * UH_HIT_BITS;
    cr += uh_vector_place(hits);
    if (!uh_head_is_crlf(cr) || colon[2] <= ' ' || cr[-1] == ' ')
        return NULL;
    *name = uh_text_slice(p, colon);
    *value = uh_text_slice(colon + 2, cr);
    return cr + 2;
}

/* Reads the field line at p; the byte behind it, NULL: it is malformed, or the empty one. */
static UH_INLINE const char *uh_head_field_line(const char *p, const char *end, uhttp_str *name,
                                                uhttp_str *value)
{
    const char *next = UH_VECTOR ? uh_head_usual_line(p, end, name, value) : NULL;
    if (next != NULL)
        return next;
    if (UH_WIDE && *p == '\r')
        return NULL;
    p = uh_head_name(p, end, name);
    return p != NULL ? uh_head_value(p, end, value) : NULL;
}

/* Reads the field lines from *at on, up to the empty one or one that is refused, and moves it
 * there; 0 or a negated status. */
static int uh_head_fields(uhttp_head *head, uh_head_seen *seen, const char **at, bool terminate)
{
    uhttp_str name, value;
    const char *p = *at;
    const char *end = seen->end;
    int status = 0;
    for (;;) {
        const char *next = uh_head_field_line(p, end, &name, &value);
        if (next == NULL)
            break;
        if (!UH_WIDE || uh_head_may_decide(name))
            status = uh_head_field(head, seen, name, value);
        if (status != 0)
            break;
        if (terminate) {
            uh_head_terminate(name);
            uh_head_terminate(value);
        }
        p = next;
    }
    head->fields.len = (size_t)(p - *at);
    *at = p;
    if (status == 0 && !uh_head_is_crlf(p))
        return UH_REFUSE(head, 400, UH_WHY("malformed header field"));
    return status;
}

/* Reads a whole head from a text that ends with an empty line, the head's or a later one. Its
 * length or a negated status; then fields ends where the malformed line begins. terminate: the
 * text may be written to, and every string in it gets its NUL. */
static int uh_head_parse(const char *text, const char *end, bool terminate, uhttp_head *head)
{
    uh_head_seen seen;
    const char *p = text;
    uh_wipe(head, sizeof *head);
    memset(&seen, 0, sizeof seen);
    seen.end = end;
    head->content_length = -1;
    int status = uh_head_line(head, &p, end);
    if (status != 0)
        return status;
    head->fields.ptr = p;
    if (terminate) {
        uh_head_terminate(head->method);
        uh_head_terminate(head->target);
        uh_head_terminate(uh_text_slice(text, p - 2));      /* the version */
    }
    status = uh_head_fields(head, &seen, &p, terminate);
    if (status == 0)
        status = uh_head_framing(head, &seen);
    return status != 0 ? status : (int)(p + 2 - text);
}

UHTTP_API int uhttp_head_parse(uhttp_str text, uhttp_head *head)
{
    if (head == NULL)
        return -400;
    memset(head, 0, sizeof *head);
    if (text.len > UH_SIZE_MAX)
        return UH_REFUSE(head, 413, UH_WHY("text too long"));
    const char *end = text.len == 0 ? NULL
        : uh_head_find_end(text.ptr, text.ptr, text.ptr + text.len);
    if (end == NULL)
        return 0;
    return end != text.ptr ? uh_head_parse(text.ptr, end, false, head)
                           : UH_REFUSE(head, 400, UH_WHY("LF without CR"));
}

/*--- 05d chunked ----------------------------------------------------------------------*/

typedef enum uh_chunk_state {
    UH_CHUNK_SIZE,          /* before the first digit */
    UH_CHUNK_DIGITS,
    UH_CHUNK_BLANK,         /* before an extension (RFC 9112 section 7.1.1), nowhere else */
    UH_CHUNK_EXTENSION, UH_CHUNK_SIZE_LF,
    UH_CHUNK_DATA, UH_CHUNK_DATA_CR, UH_CHUNK_DATA_LF,
    UH_CHUNK_TRAILER,       /* at the start of a line */
    UH_CHUNK_TRAILER_NAME, UH_CHUNK_TRAILER_VALUE, UH_CHUNK_TRAILER_LF, UH_CHUNK_END_LF,
    UH_CHUNK_DONE
} uh_chunk_state;

/* One more hexadecimal digit; false: no digit, or beyond 2^60. */
static bool uh_chunk_digit(uhttp_chunked *d, char c)
{
    int digit = uh_char_hex(c);
    if (digit < 0 || d->left >= (uint64_t)1 << 56)
        return false;
    d->left = d->left << 4 | (unsigned)digit;
    return true;
}

/* The byte that ends each state, and the state behind it. */
static const struct {
    char byte;
    uint8_t next;
} uh_chunk_ends[] = {
    { '\0', 0 },                        /* SIZE: by its first digit only */
    { '\r', UH_CHUNK_SIZE_LF },         /* DIGITS */
    { ';',  UH_CHUNK_EXTENSION },       /* BLANK */
    { '\r', UH_CHUNK_SIZE_LF },         /* EXTENSION */
    { '\n', UH_CHUNK_TRAILER },         /* SIZE_LF, unless data follow */
    { '\0', 0 },                        /* DATA: by its length only */
    { '\r', UH_CHUNK_DATA_LF },         /* DATA_CR */
    { '\n', UH_CHUNK_SIZE },            /* DATA_LF */
    { '\r', UH_CHUNK_END_LF },          /* TRAILER */
    { ':',  UH_CHUNK_TRAILER_VALUE },   /* TRAILER_NAME */
    { '\r', UH_CHUNK_TRAILER_LF },      /* TRAILER_VALUE */
    { '\n', UH_CHUNK_TRAILER },         /* TRAILER_LF */
    { '\n', UH_CHUNK_DONE },            /* END_LF */
};

/* The state behind one byte of framing; -1: malformed. */
static int uh_chunk_byte(uhttp_chunked *d, char c)
{
    if (d->state == UH_CHUNK_SIZE_LF && c == '\n' && d->left > 0)
        return UH_CHUNK_DATA;
    if (c != '\0' && c == uh_chunk_ends[d->state].byte)
        return uh_chunk_ends[d->state].next;
    if (d->state == UH_CHUNK_DIGITS && c == ';')
        return UH_CHUNK_EXTENSION;
    if (d->state == UH_CHUNK_DIGITS && uh_char_is_blank(c))
        return UH_CHUNK_BLANK;
    switch ((uh_chunk_state)d->state) {
    case UH_CHUNK_SIZE:
    case UH_CHUNK_DIGITS:
        return uh_chunk_digit(d, c) ? UH_CHUNK_DIGITS : -1;
    case UH_CHUNK_BLANK:
        return uh_char_is_blank(c) ? UH_CHUNK_BLANK : -1;
    case UH_CHUNK_TRAILER:
    case UH_CHUNK_TRAILER_NAME:
        return uh_char_is(c, UH_IS_TOKEN) ? UH_CHUNK_TRAILER_NAME : -1;
    case UH_CHUNK_EXTENSION:
    case UH_CHUNK_TRAILER_VALUE:
        return uh_char_is_control(c) ? -1 : d->state;
    case UH_CHUNK_SIZE_LF:
    case UH_CHUNK_DATA:
    case UH_CHUNK_DATA_CR:
    case UH_CHUNK_DATA_LF:
    case UH_CHUNK_TRAILER_LF:
    case UH_CHUNK_END_LF:
    case UH_CHUNK_DONE:
        break;
    }
    return -1;
}

/* Moves data of the current chunk; how much. */
static size_t uh_chunk_data(uhttp_chunked *d, const char *in, size_t length, char *out,
                            size_t room)
{
    size_t n = length < room ? length : room;
    if (n > d->left)
        n = (size_t)d->left;
    if (out != in && n > 0)
        memmove(out, in, n);
    d->left -= n;
    d->data += n;
    if (d->left == 0)
        d->state = UH_CHUNK_DATA_CR;
    return n;
}

UHTTP_API uhttp_result uhttp_chunked_decode(uhttp_chunked *chunked, const char *in,
                                            size_t *in_length, char *out, size_t *out_length)
{
    size_t used = 0;
    size_t made = 0;
    uhttp_result result = UHTTP_ERR_AGAIN;
    if (uh_is_missing(chunked, in_length, out_length) || (in == NULL && *in_length > 0) ||
        (out == NULL && *out_length > 0))
        return UHTTP_ERR_INVALID;
    while (chunked->state != UH_CHUNK_DONE && used < *in_length) {
        if (chunked->state == UH_CHUNK_DATA) {
            char *to = made > 0 ? out + made : out;     /* out may be absent, without room */
            size_t n = uh_chunk_data(chunked, in + used, *in_length - used, to,
                                     *out_length - made);
            if (n == 0)
                break;
            used += n;
            made += n;
            continue;
        }
        int next = uh_chunk_byte(chunked, in[used]);
        if (next < 0 || chunked->framing >= 16384 + 8 * chunked->data) {
            result = UHTTP_ERR_INVALID;
            break;
        }
        chunked->state = (uint8_t)next;
        chunked->framing++;
        used++;
    }
    *in_length = used;
    *out_length = made;
    return chunked->state == UH_CHUNK_DONE ? UHTTP_OK : result;
}

/* Bytes that certainly still belong to the body: its data and the shortest end. */
static uint64_t uh_chunk_certain(const uhttp_chunked *d)
{
    static const uint8_t shortest[] = { 5, 4, 5, 4, 3, 2, 7, 6, 2, 5, 4, 3, 1, 0 };
    return shortest[d->state] + (d->left > 0 ? d->left + 5 : 0);        /* 5: 0 CR LF CR LF */
}

/*--- 05e form-data ----------------------------------------------------------------------
 *
 * A delimiter is CR LF - - boundary. A boundary has no CR, so a CR begins one or none: the
 * search is one for CRs. Of a delimiter that may have begun at the end of what was fed only the
 * length is kept, as its bytes are known; were they data after all, they are given from the
 * delimiter itself.
 */

#if UH_MULTIPART

typedef enum uh_form_state {
    UH_FORM_DATA,           /* of a part, or the preamble */
    UH_FORM_TAIL,           /* behind a delimiter */
    UH_FORM_TAIL_BLANK, UH_FORM_TAIL_DASH, UH_FORM_TAIL_LF,
    UH_FORM_HEADERS,
    UH_FORM_LAST,           /* the end is still to be told */
    UH_FORM_PAST            /* whatever comes is passed over */
} uh_form_state;

/* RFC 2046 section 5.1.1 */
static bool uh_form_char_is_boundary(char c)
{
    return uh_char_is_scheme(c) || (c != '\0' && strchr("'()_,/:=? ", c) != NULL);
}

/* Writes the delimiter of a boundary, quoted or not; false: it is malformed. */
static bool uh_form_set_boundary(uhttp_formdata *f, uhttp_str value)
{
    if (value.len >= 2 && *value.ptr == '"')
        value = uh_text_slice(value.ptr + 1, value.ptr + value.len - 1);
    if (value.len == 0 || value.len > 70 || value.ptr[value.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (!uh_form_char_is_boundary(value.ptr[i]))
            return false;
    }
    memcpy(f->delimiter, "\r\n--", 4);
    memcpy(f->delimiter + 4, value.ptr, value.len);
    f->length = (uint8_t)(4 + value.len);
    return true;
}

static bool uh_form_read_type(uhttp_formdata *f, uhttp_str type)
{
    uhttp_str name, value;
    if (!uhttp_param_next(&type, &name, &value) ||
        !uh_text_is_nocase(name, "multipart/form-data"))
        return false;
    while (uh_param_take(&type, &name, &value, true)) {     /* "a/b=c:d" without quotes */
        if (uh_text_is_nocase(name, "boundary") &&
            (f->length > 0 || !uh_form_set_boundary(f, value)))
            return false;
    }
    return type.len == 0 && f->length > 0;
}

/* Data begin. They may begin with a delimiter whose CR LF ended what is before them. */
static void uh_form_enter_data(uhttp_formdata *f)
{
    f->state = UH_FORM_DATA;
    f->matched = f->assumed = 2;
}

UH_APART static uhttp_formdata_event uh_form_fail(uhttp_formdata *f, uhttp_result error,
                                                  const char *why)
{
    f->state = UH_FORM_PAST;
    f->error = error;
    f->why = why;
    return UHTTP_FORMDATA_ERROR;
}

/* Where a delimiter stands, or what may become one at the end; else the end. */
static const char *uh_form_find(const uhttp_formdata *f, const char *p, const char *end)
{
    for (;; p++) {
        p = uh_text_find(p, end, '\r');
        size_t n = (size_t)(end - p) < f->length ? (size_t)(end - p) : f->length;
        if (n < 2 || (p[1] == '\n' && memcmp(p, f->delimiter, n) == 0))
            return p;
    }
}

/* Uses the input up to here. */
static void uh_form_use(uhttp_formdata *f, const char *p)
{
    f->in = uh_text_slice(p, uh_text_end(f->in));
}

/* As many bytes at p as the delimiter still has, if there are so many, belong to it. */
static void uh_form_match(uhttp_formdata *f, const char *p)
{
    size_t left = (size_t)(uh_text_end(f->in) - p);
    size_t more = (size_t)f->length - f->matched;
    if (more > left)
        more = left;
    f->matched = (uint8_t)(f->matched + more);
    uh_form_use(f, p + more);
    if (f->matched < f->length)
        return;
    f->state = UH_FORM_TAIL;
    f->matched = f->assumed = 0;
}

/* Takes data up to the next delimiter. Nobody hears of the preamble. */
static uhttp_formdata_event uh_form_data(uhttp_formdata *f)
{
    const char *p = f->in.ptr;
    size_t more = (size_t)f->length - f->matched;
    uhttp_str data;
    if (more > f->in.len)
        more = f->in.len;
    if (f->matched == 0) {
        const char *stop = uh_form_find(f, p, uh_text_end(f->in));
        data = uh_text_slice(p, stop);
        uh_form_match(f, stop);
    } else if (memcmp(p, f->delimiter + f->matched, more) == 0) {
        data = uh_text_slice(p, p);
        uh_form_match(f, p);
    } else {
        data = uh_text_slice(f->delimiter + f->assumed, f->delimiter + f->matched);
        f->matched = f->assumed = 0;
    }
    if (!f->open || data.len == 0)
        return UHTTP_FORMDATA_MORE;
    f->data = data;
    return UHTTP_FORMDATA_DATA;
}

/* The state behind one more byte after a delimiter: two dashes, or blanks and a line end; PAST:
 * malformed. RFC 2046 section 5.1.1 */
static uh_form_state uh_form_tail_state(uint8_t state, char c)
{
    if (state == UH_FORM_TAIL_DASH)
        return c == '-' ? UH_FORM_LAST : UH_FORM_PAST;
    if (state == UH_FORM_TAIL_LF)
        return c == '\n' ? UH_FORM_HEADERS : UH_FORM_PAST;
    if (c == '\r')
        return UH_FORM_TAIL_LF;
    if (uh_char_is_blank(c))
        return UH_FORM_TAIL_BLANK;
    return state == UH_FORM_TAIL && c == '-' ? UH_FORM_TAIL_DASH : UH_FORM_PAST;
}

/* Reads a byte behind a delimiter. The part before it is whole when that is. */
static uhttp_formdata_event uh_form_tail(uhttp_formdata *f)
{
    bool was_open = f->open;
    f->state = (uint8_t)uh_form_tail_state(f->state, *f->in.ptr);
    uh_form_use(f, f->in.ptr + 1);
    if (f->state == UH_FORM_PAST)
        return uh_form_fail(f, UHTTP_ERR_INVALID, UH_WHY("malformed delimiter of a form"));
    if (f->state != UH_FORM_HEADERS && f->state != UH_FORM_LAST)
        return UHTTP_FORMDATA_MORE;
    f->open = false;
    f->used = 0;
    return was_open ? UHTTP_FORMDATA_PART_END : UHTTP_FORMDATA_MORE;
}

/* What a part's headers say, as it stands there. */
typedef struct uh_form_fields {
    uhttp_str disposition, type;
    uhttp_str name, filename, extended;     /* extended: of filename* */
    bool raw;                               /* backslashes in them are themselves */
} uh_form_fields;

/* Notes a value that may come once; false: it has come before. */
static bool uh_form_note(uhttp_str *to, uhttp_str value)
{
    if (to->ptr != NULL)
        return false;
    *to = value;
    return true;
}

/* Reads the header lines; false: one is malformed, repeated, or says that data are encoded. */
static bool uh_form_read_headers(uhttp_str headers, uh_form_fields *fields)
{
    uhttp_str name, value;
    bool good = true;
    while (good && uhttp_header_next(&headers, &name, &value)) {
        if (uh_text_is_nocase(name, "content-disposition"))
            good = uh_form_note(&fields->disposition, value);
        else if (uh_text_is_nocase(name, "content-type"))
            good = uh_form_note(&fields->type, value);
        else if (uh_text_is_nocase(name, "content-transfer-encoding"))
            good = uh_text_is_one_of(value, "binary\0" "8bit\0" "7bit\0");
    }
    return good && headers.len == 0;
}

/* Reads "form-data; name=...; filename=..." */
static bool uh_form_read_disposition(uh_form_fields *fields, bool raw)
{
    const uhttp_str none = { NULL, 0 };
    uhttp_str rest = fields->disposition;
    uhttp_str name, value;
    fields->name = fields->filename = fields->extended = none;
    fields->raw = raw;
    bool good = uhttp_param_next(&rest, &name, &value) && value.ptr == NULL &&
                uh_text_is_nocase(name, "form-data");
    while (good && uh_param_take(&rest, &name, &value, raw)) {
        if (uh_text_is_nocase(name, "name"))
            good = uh_form_note(&fields->name, value);
        else if (uh_text_is_nocase(name, "filename"))
            good = uh_form_note(&fields->filename, value);
        else if (uh_text_is_nocase(name, "filename*"))
            good = uh_form_note(&fields->extended, value);
    }
    return good && rest.len == 0 && fields->name.ptr != NULL;
}

/* Decodes UTF-8'language'text with its escapes, in place; false: malformed. RFC 8187 section
 * 3.2 */
static bool uh_form_decode_extended(char *string)
{
    const char *end = string + strlen(string);
    const char *language = uh_text_find(string, end, '\'');
    const char *text = language < end ? uh_text_find(language + 1, end, '\'') : end;
    size_t length = 0;
    if (text == end || !uh_text_is_nocase(uh_text_slice(string, language), "utf-8") ||
        uhttp_percent_decode(uh_text_slice(text + 1, end), false, string, &length) != UHTTP_OK)
        return false;
    string[length] = '\0';
    uhttp_str decoded = uh_text_slice(string, string + length);
    return uhttp_utf8_valid(decoded) && !uh_text_has_control(decoded);
}

/* Copies a value without its quotes behind the header lines, as a string; an absent one is
 * NULL. False: there is no room. */
static bool uh_form_copy(uhttp_formdata *f, uhttp_str value, bool raw, char **string)
{
    char *to = f->buffer + f->used;
    *string = NULL;
    if (value.ptr == NULL)
        return true;
    if (value.len >= f->size - f->used)
        return false;
    bool quoted = value.len > 0 && *value.ptr == '"';
    if (raw && quoted)
        value = uh_text_slice(value.ptr + 1, value.ptr + value.len - 1);
    char *end = quoted && !raw ? uh_text_unescape(value, false, to)
                               : uh_text_put(to, value.ptr, value.len);
    *end = '\0';
    *string = to;
    f->used = (size_t)(end + 1 - f->buffer);
    return true;
}

/* Copies the strings of a part whose headers have been read; false: there is no room. A
 * filename* that cannot be decoded leaves the filename beside it, or an empty one. */
static bool uh_form_name_part(uhttp_formdata *f, uh_form_fields *fields)
{
    char *name, *filename, *type;
    if (!uh_form_copy(f, fields->name, fields->raw, &name) ||
        !uh_form_copy(f, fields->type, false, &type) ||
        !uh_form_copy(f, fields->extended, fields->raw, &filename))
        return false;
    if (filename != NULL && !uh_form_decode_extended(filename)) {
        if (fields->filename.ptr == NULL)
            fields->filename.ptr = "";
        filename = NULL;
    }
    if (filename == NULL && !uh_form_copy(f, fields->filename, fields->raw, &filename))
        return false;
    f->name = name;
    f->filename = filename;
    f->content_type = type;
    return true;
}

/* A part's header lines are whole. What do they say? A part that is no field is passed over,
 * as the common servers do. */
static uhttp_formdata_event uh_form_begin_part(uhttp_formdata *f)
{
    uh_form_fields fields;
    memset(&fields, 0, sizeof fields);
    f->headers = uh_text_slice(f->buffer, f->buffer + f->used - 2);
    if (f->parts++ >= f->max_parts)
        return uh_form_fail(f, UHTTP_ERR_MEMORY, UH_WHY("form has more parts than max_parts"));
    f->open = uh_form_read_headers(f->headers, &fields) &&
              (uh_form_read_disposition(&fields, false) ||
               uh_form_read_disposition(&fields, true));
    if (f->open && !uh_form_name_part(f, &fields))
        return uh_form_fail(f, UHTTP_ERR_MEMORY,
                            UH_WHY("headers of a form's part exceed the buffer"));
    uh_form_enter_data(f);
    return f->open ? UHTTP_FORMDATA_PART : UHTTP_FORMDATA_MORE;
}

/* Collects header lines up to the empty one. */
static uhttp_formdata_event uh_form_headers(uhttp_formdata *f)
{
    const char *end = uh_text_end(f->in);
    for (const char *p = f->in.ptr; p < end; p++) {
        if (f->used == f->size)
            return uh_form_fail(f, UHTTP_ERR_MEMORY,
                                UH_WHY("headers of a form's part exceed the buffer"));
        char *at = f->buffer + f->used++;
        *at = *p;
        if (*at != '\n')
            continue;
        if (f->used < 2 || at[-1] != '\r')
            return uh_form_fail(f, UHTTP_ERR_INVALID, UH_WHY("LF without CR in a form"));
        if (f->used == 2 || at[-2] == '\n') {
            uh_form_use(f, p + 1);
            return uh_form_begin_part(f);
        }
    }
    uh_form_use(f, end);
    return UHTTP_FORMDATA_MORE;
}

static uhttp_formdata_event uh_form_step(uhttp_formdata *f)
{
    if (f->state == UH_FORM_LAST) {
        f->state = UH_FORM_PAST;
        f->error = UHTTP_OK;
        f->why = NULL;
        return UHTTP_FORMDATA_END;
    }
    if (f->state == UH_FORM_PAST)
        uh_form_use(f, uh_text_end(f->in));
    if (f->in.len == 0)
        return UHTTP_FORMDATA_MORE;
    if (f->state == UH_FORM_DATA)
        return uh_form_data(f);
    return f->state == UH_FORM_HEADERS ? uh_form_headers(f) : uh_form_tail(f);
}

UHTTP_API uhttp_result uhttp_formdata_begin(uhttp_formdata *form, const char *content_type,
                                            char *buffer, size_t size)
{
    if (form == NULL)
        return UHTTP_ERR_INVALID;
    memset(form, 0, sizeof *form);
    form->buffer = buffer;
    form->size = buffer != NULL ? size : 0;
    form->max_parts = UH_FORM_PARTS;
    uh_form_enter_data(form);
    if (content_type == NULL || !uh_form_read_type(form, uh_text_of(content_type))) {
        (void)uh_form_fail(form, UHTTP_ERR_INVALID,
                           UH_WHY("not multipart/form-data with a boundary"));
        return UHTTP_ERR_INVALID;
    }
    form->error = UHTTP_ERR_AGAIN;
    form->why = UH_WHY("form without its last delimiter");
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_formdata_feed(uhttp_formdata *form, const void *data,
                                           size_t length)
{
    if (form == NULL || (data == NULL && length > 0))
        return UHTTP_ERR_INVALID;
    if (form->in.len > 0 && form->state != UH_FORM_PAST)
        return UHTTP_ERR_STATE;
    form->in.ptr = (const char *)data;
    form->in.len = length;
    return UHTTP_OK;
}

UHTTP_API uhttp_formdata_event uhttp_formdata_next(uhttp_formdata *form)
{
    uhttp_formdata_event event;
    if (form == NULL)
        return UHTTP_FORMDATA_MORE;
    do {
        event = uh_form_step(form);
    } while (event == UHTTP_FORMDATA_MORE &&
             (form->in.len > 0 || form->state == UH_FORM_LAST));
    return event;
}

UHTTP_API uhttp_result uhttp_formdata_error(const uhttp_formdata *form, const char **text)
{
    if (text != NULL)
        *text = form != NULL && form->why != NULL ? form->why : "";
    return form != NULL ? form->error : UHTTP_ERR_INVALID;
}

#else

UHTTP_API uhttp_result uhttp_formdata_begin(uhttp_formdata *form, const char *content_type,
                                            char *buffer, size_t size)
{
    (void)content_type;
    (void)buffer;
    (void)size;
    if (form == NULL)
        return UHTTP_ERR_INVALID;
    memset(form, 0, sizeof *form);
    form->error = UHTTP_ERR_UNSUPPORTED;
    return UHTTP_ERR_UNSUPPORTED;
}

UH_LACKS_3(uhttp_formdata_feed, uhttp_formdata *, const void *, size_t)
UH_STUB_1(uhttp_formdata_event, uhttp_formdata_next, UHTTP_FORMDATA_MORE, uhttp_formdata *)

UHTTP_API uhttp_result uhttp_formdata_error(const uhttp_formdata *form, const char **text)
{
    (void)form;
    if (text != NULL)
        *text = "";
    return UHTTP_ERR_UNSUPPORTED;
}

#endif

/*--- 05f base64, SHA-1, frames, dates, ranges, types, phrases ---------------------------*/

/* Numbers as the network writes them, of up to eight bytes. */
UH_APART static void uh_bytes_put(uint8_t *out, size_t size, uint64_t number)
{
    for (; size > 0; number >>= 8)
        out[--size] = (uint8_t)number;
}

static uint64_t uh_bytes_number(const uint8_t *p, size_t size)
{
    uint64_t number = 0;
    while (size-- > 0)
        number = number << 8 | *p++;
    return number;
}

static const char uh_base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The six bits of a base64 character; -1: it is none. */
static int uh_char_base64(char c)
{
    const char *at = (const char *)memchr(uh_base64_digits, c, 64);
    return at != NULL ? (int)(at - uh_base64_digits) : -1;
}

/* Bytes that base64 of this length and end stands for. */
static size_t uh_base64_length(uhttp_str in)
{
    size_t length = in.len / 4 * 3;
    if (length > 0 && in.ptr[in.len - 1] == '=')
        length -= in.ptr[in.len - 2] == '=' ? 2 : 1;
    return length;
}

UHTTP_API uhttp_result uhttp_base64_decode(uhttp_str in, void *out, size_t *length)
{
    uint8_t *to = (uint8_t *)out;
    size_t made = uh_base64_length(in);
    uint32_t bits = 0;
    size_t n = 0;
    if (in.len % 4 != 0 || length == NULL || (out == NULL && made > 0))
        return UHTTP_ERR_INVALID;
    for (size_t i = 0; i < in.len; i++) {
        bool padding = i >= in.len - (in.len / 4 * 3 - made);
        int six = padding ? 0 : uh_char_base64(in.ptr[i]);
        if (six < 0)
            return UHTTP_ERR_INVALID;
        bits = bits << 6 | (uint32_t)six;
        if (i % 4 == 0)
            continue;
        uint32_t unused = 6 - i % 4 * 2;            /* bits behind the byte that is whole now */
        if (n < made)
            to[n++] = (uint8_t)(bits >> unused);
        else if ((bits & 0xffu << unused) != 0)
            return UHTTP_ERR_INVALID;
    }
    *length = made;
    return UHTTP_OK;
}

UHTTP_API size_t uhttp_base64_encode(uhttp_str in, char *out)
{
    char *to = out;
    if (out == NULL)
        return 0;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t n = in.len - i < 3 ? in.len - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < n ? (unsigned char)in.ptr[i + k] : 0u);
        for (size_t k = 0; k < 4; k++, bits <<= 6)
            *to++ = k <= n ? uh_base64_digits[bits >> 18 & 63u] : '=';
    }
    *to = '\0';
    return (size_t)(to - out);
}

static uint32_t uh_rotate(uint32_t x, unsigned bits) { return x << bits | x >> (32 - bits); }

/* One block of 64 bytes (RFC 3174 section 6.2). */
static void uh_sha1_block(uint32_t h[5], const uint8_t *block)
{
    static const uint32_t k[4] = { 0x5a827999u, 0x6ed9eba1u, 0x8f1bbcdcu, 0xca62c1d6u };
    uint32_t w[16];
    uint32_t v[5];
    memcpy(v, h, sizeof v);
    for (unsigned t = 0; t < 16; t++)
        w[t] = (uint32_t)uh_bytes_number(block + 4 * t, 4);
    for (unsigned t = 0; t < 80; t++) {
        uint32_t b = v[1], c = v[2], d = v[3];
        uint32_t f = t < 20 ? d ^ (b & (c ^ d))
                   : t < 40 || t >= 60 ? b ^ c ^ d : (b & c) | (d & (b | c));
        f += uh_rotate(v[0], 5) + v[4] + k[t / 20] + w[0];
        memmove(v + 1, v, 4 * sizeof *v);
        v[0] = f;
        v[2] = uh_rotate(b, 30);
        uint32_t next = uh_rotate(w[0] ^ w[2] ^ w[8] ^ w[13], 1);
        memmove(w, w + 1, 15 * sizeof *w);
        w[15] = next;
    }
    for (unsigned i = 0; i < 5; i++)
        h[i] += v[i];
}

UH_APART UHTTP_API void uhttp_sha1(uhttp_str in, uint8_t digest[20])
{
    uint32_t h[5] = { 0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u };
    uint8_t block[64];
    if (digest == NULL)
        return;
    for (size_t at = 0; at < in.len + 9; at += sizeof block) {      /* 9: what ends it */
        size_t left = at < in.len ? in.len - at : 0;
        memset(block, 0, sizeof block);
        if (left > 0)
            memcpy(block, in.ptr + at, left < sizeof block ? left : sizeof block);
        if (at <= in.len && left < sizeof block)
            block[left] = 0x80;
        if (left < sizeof block - 8)
            uh_bytes_put(block + sizeof block - 8, 8, (uint64_t)in.len << 3);
        uh_sha1_block(h, block);
    }
    for (size_t i = 0; i < 5; i++)
        uh_bytes_put(digest + 4 * i, 4, h[i]);
}

UH_APART UHTTP_API int uhttp_ws_frame_parse(uhttp_str text, uhttp_ws_frame *frame)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    if (frame == NULL)
        return -1002;
    memset(frame, 0, sizeof *frame);
    if (text.len == 0)
        return 0;
    frame->opcode = p[0] & 15;
    frame->fin = p[0] >= 0x80;
    bool control = frame->opcode >= 8;
    if ((p[0] & 0x70) != 0 || (frame->opcode & 7) > 2 || (control && !frame->fin))
        return -1002;
    if (text.len < 2)
        return 0;
    frame->masked = p[1] >= 0x80;
    frame->length = p[1] & 127u;
    size_t more = frame->length < 126 ? 0 : frame->length == 126 ? 2 : 8;
    size_t head = 2 + more;
    if (control && more > 0)
        return -1002;
    if (text.len < head)
        return 0;
    if (more > 0) {
        frame->length = uh_bytes_number(p + 2, more);
        if (frame->length < (more == 2 ? 126 : 0x10000) || frame->length > INT64_MAX)
            return -1002;
    }
    if (frame->masked) {
        if (text.len < head + 4)
            return 0;
        memcpy(frame->mask, p + head, 4);
        head += 4;
    }
    return (int)head;
}

/* A word at a time, through memcpy as neither side need be aligned. */
UHTTP_API void uhttp_ws_unmask(void *to, const void *from, size_t length, uint8_t mask[4])
{
    const uint8_t *p = (const uint8_t *)from;
    uint8_t *out = (uint8_t *)to;
    if (uh_is_missing(to, from, mask))
        return;
    const uint8_t *end = p + length;
    size_t words[2], key;
    uint8_t twice[8];
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&key, twice, sizeof key);
    for (; UH_WIDE && (size_t)(end - p) >= sizeof words; p += sizeof words) {
        memcpy(words, p, sizeof words);
        words[0] ^= key;
        words[1] ^= key;
        memcpy(out, words, sizeof words);
        out += sizeof words;
    }
    for (; (size_t)(end - p) >= sizeof key; p += sizeof key) {
        memcpy(words, p, sizeof key);
        words[0] ^= key;
        memcpy(out, words, sizeof key);
        out += sizeof key;
    }
    for (size_t i = 0; p < end; i++)
        *out++ = (uint8_t)(*p++ ^ mask[i & 3]);
    memcpy(mask, twice + (length & 3), 4);
}

/* Two digits, and what follows them. */
static char *uh_text_put_two(char *out, int n, char next)
{
    out[0] = (char)('0' + n / 10);
    out[1] = (char)('0' + n % 10);
    out[2] = next;
    return out + 3;
}

static const char uh_date_days[] = "SunMonTueWedThuFriSat";
static const char uh_date_months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* Days from the first of March of the year -400 to 1970. Days are counted from there, so that
 * the leap day is a year's last, all 400 years from then on have 146097 days, and no number is
 * negative. */
#define UH_DATE_DAYS (146097 + 719468)

UHTTP_API void uhttp_date_format(int64_t seconds, char *out)
{
    if (out == NULL)
        return;
    if (seconds < -62167219200)             /* the year 0, which has four digits still */
        seconds = -62167219200;
    if (seconds > 253402300799)             /* the year 9999 */
        seconds = 253402300799;
    uint64_t since = (uint64_t)(seconds + (int64_t)UH_DATE_DAYS * 86400);
    int days = (int)(since / 86400);
    int second = (int)(since % 86400);
    int quarters = days * 4 + 3;            /* of days: a century, or a year, has one over */
    int in_century = quarters % 146097 | 3;
    int day_of_year = in_century % 1461 / 4;
    int month = (5 * day_of_year + 2) / 153;        /* 0: March */
    int day = day_of_year - (153 * month + 2) / 5 + 1;
    int year = quarters / 146097 * 100 + in_century / 1461 - 400 + (month >= 10 ? 1 : 0);
    char *p = uh_text_put(out, uh_date_days + (days + 3) % 7 * 3, 3);
    *p++ = ',';
    *p++ = ' ';
    p = uh_text_put_two(p, day, ' ');
    p = uh_text_put(p, uh_date_months + (month + 2) % 12 * 3, 3);
    *p++ = ' ';
    p = uh_text_put_two(p, year / 100, ' ') - 1;
    p = uh_text_put_two(p, year % 100, ' ');
    p = uh_text_put_two(p, second / 3600, ':');
    p = uh_text_put_two(p, second / 60 % 60, ':');
    p = uh_text_put_two(p, second % 60, ' ');
    uh_text_put(p, "GMT", 4);
}

/* One of HTTP's forms of a date, piece by piece:
 *
 *   w W  the name of a weekday, its first three letters or whole; which one is not checked
 *   d e  a day in two digits, or with a blank before one
 *   m    the first three letters of a month
 *   y Y  a year in two digits, in four
 *   t    a time, as 08:49:37
 *
 * Any other character is itself. */
static const char uh_date_forms[] = "w, d m Y t GMT\0W, d-m-y t GMT\0w m e t Y\0";

typedef struct uh_date {
    int year, month, day, second;   /* month 0: January; second of the day */
    bool short_year;
} uh_date;

/* Reads so many digits, no more than all of p; -1: they are none. */
static int uh_date_digits(uhttp_str *p, size_t count)
{
    int n = 0;
    if (p->len < count)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (!uh_char_is_digit(p->ptr[i]))
            return -1;
        n = n * 10 + (p->ptr[i] - '0');
    }
    p->ptr += count;
    p->len -= count;
    return n;
}

/* Takes this text off the front. */
static bool uh_date_take(uhttp_str *p, const char *text, size_t length)
{
    if (p->len < length || memcmp(p->ptr, text, length) != 0)
        return false;
    p->ptr += length;
    p->len -= length;
    return true;
}

/* Takes one of the names, of three letters each, off the front; its index, -1: none. */
static int uh_date_name(uhttp_str *p, const char *names, int count)
{
    for (int i = 0; i < count; i++) {
        if (uh_date_take(p, names + (size_t)i * 3, 3))
            return i;
    }
    return -1;
}

static bool uh_date_time(uhttp_str *p, uh_date *date)
{
    static const char limits[] = { 24, 60, 61 };    /* there are leap seconds */
    date->second = 0;
    for (int i = 0; i < 3; i++) {
        int n = i == 0 || uh_date_take(p, ":", 1) ? uh_date_digits(p, 2) : -1;
        if (n < 0 || n >= limits[i])
            return false;
        date->second = date->second * 60 + n;
    }
    return true;
}

static bool uh_date_piece(uhttp_str *p, char piece, uh_date *date)
{
    static const char rests[] = "day\0day\0sday\0nesday\0rsday\0day\0urday";
    const char *rest = rests;
    int name;
    switch (piece) {
    case 'w':
    case 'W':
        name = uh_date_name(p, uh_date_days, 7);
        for (int i = 0; i < name; i++)
            rest += strlen(rest) + 1;
        return name >= 0 && (piece == 'w' || uh_date_take(p, rest, strlen(rest)));
    case 'd':
        return (date->day = uh_date_digits(p, 2)) > 0;
    case 'e':
        return (date->day = uh_date_digits(p, uh_date_take(p, " ", 1) ? 1 : 2)) > 0;
    case 'm':
        return (date->month = uh_date_name(p, uh_date_months, 12)) >= 0;
    case 'y':
    case 'Y':
        date->short_year = piece == 'y';
        return (date->year = uh_date_digits(p, piece == 'y' ? 2 : 4)) >= 0;
    case 't':
        return uh_date_time(p, date);
    default:
        return uh_date_take(p, &piece, 1);
    }
}

static bool uh_date_read(uhttp_str text, const char *form, uh_date *date)
{
    for (; *form != '\0'; form++) {
        if (!uh_date_piece(&text, *form, date))
            return false;
    }
    return text.len == 0;
}

static bool uh_date_is_leap(int year)
{
    return year % (year % 25 == 0 ? 16 : 4) == 0;   /* of the centuries every fourth */
}

static bool uh_date_has_day(const uh_date *date)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return date->day <= days[date->month] ||
           (date->month == 1 && date->day == 29 && uh_date_is_leap(date->year));
}

/* Seconds since 1970. Years begin in March here, as in uhttp_date_format(). */
static int64_t uh_date_seconds(const uh_date *date)
{
    int year = date->year - (date->month < 2 ? 1 : 0) + 400;    /* never negative */
    int month = (date->month + 10) % 12;
    int day = (153 * month + 2) / 5 + date->day - 1;
    int days = year * 365 + year / 4 - year / 100 + year / 400 + day;
    return (int64_t)(days - UH_DATE_DAYS) * 86400 + date->second;
}

UHTTP_API bool uhttp_date_parse(uhttp_str text, int64_t now, int64_t *seconds)
{
    const int64_t year = 31556952;      /* seconds of an average one */
    const char *form = uh_date_forms;
    uh_date date;
    memset(&date, 0, sizeof date);      /* compilers do not see that a form sets all of it */
    while (!uh_date_read(text, form, &date)) {
        form += strlen(form) + 1;
        if (*form == '\0')
            return false;
    }
    if (date.short_year) {
        if (now < -1870 * year || now > 7030 * year)    /* the years 100 to 9000 */
            now = 30 * year;
        int this_year = 1970 + (int)(now / year);
        date.year += (this_year / 100 + 1) * 100;
        while (date.year > this_year - 100 && uh_date_seconds(&date) - now > 50 * year)
            date.year -= 100;
    }
    if (!uh_date_has_day(&date) || seconds == NULL)
        return false;
    *seconds = uh_date_seconds(&date);
    return true;
}

/* Decimal digits and nothing else; what is beyond 64 bits counts as the largest number. */
static bool uh_text_saturated(uhttp_str s, uint64_t *value)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (!uh_char_is_digit(s.ptr[i]))
            return false;
        unsigned digit = (unsigned)(s.ptr[i] - '0');
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
    }
    *value = n;
    return s.len > 0;
}

UHTTP_API uhttp_range_kind uhttp_range_parse(uhttp_str value, uint64_t size, uint64_t *first,
                                             uint64_t *length)
{
    const char *end = uh_text_end(value);
    const char *equals = uh_text_find(value.ptr, end, '=');
    uhttp_str list, range, more;
    uint64_t from = 0;
    uint64_t to = 0;
    if (first == NULL || length == NULL)
        return UHTTP_RANGE_WHOLE;
    *first = 0;
    *length = size;
    if (equals == end || !uh_text_is_nocase(uh_text_slice(value.ptr, equals), "bytes"))
        return UHTTP_RANGE_WHOLE;
    list = uh_text_slice(equals + 1, end);
    if (!uhttp_list_next(&list, &range) || uhttp_list_next(&list, &more))
        return UHTTP_RANGE_WHOLE;
    end = range.ptr + range.len;
    const char *dash = uh_text_find(range.ptr, end, '-');
    if (dash == end)
        return UHTTP_RANGE_WHOLE;
    bool has_from = uh_text_saturated(uh_text_slice(range.ptr, dash), &from);
    bool has_to = uh_text_saturated(uh_text_slice(dash + 1, end), &to);
    if (dash == range.ptr) {                            /* the last so many bytes */
        if (!has_to || (size == 0 && to > 0))
            return UHTTP_RANGE_WHOLE;
        if (to == 0)
            return UHTTP_RANGE_NONE;
        *length = to < size ? to : size;
        *first = size - *length;
        return UHTTP_RANGE_PART;
    }
    if (!has_from || (has_to ? to < from : dash + 1 != end))
        return UHTTP_RANGE_WHOLE;
    if (from >= size)
        return UHTTP_RANGE_NONE;
    *first = from;
    *length = size - from;
    if (has_to && to - from < *length)
        *length = to - from + 1;
    return UHTTP_RANGE_PART;
}

/* Extensions, with the type of those before it behind them. */
static const char uh_mime_types[] =
    "html\0" "htm\0" "text/html; charset=utf-8\0" "css\0" "text/css; charset=utf-8\0"
    "js\0" "mjs\0" "text/javascript; charset=utf-8\0" "json\0" "map\0" "application/json\0"
    "txt\0" "log\0" "text/plain; charset=utf-8\0" "md\0" "text/markdown; charset=utf-8\0"
    "csv\0" "text/csv; charset=utf-8\0" "xml\0" "application/xml\0"
    "ics\0" "text/calendar; charset=utf-8\0" "webmanifest\0" "application/manifest+json\0"
    "svg\0" "image/svg+xml\0" "png\0" "image/png\0" "jpg\0" "jpeg\0" "image/jpeg\0"
    "gif\0" "image/gif\0" "webp\0" "image/webp\0" "avif\0" "image/avif\0"
    "ico\0" "image/vnd.microsoft.icon\0" "bmp\0" "image/bmp\0"
    "mp4\0" "m4v\0" "video/mp4\0" "webm\0" "video/webm\0" "mov\0" "video/quicktime\0"
    "mp3\0" "audio/mpeg\0" "m4a\0" "audio/mp4\0" "ogg\0" "opus\0" "audio/ogg\0"
    "wav\0" "audio/wav\0" "flac\0" "audio/flac\0" "woff\0" "font/woff\0"
    "woff2\0" "font/woff2\0" "ttf\0" "font/ttf\0" "otf\0" "font/otf\0"
    "wasm\0" "application/wasm\0" "pdf\0" "application/pdf\0" "zip\0" "application/zip\0"
    "gz\0" "application/gzip\0" "tar\0" "application/x-tar\0";

UHTTP_API const char *uhttp_mime_type(uhttp_str name)
{
    const char *end = uh_text_end(name);
    const char *dot = end;
    while (dot > name.ptr && dot[-1] != '.' && dot[-1] != '/')
        dot--;
    if (dot == name.ptr || dot[-1] != '.')
        dot = end;                      /* there is none */
    uhttp_str extension = uh_text_slice(dot, end);
    const char *p = uh_mime_types;
    while (*p != '\0' && !uh_text_is_nocase(extension, p))
        p += strlen(p) + 1;
    while (*p != '\0' && strchr(p, '/') == NULL)
        p += strlen(p) + 1;
    return *p != '\0' ? p : "application/octet-stream";
}

/* Registered phrases (RFC 9110 section 15, RFC 6585, RFC 7725, RFC 4918). One that does not
 * begin with its status has the next. */
static const char uh_phrases[] =
    "200OK\0" "Created\0" "Accepted\0" "Non-Authoritative Information\0" "No Content\0"
    "Reset Content\0" "Partial Content\0"
    "300Multiple Choices\0" "Moved Permanently\0" "Found\0" "See Other\0" "Not Modified\0"
    "307Temporary Redirect\0" "Permanent Redirect\0"
    "400Bad Request\0" "Unauthorized\0" "Payment Required\0" "Forbidden\0" "Not Found\0"
    "Method Not Allowed\0" "Not Acceptable\0" "Proxy Authentication Required\0"
    "Request Timeout\0" "Conflict\0" "Gone\0" "Length Required\0" "Precondition Failed\0"
    "Content Too Large\0" "URI Too Long\0" "Unsupported Media Type\0"
    "Range Not Satisfiable\0" "Expectation Failed\0"
    "421Misdirected Request\0" "Unprocessable Content\0" "426Upgrade Required\0"
    "428Precondition Required\0" "Too Many Requests\0"
    "431Request Header Fields Too Large\0" "451Unavailable For Legal Reasons\0"
    "500Internal Server Error\0" "Not Implemented\0" "Bad Gateway\0" "Service Unavailable\0"
    "Gateway Timeout\0" "HTTP Version Not Supported\0"
    UH_PHRASES_OF_FILES UH_PHRASES_OF_WEBSOCKET;

UHTTP_API const char *uhttp_status_phrase(int status)
{
    int at = 0;
    for (const char *p = uh_phrases; *p != '\0'; p += strlen(p) + 1) {
        at++;
        if (uh_char_is_digit(*p)) {
            at = (p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0');
            p += 3;
        }
        if (at == status)
            return p;
    }
    return "";
}

/*--- what files need: entity tags, codings, safe names ------------------------------------*/

#if UH_FILES

/* Takes the next entity tag, without its quotes, off a list; false: no more, or something that
 * is none. RFC 9110 section 8.8.3 */
static bool uh_etag_next(uhttp_str *list, uhttp_str *opaque, bool *weak)
{
    const char *p = list->ptr;
    const char *end = uh_text_end(*list);
    while (p < end && (uh_char_is_blank(*p) || *p == ','))
        p++;
    *weak = end - p >= 2 && p[0] == 'W' && p[1] == '/';
    if (*weak)
        p += 2;
    if (p == end || *p != '"')
        return false;
    const char *quote = uh_text_find(p + 1, end, '"');
    if (quote == end)
        return false;
    *opaque = uh_text_slice(p + 1, quote);
    for (p = quote + 1; p < end && uh_char_is_blank(*p); p++) { }
    *list = uh_text_slice(p, end);
    return p == end || *p == ',';
}

/* Is this entity tag in the list? A strong comparison wants neither to be weak. RFC 9110
 * section 8.8.3.2 */
static bool uh_etag_is_in(uhttp_str list, uhttp_str opaque, bool weak, bool strong)
{
    uhttp_str other;
    bool other_weak;
    while (uh_etag_next(&list, &other, &other_weak)) {
        if (other.len == opaque.len && memcmp(other.ptr, opaque.ptr, other.len) == 0 &&
            !(strong && (weak || other_weak)))
            return true;
    }
    return false;
}

/* Reads "q=0.8" in thousandths; -1: it is something else. RFC 9110 section 12.4.2 */
static int uh_quality(uhttp_str parameter)
{
    int value = 0;
    if (parameter.len < 3 || parameter.len > 7 || uh_char_lower(parameter.ptr[0]) != 'q' ||
        parameter.ptr[1] != '=' || (parameter.len > 3 && parameter.ptr[3] != '.'))
        return -1;
    for (size_t i = 2; i < 7; i++) {
        char c = i < parameter.len ? parameter.ptr[i] : '0';
        if (i == 3)
            continue;
        if (!uh_char_is_digit(c))
            return -1;
        value = value * 10 + (c - '0');
    }
    return value <= 1000 ? value : -1;
}

/* How welcome codings are, in thousandths; -1: nothing is said of them. */
typedef struct uh_codings {
    int gzip, identity, others;
} uh_codings;

static const uh_codings uh_codings_none = { -1, -1, -1 };

/* Notes an element of Accept-Encoding. What is malformed is not welcome. */
static void uh_codings_note(uh_codings *q, uhttp_str element)
{
    const char *end = uh_text_end(element);
    const char *semicolon = uh_text_find(element.ptr, end, ';');
    uhttp_str name = uh_text_trim(uh_text_slice(element.ptr, semicolon));
    int quality = 1000;
    if (semicolon < end)
        quality = uh_quality(uh_text_trim(uh_text_slice(semicolon + 1, end)));
    int *noted = uh_text_is_nocase(name, "gzip") || uh_text_is_nocase(name, "x-gzip") ? &q->gzip
               : uh_text_is_nocase(name, "identity") ? &q->identity
               : uh_text_is(name, "*") ? &q->others : NULL;
    if (noted != NULL && *noted < 0)
        *noted = quality > 0 ? quality : 0;
}

/* Is gzip welcome, and unless there is nothing else, as much as no coding? RFC 9110 section
 * 12.5.3 */
static bool uh_codings_want_gzip(const uh_codings *q, bool alone)
{
    int gzip = q->gzip >= 0 ? q->gzip : q->others;
    int identity = q->identity >= 0 ? q->identity : q->others;
    return gzip > 0 && (alone || gzip >= identity);
}

/* May this name one file or directory, everywhere the same one? Not: empty, "." and "..", a
 * trailing dot or blank, control characters, backslashes, colons, devices, short names, not
 * UTF-8. */
static bool uh_name_is_safe(uhttp_str name, bool hidden)
{
    const char *p = name.ptr;
    const char *end = uh_text_end(name);
    if (p == end || end[-1] == '.' || end[-1] == ' ' || (*p == '.' && !hidden))
        return false;
    for (; p < end; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\' || *p == ':')
            return false;
    }
    return uhttp_utf8_valid(name) && !uh_file_is_device(name.ptr, end) &&
           uh_file_short_name(name.ptr, end) == NULL;
}

/* Is every piece of a decoded path below a directory safe? It begins without a slash, and may
 * end with one; "" is the directory itself. */
static bool uh_path_is_safe(uhttp_str path, bool hidden)
{
    const char *p = path.ptr;
    const char *end = uh_text_end(path);
    while (p < end) {
        const char *slash = uh_text_find(p, end, '/');
        if (!uh_name_is_safe(uh_text_slice(p, slash), hidden))
            return false;
        p = slash < end ? slash + 1 : end;
    }
    return true;
}

#endif

/*--- 05g JSON: texts read where they stand, texts written ---------------------------------
 *
 * One scanner reads everything, and strictly: what uhttp_json_find() walks over is checked as
 * uhttp_json_valid() checks it, so the two cannot disagree and every value handed out is well
 * formed. Nesting is a stack of bits. Between text and double stand whole numbers of any size,
 * no floating point arithmetic: no rounding mode and no locale can change a digit.
 */
#if UH_JSON

#define UH_JSON_ONES   ((size_t)-1 / 0xFF)      /* 0x0101...: one in each byte of a word */
#define UH_JSON_HIGHS  (UH_JSON_ONES * 0x80)
#define UH_JSON_DIGITS 768      /* no double, and no middle between two, has more that matter */
#define UH_JSON_WORDS  88       /* room for these, or for 5^1098 and what it is divided from */

UH_STATIC_ASSERT(sizeof(double) == sizeof(uint64_t), json_double);

/* The scanner's functions return the first byte behind what they read, or NULL and where it is
 * broken. */
static const char *uh_json_broken(const char **broken, const char *at)
{
    *broken = at;
    return NULL;
}

static const char *uh_json_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* Returns the first byte that is not plain text in a string: quote, backslash, control
 * character, or part of a character beyond ASCII. A word is judged whole, whatever the order of
 * its bytes: what is below a blank, or is a quote or backslash, borrows from the top bit. */
static const char *uh_json_plain(const char *p, const char *end)
{
    size_t word;
    for (; UH_WIDE && (size_t)(end - p) >= sizeof word; p += sizeof word) {
        memcpy(&word, p, sizeof word);
        size_t quote = (word ^ UH_JSON_ONES * '"') - UH_JSON_ONES;
        size_t backslash = (word ^ UH_JSON_ONES * '\\') - UH_JSON_ONES;
        if (((word - UH_JSON_ONES * ' ') | quote | backslash | word) & UH_JSON_HIGHS)
            break;
    }
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)(*p - ' ') < 0x60)
        p++;
    return p;
}

static size_t uh_json_utf8_write(uint32_t code, char to[4])
{
    static const unsigned char leads[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1; code >>= 6)
        to[i] = (char)(0x80 | (code & 0x3F));
    to[0] = (char)(leads[length] | code);
    return length;
}

/* Reads the \u and its four hexadecimal digits at p; UINT32_MAX if there is none. */
static uint32_t uh_json_hex(const char *p, const char *end)
{
    uint32_t code = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return UINT32_MAX;
    for (int i = 2; i < 6; i++) {
        int digit = uh_char_hex(p[i]);
        if (digit < 0)
            return UINT32_MAX;
        code = code << 4 | (uint32_t)digit;
    }
    return code;
}

/* What stands behind a backslash, and the bytes that are meant; that may be written plainly as
 * well is the first. */
static const char uh_json_names[] = "/\"\\bfnrt";
static const char uh_json_bytes[] = "/\"\\\b\f\n\r\t";
#define UH_JSON_NAMES (sizeof uh_json_names - 1)

/* Takes one piece off the inside of a string: a byte that stands for itself, or an escape as
 * UTF-8. Returns its length; 0: the escape is broken, and nothing is taken. */
static size_t uh_json_take(const char **at, const char *end, char to[4])
{
    const char *p = *at;
    if (*p != '\\') {
        to[0] = *p;
        *at = p + 1;
        return 1;
    }
    if (end - p < 2)
        return 0;
    if (p[1] != 'u') {
        const char *name = (const char *)memchr(uh_json_names, p[1], UH_JSON_NAMES);
        if (name == NULL)
            return 0;
        to[0] = uh_json_bytes[name - uh_json_names];
        *at = p + 2;
        return 1;
    }
    uint32_t code = uh_json_hex(p, end);
    if (code > 0xFFFF || (code >= 0xDC00 && code <= 0xDFFF))
        return 0;
    p += 6;
    if (code >= 0xD800 && code <= 0xDBFF) {         /* the first half of a pair */
        uint32_t low = uh_json_hex(p, end);
        if (low < 0xDC00 || low > 0xDFFF)
            return 0;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }
    *at = p;
    return uh_json_utf8_write(code, to);
}

static const char *uh_json_skip_string(const char *p, const char *end, const char **broken)
{
    if (p == end || *p != '"')
        return uh_json_broken(broken, p);
    for (p++; (p = uh_json_plain(p, end)) < end && *p != '"';) {
        char unit[4];
        if (*p == '\\' ? uh_json_take(&p, end, unit) == 0 : (unsigned char)*p < ' ')
            return uh_json_broken(broken, p);
        while (p < end && (unsigned char)*p >= 0x80) {
            size_t length = uh_text_utf8_length(p, end);
            if (length == 0)
                return uh_json_broken(broken, p);
            p += length;
        }
    }
    return p < end ? p + 1 : uh_json_broken(broken, p);
}

static const char *uh_json_skip_digits(const char *p, const char *end, const char **broken)
{
    if (p == end || !uh_char_is_digit(*p))
        return uh_json_broken(broken, p);
    while (p < end && uh_char_is_digit(*p))
        p++;
    return p;
}

static const char *uh_json_skip_number(const char *p, const char *end, const char **broken)
{
    if (p < end && *p == '-')
        p++;
    p = p < end && *p == '0' ? p + 1 : uh_json_skip_digits(p, end, broken);
    if (p != NULL && p < end && *p == '.')
        p = uh_json_skip_digits(p + 1, end, broken);
    if (p != NULL && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        p = uh_json_skip_digits(p, end, broken);
    }
    return p;
}

static const char *uh_json_skip_scalar(const char *p, const char *end, const char **broken)
{
    char first = p < end ? *p : '\0';
    if (first == '"')
        return uh_json_skip_string(p, end, broken);
    if (first != 't' && first != 'f' && first != 'n')
        return uh_json_skip_number(p, end, broken);
    const char *word = first == 't' ? "true" : first == 'f' ? "false" : "null";
    for (; *word != '\0'; word++, p++)
        if (p == end || *p != *word)
            return uh_json_broken(broken, p);
    return p;
}

/* A key and its colon. */
static const char *uh_json_skip_key(const char *p, const char *end, const char **broken)
{
    p = uh_json_skip_string(uh_json_space(p, end), end, broken);
    if (p == NULL)
        return NULL;
    p = uh_json_space(p, end);
    return p < end && *p == ':' ? p + 1 : uh_json_broken(broken, p);
}

/* One value, with all that is in it. */
static const char *uh_json_skip_value(const char *p, const char *end, const char **broken)
{
    uint64_t kinds = 0;         /* of what is open, innermost lowest: 1 for an object */
    int depth = 0;
    for (;;) {
        p = uh_json_space(p, end);
        if (p < end && (*p == '{' || *p == '[')) {
            if (depth == UHTTP_JSON_MAX_DEPTH)
                return uh_json_broken(broken, p);
            kinds = kinds << 1 | (*p == '{');
            depth++;
            p = uh_json_space(p + 1, end);
            if (p == end || *p != ((kinds & 1) ? '}' : ']')) {
                if ((kinds & 1) && (p = uh_json_skip_key(p, end, broken)) == NULL)
                    return NULL;
                continue;
            }
        } else if ((p = uh_json_skip_scalar(p, end, broken)) == NULL) {
            return NULL;
        }
        for (;; p++, depth--, kinds >>= 1) {        /* behind a value: close what ends here */
            if (depth == 0)
                return p;
            p = uh_json_space(p, end);
            if (p == end || *p != ((kinds & 1) ? '}' : ']'))
                break;
        }
        if (p == end || *p != ',')
            return uh_json_broken(broken, p);
        p++;
        if ((kinds & 1) && (p = uh_json_skip_key(p, end, broken)) == NULL)
            return NULL;
    }
}

static uhttp_json_value uh_json_value_at(const char *p, const char *end)
{
    uhttp_json_value value;
    memset(&value, 0, sizeof value);
    const char *broken;
    const char *behind = uh_json_skip_value(p, end, &broken);
    const char *next = behind == NULL ? NULL : uh_json_space(behind, end);
    if (next == NULL || (next < end && *next != ',' && *next != ']' && *next != '}'))
        return value;
    p = uh_json_space(p, end);
    value.text.ptr = p;
    value.text.len = (size_t)(behind - p);
    value.type = *p == '{' ? UHTTP_JSON_OBJECT : *p == '[' ? UHTTP_JSON_ARRAY
               : *p == '"' ? UHTTP_JSON_STRING : *p == 'n' ? UHTTP_JSON_NULL
               : *p == 't' || *p == 'f' ? UHTTP_JSON_BOOL : UHTTP_JSON_NUMBER;
    return value;
}

UHTTP_API bool uhttp_json_valid(uhttp_str text, size_t *error_position)
{
    const char *begin = text.ptr == NULL ? "" : text.ptr;
    const char *end = begin + text.len;
    const char *broken;
    const char *p = uh_json_skip_value(begin, end, &broken);
    if (p != NULL)
        broken = uh_json_space(p, end);
    if (p != NULL && broken == end)
        return true;
    if (error_position != NULL)
        *error_position = (size_t)(broken - begin);
    return false;
}

static uhttp_json_iter uh_json_enter(const char *p, const char *end)
{
    uhttp_json_iter it;
    memset(&it, 0, sizeof it);
    p = uh_json_space(p, end);
    if (p < end && (*p == '[' || *p == '{')) {
        it.close = *p == '[' ? ']' : '}';
        it.next = p + 1;
        it.end = end;
        it.first = true;
    }
    return it;
}

/* Goes over a comma and a key to where the next value begins; false if there is none. */
static bool uh_json_step(uhttp_json_iter *it)
{
    char bracket = it->close;
    it->close = '\0';
    if (bracket == '\0')
        return false;
    const char *p = uh_json_space(it->next, it->end);
    if (p == it->end || *p == bracket || (!it->first && *p != ','))
        return false;
    p = it->first ? p : uh_json_space(p + 1, it->end);
    if (bracket == '}') {
        const char *broken;
        it->key.text.ptr = p;
        it->key.type = UHTTP_JSON_STRING;
        p = uh_json_skip_key(p, it->end, &broken);
        if (p == NULL)
            return false;
        const char *quote = p;
        while (*--quote != '"') { }
        it->key.text.len = (size_t)(quote + 1 - it->key.text.ptr);
    }
    it->next = p;
    it->first = false;
    it->close = bracket;
    return true;
}

UH_APART static void uh_json_pass(uhttp_json_iter *it)
{
    const char *broken;
    it->next = uh_json_skip_value(it->next, it->end, &broken);
    if (it->next == NULL)
        it->close = '\0';
}

UHTTP_API uhttp_json_iter uhttp_json_iterate(uhttp_json_value container)
{
    const char *begin = container.text.ptr == NULL ? "" : container.text.ptr;
    return uh_json_enter(begin, begin + container.text.len);
}

UHTTP_API bool uhttp_json_next(uhttp_json_iter *it)
{
    if (it == NULL || !uh_json_step(it))
        return false;
    it->value = uh_json_value_at(it->next, it->end);
    if (it->value.type == UHTTP_JSON_NONE)
        it->close = '\0';
    else
        it->next = it->value.text.ptr + it->value.text.len;
    return it->value.type != UHTTP_JSON_NONE;
}

/* Compares a string, decoded, with a name; in a path the name has backslashes of its own. */
static bool uh_json_is_name(uhttp_str string, const char *name, const char *name_end,
                            bool in_path)
{
    const char *end = string.ptr + string.len - 1;
    for (const char *p = string.ptr + 1; p < end;) {
        char unit[4];
        size_t length = uh_json_take(&p, end, unit);
        if (length == 0)
            return false;
        for (size_t i = 0; i < length; i++) {
            if (in_path && name < name_end && *name == '\\')
                name++;
            if (name == name_end || *name++ != unit[i])
                return false;
        }
    }
    return name == name_end;
}

/* Goes to the member a path begins with; returns the rest of the path, NULL if it is absent. */
static const char *uh_json_find_member(uhttp_json_iter *it, const char *path)
{
    const char *name = path + (*path == '.');
    const char *end = name;
    while (*end != '\0' && *end != '.' && *end != '[')
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    for (; it->close != ']' && uh_json_step(it); uh_json_pass(it))
        if (uh_json_is_name(it->key.text, name, end, true))
            return end;
    return NULL;
}

static const char *uh_json_find_element(uhttp_json_iter *it, const char *path)
{
    size_t index = 0;
    const char *p = path + 1;
    for (; uh_char_is_digit(*p) && index < SIZE_MAX / 16; p++)
        index = index * 10 + (size_t)(*p - '0');
    if (*p != ']' || p == path + 1 || (p[1] != '\0' && p[1] != '.' && p[1] != '['))
        return NULL;
    for (; it->close != '}' && uh_json_step(it); uh_json_pass(it))
        if (index-- == 0)
            return p + 1;
    return NULL;
}

UHTTP_API uhttp_json_value uhttp_json_find(uhttp_str text, const char *path)
{
    const char *p = text.ptr == NULL ? "" : text.ptr;
    const char *end = p + text.len;
    while (path != NULL && *path != '\0') {
        uhttp_json_iter it = uh_json_enter(p, end);
        path = *path == '[' ? uh_json_find_element(&it, path) : uh_json_find_member(&it, path);
        p = it.next;
    }
    return uh_json_value_at(path == NULL ? end : p, end);
}

/* Reads an integer into a number of four or eight bytes, where it fits. */
static uhttp_result uh_json_integer(const uhttp_json_value *value, bool has_sign, size_t size,
                                    void *number)
{
    if (value->type != UHTTP_JSON_NUMBER || number == NULL)
        return UHTTP_ERR_INVALID;
    bool negative = *value->text.ptr == '-';
    uint64_t limit = UINT64_MAX >> (64 - 8 * size + has_sign);
    if (negative)                       /* the lowest is one further from zero */
        limit = has_sign ? limit + 1 : 0;
    uint64_t bits = 0;
    for (size_t i = negative; i < value->text.len; i++) {
        uint64_t digit = (uint64_t)(value->text.ptr[i] - '0');
        if (digit > 9 || digit > limit || bits > (limit - digit) / 10)
            return UHTTP_ERR_INVALID;
        bits = bits * 10 + digit;
    }
    bits = negative ? 0 - bits : bits;
    if (size == sizeof(uint32_t))
        *(uint32_t *)number = (uint32_t)bits;
    else
        *(uint64_t *)number = bits;
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_json_to_int32(uhttp_json_value value, int32_t *number)
{
    return uh_json_integer(&value, true, sizeof *number, number);
}

UHTTP_API uhttp_result uhttp_json_to_uint32(uhttp_json_value value, uint32_t *number)
{
    return uh_json_integer(&value, false, sizeof *number, number);
}

UHTTP_API uhttp_result uhttp_json_to_int64(uhttp_json_value value, int64_t *number)
{
    return uh_json_integer(&value, true, sizeof *number, number);
}

UHTTP_API uhttp_result uhttp_json_to_uint64(uhttp_json_value value, uint64_t *number)
{
    return uh_json_integer(&value, false, sizeof *number, number);
}

UHTTP_API uhttp_result uhttp_json_to_bool(uhttp_json_value value, bool *flag)
{
    if (value.type != UHTTP_JSON_BOOL || flag == NULL)
        return UHTTP_ERR_INVALID;
    *flag = *value.text.ptr == 't';
    return UHTTP_OK;
}

/* Decodes the inside of a string; to NULL: only counts. */
static size_t uh_json_decode(uhttp_str string, char *to, bool *has_nul)
{
    size_t total = 0;
    const char *end = string.ptr + string.len - 1;
    for (const char *p = string.ptr + 1; p < end;) {
        char unit[4];
        const char *from = p;
        p = uh_json_plain(p, end);
        size_t length = (size_t)(p - from);
        if (length == 0) {
            from = unit;
            length = uh_json_take(&p, end, unit);
            if (length == 0)
                break;
            *has_nul = *has_nul || unit[0] == '\0';
        }
        if (to != NULL)
            memcpy(to + total, from, length);
        total += length;
    }
    return total;
}

UHTTP_API uhttp_result uhttp_json_to_bytes(uhttp_json_value value, char *buffer, size_t size,
                                           size_t *length)
{
    bool has_nul = false;
    if (value.type != UHTTP_JSON_STRING)
        return UHTTP_ERR_INVALID;
    size_t decoded = uh_json_decode(value.text, NULL, &has_nul);
    if (has_nul && length == NULL)
        return UHTTP_ERR_INVALID;
    if (buffer == NULL || decoded >= size)
        return UHTTP_ERR_MEMORY;
    uh_json_decode(value.text, buffer, &has_nul);
    buffer[decoded] = '\0';
    if (length != NULL)
        *length = decoded;
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_json_to_string(uhttp_json_value value, char *buffer, size_t size)
{
    return uhttp_json_to_bytes(value, buffer, size, NULL);
}

UHTTP_API bool uhttp_json_equals(uhttp_json_value value, const char *text)
{
    return value.type == UHTTP_JSON_STRING && text != NULL &&
           uh_json_is_name(value.text, text, text + strlen(text), false);
}

/* A whole number of any size: lowest word first, no zero word on top. */
typedef struct uh_json_big {
    uint32_t words[UH_JSON_WORDS];
    int      count;
    bool     rest;          /* it is a little more: something below one was left over */
} uh_json_big;

static void uh_json_big_multiply(uh_json_big *b, uint32_t factor, uint32_t carry)
{
    for (int i = 0; i < b->count; i++) {
        uint64_t product = (uint64_t)b->words[i] * factor + carry;
        b->words[i] = (uint32_t)product;
        carry = (uint32_t)(product >> 32);
    }
    if (carry != 0)
        b->words[b->count++] = carry;
}

static void uh_json_big_divide(uh_json_big *b, uint32_t divisor)
{
    uint64_t left = 0;
    for (int i = b->count; i-- > 0; left %= divisor) {
        left = left << 32 | b->words[i];
        b->words[i] = (uint32_t)(left / divisor);
    }
    while (b->count > 0 && b->words[b->count - 1] == 0)
        b->count--;
    b->rest = b->rest || left != 0;
}

static void uh_json_big_shift(uh_json_big *b, int bits)
{
    int words = bits / 32;
    uh_json_big_multiply(b, (uint32_t)1 << bits % 32, 0);
    memmove(b->words + words, b->words, (size_t)b->count * sizeof b->words[0]);
    memset(b->words, 0, (size_t)words * sizeof b->words[0]);
    b->count += words;
}

/* Multiplies by 5^power, which may be negative. The floor of a floor is the floor of the whole,
 * so dividing in steps loses nothing. */
static void uh_json_big_power(uh_json_big *b, int power)
{
    int left = power < 0 ? -power : power;
    while (left > 0) {
        uint32_t factor = 5;
        for (left--; left > 0 && factor < 1220703125; left--)       /* 5^13 just fits */
            factor *= 5;
        if (power > 0)
            uh_json_big_multiply(b, factor, 0);
        else
            uh_json_big_divide(b, factor);
    }
}

/* Looks at the lowest words only for a rest; returns the two above them. */
static uint64_t uh_json_big_above(uh_json_big *b, int words)
{
    for (int i = 0; i < words && i < b->count; i++)
        b->rest = b->rest || b->words[i] != 0;
    uint32_t low = words < b->count ? b->words[words] : 0;
    uint32_t high = words + 1 < b->count ? b->words[words + 1] : 0;
    return (uint64_t)high << 32 | low;
}

/* Rounds top * 2^exponent, top with its highest bit set, to a double's bits; ties to even. */
static uint64_t uh_json_round(uint64_t top, int exponent, bool rest)
{
    const uint64_t half = (uint64_t)1 << 63;
    int drop = exponent < -1085 ? -1074 - exponent : 11;    /* keep 53 bits, near zero fewer */
    if (drop > 64)
        return 0;
    uint64_t kept = drop == 64 ? 0 : top >> drop;
    uint64_t cut = top << (64 - drop);
    if (cut > half || (cut == half && (rest || (kept & 1))))
        kept++;
    return ((uint64_t)(exponent + drop + 1074) << 52) + kept;   /* its bit 52 adds the last 1 */
}

/* Returns the bits of the double nearest to b * 10^power; infinity's or more: there is none. */
static uint64_t uh_json_nearest(uh_json_big *b, int power)
{
    /* 7/3 is more than log2(5): 64 bits are left when 5^power has been divided out */
    int shift = (power < 0 ? -power * 7 / 3 : 0) + 66 - 32 * (b->count - 1);
    if (shift < 0)
        shift = 0;
    uh_json_big_shift(b, shift);
    uh_json_big_power(b, power);
    int zeros = 0;
    while (b->words[b->count - 1] << zeros < 0x80000000)
        zeros++;
    uh_json_big_shift(b, zeros);
    uint64_t top = uh_json_big_above(b, b->count - 2);
    return uh_json_round(top, power - shift - zeros + 32 * (b->count - 2), b->rest);
}

static int64_t uh_json_exponent(const char *p, const char *end)
{
    int64_t exponent = 0;
    bool negative = end - p > 1 && p[1] == '-';
    for (; p < end; p++)
        if (uh_char_is_digit(*p) && exponent < INT64_MAX / 100)
            exponent = exponent * 10 + (*p - '0');
    return negative ? -exponent : exponent;
}

/* Reads a number without its sign as a double's bits; infinity's or more: there is none. */
static uint64_t uh_json_double_bits(const char *p, const char *end)
{
    uh_json_big b;
    b.count = 0;
    b.rest = false;
    int digits = 0;             /* from the first that is not zero */
    int behind_point = 0;
    int64_t power = 0;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        bool full = digits == UH_JSON_DIGITS;
        if (*p == '.') {
            behind_point = 1;
            continue;
        }
        power += full - behind_point;
        if (full)
            b.rest = b.rest || *p != '0';
        else
            uh_json_big_multiply(&b, 10, (uint32_t)(*p - '0'));
        digits += !full && b.count > 0;
    }
    power += uh_json_exponent(p, end);
    if (b.count == 0 || digits + power < -330)
        return 0;
    return digits + power > 310 ? UINT64_MAX : uh_json_nearest(&b, (int)power);
}

UHTTP_API uhttp_result uhttp_json_to_double(uhttp_json_value value, double *number)
{
    if (value.type != UHTTP_JSON_NUMBER || number == NULL)
        return UHTTP_ERR_INVALID;
    bool negative = *value.text.ptr == '-';
    const char *end = value.text.ptr + value.text.len;
    uint64_t bits = uh_json_double_bits(value.text.ptr + negative, end);
    if (bits >= (uint64_t)0x7FF << 52)
        return UHTTP_ERR_INVALID;
    bits |= (uint64_t)negative << 63;
    memcpy(number, &bits, sizeof bits);
    return UHTTP_OK;
}

/* Returns m * 2^exponent / 10^unit in quarters; bit 0 stands for all that is below a half. */
static uint64_t uh_json_scale(uint64_t m, int exponent, int unit)
{
    uh_json_big b;
    b.words[0] = (uint32_t)m;
    b.words[1] = (uint32_t)(m >> 32);
    b.count = b.words[1] != 0 ? 2 : 1;
    b.rest = false;
    int shift = exponent + 1 - unit;
    int words = shift < 0 ? (31 - shift) / 32 : 0;
    uh_json_big_shift(&b, shift + 32 * words);
    uh_json_big_power(&b, -unit);
    uint64_t halves = uh_json_big_above(&b, words);
    return halves << 1 | b.rest;
}

/* Finds the shortest decimal that is nearer to this double than to any other, and of several
 * the nearest: the result times 10^*power. Half way to a neighbour is ours if the double is
 * even. The first unit is so small that 7 to 100 of them lie in between; then digits are taken
 * off while there is still one that does. */
static uint64_t uh_json_shortest(uint64_t bits, int *power)
{
    int biased = (int)(bits >> 52);
    uint64_t m = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)(biased > 0) << 52;
    int exponent = (biased > 0 ? biased : 1) - 1075;
    int unit = (exponent * 78913 + (400 << 18)) / (1 << 18) - 401;  /* a tenth of 2^exponent */
    uint64_t odd = m & 1;
    uint64_t closer = m << 12 == 0 && biased > 1;   /* the next one below a power of two is */
    uint64_t lowest = (uh_json_scale(4 * m - 2 + closer, exponent - 2, unit) + 3 + odd) / 4;
    uint64_t middle = uh_json_scale(4 * m, exponent - 2, unit);
    uint64_t highest = (uh_json_scale(4 * m + 2, exponent - 2, unit) - odd) / 4;
    uint64_t step = 4;
    for (; (lowest + 9) / 10 <= highest / 10; unit++) {
        lowest = (lowest + 9) / 10;
        highest /= 10;
        step *= 10;
    }
    uint64_t nearest = middle / step;
    uint64_t cut = middle % step;
    if (cut > step / 2 || (cut == step / 2 && (nearest & 1)))
        nearest++;
    *power = unit;
    return nearest < lowest ? lowest : nearest > highest ? highest : nearest;
}

/* Writes a finite number, laid out as in JavaScript; returns its end, 25 bytes on at most. */
static char *uh_json_put_double(char *to, uint64_t bits)
{
    static const char zeros[] = "0.00000000000000000000";
    char digits[20];
    int power = 0;
    if (bits >> 63)
        *to++ = '-';
    bits = bits << 1 >> 1;
    uint64_t number = bits == 0 ? 0 : uh_json_shortest(bits, &power);
    size_t count = (size_t)(uh_text_put_decimal(digits, number) - digits);
    int point = (int)count + power;     /* so many digits stand before it */
    if (power >= 0 && point <= 21)
        return uh_text_put(uh_text_put(to, digits, count), zeros + 2, (size_t)power);
    if (point > -6 && point <= 0)
        return uh_text_put(uh_text_put(to, zeros, (size_t)(2 - point)), digits, count);
    size_t whole = point > 0 && point <= 21 ? (size_t)point : 1;
    to = uh_text_put(to, digits, whole);
    if (count > whole) {
        *to++ = '.';
        to = uh_text_put(to, digits + whole, count - whole);
    }
    if (point == (int)whole)
        return to;
    to = uh_text_put(to, "e-", point < 1 ? 2 : 1);
    return uh_text_put_decimal(to, (uint64_t)(point < 1 ? 1 - point : point - 1));
}

UHTTP_API void uhttp_json_begin(uhttp_json_writer *w, char *buffer, size_t size)
{
    if (w == NULL)
        return;
    memset(w, 0, sizeof *w);
    w->buffer = buffer;
    w->size = buffer != NULL ? size : 0;
    w->empty = true;
    if (w->size > 0)
        buffer[0] = '\0';
}

/* Starts a text whose pieces go elsewhere. room() makes room for exactly `length` bytes and
 * counts them as sent: they are filled in at once. It returns them in *where, or NULL there if
 * nobody wants them (HEAD). UHTTP_ERR_AGAIN: nothing happened; other failures end the text. */
static void uh_json_begin_sink(uhttp_json_writer *w, void *user,
                               uhttp_result (*room)(void *user, size_t length, char **where))
{
    uhttp_json_begin(w, NULL, 0);
    w->room = room;
    w->user = user;
}

/* Nothing can be written: it has failed before, or there is no writer at all. */
static bool uh_json_is_broken(const uhttp_json_writer *w)
{
    return w == NULL || w->error != UHTTP_OK;
}

/* Remembers the first error. */
static uhttp_result uh_json_fail(uhttp_json_writer *w, uhttp_result result)
{
    if (w == NULL)
        return UHTTP_ERR_INVALID;
    if (w->error != UHTTP_OK)
        return w->error;
    if (result != UHTTP_ERR_AGAIN || w->whole)
        w->error = result;
    return result;
}

/* Makes room for a whole piece: all of it or nothing. */
static uhttp_result uh_json_room(uhttp_json_writer *w, size_t length, char **where)
{
    uhttp_result result = UHTTP_OK;
    if (w->room != NULL)
        result = w->room(w->user, length, where);
    else if (w->size - w->length <= length)
        result = UHTTP_ERR_MEMORY;
    if (result != UHTTP_OK)
        return uh_json_fail(w, result);
    if (w->room == NULL) {
        *where = w->buffer + w->length;
        (*where)[length] = '\0';
    }
    w->length += length;
    return UHTTP_OK;
}

/* Makes room for a key or a value, if one may stand here, and writes the comma it needs. */
static uhttp_result uh_json_place(uhttp_json_writer *w, bool key, size_t length, char **where)
{
    if (uh_json_is_broken(w))
        return uh_json_fail(w, UHTTP_ERR_STATE);
    bool object = (w->kinds & 1) != 0;          /* at the top there are no bits */
    bool fits = object ? key != w->named : !key && (w->depth > 0 || w->empty);
    bool comma = !w->empty && !w->named;
    if (!fits)
        return uh_json_fail(w, UHTTP_ERR_STATE);
    uhttp_result result = uh_json_room(w, length + comma, where);
    if (result != UHTTP_OK)
        return result;
    if (comma && *where != NULL)
        *(*where)++ = ',';
    w->empty = false;
    w->named = key;
    return UHTTP_OK;
}

static uhttp_result uh_json_put(uhttp_json_writer *w, const char *text, size_t length)
{
    char *to;
    uhttp_result result = uh_json_place(w, false, length, &to);
    if (result == UHTTP_OK && to != NULL)
        memcpy(to, text, length);
    return result;
}

static uhttp_result uh_json_open(uhttp_json_writer *w, bool object)
{
    if (uh_json_is_broken(w) || w->depth == UHTTP_JSON_MAX_DEPTH)
        return uh_json_fail(w, UHTTP_ERR_STATE);
    uhttp_result result = uh_json_put(w, object ? "{" : "[", 1);
    if (result != UHTTP_OK)
        return result;
    w->kinds = w->kinds << 1 | object;
    w->depth++;
    w->empty = true;
    return UHTTP_OK;
}

static uhttp_result uh_json_close(uhttp_json_writer *w, bool object)
{
    char *to;
    if (uh_json_is_broken(w) || w->depth == 0 || w->named || (w->kinds & 1) != object)
        return uh_json_fail(w, UHTTP_ERR_STATE);
    uhttp_result result = uh_json_room(w, 1, &to);
    if (result != UHTTP_OK)
        return result;
    if (to != NULL)
        *to = object ? '}' : ']';
    w->kinds >>= 1;
    w->depth--;
    w->empty = false;
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_json_object_begin(uhttp_json_writer *w)
{
    return uh_json_open(w, true);
}

UHTTP_API uhttp_result uhttp_json_object_end(uhttp_json_writer *w)
{
    return uh_json_close(w, true);
}

UHTTP_API uhttp_result uhttp_json_array_begin(uhttp_json_writer *w)
{
    return uh_json_open(w, false);
}

UHTTP_API uhttp_result uhttp_json_array_end(uhttp_json_writer *w)
{
    return uh_json_close(w, false);
}

/* Writes a quote, a backslash or a control character as an escape; returns its length. */
UH_APART static size_t uh_json_escape_one(char to[6], unsigned char c)
{
    const char *byte = (const char *)memchr(uh_json_bytes + 1, c, UH_JSON_NAMES - 1);
    to[0] = '\\';
    to[1] = byte != NULL ? uh_json_names[byte - uh_json_bytes] : 'u';
    uh_put_hex(to + 2, 4, c);
    return byte != NULL ? 2 : 6;
}

/* Escapes text; to NULL: only counts. Returns the length; SIZE_MAX if it is not UTF-8. */
static size_t uh_json_escape(const char *text, size_t length, char *to)
{
    const char *end = text + length;
    size_t total = 0;
    for (const char *p = text; p < end;) {
        char escape[6];
        const char *from = p;
        p = uh_json_plain(p, end);
        size_t count = (size_t)(p - from);
        if (count == 0 && (unsigned char)*p >= 0x80) {
            count = uh_text_utf8_length(p, end);
            if (count == 0)
                return SIZE_MAX;
            p += count;
        } else if (count == 0) {
            count = uh_json_escape_one(escape, (unsigned char)*p++);
            from = escape;
        }
        if (to != NULL)
            memcpy(to + total, from, count);
        total += count;
    }
    return total;
}

static uhttp_result uh_json_put_string(uhttp_json_writer *w, bool key, const char *text,
                                       size_t length)
{
    char *to;
    if (text == NULL && !key)
        return uh_json_put(w, "null", 4);
    if (uh_json_is_broken(w) || text == NULL)
        return uh_json_fail(w, UHTTP_ERR_INVALID);
    if (length > SIZE_MAX / 8)                  /* escaped it may be six times as long */
        return uh_json_fail(w, UHTTP_ERR_MEMORY);
    size_t escaped = uh_json_escape(text, length, NULL);
    if (escaped == SIZE_MAX)
        return uh_json_fail(w, UHTTP_ERR_INVALID);
    uhttp_result result = uh_json_place(w, key, escaped + (key ? 3 : 2), &to);
    if (result != UHTTP_OK || to == NULL)
        return result;
    to[0] = to[escaped + 1] = '"';
    if (key)
        to[escaped + 2] = ':';
    uh_json_escape(text, length, to + 1);
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_json_key(uhttp_json_writer *w, const char *name)
{
    return uh_json_put_string(w, true, name, name != NULL ? strlen(name) : 0);
}

UHTTP_API uhttp_result uhttp_json_key_n(uhttp_json_writer *w, const char *name, size_t length)
{
    return uh_json_put_string(w, true, name, length);
}

UHTTP_API uhttp_result uhttp_json_string(uhttp_json_writer *w, const char *text)
{
    return uh_json_put_string(w, false, text, text != NULL ? strlen(text) : 0);
}

UHTTP_API uhttp_result uhttp_json_string_n(uhttp_json_writer *w, const char *text,
                                           size_t length)
{
    return uh_json_put_string(w, false, text, length);
}

UHTTP_API uhttp_result uhttp_json_int(uhttp_json_writer *w, int64_t value)
{
    char text[20] = "-";
    char *digits = value < 0 ? text + 1 : text;
    char *end = uh_text_put_decimal(digits, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    return uh_json_put(w, text, (size_t)(end - text));
}

UHTTP_API uhttp_result uhttp_json_uint(uhttp_json_writer *w, uint64_t value)
{
    char text[20];
    return uh_json_put(w, text, (size_t)(uh_text_put_decimal(text, value) - text));
}

UHTTP_API uhttp_result uhttp_json_double(uhttp_json_writer *w, double value)
{
    char text[25];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits >> 52 & 0x7FF) == 0x7FF)
        return uh_json_fail(w, UHTTP_ERR_INVALID);
    return uh_json_put(w, text, (size_t)(uh_json_put_double(text, bits) - text));
}

UHTTP_API uhttp_result uhttp_json_bool(uhttp_json_writer *w, bool value)
{
    return uh_json_put(w, value ? "true" : "false", value ? 4 : 5);
}

UHTTP_API uhttp_result uhttp_json_null(uhttp_json_writer *w)
{
    return uh_json_put(w, "null", 4);
}

UHTTP_API uhttp_result uhttp_json_raw(uhttp_json_writer *w, const char *text, size_t length)
{
    uhttp_str json = { text, length };
    if (!uhttp_json_valid(json, NULL))
        return uh_json_fail(w, UHTTP_ERR_INVALID);
    return uh_json_put(w, text, length);
}

UHTTP_API uhttp_result uhttp_json_error(const uhttp_json_writer *w)
{
    if (uh_json_is_broken(w))
        return w != NULL ? w->error : UHTTP_ERR_INVALID;
    return w->depth > 0 || w->empty ? UHTTP_ERR_STATE : UHTTP_OK;
}

UHTTP_API size_t uhttp_json_length(const uhttp_json_writer *w)
{
    return w != NULL ? w->length : 0;
}

#else

UHTTP_API void uhttp_json_begin(uhttp_json_writer *w, char *buffer, size_t size)
{
    (void)buffer;
    (void)size;
    if (w == NULL)
        return;
    memset(w, 0, sizeof *w);
    w->error = UHTTP_ERR_UNSUPPORTED;
}

UH_LACKS_1(uhttp_json_object_begin, uhttp_json_writer *)
UH_LACKS_1(uhttp_json_object_end, uhttp_json_writer *)
UH_LACKS_1(uhttp_json_array_begin, uhttp_json_writer *)
UH_LACKS_1(uhttp_json_array_end, uhttp_json_writer *)
UH_LACKS_2(uhttp_json_key, uhttp_json_writer *, const char *)
UH_LACKS_3(uhttp_json_key_n, uhttp_json_writer *, const char *, size_t)
UH_LACKS_2(uhttp_json_string, uhttp_json_writer *, const char *)
UH_LACKS_3(uhttp_json_string_n, uhttp_json_writer *, const char *, size_t)
UH_LACKS_2(uhttp_json_int, uhttp_json_writer *, int64_t)
UH_LACKS_2(uhttp_json_uint, uhttp_json_writer *, uint64_t)
UH_LACKS_2(uhttp_json_double, uhttp_json_writer *, double)
UH_LACKS_2(uhttp_json_bool, uhttp_json_writer *, bool)
UH_LACKS_1(uhttp_json_null, uhttp_json_writer *)
UH_LACKS_3(uhttp_json_raw, uhttp_json_writer *, const char *, size_t)
UH_LACKS_1(uhttp_json_error, const uhttp_json_writer *)
UH_LACKS_2(uhttp_json_to_int32, uhttp_json_value, int32_t *)
UH_LACKS_2(uhttp_json_to_uint32, uhttp_json_value, uint32_t *)
UH_LACKS_2(uhttp_json_to_int64, uhttp_json_value, int64_t *)
UH_LACKS_2(uhttp_json_to_uint64, uhttp_json_value, uint64_t *)
UH_LACKS_2(uhttp_json_to_double, uhttp_json_value, double *)
UH_LACKS_2(uhttp_json_to_bool, uhttp_json_value, bool *)
UH_LACKS_3(uhttp_json_to_string, uhttp_json_value, char *, size_t)
UH_LACKS_4(uhttp_json_to_bytes, uhttp_json_value, char *, size_t, size_t *)
UH_STUB_1(size_t, uhttp_json_length, 0, const uhttp_json_writer *)
UH_STUB_2(bool, uhttp_json_valid, false, uhttp_str, size_t *)
UH_STUB_2(bool, uhttp_json_equals, false, uhttp_json_value, const char *)
UH_STUB_1(bool, uhttp_json_next, false, uhttp_json_iter *)

static const uhttp_json_iter uh_json_nothing = {
    { { NULL, 0 }, UHTTP_JSON_NONE }, { { NULL, 0 }, UHTTP_JSON_NONE }, NULL, NULL, '\0', false
};

UH_STUB_2(uhttp_json_value, uhttp_json_find, uh_json_nothing.value, uhttp_str, const char *)
UH_STUB_1(uhttp_json_iter, uhttp_json_iterate, uh_json_nothing, uhttp_json_value)

#endif

/*==============================================================================
 * 06 TRANSPORT                                  how bytes travel: plain, or TLS
 *==============================================================================
 * The same six functions as a program's own transport (see uhttp_transport). Plain TCP
 * needs no state: its pointer is the descriptor plus one, as 0 is a valid descriptor. What
 * differs between versions of mbedTLS is here and nowhere else.
 */

static void *uh_plain_open(void *user, intptr_t fd)
{
    (void)user;
    return (void *)(fd + 1);
}

static int uh_plain_handshake(void *t)
{
    (void)t;
    return 0;
}

static int uh_plain_recv(void *t, void *to, size_t room)
{
    return uh_sys_recv((uh_socket)((intptr_t)t - 1), to, room);
}

static int uh_plain_send(void *t, const uhttp_str *parts, int count)
{
    return uh_sys_send((uh_socket)((intptr_t)t - 1), parts, count);
}

static size_t uh_plain_pending(void *t)
{
    (void)t;
    return 0;
}

static void uh_plain_close(void *t, bool only_write_side)
{
    if (only_write_side)
        uh_sys_shut_write((uh_socket)((intptr_t)t - 1));
}

static const uhttp_transport uh_plain = {
    uh_plain_open, uh_plain_handshake, uh_plain_recv, uh_plain_send, uh_plain_pending,
    uh_plain_close
};

/*--- TLS through mbedTLS: 2.28, 3.x, tried 4.0 ----------------------------------------
 *
 * A uh_tls is what a listener needs: configuration, certificates, keys, all parsed once. The
 * listener and each of its connections count as users of it, so that a renewed one takes its
 * place while connections of the old one live on. All memory is from mbedtls_calloc.
 */

#if UH_TLS

#include <errno.h>
#include <mbedtls/version.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/x509_crt.h>
#if MBEDTLS_VERSION_NUMBER < 0x04000000
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#endif
#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_TICKET_C)
#include <mbedtls/ssl_ticket.h>
#endif
#if defined(MBEDTLS_SSL_CACHE_C)
#include <mbedtls/ssl_cache.h>
#endif
#if MBEDTLS_VERSION_NUMBER >= 0x04000000 || (defined(MBEDTLS_PSA_CRYPTO_C) && \
    (defined(MBEDTLS_USE_PSA_CRYPTO) || defined(MBEDTLS_SSL_PROTO_TLS1_3)))
#include <psa/crypto.h>
#define UH_TLS_PSA 1
#else
#define UH_TLS_PSA 0
#endif

#if !defined(MBEDTLS_SSL_SRV_C) || !defined(MBEDTLS_X509_CRT_PARSE_C)
#error "uhttp_server.h: UHTTP_TLS needs MBEDTLS_SSL_SRV_C and MBEDTLS_X509_CRT_PARSE_C"
#endif

#define UH_TLS_RECORD       16384u      /* most that one record carries */
#define UH_TLS_SHARE        65536u      /* most that is encrypted in one turn */
#define UH_TLS_TICKET_S     14400u      /* life of a session, and of a key that seals tickets */
#define UH_TLS_SEND_FAILED  (-0x004E)   /* what mbedTLS's own sockets return */
#define UH_TLS_RECV_FAILED  (-0x004C)

/*--- what differs between the versions: random numbers, keys, curves, tickets --------*/

#if MBEDTLS_VERSION_NUMBER < 0x04000000

typedef struct uh_tls_random {
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    bool (*fill)(void *user, void *to, size_t length);
    void *user;
} uh_tls_random;

static int uh_tls_random_poll(void *random, unsigned char *to, size_t room, size_t *got)
{
    uh_tls_random *r = (uh_tls_random *)random;
    *got = room;
    return r->fill(r->user, to, room) ? 0 : MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
}

static void uh_tls_random_init(uh_tls_random *r)
{
    mbedtls_entropy_init(&r->entropy);
    mbedtls_ctr_drbg_init(&r->drbg);
}

static int uh_tls_random_open(uh_tls_random *r, const uhttp_tls_config *config)
{
    int code = 0;
    r->fill = config->entropy;
    r->user = config->entropy_user;
    if (r->fill != NULL)
        code = mbedtls_entropy_add_source(&r->entropy, uh_tls_random_poll, r, 32,
                                          MBEDTLS_ENTROPY_SOURCE_STRONG);
    return code != 0 ? code : mbedtls_ctr_drbg_seed(&r->drbg, mbedtls_entropy_func,
                                                    &r->entropy, NULL, 0);
}

static void uh_tls_random_free(uh_tls_random *r)
{
    mbedtls_ctr_drbg_free(&r->drbg);
    mbedtls_entropy_free(&r->entropy);
}

static void uh_tls_conf_random(mbedtls_ssl_config *conf, uh_tls_random *r)
{
    mbedtls_ssl_conf_rng(conf, mbedtls_ctr_drbg_random, &r->drbg);
}

#else

typedef struct uh_tls_random {
    bool unused;                /* PSA has the generator */
} uh_tls_random;

static void uh_tls_random_init(uh_tls_random *r) { (void)r; }
static void uh_tls_random_free(uh_tls_random *r) { (void)r; }
static void uh_tls_conf_random(mbedtls_ssl_config *conf, uh_tls_random *r)
{
    (void)conf;
    (void)r;
}

static int uh_tls_random_open(uh_tls_random *r, const uhttp_tls_config *config)
{
    (void)r;
    (void)config;
    return 0;
}

#endif

#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && MBEDTLS_VERSION_NUMBER < 0x04000000
#define UH_TLS_RANDOM(r) , mbedtls_ctr_drbg_random, &(r)->drbg
#else
#define UH_TLS_RANDOM(r)
#endif

static int uh_tls_parse_key(mbedtls_pk_context *key, const unsigned char *data, size_t length,
                            const char *password, uh_tls_random *r)
{
    (void)r;
    return mbedtls_pk_parse_key(key, data, length, (const unsigned char *)password,
                                password != NULL ? strlen(password) : 0 UH_TLS_RANDOM(r));
}

static int uh_tls_check_pair(const mbedtls_x509_crt *crt, const mbedtls_pk_context *key,
                             uh_tls_random *r)
{
    (void)r;
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    return mbedtls_pk_check_pair(&crt->pk, key UH_TLS_RANDOM(r));
#else
    return mbedtls_pk_check_pair((mbedtls_pk_context *)(uintptr_t)&crt->pk,
                                 (mbedtls_pk_context *)(uintptr_t)key);
#endif
}

#if defined(MBEDTLS_FS_IO)
static int uh_tls_parse_chain_file(mbedtls_x509_crt *chain, const char *file)
{
    return mbedtls_x509_crt_parse_file(chain, file);
}

static int uh_tls_parse_key_file(mbedtls_pk_context *key, const char *file,
                                 const char *password, uh_tls_random *r)
{
    (void)r;
    return mbedtls_pk_parse_keyfile(key, file, password UH_TLS_RANDOM(r));
}
#else
static int uh_tls_parse_chain_file(mbedtls_x509_crt *chain, const char *file)
{
    (void)chain;
    (void)file;
    return MBEDTLS_ERR_X509_FEATURE_UNAVAILABLE;
}

static int uh_tls_parse_key_file(mbedtls_pk_context *key, const char *file,
                                 const char *password, uh_tls_random *r)
{
    (void)key;
    (void)password;
    (void)r;
    (void)file;
    return MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE;
}
#endif

/* The fastest curves first: mbedTLS by itself takes the largest that is offered, at many times
 * the cost. */
#if MBEDTLS_VERSION_NUMBER < 0x03010000

static const mbedtls_ecp_group_id uh_tls_curves[] = {
#if defined(MBEDTLS_ECP_DP_CURVE25519_ENABLED)
    MBEDTLS_ECP_DP_CURVE25519,
#endif
#if defined(MBEDTLS_ECP_DP_SECP256R1_ENABLED)
    MBEDTLS_ECP_DP_SECP256R1,
#endif
    MBEDTLS_ECP_DP_NONE
};

static const mbedtls_ecp_group_id uh_tls_larger_curves[] = {
#if defined(MBEDTLS_ECP_DP_CURVE25519_ENABLED)
    MBEDTLS_ECP_DP_CURVE25519,
#endif
#if defined(MBEDTLS_ECP_DP_SECP256R1_ENABLED)
    MBEDTLS_ECP_DP_SECP256R1,
#endif
#if defined(MBEDTLS_ECP_DP_SECP384R1_ENABLED)
    MBEDTLS_ECP_DP_SECP384R1,
#endif
#if defined(MBEDTLS_ECP_DP_SECP521R1_ENABLED)
    MBEDTLS_ECP_DP_SECP521R1,
#endif
    MBEDTLS_ECP_DP_NONE
};

/* Before version 3 SHA-1 and TLS 1.0 would be taken as well. */
static void uh_tls_conf_versions(mbedtls_ssl_config *conf)
{
    static const int hashes[] = {
#if defined(MBEDTLS_SHA256_C)
        MBEDTLS_MD_SHA256,
#endif
#if defined(MBEDTLS_SHA512_C)
        MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512,
#endif
        MBEDTLS_MD_NONE
    };
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_sig_hashes(conf, hashes);
}

static void uh_tls_conf_curves(mbedtls_ssl_config *conf, bool larger)
{
    mbedtls_ssl_conf_curves(conf, larger ? uh_tls_larger_curves : uh_tls_curves);
}

#else

static const uint16_t uh_tls_larger_curves[] = {
#if defined(MBEDTLS_ECP_DP_CURVE25519_ENABLED) || defined(PSA_WANT_ECC_MONTGOMERY_255)
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
#endif
#if defined(MBEDTLS_ECP_DP_SECP256R1_ENABLED) || defined(PSA_WANT_ECC_SECP_R1_256)
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
#endif
#if defined(MBEDTLS_ECP_DP_SECP384R1_ENABLED) || defined(PSA_WANT_ECC_SECP_R1_384)
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1,
#endif
#if defined(MBEDTLS_ECP_DP_SECP521R1_ENABLED) || defined(PSA_WANT_ECC_SECP_R1_521)
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1,
#endif
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE
};

static const uint16_t uh_tls_curves[] = {
#if defined(MBEDTLS_ECP_DP_CURVE25519_ENABLED) || defined(PSA_WANT_ECC_MONTGOMERY_255)
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
#endif
#if defined(MBEDTLS_ECP_DP_SECP256R1_ENABLED) || defined(PSA_WANT_ECC_SECP_R1_256)
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
#endif
    MBEDTLS_SSL_IANA_TLS_GROUP_NONE
};

/* Nothing below 1.2 is left; in 1.3 a resumed session exchanges fresh keys as well. */
static void uh_tls_conf_versions(mbedtls_ssl_config *conf)
{
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    mbedtls_ssl_conf_tls13_key_exchange_modes(
        conf, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
#else
    (void)conf;
#endif
}

static void uh_tls_conf_curves(mbedtls_ssl_config *conf, bool larger)
{
    mbedtls_ssl_conf_groups(conf, larger ? uh_tls_larger_curves : uh_tls_curves);
}

#endif

#if defined(MBEDTLS_SSL_ALPN)
static int uh_tls_conf_alpn(mbedtls_ssl_config *conf)
{
    static const char *const protocols[] = { "http/1.1", NULL };
#if MBEDTLS_VERSION_NUMBER >= 0x04000000
    return mbedtls_ssl_conf_alpn_protocols(conf, protocols);
#else
    return mbedtls_ssl_conf_alpn_protocols(conf, (const char **)(uintptr_t)protocols);
#endif
}
#else
static int uh_tls_conf_alpn(mbedtls_ssl_config *conf)
{
    (void)conf;
    return 0;
}
#endif

/* What lets sessions resume; either may be missing from a build of mbedTLS. */
typedef struct uh_tls_sessions {
#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_TICKET_C)
    mbedtls_ssl_ticket_context tickets;
#endif
#if defined(MBEDTLS_SSL_CACHE_C)
    mbedtls_ssl_cache_context cache;
#endif
    bool resume;
} uh_tls_sessions;

static void uh_tls_sessions_init(uh_tls_sessions *s)
{
#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_TICKET_C)
    mbedtls_ssl_ticket_init(&s->tickets);
#endif
#if defined(MBEDTLS_SSL_CACHE_C)
    mbedtls_ssl_cache_init(&s->cache);
#endif
    s->resume = false;
}

static void uh_tls_sessions_free(uh_tls_sessions *s)
{
#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_TICKET_C)
    mbedtls_ssl_ticket_free(&s->tickets);
#endif
#if defined(MBEDTLS_SSL_CACHE_C)
    mbedtls_ssl_cache_free(&s->cache);
#endif
    s->resume = false;
}

#if defined(MBEDTLS_SSL_SESSION_TICKETS) && defined(MBEDTLS_SSL_TICKET_C)
/* Tickets are sealed with keys that mbedTLS replaces after a ticket's life. */
static int uh_tls_conf_tickets(mbedtls_ssl_config *conf, uh_tls_sessions *s, uh_tls_random *r)
{
#if MBEDTLS_VERSION_NUMBER >= 0x04000000
    int code = mbedtls_ssl_ticket_setup(&s->tickets, PSA_ALG_GCM, PSA_KEY_TYPE_AES, 256,
                                        UH_TLS_TICKET_S);
    (void)r;
#else
    int code = mbedtls_ssl_ticket_setup(&s->tickets, mbedtls_ctr_drbg_random, &r->drbg,
                                        MBEDTLS_CIPHER_AES_256_GCM, UH_TLS_TICKET_S);
#endif
    if (code == 0)
        mbedtls_ssl_conf_session_tickets_cb(conf, mbedtls_ssl_ticket_write,
                                            mbedtls_ssl_ticket_parse, &s->tickets);
    return code;
}
#else
static int uh_tls_conf_tickets(mbedtls_ssl_config *conf, uh_tls_sessions *s, uh_tls_random *r)
{
    (void)conf;
    (void)s;
    (void)r;
    return 0;
}
#endif

/* For clients that know no tickets: at most as many sessions as there are connections. */
static void uh_tls_conf_cache(mbedtls_ssl_config *conf, uh_tls_sessions *s, uint32_t sessions)
{
    (void)conf;
    (void)s;
    (void)sessions;
#if defined(MBEDTLS_SSL_CACHE_C)
    mbedtls_ssl_cache_set_max_entries(&s->cache, (int)(sessions < 1000 ? sessions : 1000));
#if defined(MBEDTLS_HAVE_TIME)
    mbedtls_ssl_cache_set_timeout(&s->cache, (int)UH_TLS_TICKET_S);
#endif
    mbedtls_ssl_conf_session_cache(conf, &s->cache, mbedtls_ssl_cache_get,
                                   mbedtls_ssl_cache_set);
#endif
}

/* PSA is a part of mbedTLS with a state of its own; starting it again does nothing. */
static int uh_tls_start_psa(void)
{
#if UH_TLS_PSA
    return (int)psa_crypto_init();
#else
    return 0;
#endif
}

static bool uh_tls_is_memory(int code)
{
    int low = -code & 0x7f;
    int high = code + low;
#if MBEDTLS_VERSION_NUMBER >= 0x04000000
    if (code == PSA_ERROR_INSUFFICIENT_MEMORY)
        return true;
#endif
    return high == MBEDTLS_ERR_SSL_ALLOC_FAILED || high == MBEDTLS_ERR_X509_ALLOC_FAILED ||
           high == MBEDTLS_ERR_PK_ALLOC_FAILED || high == -0x1180 /* PEM */ ||
           high == -0x4d80 /* ECP */ || high == -0x6180 /* cipher */ ||
           low == 0x6a /* ASN.1 */ || low == 0x10 /* numbers */;
}

/*--- loading ------------------------------------------------------------------------*/

/* A certificate chain and its key. */
typedef struct uh_tls_identity {
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
} uh_tls_identity;

#define UH_TLS_SUITES 16

typedef struct uh_tls {
    uint32_t users;             /* the listener, and each of its connections */
    const mbedtls_ssl_config *conf;     /* own, or the program's */
    mbedtls_ssl_config own;
    uh_tls_identity *identities;        /* the first is for clients that ask for no other */
    size_t count;
    mbedtls_x509_crt client_ca;
    uh_tls_random random;
    uh_tls_sessions sessions;
    int suites[UH_TLS_SUITES];  /* ends with 0 */
    uhttp_tls_config policy;    /* what a renewal keeps; its pointers to data are not used */
} uh_tls;

/* A load in progress: for whom, from what, into what. */
typedef struct uh_tls_loader {
    const uhttp_config *server;
    const uhttp_tls_config *config;
    uh_tls *tls;
} uh_tls_loader;

static char *uh_tls_put_code(char *p, int code)
{
    static const char digits[] = "0123456789ABCDEF";
    p = uh_text_put(p, " (-0x", 5);
    for (int shift = 12; shift >= 0; shift -= 4)
        *p++ = digits[(unsigned)-code >> shift & 15u];
    *p++ = ')';
    return p;
}

/* mbedTLS's words for a code, at most 120 bytes. */
static char *uh_tls_put_reason(char *p, int code)
{
#if defined(MBEDTLS_ERROR_C)
    mbedtls_strerror(code, p, 120);
    if (memcmp(p, "UNKNOWN", 7) == 0 && strchr(p, ':') == NULL)     /* in 4.x those of crypto */
        p = uh_text_puts(p, "mbedTLS error");
    else
        p += strlen(p);
#else
    p = uh_text_puts(p, "mbedTLS error");
#endif
    return uh_tls_put_code(p, code);
}

/* Tells log and the program "what: why", of a long file name only the end. */
static void uh_tls_say(const uh_tls_loader *l, const char *what, const char *why, int code)
{
    char text[256];
    size_t length = strlen(what);
    size_t skip = length > 80 ? length - 80 : 0;
    char *p = uh_text_put(text, what + skip, length - skip);
    p = uh_text_put(p, ": ", 2);
    p = why != NULL ? uh_text_put(p, why, strlen(why)) : uh_tls_put_reason(p, code);
    *p = '\0';
    if (UH_LOG && l->server->log != NULL)
        l->server->log(l->server->user, text);
    if (l->config->error != NULL && l->config->error_size > 0) {
        length = (size_t)(p - text);
        if (length >= l->config->error_size)
            length = l->config->error_size - 1;
        memcpy(l->config->error, text, length);
        l->config->error[length] = '\0';
    }
}

static uhttp_result uh_tls_refuse(const uh_tls_loader *l, const char *what, const char *why)
{
    uh_tls_say(l, what, why, 0);
    return UHTTP_ERR_INVALID;
}

static uhttp_result uh_tls_complain(const uh_tls_loader *l, const char *what, int code)
{
    if (code > 0)
        return uh_tls_refuse(l, what, "not every certificate in it can be read");
    if (code == MBEDTLS_ERR_X509_FILE_IO_ERROR || code == MBEDTLS_ERR_PK_FILE_IO_ERROR) {
        size_t length = strlen(what);
        uh_tls_say(l, strerror(errno), what + (length > 120 ? length - 120 : 0), 0);
        return UHTTP_ERR_SYSTEM;
    }
    uh_tls_say(l, what, NULL, code);
    return uh_tls_is_memory(code) ? UHTTP_ERR_MEMORY : UHTTP_ERR_INVALID;
}

/* mbedTLS knows PEM by the NUL at its end, which a file linked into a program may lack: then
 * this is a copy that has one. Freed with uh_tls_forget(). */
typedef struct uh_tls_text {
    const unsigned char *data;
    unsigned char *copy;        /* NULL: data is the program's */
    size_t length;
} uh_tls_text;

static bool uh_tls_text_take(uh_tls_text *text, const void *data, size_t length)
{
    static const char mark[] = "-----BEGIN ";
    const char *bytes = (const char *)data;
    text->data = (const unsigned char *)data;
    text->copy = NULL;
    text->length = length > 0 ? length : strlen(bytes) + 1;
    if (length < sizeof mark || bytes[length - 1] == '\0' ||
        memcmp(bytes, mark, sizeof mark - 1) != 0)
        return true;
    text->copy = (unsigned char *)mbedtls_calloc(1, length + 1);
    if (text->copy == NULL)
        return false;
    memcpy(text->copy, data, length);
    text->data = text->copy;
    text->length = length + 1;
    return true;
}

static void uh_tls_forget(uh_tls_text *text)
{
    volatile unsigned char *p = text->copy;
    if (text->copy == NULL)
        return;
    for (size_t i = 0; i < text->length; i++)
        p[i] = 0;
    mbedtls_free(text->copy);
}

static int uh_tls_parse_chain(mbedtls_x509_crt *chain, const char *file, const void *data,
                              size_t length)
{
    uh_tls_text text;
    if (file != NULL)
        return uh_tls_parse_chain_file(chain, file);
    if (!uh_tls_text_take(&text, data, length))
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    int code = mbedtls_x509_crt_parse(chain, text.data, text.length);
    uh_tls_forget(&text);
    return code;
}

static int uh_tls_read_key(uh_tls *tls, mbedtls_pk_context *key,
                           const uhttp_tls_certificate *from)
{
    uh_tls_text text;
    if (from->key_file != NULL)
        return uh_tls_parse_key_file(key, from->key_file, from->key_password, &tls->random);
    if (!uh_tls_text_take(&text, from->key, from->key_length))
        return MBEDTLS_ERR_PK_ALLOC_FAILED;
    int code = uh_tls_parse_key(key, text.data, text.length, from->key_password, &tls->random);
    uh_tls_forget(&text);
    return code;
}

static uhttp_result uh_tls_load_identity(const uh_tls_loader *l, uh_tls_identity *id,
                                         const uhttp_tls_certificate *from)
{
    const char *chain_name = from->chain_file != NULL ? from->chain_file : "certificate";
    const char *key_name = from->key_file != NULL ? from->key_file : "private key";
    if (from->chain_file == NULL && from->chain == NULL)
        return uh_tls_refuse(l, chain_name, "none was given");
    if (from->key_file == NULL && from->key == NULL)
        return uh_tls_refuse(l, key_name, "none was given");
    int code = uh_tls_parse_chain(&id->chain, from->chain_file, from->chain,
                                  from->chain_length);
    if (code != 0)
        return uh_tls_complain(l, chain_name, code);
    code = uh_tls_read_key(l->tls, &id->key, from);
    if (code != 0)
        return uh_tls_complain(l, key_name, code);
    if (uh_tls_check_pair(&id->chain, &id->key, &l->tls->random) != 0)
        return uh_tls_refuse(l, key_name, "does not belong to the certificate");
    return UHTTP_OK;
}

/* The certificate and those for other names. */
static uhttp_result uh_tls_load_identities(const uh_tls_loader *l)
{
    uh_tls *tls = l->tls;
    const uhttp_tls_config *config = l->config;
    if (config->more == NULL && config->more_count > 0)
        return uh_tls_refuse(l, "more", "none was given");
    tls->identities = (uh_tls_identity *)mbedtls_calloc(1 + config->more_count,
                                                        sizeof *tls->identities);
    if (tls->identities == NULL)
        return uh_tls_complain(l, "certificate", MBEDTLS_ERR_X509_ALLOC_FAILED);
    for (; tls->count <= config->more_count; tls->count++) {
        mbedtls_x509_crt_init(&tls->identities[tls->count].chain);
        mbedtls_pk_init(&tls->identities[tls->count].key);
    }
    for (size_t i = 0; i < tls->count; i++) {
        uhttp_result result = uh_tls_load_identity(
            l, &tls->identities[i], i == 0 ? &config->certificate : &config->more[i - 1]);
        if (result != UHTTP_OK)
            return result;
    }
    int code = mbedtls_ssl_conf_own_cert(&tls->own, &tls->identities[0].chain,
                                         &tls->identities[0].key);
    return code == 0 ? UHTTP_OK : uh_tls_complain(l, "certificate", code);
}

/* Whom clients' certificates must come from. */
static uhttp_result uh_tls_load_clients(const uh_tls_loader *l)
{
    uh_tls *tls = l->tls;
    const uhttp_tls_config *config = l->config;
    const char *name = config->client_ca_file != NULL ? config->client_ca_file : "client_ca";
    if (config->client_certificate == UHTTP_CLIENT_IGNORED)
        return UHTTP_OK;
    if (config->client_ca_file == NULL && config->client_ca == NULL)
        return uh_tls_refuse(l, name, "none was given");
    int code = uh_tls_parse_chain(&tls->client_ca, config->client_ca_file, config->client_ca,
                                  config->client_ca_length);
    if (code != 0)
        return uh_tls_complain(l, name, code);
    mbedtls_ssl_conf_ca_chain(&tls->own, &tls->client_ca, NULL);
    mbedtls_ssl_conf_authmode(&tls->own, config->client_certificate == UHTTP_CLIENT_REQUIRED
                              ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_OPTIONAL);
    return UHTTP_OK;
}

/* Of the suites that mbedTLS was built with, those with forward secrecy and authenticated
 * encryption. */
static void uh_tls_conf_suites(uh_tls *tls)
{
    static const uint16_t wanted[] = {
        0x1301, 0x1303, 0x1302,     /* TLS 1.3: AES-128-GCM, ChaCha20-Poly1305, AES-256-GCM */
        0xc02b, 0xcca9, 0xc02c,     /* the same with ECDHE and ECDSA */
        0xc02f, 0xcca8, 0xc030,     /* the same with ECDHE and RSA */
        0x1304, 0xc0ac, 0xc0ad      /* AES-CCM, for small builds: 1.3, ECDSA with 128, 256 */
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        for (const int *have = mbedtls_ssl_list_ciphersuites(); *have != 0; have++) {
            if (*have == (int)wanted[i])
                tls->suites[count++] = *have;
        }
    }
    tls->suites[count] = 0;
    if (count > 0)
        mbedtls_ssl_conf_ciphersuites(&tls->own, tls->suites);
}

#if defined(MBEDTLS_SSL_SERVER_NAME_INDICATION)

/* Does a name of a certificate ("*.example.org" stands for one label) mean this host? */
static bool uh_tls_name_is(const mbedtls_x509_buf *name, const unsigned char *host,
                           size_t length)
{
    const unsigned char *p = name->p;
    size_t left = name->len;
    if (left > 2 && p[0] == '*' && p[1] == '.') {
        const unsigned char *dot = (const unsigned char *)memchr(host, '.', length);
        if (dot == NULL || dot == host)
            return false;
        length -= (size_t)(dot - host);
        host = dot;
        p++;
        left--;
    }
    if (left != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (uh_char_lower((char)p[i]) != uh_char_lower((char)host[i]))
            return false;
    }
    return true;
}

static bool uh_tls_has_name(const mbedtls_x509_crt *crt, const unsigned char *host,
                            size_t length)
{
    const mbedtls_x509_sequence *name = &crt->subject_alt_names;
    for (; name != NULL; name = name->next) {
        bool is_dns = (name->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == 2;
        if (name->buf.p != NULL && is_dns && uh_tls_name_is(&name->buf, host, length))
            return true;
    }
    return false;
}

/* Shows the certificates with the name the client asks for; the first if there is none. */
static int uh_tls_choose(void *t, mbedtls_ssl_context *ssl, const unsigned char *host,
                         size_t length)
{
    uh_tls *tls = (uh_tls *)t;
    for (size_t i = 0; i < tls->count; i++) {
        uh_tls_identity *id = &tls->identities[i];
        if (!uh_tls_has_name(&id->chain, host, length))
            continue;
        int code = mbedtls_ssl_set_hs_own_cert(ssl, &id->chain, &id->key);
        if (code != 0)
            return code;
    }
    return 0;
}

static void uh_tls_conf_names(uh_tls *tls)
{
    if (tls->count > 1)
        mbedtls_ssl_conf_sni(&tls->own, uh_tls_choose, tls);
}

#else
static void uh_tls_conf_names(uh_tls *tls) { (void)tls; }
#endif

static int uh_tls_configure(const uh_tls_loader *l)
{
    uh_tls *tls = l->tls;
    const uhttp_tls_config *config = l->config;
    mbedtls_ssl_config *conf = &tls->own;
    int code = mbedtls_ssl_config_defaults(conf, MBEDTLS_SSL_IS_SERVER,
                                           MBEDTLS_SSL_TRANSPORT_STREAM,
                                           MBEDTLS_SSL_PRESET_DEFAULT);
    if (code == 0 && !config->no_alpn)
        code = uh_tls_conf_alpn(conf);
    if (code != 0)
        return code;
    uh_tls_conf_random(conf, &tls->random);
    uh_tls_conf_versions(conf);
    uh_tls_conf_suites(tls);
    uh_tls_conf_curves(conf, config->larger_curves);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    mbedtls_ssl_conf_renegotiation(conf, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
    if (config->client_certificate != UHTTP_CLIENT_IGNORED)
        return 0;           /* each handshake proves anew who the client is */
    uh_tls_conf_cache(conf, &tls->sessions, l->server->max_connections);
    return uh_tls_conf_tickets(conf, &tls->sessions, &tls->random);
}

static uhttp_result uh_tls_fill(const uh_tls_loader *l)
{
    uh_tls *tls = l->tls;
    tls->conf = (const mbedtls_ssl_config *)l->config->mbedtls_config;
    if (tls->conf != NULL)
        return UHTTP_OK;
    tls->conf = &tls->own;
    int code = uh_tls_start_psa();
    if (code == 0)
        code = uh_tls_random_open(&tls->random, l->config);
    if (code != 0) {
        (void)uh_tls_complain(l, "entropy", code);
        return UHTTP_ERR_SYSTEM;
    }
    code = uh_tls_configure(l);
    if (code != 0)
        return uh_tls_complain(l, "TLS", code);
    uhttp_result result = uh_tls_load_identities(l);
    if (result != UHTTP_OK)
        return result;
    uh_tls_conf_names(tls);
    return uh_tls_load_clients(l);
}

/* One user less; the last one frees it. */
static void uh_tls_release(void *t)
{
    uh_tls *tls = (uh_tls *)t;
    if (--tls->users > 0)
        return;
    mbedtls_ssl_config_free(&tls->own);
    for (size_t i = 0; i < tls->count; i++) {
        mbedtls_x509_crt_free(&tls->identities[i].chain);
        mbedtls_pk_free(&tls->identities[i].key);
    }
    mbedtls_free(tls->identities);
    mbedtls_x509_crt_free(&tls->client_ca);
    uh_tls_sessions_free(&tls->sessions);
    uh_tls_random_free(&tls->random);
    mbedtls_free(tls);
}

/* Makes what a listener needs; *loaded has one user. */
static uhttp_result uh_tls_load(const uhttp_config *server, const uhttp_tls_config *config,
                                void **loaded)
{
    uh_tls *tls = (uh_tls *)mbedtls_calloc(1, sizeof *tls);
    uh_tls_loader l;
    l.server = server;
    l.config = config;
    l.tls = tls;
    if (tls == NULL)
        return uh_tls_complain(&l, "TLS", MBEDTLS_ERR_SSL_ALLOC_FAILED);
    tls->users = 1;
    tls->policy = *config;
    mbedtls_ssl_config_init(&tls->own);
    mbedtls_x509_crt_init(&tls->client_ca);
    uh_tls_random_init(&tls->random);
    uh_tls_sessions_init(&tls->sessions);
    uhttp_result result = uh_tls_fill(&l);
    if (result != UHTTP_OK)
        uh_tls_release(tls);
    else
        *loaded = tls;
    return result;
}

/* The same as what was opened, but for certificates and keys. */
static uhttp_result uh_tls_renew(const uhttp_config *server, const uhttp_tls_config *config,
                                 const void *opened, void **loaded)
{
    uhttp_tls_config merged = ((const uh_tls *)opened)->policy;
    merged.certificate = config->certificate;
    merged.more = config->more;
    merged.more_count = config->more_count;
    merged.client_ca_file = config->client_ca_file;
    merged.client_ca = config->client_ca;
    merged.client_ca_length = config->client_ca_length;
    merged.error = config->error;
    merged.error_size = config->error_size;
    return uh_tls_load(server, &merged, loaded);
}

/*--- one peer ---------------------------------------------------------------------------*/

typedef struct uh_tls_peer {
    mbedtls_ssl_context ssl;
    uh_tls *tls;
    uh_socket fd;
    int error;                  /* mbedTLS's, of a failed handshake */
    uint32_t blocked;           /* length of the record that waits in ssl for the socket */
    bool held;                  /* the socket did not take all of what mbedTLS has out */
    bool full;                  /* or for memory of the system, which has none */
    uint8_t reads;              /* how often the socket may still be read in this call */
    uint8_t spent;              /* calls that have used up all of them, since data came */
    uint8_t first;              /* the first byte, which says what is spoken */
    bool begun;                 /* it has come; ssl has its buffers */
    bool ended;                 /* the socket has said that no more comes */
    bool unread;                /* ssl has not asked for it yet */
    bool plain;                 /* it is no TLS */
    bool parted;                /* after error: the write side is shut */
} uh_tls_peer;

/* mbedTLS reads on behind records that mean nothing, such as warnings and empty ones: a peer
 * that sends them without end would hold the whole server in one call. What is left comes with
 * the next round; after hundreds of such records the peer has failed. */
#define UH_TLS_READS 32
#define UH_TLS_SPENT 32

static int uh_tls_bio_recv(void *t, unsigned char *to, size_t room)
{
    uh_tls_peer *p = (uh_tls_peer *)t;
    if (p->unread && room > 0) {
        *to = p->first;
        p->unread = false;
        return 1;
    }
    int n = UHTTP_FAILED;
    if (p->reads > 0) {
        p->reads--;
        n = uh_sys_recv(p->fd, to, room);
    } else if (p->spent < UH_TLS_SPENT) {
        p->spent++;
        n = UHTTP_WANT_READ;
    }
    p->ended = n == 0;
    p->full = n == UHTTP_FULL;
    if (n == UHTTP_WANT_READ || p->full)
        return MBEDTLS_ERR_SSL_WANT_READ;
    return n >= 0 ? n : UH_TLS_RECV_FAILED;
}

static int uh_tls_bio_send(void *t, const unsigned char *bytes, size_t length)
{
    uh_tls_peer *p = (uh_tls_peer *)t;
    uhttp_str part;
    part.ptr = (const char *)bytes;
    part.len = length;
    int n = uh_sys_send(p->fd, &part, 1);
    p->full = n == UHTTP_FULL;
    p->held = n < 0 || (size_t)n < length;
    if (n == UHTTP_WANT_WRITE || p->full)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    return n >= 0 ? n : UH_TLS_SEND_FAILED;
}

/* In the words of a transport. What mbedTLS computes elsewhere, or in portions, is asked for
 * again in the next round of the loop, as a socket is writable at nearly all times. */
static int uh_tls_result(uh_tls_peer *p, int code)
{
    switch (code) {
    case 0:
        return 0;
    case MBEDTLS_ERR_SSL_WANT_READ:
        return p->full ? UHTTP_FULL : UHTTP_WANT_READ;
    case MBEDTLS_ERR_SSL_WANT_WRITE:
        return p->full ? UHTTP_FULL : UHTTP_WANT_WRITE;
    case MBEDTLS_ERR_SSL_ASYNC_IN_PROGRESS:
    case MBEDTLS_ERR_SSL_CRYPTO_IN_PROGRESS:
        return UHTTP_WANT_WRITE;
    default:
        p->error = code;
        return UHTTP_FAILED;
    }
}

static void *uh_tls_open(void *user, intptr_t fd)
{
    uh_tls *tls = (uh_tls *)user;
    uh_tls_peer *p = (uh_tls_peer *)mbedtls_calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    mbedtls_ssl_init(&p->ssl);
    p->tls = tls;
    p->fd = (uh_socket)fd;
    tls->users++;
    return p;
}

/* Looks at the first byte before mbedTLS takes its buffers: who connects and says nothing costs
 * none. TLS begins with 22; a letter is a method of plain HTTP. */
static int uh_tls_begin(uh_tls_peer *p)
{
    int n = uh_sys_recv(p->fd, &p->first, 1);
    if (n <= 0)
        return n == 0 ? UHTTP_FAILED : n;
    char letter = uh_char_lower((char)p->first);
    p->plain = letter >= 'a' && letter <= 'z';
    if (p->plain)
        return UHTTP_PLAIN;
    p->begun = p->unread = true;
    int code = mbedtls_ssl_setup(&p->ssl, p->tls->conf);
    mbedtls_ssl_set_bio(&p->ssl, p, uh_tls_bio_send, uh_tls_bio_recv, NULL);
    return uh_tls_result(p, code);
}

/* The handshake has failed, and the peer has an alert that says why (but for a missing
 * certificate, of which TLS 1.2 in mbedTLS says nothing): closing the socket while
 * more of its side comes would overtake that. So it is read off until the peer has closed, or
 * handshake_timeout_ms. */
static int uh_tls_part(uh_tls_peer *p)
{
    uint8_t trash[256];
    int n = 1;
    if (!p->parted && p->error == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE)
        (void)mbedtls_ssl_send_alert_message(&p->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                             MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
    if (!p->parted)
        uh_sys_shut_write(p->fd);
    p->parted = true;
    for (int i = 0; i < 64 && n > 0; i++)
        n = uh_sys_recv(p->fd, trash, sizeof trash);
    return n == UHTTP_WANT_READ ? n : UHTTP_FAILED;
}

static int uh_tls_handshake(void *t)
{
    uh_tls_peer *p = (uh_tls_peer *)t;
    p->reads = UH_TLS_READS;
    int n = p->begun ? 0 : uh_tls_begin(p);
    if (n == 0 && p->error == 0)
        n = uh_tls_result(p, mbedtls_ssl_handshake(&p->ssl));
    return p->error != 0 ? uh_tls_part(p) : n;
}

/* The end is told apart by nobody here: a peer that ends without close_notify has sent no
 * more either, and a body cut short is one by its length. But 0 may also be empty records. */
static int uh_tls_recv(void *t, void *to, size_t room)
{
    uh_tls_peer *p = (uh_tls_peer *)t;
    if (p->plain)
        return uh_sys_recv(p->fd, to, room);
    p->reads = UH_TLS_READS;
    int n = mbedtls_ssl_read(&p->ssl, (unsigned char *)to, room);
    if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || n == MBEDTLS_ERR_SSL_CONN_EOF)
        return 0;
    if (n == 0 && !p->ended)
        return UHTTP_WANT_READ;
    if (n > 0)
        p->spent = 0;
    return n >= 0 ? n : uh_tls_result(p, n);
}

/* Writes a record, or goes on with the one that waits; the result is mbedtls_ssl_write()'s. A
 * read that answers the peer with an alert may have sent the rest of that record; and what is
 * left of an alert is sent by a write that says it has taken bytes, but has not. */
static int uh_tls_write(uh_tls_peer *p, const char *bytes, size_t length)
{
    const unsigned char *from = (const unsigned char *)bytes;
    if (p->blocked > 0)
        length = p->blocked;
    if (p->blocked > 0 && !p->held) {
        int most = mbedtls_ssl_get_max_out_record_payload(&p->ssl);
        return most > 0 && (size_t)most < length ? most : (int)length;
    }
    int n = p->blocked == 0 && p->held ? mbedtls_ssl_write(&p->ssl, from, length) : 1;
    if (n <= 0)
        return n;
    p->blocked = (uint32_t)length;
    return mbedtls_ssl_write(&p->ssl, from, length);
}

/* Record by record. One that the socket did not take whole is encrypted already and waits in
 * ssl: it is offered again with the same length, whatever its bytes, and counts when it has
 * left. */
static int uh_tls_send(void *t, const uhttp_str *parts, int count)
{
    uh_tls_peer *p = (uh_tls_peer *)t;
    size_t sent = 0;
    size_t at = 0;              /* in the first of parts */
    int n = 0;
    if (p->plain)
        return uh_sys_send(p->fd, parts, count);
    p->reads = UH_TLS_READS;
    while (count > 0 && sent < UH_TLS_SHARE) {
        if (at >= parts->len) {
            at -= parts->len;
            parts++;
            count--;
            continue;
        }
        size_t length = parts->len - at < UH_TLS_RECORD ? parts->len - at : UH_TLS_RECORD;
        n = uh_tls_write(p, parts->ptr + at, length);
        if (n <= 0)
            break;
        p->blocked = 0;
        sent += (size_t)n;
        at += (size_t)n;
    }
    return sent > 0 ? (int)sent : uh_tls_result(p, n);
}

static size_t uh_tls_pending(void *t)
{
    uh_tls_peer *p = (uh_tls_peer *)t;
    if (p->plain)
        return 0;
    size_t bytes = mbedtls_ssl_get_bytes_avail(&p->ssl);
    return bytes == 0 && mbedtls_ssl_check_pending(&p->ssl) != 0 ? 1 : bytes;
}

static void uh_tls_close(void *t, bool only_write_side)
{
    uh_tls_peer *p = (uh_tls_peer *)t;
    if (only_write_side) {
        if (!p->plain)
            (void)mbedtls_ssl_close_notify(&p->ssl);
        uh_sys_shut_write(p->fd);
        return;
    }
    mbedtls_ssl_free(&p->ssl);
    uh_tls_release(p->tls);
    mbedtls_free(p);
}

static const uhttp_transport uh_tls_transport = {
    uh_tls_open, uh_tls_handshake, uh_tls_recv, uh_tls_send, uh_tls_pending, uh_tls_close
};
#define UH_TLS_TRANSPORT (&uh_tls_transport)

/* Are a listener's certificates the server's affair? */
static bool uh_tls_is_renewable(const uhttp_transport *transport, const void *tls)
{
    return transport == UH_TLS_TRANSPORT &&
           ((const uh_tls *)tls)->policy.mbedtls_config == NULL;
}

/* Why the handshake of a peer failed; otherwise: if nothing is known. */
static const char *uh_tls_failure(const uhttp_transport *transport, const void *t, char *text,
                                  const char *otherwise)
{
    const uh_tls_peer *p = (const uh_tls_peer *)t;
    if (transport != UH_TLS_TRANSPORT || p->error == 0)
        return otherwise;
    *uh_tls_put_reason(text, p->error) = '\0';
    return text;
}

static int uh_tls_subject(const uhttp_transport *transport, const void *t, char *buffer,
                          size_t size)
{
    const uh_tls_peer *p = (const uh_tls_peer *)t;
    const mbedtls_x509_crt *crt = NULL;
    if (size == 0)
        return UHTTP_ERR_MEMORY;
    buffer[0] = '\0';
    if (transport == UH_TLS_TRANSPORT && mbedtls_ssl_get_verify_result(&p->ssl) == 0)
        crt = mbedtls_ssl_get_peer_cert(&p->ssl);
    if (crt == NULL)
        return 0;
    int length = mbedtls_x509_dn_gets(buffer, size, &crt->subject);
    return length >= 0 ? length : UHTTP_ERR_MEMORY;
}

#else

#define UH_TLS_TRANSPORT NULL

static void uh_tls_release(void *t) { (void)t; }

static uhttp_result uh_tls_load(const uhttp_config *server, const uhttp_tls_config *config,
                                void **loaded)
{
    (void)server;
    (void)config;
    (void)loaded;
    return UHTTP_ERR_UNSUPPORTED;
}

static uhttp_result uh_tls_renew(const uhttp_config *server, const uhttp_tls_config *config,
                                 const void *opened, void **loaded)
{
    (void)opened;
    return uh_tls_load(server, config, loaded);
}

static bool uh_tls_is_renewable(const uhttp_transport *transport, const void *tls)
{
    (void)transport;
    (void)tls;
    return false;
}

static const char *uh_tls_failure(const uhttp_transport *transport, const void *t, char *text,
                                  const char *otherwise)
{
    (void)transport;
    (void)t;
    (void)text;
    return otherwise;
}

static int uh_tls_subject(const uhttp_transport *transport, const void *t, char *buffer,
                          size_t size)
{
    (void)transport;
    (void)t;
    (void)buffer;
    (void)size;
    return UHTTP_ERR_UNSUPPORTED;
}

#endif

/*==============================================================================
 * 07 CONNECTION                     one peer: its slot, its state, its buffers
 *==============================================================================
 * The only section that assigns c->state, and the only one that calls the
 * transport. Later sections decide; this one moves the bytes.
 */

/* What a state lets the connection read, kept if it is behind TRASH: NEXT is between two
 * requests, or what is skipped to get there; AHEAD what comes while a request is answered. */
typedef enum uh_reads {
    UH_READ_NONE, UH_READ_TRASH, UH_READ_NEXT, UH_READ_BODY, UH_READ_AHEAD, UH_READ_FRAME
} uh_reads;

/* The deadlines by their length; each is a list of the connections that have it, in the order
 * in which they are due. SILENT has not spoken yet; TURN has, and waits until fewer shake
 * hands; FIN is a stream that owes nothing to a client that has shut its side; DUE was due
 * before its last turn already; handshakes have a list for each listener. */
typedef enum uh_time {
    UH_TIME_NONE, UH_TIME_IDLE, UH_TIME_LINGER, UH_TIME_SILENT, UH_TIME_REQUEST,
    UH_TIME_RESPONSE, UH_TIME_BODY, UH_TIME_SEND, UH_TIME_FIN, UH_TIME_WEBSOCKET, UH_TIME_DUE,
    UH_TIME_TURN, UH_TIME_HANDSHAKE,
    UH_TIMES = UH_TIME_HANDSHAKE + UHTTP_MAX_LISTENERS
} uh_time;

/* The machine, once: the enum and its columns are made of it here, the table of steps in
 * 13. A step looks at the bytes and the request and says what is next. */
#define UH_STATES(X)                                                                           \
    /* state      step                what is read   deadline           where it may lead */   \
    X(FREE,       uh_step_none,       UH_READ_NONE,  UH_TIME_NONE,                             \
      UH_IN_IDLE)                                                            \
    X(HANDSHAKE,  uh_step_handshake,  UH_READ_NONE,  UH_TIME_HANDSHAKE,                        \
      UH_IN_IDLE | UH_IN_SEND)                                                                 \
    X(IDLE,       uh_step_idle,       UH_READ_NEXT,  UH_TIME_IDLE,                             \
      UH_IN_HANDSHAKE | UH_IN_HEAD | UH_IN_SEND)                                               \
    X(HEAD,       uh_step_head,       UH_READ_NEXT,  UH_TIME_REQUEST,                          \
      UH_IN_IDLE | UH_IN_OFFER | UH_IN_BODY | UH_IN_ANSWER | UH_IN_SEND)                       \
    X(OFFER,      uh_step_of_offer,   UH_READ_BODY,  UH_TIME_RESPONSE,                         \
      UH_IN_BODY | UH_IN_ANSWER | UH_IN_SEND | UH_IN_STREAM)                                   \
    X(BODY,       uh_step_body,       UH_READ_BODY,  UH_TIME_BODY,                             \
      UH_IN_ANSWER | UH_IN_SEND | UH_IN_STREAM)                                                \
    X(ANSWER,     uh_step_none,       UH_READ_AHEAD, UH_TIME_RESPONSE,                         \
      UH_IN_OFFER | UH_IN_SEND | UH_IN_STREAM | UH_IN_WEBSOCKET)                               \
    X(SEND,       uh_step_send,       UH_READ_AHEAD, UH_TIME_SEND,                             \
      UH_IN_IDLE | UH_IN_SKIP | UH_IN_LINGER)                                                  \
    X(STREAM,     uh_step_of_stream,  UH_READ_AHEAD, UH_TIME_SEND,                             \
      UH_IN_SEND)                                                                              \
    X(SKIP,       uh_step_skip,       UH_READ_NEXT,  UH_TIME_BODY,                             \
      UH_IN_IDLE | UH_IN_LINGER)                                                               \
    X(WEBSOCKET,  uh_step_websocket,  UH_READ_FRAME, UH_TIME_WEBSOCKET,                        \
      UH_IN_SEND | UH_IN_GOODBYE)                                                              \
    X(GOODBYE,    uh_step_websocket,  UH_READ_FRAME, UH_TIME_LINGER,                           \
      UH_IN_SEND)                                                                              \
    X(LINGER,     uh_step_linger,     UH_READ_TRASH, UH_TIME_LINGER,                           \
      0)                                                                                       \
    X(CLOSED,     uh_step_none,       UH_READ_NONE,  UH_TIME_NONE,                             \
      UH_IN_FREE)

#define UH_STATE_NAME(name, step, reads, time, leads) UH_##name,
#define UH_STATE_BIT(name, step, reads, time, leads) UH_IN_##name = 1 << UH_##name,
#define UH_STATE_READS(name, step, reads, time, leads) (uint8_t)(reads),
#define UH_STATE_TIME(name, step, reads, time, leads) (uint8_t)(time),
#define UH_STATE_LEADS(name, step, reads, time, leads) (uint16_t)(leads),

typedef enum uh_state { UH_STATES(UH_STATE_NAME) UH_STATE_COUNT } uh_state;
enum { UH_STATES(UH_STATE_BIT) UH_IN_NONE = 0 };

static const uint8_t uh_state_reads[] = { UH_STATES(UH_STATE_READS) };
static const uint8_t uh_state_time[] = { UH_STATES(UH_STATE_TIME) };
static const uint16_t uh_state_leads[] = { UH_STATES(UH_STATE_LEADS) };

/* What a step answers: run me again; only the network, the clock or the program can help;
 * the program must hear something first. */
typedef enum uh_next { UH_MORE, UH_WAIT, UH_EVENT } uh_next;

/* How far a request's body has come. What a getter may hand out follows from this alone. */
typedef enum uh_body_state {
    UH_BODY_COMING,     /* some of it is not decoded yet; zero: what lies unread is unknown */
    UH_BODY_NONE,       /* the request has none */
    UH_BODY_DECODED,    /* all of it is here, but the program was not given it as a whole */
    UH_BODY_GIVEN,      /* collected, ended with NUL, the program's to read */
    UH_BODY_FORM,       /* parsed in place into names and values */
    UH_BODY_GONE        /* all of it was read, but nobody may ask for it any more */
} uh_body_state;

/* Where it goes: the program's choice, which is made once. */
typedef enum uh_sink { UH_SINK_NONE, UH_SINK_COLLECT, UH_SINK_STREAM, UH_SINK_FILE } uh_sink;

/* What has become of the decoded piece of a streamed body. */
typedef enum uh_piece { UH_PIECE_NEW, UH_PIECE_SHOWN, UH_PIECE_TAKEN } uh_piece;

/* Where a response's body comes from, beside tx. A file that the system can send by itself
 * needs no copy. */
typedef enum uh_source_kind {
    UH_SOURCE_STATIC, UH_SOURCE_FILE, UH_SOURCE_SENDFILE
} uh_source_kind;

/* How files take part in moving bytes. 11 brings it when the first one is used, so that
 * nothing below knows files, and a program without them has none of it. */
typedef struct uh_file_calls {
    int (*send)(uhttp_conn *c, size_t *offered);    /* as uh_conn_offer, but from a file */
    void (*close)(uhttp_conn *c);                   /* the source is not needed any more */
    int (*write)(uhttp_conn *c);                    /* what is decoded; 0, or a failed status */
    int (*finish)(uhttp_conn *c, bool keep);        /* the body has ended, well or not */
} uh_file_calls;

/* Parameters of a request, which have names and values and are counted alike. */
typedef enum uh_list {
    UH_LIST_NONE, UH_LIST_HEADERS, UH_LIST_QUERY, UH_LIST_COOKIES, UH_LIST_FORM
} uh_list;

/* What a WebSocket keeps beside the request it was. Of the frame that is arriving, framing.left
 * is what is missing; of its message, body and body_len tell where the decoded bytes are. */
typedef struct uh_ws {
    uint8_t mask[4];            /* of the frame, for its next byte */
    uint8_t type;               /* of the message that is arriving; 0: none */
    uint8_t out;                /* of the one being sent in pieces; 0: none */
    uint8_t utf8, out_utf8;     /* where both stand in a character */
    uint8_t given;              /* of uh_ws_given: what the program looks at */
    bool on : 1;                /* the request has become a WebSocket */
    bool over : 1;              /* its last event is under way, or was */
    bool final : 1;             /* the frame is the last one of its message */
    bool cut : 1;               /* the message's first part was given */
    bool begun : 1;             /* a piece of the one being sent was */
    bool stuck : 1;             /* a ping is read when its pong has room */
    bool pinged : 1;            /* and nothing has come since */
    bool owing : 1;             /* the deadline is that of sending */
} uh_ws;

typedef enum uh_ws_given { UH_WS_NOTHING, UH_WS_FRAME, UH_WS_DATA } uh_ws_given;

/* All that belongs to one request; wiped as a whole. Offsets count from the head's first
 * byte, which stays where it is until the request ends. */
typedef struct uh_request {
    const char *why;            /* text for error */
    uint32_t body, body_len;    /* decoded and not yet dropped, in body or from rx.data on */
    uint32_t composed;          /* bytes of the draft's end that are its body already */
    uint32_t margin;            /* bytes at the end of rx that are not window */
    uint32_t head_len;          /* 0 until the head is whole */
    uint32_t url;               /* the method stands at 0; protocol and fields follow url */
    uint32_t path, query, query_room, host; /* path and host: in the head or in the margin;
                                               query in the head, 0: none */
    uint32_t at;                /* where the head begins in rx */
    union {                     /* of a head in the making, or of a stream */
        uint32_t scanned;       /* bytes already searched for the head's end */
        uint32_t wanted;        /* tx had no room for so much: WRITABLE is owed */
    } span;
    uint32_t cookies, cookies_end;      /* in the margin; 0: not copied there yet */
    uint32_t taken_count, taken_at;     /* parameters the program took in order, and where the
                                           next one is */
    uint32_t began;             /* when the head was whole */
    uint16_t status, error;     /* answered with; what failed, or a WebSocket's close code */
    void *context;
    uint16_t chunk;             /* data of a stream's last chunk while it may grow: it lies at
                                   tx's end, and nothing of it has been offered to the peer */
    uint8_t sink;
    uint8_t piece;
    uint8_t overwritten;        /* the byte where the NUL of a GIVEN body or a FORM stands */
    bool minor;                 /* HTTP/1.1 */
    bool is_head;
    bool expects;               /* 100 Continue is still owed */
    bool dated, typed;          /* the response has the program's Date, its Content-Type */
    bool parts : 1;             /* the stream is multipart: its frames may have fields */
    bool live : 1;              /* it has events, and its client has not shut its side yet */
    bool shut : 1;              /* its client has, behind input for which there is no room */
    uint8_t listed;             /* of uh_list: what taken_count and taken_at are about */
    uh_ws ws;
    bool chunked;               /* from here on what may outlive the request, until its body has
                                   been read */
    uint8_t body_state;
    union {                     /* of the request's body until an answer begins, then of its */
        uint64_t limit;         /* most it may have; while skipping: what may still come */
        uint64_t sent;          /* given to the network */
        struct { uint32_t at, length; } shown;  /* of a WebSocket: the event's data in rx */
    } bytes;
    uhttp_chunked framing;      /* of either kind: left and data count the body; together they
                                   are the length that was announced, if one was */
} uh_request;

/* A place in a ring of deadlines: a list's head, or a slot, of which it is the first member.
 * Alone it is its own neighbour. */
typedef struct uh_link {
    struct uh_link *before, *after;
} uh_link;

/* One client's slot. Its booleans are no states, as each holds in several of them: queued and
 * set_aside say in which lists it is; readable and blocked what its socket said last; fin,
 * keep, told and parting are facts about its end; skipped_blank and starved about its input
 * between two requests. Those of a request are what its head said (chunked, minor, is_head,
 * expects) and what the response in the making has (dated, typed, parts). */
struct uhttp_conn {
    /* What is asked often comes first: small offsets make small code. */
    uh_link link;               /* these are the slot's own, as are those from serial on */
    uhttp_server *server;
    bool queued;                /* in the ready queue; stays true for a slot freed there */
    uint8_t generation;         /* of the clients of this slot, for the program's own loop */

    uint8_t state;              /* from here to serial all is wiped for each client */
    bool keep;                  /* the connection survives this response */
    bool told;                  /* the program owns it: neither finished nor heard the end */
    bool fin;                   /* the peer will send no more */
    bool readable;              /* recv may have something */
    bool blocked;               /* send would not take more */
    uint8_t time;               /* of uh_time: the list it is in; NONE: it has no deadline */
    uint8_t wants;              /* what the transport waits for beside what we do */
    uint8_t pending;            /* what it must hear next; NONE: nothing */
    bool set_aside;             /* in the list of those that owe held output, or are closed */
    uint8_t event;              /* of uhttp_event_type: what the program was last told */
    uint8_t interest;           /* what the poller was told */
    bool parting;               /* closing was the peer's wish: it needs no lingering */
    uint8_t source_kind;        /* of uh_source_kind */
    bool starved;               /* no memory for input */
    bool skipped_blank;         /* one empty line since the last request has been passed over */
    uint8_t quarters;           /* of a second that newcomers waited and it was its turn */
    uint8_t listener;           /* the one it came from */
    uint32_t draft;             /* bytes at the end of tx that wait for their response */
    uh_buf rx, tx;
    void *t;                    /* the transport's state */
    const uhttp_transport *transport;
    uh_socket fd;
    uint32_t since;             /* when its deadline began to run */
    union {
        const uint8_t *data;    /* static bytes */
        void *file;             /* or a file of 11's: see source_kind */
    } source;                   /* what follows tx */
    uh_request request;
    uh_extent source_left;
    uint64_t source_at;         /* of a source that is a file: where it goes on */
    uint32_t progress;          /* bytes since the deadline was renewed; while sending, with
                                   those that the system held at that time */
    uint32_t moved;             /* bytes in these quarters, counted alike; of a handshake: since
                                   when its peer is waited for */
    uint32_t served;            /* requests on this connection */
    uh_peer peer;
    uh_buf body;                /* on the heap only: see the window */

    uint64_t serial;            /* requests of this slot, from 1 */
    uhttp_conn *next;           /* in the ready queue */
    uhttp_conn *aside;          /* see set_aside; of a FREE slot: in the free list */
};

typedef struct uh_listener {
    uh_socket fd;
    uint32_t mark;              /* of the path it was given here, which is removed with it */
    const uhttp_transport *transport;
    void *transport_user;
    uint32_t max_handshakes;    /* no newcomers while so many are under way, of all listeners */
    uint8_t failures;           /* of accept() in a row */
    bool ready;                 /* accept() may have something */
    bool watched;
} uh_listener;

/* Of streams: what they do in a turn, and after it. Where none ever begins, their code is not
 * linked. */
typedef struct uh_stream_calls {
    uh_next (*step)(uhttp_conn *c);
    bool (*settle)(uhttp_conn *c);      /* is it the peer's turn? */
} uh_stream_calls;

struct uhttp_server {
    uh_pool pool;
    bool armed;                 /* next_deadline is valid */
    bool paused;                /* a call failed for want of descriptors or memory */
    bool hidden;                /* a listener is not watched, as nothing could be done */
    bool waiting;               /* newcomers wait there, as the last look has shown */
    bool said;                  /* the log was told of them */
    bool shaken;                /* a handshake has ended: others may wait for that */
    bool trimming;
    bool full;                  /* somebody's input has no room: see uh_server_peek() */
    bool can_wake, woken, stopping;
    bool knocking;              /* a listener may have a newcomer */
    bool rested;                /* a foreign loop has been told that nothing is left to do */
    bool handed;                /* or of sockets that are gone: now they may be closed */
    bool failed;                /* a response to the last event's request could not begin */
    uint32_t now;               /* milliseconds; asked once a turn of the poller */
    uint32_t next_deadline;     /* nothing is due earlier */
    uint32_t listener_count;
    int turns;                  /* left until the network is asked */
    uint32_t leaving;           /* slots that are free once the program's loop knows it */
    uint32_t accept_at;         /* while paused: when it is tried again */
    uint32_t trim_at;
    uhttp_conn *slots;
    uhttp_conn *free_slot;
    uhttp_conn *ready_first, *ready_last;
    uhttp_conn *owing;          /* held output, to be sent before sleeping */
    uhttp_conn *closed;         /* to become FREE */
    uhttp_conn *last;           /* returned by the last wait */
    const uh_file_calls *files; /* NULL until one is used */
    const uh_stream_calls *streams;     /* NULL until there is one */
    /* Keeps the socket of a connection open until the program's own loop, which follows
     * changes, knows that it is gone; false: it never knew it. NULL: nobody follows changes. */
    bool (*keep_socket)(uhttp_conn *c);
    uh_next (*handshake)(uhttp_conn *c);    /* begins one or goes on; NULL: no listener is
                                               secure */
    /* Writes the default headers, or with NULL counts them, but for those among added. */
    size_t (*defaults)(const uhttp_server *s, uhttp_str added, const char *type, char *out);
    char *(*put_keep_alive)(const uhttp_server *s, char *out);  /* NULL: no hint is wanted */
    uh_next (*offer)(uhttp_conn *c);    /* a turn in this state; NULL: not in event mode */
    void (*last_comment)(uhttp_conn *c);    /* see uh_sse_last_comment(); NULL: no events yet */
    uhttp_conn *writer;         /* the stream last written to */
    uint32_t waited;            /* when newcomers were last seen */
    uint32_t looked;            /* when they were last looked for */
    uint32_t thinned;           /* when slow peers were last sought */
    uint32_t peeked;            /* when such peers were last asked about */
    uint32_t quarter;           /* when this quarter of a second began, and how many more */
    uint32_t partings;          /* responses may say close in it */
    uhttp_config config;        /* completed: no zero means default any more */
    uh_network *proxies;        /* config.trusted_proxies, read */
    uint32_t proxy_count;
    uint32_t times[UH_TIMES];   /* milliseconds of each deadline */
    uh_link lists[UH_TIMES];    /* and who has it; that of UH_TIME_NONE is not used */
    uint32_t counts[UH_STATE_COUNT];
    uhttp_stats stats;
    uh_listener listeners[UHTTP_MAX_LISTENERS];
    uh_wake wake;
    uint32_t date_at;           /* now, when date was last compared with the clock */
    int64_t date_seconds;
    char date[37];              /* "Date: ...\r\n" */
    void *memory;               /* to be freed at close; NULL: the program's */
    uint32_t gauged;            /* when what readers have taken was last asked */
    uh_poller poller;
};

static uint32_t uh_conn_slot(const uhttp_conn *c) { return (uint32_t)(c - c->server->slots); }

/* Tokens of the poller: few first, as it looks at them in order. */
enum { UH_TOKEN_LISTENER = 0, UH_TOKEN_WAKE = UHTTP_MAX_LISTENERS, UH_TOKEN_SLOT };

static bool uh_conn_is_secure(const uhttp_conn *c) { return c->transport != &uh_plain; }

UH_APART static bool uh_conn_watch(uhttp_conn *c, unsigned interest)
{
    uint32_t token = UH_TOKEN_SLOT + uh_conn_slot(c);
    return uh_poller_watch(&c->server->poller, c->fd, token, interest);
}

static uint32_t uh_min(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* True when a is before b on a clock that wraps. */
static bool uh_time_before(uint32_t a, uint32_t b) { return (int32_t)(a - b) < 0; }

/* Appends as much of a text as there is room for, with nothing that a terminal obeys. */
static char *uh_log_put(char *out, const char *end, uhttp_str text)
{
    for (size_t i = 0; i < text.len && out < end; i++)
        *out++ = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
    return out;
}

/* Tells the log why, about what (ptr NULL: no more than that) and about whom (NULL: nobody). */
static void uh_log_about(const uhttp_config *config, const uhttp_conn *c, int status,
                         const char *why, uhttp_str what)
{
#if UH_LOG
    char line[288];
    char *p = line;
    if (config->log == NULL || why == NULL)
        return;
    if (status > 0) {
        p = uh_text_put_decimal(p, (unsigned)status);
        *p++ = ' ';
    }
    p = uh_text_put(p, why, strlen(why) < 100 ? strlen(why) : 100);
    if (what.ptr != NULL)
        p = uh_log_put(uh_text_put(p, ": ", 2), p + 102, what);
    if (c != NULL && c->peer.family != 0) {
        p = uh_text_put(p, ", from ", 7);
        p += uh_peer_format(&c->peer, p, 48);
    }
    *p = '\0';
    config->log(config->user, line);
#else
    (void)config;
    (void)c;
    (void)status;
    (void)why;
    (void)what;
#endif
}

static void uh_server_log(uhttp_server *s, const uhttp_conn *c, int status, const char *why)
{
    const uhttp_str nothing = { NULL, 0 };
    uh_log_about(&s->config, c, status, why, nothing);
}

UH_APART static void uh_conn_log(const uhttp_conn *c, const char *why)
{
    uh_server_log(c->server, c, 0, why);
}

/*--- queues ---------------------------------------------------------------------*/

static void uh_ready_push(uhttp_conn *c)
{
    uhttp_server *s = c->server;
    if (c->queued)
        return;
    c->queued = true;
    c->next = NULL;
    if (s->ready_first == NULL)
        s->ready_first = c;
    else
        s->ready_last->next = c;
    s->ready_last = c;
}

static uhttp_conn *uh_ready_pop(uhttp_server *s)
{
    uhttp_conn *c = s->ready_first;
    if (c != NULL) {
        s->ready_first = c->next;
        c->queued = false;
    }
    return c;
}

static void uh_conn_set_aside(uhttp_conn **list, uhttp_conn *c)
{
    if (c->set_aside)
        return;
    c->set_aside = true;
    c->aside = *list;
    *list = c;
}

static uhttp_conn *uh_aside_pop(uhttp_conn **list)
{
    uhttp_conn *c = *list;
    if (c != NULL) {
        *list = c->aside;
        c->set_aside = false;
    }
    return c;
}

/*--- deadlines ------------------------------------------------------------------
 *
 * A list for each length of time, in the order in which they began to run: arming appends at
 * the end, so the first is the next that is due, and the one that has waited longest.
 */

static void uh_link_to_itself(uh_link *l) { l->before = l->after = l; }

/* Takes it out of its list, if it is in one. */
static void uh_conn_disarm(uhttp_conn *c)
{
    uh_link *l = &c->link;
    if (UH_WIDE && c->time == UH_TIME_NONE)
        return;
    l->before->after = l->after;
    l->after->before = l->before;
    uh_link_to_itself(l);
    c->time = UH_TIME_NONE;
}

/* When its deadline passes. */
static uint32_t uh_conn_due(const uhttp_conn *c)
{
    return c->since + uh_min(c->server->times[c->time], UH_SIZE_MAX);
}

/* Notes when one of a list is due, or is to be looked at: see uh_server_gauge(). Later than the
 * earliest known costs no more than this; who looks too early finds the next. */
static void uh_conn_note_due(const uhttp_conn *c)
{
    uhttp_server *s = c->server;
    uint32_t due = uh_conn_due(c);
    uint32_t look = s->now + s->times[UH_TIME_SEND] / 4;
    if (UH_TELLS_UNSENT && c->time == UH_TIME_SEND && uh_time_before(look, due))
        due = look;
    if (s->times[c->time] == UHTTP_NEVER ||
        (s->armed && !uh_time_before(due, s->next_deadline)))
        return;
    s->armed = true;
    s->next_deadline = due;
}

/* Moves it to the end of a list. */
static void uh_conn_join(uhttp_conn *c, uint32_t list)
{
    uh_link *l = &c->link;
    uh_link *head = &c->server->lists[list];
    uh_conn_disarm(c);
    c->time = (uint8_t)list;
    l->before = head->before;
    l->after = head;
    head->before->after = l;
    head->before = l;
    uh_conn_note_due(c);
}

static bool uh_conn_owes(const uhttp_conn *c)
{
    return uh_buf_used(&c->tx) > c->draft || c->source_left > 0;
}

/* Bytes that the system has taken of what is owed, but still holds: its buffer takes megabytes
 * for a peer that reads nothing, and that is no progress. */
static uint32_t uh_conn_held(const uhttp_conn *c)
{
    bool sends = c->state == UH_SEND || c->state == UH_STREAM ||
                 (UH_WS && c->request.ws.owing);
    return UH_TELLS_UNSENT && sends && uh_conn_owes(c) ? uh_sys_unsent(c->fd) : 0;
}

/* Lets the deadline of its state run, from now on. */
static void uh_conn_arm(uhttp_conn *c)
{
    uint32_t list = uh_state_time[c->state];
    if (list == UH_TIME_IDLE && c->served == 0)
        list = UH_TIME_SILENT;
    if (UH_WS && (c->state == UH_WEBSOCKET || c->state == UH_GOODBYE) && c->request.ws.owing)
        list = UH_TIME_SEND;
    if (list == UH_TIME_HANDSHAKE)
        list += c->listener;
    if (UH_WIDE && list == UH_TIME_RESPONSE && c->server->times[list] == UHTTP_NEVER)
        list = UH_TIME_NONE;        /* the program has all the time: nobody looks there */
    c->since = c->server->now;
    if (list != UH_TIME_NONE)
        uh_conn_join(c, list);
    c->progress = uh_conn_held(c);
}

/* Has the deadline of its list passed? */
static bool uh_conn_is_due(const uhttp_conn *c)
{
    uint32_t time = c->server->times[c->time];
    return time != UHTTP_NEVER && !uh_time_before(c->server->now, uh_conn_due(c));
}

/* A byte now and then renews nothing; a kilobyte does, and so does the last of all. */
static void uh_conn_made_progress(uhttp_conn *c, uint32_t bytes, bool all)
{
    c->progress += bytes;
    c->moved += bytes;
    if (c->time != UH_TIME_NONE &&
        (all || (c->progress >= UH_PROGRESS && c->progress - UH_PROGRESS >= uh_conn_held(c))))
        uh_conn_arm(c);
}

/*--- states -----------------------------------------------------------------------*/

/* The source is used up, or nobody wants it any more. How much was left stays known. */
static void uh_source_end(uhttp_conn *c)
{
    if (UH_FILES && c->source_kind != UH_SOURCE_STATIC)
        (c->server->files->close)(c);
}

/* A body on its way into a file has ended. Returns 0, or the status of what failed. */
static int uh_sink_finish(uhttp_conn *c, bool keep)
{
    if (!UH_FILES || c->request.sink != UH_SINK_FILE)
        return 0;
    c->request.sink = UH_SINK_NONE;
    return (c->server->files->finish)(c, keep);
}

static void uh_conn_hang_up(uhttp_conn *c)
{
    const uhttp_server *s = c->server;
    uh_source_end(c);
    (void)uh_sink_finish(c, false);
    if (c->t != NULL)
        (c->transport->close)(c->t, false);
    c->t = NULL;
    c->interest = 0;
    if (c->fd != UH_NO_SOCKET) {
        uh_conn_watch(c, 0);
        if (s->keep_socket == NULL || !(s->keep_socket)(c))
            uh_sys_close(c->fd);
    }
    c->fd = UH_NO_SOCKET;
}

UH_SELDOM static void uh_conn_close(uhttp_conn *c)
{
    uh_conn_hang_up(c);
    if (!c->told)
        uh_conn_set_aside(&c->server->closed, c);
}

/* The single transition: does what belongs to arriving. Its deadline runs from the end of the
 * turn, which follows. */
static void uh_conn_enter(uhttp_conn *c, uh_state state)
{
    uhttp_server *s = c->server;
    UHTTP_ASSERT((uh_state_leads[c->state] & 1u << state) != 0 || state == UH_CLOSED);
    s->counts[c->state]--;
    s->counts[state]++;
    if (c->state == UH_HANDSHAKE)
        s->shaken = true;
    c->state = (uint8_t)state;
    c->quarters = 0;
    uh_conn_disarm(c);
    if (state == UH_LINGER && c->t != NULL) {
        UHTTP_ASSERT(!uh_conn_owes(c));
        (c->transport->close)(c->t, true);
    } else if (state == UH_CLOSED) {
        uh_conn_close(c);
    }
}

/* The program must hear this. */
UH_APART static uh_next uh_conn_post(uhttp_conn *c, uhttp_event_type event)
{
    UHTTP_ASSERT(c->pending == UHTTP_EVENT_NONE);
    c->pending = (uint8_t)event;
    uh_ready_push(c);
    return UH_EVENT;
}

/* The request is complete, or has failed: it is the program's turn. */
static uh_next uh_conn_deliver(uhttp_conn *c, uhttp_event_type event)
{
    uh_conn_enter(c, UH_ANSWER);
    return uh_conn_post(c, event);
}

static bool uh_conn_is_ws(const uhttp_conn *c) { return UH_WS && c->request.ws.on; }

/* The program has finished with this request, or has been told that it is over. */
static void uh_conn_let_go(uhttp_conn *c)
{
    c->told = false;
    c->pending = UHTTP_EVENT_NONE;
    if (c->state == UH_CLOSED)
        uh_conn_set_aside(&c->server->closed, c);
}

/* A result on its way to the program: hearing CLOSED is the end of its ownership, but of a
 * WebSocket, which ends with its last event alone. */
static uhttp_result uh_conn_tell(uhttp_conn *c, uhttp_result result)
{
    if (result == UHTTP_ERR_CLOSED && !uh_conn_is_ws(c))
        uh_conn_let_go(c);
    return result;
}

/* The connection of a WebSocket is gone: unless its close handshake came first, that is what
 * its last event tells (RFC 6455 section 7.1.5). */
static void uh_ws_lost(uhttp_conn *c)
{
    uh_request *r = &c->request;
    if (r->ws.over)
        return;
    r->error = 1006;
    c->pending = UHTTP_EVENT_NONE;
    (void)uh_conn_post(c, UHTTP_EVENT_WS_CLOSE);
}

/* The way out. What the program holds stays readable; it hears CLOSED, or learns from its next
 * call. A transport that has not failed, and can say goodbye, does; but a response that is cut
 * short must not look whole, which a clean end would make it to HTTP/1.0. */
static void uh_conn_end(uhttp_conn *c, bool failed)
{
    uhttp_server *s = c->server;
    if (c->state == UH_CLOSED)
        return;
    if (c->state == UH_STREAM || uh_conn_owes(c)) {
        if (!c->request.minor)
            uh_sys_reset_on_close(c->fd);
    } else if (!failed && uh_conn_is_secure(c) && c->t != NULL && c->state > UH_HANDSHAKE &&
               c->state < UH_LINGER) {
        (c->transport->close)(c->t, true);
    }
    uh_conn_enter(c, UH_CLOSED);
    if (c->told && uh_conn_is_ws(c)) {
        uh_ws_lost(c);
        return;
    }
    c->pending = UHTTP_EVENT_NONE;      /* a request it has not heard of just goes */
    if (!c->told)
        return;
    if (s->config.event_mode)
        (void)uh_conn_post(c, UHTTP_EVENT_CLOSED);
    else
        uh_conn_log(c, UH_WHY("gone while the program holds its request"));
}

UH_APART static void uh_conn_lose(uhttp_conn *c) { uh_conn_end(c, true); }     /* it failed */
static void uh_conn_drop(uhttp_conn *c) { uh_conn_end(c, false); }     /* deadline, or wish */

/*--- newcomers and who gives way to them ---------------------------------------------*/

/* Its turn has come, or its request is with the program: it cannot give way. */
static bool uh_conn_is_busy(const uhttp_conn *c)
{
    return c->told || c->queued || c->set_aside;
}

/* Who gives way to a newcomer: the one idle longest of those kept alive, else of those that
 * only wait to be closed, else of those that have not spoken; all after a time of grace.
 *
 *   only_tls  one whose end gives back what its transport took */
static uhttp_conn *uh_server_victim(uhttp_server *s, bool only_tls)
{
    static const uint16_t grace[] = { UH_GRACE_MS, UH_QUARTER_MS, UH_GRACE_MS };
    for (uint32_t list = UH_TIME_IDLE; list <= UH_TIME_SILENT; list++) {
        for (uh_link *l = s->lists[list].after; l != &s->lists[list]; l = l->after) {
            uhttp_conn *c = (uhttp_conn *)(void *)l;
            if (s->now - c->since < grace[list - UH_TIME_IDLE])
                break;
            if (uh_conn_is_busy(c) || (only_tls && (c->t == NULL || !uh_conn_is_secure(c))))
                continue;
            return c;
        }
    }
    return NULL;
}

/* Lets one give way, if somebody can. A request that is there already is served instead. */
static bool uh_server_evict(uhttp_server *s, bool only_tls)
{
    uhttp_conn *c;
    while ((c = uh_server_victim(s, only_tls)) != NULL) {
        if (c->time != UH_TIME_LINGER && uh_sys_is_readable(c->fd)) {
            c->readable = true;
            uh_ready_push(c);
            continue;
        }
        s->stats.evicted++;
        uh_conn_drop(c);
        return true;
    }
    return false;
}

/* While newcomers wait, some responses say close, so that all who are busy take turns. Is this
 * one of them? Not if more of its client's requests are here already, nor before the TLS
 * handshake of one that got its place in this way is done. */
static bool uh_conn_takes_its_leave(uhttp_conn *c)
{
    uhttp_server *s = c->server;
    if (!s->waiting || !c->keep || uh_buf_used(&c->rx) > 0 || s->counts[UH_HANDSHAKE] > 0)
        return false;
    if (s->now - s->quarter >= UH_QUARTER_MS) {
        s->quarter = s->now;
        s->partings = (s->config.max_connections + 7) / 8;
    }
    if (s->partings == 0)
        return false;
    s->partings--;
    return true;
}

/* May the program call this in these states? Names the failure; nothing was touched. Also
 * refreshes the clock: the program may come back after a long time. */
static uhttp_result uh_conn_may(uhttp_conn *c, unsigned states)
{
    if (c == NULL)
        return UHTTP_ERR_INVALID;
    c->server->now = UHTTP_MILLIS();
    if (!c->told)
        return c->state == UH_CLOSED ? UHTTP_ERR_CLOSED : UHTTP_ERR_STATE;
    if ((states & 1u << c->state) != 0)
        return UHTTP_OK;
    if (c->state == UH_CLOSED || c->state == UH_SEND || c->state == UH_LINGER)
        return uh_conn_tell(c, UHTTP_ERR_CLOSED);   /* gone, or refused for the program */
    return UHTTP_ERR_STATE;
}

/*--- the window: where a body arrives -----------------------------------------------
 *
 *   rx    [ head | decoded | raw ... room | margin ]     until a body outgrows it, then
 *   body         [ decoded | raw ... room ]              on the heap
 *
 * Raw bytes lie from buffer's head to its tail, decoded ones before them.
 */

UH_APART static uh_buf *uh_window_of_heap(uhttp_conn *c)
{
    return c->body.data != NULL ? &c->body : &c->rx;
}

static uh_buf *uh_window(uhttp_conn *c) { return UH_HEAP ? uh_window_of_heap(c) : &c->rx; }

/* The window is rx again. */
static void uh_window_release(uhttp_conn *c)
{
    if (uh_window(c) == &c->body)
        uh_buf_release(&c->server->pool, &c->body);
}

/* Room in rx before its margin. */
static uint32_t uh_conn_rx_room(const uhttp_conn *c)
{
    uint32_t end = c->rx.size - c->request.margin;
    return c->rx.tail < end ? end - c->rx.tail : 0;
}

/* Room behind the raw bytes; one byte more is there for a NUL. */
static uint32_t uh_window_room(uhttp_conn *c)
{
    if (uh_window(c) == &c->rx)
        return uh_conn_rx_room(c);
    return uh_buf_room(&c->body) > 0 ? uh_buf_room(&c->body) - 1 : 0;
}

/* Takes what has come of a body out of its framing, to a place that is not behind its own
 * (NULL: it stays where it is); *made: how much. UHTTP_OK: it is whole; AGAIN, INVALID. */
static uhttp_result uh_body_decode(uh_request *r, uh_buf *from, uint8_t *to, size_t *made)
{
    size_t in = uh_buf_used(from);
    *made = 0;
    if (in == 0)
        return r->chunked || r->framing.left > 0 ? UHTTP_ERR_AGAIN : UHTTP_OK;
    uhttp_result result = UHTTP_ERR_AGAIN;
    uint8_t *raw = from->data + from->head;
    if (to == NULL)
        to = raw;
    if (r->chunked) {
        *made = in;
        result = uhttp_chunked_decode(&r->framing, (const char *)raw, &in, (char *)to, made);
    } else {
        in = in < r->framing.left ? in : (size_t)r->framing.left;
        if (to != raw)
            memmove(to, raw, in);
        *made = in;
        r->framing.left -= in;
        r->framing.data += in;
        if (r->framing.left == 0)
            result = UHTTP_OK;
    }
    from->head += (uint32_t)in;
    return result;
}

/* What came behind the end of a body in its own block is the next request's, and goes to rx. */
static void uh_window_give_back(uhttp_conn *c)
{
    uint32_t rest = uh_buf_used(&c->body);
    if (rest > 0)
        memcpy(c->rx.data + c->rx.tail, c->body.data + c->body.head, rest);
    c->rx.tail += rest;
    c->body.tail = c->body.head;
}

static bool uh_body_is_whole(const uh_request *r) { return r->body_state != UH_BODY_COMING; }

/* Turns raw bytes into decoded ones. UHTTP_OK: the body is whole; AGAIN, INVALID. */
static uhttp_result uh_window_decode(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uh_buf *w = uh_window(c);
    size_t made;
    if (uh_body_is_whole(r))
        return UHTTP_OK;
    uhttp_result result = uh_body_decode(r, w, w->data + r->body + r->body_len, &made);
    r->body_len += (uint32_t)made;
    if (made > 0)
        r->piece = UH_PIECE_NEW;
    if (result == UHTTP_OK)
        r->body_state = UH_BODY_DECODED;
    if (w->head == w->tail)         /* what the framing took is room again */
        w->head = w->tail = r->body + r->body_len;
    else if (result == UHTTP_OK && w == &c->body)
        uh_window_give_back(c);
    return result;
}

/* Drops what is decoded and slides the raw bytes to its place. */
static void uh_window_drop(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uh_buf *w = uh_window(c);
    uint32_t raw = uh_buf_used(w);
    r->body_len = 0;
    if (uh_body_is_whole(r))
        return;
    memmove(w->data + r->body, w->data + w->head, raw);
    w->head = r->body;
    w->tail = r->body + raw;
}

/* Moves the window from rx to a block of its own with room for more bytes, or makes that
 * larger; false: no memory, or the limit is reached. */
static bool uh_window_grow(uhttp_conn *c, uint32_t limit, uint32_t more)
{
    uh_request *r = &c->request;
    uh_pool *m = &c->server->pool;
    if (uh_pool_is_fixed(m))
        return false;
    c->body.limit = limit;
    if (c->body.data != NULL) {
        uint32_t head = c->body.head;
        c->body.head = 0;           /* what is decoded is kept as well */
        bool grown = uh_buf_reserve(m, &c->body, more);
        c->body.head = head;
        return grown;
    }
    uint32_t used = c->rx.tail - r->body;
    if (more > UH_SIZE_MAX - used || !uh_buf_reserve(m, &c->body, used + more))
        return false;
    memcpy(c->body.data, c->rx.data + r->body, used);
    c->body.head = c->rx.head - r->body;
    c->body.tail = used;
    c->rx.head = c->rx.tail = r->body;
    r->body = 0;
    return true;
}

/* How much may be read that belongs to another request, when so much of it is here. In fixed
 * memory half a buffer: the copies its head needs must find room beside what came with it. */
UH_APART static uint32_t uh_conn_read_ahead(const uhttp_conn *c, uint32_t here)
{
    if (!uh_pool_is_fixed(&c->server->pool))
        return UH_SIZE_MAX;
    return here < c->rx.size / 2 ? c->rx.size / 2 - here : 0;
}

/* Most that may be read into a window: the body's certain end, and behind it what rx can take
 * back from body, or may hold of the next request. */
static uint32_t uh_window_bound(uhttp_conn *c)
{
    const uh_buf *w = uh_window(c);
    const uh_request *r = &c->request;
    uint64_t certain = r->chunked ? uh_chunk_certain(&r->framing) : r->framing.left;
    uint32_t bound = certain < UH_SIZE_MAX ? (uint32_t)certain : UH_SIZE_MAX;
    if (w == &c->rx)
        bound += uh_conn_read_ahead(c, 0);
    else if (r->chunked)
        bound += uh_conn_rx_room(c);
    return bound - uh_min(bound, uh_buf_used(w));
}

/* Makes room behind what has come of frames; how much. rx holds
 *
 *   [ decoded bytes of a message | at least one byte, for a NUL | raw bytes ... room ]
 *
 * It grows as a message comes, by as much as its frame announces but at most a block. */
static uint32_t uh_ws_make_room(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uh_buf *rx = &c->rx;
    uint32_t keep = r->ws.type != 0 ? r->body_len + 1 : 0;
    uint32_t raw = uh_buf_used(rx);
    const uh_pool *m = &c->server->pool;
    uint32_t limit = uh_pool_is_fixed(m) ? m->block_size : rx->limit;
    uint32_t most = limit > keep + raw ? limit - keep - raw : 0;
    uint32_t want = r->framing.left < UH_STREAM_BLOCK ? (uint32_t)r->framing.left
                                                      : UH_STREAM_BLOCK;
    want = uh_min(want > UH_WS_CONTROL ? want : UH_WS_CONTROL, most);
    if (raw == 0)
        rx->head = rx->tail = (keep > 0 ? r->body : 0) + keep;
    if (rx->data != NULL && uh_buf_room(rx) < want && (rx->head > keep || r->body > 0)) {
        memmove(rx->data, rx->data + r->body, r->body_len);
        memmove(rx->data + keep, rx->data + rx->head, raw);
        r->body = 0;
        rx->head = keep;
        rx->tail = keep + raw;
    }
    if (rx->data == NULL || (uh_buf_room(rx) < want && keep + raw >= rx->size / 2)) {
        uint32_t head = rx->head;
        rx->head = 0;               /* what is decoded is kept as well */
        (void)uh_buf_reserve(&c->server->pool, rx, rx->data != NULL ? want : 1);
        rx->head = head;
        c->starved = uh_buf_room(rx) == 0;
    }
    return uh_buf_room(rx);
}

/*--- moving bytes -------------------------------------------------------------------*/

/* Of rx, what stays free until the head ends, for the margin. */
static uint32_t uh_conn_spare(const uhttp_conn *c)
{
    return c->state == UH_SKIP ? 0 : c->rx.size / 8;
}

/* Makes room in rx between requests; how much may be read. */
static uint32_t uh_conn_make_room(uhttp_conn *c)
{
    uh_buf *rx = &c->rx;
    if (rx->head == rx->tail)
        rx->head = rx->tail = 0;
    if (uh_buf_room(rx) <= uh_conn_spare(c))
        c->starved = !uh_buf_reserve(&c->server->pool, rx, (size_t)uh_conn_spare(c) + 1);
    uint32_t room = uh_buf_room(rx) - uh_min(uh_buf_room(rx), uh_conn_spare(c));
    uint32_t ahead = uh_conn_read_ahead(c, uh_buf_used(rx));
    return uh_min(room, ahead > UH_WINDOW_MIN ? ahead : UH_WINDOW_MIN);
}

/* How much may be read, and *to where; NULL: it is thrown away. Between two requests, and in a
 * WebSocket, that is UH_SIZE_MAX: room is made when it is needed. */
static uint32_t uh_conn_room(uhttp_conn *c, uh_buf **to)
{
    unsigned reads = uh_state_reads[c->state];
    *to = NULL;
    if (reads == UH_READ_NONE || c->t == NULL)
        return 0;
    if (reads == UH_READ_NEXT) {
        *to = &c->rx;
        return UH_SIZE_MAX;
    }
    if (reads == UH_READ_TRASH)     /* one that sends on for ever is left to its full window */
        return !UH_ROOMY || c->progress < UH_LINGER_MOST ? UH_SIZE_MAX : 0;
    if (c->state == UH_STREAM && !c->keep)
        return UH_SIZE_MAX;
    if (reads == UH_READ_BODY && !uh_body_is_whole(&c->request)) {
        *to = uh_window(c);
        return uh_min(uh_window_room(c), uh_window_bound(c));
    }
    *to = &c->rx;
    if (UH_WS && reads == UH_READ_FRAME)
        return c->request.ws.stuck ? 0 : UH_SIZE_MAX;
    return uh_min(uh_conn_rx_room(c), uh_conn_read_ahead(c, uh_buf_used(&c->rx)));
}

#define UH_REST 4u              /* among wishes: for time to pass */

UH_STATIC_ASSERT(-UHTTP_WANT_READ == UH_READ && -UHTTP_WANT_WRITE == UH_WRITE &&
                 (-UHTTP_FULL & UH_REST) != 0, wishes);

/* The system has no memory or descriptors: what failed for want of them is tried again. */
UH_APART static void uh_server_rest(uhttp_server *s)
{
    if (s->paused)
        return;
    s->paused = true;
    s->accept_at = s->now + UH_BACKOFF_MS;
}

/* Notes what a transport said it waits for; false: that is no wish. */
static bool uh_conn_wants(uhttp_conn *c, int n)
{
    bool is_wish = n == UHTTP_WANT_READ || n == UHTTP_WANT_WRITE || n == UHTTP_FULL;
    if (is_wish)
        c->wants |= (uint8_t)-n;
    if (n == UHTTP_FULL)
        uh_server_rest(c->server);
    return is_wish;
}

/* The peer of a WebSocket has said something: it is there. */
static void uh_ws_alive(uhttp_conn *c)
{
    c->request.ws.pinged = false;
    if (!c->request.ws.owing)
        uh_conn_arm(c);
}

/* Asks the transport once for as much as there is room for. A short read means that the
 * socket is empty: it is not asked again before the poller reports it. True: bytes came. */
static bool uh_conn_pull(uhttp_conn *c)
{
    uint8_t trash[UH_ROOMY ? 16384 : 256];
    uh_buf *to;
    uint32_t room = uh_conn_room(c, &to);
    if (to == NULL)
        room = uh_min(room, sizeof trash);
    else if (room == UH_SIZE_MAX)
        room = uh_conn_is_ws(c) ? uh_ws_make_room(c) : uh_conn_make_room(c);
    if (room == 0)
        return false;
    int n = (c->transport->recv)(c->t, to != NULL ? to->data + to->tail : trash, room);
    if (n > 0 && (uint32_t)n > room)
        n = UHTTP_FAILED;           /* the program's transport has lost count */
    c->readable = false;
    if (n > 0) {
        c->server->stats.bytes_in += (unsigned)n;
        c->readable = (uint32_t)n == room || (c->transport->pending)(c->t) > 0;
        if (to != NULL)
            to->tail += (uint32_t)n;
        if (c->state == UH_BODY || c->state == UH_SKIP)
            uh_conn_made_progress(c, (uint32_t)n, false);
        else if (UH_ROOMY && c->state == UH_LINGER)
            c->progress += (uint32_t)n;
        else if (UH_WS && c->state == UH_WEBSOCKET)
            uh_ws_alive(c);
    } else if (n == 0) {
        c->fin = true;
    } else if (!uh_conn_wants(c, n)) {
        uh_conn_lose(c);
    }
    return n > 0;
}

/* So much of the source has been sent, or read into tx. */
static void uh_source_advance(uhttp_conn *c, uint32_t bytes)
{
    c->source_left -= bytes;
    if (!UH_FILES || c->source_kind == UH_SOURCE_STATIC)
        c->source.data += bytes;
    else
        c->source_at += bytes;
}

/* Offers tx and the static bytes behind it to the transport once. */
static int uh_conn_offer(uhttp_conn *c, size_t *offered)
{
    uhttp_str parts[2];
    int count = 0;
    uint32_t owed = uh_buf_used(&c->tx) - c->draft;
    *offered = owed;
    if (owed > 0) {
        parts[count].ptr = (const char *)c->tx.data + c->tx.head;
        parts[count++].len = owed;
    }
    if (c->source_left > 0 && c->source_kind == UH_SOURCE_STATIC) {
        const uint32_t most = UH_SIZE_MAX / 2;
        parts[count].ptr = (const char *)c->source.data;
        parts[count].len = c->source_left < most ? (size_t)c->source_left : most;
        *offered += parts[count++].len;
    }
    c->request.chunk = 0;           /* TLS must be offered the same bytes again */
    return (c->transport->send)(c->t, parts, count);
}

/* Sends what is owed; true when some of it went. */
UH_SELDOM static bool uh_conn_send(uhttp_conn *c)
{
    size_t offered;
    int n = UH_FILES && c->source_kind != UH_SOURCE_STATIC && c->source_left > 0
                ? (c->server->files->send)(c, &offered)
                : uh_conn_offer(c, &offered);
    if (n > 0 && (size_t)n > offered)
        n = UHTTP_FAILED;           /* the program's transport has lost count */
    if (n <= 0) {
        c->blocked = uh_conn_wants(c, n);
        if (!c->blocked)
            uh_conn_lose(c);
        return false;
    }
    uint32_t sent = (uint32_t)n;
    uint32_t owed = uh_buf_used(&c->tx) - c->draft;
    c->tx.head += uh_min(sent, owed);
    if (sent > owed)
        uh_source_advance(c, sent - owed);
    if (c->source_left == 0)
        uh_source_end(c);
    c->server->stats.bytes_out += sent;
    c->blocked = sent < offered;
    if (c->blocked)
        c->wants |= UH_WRITE;
    if (c->state == UH_SEND || c->state == UH_STREAM ||
        (UH_WS && (c->state == UH_GOODBYE || c->request.ws.owing)))
        uh_conn_made_progress(c, sent, !uh_conn_owes(c));
    return true;
}

/* Does so once, if something is owed and may go. */
static bool uh_conn_flush(uhttp_conn *c)
{
    return !c->blocked && c->t != NULL && uh_conn_owes(c) && uh_conn_send(c);
}

/* The program writes to another stream: a broadcast needs one block, not one a listener. */
static void uh_conn_unload(uhttp_conn *c)
{
    uh_conn_flush(c);
    if (uh_buf_used(&c->tx) == 0)
        uh_buf_release(&c->server->pool, &c->tx);
}

/* Logs why a peer is given up. Whose handshake has failed may have been kept, to hear why. */
static void uh_conn_log_loss(const uhttp_conn *c, const char *why)
{
    char text[UH_LOG ? 160 : 1];
    if (UH_LOG && c->state == UH_HANDSHAKE)
        why = uh_tls_failure(c->transport, c->t, text, why);
    uh_conn_log(c, why);
}

/* Agrees on keys as far as it goes without waiting. 0: done; UHTTP_PLAIN: it will not be. */
static int uh_conn_shake(uhttp_conn *c)
{
    int n = (c->transport->handshake)(c->t);
    c->readable = n == 0;
    c->moved = UHTTP_MILLIS();      /* computing may have taken long: after two such steps */
    c->server->turns -= UH_TURNS / 2;   /* the network is asked again */
    if (n != 0 && n != UHTTP_PLAIN && !uh_conn_wants(c, n)) {
        uh_conn_log_loss(c, UH_WHY("handshake failed"));
        uh_conn_lose(c);
    }
    return n;
}

UH_APART static bool uh_conn_can_read(uhttp_conn *c)
{
    uh_buf *to;
    return uh_conn_room(c, &to) > 0 && !c->fin;
}

/* Will its peer send no more, as far as is known? */
UH_APART static bool uh_conn_is_shut(const uhttp_conn *c) { return c->fin || c->request.shut; }

/* Has its input no room, so that its end is not read? */
static bool uh_conn_is_full(uhttp_conn *c)
{
    return uh_state_reads[c->state] > UH_READ_TRASH && !c->fin && !uh_conn_can_read(c);
}

/* Such a socket is not watched either, so the system is asked now and then. */
static void uh_conn_peek(uhttp_conn *c)
{
    uh_leaving leaving = uh_sys_leaving(c->fd);
    if (leaving == UH_GONE) {
        uh_conn_lose(c);
    } else if (leaving == UH_SHUT && !c->request.shut) {
        c->request.shut = true;
        uh_ready_push(c);
    }
}

static void uh_server_peek(uhttp_server *s)
{
    if (!s->full || s->now - s->peeked < UH_PEEK_MS)
        return;
    s->peeked = s->now;
    s->full = false;
    for (uint32_t i = 0; i < s->config.max_connections; i++) {
        uhttp_conn *c = &s->slots[i];
        if (!uh_conn_is_full(c))
            continue;
        s->full = true;
        uh_conn_peek(c);
    }
}

/* Will a file go on through tx? Its block is kept then, and no memory can be missing midway. */
static bool uh_source_needs_tx(const uhttp_conn *c)
{
    return UH_FILES && c->source_kind == UH_SOURCE_FILE && c->source_left > 0;
}

/* An idle WebSocket holds no buffer; whether the peer owes us reading or a sign of life decides
 * its deadline. */
static void uh_ws_settle(uhttp_conn *c)
{
    uh_ws *ws = &c->request.ws;
    if (uh_buf_used(&c->rx) == 0 && ws->type == 0 && c->pending == UHTTP_EVENT_NONE)
        uh_buf_release(&c->server->pool, &c->rx);
    if (ws->owing == uh_conn_owes(c))
        return;
    ws->owing = !ws->owing;
    uh_conn_arm(c);
}

/* After a turn: gives back what is not needed, keeps the deadline to the peer's share of
 * time, tells the poller what has changed, and comes again if there is more to do. */
static void uh_conn_settle(uhttp_conn *c)
{
    uhttp_server *s = c->server;
    if (c->state == UH_CLOSED || c->state == UH_FREE)
        return;
    if (uh_buf_used(&c->tx) == 0 && !uh_source_needs_tx(c))
        uh_buf_release(&s->pool, &c->tx);
    if (c->state == UH_IDLE && uh_buf_used(&c->rx) == 0)
        uh_buf_release(&s->pool, &c->rx);
    if (UH_WS && (c->state == UH_WEBSOCKET || c->state == UH_GOODBYE))
        uh_ws_settle(c);
    bool can_read = uh_conn_can_read(c);
    unsigned interest = (c->wants & UH_REST) != 0 ? 0u : c->wants | (can_read ? UH_READ : 0u);
    bool peers_turn = true;
    if (UH_TELLS_LEAVING && !can_read && !s->full && uh_conn_is_full(c)) {
        s->full = true;
        s->peeked = s->now;
    }
    if (c->state == UH_BODY)
        peers_turn = can_read;
    else if (c->state == UH_STREAM)
        peers_turn = (s->streams->settle)(c);
    if (!peers_turn)
        uh_conn_disarm(c);
    else if (c->time == UH_TIME_NONE)
        uh_conn_arm(c);
    if (interest != c->interest) {
        if (!uh_conn_watch(c, interest)) {
            uh_conn_drop(c);
            return;
        }
        c->interest = (uint8_t)interest;
    }
    if ((c->readable && can_read) ||
        (uh_conn_owes(c) && !c->blocked && !c->set_aside))
        uh_ready_push(c);
}

/*==============================================================================
 * 08 RESPONSE                     heads, refusals, whole responses and streams
 *==============================================================================
 * Composes into tx; 07 sends it. Room for all of a response is made sure before any of
 * it is written, so it is taken or refused whole. No byte of the program's reaches a
 * head unchecked.
 */

#define UH_STREAM_END 5u        /* "0\r\n\r\n", which joins the last piece if it can */

/* Has date say the time: compares the clock once a millisecond and formats once a second.
 * False: the clock is not set. */
static bool uh_server_date(uhttp_server *s)
{
    if (s->date_at == s->now && s->date_seconds != 0)
        return true;
    int64_t seconds = UHTTP_TIME();
    if (seconds < 1577836800)               /* 2020 */
        return false;
    s->date_at = s->now;
    if (seconds != s->date_seconds) {
        s->date_seconds = seconds;
        memcpy(s->date, "Date: ", 6);
        uhttp_date_format(seconds, s->date + 6);
        memcpy(s->date + 35, "\r\n", 2);
    }
    return true;
}

static bool uh_value_is_good(const char *value)
{
    return value != NULL && !uh_text_has_control(uh_text_of(value));
}

/* Settles whether the connection survives the response that is about to be composed. */
static void uh_response_decide_keep(uhttp_conn *c)
{
    const uhttp_server *s = c->server;
    const uh_request *r = &c->request;
    if (s->stopping || c->served >= s->config.keep_alive_max_requests)
        c->keep = false;
    /* A peer that shut its side gets the answers to all it sent, and no more comes. */
    if (c->fin && uh_body_is_whole(r) && uh_buf_used(&c->rx) == 0)
        c->keep = false;
    if (!uh_body_is_whole(r) &&
        (r->expects || c->fin || (!r->chunked && r->framing.left > UH_SKIP_LIMIT)))
        c->keep = false;
}

/* Nobody may ask for the body any more that was not given yet. Runs the decoder over what has
 * come, without moving a byte: the program may still be looking at decoded ones. The next
 * request goes back to rx. */
static void uh_body_abandon(uhttp_conn *c)
{
    uh_request *r = &c->request;
    size_t made;
    (void)uh_sink_finish(c, false);
    if (r->body_state == UH_BODY_DECODED)
        r->body_state = UH_BODY_GONE;
    if (uh_window(c) == &c->rx || uh_body_is_whole(r))
        return;
    uhttp_result result = uh_body_decode(r, &c->body, NULL, &made);
    if (result == UHTTP_ERR_INVALID)
        c->keep = false;
    if (result == UHTTP_OK) {
        r->body_state = UH_BODY_GONE;
        uh_window_give_back(c);
    }
    c->body.tail = c->body.head;
}

/* Makes room in tx; offers first to the socket what may stand in the way. */
static bool uh_response_reserve(uhttp_conn *c, size_t n)
{
    uh_pool *m = &c->server->pool;
    if (uh_buf_reserve(m, &c->tx, n))
        return true;
    return uh_conn_flush(c) && uh_buf_reserve(m, &c->tx, n);
}

/* Takes bytes off the end of what is drafted: a body in the making, then fields. */
UH_APART static void uh_draft_drop(uhttp_conn *c, uint32_t bytes)
{
    c->tx.tail -= bytes;
    c->draft -= bytes;
    c->request.composed -= uh_min(c->request.composed, bytes);
}

/* The same with all that is drafted. */
UH_APART static void uh_draft_clear(uhttp_conn *c) { uh_draft_drop(c, c->draft); }

/* And with all of a body in the making. */
UH_APART static void uh_composed_drop(uhttp_conn *c)
{
    uh_draft_drop(c, c->request.composed);
}

/* Takes back the fields drafted since then, unless all went well. */
static uhttp_result uh_draft_undo(uhttp_conn *c, uint32_t draft, uhttp_result result)
{
    if (result != UHTTP_OK && c->state != UH_CLOSED)
        uh_draft_drop(c, c->draft - draft);
    return result;
}

/* The fields drafted so far, before a body in the making. */
UH_APART static uhttp_str uh_draft_fields(const uhttp_conn *c)
{
    uhttp_str fields = { NULL, 0 };
    if (c->draft > c->request.composed) {
        fields.ptr = (const char *)c->tx.data + c->tx.tail - c->draft;
        fields.len = c->draft - c->request.composed;
    }
    return fields;
}

/* The line of a drafted field; NULL: there is none. */
static const char *uh_draft_find(const uhttp_conn *c, const char *name)
{
    return uh_fields_find(uh_draft_fields(c), uh_text_of(name));
}

/* Takes out a line of what is drafted. */
static void uh_draft_cut(uhttp_conn *c, const char *line)
{
    size_t at = (size_t)(line - (const char *)c->tx.data);
    size_t left = c->tx.tail - at;
    size_t length = (size_t)((const char *)memchr(line, '\n', left) + 1 - line);
    memmove(c->tx.data + at, c->tx.data + at + length, left - length);
    c->tx.tail -= (uint32_t)length;
    c->draft -= (uint32_t)length;
}

/* What it means that no room could be made: trying may have shown that the peer is gone. */
static uhttp_result uh_response_no_room(const uhttp_conn *c)
{
    return c->state == UH_CLOSED ? UHTTP_ERR_CLOSED : UHTTP_ERR_MEMORY;
}

/* A response could not begin: tells the log why, and notes it if this is the request returned
 * last: should nothing better follow, uh_server_take_back() answers 500. */
static uhttp_result uh_response_fail(uhttp_conn *c, uhttp_result result)
{
    const char *why = UH_WHY("response: invalid status, field or data");
    if (result == UHTTP_ERR_CLOSED)
        return uh_conn_tell(c, result);
    if (result == UHTTP_ERR_MEMORY)
        why = UH_WHY("response exceeds max_send_buffer or memory");
    else if (result == UHTTP_ERR_UNSUPPORTED)
        why = UH_WHY("response: no files, or not in this build");
    else if (result == UHTTP_ERR_STATE)
        why = UH_WHY("response: its JSON is not complete");
    uh_conn_log(c, why);
    if (c == c->server->last)
        c->server->failed = true;
    return result;
}

static char *uh_put_line(char *out, const char *name, const char *value)
{
    out = uh_text_puts(out, name);
    out = uh_text_puts(out, value);
    return uh_text_puts(out, "\r\n");
}

/* Who knows when an idle connection ends closes it a second earlier, or asks in time. */
static char *uh_put_keep_alive(const uhttp_server *s, char *out)
{
    char text[12];
    uint32_t seconds = s->times[UH_TIME_IDLE] / 1000;
    if (s->waiting || seconds < 2 || s->times[UH_TIME_IDLE] == UHTTP_NEVER)
        return out;
    *uh_text_put_decimal(text, seconds - 1) = '\0';
    return uh_put_line(out, "Keep-Alive: timeout=", text);
}

/* The lines behind a head's other fields: length, connection, end. */
static size_t uh_response_framing(const uhttp_conn *c, int status, int64_t length, char *out)
{
    const uh_request *r = &c->request;
    char *p = out;
    if (UH_WS && status == 101)
        return (size_t)(uh_text_puts(p, "\r\n") - out);
    if (length >= 0 && status != 204 && status != 304) {
        p = uh_text_puts(p, "Content-Length: ");
        p = uh_text_put_decimal(p, (uint64_t)length);
        p = uh_text_puts(p, "\r\n");
    } else if (length < 0 && r->minor) {
        p = uh_text_puts(p, "Transfer-Encoding: chunked\r\n");
    }
    /* Connection names the hint as well (RFC 9110 section 7.6.1). */
    if (!c->keep || !r->minor || c->server->put_keep_alive != NULL)
        p = uh_put_line(p, "Connection: ", c->keep ? "keep-alive" : "close");
    if (c->keep && c->server->put_keep_alive != NULL)
        p = c->server->put_keep_alive(c->server, p);
    return (size_t)(uh_text_puts(p, "\r\n") - out);
}

/* "404 Not Found", for the first line of a head and for the body of an error. */
static char *uh_put_status(char *out, int status)
{
    out = uh_text_put_decimal(out, (unsigned)status);
    *out++ = ' ';
    return uh_text_puts(out, uhttp_status_phrase(status));
}

/* Writes the head into tx, around the fields drafted there. Those take the place of the
 * server's own and of the default headers.
 *
 *   length  of the body; -1: a stream
 *   extra   bytes that must fit tx behind the head */
static uhttp_result uh_response_head(uhttp_conn *c, int status, const char *content_type,
                                     int64_t length, size_t extra)
{
    uhttp_server *s = c->server;
    char start[64 + sizeof s->date];
    char end[112];
    char *p = start;
    if (UH_WIDE && status == 200)
        p = uh_text_puts(p, "HTTP/1.1 200 OK\r\n");
    else
        p = uh_text_puts(uh_put_status(uh_text_puts(p, "HTTP/1.1 "), status), "\r\n");
    if (!c->request.dated && uh_server_date(s))
        p = uh_text_put(p, s->date, sizeof s->date);
    if (c->request.typed)
        content_type = NULL;
    bool was_keep = c->keep;
    uh_response_decide_keep(c);
    if (length >= 0 && uh_conn_takes_its_leave(c))
        c->keep = false;
    size_t start_length = (size_t)(p - start);
    size_t end_length = uh_response_framing(c, status, length, end);
    size_t type_length = content_type != NULL ? strlen(content_type) + 16 : 0;
    size_t before = start_length;
    if (s->defaults != NULL)
        before += s->defaults(s, uh_draft_fields(c), content_type, NULL);
    size_t head = before + type_length + end_length;
    size_t limit = s->config.max_send_buffer;
    if (extra > limit || head + c->draft > limit - extra ||
        !uh_response_reserve(c, head + extra)) {
        c->keep = was_keep;
        return uh_response_no_room(c);
    }
    size_t fields = c->draft - c->request.composed;
    char *to = (char *)c->tx.data + c->tx.tail - c->draft;
    if (c->draft > 0) {
        memmove(to + head + fields, to + fields, c->request.composed);
        memmove(to + before, to, fields);
    }
    to = uh_text_put(to, start, start_length);
    if (s->defaults != NULL) {
        const char *drafted = to - start_length + before;
        to += s->defaults(s, uh_text_slice(drafted, drafted + fields), content_type, to);
    }
    to += fields;
    if (content_type != NULL) {
        to = uh_text_puts(to, "Content-Type: ");
        to = uh_text_puts(uh_text_put(to, content_type, type_length - 16), "\r\n");
    }
    uh_text_put(to, end, end_length);
    c->tx.tail += (uint32_t)head;
    c->draft = 0;
    c->request.composed = 0;
    c->request.status = (uint16_t)status;
    c->request.bytes.sent = 0;
    return UHTTP_OK;
}

/* Copies data to tx; when they are long, only what the socket does not take of them where they
 * lie. Without a heap nothing is that long. */
static void uh_response_copy(uhttp_conn *c, const void *data, size_t length)
{
    if (UH_HEAP && length > UH_DIRECT && uh_buf_used(&c->rx) == 0) {
        c->source.data = (const uint8_t *)data;
        c->source_left = length;
        uh_conn_flush(c);
        data = c->source.data;
        length = (size_t)c->source_left;
    }
    if (c->state != UH_CLOSED && length > 0) {      /* else the log must know what is left */
        c->source_left = 0;
        memcpy(c->tx.data + c->tx.tail, data, length);
        c->tx.tail += (uint32_t)length;
    }
}

/* Composes a head and its body, which is copied or, for ever where it is, only noted. */
static uhttp_result uh_response_compose(uhttp_conn *c, int status, const char *content_type,
                                        const void *data, size_t length, bool copy)
{
    size_t sent = c->request.is_head ? 0 : length;
    uh_composed_drop(c);
    uhttp_result result =
        uh_response_head(c, status, content_type, (int64_t)length, copy ? sent : 0);
    if (result != UHTTP_OK)
        return result;
    c->request.bytes.sent = sent;
    if (copy) {
        uh_response_copy(c, data, sent);
    } else {
        c->source.data = (const uint8_t *)data;
        c->source_left = sent;
    }
    return UHTTP_OK;
}

/* Composes an error with its phrase as the body. */
static uhttp_result uh_response_compose_error(uhttp_conn *c, int status)
{
    char text[64];
    char *p = uh_text_puts(uh_put_status(text, status), "\n");
    return uh_response_compose(c, status, "text/plain", text, (size_t)(p - text), true);
}

/* More input is here, so this answer may wait to leave with the next one; in fixed memory it
 * would take that one's room. */
static bool uh_response_may_wait(const uhttp_conn *c)
{
    return uh_buf_used(&c->rx) > 0 && !uh_pool_is_fixed(&c->server->pool) && c->keep &&
           uh_body_is_whole(&c->request) && c->source_left == 0 &&
           uh_buf_used(&c->tx) <= UH_HOLD;
}

/* All of the response is composed: the request is the server's again. */
static void uh_response_finish(uhttp_conn *c)
{
    uh_conn_let_go(c);
    if (c->state == UH_CLOSED)
        return;
    uh_body_abandon(c);
    uh_conn_enter(c, UH_SEND);
    if (!uh_response_may_wait(c))
        uh_conn_flush(c);
    uh_ready_push(c);
}

/* Answers for the program, or before it has heard of the request. Without memory for an
 * answer a static one is sent. */
static uh_next uh_refuse(uhttp_conn *c, int status, const char *why)
{
    static const char no_memory[] =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    uh_server_log(c->server, c, status, why);
    c->server->stats.refused++;
    uh_draft_clear(c);
    c->request.dated = c->request.typed = false;
    c->keep = false;
    c->pending = UHTTP_EVENT_NONE;
    uh_body_abandon(c);
    if (uh_response_compose_error(c, status) != UHTTP_OK) {
        if (c->state == UH_CLOSED)
            return UH_MORE;
        c->source.data = (const uint8_t *)no_memory;
        c->source_left = sizeof no_memory - 1;
        c->request.status = 503;
        c->request.bytes.sent = 0;
    }
    uh_conn_enter(c, UH_SEND);
    return UH_MORE;
}

/*--- whole responses -------------------------------------------------------------------*/

#define UH_MAY_RESPOND ((unsigned)(UH_IN_OFFER | UH_IN_BODY | UH_IN_ANSWER))

static bool uh_status_has_no_body(int status)
{
    return status == 204 || status == 205 || status == 304;
}

static uhttp_result uh_response_check(uhttp_conn *c, int status, const char *content_type)
{
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND);
    if (may != UHTTP_OK)
        return may;
    bool good = status >= 200 && status <= 599 &&
                (content_type == NULL || uh_value_is_good(content_type));
    return good ? UHTTP_OK : uh_response_fail(c, UHTTP_ERR_INVALID);
}

/* Asked for by a build, or a server, that has no such response. */
UH_APART static uhttp_result uh_response_unsupported(uhttp_conn *c)
{
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND);
    return may != UHTTP_OK ? may : uh_response_fail(c, UHTTP_ERR_UNSUPPORTED);
}

/* Finishes what has been composed, or says why it was not. */
static uhttp_result uh_response_end(uhttp_conn *c, uhttp_result composed)
{
    if (composed != UHTTP_OK)
        return uh_response_fail(c, composed);
    uh_response_finish(c);
    return UHTTP_OK;
}

static uhttp_result uh_respond(uhttp_conn *c, int status, const char *content_type,
                               const void *data, size_t length, bool copy)
{
    uhttp_result result = uh_response_check(c, status, NULL);
    if (result != UHTTP_OK)
        return result;
    if (length > 0 && (data == NULL || uh_status_has_no_body(status)))
        return uh_response_fail(c, UHTTP_ERR_INVALID);
    return uh_response_end(c, uh_response_compose(c, status, content_type, data, length, copy));
}

/* The same with a content type of the program's: for one that cannot be sent, NULL and a length
 * are refused. */
static uhttp_result uh_respond_as(uhttp_conn *c, int status, const char *content_type,
                                  const void *data, size_t length, bool copy)
{
    bool good = content_type == NULL || uh_value_is_good(content_type);
    return uh_respond(c, status, content_type, good ? data : NULL, good ? length : 1, copy);
}

UHTTP_API uhttp_result uhttp_respond(uhttp_conn *c, int status, const char *content_type,
                                     const void *data, size_t length)
{
    return uh_respond_as(c, status, content_type, data, length, true);
}

UHTTP_API uhttp_result uhttp_respond_static(uhttp_conn *c, int status, const char *content_type,
                                            const void *data, size_t length)
{
    return uh_respond_as(c, status, content_type, data, length, false);
}

/* A getter's NULL means "absent": as a body it is refused, like a length without data. */
static uhttp_result uh_respond_string(uhttp_conn *c, int status, const char *content_type,
                                      const char *text)
{
    return uh_respond(c, status, content_type, text, text != NULL ? strlen(text) : 1, true);
}

UHTTP_API uhttp_result uhttp_respond_text(uhttp_conn *c, int status, const char *text)
{
    return uh_respond_string(c, status, "text/plain; charset=utf-8", text);
}

UHTTP_API uhttp_result uhttp_respond_html(uhttp_conn *c, int status, const char *html)
{
    return uh_respond_string(c, status, "text/html; charset=utf-8", html);
}

UHTTP_API uhttp_result uhttp_respond_json(uhttp_conn *c, int status, const char *json)
{
    return uh_respond_string(c, status, "application/json", json);
}

/* Makes room for bytes of a body in the making, behind what is drafted; NULL: there is none. */
static char *uh_composed_room(uhttp_conn *c, size_t length)
{
    if (length > c->server->config.max_send_buffer - c->draft ||
        !uh_response_reserve(c, length))
        return NULL;
    return (char *)c->tx.data + c->tx.tail;
}

/* So many bytes have been written there. */
UH_APART static void uh_composed_add(uhttp_conn *c, size_t length)
{
    c->tx.tail += (uint32_t)length;
    c->draft += (uint32_t)length;
    c->request.composed += (uint32_t)length;
}

/* Sends the body that has been composed. */
static uhttp_result uh_respond_composed(uhttp_conn *c, int status, const char *content_type)
{
    uint32_t length = c->request.composed;
    uhttp_result result = uh_response_head(c, status, content_type, length, 0);
    if (result == UHTTP_OK && c->request.is_head)
        c->tx.tail -= length;
    else if (result == UHTTP_OK)
        c->request.bytes.sent = length;
    return uh_response_end(c, result);
}

/* Formats into what room there is, and once more if that was too little. */
static uhttp_result uh_respond_format(uhttp_conn *c, const char *format, va_list values)
{
    size_t need = 1;
    for (int tries = 0; tries < 2; tries++) {
        va_list copy;
        char *where = uh_composed_room(c, need);
        if (where == NULL)
            return uh_response_no_room(c);
        va_copy(copy, values);
        int length = vsnprintf(where, uh_buf_room(&c->tx), format, copy);
        va_end(copy);
        if (length < 0)
            return UHTTP_ERR_INVALID;
        need = (size_t)length + 1;
        if (need <= uh_buf_room(&c->tx)) {
            uh_composed_add(c, (size_t)length);
            return UHTTP_OK;
        }
    }
    return UHTTP_ERR_INVALID;       /* the second time it was longer than the first */
}

UHTTP_API uhttp_result uhttp_respond_printf(uhttp_conn *c, int status, const char *content_type,
                                            const char *format, ...)
{
    uhttp_result result = uh_response_check(c, status, content_type);
    if (result != UHTTP_OK)
        return result;
    if (format == NULL || uh_status_has_no_body(status))
        return uh_response_fail(c, UHTTP_ERR_INVALID);
    va_list values;
    uh_composed_drop(c);
    va_start(values, format);
    result = uh_respond_format(c, format, values);
    va_end(values);
    result = result == UHTTP_OK ? uh_respond_composed(c, status, content_type)
                                : uh_response_fail(c, result);
    if (result != UHTTP_OK && c->state != UH_CLOSED)
        uh_composed_drop(c);
    return result;
}

UHTTP_API uhttp_result uhttp_respond_error(uhttp_conn *c, int status)
{
    if (uh_status_has_no_body(status))
        return uh_respond(c, status, NULL, NULL, 0, true);
    uhttp_result result = uh_response_check(c, status, NULL);
    if (result != UHTTP_OK)
        return result;
    return uh_response_end(c, uh_response_compose_error(c, status));
}

/*--- fields the program adds --------------------------------------------------------------
 *
 * One rule for heads, frames and default headers: the program's field stands in for the
 * server's own of that name, and either for the default one.
 */

/* By these peers find the end of a message, or the place of a part: the server's alone. */
static const char uh_fields_ours[] =
    "content-length\0" "transfer-encoding\0" "connection\0" "keep-alive\0" "trailer\0"
    "upgrade\0" "te\0" "content-range\0";

/* Of these the program's last one counts; all others are lists, or harmless. */
static const char uh_fields_once[] =
    "content-type\0" "content-disposition\0" "location\0" "etag\0" "last-modified\0"
    "expires\0" "age\0" "retry-after\0" "date\0" "server\0" "strict-transport-security\0"
    "x-frame-options\0" "x-content-type-options\0" "referrer-policy\0"
    "access-control-allow-origin\0" "access-control-allow-credentials\0"
    "access-control-max-age\0";

/* And these are added to default ones, as each line says something else. */
static const char uh_fields_added[] =
    "set-cookie\0" "vary\0" "link\0" "www-authenticate\0" "content-security-policy\0";

/* See uhttp_server.defaults; type: the server's own Content-Type is in the head as well. */
static size_t uh_fields_default(const uhttp_server *s, uhttp_str added, const char *type,
                                char *out)
{
    uhttp_str rest = uh_text_of(s->config.default_headers);
    uhttp_str name, value;
    size_t made = 0;
    for (const char *line = rest.ptr; uhttp_header_next(&rest, &name, &value);
         line = rest.ptr) {
        size_t length = (size_t)(rest.ptr - line);
        if ((type != NULL && uh_text_is_nocase(name, "content-type")) ||
            (uh_fields_find(added, name) != NULL &&
             !uh_text_is_one_of(name, uh_fields_added)))
            continue;
        if (out != NULL)
            memcpy(out + made, line, length);
        made += length;
    }
    return made;
}

/* What it means in a stream: AGAIN, if something is on its way that will make room. */
static uhttp_result uh_stream_no_room(uhttp_conn *c, size_t need)
{
    if (!uh_conn_owes(c))
        return UHTTP_ERR_MEMORY;
    c->request.span.wanted = (uint32_t)need;
    if (!(c->interest & UH_WRITE) && !(c->wants & UH_REST))     /* else it will be told */
        uh_ready_push(c);
    return UHTTP_ERR_AGAIN;
}

/* Makes room for text behind the fields drafted so far, before a body in the making; NULL:
 * there is none. */
static char *uh_draft_room(uhttp_conn *c, size_t length)
{
    if (length > c->server->config.max_send_buffer - c->draft ||
        !uh_response_reserve(c, length))
        return NULL;
    char *p = (char *)c->tx.data + c->tx.tail - c->request.composed;
    memmove(p + length, p, c->request.composed);
    c->tx.tail += (uint32_t)length;
    c->draft += (uint32_t)length;
    return p;
}

/* Writes values, each behind its label, or counts them with out NULL; bytes. Labels stand one
 * behind the other, as strings; that of a NULL is left out with it. */
static size_t uh_put_labelled(char *out, const char *labels, const char *const *values,
                              size_t count)
{
    size_t written = 0;
    for (size_t i = 0; i < count; i++) {
        size_t label = strlen(labels);
        if (values[i] != NULL) {
            size_t value = strlen(values[i]);
            if (out != NULL)
                uh_text_put(uh_text_put(out + written, labels, label), values[i], value);
            written += label + value;
        }
        labels += label + 1;
    }
    return written;
}

/* Appends such text to the fields drafted so far. */
static uhttp_result uh_draft_add(uhttp_conn *c, const char *labels, const char *const *values,
                                 size_t count)
{
    size_t length = uh_put_labelled(NULL, labels, values, count);
    char *p = uh_draft_room(c, length);
    if (p == NULL && c->state == UH_STREAM) {       /* a frame has all its fields or none */
        uh_draft_clear(c);
        return uh_stream_no_room(c, length);
    }
    if (p == NULL)
        return uh_conn_tell(c, uh_response_no_room(c));
    uh_put_labelled(p, labels, values, count);
    return UHTTP_OK;
}

static uhttp_result uh_draft_put(uhttp_conn *c, const char *name, const char *value)
{
    const char *values[] = { name, value, "" };
    return uh_draft_add(c, "\0: \0\r\n", values, 3);
}

/* Adds a field of the server's own, unless the program has. */
static uhttp_result uh_draft_own(uhttp_conn *c, const char *name, const char *value)
{
    return uh_draft_find(c, name) != NULL ? UHTTP_OK : uh_draft_put(c, name, value);
}

UHTTP_API uhttp_result uhttp_add_header(uhttp_conn *c, const char *name, const char *value)
{
    unsigned frames = c != NULL && c->request.parts ? (unsigned)UH_IN_STREAM : 0;
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND | frames);
    if (may != UHTTP_OK)
        return may;
    uhttp_str field = uh_text_of(name);
    if (!uh_name_is_good(field) || !uh_value_is_good(value))
        return UHTTP_ERR_INVALID;
    if (uh_text_is_nocase(field, "connection") && c->state != UH_STREAM &&
        uh_text_is_nocase(uh_text_of(value), "close")) {
        c->keep = false;
        return UHTTP_OK;
    }
    if (uh_text_is_one_of(field, uh_fields_ours))
        return UHTTP_ERR_INVALID;
    uint32_t before = c->draft;
    uhttp_result result = uh_draft_put(c, name, value);
    if (result != UHTTP_OK || !uh_text_is_one_of(field, uh_fields_once))
        return result;
    c->request.dated = c->request.dated || uh_text_is_nocase(field, "date");
    c->request.typed = c->request.typed || uh_text_is_nocase(field, "content-type");
    uhttp_str fields = uh_draft_fields(c);
    const char *first = uh_fields_find(fields, field);
    if (first - fields.ptr < (ptrdiff_t)(before - c->request.composed))
        uh_draft_cut(c, first);
    return UHTTP_OK;
}

UH_APART static bool uh_cookie_value_is_good(const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value <= ' ' || *value > '~' || strchr("\",;\\", *value) != NULL)
            return false;
    }
    return true;
}

UH_APART static bool uh_cookie_attribute_is_good(const char *text)
{
    return strlen(text) <= 1024 && strchr(text, ';') == NULL && uh_value_is_good(text);
}

static bool uh_cookie_domain_is_good(const char *domain)
{
    for (const char *p = domain; *p != '\0'; p++) {
        if (!uh_char_is_scheme(*p) || *p == '+')
            return false;
    }
    return *domain != '\0' && *domain != '.' && strlen(domain) <= 1024;
}

/* Will a browser take it as it is meant? RFC 6265bis sections 4.1.3 and 5.6 */
static bool uh_cookie_is_good(const uhttp_new_cookie *k, const char *path, bool secure)
{
    uhttp_str name = uh_text_of(k->name);
    size_t value_length = k->value != NULL ? strlen(k->value) : 0;
    bool host_only = uh_text_begins_nocase(name, "__host-");
    bool needs_secure = host_only || k->same_site == UHTTP_SAME_SITE_NONE ||
                        uh_text_begins_nocase(name, "__secure-");
    return uh_name_is_good(name) && (k->value == NULL || uh_cookie_value_is_good(k->value)) &&
           name.len <= 4096 && value_length <= 4096 - name.len && *path == '/' &&
           uh_cookie_attribute_is_good(path) &&
           (k->domain == NULL || uh_cookie_domain_is_good(k->domain)) &&
           (secure || !needs_secure) &&
           (!host_only || (k->domain == NULL && path[1] == '\0')) &&
           k->expires_s >= 0 && k->expires_s <= 253402300799;       /* the year 9999 */
}

UHTTP_API uhttp_result uhttp_set_cookie(uhttp_conn *c, const uhttp_new_cookie *cookie)
{
    static const char labels[] = "Set-Cookie: \0=\0; Path=\0; Domain=\0; Max-Age=\0; Expires=\0"
                                 "; Secure\0; HttpOnly\0; SameSite=\0\r\n";
    static const char *const same_site[] = { "Lax", "Strict", "None" };
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND);
    if (may != UHTTP_OK)
        return may;
    if (cookie == NULL)
        return UHTTP_ERR_INVALID;
    const char *path = cookie->path != NULL ? cookie->path : "/";
    bool secure = cookie->secure || (uh_conn_is_secure(c) && !cookie->insecure);
    if ((unsigned)cookie->same_site > UHTTP_SAME_SITE_NONE ||
        !uh_cookie_is_good(cookie, path, secure))
        return UHTTP_ERR_INVALID;
    char max_age[24];
    char expires[30];
    uint64_t seconds = cookie->max_age_s > 0 ? (uint64_t)cookie->max_age_s : 0;
    *uh_text_put_decimal(max_age, seconds) = '\0';
    uhttp_date_format(cookie->expires_s, expires);
    const char *values[] = {
        cookie->name, cookie->value != NULL ? cookie->value : "", path, cookie->domain,
        cookie->max_age_s != 0 ? max_age : NULL, cookie->expires_s != 0 ? expires : NULL,
        secure ? "" : NULL, cookie->script_readable ? NULL : "",
        same_site[cookie->same_site], ""
    };
    return uh_draft_add(c, labels, values, sizeof values / sizeof values[0]);
}

/* Answers with a status, its phrase and one field more; the field goes if that fails. */
static uhttp_result uh_respond_with(uhttp_conn *c, int status, const char *name,
                                    const char *value)
{
    uint32_t draft = c->draft;
    uhttp_result result = UHTTP_ERR_INVALID;
    if (uh_value_is_good(value))
        result = uh_draft_own(c, name, value);
    if (result == UHTTP_OK)
        result = uhttp_respond_error(c, status);
    else
        result = uh_response_fail(c, result);
    return uh_draft_undo(c, draft, result);
}

UHTTP_API uhttp_result uhttp_respond_not_allowed(uhttp_conn *c, const char *allow)
{
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND);
    if (may != UHTTP_OK)
        return may;
    uh_composed_drop(c);
    return uh_respond_with(c, 405, "Allow", allow);
}

/* Drafts a Location field with this URL, bytes beyond ASCII percent-encoded, and one more '/'
 * before slash (NULL: none). The program may have added its own. */
static uhttp_result uh_draft_location(uhttp_conn *c, uhttp_str url, const char *slash)
{
    size_t length = sizeof "Location: \r\n" - 1 + url.len + (slash != NULL ? 1 : 0);
    if (uh_draft_find(c, "location") != NULL)
        return UHTTP_OK;
    for (size_t i = 0; i < url.len; i++)
        length += (unsigned char)url.ptr[i] > '~' ? 2 : 0;
    char *to = uh_draft_room(c, length);
    if (to == NULL)
        return uh_response_no_room(c);
    to = uh_text_puts(to, "Location: ");
    for (const char *p = url.ptr, *end = uh_text_end(url); p <= end; p++) {
        if (p == slash)
            *to++ = '/';
        if (p == end)
            break;
        if ((unsigned char)*p <= '~') {
            *to++ = *p;
        } else {
            *to++ = '%';
            to = uh_put_hex(to, 2, (unsigned char)*p);
        }
    }
    (void)uh_text_puts(to, "\r\n");
    return UHTTP_OK;
}

static uhttp_result uh_respond_elsewhere(uhttp_conn *c, int status, uhttp_str url,
                                         const char *slash)
{
    uint32_t draft = c->draft;
    uhttp_result result = uh_draft_location(c, url, slash);
    result = result == UHTTP_OK ? uhttp_respond_error(c, status) : uh_response_fail(c, result);
    return uh_draft_undo(c, draft, result);
}

UHTTP_API uhttp_result uhttp_respond_redirect(uhttp_conn *c, int status, const char *url)
{
    if (status == 0)
        status = 302;
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND);
    if (may != UHTTP_OK)
        return may;
    if (url == NULL || ((status < 301 || status > 303) && status != 307 && status != 308))
        return uh_response_fail(c, UHTTP_ERR_INVALID);
    for (const char *p = url; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return uh_response_fail(c, UHTTP_ERR_INVALID);
    }
    uh_composed_drop(c);
    return uh_respond_elsewhere(c, status, uh_text_of(url), NULL);
}

/* Writes "100 Continue" before what is drafted, once; unless the body has begun. */
static void uh_respond_continue(uhttp_conn *c)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const size_t length = sizeof text - 1;
    if (c->request.framing.data > 0 || uh_buf_used(uh_window(c)) > 0)
        c->request.expects = false;
    if (!c->request.expects || !uh_buf_reserve(&c->server->pool, &c->tx, length))
        return;                     /* a client sends its body in the end without it */
    c->request.expects = false;
    char *to = (char *)c->tx.data + c->tx.tail - c->draft;
    memmove(to + length, to, c->draft);
    uh_text_put(to, text, length);
    c->tx.tail += (uint32_t)length;
    uh_ready_push(c);
}

/*--- streams ----------------------------------------------------------------------------*/

/* Bytes tx may hold of a stream. On the heap the framing of a WebSocket comes on top: a message
 * as long as the default limit can be sent back. */
static size_t uh_stream_limit(const uhttp_conn *c)
{
    bool more = uh_conn_is_ws(c) && !uh_pool_is_fixed(&c->server->pool);
    return c->server->config.max_send_buffer + (more ? UH_WS_ROOM : 0);
}

/* Tells of room, once there is some for what was refused. */
static uh_next uh_step_stream(uhttp_conn *c)
{
    uhttp_server *s = c->server;
    if (!UH_TELLS_LEAVING && uh_conn_is_full(c))
        c->keep = false;            /* what follows is thrown away, so that its end is read */
    if (uh_conn_is_shut(c) && c->request.live)
        (s->last_comment)(c);
    uint32_t wanted = c->request.span.wanted;
    uint32_t used = uh_buf_used(&c->tx) - c->draft;
    if (wanted == 0 || !s->config.event_mode || used + wanted > uh_stream_limit(c))
        return UH_WAIT;
    if (!uh_buf_reserve(&s->pool, &c->tx, wanted) && used > 0)
        return UH_WAIT;             /* no memory: what is on its way will make room */
    c->request.span.wanted = 0;
    return uh_conn_post(c, UHTTP_EVENT_WRITABLE);
}

/* Is it the peer's turn? Its deadline is another one once it has shut its side and nothing is
 * owed: each write lets that begin anew, a turn that finds it due and writes nothing not. */
static bool uh_stream_settle(uhttp_conn *c)
{
    bool owes = uh_conn_owes(c);
    bool shut = uh_conn_is_shut(c);
    if (!owes && shut && c->time != UH_TIME_FIN && c->time != UH_TIME_DUE) {
        c->since = c->server->now;
        uh_conn_join(c, UH_TIME_FIN);
    }
    return owes || shut;
}

static const uh_stream_calls uh_streams = { uh_step_stream, uh_stream_settle };

/* Begins a stream whose status and type have been checked. */
static uhttp_result uh_stream_start(uhttp_conn *c, int status, const char *content_type)
{
    uh_composed_drop(c);
    bool keep = c->keep;
    bool parting = c->parting;
    if (!c->request.minor) {        /* to HTTP/1.0 the end of the connection is the end */
        c->keep = false;
        c->parting = true;
    }
    uhttp_result result = uh_response_head(c, status, content_type, -1, UH_STREAM_END);
    if (result != UHTTP_OK) {
        c->keep = keep;
        c->parting = parting;
        return uh_response_fail(c, result);
    }
    uh_body_abandon(c);
    c->request.span.wanted = 0;
    c->request.error = 0;
    c->request.why = NULL;
    c->pending = UHTTP_EVENT_NONE;  /* an error not heard yet is no longer one */
    c->server->streams = &uh_streams;
    uh_conn_enter(c, UH_STREAM);
    uh_ready_push(c);
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_stream_begin(uhttp_conn *c, int status, const char *content_type)
{
    uhttp_result result = uh_response_check(c, status, content_type);
    if (result != UHTTP_OK)
        return result;
    if (uh_status_has_no_body(status))
        return uh_response_fail(c, UHTTP_ERR_INVALID);
    return uh_stream_start(c, status, content_type);
}

/* Begins a stream that nobody is to store, with one field more. What it consists of decides its
 * type, whatever the program has added. */
static uhttp_result uh_stream_begin_live(uhttp_conn *c, const char *content_type,
                                         const char *name, const char *value)
{
    uhttp_result result = uh_response_check(c, 200, NULL);
    if (result != UHTTP_OK)
        return result;
    uh_composed_drop(c);
    const char *typed = uh_draft_find(c, "content-type");
    if (typed != NULL)
        uh_draft_cut(c, typed);
    c->request.typed = false;
    uint32_t draft = c->draft;
    result = uh_draft_own(c, "Cache-Control", "no-store");
    if (result == UHTTP_OK && name != NULL)
        result = uh_draft_own(c, name, value);
    result = result == UHTTP_OK ? uh_stream_start(c, 200, content_type)
                                : uh_response_fail(c, result);
    return uh_draft_undo(c, draft, result);
}

/* Bytes of framing around a piece: its size in hexadecimal and two line ends. */
static size_t uh_stream_overhead(const uhttp_conn *c, size_t length)
{
    size_t digits = 1;
    if (!c->request.minor)
        return 0;
    while (length >>= 4)
        digits++;
    return digits + 4;
}

#define UH_MAY_STREAM ((unsigned)(UH_IN_STREAM | UH_IN_WEBSOCKET))

/* Room that a piece, or a message, needs in tx, that for the end included. */
static size_t uh_stream_need(const uhttp_conn *c, size_t length)
{
    if (uh_conn_is_ws(c))
        return length + UH_WS_ROOM;
    return length + uh_stream_overhead(c, length) + (c->request.minor ? UH_STREAM_END : 0);
}

UHTTP_API size_t uhttp_send_room(const uhttp_conn *c)
{
    if (c == NULL)
        return 0;
    size_t limit = uh_stream_limit(c);
    size_t used = uh_buf_used(&c->tx) - c->draft;
    bool may = (UH_MAY_STREAM & 1u << c->state) != 0 && c->told;
    size_t room = may && limit > used ? limit - used : 0;
    size_t framing = uh_stream_need(c, room) - room;
    if (room <= framing)
        return 0;
    room -= framing;
    /* the size may have one digit less than it would have had for all of the room */
    return room + (uh_stream_need(c, room + 1) <= room + framing ? 1 : 0);
}

/* Frames a piece in tx; what is drafted becomes part of it, behind its first bytes. It joins
 * the last chunk while nothing of that has been offered: small pieces would else be mostly
 * framing. Returns where the piece begins; the caller fills in all but the draft.
 *
 *     ... | size CR LF data CR LF | draft        the last chunk, and what is drafted
 *     ... | size CR LF data | before draft ... | CR LF                                  */
static char *uh_stream_frame(uhttp_conn *c, size_t length, size_t before)
{
    uh_request *r = &c->request;
    uint32_t draft = c->draft;
    size_t open = r->chunk;
    char *from = (char *)c->tx.data + c->tx.tail - draft;
    char *start = from - (open > 0 ? open + uh_stream_overhead(c, open) : 0);
    size_t framing = uh_stream_overhead(c, open + length);
    char *data = start + framing - (r->minor ? 2 : 0);
    memmove(data + open + before, from, draft);     /* first: it never lies on old data */
    if (open > 0 && data + open + 2 != from)
        memmove(data, from - 2 - open, open);       /* the size has one more digit */
    if (r->minor) {
        uh_text_puts(uh_put_hex(start, framing - 4, open + length), "\r\n");
        uh_text_puts(data + open + length, "\r\n");
        r->chunk = (uint16_t)(open + length <= 0xffffu ? open + length : 0);
    }
    c->tx.tail = (uint32_t)(data + open + length + (r->minor ? 2 : 0) - (char *)c->tx.data);
    c->draft = r->composed = 0;
    r->bytes.sent += length;
    if (c->time == UH_TIME_FIN)     /* what is owed has a time of its own */
        uh_conn_arm(c);
    uh_ready_push(c);
    return data + open;
}

/* The program writes to this stream now: what the last one owes leaves first. That may be
 * logged, and the hook change a text: whoever measures what he copies calls this before. */
static void uh_stream_turn_to(uhttp_conn *c)
{
    uhttp_conn *other = c->server->writer;
    c->server->writer = c;
    if (other != NULL && other != c && (UH_MAY_STREAM & 1u << other->state) != 0)
        uh_conn_unload(other);
}

/* Makes room for a piece of this length, of which what is drafted is here already. */
static uhttp_result uh_stream_make_room(uhttp_conn *c, size_t length)
{
    uh_stream_turn_to(c);
    size_t limit = uh_stream_limit(c);
    size_t need = uh_stream_need(c, length);
    if (length > limit || need > limit)
        return UHTTP_ERR_MEMORY;
    if (uh_buf_used(&c->tx) - c->draft > limit - need) {
        uh_conn_flush(c);
        if (c->state == UH_CLOSED)
            return uh_conn_tell(c, UHTTP_ERR_CLOSED);
    }
    bool fits = uh_buf_used(&c->tx) - c->draft <= limit - need;
    if (fits && uh_buf_reserve(&c->server->pool, &c->tx, need - c->draft))
        return UHTTP_OK;
    return uh_stream_no_room(c, need);
}

/* Takes a piece with what is drafted behind its first bytes, or refuses it, and the draft is
 * gone. *where is where it begins, NULL if it goes nowhere. */
static uhttp_result uh_stream_take(uhttp_conn *c, size_t length, size_t before, char **where)
{
    bool nowhere = length == 0 || c->request.is_head;
    uhttp_result result = nowhere ? UHTTP_OK : uh_stream_make_room(c, length);
    *where = NULL;
    if (nowhere || result != UHTTP_OK)
        uh_draft_clear(c);
    else
        *where = uh_stream_frame(c, length, before);
    return result;
}

/* The same for a piece that drops what was drafted for another. */
static uhttp_result uh_stream_reserve(uhttp_conn *c, size_t length, char **where)
{
    uhttp_result may = uh_conn_may(c, UH_IN_STREAM);
    *where = NULL;
    if (may != UHTTP_OK)
        return may;
    uh_draft_clear(c);
    return uh_stream_take(c, length, 0, where);
}

UHTTP_API uhttp_result uhttp_stream_write(uhttp_conn *c, const void *data, size_t length)
{
    char *where;
    bool lacks = length > 0 && data == NULL;
    uhttp_result result = lacks ? uh_conn_may(c, UH_IN_STREAM)
                                : uh_stream_reserve(c, length, &where);
    if (lacks)
        return result == UHTTP_OK ? UHTTP_ERR_INVALID : result;
    if (result == UHTTP_OK && where != NULL)
        memcpy(where, data, length);
    return result;
}

/* The last bytes of a body: the last part's end, the last chunk. They need no memory. */
static const char *uh_stream_last(const uhttp_conn *c)
{
    static const char chunked[] = "4\r\n--\r\n\r\n0\r\n\r\n";
    bool parts = c->request.parts && c->request.bytes.sent > 0;
    if (c->request.is_head)
        return "";
    if (!c->request.minor)
        return parts ? "--\r\n" : "";
    return parts ? chunked : chunked + sizeof chunked - 1 - UH_STREAM_END;
}

UHTTP_API uhttp_result uhttp_stream_end(uhttp_conn *c)
{
    uhttp_result may = uh_conn_may(c, UH_IN_STREAM);
    if (may != UHTTP_OK)
        return may;
    uh_draft_clear(c);
    const char *last = uh_stream_last(c);
    size_t length = strlen(last);
    if (length > 0 && uh_buf_room(&c->tx) >= length) {
        memcpy(c->tx.data + c->tx.tail, last, length);
        c->tx.tail += (uint32_t)length;
    } else {
        c->source.data = (const uint8_t *)last;
        c->source_left = length;
    }
    uh_response_finish(c);
    return UHTTP_OK;
}

/*--- Server-Sent Events (WHATWG HTML section 9.2) ------------------------------------------*/

/* Writes one line of a field for each line of the text, or counts them with out NULL; bytes. */
static size_t uh_sse_lines(char *out, const char *field, const char *text, size_t length)
{
    const char *end = text + length;
    const size_t around = strlen(field) + 1;
    size_t written = 0;
    for (;;) {
        const char *line = text;
        while (text < end && *text != '\n' && *text != '\r')
            text++;
        size_t n = (size_t)(text - line);
        if (out != NULL) {
            out = uh_text_puts(out, field);
            out = uh_text_put(out, line, n);
            *out++ = '\n';
        }
        written += around + n;
        if (text == end)
            return written;
        text += end - text > 1 && text[0] == '\r' && text[1] == '\n' ? 2 : 1;
    }
}

/* An event's lines and the empty one that ends it, written or counted. */
static size_t uh_sse_put(char *out, const uhttp_sse_event *e)
{
    static const char *const fields[] = { "event: ", "id: ", "retry: ", "data: " };
    const char *texts[4];
    char retry[12];
    size_t written = 0;
    *uh_text_put_decimal(retry, e->retry_ms) = '\0';
    texts[0] = e->event;
    texts[1] = e->id;
    texts[2] = e->retry_ms > 0 ? retry : NULL;
    texts[3] = e->data;
    for (size_t i = 0; i < 4; i++) {
        if (texts[i] == NULL)
            continue;
        size_t length = i == 3 && e->data_length > 0 ? e->data_length : strlen(texts[i]);
        char *to = out != NULL ? out + written : NULL;
        written += uh_sse_lines(to, fields[i], texts[i], length);
    }
    if (out != NULL)
        out[written] = '\n';
    return written + 1;
}

static bool uh_text_is_one_line(const char *text)
{
    return text == NULL || text[strcspn(text, "\r\n")] == '\0';
}

UHTTP_API uhttp_result uhttp_sse_send(uhttp_conn *c, const uhttp_sse_event *event)
{
    char *where;
    uhttp_result may = uh_conn_may(c, UH_IN_STREAM);
    if (may != UHTTP_OK)
        return may;
    if (event == NULL)
        return UHTTP_ERR_INVALID;
    uh_stream_turn_to(c);
    bool silent = event->id == NULL && event->retry_ms == 0;
    if (event->data == NULL && (silent || event->event != NULL || event->data_length > 0))
        return UHTTP_ERR_INVALID;
    if (!uh_text_is_one_line(event->event) || !uh_text_is_one_line(event->id))
        return UHTTP_ERR_INVALID;
    uhttp_result result = uh_stream_reserve(c, uh_sse_put(NULL, event), &where);
    if (result == UHTTP_OK && where != NULL)
        uh_sse_put(where, event);
    return result;
}

UHTTP_API uhttp_result uhttp_sse_comment(uhttp_conn *c, const char *text)
{
    char *where;
    uhttp_result may = uh_conn_may(c, UH_IN_STREAM);
    if (may != UHTTP_OK)
        return may;
    uh_stream_turn_to(c);
    uhttp_str lines = uh_text_of(text != NULL ? text : "");
    size_t length = uh_sse_lines(NULL, ": ", lines.ptr, lines.len);
    uhttp_result result = uh_stream_reserve(c, length + 1, &where);
    if (result == UHTTP_OK && where != NULL) {
        uh_sse_lines(where, ": ", lines.ptr, lines.len);
        where[length] = '\n';
    }
    return result;
}

/* Its client has shut its side: one that has gone answers this with a reset. */
static void uh_sse_last_comment(uhttp_conn *c)
{
    c->request.live = false;
    if (!uh_conn_owes(c))
        (void)uhttp_sse_comment(c, NULL);
}

UHTTP_API uhttp_result uhttp_sse_begin(uhttp_conn *c)
{
    uhttp_result result =
        uh_stream_begin_live(c, "text/event-stream", "X-Accel-Buffering", "no");
    if (result == UHTTP_OK) {
        c->request.live = true;
        c->server->last_comment = uh_sse_last_comment;
    }
    return result;
}

UHTTP_API uhttp_result uhttp_sse_end(uhttp_conn *c) { return uhttp_stream_end(c); }

/*--- NDJSON ----------------------------------------------------------------------------*/

UHTTP_API uhttp_result uhttp_ndjson_begin(uhttp_conn *c)
{
    return uh_stream_begin_live(c, "application/x-ndjson", NULL, NULL);
}

UHTTP_API uhttp_result uhttp_ndjson_send(uhttp_conn *c, const char *json)
{
    char *where;
    uhttp_result may = uh_conn_may(c, UH_IN_STREAM);
    if (may != UHTTP_OK)
        return may;
    if (json == NULL || *json == '\0' || !uh_text_is_one_line(json))
        return UHTTP_ERR_INVALID;
    size_t length = strlen(json);
    uhttp_result result = uh_stream_reserve(c, length + 1, &where);
    if (result == UHTTP_OK && where != NULL) {
        memcpy(where, json, length);
        where[length] = '\n';
    }
    return result;
}

UHTTP_API uhttp_result uhttp_ndjson_end(uhttp_conn *c) { return uhttp_stream_end(c); }

/*--- multipart/x-mixed-replace (RFC 2046 section 5.1) ---------------------------------------
 * A frame ends with the delimiter behind it, so that it is known to be whole before the next
 * comes; but without its line end, as "--" may follow instead.
 */

/* Names the request, so no frame of another stream, recorded and sent again, can hold it. */
static char *uh_put_delimiter(const uhttp_conn *c, char *out)
{
    return uh_text_put_decimal(uh_text_puts(out, "--uhttp-"), uhttp_id(c));
}

UHTTP_API uhttp_result uhttp_multipart_begin(uhttp_conn *c)
{
    char type[96];
    char delimiter[32];
    *uh_put_delimiter(c, delimiter) = '\0';
    char *p = uh_text_puts(type, "multipart/x-mixed-replace; boundary=");
    *uh_text_puts(p, delimiter + 2) = '\0';
    uhttp_result result = uh_stream_begin_live(c, type, NULL, NULL);
    if (result == UHTTP_OK)
        c->request.parts = true;
    return result;
}

/* Is this text somewhere in the data? */
static bool uh_text_contains(uhttp_str data, uhttp_str text)
{
    const char *p = data.ptr;
    size_t left = data.len;
    while (left >= text.len &&
           (p = (const char *)memchr(p, text.ptr[0], left - text.len + 1)) != NULL) {
        if (memcmp(p, text.ptr, text.len) == 0)
            return true;
        left = (size_t)(data.ptr + data.len - ++p);
    }
    return false;
}

UHTTP_API uhttp_result uhttp_multipart_frame(uhttp_conn *c, const char *content_type,
                                             const void *data, size_t length)
{
    char delimiter[32];
    char size[48];
    uhttp_result may = uh_conn_may(c, UH_IN_STREAM);
    if (may != UHTTP_OK)
        return may;
    if (!c->request.parts)
        return UHTTP_ERR_STATE;
    uh_stream_turn_to(c);
    uh_composed_drop(c);            /* of a row in the making, which is no field */
    uhttp_str bytes;
    bytes.ptr = length > 0 ? (const char *)data : "";
    bytes.len = length;
    uhttp_str mark = uh_text_slice(delimiter, uh_put_delimiter(c, delimiter));
    bool good = content_type == NULL || uh_value_is_good(content_type);
    if (!good || bytes.ptr == NULL || uh_text_contains(bytes, mark)) {
        uh_draft_clear(c);
        return UHTTP_ERR_INVALID;
    }
    char *p = uh_text_puts(size, "\r\nContent-Length: ");
    uhttp_str line = uh_text_slice(size, uh_text_puts(uh_text_put_decimal(p, length), "\r\n"));
    size_t first = c->request.bytes.sent == 0 ? mark.len : 0;
    size_t fields = c->draft;
    if (uh_draft_find(c, "content-type") != NULL)
        content_type = NULL;
    size_t before = first + line.len + (content_type != NULL ? strlen(content_type) + 16 : 0);
    uhttp_result result =
        uh_stream_take(c, before + fields + length + 4 + mark.len, before, &p);
    if (result == UHTTP_ERR_MEMORY && c->request.why == NULL) {     /* said once a stream */
        c->request.why = UH_WHY("frame exceeds max_send_buffer and is skipped");
        uh_conn_log(c, c->request.why);
    }
    if (result != UHTTP_OK || p == NULL)
        return result;
    p = uh_text_put(p, mark.ptr, first);
    p = uh_text_put(p, line.ptr, line.len);
    if (content_type != NULL)
        p = uh_put_line(p, "Content-Type: ", content_type);
    p = uh_text_puts(p + fields, "\r\n");
    p = uh_text_puts(uh_text_put(p, bytes.ptr, length), "\r\n");
    uh_text_put(p, mark.ptr, mark.len);
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_multipart_end(uhttp_conn *c) { return uhttp_stream_end(c); }

/*--- JSON into a response or a stream ---------------------------------------------------*/

#if UH_JSON

/* Starts a text that goes to the connection, if that is in one of these states; false: the text
 * has ended. */
static bool uh_json_begin_in(uhttp_json_writer *w, uhttp_conn *c, unsigned states,
                             uhttp_result (*room)(void *user, size_t length, char **where))
{
    if (w == NULL)                  /* nobody would hear CLOSED */
        return false;
    uh_json_begin_sink(w, c, room);
    w->error = uh_conn_may(c, states);
    return w->error == UHTTP_OK;
}

static uhttp_result uh_json_room_in_response(void *user, size_t length, char **where)
{
    uhttp_conn *c = (uhttp_conn *)user;
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND);
    if (may != UHTTP_OK)
        return may;
    *where = uh_composed_room(c, length);
    if (*where == NULL)
        return uh_conn_tell(c, uh_response_no_room(c));
    uh_composed_add(c, length);
    return UHTTP_OK;
}

UHTTP_API void uhttp_json_begin_response(uhttp_json_writer *w, uhttp_conn *c)
{
    if (uh_json_begin_in(w, c, UH_MAY_RESPOND, uh_json_room_in_response))
        uh_composed_drop(c);
}

UHTTP_API uhttp_result uhttp_json_respond(uhttp_json_writer *w, int status)
{
    if (w == NULL)
        return UHTTP_ERR_INVALID;
    uhttp_conn *c = (uhttp_conn *)w->user;
    if (w->room != uh_json_room_in_response)
        return UHTTP_ERR_STATE;
    if (w->error == UHTTP_ERR_CLOSED)       /* the program has been told by it already */
        return UHTTP_ERR_CLOSED;
    uhttp_result result = uh_response_check(c, status, NULL);
    if (result == UHTTP_OK && uh_status_has_no_body(status))
        result = uh_response_fail(c, UHTTP_ERR_INVALID);
    else if (result == UHTTP_OK && uhttp_json_error(w) != UHTTP_OK)
        result = uh_response_fail(c, uhttp_json_error(w));
    else if (result == UHTTP_OK && c->request.composed != w->length)
        result = uh_response_fail(c, UHTTP_ERR_STATE);      /* discarded by something else */
    if (result != UHTTP_OK) {
        if (c != NULL && c->told)
            uh_composed_drop(c);
        return result;
    }
    return uh_respond_composed(c, status, "application/json");
}

static uhttp_result uh_json_room_in_stream(void *user, size_t length, char **where)
{
    return uh_stream_reserve((uhttp_conn *)user, length, where);
}

UHTTP_API void uhttp_json_begin_stream(uhttp_json_writer *w, uhttp_conn *c)
{
    (void)uh_json_begin_in(w, c, UH_IN_STREAM, uh_json_room_in_stream);
}

#define UH_ROW_END   "\n"
#define UH_EVENT_END "\n\n"

/* Makes room for more of a piece that is sent as a whole, and for its end. */
static uhttp_result uh_json_room_in_piece(uhttp_conn *c, size_t length, size_t end,
                                          char **where)
{
    uhttp_result result = uh_conn_may(c, UH_MAY_STREAM);
    *where = NULL;
    if (result != UHTTP_OK || c->request.is_head)
        return result;
    result = uh_stream_make_room(c, c->draft + length + end);
    if (result != UHTTP_OK) {
        uh_draft_clear(c);
        return result;
    }
    *where = (char *)c->tx.data + c->tx.tail;
    uh_composed_add(c, length);
    return UHTTP_OK;
}

static uhttp_result uh_json_room_in_row(void *user, size_t length, char **where)
{
    return uh_json_room_in_piece((uhttp_conn *)user, length, sizeof UH_ROW_END - 1, where);
}

static uhttp_result uh_json_room_in_event(void *user, size_t length, char **where)
{
    return uh_json_room_in_piece((uhttp_conn *)user, length, sizeof UH_EVENT_END - 1, where);
}

static void uh_json_begin_piece(uhttp_json_writer *w, uhttp_conn *c,
                                uhttp_result (*room)(void *user, size_t length, char **where))
{
    if (uh_json_begin_in(w, c, UH_IN_STREAM, room))
        uh_draft_clear(c);
    if (w != NULL)
        w->whole = true;
}

/* Sends the text, w->size bytes in front of it, and its end. Line ends can only have come by
 * uhttp_json_raw(), between the words of JSON, where a blank means the same. */
static uhttp_result uh_json_send_piece(uhttp_json_writer *w, const char *end)
{
    uhttp_conn *c = (uhttp_conn *)w->user;
    size_t length = w->size + w->length;
    char *where;
    if (w->error == UHTTP_ERR_CLOSED)       /* the program has been told by it already */
        return UHTTP_ERR_CLOSED;
    uhttp_result result = uh_conn_may(c, UH_IN_STREAM);
    if (result != UHTTP_OK)
        return result;
    result = uhttp_json_error(w);
    if (result == UHTTP_OK && !c->request.is_head && c->draft != length)
        result = UHTTP_ERR_STATE;           /* sent already, or dropped by another write */
    if (result != UHTTP_OK) {
        uh_draft_clear(c);
        return result;
    }
    result = uh_stream_take(c, length + strlen(end), 0, &where);
    if (result != UHTTP_OK || where == NULL)
        return result;
    for (size_t i = w->size; i < length; i++) {
        if (where[i] == '\n' || where[i] == '\r')
            where[i] = ' ';
    }
    uh_text_puts(where + length, end);
    return UHTTP_OK;
}

UHTTP_API void uhttp_json_begin_row(uhttp_json_writer *w, uhttp_conn *c)
{
    uh_json_begin_piece(w, c, uh_json_room_in_row);
}

UHTTP_API uhttp_result uhttp_json_send_row(uhttp_json_writer *w)
{
    if (w == NULL)
        return UHTTP_ERR_INVALID;
    if (w->room != uh_json_room_in_row)
        return UHTTP_ERR_STATE;
    return uh_json_send_piece(w, UH_ROW_END);
}

UHTTP_API void uhttp_json_begin_event(uhttp_json_writer *w, uhttp_conn *c,
                                      const uhttp_sse_event *event)
{
    uhttp_sse_event head;
    char *where;
    memset(&head, 0, sizeof head);
    if (event != NULL)
        head = *event;
    uh_json_begin_piece(w, c, uh_json_room_in_event);
    if (!uh_json_is_broken(w) && (head.data != NULL || !uh_text_is_one_line(head.event) ||
                                  !uh_text_is_one_line(head.id)))
        w->error = UHTTP_ERR_INVALID;
    if (uh_json_is_broken(w))
        return;
    head.data = "";
    head.data_length = 0;
    size_t before = uh_sse_put(NULL, &head) - (sizeof UH_EVENT_END - 1);
    w->error = uh_json_room_in_event(c, before, &where);
    if (w->error == UHTTP_OK && where != NULL) {
        (void)uh_sse_put(where, &head);     /* and its end, where the text will be */
        w->size = before;
    }
}

UHTTP_API uhttp_result uhttp_json_send_event(uhttp_json_writer *w)
{
    if (w == NULL)
        return UHTTP_ERR_INVALID;
    if (w->room != uh_json_room_in_event)
        return UHTTP_ERR_STATE;
    return uh_json_send_piece(w, UH_EVENT_END);
}

#else

UHTTP_API void uhttp_json_begin_response(uhttp_json_writer *w, uhttp_conn *c)
{
    uhttp_json_begin(w, NULL, 0);
    if (w != NULL)
        w->user = c;
}

UHTTP_API uhttp_result uhttp_json_respond(uhttp_json_writer *w, int status)
{
    uhttp_conn *c = w != NULL ? (uhttp_conn *)w->user : NULL;
    (void)status;
    return c != NULL ? uh_response_unsupported(c) : UHTTP_ERR_UNSUPPORTED;
}

UHTTP_API void uhttp_json_begin_stream(uhttp_json_writer *w, uhttp_conn *c)
{
    (void)c;
    uhttp_json_begin(w, NULL, 0);
}

UHTTP_API void uhttp_json_begin_row(uhttp_json_writer *w, uhttp_conn *c)
{
    (void)c;
    uhttp_json_begin(w, NULL, 0);
}

UH_LACKS_1(uhttp_json_send_row, uhttp_json_writer *)

UHTTP_API void uhttp_json_begin_event(uhttp_json_writer *w, uhttp_conn *c,
                                      const uhttp_sse_event *event)
{
    (void)event;
    uhttp_json_begin_row(w, c);
}

UHTTP_API uhttp_result uhttp_json_send_event(uhttp_json_writer *w)
{
    return uhttp_json_send_row(w);
}

#endif

UHTTP_API uhttp_result uhttp_close(uhttp_conn *c)
{
    unsigned anywhere = UH_MAY_RESPOND | UH_MAY_STREAM | (unsigned)UH_IN_GOODBYE;
    uhttp_result may = uh_conn_may(c, anywhere);
    if (may != UHTTP_OK)
        return may;
    uh_conn_flush(c);               /* answers to earlier requests */
    uh_conn_let_go(c);
    uh_conn_drop(c);
    return UHTTP_OK;
}

/*==============================================================================
 * 09 REQUEST                  its begin, what the program may ask of it, its end
 *==============================================================================
 * Finds the head in rx, has it parsed once, and lays out the window and the margin.
 * From the first event on nothing here moves a byte the program may look at.
 */

/* No more requests will come: what is owed is sent, then the connection ends. */
static uh_next uh_conn_finish(uhttp_conn *c)
{
    c->keep = false;
    c->parting = true;
    c->request.body_state = UH_BODY_NONE;
    if (uh_conn_owes(c)) {
        uh_conn_enter(c, UH_SEND);
        return UH_MORE;
    }
    uh_conn_drop(c);
    return UH_WAIT;
}

/* States that wait for the network, the clock or the program alone. */
static uh_next uh_step_none(uhttp_conn *c)
{
    (void)c;
    return UH_WAIT;
}

static uh_next uh_conn_go_on_shaking(uhttp_conn *c)
{
    int n = uh_conn_shake(c);
    if (n == UHTTP_PLAIN)
        return uh_refuse(c, 400, UH_WHY("plain HTTP to a secure listener"));
    if (n != 0)
        return UH_WAIT;
    uh_conn_enter(c, UH_IDLE);
    return UH_MORE;
}

/* The first bytes of a secure peer are here: only now its transport takes memory, and its
 * handshake begins, or waits for others'. */
static uh_next uh_conn_begin_handshake(uhttp_conn *c)
{
    uhttp_server *s = c->server;
    const uh_listener *l = &s->listeners[c->listener];
    if (!c->readable) {
        c->wants = UH_READ;
        return UH_WAIT;
    }
    if (s->counts[UH_HANDSHAKE] >= l->max_handshakes) {
        uh_conn_join(c, UH_TIME_TURN);
        return UH_WAIT;
    }
    c->t = (c->transport->open)(l->transport_user, (intptr_t)c->fd);
    if (c->t == NULL && uh_server_evict(s, true))
        c->t = (c->transport->open)(l->transport_user, (intptr_t)c->fd);
    if (c->t == NULL) {
        uh_conn_log(c, UH_WHY("no memory for a TLS connection"));
        uh_conn_lose(c);
        return UH_WAIT;
    }
    uh_conn_enter(c, UH_HANDSHAKE);
    return UH_MORE;
}

/* See uhttp_server.handshake. */
static uh_next uh_conn_handshake(uhttp_conn *c)
{
    return c->t == NULL ? uh_conn_begin_handshake(c) : uh_conn_go_on_shaking(c);
}

static uh_next uh_step_of_offer(uhttp_conn *c) { return (c->server->offer)(c); }
static uh_next uh_step_of_stream(uhttp_conn *c) { return (c->server->streams->step)(c); }
static uh_next uh_step_handshake(uhttp_conn *c) { return (c->server->handshake)(c); }

static uh_next uh_step_idle(uhttp_conn *c)
{
    if (c->t == NULL)
        return (c->server->handshake)(c);
    if (uh_buf_used(&c->rx) > 0) {
        uh_conn_enter(c, UH_HEAD);
        return UH_MORE;
    }
    if (uh_conn_owes(c) && !c->set_aside) {     /* held back for an answer that does not come */
        uh_conn_enter(c, UH_SEND);
        return UH_MORE;
    }
    if (c->starved) {
        c->starved = false;
        return uh_refuse(c, 503, UH_WHY("no memory for a request"));
    }
    return c->fin ? uh_conn_finish(c) : UH_WAIT;
}

/* Is the target a path and nothing else, with nothing to decode? */
static bool uh_head_is_plain(const uhttp_head *head)
{
    return head->path.len == head->target.len &&
           ((UH_WIDE && head->plain) || memchr(head->path.ptr, '%', head->path.len) == NULL);
}

/* Room for what is copied out of a head, to be decoded or ended:
 *
 *   margin  [ NUL of a body | path | host | query | cookies ]  each with its NUL
 *
 * Path, host and query are pieces of the target. */
static size_t uh_request_margin(const uhttp_head *head)
{
    return 1 + (uh_head_is_plain(head) ? 0 : head->target.len + 3) + head->cookie_length;
}

/* Window a body needs at least: all of a small one, some bytes of any other. */
UH_APART static uint32_t uh_request_least_window(const uh_request *r)
{
    if (r->chunked || r->framing.left > UH_WINDOW_MIN)
        return UH_WINDOW_MIN;
    return (uint32_t)r->framing.left;
}

/* Makes room for margin and window behind the head. If only pipelined bytes are in the way
 * they are given up: the answer says close, the client repeats them (RFC 9112 9.3.2). */
static bool uh_request_make_room(uhttp_conn *c, size_t margin, uint32_t head_len)
{
    const uh_request *r = &c->request;
    uh_pool *m = &c->server->pool;
    uint32_t behind = uh_buf_used(&c->rx) - head_len;
    uint32_t window = uh_request_least_window(r);
    if (uh_pool_is_fixed(m) && window > 0)      /* all of the buffer is the body's */
        uh_buf_slide(&c->rx);
    else if (UH_FILES && window > 0 && c->server->config.event_mode)
        window = UH_WINDOW_MIN + UH_NAMES_ROOM;     /* whatever requests came before */
    uint32_t more = window > behind ? window - behind : 0;
    if (uh_buf_reserve(m, &c->rx, margin + more))
        return true;
    if (r->chunked || behind <= r->framing.left)
        return false;
    c->rx.tail -= behind - (uint32_t)r->framing.left;
    c->keep = false;
    c->parting = false;         /* something unread is left: the end must linger */
    return uh_buf_reserve(m, &c->rx, margin + more);
}

/* Copies what is to be decoded or ended into the margin. The head may have moved since it was
 * parsed: what counts is the offsets in the request, and of the slices only their lengths. */
static void uh_request_carve(uhttp_conn *c, const uhttp_head *head)
{
    uh_request *r = &c->request;
    char *base = (char *)c->rx.data + r->at;
    char *p = (char *)c->rx.data + c->rx.size - r->margin + 1;
    if (r->margin > 1 + head->cookie_length) {
        uhttp_str path;
        size_t length = 0;
        path.ptr = base + r->path;
        path.len = head->path.len;
        r->path = (uint32_t)(p - base);
        (void)uhttp_percent_decode(path, false, p, &length);    /* checked by the parser */
        p[length] = '\0';
        p += length + 1;
        if (r->host > 0 && r->host < r->url + head->target.len) {
            const char *host = base + r->host;
            r->host = (uint32_t)(p - base);
            p = uh_text_put(p, host, head->host.len);
            *p++ = '\0';
        }
    }
    r->query_room = (uint32_t)(p - base);
}

/* Where a string of the head at text lies; 0: there is none. */
static uint32_t uh_request_offset(const char *text, uhttp_str s)
{
    return s.ptr != NULL ? (uint32_t)(s.ptr - text) : 0;
}

/* Notes a parsed head in the slot; false: there is no room for what it needs. */
static bool uh_request_begin(uhttp_conn *c, const uhttp_head *head, uint32_t head_len)
{
    uhttp_server *s = c->server;
    uh_request *r = &c->request;
    const char *text = (const char *)c->rx.data + c->rx.head;
    size_t margin = uh_request_margin(head);
    c->keep = !head->close && (r->minor || head->keep_alive);
    c->parting = !c->keep;
    r->url = (uint32_t)(head->target.ptr - text);
    r->path = (uint32_t)(head->path.ptr - text);
    r->host = uh_request_offset(text, head->host);
    r->query = uh_request_offset(text, head->query);
    memset(&r->framing, 0, sizeof r->framing);
    r->chunked = head->chunked;
    if (head->content_length > 0)
        r->framing.left = (uint64_t)head->content_length;
    if (!uh_request_make_room(c, margin, head_len))
        return false;
    r->at = c->rx.head;
    r->head_len = head_len;
    r->margin = (uint32_t)margin;
    uh_request_carve(c, head);
    r->began = s->now;
    r->body_state = r->chunked || r->framing.left > 0 ? UH_BODY_COMING : UH_BODY_NONE;
    c->rx.head += head_len;
    r->body = c->rx.head;
    r->expects = head->expect_continue && uh_buf_used(&c->rx) == 0;
    c->skipped_blank = false;
    c->served++;
    s->stats.requests++;
    return true;
}

/* A head that does not end within its limit: which part of it is too long? */
static uh_next uh_request_refuse_long(uhttp_conn *c)
{
    const char *head = (const char *)c->rx.data + c->rx.head;
    if (memchr(head, '\n', c->server->config.max_headers_length) == NULL)
        return uh_refuse(c, 414, UH_WHY("request line exceeds max_headers_length"));
    return uh_refuse(c, 431, UH_WHY("request head exceeds max_headers_length"));
}

/* One empty line before a request is passed over (RFC 9112 section 2.2). */
static void uh_request_skip_blank(uhttp_conn *c)
{
    const uint8_t *p = c->rx.data + c->rx.head;
    if (!c->skipped_blank && uh_buf_used(&c->rx) >= 2 && p[0] == '\r' && p[1] == '\n') {
        c->skipped_blank = true;
        c->rx.head += 2;
        c->request.span.scanned = 0;
    }
}

/* No end of the head is there. Will there be one? */
static uh_next uh_request_await_end(uhttp_conn *c)
{
    c->request.span.scanned = uh_buf_used(&c->rx);
    if (uh_buf_used(&c->rx) >= c->server->config.max_headers_length)
        return uh_request_refuse_long(c);
    if (c->starved)
        return uh_refuse(c, 503, UH_WHY("no memory for a request"));
    return c->fin ? uh_conn_finish(c) : UH_WAIT;
}

static bool uh_peer_is_trusted(const uhttp_conn *c, const uh_peer *peer)
{
    const uhttp_server *s = c->server;
    return uh_networks_hold(s->proxies, s->proxy_count, peer);
}

/* Does it ask without TLS for what is only to be had with it? A trusted proxy has seen to that.
 * RFC 9110 section 7.4 */
static bool uh_request_is_misdirected(const uhttp_conn *c, const uhttp_head *head)
{
    const char *p = head->target.ptr;
    bool is_https = *p >= 'A' && p[4] != ':';   /* the scheme of an absolute target, or http */
    return is_https && !uh_conn_is_secure(c) && !uh_peer_is_trusted(c, &c->peer);
}

static uh_next uh_step_head(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uhttp_head head;
    uh_request_skip_blank(c);
    if (uh_buf_used(&c->rx) == 0) {     /* no head has begun */
        uh_conn_enter(c, UH_IDLE);
        return UH_MORE;
    }
    const char *text = (const char *)c->rx.data + c->rx.head;
    /* Also for a head that is refused before its line is read (RFC 9110 section 9.3.2). */
    r->is_head = uh_buf_used(&c->rx) > 4 && memcmp(text, "HEAD ", 5) == 0;
    if (*text == 0x16)                  /* a handshake record, RFC 8446 section 5.1 */
        return uh_refuse(c, 400, UH_WHY("TLS spoken to a plain listener"));
    uint32_t limit = (uint32_t)c->server->config.max_headers_length;
    const char *end = text + uh_min(uh_buf_used(&c->rx), limit);
    /* Input mostly ends with a head: then an end is there, and the parser finds the first. */
    if (end - text < 4 || memcmp(end - 4, "\r\n\r\n", 4) != 0)
        end = uh_head_find_end(text, text + r->span.scanned, end);
    if (end == NULL)
        return uh_request_await_end(c);
    if (end == text)
        return uh_refuse(c, 400, UH_WHY("LF without CR"));
    int length = uh_head_parse(text, end, true, &head);
    r->minor = head.version_minor > 0;
    if (length < 0) {
        /* An LF without CR in the rest is what is said of it, as if it came byte by byte. */
        const char *line = head.fields.ptr != NULL ? head.fields.ptr + head.fields.len : text;
        if (uh_head_find_end(text, line, end) == text)
            length = UH_REFUSE(&head, 400, UH_WHY("LF without CR"));
        return uh_refuse(c, -length, head.why);
    }
    if (uh_request_is_misdirected(c, &head))
        return uh_refuse(c, 421, UH_WHY("https target on a plain listener"));
    if (!uh_request_begin(c, &head, (uint32_t)length))
        return uh_refuse(c, uh_pool_is_fixed(&c->server->pool) ? 431 : 503,
                         UH_WHY("no room for the head and its decoded copies"));
    bool events = c->server->config.event_mode;
    if (UH_WS && uh_body_is_whole(r) && head.upgrade && events && uhttp_is_websocket_request(c))
        return uh_conn_deliver(c, UHTTP_EVENT_WS_REQUEST);
    if (uh_body_is_whole(r))
        return uh_conn_deliver(c, UHTTP_EVENT_REQUEST);
    uh_conn_enter(c, events ? UH_OFFER : UH_BODY);
    return UH_MORE;
}

/*--- accessors: strings in the head --------------------------------------------------------*/

static char *uh_request_at(const uhttp_conn *c, uint32_t offset)
{
    return (char *)c->rx.data + c->request.at + offset;
}

/* Is there a request to be asked about? */
static bool uh_request_is_here(const uhttp_conn *c)
{
    return c != NULL && c->request.head_len > 0;
}

UHTTP_API const char *uhttp_method(const uhttp_conn *c)
{
    return uh_request_is_here(c) ? uh_request_at(c, 0) : "";
}

UHTTP_API const char *uhttp_url(const uhttp_conn *c)
{
    return uh_request_is_here(c) ? uh_request_at(c, c->request.url) : "";
}

UHTTP_API bool uhttp_is_get(const uhttp_conn *c)
{
    return c != NULL && (c->request.is_head || strcmp(uhttp_method(c), "GET") == 0);
}

/* Where the field lines begin: behind the target, the version and its CRLF. */
static uint32_t uh_request_fields(const uhttp_conn *c)
{
    return c->request.url + (uint32_t)strlen(uhttp_url(c)) + 1 + 8 + 2;
}

UHTTP_API const char *uhttp_protocol(const uhttp_conn *c)
{
    if (!uh_request_is_here(c))
        return "";
    return c->request.minor ? "HTTP/1.1" : "HTTP/1.0";
}

UHTTP_API const char *uhttp_path(const uhttp_conn *c)
{
    return uh_request_is_here(c) ? uh_request_at(c, c->request.path) : "";
}

UHTTP_API const char *uhttp_host(const uhttp_conn *c)
{
    bool has = uh_request_is_here(c) && c->request.host > 0;
    return has ? uh_request_at(c, c->request.host) : NULL;
}

/* Walks the field lines, whose names and values have been ended where they stand; *at is 0
 * before the first. */
static bool uh_request_field(const uhttp_conn *c, uint32_t *at, const char **name,
                             const char **value)
{
    if (!uh_request_is_here(c))
        return false;
    if (*at == 0)
        *at = uh_request_fields(c);
    if (*at + 2 >= c->request.head_len)
        return false;
    const char *p = uh_request_at(c, *at);
    *name = p;
    p += strlen(p) + 1;
    while (uh_char_is_blank(*p))
        p++;
    *value = p;
    p += strlen(p);
    while (*p != '\n')          /* white space and CR; the value's NUL may stand on either */
        p++;
    *at = (uint32_t)(p + 1 - uh_request_at(c, 0));
    return true;
}

static bool uh_same_name(const char *a, const char *b)
{
    while (*a != '\0' && uh_char_lower(*a) == uh_char_lower(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

/* The value of the next field of that name, from *at on; NULL: there is none. */
static const char *uh_request_next(const uhttp_conn *c, const char *name, uint32_t *at)
{
    const char *field, *value;
    while (uh_request_field(c, at, &field, &value)) {
        if (uh_same_name(field, name))
            return value;
    }
    return NULL;
}

UHTTP_API const char *uhttp_header(const uhttp_conn *c, const char *name)
{
    uint32_t at = 0;
    return name != NULL ? uh_request_next(c, name, &at) : NULL;
}

/*--- accessors: parameters --------------------------------------------------------------
 *
 * A query stays as it came; what is asked for is decoded into the margin, each piece to its own
 * place there. Cookies and a form are lists of strings, name NUL value NUL, in a place of their
 * own: cookies once asked for in the margin, a form in its body.
 */

/* Decodes a piece of the raw query; the separator behind it becomes its NUL. Doing it again
 * writes the same bytes. */
UH_APART static const char *uh_query_decode(uhttp_conn *c, const char *query,
                                            uhttp_str piece)
{
    char *to = uh_request_at(c, c->request.query_room) + (piece.ptr - query);
    size_t length = 0;
    (void)uhttp_percent_decode(piece, true, to, &length);   /* checked by the head's parser */
    to[length] = '\0';
    return to;
}

static bool uh_query_step(uhttp_conn *c, uint32_t *at, const char **name, const char **value)
{
    uhttp_str raw_name, raw_value;
    if (c->request.query == 0)
        return false;
    const char *query = uh_request_at(c, c->request.query);
    const char *p = query + *at;
    p += strspn(p, "&");
    uhttp_str pair = uh_text_slice(p, p + strcspn(p, "&"));
    *at = (uint32_t)(pair.ptr + pair.len - query);
    if (!uhttp_query_next(&pair, &raw_name, &raw_value))
        return false;
    if (raw_value.ptr == NULL)
        raw_value = uh_text_slice(pair.ptr, pair.ptr);      /* "", at the end of the name */
    *name = uh_query_decode(c, query, raw_name);
    *value = uh_query_decode(c, query, raw_value);
    return true;
}

/* Copies the Cookie fields behind the query in the margin, as name NUL value NUL. A pair needs
 * no more than its own length and one byte, and has a separator or the two bytes that
 * uh_request_margin counts for its field. */
static void uh_cookies_copy(uhttp_conn *c)
{
    uh_request *r = &c->request;
    const char *field;
    uhttp_str cookies, name, value;
    char *to = uh_request_at(c, r->query_room);
    uint32_t at = 0;
    if (r->query > 0)
        to += strlen(uh_request_at(c, r->query)) + 1;
    char *start = to;
    while ((field = uh_request_next(c, "cookie", &at)) != NULL) {
        cookies = uh_text_of(field);
        while (uhttp_cookie_next(&cookies, &name, &value)) {
            to = uh_text_put(to, name.ptr, name.len);
            *to++ = '\0';
            to = uh_text_put(to, value.ptr, value.len);
            *to++ = '\0';
        }
    }
    r->cookies_end = (uint32_t)(to - uh_request_at(c, 0));
    r->cookies = (uint32_t)(start - uh_request_at(c, 0));
}

/* The next of a list of strings, which ends at end or with a NUL there. */
static bool uh_strings_step(const char *text, const char *end, uint32_t *at, const char **name,
                            const char **value)
{
    const char *p = text + *at;
    if (p >= end)
        return false;
    *name = p;
    *value = p + strlen(p) + 1;
    *at = (uint32_t)(*value + strlen(*value) + 1 - text);
    return true;
}

static bool uh_list_step(uhttp_conn *c, uh_list list, uint32_t *at, const char **name,
                         const char **value)
{
    if (!uh_request_is_here(c))
        return false;
    uh_request *r = &c->request;
    if (list == UH_LIST_HEADERS)
        return uh_request_field(c, at, name, value);
    if (list == UH_LIST_QUERY)
        return uh_query_step(c, at, name, value);
    if (list == UH_LIST_FORM && r->body_state == UH_BODY_FORM) {
        const char *form = (const char *)uh_window(c)->data + r->body;
        return uh_strings_step(form, form + r->body_len, at, name, value);
    }
    if (list == UH_LIST_FORM)
        return false;
    if (r->cookies_end == 0)
        uh_cookies_copy(c);
    return uh_strings_step(uh_request_at(c, r->cookies), uh_request_at(c, r->cookies_end), at,
                           name, value);
}

static const char *uh_list_find(uhttp_conn *c, uh_list list, const char *name)
{
    const char *n, *value;
    uint32_t at = 0;
    while (name != NULL && uh_list_step(c, list, &at, &n, &value)) {
        if (strcmp(n, name) == 0)
            return value;
    }
    return NULL;
}

static size_t uh_list_count(uhttp_conn *c, uh_list list)
{
    const char *name, *value;
    uint32_t at = 0;
    size_t count = 0;
    while (uh_list_step(c, list, &at, &name, &value))
        count++;
    return count;
}

/* Goes on where the last call stopped if it can, so that taking all in order is linear. */
static bool uh_list_at(uhttp_conn *c, uh_list list, size_t index, const char **name,
                       const char **value)
{
    if (c == NULL)
        return false;
    uh_request *r = &c->request;
    const char *n = NULL;
    const char *v = NULL;
    bool goes_on = r->listed == list && index >= r->taken_count;
    uint32_t count = goes_on ? r->taken_count : 0;
    uint32_t at = goes_on ? r->taken_at : 0;
    do {
        if (!uh_list_step(c, list, &at, &n, &v))
            return false;
    } while (count++ < index);
    r->listed = (uint8_t)list;
    r->taken_count = count;
    r->taken_at = at;
    if (name != NULL)
        *name = n;
    if (value != NULL)
        *value = v;
    return true;
}

/* Fields are only looked at, but where the next one is is noted in the request. */
static uhttp_conn *uh_conn_mutable(const uhttp_conn *c) { return (uhttp_conn *)(uintptr_t)c; }

UHTTP_API size_t uhttp_header_count(const uhttp_conn *c)
{
    return uh_list_count(uh_conn_mutable(c), UH_LIST_HEADERS);
}

UHTTP_API bool uhttp_header_at(const uhttp_conn *c, size_t index, const char **name,
                               const char **value)
{
    return uh_list_at(uh_conn_mutable(c), UH_LIST_HEADERS, index, name, value);
}

UHTTP_API const char *uhttp_query(uhttp_conn *c, const char *name)
{
    return uh_list_find(c, UH_LIST_QUERY, name);
}

UHTTP_API size_t uhttp_query_count(uhttp_conn *c) { return uh_list_count(c, UH_LIST_QUERY); }

UHTTP_API bool uhttp_query_at(uhttp_conn *c, size_t index, const char **name,
                              const char **value)
{
    return uh_list_at(c, UH_LIST_QUERY, index, name, value);
}

UHTTP_API const char *uhttp_cookie(uhttp_conn *c, const char *name)
{
    return uh_list_find(c, UH_LIST_COOKIES, name);
}

UHTTP_API size_t uhttp_cookie_count(uhttp_conn *c) { return uh_list_count(c, UH_LIST_COOKIES); }

UHTTP_API bool uhttp_cookie_at(uhttp_conn *c, size_t index, const char **name,
                               const char **value)
{
    return uh_list_at(c, UH_LIST_COOKIES, index, name, value);
}

UHTTP_API bool uhttp_path_match(const uhttp_conn *c, const char *pattern, uhttp_str *captures,
                                size_t capacity)
{
    return uh_request_is_here(c) && pattern != NULL &&
           uh_path_matches(uhttp_path(c), pattern, captures, capacity);
}

UHTTP_API uhttp_result uhttp_basic_auth(const uhttp_conn *c, char *buffer, size_t size,
                                        const char **user, const char **password)
{
    const char *field = uhttp_header(c, "authorization");
    size_t length = 0;
    if (uh_is_missing(buffer, user, password))
        return UHTTP_ERR_INVALID;
    uhttp_str text = uh_text_of(field);
    if (!uh_text_begins_nocase(text, "basic "))
        return UHTTP_ERR_INVALID;
    text = uh_text_trim(uh_text_slice(field + 5, uh_text_end(text)));
    if (uh_base64_length(text) >= size)
        return text.len % 4 != 0 ? UHTTP_ERR_INVALID : UHTTP_ERR_MEMORY;
    if (uhttp_base64_decode(text, buffer, &length) != UHTTP_OK)
        return UHTTP_ERR_INVALID;
    char *colon = (char *)memchr(buffer, ':', length);
    if (colon == NULL || uh_text_has_control(uh_text_slice(buffer, buffer + length)) ||
        memchr(buffer, '\t', length) != NULL)
        return UHTTP_ERR_INVALID;
    buffer[length] = '\0';
    *colon = '\0';
    *user = buffer;
    *password = colon + 1;
    return UHTTP_OK;
}

/*--- accessors: who asks, as far as proxies are trusted ---------------------------------*/

/* A walk over the elements of all fields of a name together, from zero. */
typedef struct uh_elements {
    uhttp_str list;             /* what is left of this field */
    uint32_t at;                /* of the next field; 0: the first */
} uh_elements;

static bool uh_elements_next(const uhttp_conn *c, const char *name, uh_elements *e,
                             uhttp_str *element)
{
    while (!uhttp_list_next(&e->list, element)) {
        const char *field = uh_request_next(c, name, &e->at);
        if (field == NULL)
            return false;
        e->list = uh_text_of(field);
    }
    return true;
}

/* The element of that index; how many there are. */
static size_t uh_request_element(const uhttp_conn *c, const char *name, size_t index,
                                 uhttp_str *element)
{
    uh_elements e = { { NULL, 0 }, 0 };
    uhttp_str one;
    size_t count = 0;
    while (uh_elements_next(c, name, &e, &one)) {
        if (count++ == index)
            *element = one;
    }
    return count;
}

/* Finds the client: how many elements of X-Forwarded-For, from its end, are to be believed. The
 * way is walked from its begin, once: one who is not trusted, or cannot be read, hides all
 * before it. */
static size_t uh_request_client(const uhttp_conn *c, uh_peer *client)
{
    uh_elements e = { { NULL, 0 }, 0 };
    uhttp_str element;
    uh_peer said;
    size_t hops = 0;
    *client = c->peer;
    if (!uh_peer_is_trusted(c, client))
        return 0;
    while (uh_elements_next(c, "x-forwarded-for", &e, &element)) {
        bool good = uh_text_forwarded(element, &said);
        if (good && hops > 0 && uh_peer_is_trusted(c, &said)) {
            hops++;
            continue;
        }
        *client = good ? said : c->peer;
        hops = good ? 1 : 0;
    }
    return hops;
}

/* What the trusted proxy next to the client says in this field; ptr NULL: nothing. Each proxy
 * may have appended its own view, or replaced the one before. */
static uhttp_str uh_request_vouched(const uhttp_conn *c, const char *name)
{
    uhttp_str said = { NULL, 0 };
    uh_peer client;
    if (!uh_peer_is_trusted(c, &c->peer))
        return said;
    size_t hops = uh_request_client(c, &client);
    size_t count = uh_request_element(c, name, SIZE_MAX, &said);
    hops = hops > 0 ? hops : 1;
    (void)uh_request_element(c, name, count > hops ? count - hops : 0, &said);
    return said;
}

/* Writes an address, "" for none; its length, or UHTTP_ERR_MEMORY. */
static int uh_request_address(const uh_peer *peer, char *buffer, size_t size)
{
    if (buffer == NULL)
        return UHTTP_ERR_INVALID;
    if (size > 0)
        buffer[0] = '\0';
    size_t length = uh_peer_format(peer, buffer, size);
    return length > 0 || (peer->family == 0 && size > 0) ? (int)length : UHTTP_ERR_MEMORY;
}

UHTTP_API int uhttp_socket_address(const uhttp_conn *c, char *buffer, size_t size, int *port)
{
    if (c == NULL)
        return UHTTP_ERR_INVALID;
    if (port != NULL)
        *port = c->peer.port;
    return uh_request_address(&c->peer, buffer, size);
}

UHTTP_API int uhttp_remote_address(const uhttp_conn *c, char *buffer, size_t size)
{
    uh_peer client;
    if (c == NULL)
        return UHTTP_ERR_INVALID;
    (void)uh_request_client(c, &client);
    return uh_request_address(&client, buffer, size);
}

UHTTP_API int uhttp_remote_addresses(const uhttp_conn *c, char *buffer, size_t size)
{
    const char *name = "x-forwarded-for";
    uh_elements e = { { NULL, 0 }, 0 };
    uhttp_str element;
    uh_peer peer;
    int length = 0;
    if (c == NULL || buffer == NULL)
        return UHTTP_ERR_INVALID;
    size_t hops = uh_request_client(c, &peer);
    size_t left = uh_request_element(c, name, SIZE_MAX, &element);
    for (; uh_elements_next(c, name, &e, &element); left--) {
        if (left > hops || !uh_text_forwarded(element, &peer))
            continue;
        int n = uh_request_address(&peer, buffer + length, size - (size_t)length);
        const char *between = left > 1 || c->peer.family != 0 ? ", " : "";
        if (n < 0 || size - (size_t)length - (size_t)n <= strlen(between))
            return UHTTP_ERR_MEMORY;
        length = (int)(uh_text_puts(buffer + length + n, between) - buffer);
    }
    int n = uh_request_address(&c->peer, buffer + length, size - (size_t)length);
    return n < 0 ? n : length + n;
}

/* Writes the server's own address of this connection as an authority. */
static size_t uh_request_local_host(const uhttp_conn *c, char *out, size_t size)
{
    uh_peer local = uh_sys_local(c->fd);
    char *p = out;
    if (size < 64 || local.family == 0)
        return 0;
    if (local.family == 6)
        *p++ = '[';
    p += uh_peer_format(&local, p, 48);
    if (local.family == 6)
        *p++ = ']';
    *p++ = ':';
    return (size_t)(uh_text_put_decimal(p, local.port) - out);
}

/* The host, with its port if it is not the scheme's, that the client named, as far as trusted
 * proxies tell; empty: none. */
static uhttp_str uh_request_authority(const uhttp_conn *c, bool *secure)
{
    uhttp_url_parts parts;
    uhttp_str said = uh_request_vouched(c, "x-forwarded-proto");
    *secure = uh_text_is_nocase(said, "https") || uh_text_is_nocase(said, "wss") ||
              (uh_conn_is_secure(c) && !uh_text_is_nocase(said, "http") &&
               said.len != 2);          /* "ws": some proxies name WebSockets so */
    uhttp_str host = uh_request_vouched(c, "x-forwarded-host");
    if (host.len == 0 || !uh_text_split_host(host, &parts.host, &parts.port) ||
        parts.host.len == 0)
        host = uh_text_of(uhttp_host(c) != NULL ? uhttp_host(c) : "");
    return host;
}

UHTTP_API int uhttp_full_url(const uhttp_conn *c, char *buffer, size_t size)
{
    char local[64];
    bool secure;
    if (c == NULL || buffer == NULL)
        return UHTTP_ERR_INVALID;
    uhttp_str host = uh_request_authority(c, &secure);
    if (host.len == 0)
        host = uh_text_slice(local, local + uh_request_local_host(c, local, sizeof local));
    if (host.len == 0)
        host = uh_text_of("localhost");         /* over a Unix socket */
    const char *scheme = secure ? "https://" : "http://";
    uhttp_str target = uh_text_of(uhttp_url(c));
    uhttp_url_parts parts;
    if (uh_text_is(target, "*"))
        target.len = 0;
    else if (uhttp_url_split(target, &parts) == UHTTP_OK && parts.scheme.ptr != NULL)
        target = uh_text_slice(parts.path.ptr, target.ptr + target.len);
    bool needs_slash = target.len == 0 || *target.ptr != '/';
    size_t length = strlen(scheme) + host.len + (needs_slash ? 1 : 0) + target.len;
    if (length >= size || length > INT32_MAX)
        return UHTTP_ERR_MEMORY;
    char *p = uh_text_put(buffer, scheme, strlen(scheme));
    p = uh_text_put(p, host.ptr, host.len);
    p = uh_text_put(p, "/", needs_slash ? 1 : 0);
    p = uh_text_put(p, target.ptr, target.len);
    *p = '\0';
    return (int)length;
}

/* Is this word, in lower case, an element of the list in fields of that name? */
static bool uh_request_lists(const uhttp_conn *c, const char *name, const char *word)
{
    uh_elements e = { { NULL, 0 }, 0 };
    uhttp_str element;
    while (uh_elements_next(c, name, &e, &element)) {
        if (uh_text_is_nocase(element, word))
            return true;
    }
    return false;
}

UHTTP_API bool uhttp_is_websocket_request(const uhttp_conn *c)
{
    return UH_WS && c != NULL && c->request.minor && !c->request.chunked &&
           uhttp_content_length(c) == 0 &&
           strcmp(uhttp_method(c), "GET") == 0 && uh_request_lists(c, "upgrade", "websocket") &&
           uh_request_lists(c, "connection", "upgrade");
}

UHTTP_API int64_t uhttp_content_length(const uhttp_conn *c)
{
    if (!uh_request_is_here(c))
        return 0;
    const uh_request *r = &c->request;
    bool known = !r->chunked || uh_body_is_whole(r);
    return known ? (int64_t)(r->framing.data + r->framing.left) : -1;
}

UHTTP_API const char *uhttp_content_type(const uhttp_conn *c)
{
    return uhttp_header(c, "content-type");
}

UHTTP_API bool uhttp_is_secure(const uhttp_conn *c)
{
    return c != NULL && uh_conn_is_secure(c);
}

UHTTP_API bool uhttp_is_loaded(const uhttp_conn *c)
{
    return c != NULL && uh_body_is_whole(&c->request);
}

UHTTP_API int uhttp_client_subject(uhttp_conn *c, char *buffer, size_t size)
{
    if (c == NULL || buffer == NULL)
        return UHTTP_ERR_INVALID;
    return c->t != NULL ? uh_tls_subject(c->transport, c->t, buffer, size)
                        : (int)uh_conn_may(c, UH_IN_NONE);
}


UHTTP_API bool uhttp_is_open(const uhttp_conn *c)
{
    return c != NULL && c->state != UH_CLOSED && c->state != UH_FREE && !uh_conn_is_shut(c);
}

UHTTP_API intptr_t uhttp_fd(const uhttp_conn *c)
{
    return c != NULL && c->fd != UH_NO_SOCKET ? (intptr_t)c->fd : -1;
}

UHTTP_API uint64_t uhttp_id(const uhttp_conn *c)
{
    return c != NULL ? c->serial << 24 | uh_conn_slot(c) : 0;
}

UHTTP_API uhttp_conn *uhttp_find(uhttp_server *server, uint64_t id)
{
    uint64_t slot = id & UH_SLOTS_MAX;
    if (server == NULL || id == 0 || slot >= server->config.max_connections)
        return NULL;
    uhttp_conn *c = &server->slots[slot];
    if (!c->told || c->serial != id >> 24)
        return NULL;
    if (uh_conn_may(c, UH_MAY_RESPOND | UH_MAY_STREAM) == UHTTP_ERR_CLOSED)
        return NULL;
    return c;
}

UHTTP_API uhttp_conn *uhttp_next(uhttp_server *server, const uhttp_conn *c)
{
    uint32_t slot = c != NULL ? uh_conn_slot(c) + 1 : 0;
    for (; server != NULL && slot < server->config.max_connections; slot++) {
        if (server->slots[slot].told)
            return &server->slots[slot];
    }
    return NULL;
}

UHTTP_API void uhttp_set_context(uhttp_conn *c, void *context)
{
    if (c != NULL && c->told)           /* a stale pointer must not reach the next request */
        c->request.context = context;
}

UHTTP_API void *uhttp_context(const uhttp_conn *c)
{
    return c != NULL ? c->request.context : NULL;
}

UHTTP_API uhttp_server *uhttp_server_of(const uhttp_conn *c)
{
    return c != NULL ? c->server : NULL;
}

UHTTP_API uhttp_event_type uhttp_event(const uhttp_conn *c)
{
    return c != NULL ? (uhttp_event_type)c->event : UHTTP_EVENT_NONE;
}

UHTTP_API int uhttp_error(const uhttp_conn *c, const char **text)
{
    int error = c != NULL && c->event == UHTTP_EVENT_ERROR ? c->request.error : 0;
    if (text != NULL)
        *text = error == 0 ? "" : c->request.why != NULL ? c->request.why
              : uhttp_status_phrase(error);
    return error;
}

/*--- the end of a request --------------------------------------------------------------*/

#if UH_LOG

UH_SELDOM static void uh_request_tell(uhttp_conn *c)
{
    const uhttp_server *s = c->server;
    const uh_request *r = &c->request;
    uint64_t sent = r->bytes.sent;
    uhttp_access entry;
    char address[48];
    const char *head = r->head_len > 0 ? (const char *)c->rx.data + r->at : NULL;
    uh_peer client;
    (void)uh_request_client(c, &client);
    (void)uh_request_address(&client, address, sizeof address);
    (void)uh_server_date(c->server);
    entry.time_s = s->date_seconds;
    entry.address = address;
    entry.method = head != NULL ? head : "";
    entry.url = head != NULL ? head + r->url : "";
    entry.version_minor = r->minor ? 1 : 0;
    entry.status = r->status;
    sent -= sent < c->source_left ? sent : c->source_left;
    if (c->state == UH_CLOSED)          /* what it still owes was never sent */
        sent -= sent < uh_buf_used(&c->tx) ? sent : uh_buf_used(&c->tx);
    entry.bytes = sent;
    entry.duration_ms = head != NULL ? s->now - r->began : 0;
    s->config.access_log(s->config.user, &entry);
    c->request.status = 0;          /* once */
}

static UH_INLINE void uh_request_log(uhttp_conn *c)
{
    if (c->server->config.access_log != NULL && c->request.status != 0)
        uh_request_tell(c);
}

#else

#define uh_request_log(c) ((void)(c))

#endif

/* The body is not the program's any more, and the byte behind it what it was. */
static void uh_body_take_back(uhttp_conn *c)
{
    uh_request *r = &c->request;
    if (r->body_state != UH_BODY_GIVEN && r->body_state != UH_BODY_FORM)
        return;
    uh_window(c)->data[r->body + r->body_len] = r->overwritten;
    r->body_state = UH_BODY_DECODED;
}

/* Forgets the request but for what is left of its body; the input goes on behind it. */
static void uh_request_end(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uh_request_log(c);
    if (c->told)        /* refused while the program held it: its strings stay */
        return;
    uh_body_take_back(c);
    if (uh_body_is_whole(r))
        r->body_state = UH_BODY_GONE;
    uh_window_release(c);
    uh_wipe(r, offsetof(uh_request, chunked));
    r->bytes.limit = UH_SKIP_LIMIT;
}

static uh_next uh_step_send(uhttp_conn *c)
{
    bool owes = uh_conn_owes(c);
    if (owes && !uh_response_may_wait(c))
        return UH_WAIT;
    if (owes)
        uh_conn_set_aside(&c->server->owing, c);
    uh_request_end(c);
    if (c->keep) {
        uh_conn_enter(c, uh_body_is_whole(&c->request) ? UH_IDLE : UH_SKIP);
        return UH_MORE;
    }
    /* Closing loses nothing when it was the peer's wish and all it sent has been read;
     * otherwise a reset could overtake the answer (RFC 9112 section 9.6). */
    if ((c->parting || c->fin) && uh_body_is_whole(&c->request) &&
        uh_buf_used(&c->rx) == 0 && !c->readable)
        uh_conn_drop(c);
    else
        uh_conn_enter(c, UH_LINGER);
    return UH_MORE;
}

static uh_next uh_step_linger(uhttp_conn *c)
{
    if (c->fin)
        uh_conn_drop(c);
    return UH_WAIT;
}

/*==============================================================================
 * 10 BODY              length or chunked; into memory, to the program, to nowhere
 *==============================================================================
 * Steps OFFER, BODY and SKIP. All kinds of framing come out of uh_window_decode as
 * decoded bytes; what happens to them depends on the sink.
 */

/* A request that fails: the program hears of it if it knows the request and asks for events. */
static uh_next uh_body_fail(uhttp_conn *c, int status, const char *why)
{
    c->keep = false;
    if (!c->told || !c->server->config.event_mode)
        return uh_refuse(c, status, why);
    uh_body_abandon(c);                 /* a file is discarded here */
    c->request.error = (uint16_t)status;
    c->request.why = why;
    c->request.sink = UH_SINK_NONE;
    if (c->state != UH_ANSWER)
        uh_conn_enter(c, UH_ANSWER);
    return uh_conn_post(c, UHTTP_EVENT_ERROR);
}

/* Gives a decoded body to the program, with a NUL behind it. The byte there may be the next
 * request's: it is kept and put back; if nothing is there yet, that one begins one further. */
static void uh_body_give(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uh_buf *w = uh_window(c);
    uint8_t *end = w->data + r->body + r->body_len;
    if (uh_buf_used(w) == 0 && w == &c->rx)
        w->head = w->tail = r->body + r->body_len + 1;
    r->overwritten = *end;
    r->body_state = UH_BODY_GIVEN;
    *end = 0;
}

/* The collected body is whole and goes to the program. */
static uh_next uh_body_deliver(uhttp_conn *c, uhttp_event_type event)
{
    uh_body_give(c);
    return uh_conn_deliver(c, event);
}

/* Larger reads are cheaper where memory allows; without it the window of rx does. */
static void uh_body_widen(uhttp_conn *c)
{
    const uh_request *r = &c->request;
    uint32_t used = c->rx.tail - r->body;
    if (uh_window(c) == &c->rx && !uh_body_is_whole(r) && used < UH_STREAM_BLOCK &&
        (r->chunked || r->framing.left > uh_buf_used(&c->rx) + uh_conn_rx_room(c)))
        (void)uh_window_grow(c, UH_STREAM_BLOCK, UH_STREAM_BLOCK - used);
}

/* Does the body exceed its limit, as announced or counted, or what fixed memory can hold? */
static bool uh_body_is_too_long(uhttp_conn *c)
{
    const uh_request *r = &c->request;
    const uh_buf *w = uh_window(c);
    if (r->framing.data + (r->chunked ? 0 : r->framing.left) > r->bytes.limit)
        return true;
    return r->sink == UH_SINK_COLLECT && uh_pool_is_fixed(&c->server->pool) && !r->chunked &&
           r->framing.left > (uint64_t)uh_buf_used(w) + uh_window_room(c);
}

static uh_next uh_body_fail_long(uhttp_conn *c)
{
    const uhttp_chunked *f = &c->request.framing;
    if (f->data + f->left <= c->request.bytes.limit)
        return uh_body_fail(c, 413, UH_WHY("body exceeds the buffer"));
    if (c->told && c->request.bytes.limit != c->server->config.max_content_length)
        return uh_body_fail(c, 413, UH_WHY("body exceeds the accepted limit"));
    return uh_body_fail(c, 413, UH_WHY("body exceeds max_content_length"));
}

static void uh_body_accept(uhttp_conn *c, uh_sink sink, uint64_t limit)
{
    c->request.sink = (uint8_t)sink;
    c->request.bytes.limit = limit;
    if (!uh_body_is_too_long(c))
        uh_respond_continue(c);
    if (sink == UH_SINK_STREAM)
        uh_body_widen(c);
}

/* Room for more of a collected body; it grows by what has come, not by what was announced. */
static uh_next uh_body_make_room(uhttp_conn *c)
{
    const uint64_t most = c->request.bytes.limit;
    uint32_t limit = UH_SIZE_MAX;
    if (most < UH_SIZE_MAX - UH_BLOCK)      /* a block for framing between the data */
        limit = (uint32_t)most + UH_BLOCK;
    if (uh_window_room(c) > 0 || uh_window_grow(c, limit, 2))
        return UH_WAIT;
    if (uh_pool_is_fixed(&c->server->pool))
        return uh_body_fail(c, 413, UH_WHY("body exceeds the buffer"));
    return uh_body_fail(c, 503, UH_WHY("no memory for a body"));
}

/* Writes what has come to the body's file, and finishes that when all has; 0, or the status
 * of what failed. */
static int uh_body_store(uhttp_conn *c)
{
    int failed = 0;
    if (!UH_FILES)
        return 0;
    if (c->request.body_len > 0) {
        failed = (c->server->files->write)(c);
        uh_window_drop(c);
    }
    bool ended = failed == 0 && uh_body_is_whole(&c->request);
    return ended ? uh_sink_finish(c, true) : failed;
}

static uh_next uh_step_offer(uhttp_conn *c)
{
    uh_request *r = &c->request;
    bool first = !c->told;
    if (uh_window_decode(c) == UHTTP_ERR_INVALID)
        return uh_body_fail(c, 400, UH_WHY("malformed chunked body"));
    if (!first)
        return c->fin && !uh_body_is_whole(r)
                   ? uh_body_fail(c, 400, UH_WHY("body cut short")) : UH_WAIT;
    if (uh_body_is_whole(r) && r->framing.data <= c->server->config.max_content_length)
        return uh_body_deliver(c, UHTTP_EVENT_REQUEST);
    return uh_conn_post(c, UHTTP_EVENT_HEADERS);
}

static uh_next uh_step_body(uhttp_conn *c)
{
    uh_request *r = &c->request;
    if (r->sink == UH_SINK_NONE)        /* outside event mode every body is collected */
        uh_body_accept(c, UH_SINK_COLLECT, c->server->config.max_content_length);
    if (uh_window_decode(c) == UHTTP_ERR_INVALID)
        return uh_body_fail(c, 400, UH_WHY("malformed chunked body"));
    if (uh_body_is_too_long(c))
        return uh_body_fail_long(c);
    if (r->sink == UH_SINK_COLLECT && uh_body_is_whole(r))
        return uh_body_deliver(c, c->told ? UHTTP_EVENT_COMPLETE : UHTTP_EVENT_REQUEST);
    if (r->sink == UH_SINK_STREAM && r->body_len > 0 && r->piece == UH_PIECE_NEW) {
        r->piece = UH_PIECE_SHOWN;
        return uh_conn_post(c, UHTTP_EVENT_DATA);
    }
    if (r->sink == UH_SINK_FILE) {
        int failed = uh_body_store(c);
        if (failed != 0)
            return uh_body_fail(c, failed, UH_WHY("the body's file cannot be written"));
    }
    if (uh_body_is_whole(r))
        return uh_conn_deliver(c, UHTTP_EVENT_COMPLETE);
    if (c->fin)
        return uh_body_fail(c, 400, UH_WHY("body cut short"));
    return r->sink == UH_SINK_COLLECT ? uh_body_make_room(c) : UH_WAIT;
}

/* Throws away what is left of an unread body, up to a limit. */
static uh_next uh_step_skip(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uint32_t had = uh_buf_used(&c->rx);
    size_t made;
    uhttp_result result = uh_body_decode(r, &c->rx, NULL, &made);
    uint32_t used = had - uh_buf_used(&c->rx);
    if (result == UHTTP_ERR_INVALID || c->starved || used > r->bytes.limit ||
        (result == UHTTP_ERR_AGAIN && c->fin)) {
        c->keep = false;
        uh_conn_enter(c, UH_LINGER);
        return UH_MORE;
    }
    r->bytes.limit -= used;
    if (result != UHTTP_OK)
        return UH_WAIT;
    memset(r, 0, sizeof *r);
    uh_conn_enter(c, UH_IDLE);
    return UH_MORE;
}

/* May a body be accepted? After HEADERS, and after a REQUEST in event mode, whose body was
 * small or absent: the program need not know which of both it was. */
static uhttp_result uh_accept_may(uhttp_conn *c)
{
    uhttp_result may = uh_conn_may(c, UH_IN_OFFER | UH_IN_ANSWER);
    if (may != UHTTP_OK || c->state != UH_ANSWER)
        return may;
    const uh_request *r = &c->request;
    bool was_given = r->body_state == UH_BODY_GIVEN || r->body_state == UH_BODY_NONE;
    bool can = c->server->config.event_mode && was_given && r->sink == UH_SINK_NONE &&
               r->error == 0;
    return can ? UHTTP_OK : UHTTP_ERR_STATE;
}

/* It is accepted. One that was given already comes as any other, an absent one is empty. */
UH_APART static void uh_accept_begin(uhttp_conn *c)
{
    if (c == c->server->last)
        c->server->failed = false;
    if (c->state == UH_OFFER)
        return;
    uh_body_take_back(c);
    c->request.body_state = UH_BODY_DECODED;
    c->request.listed = UH_LIST_NONE;
    uh_conn_enter(c, UH_OFFER);
}

UH_APART static uhttp_result uh_accept(uhttp_conn *c, uh_sink sink, uint64_t limit)
{
    uhttp_result may = uh_accept_may(c);
    if (may != UHTTP_OK)
        return may;
    uh_accept_begin(c);
    uh_body_accept(c, sink, limit);
    uh_conn_enter(c, UH_BODY);
    uh_ready_push(c);
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_accept_body(uhttp_conn *c, uint64_t limit)
{
    return uh_accept(c, UH_SINK_COLLECT,
                     limit > 0 || c == NULL ? limit : c->server->config.max_content_length);
}

UHTTP_API uhttp_result uhttp_accept_body_streaming(uhttp_conn *c, uint64_t limit)
{
    return uh_accept(c, UH_SINK_STREAM, limit > 0 ? limit : UINT64_MAX);
}

UHTTP_API const void *uhttp_read_buffer(uhttp_conn *c, size_t *length)
{
    if (c == NULL || length == NULL)
        return NULL;
    uh_request *r = &c->request;
    *length = 0;
    if (r->sink != UH_SINK_STREAM || r->piece == UH_PIECE_TAKEN || !c->told ||
        (c->state != UH_BODY && c->state != UH_ANSWER))
        return NULL;
    uh_ready_push(c);           /* whatever is taken off makes room */
    if (uh_window_decode(c) == UHTTP_ERR_INVALID || r->body_len == 0 || uh_body_is_too_long(c))
        return NULL;            /* what is wrong comes as an event */
    r->piece = UH_PIECE_TAKEN;
    *length = r->body_len;
    return uh_window(c)->data + r->body;
}

/* The program has called again: the piece it took is room now. */
static void uh_body_reclaim(uhttp_conn *c)
{
    if (c->request.piece != UH_PIECE_TAKEN)
        return;
    c->request.piece = UH_PIECE_NEW;
    uh_window_drop(c);
}

UHTTP_API const void *uhttp_body(const uhttp_conn *c, size_t *length)
{
    bool has = c != NULL && c->request.body_state == UH_BODY_GIVEN;
    if (length != NULL)
        *length = has ? c->request.body_len : 0;
    if (!has)
        return NULL;
    return (c->body.data != NULL ? c->body.data : c->rx.data) + c->request.body;
}

UHTTP_API uhttp_str uhttp_body_str(const uhttp_conn *c)
{
    uhttp_str body = { NULL, 0 };
    if (c != NULL)
        body.ptr = (const char *)uhttp_body(c, &body.len);
    return body;
}

UHTTP_API uint64_t uhttp_bytes_received(const uhttp_conn *c)
{
    return c != NULL ? c->request.framing.data : 0;
}

/*--- forms --------------------------------------------------------------------------------*/

/* Is this a form that can be decoded? *bare: how many of its names have no '='. */
static bool uh_form_is_good(uhttp_str form, uint32_t *bare)
{
    uhttp_str name, value;
    const char *end = form.ptr + form.len;
    if (uh_text_find(form.ptr, end, '\0') < end)
        return false;
    for (const char *p = form.ptr; (p = uh_text_find(p, end, '%')) < end; p++) {
        if (uh_text_escape(p, end) == 0)
            return false;
    }
    *bare = 0;
    while (uhttp_query_next(&form, &name, &value))
        *bare += value.ptr == NULL ? 1 : 0;
    return true;
}

/* Makes so many bytes of room behind a collected body; it may move to a block of its own. */
static bool uh_form_make_room(uhttp_conn *c, uint32_t n)
{
    uh_buf *w = uh_window(c);
    uh_ready_push(c);           /* what may be read is another now */
    if (w == &c->rx && uh_buf_used(w) == 0 && n <= uh_conn_rx_room(c)) {
        w->head = w->tail = w->tail + n;
        return true;
    }
    uh_body_take_back(c);
    if (w == &c->rx && n <= uh_conn_rx_room(c)) {       /* the next request makes way */
        memmove(w->data + w->head + n, w->data + w->head, uh_buf_used(w));
        w->head += n;
        w->tail += n;
        uh_body_give(c);
        return true;
    }
    bool grown = uh_window_grow(c, UH_SIZE_MAX, n + 1);
    if (grown)
        uh_window_give_back(c);
    uh_body_give(c);
    return grown;
}

/* Writes the pairs as name NUL value NUL; how many bytes that makes. Names without '=' get
 * longer, so the text is first moved out of the way. */
static uint32_t uh_form_convert(char *form, size_t length, size_t bare)
{
    uhttp_str rest, name, value;
    char *to = form;
    size_t n = 0;
    memmove(form + bare, form, length);
    rest = uh_text_slice(form + bare, form + bare + length);
    while (uhttp_query_next(&rest, &name, &value)) {
        (void)uhttp_percent_decode(name, true, to, &n);         /* looked through before */
        to += n;
        *to++ = '\0';
        (void)uhttp_percent_decode(value, true, to, &n);
        to += n;
        *to++ = '\0';
    }
    return (uint32_t)(to - form);
}

static bool uh_is_form_type(const char *type)
{
    uhttp_str text = uh_text_of(type != NULL ? type : "");
    const char *end = uh_text_find(text.ptr, text.ptr + text.len, ';');
    return uh_text_is_nocase(uh_text_trim(uh_text_slice(text.ptr, end)),
                             "application/x-www-form-urlencoded");
}

UHTTP_API uhttp_result uhttp_form_parse(uhttp_conn *c)
{
    if (c == NULL)
        return UHTTP_ERR_INVALID;
    uh_request *r = &c->request;
    uint32_t bare;
    if (r->body_state == UH_BODY_FORM || uhttp_content_length(c) == 0)
        return UHTTP_OK;
    if (r->body_state != UH_BODY_GIVEN || !c->told)
        return UHTTP_ERR_STATE;
    const char *body = (const char *)uh_window(c)->data + r->body;
    if (!uh_is_form_type(uhttp_content_type(c)) ||
        !uh_form_is_good(uh_text_slice(body, body + r->body_len), &bare))
        return UHTTP_ERR_INVALID;
    if (bare > 0 && !uh_form_make_room(c, bare))
        return UHTTP_ERR_MEMORY;
    char *form = (char *)uh_window(c)->data + r->body;
    uint32_t end = r->body_len + bare;      /* where the last NUL belongs, as the byte behind it
                                               may be the next request's */
    uint32_t made = uh_form_convert(form, r->body_len, bare);
    r->body_len = made > 0 ? made - 1 : 0;
    r->body += end - r->body_len;
    memmove(form + end - r->body_len, form, made);
    r->body_state = UH_BODY_FORM;
    return UHTTP_OK;
}

UHTTP_API const char *uhttp_form(uhttp_conn *c, const char *name)
{
    (void)uhttp_form_parse(c);
    return uh_list_find(c, UH_LIST_FORM, name);
}

UHTTP_API size_t uhttp_form_count(uhttp_conn *c)
{
    (void)uhttp_form_parse(c);
    return uh_list_count(c, UH_LIST_FORM);
}

UHTTP_API bool uhttp_form_at(uhttp_conn *c, size_t index, const char **name,
                             const char **value)
{
    (void)uhttp_form_parse(c);
    return uh_list_at(c, UH_LIST_FORM, index, name, value);
}

/*==============================================================================
 * 11 FILES        a response's body out of a file, and a request's body into one
 *==============================================================================
 * Decides which file, which of its bytes, and under which conditions (RFC 9110 sections
 * 13 and 14); config.files does the rest. The head is composed as any other, the file
 * becomes the source that follows it.
 */

#if UH_FILES

#define UH_SENDFILE_MOST 0x80000u   /* of one sendfile(): others want their turn */
#define UH_ETAG_MOST     63u        /* characters of an entity tag */
#define UH_STILL_NEW     2          /* seconds in which a file may change again unnoticed */

/*--- the source -------------------------------------------------------------------------*/

static void uh_file_source_close(uhttp_conn *c)
{
    const uhttp_files *files = c->server->config.files;
    c->source_kind = UH_SOURCE_STATIC;
    (files->close)(files->user, c->source.file);
}

/* Reads on into tx, as far as its room and file_chunk_size allow. False: the file has less than
 * was announced, or there is no memory. */
static bool uh_file_source_read(uhttp_conn *c)
{
    const uhttp_files *files = c->server->config.files;
    uh_buf *tx = &c->tx;
    size_t most = c->server->config.file_chunk_size;
    size_t want = c->source_left < most ? (size_t)c->source_left : most;
    if (uh_buf_used(tx) >= most)
        return true;                    /* enough is waiting there */
    if (!uh_buf_reserve(&c->server->pool, tx, want)) {
        uh_buf_slide(tx);
        want = want < uh_buf_room(tx) ? want : uh_buf_room(tx);
    }
    if (want == 0)
        return uh_buf_used(tx) > 0;
    size_t n = (files->read)(files->user, c->source.file, c->source_at, tx->data + tx->tail,
                             want);
    if (n == 0 || n > want)
        return false;
    tx->tail += (uint32_t)n;
    uh_source_advance(c, (uint32_t)n);
    if (c->source_left == 0)
        uh_file_source_close(c);
    return true;
}

static int uh_file_source_fails(uhttp_conn *c)
{
    uh_conn_log(c, UH_WHY("a file became shorter, or cannot be read"));
    return UHTTP_FAILED;
}

/* The first bytes leave with the head, all others by sendfile() where that is possible. */
static int uh_file_source_send(uhttp_conn *c, size_t *offered)
{
    bool begins = c->request.bytes.sent == c->source_left;
    if (c->source_kind == UH_SOURCE_SENDFILE && uh_buf_used(&c->tx) == 0) {
        size_t most = c->source_left < UH_SENDFILE_MOST ? (size_t)c->source_left
                                                        : UH_SENDFILE_MOST;
        int n = uh_sys_sendfile(c->fd, c->source.file, c->source_at, most);
        *offered = most;
        if (n == 0)
            return uh_file_source_fails(c);
        if (n != UH_FILE_CANNOT)
            return n;
        c->source_kind = UH_SOURCE_FILE;
    }
    if ((c->source_kind == UH_SOURCE_FILE || begins) && !uh_file_source_read(c))
        return uh_file_source_fails(c);
    return uh_conn_offer(c, offered);
}

/*--- the sink: a record of it stands at the left end of rx's margin -----------------------
 *
 *   file | name beside, NUL | name, NUL
 */

static const char *uh_upload_record(const uhttp_conn *c)
{
    return (const char *)c->rx.data + c->rx.size - c->request.margin;
}

static int uh_upload_status(uhttp_result result)
{
    return result == UHTTP_OK ? 0 : result == UHTTP_ERR_MEMORY ? 507 : 500;
}

static int uh_upload_write(uhttp_conn *c, const char *record)
{
    const uhttp_files *files = c->server->config.files;
    void *file;
    memcpy(&file, record, sizeof file);
    const uint8_t *data = uh_window(c)->data + c->request.body;
    if (c->request.body_len == 0)
        return 0;
    return uh_upload_status((files->write)(files->user, file, data, c->request.body_len));
}

static int uh_upload_finish(uhttp_conn *c, const char *record, bool keep)
{
    const uhttp_files *files = c->server->config.files;
    const char *written = record + sizeof(void *);
    const char *path = written + strlen(written) + 1;
    void *file;
    memcpy(&file, record, sizeof file);
    return uh_upload_status((files->finish)(files->user, file, written, keep ? path : NULL));
}

static int uh_file_sink_write(uhttp_conn *c)
{
    return uh_upload_write(c, uh_upload_record(c));
}

static int uh_file_sink_finish(uhttp_conn *c, bool keep)
{
    return uh_upload_finish(c, uh_upload_record(c), keep);
}

static const uh_file_calls uh_files_in_motion = {
    uh_file_source_send, uh_file_source_close, uh_file_sink_write, uh_file_sink_finish
};

#define UH_UPLOAD_NAME ".upload-0123456789abcdef"

/* Bytes of the directory in front of a file's name. */
static size_t uh_upload_directory(const char *path)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] != '/' && path[length - 1] != '\\')
        length--;
    return length;
}

/* Writes both names into the record; that of the file in the making lacks its number. */
static void uh_upload_compose(char *record, const char *path)
{
    char *name = uh_text_put(record + sizeof(void *), path, uh_upload_directory(path));
    (void)uh_text_put(name, UH_UPLOAD_NAME, sizeof UH_UPLOAD_NAME);
    (void)uh_text_put(name + sizeof UH_UPLOAD_NAME, path, strlen(path) + 1);
}

/* Creates a file of a name nobody has, beside the other, and notes it in the record; 0, or the
 * status of what failed. Other processes may be at it with the same numbers. */
static int uh_upload_create(uhttp_conn *c, char *record)
{
    const uhttp_files *files = c->server->config.files;
    uint64_t number = uhttp_id(c) ^ (uint64_t)UHTTP_TIME() << 24 ^ c->server->now;
    uhttp_result result = UHTTP_ERR_IN_USE;
    char *end = record + sizeof(void *);
    end += strlen(end) + 1;
    for (int tries = 0; tries < 8 && result == UHTTP_ERR_IN_USE; tries++) {
        void *file = NULL;
        number = number * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
        (void)uh_put_hex(end - 17, 16, number);
        result = (files->create)(files->user, record + sizeof(void *), &file);
        memcpy(record, &file, sizeof file);
    }
    return uh_upload_status(result);
}

static uhttp_result uh_upload_fails(uhttp_conn *c, int status)
{
    const char *why = UH_WHY("the body's file cannot be written");
    if (status == 400)
        why = UH_WHY("malformed chunked body");
    if (status == 413)
        (void)uh_body_fail_long(c);
    else
        (void)uh_body_fail(c, status, why);
    return UHTTP_OK;
}

/* Writes what has come already, so that its room is free for the record. */
static uhttp_result uh_upload_begin(uhttp_conn *c, const char *record, size_t length)
{
    uh_request *r = &c->request;
    int failed = 0;
    if (uh_window_decode(c) == UHTTP_ERR_INVALID)
        failed = 400;
    else if (uh_body_is_too_long(c))
        failed = 413;
    else
        failed = uh_upload_write(c, record);
    bool ended = uh_body_is_whole(r) || failed != 0;
    int finished = ended ? uh_upload_finish(c, record, failed == 0) : 0;
    if (failed != 0 || finished != 0)
        return uh_upload_fails(c, failed != 0 ? failed : finished);
    uh_window_drop(c);
    if (uh_body_is_whole(r)) {
        (void)uh_conn_deliver(c, UHTTP_EVENT_COMPLETE);
        return UHTTP_OK;
    }
    UHTTP_ASSERT(uh_buf_used(&c->rx) == 0);
    r->margin += (uint32_t)length;
    memcpy(c->rx.data + c->rx.size - r->margin, record, length);
    r->sink = UH_SINK_FILE;
    uh_respond_continue(c);
    uh_body_widen(c);
    uh_conn_enter(c, UH_BODY);
    uh_ready_push(c);
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_accept_body_to_file(uhttp_conn *c, const char *path,
                                                 uint64_t limit)
{
    char absolute[UH_PATH_BYTES];
    uhttp_result may = uh_accept_may(c);
    if (may != UHTTP_OK)
        return may;
    const uhttp_files *files = c->server->config.files;
    uh_request *r = &c->request;
    if (files == NULL || files->create == NULL)
        return UHTTP_ERR_UNSUPPORTED;
    if (path == NULL || path[0] == '\0')
        return UHTTP_ERR_INVALID;
    if (files == uh_system_files)
        path = uh_file_absolute(path, absolute);
    /* How much of the body has come decides nothing here: it will have been written. */
    size_t record = sizeof(void *) + uh_upload_directory(path) + sizeof UH_UPLOAD_NAME +
                    strlen(path) + 1;
    size_t behind = c->rx.size - r->margin - r->body;
    bool fits = behind >= UH_WINDOW_MIN && record <= behind - UH_WINDOW_MIN;
    if ((!fits && uhttp_content_length(c) != 0) || !uh_response_reserve(c, record))
        return uh_conn_tell(c, uh_response_no_room(c));
    char *composed = (char *)c->tx.data + c->tx.tail;
    uh_upload_compose(composed, path);      /* first: it may be part of the body */
    uh_accept_begin(c);
    r->bytes.limit = limit > 0 ? limit : UINT64_MAX;
    c->server->files = &uh_files_in_motion;
    if (uh_body_is_too_long(c))
        return uh_upload_fails(c, 413);
    int failed = uh_upload_create(c, composed);
    if (failed != 0)
        return uh_upload_fails(c, failed);
    return uh_upload_begin(c, composed, record);
}

/*--- which file, and how it may be named later ------------------------------------------*/

/* A file that has been opened. */
typedef struct uh_found {
    const uhttp_files *files;
    void *user;                 /* for open(): that of files; for the system's, see
                                   uh_file_open_in_root() */
    void *file;
    uhttp_file_info info;
    uhttp_str etag;             /* ptr NULL: none */
    bool weak;                  /* its entity tag */
    bool fresh;                 /* its time: it may change again unnoticed */
    bool gzip, vary;            /* it is the .gz; there is one */
    uint64_t first, length;     /* what of it is asked for */
    char room[64];              /* for an entity tag of ours */
} uh_found;

static void uh_found_close(const uh_found *f)
{
    if (f->info.data == NULL)
        (f->files->close)(f->files->user, f->file);
}

static uhttp_result uh_found_open(uh_found *f, const char *path, const char *root)
{
    memset(&f->info, 0, sizeof f->info);
    uhttp_result result = (f->files->open)(f->user, path, root, &f->file, &f->info);
    if (result != UHTTP_OK || f->info.size <= INT64_MAX)
        return result;
    uh_found_close(f);                      /* a length no head can tell */
    return UHTTP_ERR_SYSTEM;
}

/* Reads the value of a drafted field; false: there is none. */
static bool uh_draft_value(const uhttp_conn *c, const char *name, uhttp_str *value)
{
    uhttp_str field;
    const char *line = uh_draft_find(c, name);
    if (line == NULL)
        return false;
    uhttp_str lines = uh_text_slice(line, (const char *)c->tx.data + c->tx.tail);
    return uhttp_header_next(&lines, &field, value);
}

/* Replaces the validators by those the program has added, as what is sent is compared. One that
 * is malformed is none. */
static void uh_found_validate_added(const uhttp_conn *c, uh_found *f, int64_t now)
{
    uhttp_str value;
    if (uh_draft_value(c, "etag", &value)) {
        f->etag.ptr = NULL;
        (void)uh_etag_next(&value, &f->etag, &f->weak);
    }
    if (uh_draft_value(c, "last-modified", &value)) {
        if (!uhttp_date_parse(value, now, &f->info.modified))
            f->info.modified = 0;
        f->fresh = f->info.modified > now - UH_STILL_NEW;
    }
}

/* Makes the validators. A time is no good to tell two versions apart while the second may still
 * come, nor where the clock is behind it (RFC 9110 sections 8.8.1 and 8.8.2). */
static void uh_found_validate(const uhttp_conn *c, uh_found *f)
{
    const uhttp_file_info *info = &f->info;
    int64_t now = UHTTP_TIME();
    f->fresh = f->weak = info->modified > now - UH_STILL_NEW;
    if (info->etag != NULL) {
        f->weak = false;
        if (strlen(info->etag) <= UH_ETAG_MOST && strchr(info->etag, '"') == NULL &&
            uh_value_is_good(info->etag))
            f->etag = uh_text_of(info->etag);
    } else if (info->modified > 0) {
        char *p = uh_put_hex(f->room, 10, info->size);
        *p++ = '-';
        p = uh_put_hex(p, 9, (uint64_t)info->modified);
        p = uh_put_hex(p, 8, info->modified_ns);
        p = uh_text_puts(p, f->gzip ? "-gz" : "");
        f->etag = uh_text_slice(f->room, p);
    }
    if (info->modified > now)       /* not to be told: RFC 9110 section 8.8.2.1 */
        f->info.modified = 0;
    uh_found_validate_added(c, f, now);
}

/* The status for a file that could not be opened. */
static int uh_found_status(uhttp_result result)
{
    if (result == UHTTP_OK)
        return 200;
    return result == UHTTP_ERR_DENIED ? 403 : result == UHTTP_ERR_MEMORY ? 503 : 404;
}

/* What all Accept-Encoding fields together say. Without one any coding will do, and none is
 * best: who can decode says so. */
static uh_codings uh_request_codings(const uhttp_conn *c)
{
    static const char name[] = "accept-encoding";
    uh_elements e = { { NULL, 0 }, 0 };
    uhttp_str element;
    uh_codings q = uh_codings_none;
    if (uhttp_header(c, name) == NULL) {
        q.identity = 1000;
        q.others = 1;
    }
    while (uh_elements_next(c, name, &e, &element))
        uh_codings_note(&q, element);
    return q;
}

/* Opens the .gz beside a file; path has room for its name. */
static uhttp_result uh_found_open_gz(uh_found *f, char *path, const char *root)
{
    size_t length = strlen(path);
    memcpy(path + length, ".gz", 4);
    uhttp_result result = uh_found_open(f, path, root);
    path[length] = '\0';
    if (result == UHTTP_OK && f->info.is_dir) {
        uh_found_close(f);
        result = UHTTP_ERR_SYSTEM;
    }
    f->gzip = f->vary = true;
    return result;
}

/* Opens a file or the .gz beside it, never both: there may be one handle. Returns 200, or a
 * status to be answered with. */
static int uh_found_choose(const uhttp_conn *c, uh_found *f, char *path, const char *root,
                           const uhttp_file_options *options)
{
    size_t length = strlen(path);
    uh_codings accepts = uh_request_codings(c);
    bool is_gz = length >= 3 && strcmp(path + length - 3, ".gz") == 0;
    bool may_gz = !options->no_gzip && !is_gz && path[length - 1] != '/';
    uhttp_result gz = may_gz ? uh_found_open_gz(f, path, root) : UHTTP_ERR_SYSTEM;
    if (gz == UHTTP_OK && uh_codings_want_gzip(&accepts, false))
        return 200;
    if (gz == UHTTP_OK)
        uh_found_close(f);
    f->gzip = false;
    f->vary = gz == UHTTP_OK;
    uhttp_result result = uh_found_open(f, path, root);
    if (result != UHTTP_ERR_SYSTEM)
        return uh_found_status(result);
    if (gz == UHTTP_OK) {               /* there is nothing else */
        if (!uh_codings_want_gzip(&accepts, true))
            return 406;
        gz = uh_found_open_gz(f, path, root);
    }
    return uh_found_status(gz);
}

/*--- conditions -------------------------------------------------------------------------*/

/* A field that makes no sense twice; NULL: absent, or there twice. */
static const char *uh_request_single(const uhttp_conn *c, const char *name)
{
    uint32_t at = 0;
    const char *value = uh_request_next(c, name, &at);
    return value != NULL && uh_request_next(c, name, &at) == NULL ? value : NULL;
}

/* Does this field name the file's entity tag? -1: there is no such field. */
static int uh_condition_tag(const uhttp_conn *c, const char *name, const uh_found *f,
                            bool strong)
{
    const char *value;
    uint32_t at = 0;
    int result = -1;
    while ((value = uh_request_next(c, name, &at)) != NULL) {
        result = 0;
        if (strcmp(value, "*") == 0 ||
            (f->etag.ptr != NULL &&
             uh_etag_is_in(uh_text_of(value), f->etag, f->weak, strong)))
            return 1;
    }
    return result;
}

/* Reads a date to compare the file's time with; false: there is none, or no time. */
static bool uh_condition_date(const uhttp_conn *c, const char *name, const uh_found *f,
                              int64_t *date)
{
    const char *value = uh_request_single(c, name);
    return value != NULL && f->info.modified > 0 &&
           uhttp_date_parse(uh_text_of(value), UHTTP_TIME(), date);
}

/* In the order of RFC 9110 section 13.2.2; 200, or the status the conditions lead to. */
static int uh_conditions(const uhttp_conn *c, const uh_found *f)
{
    int64_t date = 0;
    int tag = uh_condition_tag(c, "if-match", f, true);
    if (tag == 0)
        return 412;
    if (tag < 0 && uh_condition_date(c, "if-unmodified-since", f, &date) &&
        f->info.modified > date)
        return 412;
    tag = uh_condition_tag(c, "if-none-match", f, false);
    if (tag > 0)
        return 304;
    if (tag < 0 && uh_condition_date(c, "if-modified-since", f, &date) &&
        f->info.modified <= date)
        return 304;
    return 200;
}

/* Is what the client has a part of still this? RFC 9110 section 13.1.5 */
static bool uh_condition_range(const uhttp_conn *c, const uh_found *f)
{
    uhttp_str opaque;
    bool weak;
    int64_t date = 0;
    const char *value = uh_request_single(c, "if-range");
    if (value == NULL)
        return uhttp_header(c, "if-range") == NULL;
    uhttp_str list = uh_text_of(value);
    if (uh_etag_next(&list, &opaque, &weak))
        return f->etag.ptr != NULL && list.len == 0 && !weak && !f->weak &&
               opaque.len == f->etag.len && memcmp(opaque.ptr, f->etag.ptr, opaque.len) == 0;
    return uh_condition_date(c, "if-range", f, &date) && date == f->info.modified && !f->fresh;
}

/* Which of its bytes are asked for? */
UH_APART static uhttp_range_kind uh_file_range(const uhttp_conn *c, uh_found *f)
{
    const char *range = uh_request_single(c, "range");
    f->first = 0;
    f->length = f->info.size;
    if (range == NULL || c->request.is_head || !uhttp_is_get(c) || !uh_condition_range(c, f))
        return UHTTP_RANGE_WHOLE;
    return uhttp_range_parse(uh_text_of(range), f->info.size, &f->first, &f->length);
}

/*--- the answer -------------------------------------------------------------------------*/

/* Adds a field; remembers the first failure. */
static void uh_file_field(uhttp_conn *c, uhttp_result *result, const char *name,
                          const char *value)
{
    if (*result == UHTTP_OK && uh_value_is_good(value))
        *result = uh_draft_own(c, name, value);
    else if (*result == UHTTP_OK)
        *result = UHTTP_ERR_INVALID;
}

/* What the 200 has said, a 304 says again (RFC 9110 section 15.4.5). */
static uhttp_result uh_file_fields(uhttp_conn *c, const uh_found *f, int status,
                                   const uhttp_file_options *options)
{
    uhttp_result result = UHTTP_OK;
    char text[UH_ETAG_MOST + 8];
    if (f->etag.ptr != NULL && uh_draft_find(c, "etag") == NULL) {
        char *p = uh_text_puts(text, f->weak ? "W/\"" : "\"");
        *uh_text_puts(uh_text_put(p, f->etag.ptr, f->etag.len), "\"") = '\0';
        uh_file_field(c, &result, "ETag", text);
    }
    if (f->info.modified > 0) {
        uhttp_date_format(f->info.modified, text);
        uh_file_field(c, &result, "Last-Modified", text);
    }
    if (f->vary && result == UHTTP_OK)
        result = uh_draft_put(c, "Vary", "Accept-Encoding");
    if (options->cache_control != NULL)
        uh_file_field(c, &result, "Cache-Control", options->cache_control);
    if (f->gzip && status != 304)
        uh_file_field(c, &result, "Content-Encoding", "gzip");
    if (status == 200)
        uh_file_field(c, &result, "Accept-Ranges", "bytes");
    return result;
}

/* Adds "Content-Range: bytes 0-99/1000", or for 416 the size alone. */
static uhttp_result uh_file_content_range(uhttp_conn *c, const uh_found *f, int status)
{
    char text[80];
    char *p = uh_text_puts(text, "bytes ");
    if (status == 206) {
        p = uh_text_put_decimal(p, f->first);
        *p++ = '-';
        p = uh_text_put_decimal(p, f->first + f->length - 1);
    } else {
        *p++ = '*';
    }
    *p++ = '/';
    *uh_text_put_decimal(p, f->info.size) = '\0';
    return uh_draft_put(c, "Content-Range", text);
}

/* Makes the opened file the source of the response whose head is composed. */
static void uh_file_attach(uhttp_conn *c, const uh_found *f)
{
    c->request.bytes.sent = f->length;
    c->source_left = f->length;
    if (f->info.data != NULL) {
        c->source.data = (const uint8_t *)f->info.data + (size_t)f->first;
        return;
    }
    bool direct = c->transport == &uh_plain && f->files == uh_system_files;
    c->server->files = &uh_files_in_motion;
    c->source.file = f->file;
    c->source_at = f->first;
    c->source_kind = direct ? UH_SOURCE_SENDFILE : UH_SOURCE_FILE;
}

/* Sends what is asked for of the opened file; closes it if it cannot be sent. */
static uhttp_result uh_file_send(uhttp_conn *c, const uh_found *f, int status, const char *type,
                                 const uhttp_file_options *options)
{
    uhttp_result result = uh_file_fields(c, f, status, options);
    if (result == UHTTP_OK && status == 206)
        result = uh_file_content_range(c, f, status);
    if (result == UHTTP_OK && !uh_value_is_good(type))
        result = UHTTP_ERR_INVALID;
    if (result == UHTTP_OK)
        result = uh_response_head(c, status, type, (int64_t)f->length, 0);
    if (result != UHTTP_OK || c->request.is_head || f->length == 0)
        uh_found_close(f);
    else
        uh_file_attach(c, f);
    return uh_response_end(c, result);
}

/* Answers with the opened file, as the request's conditions and range will have it; its name
 * tells its type unless somebody does. */
static uhttp_result uh_file_answer(uhttp_conn *c, uh_found *f, const char *name,
                                   const uhttp_file_options *options)
{
    const char *type = uhttp_mime_type(uh_text_of(name));
    bool reads = uhttp_is_get(c);
    uh_composed_drop(c);
    uint32_t draft = c->draft;
    if (uh_draft_find(c, "content-encoding") != NULL) {
        uh_found_close(f);          /* the file's own decides, and its ranges are of that */
        return uh_response_fail(c, UHTTP_ERR_INVALID);
    }
    uh_found_validate(c, f);
    if (options->content_type != NULL)
        type = options->content_type;
    else if (f->info.type != NULL)
        type = f->info.type;
    int status = reads ? uh_conditions(c, f) : 200;
    uhttp_range_kind range = uh_file_range(c, f);
    if (status == 200 && range != UHTTP_RANGE_NONE) {
        status = range == UHTTP_RANGE_PART ? 206 : 200;
        return uh_draft_undo(c, draft, uh_file_send(c, f, status, type, options));
    }
    uhttp_result result = UHTTP_OK;
    if (status == 200)
        result = uh_file_content_range(c, f, status = 416);
    else if (status == 304)
        result = uh_file_fields(c, f, status, options);
    uh_found_close(f);              /* its entity tag lives until then */
    result = result == UHTTP_OK ? uhttp_respond_error(c, status) : uh_response_fail(c, result);
    return uh_draft_undo(c, draft, result);
}

/* Composes up to three pieces of a path behind what is in tx, with room for ".gz": it stands
 * there until the first field is drafted. NULL: no room. */
static char *uh_file_path(uhttp_conn *c, const char *root, const char *name, const char *index)
{
    static const char gz[] = ".gz";
    size_t length = strlen(name) + strlen(index) + sizeof gz;
    if (root != NULL)
        length += strlen(root) + 1;
    if (!uh_response_reserve(c, length))
        return NULL;
    char *path = (char *)c->tx.data + c->tx.tail;
    char *p = path;
    if (root != NULL)
        p = uh_text_puts(uh_text_puts(p, root), "/");
    *uh_text_puts(uh_text_puts(p, name), index) = '\0';
    return path;
}

static const uhttp_file_options uh_file_no_options = { NULL, NULL, false, false, false };

UHTTP_API uhttp_result uhttp_respond_file(uhttp_conn *c, const char *path,
                                          const uhttp_file_options *options)
{
    uh_found f;
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND);
    if (may != UHTTP_OK)
        return may;
    memset(&f, 0, sizeof f);
    f.files = c->server->config.files;
    if (f.files == NULL)
        return uh_response_unsupported(c);
    f.user = f.files->user;
    if (path == NULL || path[0] == '\0')
        return uh_response_fail(c, UHTTP_ERR_INVALID);
    options = options != NULL ? options : &uh_file_no_options;
    char *copy = uh_file_path(c, NULL, path, "");
    if (copy == NULL)
        return uh_response_fail(c, uh_response_no_room(c));
    int status = uh_found_choose(c, &f, copy, NULL, options);
    if (status == 200 && f.info.is_dir) {
        uh_found_close(&f);
        status = 404;
    }
    if (status != 200)
        return uhttp_respond_error(c, status);
    return uh_file_answer(c, &f, path, options);
}

/*--- directories ------------------------------------------------------------------------*/

/* What of the path stands behind the prefix; NULL: it does not begin with that. *slash: the
 * prefix ends the path and its slash is missing. */
static const char *uh_serve_name(const char *path, const char *prefix, bool *slash)
{
    size_t length = strlen(prefix);
    while (length > 0 && prefix[length - 1] == '/')
        length--;
    *slash = false;
    if (strncmp(path, prefix, length) != 0)
        return NULL;
    path += length;
    *slash = *path == '\0';
    return *path == '/' ? path + 1 : *slash ? path : NULL;
}

/* Redirects to the same target with a slash behind its path. */
static uhttp_result uh_serve_slash(uhttp_conn *c)
{
    uhttp_url_parts parts;
    (void)uhttp_url_split(uh_text_of(uhttp_url(c)), &parts);    /* checked by the parser */
    const char *end = uh_text_end(parts.query.ptr != NULL ? parts.query : parts.path);
    return uh_respond_elsewhere(c, 301, uh_text_slice(parts.path.ptr, end),
                                uh_text_end(parts.path));
}

/* There is no index.html. May the program list the directory? */
static uhttp_result uh_serve_listing(uhttp_conn *c, uh_found *f, const char *root,
                                     const char *name, const uhttp_file_options *options)
{
    char *path = options->list ? uh_file_path(c, root, name, "") : NULL;
    uhttp_result result = path != NULL ? uh_found_open(f, path, root) : UHTTP_ERR_INVALID;
    if (result != UHTTP_OK)
        return uhttp_respond_error(c, uh_found_status(result));
    bool is_dir = f->info.is_dir;
    uh_found_close(f);
    if (!is_dir)
        return uhttp_respond_error(c, 404);
    if (c == c->server->last)           /* it forgets to list it: a 500 */
        c->server->failed = true;
    return UHTTP_ERR_UNSUPPORTED;
}

/* user: see uh_found */
static uhttp_result uh_serve(uhttp_conn *c, const uhttp_files *files, void *user,
                             const char *root, const char *prefix,
                             const uhttp_file_options *options)
{
    uh_found f;
    bool slash = false;
    uhttp_result may = uh_conn_may(c, UH_MAY_RESPOND);
    if (may != UHTTP_OK)
        return may;
    if (files == NULL)
        return uh_response_unsupported(c);
    if (root == NULL || prefix == NULL)
        return uh_response_fail(c, UHTTP_ERR_INVALID);
    if (!uhttp_is_get(c))
        return uhttp_respond_not_allowed(c, "GET, HEAD");
    uh_composed_drop(c);
    const char *name = uh_serve_name(uhttp_path(c), prefix, &slash);
    if (name == NULL || !uh_path_is_safe(uh_text_of(name), options->hidden))
        return uhttp_respond_error(c, 404);
    if (slash)
        return uh_serve_slash(c);
    memset(&f, 0, sizeof f);
    f.files = files;
    f.user = user;
    size_t length = strlen(name);
    bool index = length == 0 || name[length - 1] == '/';
    char *path = uh_file_path(c, root, name, index ? "index.html" : "");
    if (path == NULL)
        return uh_response_fail(c, uh_response_no_room(c));
    int status = uh_found_choose(c, &f, path, root, options);
    if (status == 200 && f.info.is_dir) {
        uh_found_close(&f);
        if (!index)
            return uh_serve_slash(c);
        status = 404;
    }
    if (status == 404 && index)
        return uh_serve_listing(c, &f, root, name, options);
    if (status != 200)
        return uhttp_respond_error(c, status);
    return uh_file_answer(c, &f, index ? "index.html" : name, options);
}

UHTTP_API uhttp_result uhttp_serve_dir_with(uhttp_conn *c, const char *root, const char *prefix,
                                            const uhttp_file_options *options)
{
    const uhttp_files *files = c != NULL ? c->server->config.files : NULL;
    int kept = -1;
    void *user = files == uh_system_files || files == NULL ? (void *)&kept : files->user;
    uhttp_result result = uh_serve(c, files, user, root, prefix,
                                   options != NULL ? options : &uh_file_no_options);
    uh_file_root_close(kept);
    return result;
}

UHTTP_API uhttp_result uhttp_serve_dir(uhttp_conn *c, const char *root, const char *prefix)
{
    return uhttp_serve_dir_with(c, root, prefix, NULL);
}

/*--- a table of files in ROM --------------------------------------------------------------*/

typedef struct uh_rom {
    const uhttp_rom_file *files;
    size_t count;
} uh_rom;

static uhttp_result uh_rom_open(void *user, const char *path, const char *root, void **file,
                                uhttp_file_info *info)
{
    const uh_rom *rom = (const uh_rom *)user;
    const char *name = path + strlen(root) + 1;
    size_t length = strlen(name);
    for (size_t i = 0; i < rom->count; i++) {
        const uhttp_rom_file *candidate = &rom->files[i];
        if (candidate->path == NULL || strncmp(candidate->path, name, length) != 0)
            continue;
        if (candidate->path[length] == '/')
            info->is_dir = true;
        if (candidate->path[length] != '\0' && !info->is_dir)
            continue;
        info->size = candidate->size;
        info->modified = candidate->modified;
        info->data = candidate->data != NULL ? candidate->data : "";
        info->etag = candidate->etag;
        info->type = candidate->type;
        *file = NULL;
        return UHTTP_OK;
    }
    return UHTTP_ERR_SYSTEM;
}

UHTTP_API uhttp_result uhttp_serve_rom(uhttp_conn *c, const uhttp_rom_file *files, size_t count,
                                       const char *prefix)
{
    uh_rom rom;
    uhttp_files hooks;
    rom.files = files;
    rom.count = files != NULL ? count : 0;
    memset(&hooks, 0, sizeof hooks);
    hooks.open = uh_rom_open;
    return uh_serve(c, &hooks, &rom, "", prefix, &uh_file_no_options);
}

#else

UH_LACKS_3(uhttp_accept_body_to_file, uhttp_conn *, const char *, uint64_t)
UH_STUB_3(uhttp_result, uhttp_respond_file, uh_response_unsupported(a), uhttp_conn *,
          const char *, const uhttp_file_options *)
UH_STUB_3(uhttp_result, uhttp_serve_dir, uh_response_unsupported(a), uhttp_conn *,
          const char *, const char *)
UH_STUB_4(uhttp_result, uhttp_serve_dir_with, uh_response_unsupported(a), uhttp_conn *,
          const char *, const char *, const uhttp_file_options *)
UH_STUB_4(uhttp_result, uhttp_serve_rom, uh_response_unsupported(a), uhttp_conn *,
          const uhttp_rom_file *, size_t, const char *)

#endif

/*==============================================================================
 * 12 WEBSOCKET                    a request that became a WebSocket (RFC 6455)
 *==============================================================================
 * Handshake, frames out, frames in, the end. Frames are decoded in rx, where they arrive (see
 * uh_ws_make_room), and written to tx. Nothing the program does can send a malformed frame.
 */

#if UH_WS

#define UH_WS_CLOSE 8u          /* opcodes */
#define UH_WS_PING  9u
#define UH_WS_PONG  10u
#define UH_WS_FIN   0x80u       /* of a frame's first byte */

/*--- handshake (RFC 6455 section 4.2) -----------------------------------------------------*/

/* The answer to the client's key; false: it is missing, repeated, or not of 16 bytes. */
static bool uh_ws_answer_key(const uhttp_conn *c, char answer[32])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[24 + sizeof guid];
    uint8_t digest[20];
    uhttp_str key = { NULL, 0 };
    size_t good = 0;
    if (uh_request_element(c, "sec-websocket-key", 0, &key) != 1 || key.len != 24)
        return false;
    while (uh_char_base64(key.ptr[good]) >= 0)
        good++;
    if (good != 22 || memcmp(key.ptr + 22, "==", 2) != 0 ||
        (uh_char_base64(key.ptr[21]) & 15) != 0)
        return false;               /* the last four bits belong to no byte */
    uh_text_puts(uh_text_put(text, key.ptr, key.len), guid);
    uhttp_sha1(uh_text_slice(text, text + 24 + sizeof guid - 1), digest);
    (void)uhttp_base64_encode(uh_text_slice((char *)digest, (char *)digest + 20), answer);
    return true;
}

/* Takes the port off an authority that its scheme has anyway. */
static void uh_ws_drop_port(uhttp_str *authority, bool secure)
{
    size_t n = secure ? 4 : 3;
    if (authority->len > n &&
        memcmp(authority->ptr + authority->len - n, secure ? ":443" : ":80", n) == 0)
        authority->len -= n;
}

/* May a page from there connect? Clients that are not browsers send no Origin, or any they
 * like: this protects users, not the server (RFC 6455 section 10.2). */
static bool uh_ws_origin_is_good(const uhttp_conn *c, const char *allowed)
{
    const char *field = uhttp_header(c, "origin");
    uhttp_str list = uh_text_of(allowed != NULL ? allowed : "");
    uhttp_str one;
    bool secure;
    if (field == NULL)
        return true;
    uhttp_str origin = uh_text_of(field);
    while (uhttp_list_next(&list, &one)) {
        if (uh_text_is(one, "*") || uh_text_same(one, origin))
            return true;
    }
    uhttp_str ours = uh_request_authority(c, &secure);
    const char *scheme = secure ? "https://" : "http://";
    if (!uh_text_begins_nocase(origin, scheme))
        return false;
    const char *page = field + strlen(scheme);
    uhttp_str theirs = uh_text_slice(page, uh_path_segment(page));
    uh_ws_drop_port(&theirs, secure);
    uh_ws_drop_port(&ours, secure);
    return theirs.len > 0 && uh_text_same(theirs, ours);
}

/* The first subprotocol of the client's that the program speaks; ptr NULL: none. */
static uhttp_str uh_ws_choose(const uhttp_conn *c, const char *protocols)
{
    uh_elements e = { { NULL, 0 }, 0 };
    uhttp_str offer, one;
    uhttp_str none = { NULL, 0 };
    while (protocols != NULL && uh_elements_next(c, "sec-websocket-protocol", &e, &offer)) {
        uhttp_str list = uh_text_of(protocols);
        while (uhttp_list_next(&list, &one)) {
            if (one.len == offer.len && memcmp(one.ptr, offer.ptr, one.len) == 0 &&
                uh_name_is_good(one))
                return one;
        }
    }
    return none;
}

/* The status it is to be answered with; 101: answer and protocol are set. */
static int uh_ws_judge(const uhttp_conn *c, const uhttp_ws_options *options, char answer[32],
                       uhttp_str *protocol)
{
    uhttp_str version = { NULL, 0 };
    if (!uhttp_is_websocket_request(c) ||
        uh_request_element(c, "sec-websocket-version", 0, &version) != 1 ||
        !uh_text_is(version, "13"))
        return 426;
    if (!uh_ws_answer_key(c, answer))
        return 400;
    if (!uh_ws_origin_is_good(c, options != NULL ? options->origins : NULL))
        return 403;
    *protocol = uh_ws_choose(c, options != NULL ? options->protocols : NULL);
    return 101;
}

/* Composes the answer: with 101 a head, else a whole response in the program's place. */
static uhttp_result uh_ws_compose(uhttp_conn *c, int status, const char *answer,
                                  uhttp_str protocol)
{
    static const char upgrade[] = "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    char text[80];
    char *end = uh_text_puts(text, status == 426 ? "Sec-WebSocket-Version: 13"
                                                 : "Sec-WebSocket-Accept: ");
    end = uh_text_puts(end, answer);
    if (protocol.len > 0)
        end = uh_text_puts(end, "\r\nSec-WebSocket-Protocol: ");
    if (status == 101 || status == 426) {
        size_t length = (size_t)(end - text);
        char *p = uh_draft_room(c, length + protocol.len + sizeof upgrade - 1);
        if (p == NULL)
            return uh_response_no_room(c);
        p = uh_text_put(uh_text_put(p, text, length), protocol.ptr, protocol.len);
        uh_text_puts(p, upgrade);
    }
    return status == 101 ? uh_response_head(c, 101, NULL, 0, 0)
                         : uh_response_compose_error(c, status);
}

UHTTP_API uhttp_result uhttp_ws_accept(uhttp_conn *c, const uhttp_ws_options *options)
{
    uhttp_str protocol = { NULL, 0 };
    char answer[32] = "";
    uhttp_result result = uh_conn_may(c, UH_IN_ANSWER);
    if (result != UHTTP_OK)
        return result;
    uh_composed_drop(c);
    int status = uh_ws_judge(c, options, answer, &protocol);
    uint32_t draft = c->draft;
    result = uh_draft_undo(c, draft, uh_ws_compose(c, status, answer, protocol));
    if (result != UHTTP_OK || status != 101) {
        result = uh_response_end(c, result);
        return result != UHTTP_OK ? result : status == 403 ? UHTTP_ERR_DENIED
                                                           : UHTTP_ERR_INVALID;
    }
    if (options != NULL && options->protocol != NULL)
        *options->protocol = protocol;
    uh_request_log(c);
    uh_body_take_back(c);           /* of an empty one, which may have been given */
    c->request.body_state = UH_BODY_NONE;
    uh_request *r = &c->request;
    r->error = 0;
    r->why = NULL;
    r->ws.on = true;
    r->span.wanted = 0;
    c->pending = UHTTP_EVENT_NONE;  /* of a body that was accepted, though there is none */
    c->rx.limit = (uint32_t)c->server->config.max_ws_message_length + UH_BLOCK;
    if (c->rx.limit < c->rx.size)
        c->rx.limit = c->rx.size;
    uh_conn_enter(c, UH_WEBSOCKET);
    uh_ready_push(c);
    return UHTTP_OK;
}

/* The program has called again. The head of the request goes, and what it was given; a part of
 * a message that goes on leaves the byte before the rest free. */
static void uh_ws_reclaim(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uh_ws *ws = &r->ws;
    if (!ws->on)
        return;
    if (r->head_len > 0) {
        r->head_len = r->host = r->margin = 0;
        r->body = c->rx.head;
    }
    if (ws->given == UH_WS_DATA) {
        bool whole = r->framing.left == 0;
        r->body_len = 0;
        r->body = c->rx.head - (whole ? 0 : 1);
        if (whole)
            ws->type = 0;
        ws->cut = !whole;
    }
    ws->given = UH_WS_NOTHING;
}

/*--- frames out ---------------------------------------------------------------------------*/

/* Writes a frame's head, at most 10 bytes; the byte behind it. RFC 6455 section 5.2 */
static uint8_t *uh_ws_put_head(uint8_t *out, unsigned first, size_t length)
{
    size_t more = length < 126 ? 0 : length <= 0xffff ? 2 : 8;
    *out++ = (uint8_t)first;
    *out++ = (uint8_t)(more == 0 ? length : more == 2 ? 126 : 127);
    uh_bytes_put(out, more, length);
    return out + more;
}

/* Makes room for a small frame, whose head is written; where its payload goes, NULL: there is
 * no room, with so many bytes left beside it. */
static uint8_t *uh_ws_small(uhttp_conn *c, unsigned first, size_t length, uint32_t beside)
{
    uh_buf *tx = &c->tx;
    uint32_t need = (uint32_t)length + 2;
    uh_draft_clear(c);
    if (uh_buf_used(tx) + need + beside > uh_stream_limit(c) ||
        !uh_buf_reserve(&c->server->pool, tx, need))
        return NULL;
    uint8_t *payload = uh_ws_put_head(tx->data + tx->tail, first, length);
    tx->tail += need;
    uh_ready_push(c);
    return payload;
}

/* May the program send? With a type: may it begin a message of it? */
static uhttp_result uh_ws_may(uhttp_conn *c)
{
    if (c == NULL)
        return UHTTP_ERR_INVALID;
    if (!c->request.ws.on)
        return c->told || c->state != UH_CLOSED ? UHTTP_ERR_STATE : UHTTP_ERR_CLOSED;
    return c->request.ws.over ? UHTTP_ERR_CLOSED : uh_conn_may(c, UH_IN_WEBSOCKET);
}

static uhttp_result uh_ws_may_begin(uhttp_conn *c, uhttp_ws_type type)
{
    uhttp_result may = uh_ws_may(c);
    if (may == UHTTP_OK && type != UHTTP_WS_TEXT && type != UHTTP_WS_BINARY)
        return UHTTP_ERR_INVALID;
    return may == UHTTP_OK && c->request.ws.out != 0 ? UHTTP_ERR_STATE : may;
}

static uhttp_str uh_ws_bytes(const void *data, size_t length)
{
    uhttp_str bytes;
    bytes.ptr = (const char *)data;
    bytes.len = length;
    return bytes;
}

/* Makes room for a message and drops what was drafted; AGAIN, MEMORY, CLOSED. */
static uhttp_result uh_ws_make_way(uhttp_conn *c, size_t length)
{
    uh_draft_clear(c);
    return uh_stream_make_room(c, length);
}

/* Sends a frame of a message, all of it or nothing. */
UH_APART static uhttp_result uh_ws_write(uhttp_conn *c, unsigned first, const void *data,
                                         size_t length)
{
    uhttp_result result = uh_ws_make_way(c, length);
    if (result != UHTTP_OK)
        return result;
    uint8_t *end = uh_ws_put_head(c->tx.data + c->tx.tail, first, length);
    c->tx.tail = (uint32_t)(end - c->tx.data);
    uh_response_copy(c, data, length);
    uh_ready_push(c);
    return c->state == UH_CLOSED ? UHTTP_ERR_CLOSED : UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_ws_send(uhttp_conn *c, uhttp_ws_type type, const void *data,
                                     size_t length)
{
    uhttp_result may = uh_ws_may_begin(c, type);
    if (may != UHTTP_OK)
        return may;
    if (data == NULL && length > 0)
        return UHTTP_ERR_INVALID;
    if (length > c->server->config.max_send_buffer)
        return UHTTP_ERR_MEMORY;
    if (type == UHTTP_WS_TEXT && !uhttp_utf8_valid(uh_ws_bytes(data, length)))
        return UHTTP_ERR_INVALID;
    return uh_ws_write(c, UH_WS_FIN + (unsigned)type, data, length);
}

UHTTP_API uhttp_result uhttp_ws_printf(uhttp_conn *c, const char *format, ...)
{
    va_list list;
    uhttp_result may = uh_ws_may_begin(c, UHTTP_WS_TEXT);
    if (may != UHTTP_OK)
        return may;
    if (format == NULL)
        return UHTTP_ERR_INVALID;
    va_start(list, format);
    int n = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (n < 0)
        return UHTTP_ERR_INVALID;
    int expected = n;
    may = uh_ws_make_way(c, (size_t)n);
    if (may != UHTTP_OK)
        return may;
    uint8_t *text = uh_ws_put_head(c->tx.data + c->tx.tail, UH_WS_FIN + (unsigned)UHTTP_WS_TEXT,
                                   (size_t)n);
    va_start(list, format);
    n = vsnprintf((char *)text, (size_t)n + 1, format, list);   /* its NUL has room */
    va_end(list);
    if (n != expected || !uhttp_utf8_valid(uh_ws_bytes(text, (size_t)n)))
        return UHTTP_ERR_INVALID;
    c->tx.tail = (uint32_t)(text + n - c->tx.data);
    uh_ready_push(c);
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_ws_begin(uhttp_conn *c, uhttp_ws_type type)
{
    uhttp_result may = uh_ws_may_begin(c, type);
    if (may == UHTTP_OK)
        may = uh_ws_make_way(c, 0);     /* its end must have room, also without a piece */
    if (may != UHTTP_OK)
        return may;
    uh_ws *ws = &c->request.ws;
    ws->out = (uint8_t)type;
    ws->out_utf8 = 0;
    ws->begun = false;
    return UHTTP_OK;
}

/* The first byte of the next frame of a message in pieces: only the first names its type. */
static unsigned uh_ws_first(const uh_ws *ws) { return ws->begun ? 0 : ws->out; }

UHTTP_API uhttp_result uhttp_ws_piece(uhttp_conn *c, const void *data, size_t length)
{
    uhttp_result result = uh_ws_may(c);
    if (result != UHTTP_OK)
        return result;
    uh_ws *ws = &c->request.ws;
    uint8_t utf8 = ws->out_utf8;
    if (ws->out == 0)
        return UHTTP_ERR_STATE;
    if (length == 0)
        return UHTTP_OK;
    if (data == NULL)
        return UHTTP_ERR_INVALID;
    if (length > c->server->config.max_send_buffer)
        return UHTTP_ERR_MEMORY;
    if (ws->out == UHTTP_WS_TEXT &&
        uhttp_utf8_check(&utf8, uh_ws_bytes(data, length)) == UHTTP_ERR_INVALID)
        return UHTTP_ERR_INVALID;
    result = uh_ws_write(c, uh_ws_first(ws), data, length);
    if (result == UHTTP_OK) {
        ws->begun = true;
        ws->out_utf8 = utf8;
    }
    return result;
}

UHTTP_API uhttp_result uhttp_ws_end(uhttp_conn *c)
{
    uhttp_result may = uh_ws_may(c);
    if (may != UHTTP_OK)
        return may;
    uh_ws *ws = &c->request.ws;
    if (ws->out == 0)
        return UHTTP_ERR_STATE;
    if (ws->out_utf8 != 0)
        return UHTTP_ERR_INVALID;
    if (uh_ws_small(c, UH_WS_FIN | uh_ws_first(ws), 0, 0) == NULL)
        return UHTTP_ERR_MEMORY;
    ws->out = 0;
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_ws_ping(uhttp_conn *c, const void *data, size_t length)
{
    uhttp_result may = uh_ws_may(c);
    if (may != UHTTP_OK)
        return may;
    if (length > 125 || (data == NULL && length > 0))
        return UHTTP_ERR_INVALID;
    may = uh_ws_make_way(c, length);
    if (may == UHTTP_OK)
        uh_text_put((char *)uh_ws_small(c, UH_WS_FIN | UH_WS_PING, length, 0), data, length);
    return may;
}

/*--- the end (RFC 6455 section 7) ---------------------------------------------------------*/

/* Codes that may stand in a close frame; section 7.4 and IANA's registry. */
static bool uh_ws_code_is_good(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* Sends a close frame, without the reason if that has no room; false: no memory. */
static bool uh_ws_say_close(uhttp_conn *c, int code, uhttp_str reason)
{
    size_t length = code != 0 ? 2 + reason.len : 0;
    uint8_t *p = uh_ws_small(c, UH_WS_FIN | UH_WS_CLOSE, length, 0);
    if (p == NULL && length > 2)
        return uh_ws_say_close(c, code, uh_text_of(NULL));
    if (p != NULL && code != 0) {
        uh_bytes_put(p, 2, (unsigned)code);
        uh_text_put((char *)p + 2, reason.ptr, reason.len);
    }
    return p != NULL;
}

/* Closes from our side. A message that is arriving is of no use any more. */
static void uh_ws_leave(uhttp_conn *c, int code, uhttp_str reason)
{
    if (!uh_ws_say_close(c, code, reason)) {
        uh_conn_drop(c);
        return;
    }
    c->request.body_len = 0;
    uh_conn_enter(c, UH_GOODBYE);
    uh_ready_push(c);
}

UHTTP_API uhttp_result uhttp_ws_close(uhttp_conn *c, int code, const char *reason)
{
    uhttp_result may = uh_ws_may(c);
    if (may != UHTTP_OK)
        return may;
    uhttp_str text = uh_text_of(reason != NULL ? reason : "");
    if (text.len > 123 || !uhttp_utf8_valid(text) ||
        (code != 0 ? !uh_ws_code_is_good(code) : text.len > 0))
        return UHTTP_ERR_INVALID;
    uh_ws_leave(c, code, text);
    return UHTTP_OK;
}

/* The last event: what is owed is sent, then the connection ends. */
UH_APART static uh_next uh_ws_end(uhttp_conn *c, int code)
{
    c->keep = false;
    c->request.error = (uint16_t)code;
    c->request.ws.over = true;
    uh_conn_enter(c, UH_SEND);
    return uh_conn_post(c, UHTTP_EVENT_WS_CLOSE);
}

/* The peer has broken the protocol, or a limit. */
static uh_next uh_ws_fail(uhttp_conn *c, int code, const char *why)
{
    uh_server_log(c->server, c, code, why);
    c->parting = false;
    c->request.why = why;
    c->request.bytes.shown.length = 0;
    if (c->state == UH_WEBSOCKET &&
        !uh_ws_say_close(c, code, uh_text_of(why))) {
        uh_conn_drop(c);
        return UH_WAIT;
    }
    return uh_ws_end(c, code);
}

/* Nobody has said anything for a while: asks whether the peer is there, or gives it up. */
static void uh_ws_expire(uhttp_conn *c)
{
    uh_ws *ws = &c->request.ws;
    const char *why = UH_WHY("ws_ping_interval_ms");
    if (ws->owing)
        why = UH_WHY("send_timeout_ms");
    if (ws->owing || ws->pinged) {
        uh_conn_log(c, why);
        uh_conn_drop(c);
        return;
    }
    ws->pinged = uh_ws_small(c, UH_WS_FIN | UH_WS_PING, 0, UH_WS_END) != NULL;
    uh_conn_arm(c);
}

/*--- frames in ----------------------------------------------------------------------------*/

/* More must come; or it never will. */
static uh_next uh_ws_await(uhttp_conn *c)
{
    if (c->fin) {
        uh_conn_flush(c);           /* what the peer may still read */
        uh_conn_drop(c);
    }
    return UH_WAIT;
}

/* Shows the program length bytes of rx; the byte behind them is free. */
static uh_next uh_ws_deliver(uhttp_conn *c, uhttp_event_type event, uh_ws_given given,
                             uint32_t at, uint32_t length)
{
    c->rx.data[at + length] = '\0';
    c->request.bytes.shown.at = at;
    c->request.bytes.shown.length = length;
    c->request.ws.given = (uint8_t)given;
    return uh_conn_post(c, event);
}

/* A close frame whose payload has been decoded. */
static uh_next uh_ws_read_close(uhttp_conn *c, uint32_t at, uint32_t length)
{
    const uint8_t *p = c->rx.data + at;
    uhttp_str none = { NULL, 0 };
    int code = length >= 2 ? p[0] << 8 | p[1] : 1005;
    uint32_t reason = length >= 2 ? length - 2 : 0;
    if (length == 1 || (length > 0 && !uh_ws_code_is_good(code)))
        return uh_ws_fail(c, 1002, UH_WHY("invalid close frame"));
    if (!uhttp_utf8_valid(uh_ws_bytes(p + length - reason, reason)))
        return uh_ws_fail(c, 1007, UH_WHY("close reason is not UTF-8"));
    if (c->state == UH_WEBSOCKET)
        (void)uh_ws_say_close(c, length > 0 ? code : 0, none);
    c->parting = true;
    (void)uh_ws_end(c, code);
    c->rx.data[at + length] = '\0';
    c->request.bytes.shown.at = at + length - reason;
    c->request.bytes.shown.length = reason;
    return UH_EVENT;
}

/* A control frame, once it is all here: its payload is decoded to where the frame began. */
static uh_next uh_ws_read_control(uhttp_conn *c, uhttp_ws_frame *f, uint32_t head)
{
    uint32_t length = (uint32_t)f->length;
    uint32_t at = c->rx.head;
    uint8_t *pong = NULL;
    if (uh_buf_used(&c->rx) < head + length)
        return uh_ws_await(c);
    if (f->opcode == UH_WS_PING && c->state == UH_WEBSOCKET) {
        pong = uh_ws_small(c, UH_WS_FIN | UH_WS_PONG, length, UH_WS_END);
        c->request.ws.stuck = pong == NULL && uh_conn_owes(c);
        if (c->request.ws.stuck)
            return UH_WAIT;         /* reads on when what is owed has been sent */
    }
    uhttp_ws_unmask(c->rx.data + at, c->rx.data + at + head, length, f->mask);
    c->rx.head += head + length;
    if (f->opcode == UH_WS_CLOSE)
        return uh_ws_read_close(c, at, length);
    if (pong == NULL)
        return UH_MORE;
    uh_text_put((char *)pong, c->rx.data + at, length);
    return c->server->config.event_mode
               ? uh_ws_deliver(c, UHTTP_EVENT_WS_PING, UH_WS_FRAME, at, length) : UH_MORE;
}

/* Payload of a message: decoded to behind what is there of it. */
static uh_next uh_ws_read_payload(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uh_ws *ws = &r->ws;
    uh_buf *rx = &c->rx;
    uint32_t limit = (uint32_t)c->server->config.max_ws_message_length;
    uint32_t take = uh_min(uh_buf_used(rx), limit - r->body_len);
    take = r->framing.left < take ? (uint32_t)r->framing.left : take;
    uint8_t *to = rx->data + r->body + r->body_len;
    uhttp_ws_unmask(to, rx->data + rx->head, take, ws->mask);
    rx->head += take;
    r->framing.left -= take;
    bool ends = r->framing.left == 0 && ws->final;
    if (c->state == UH_GOODBYE) {
        if (ends)
            ws->type = 0;
        return r->framing.left == 0 || take > 0 ? UH_MORE : uh_ws_await(c);
    }
    uhttp_result utf8 = UHTTP_OK;
    if (ws->type == UHTTP_WS_TEXT)
        utf8 = uhttp_utf8_check(&ws->utf8, uh_ws_bytes(to, take));
    r->body_len += take;
    if (utf8 == UHTTP_ERR_INVALID || (utf8 == UHTTP_ERR_AGAIN && ends))
        return uh_ws_fail(c, 1007, UH_WHY("message is not UTF-8"));
    uhttp_event_type event = ws->cut ? UHTTP_EVENT_WS_CHUNK_LAST : UHTTP_EVENT_WS_MESSAGE;
    if (!ends && r->framing.left == 0)
        return UH_MORE;
    if (!ends && r->body_len < limit)
        return uh_ws_await(c);
    if (!ends)
        event = ws->cut ? UHTTP_EVENT_WS_CHUNK_NEXT : UHTTP_EVENT_WS_CHUNK_FIRST;
    return uh_ws_deliver(c, event, UH_WS_DATA, r->body, r->body_len);
}

/* The head of a frame. RFC 6455 sections 5.2 and 5.4 */
static uh_next uh_ws_read_head(uhttp_conn *c)
{
    uh_request *r = &c->request;
    uh_ws *ws = &r->ws;
    uhttp_ws_frame f;
    uint32_t used = uh_buf_used(&c->rx);
    if (used == 0)
        return uh_ws_await(c);
    int head = uhttp_ws_frame_parse(uh_ws_bytes(c->rx.data + c->rx.head, used), &f);
    bool control = f.opcode >= UH_WS_CLOSE;
    if (head < 0)
        return uh_ws_fail(c, 1002, UH_WHY("malformed frame"));
    if (!control && (f.opcode == 0) != (ws->type != 0))
        return uh_ws_fail(c, 1002, UH_WHY("frame out of order"));
    if (used > 1 && !f.masked)
        return uh_ws_fail(c, 1002, UH_WHY("frame without a mask"));
    if (head == 0)
        return uh_ws_await(c);
    if (control)
        return uh_ws_read_control(c, &f, (uint32_t)head);
    if (c->state == UH_WEBSOCKET && !c->server->config.event_mode &&
        f.length > c->server->config.max_ws_message_length - r->body_len)
        return uh_ws_fail(c, 1009, UH_WHY("message exceeds max_ws_message_length"));
    if (ws->type == 0) {
        r->body = c->rx.head;
        ws->type = f.opcode;
        ws->utf8 = 0;
    }
    c->rx.head += (uint32_t)head;
    ws->final = f.fin;
    memcpy(ws->mask, f.mask, sizeof ws->mask);
    r->framing.left = f.length;
    return uh_ws_read_payload(c);
}

/* Of both states: in GOODBYE messages are dropped, and pings not answered. */
static uh_next uh_step_websocket(uhttp_conn *c)
{
    uhttp_str none = { NULL, 0 };
    bool open = c->state == UH_WEBSOCKET;
    c->request.ws.stuck = false;
    if (open && c->server->stopping) {
        uh_ws_leave(c, 1001, none);
        return UH_MORE;
    }
    if (c->starved)
        return uh_ws_fail(c, 1011, UH_WHY("no memory for a message"));
    if (open && uh_step_stream(c) == UH_EVENT)
        return UH_EVENT;
    return c->request.framing.left > 0 ? uh_ws_read_payload(c) : uh_ws_read_head(c);
}

/*--- what the program may ask -------------------------------------------------------------*/

UHTTP_API int uhttp_ws_code(const uhttp_conn *c)
{
    return c != NULL && c->event == UHTTP_EVENT_WS_CLOSE ? c->request.error : 0;
}

UHTTP_API const char *uhttp_ws_message(const uhttp_conn *c, size_t *length)
{
    size_t n = 0;
    const char *data = NULL;
    if (c != NULL && c->event >= UHTTP_EVENT_WS_MESSAGE && c->event <= UHTTP_EVENT_WS_CLOSE) {
        const uh_request *r = &c->request;
        n = uhttp_ws_code(c) == 1006 ? 0 : r->bytes.shown.length;
        data = n > 0 ? (const char *)c->rx.data + r->bytes.shown.at
             : c->event == UHTTP_EVENT_WS_CLOSE && r->why != NULL ? r->why : "";
        n = n > 0 ? n : strlen(data);
    }
    if (length != NULL)
        *length = n;
    return data;
}

UHTTP_API bool uhttp_ws_is_text(const uhttp_conn *c)
{
    return c != NULL && c->request.ws.on && c->event >= UHTTP_EVENT_WS_MESSAGE &&
           c->event <= UHTTP_EVENT_WS_CHUNK_LAST && c->request.ws.type == UHTTP_WS_TEXT;
}

UHTTP_API bool uhttp_ws_is_open(const uhttp_conn *c)
{
    return c != NULL && c->state == UH_WEBSOCKET;
}

#else

#define uh_step_websocket uh_step_none

static void uh_ws_reclaim(uhttp_conn *c) { (void)c; }
static void uh_ws_expire(uhttp_conn *c) { (void)c; }

UH_STUB_2(uhttp_result, uhttp_ws_accept, uh_response_unsupported(a), uhttp_conn *,
          const uhttp_ws_options *)
UH_LACKS_4(uhttp_ws_send, uhttp_conn *, uhttp_ws_type, const void *, size_t)
UH_LACKS_2(uhttp_ws_begin, uhttp_conn *, uhttp_ws_type)
UH_LACKS_3(uhttp_ws_piece, uhttp_conn *, const void *, size_t)
UH_LACKS_1(uhttp_ws_end, uhttp_conn *)
UH_LACKS_3(uhttp_ws_ping, uhttp_conn *, const void *, size_t)
UH_LACKS_3(uhttp_ws_close, uhttp_conn *, int, const char *)
UH_STUB_1(bool, uhttp_ws_is_text, false, const uhttp_conn *)
UH_STUB_1(bool, uhttp_ws_is_open, false, const uhttp_conn *)
UH_STUB_1(int, uhttp_ws_code, 0, const uhttp_conn *)

UHTTP_API uhttp_result uhttp_ws_printf(uhttp_conn *c, const char *format, ...)
{
    (void)c;
    (void)format;
    return UHTTP_ERR_UNSUPPORTED;
}

UHTTP_API const char *uhttp_ws_message(const uhttp_conn *c, size_t *length)
{
    (void)c;
    if (length != NULL)
        *length = 0;
    return NULL;
}

#endif

/*--- JSON into a message ------------------------------------------------------------------*/

#if UH_WS && UH_JSON

UHTTP_API void uhttp_json_begin_message(uhttp_json_writer *w, uhttp_conn *c)
{
    if (w == NULL)
        return;
    uh_json_begin_sink(w, c, uh_json_room_in_row);
    w->whole = true;
    w->error = uh_ws_may_begin(c, UHTTP_WS_TEXT);
    if (w->error == UHTTP_OK)
        uh_draft_clear(c);
}

UHTTP_API uhttp_result uhttp_json_send_message(uhttp_json_writer *w)
{
    uint8_t head[10];
    if (w == NULL)
        return UHTTP_ERR_INVALID;
    uhttp_conn *c = (uhttp_conn *)w->user;
    if (w->room != uh_json_room_in_row)
        return UHTTP_ERR_STATE;
    uhttp_result result = uh_ws_may_begin(c, UHTTP_WS_TEXT);
    if (result != UHTTP_OK)
        return result;
    result = uhttp_json_error(w);
    if (result == UHTTP_OK && c->draft != w->length)
        result = UHTTP_ERR_STATE;           /* sent already, or dropped by another message */
    if (result == UHTTP_OK)
        result = uh_stream_make_room(c, c->draft);
    if (result != UHTTP_OK) {
        uh_draft_clear(c);
        return result;
    }
    uint8_t *end = uh_ws_put_head(head, UH_WS_FIN + (unsigned)UHTTP_WS_TEXT, c->draft);
    size_t n = (size_t)(end - head);
    uint8_t *text = c->tx.data + c->tx.tail - c->draft;
    memmove(text + n, text, c->draft);
    memcpy(text, head, n);
    c->tx.tail += (uint32_t)n;
    c->draft = c->request.composed = 0;
    uh_ready_push(c);
    return UHTTP_OK;
}

#else

UHTTP_API void uhttp_json_begin_message(uhttp_json_writer *w, uhttp_conn *c)
{
    (void)c;
    uhttp_json_begin(w, NULL, 0);
}

UH_LACKS_1(uhttp_json_send_message, uhttp_json_writer *)

#endif

/*==============================================================================
 * 13 MACHINE                                  every state and its step, one table
 *==============================================================================
 * UH_STATES in 07 is the source of this table and of the enum; they cannot disagree.
 */

typedef uh_next (*uh_step)(uhttp_conn *c);

#define UH_STATE_STEP(name, step, reads, time, leads) step,

static const uh_step uh_machine[] = { UH_STATES(UH_STATE_STEP) };

static void uh_conn_run(uhttp_conn *c)
{
    while (uh_machine[c->state](c) == UH_MORE) { }
}

/* One turn: reads at most once, runs the machine, sends at most until the socket or the
 * output is full. Stops at an event, which the program must hear first. */
UH_APART static void uh_conn_turn(uhttp_conn *c)
{
    if (c->pending != UHTTP_EVENT_NONE || c->state == UH_CLOSED || c->state == UH_FREE)
        return;
    /* It had spoken in time: this turn is its last. But calls of the program give turns, too,
     * and of a body more may lie in the socket: the network is asked once more. */
    bool late = uh_conn_is_due(c);
    if (late && c->readable && c->state != UH_BODY)
        uh_conn_join(c, UH_TIME_DUE);
    else if (late)
        uh_conn_note_due(c);
    uh_body_reclaim(c);
    uh_ws_reclaim(c);
    if (c->readable && !c->fin && !uh_conn_pull(c) && UH_TLS && late && c->state == UH_BODY)
        uh_conn_join(c, UH_TIME_DUE);           /* TLS has read, but nothing of the body */
    for (;;) {
        uh_conn_run(c);
        if (c->set_aside && c->state != UH_SEND)    /* held output joins the next answer */
            break;
        if (!uh_conn_flush(c) || c->pending != UHTTP_EVENT_NONE)
            break;
        if (uh_conn_owes(c)) {          /* the rest is another turn's, but a stream has room */
            uh_conn_run(c);
            break;
        }
    }
    uh_conn_settle(c);
}

/* select() calls a socket writable when much of its buffer is free; a slow reader has made some
 * room long before. So the output is offered once more before its deadline counts. */
static bool uh_conn_makes_progress(uhttp_conn *c)
{
    c->blocked = false;
    if (!uh_conn_flush(c) && UH_TELLS_UNSENT)
        uh_conn_made_progress(c, 0, false);
    return c->state == UH_CLOSED || !uh_conn_owes(c) || !uh_conn_is_due(c);
}

/* The deadline of a state has passed. */
UH_APART static void uh_conn_expire(uhttp_conn *c)
{
    switch ((uh_state)c->state) {
    case UH_HEAD:
        (void)uh_refuse(c, 408, UH_WHY("request_timeout_ms"));
        break;
    case UH_BODY:
        (void)uh_body_fail(c, 408, UH_WHY("body_timeout_ms"));
        break;
    case UH_OFFER:
    case UH_ANSWER:
        uh_conn_disarm(c);          /* it may stay in this state */
        (void)uh_body_fail(c, 503, UH_WHY("response_timeout_ms"));
        break;
    case UH_SEND:
    case UH_STREAM:
    case UH_GOODBYE:
        if (uh_conn_owes(c)) {      /* else its client has shut its side, or does not close */
            if (uh_conn_makes_progress(c))
                break;
            uh_conn_log(c, UH_WHY("send_timeout_ms"));
        }
        uh_conn_drop(c);
        break;
    case UH_IDLE:
        (void)uh_conn_finish(c);    /* it may owe a held answer */
        break;
    case UH_WEBSOCKET:
        if (!c->request.ws.owing || !uh_conn_makes_progress(c))
            uh_ws_expire(c);
        break;
    case UH_HANDSHAKE:
        uh_conn_log_loss(c, UH_WHY("handshake_timeout_ms"));
        uh_conn_drop(c);
        break;
    case UH_SKIP:
    case UH_LINGER:
        uh_conn_drop(c);
        break;
    case UH_FREE:
    case UH_CLOSED:
    case UH_STATE_COUNT:
        break;
    }
    uh_ready_push(c);
}

/*==============================================================================
 * 14 SERVER                  open, accept, deadlines, wait, foreign loops, the end
 *==============================================================================
 * uhttp_wait() and uhttp_process_events() are the same engine with and without the
 * poller. Slots become FREE only here, between two turns.
 */

/*--- slots ------------------------------------------------------------------------------*/

/* Keeps a closed connection out of the lists: the program's own loop has its socket still. */
static void uh_conn_park(uhttp_conn *c)
{
    if (!c->set_aside)
        c->aside = c;
    c->set_aside = true;
}

static void uh_slot_free(uhttp_conn *c)
{
    uhttp_server *s = c->server;
    UHTTP_ASSERT(!c->told);
    uh_request_log(c);
    uh_buf_release(&s->pool, &c->rx);
    uh_buf_release(&s->pool, &c->tx);
    uh_window_release(c);
    memset(&c->request, 0, sizeof c->request);
    uh_conn_enter(c, UH_FREE);
    c->aside = s->free_slot;
    s->free_slot = c;
}

static UH_INLINE void uh_reclaim_closed(uhttp_server *s)
{
    while (s->closed != NULL)
        uh_slot_free(uh_aside_pop(&s->closed));
}

/* Sends what was held back for an answer that has not come. Who is in the ready queue will
 * be there soon and may hold on. */
static void uh_flush_owing(uhttp_server *s)
{
    uhttp_conn *owing = s->owing;
    uhttp_conn *c;
    if (uh_pool_is_fixed(&s->pool))     /* see uh_response_may_wait */
        return;
    s->owing = NULL;
    while ((c = uh_aside_pop(&owing)) != NULL) {
        if (c->queued && c->state != UH_CLOSED) {
            uh_conn_set_aside(&s->owing, c);
            continue;
        }
        bool sent = uh_conn_flush(c);
        if (c->state == UH_IDLE ? uh_conn_owes(c) : sent)
            uh_ready_push(c);       /* what is left has a deadline, a stream may have room */
        if (c->interest == UH_LEAVING)
            uh_conn_park(c);
        else if (c->state == UH_CLOSED && !c->told)
            uh_conn_set_aside(&s->closed, c);
        else
            uh_conn_settle(c);
    }
}

/* Opens a connection in a free slot; false: there is none, or fd cannot be served. l NULL: it
 * is plain, and of no listener. */
static bool uh_conn_open(uhttp_server *s, const uh_listener *l, uh_socket fd,
                         const uh_peer *peer)
{
    uhttp_conn *c = s->free_slot;
    const uhttp_transport *transport = l != NULL ? l->transport : &uh_plain;
    bool secure = transport != &uh_plain;
    if (c == NULL)
        return false;
    s->free_slot = c->aside;
    c->generation++;
    /* nothing of one client reaches the next */
    memset((char *)c + offsetof(uhttp_conn, state), 0,
           offsetof(uhttp_conn, serial) - offsetof(uhttp_conn, state));
    c->transport = transport;
    c->fd = fd;
    c->peer = *peer;
    if (!secure) {
        c->t = uh_plain_open(NULL, (intptr_t)fd);
        c->readable = true;         /* a request comes with its connection, mostly */
    } else {
        c->listener = (uint8_t)(l - s->listeners);
    }
    if (!uh_pool_is_fixed(&s->pool)) {
        c->rx.limit = (uint32_t)s->config.max_headers_length * 4 + UH_BLOCK;
        c->tx.limit = (uint32_t)s->config.max_send_buffer + UH_HOLD + UH_CONTINUE_ROOM;
    }
    s->stats.accepted++;
    uh_conn_enter(c, UH_IDLE);
    uh_ready_push(c);
    if (secure && uh_sys_is_readable(fd)) {     /* it counts before the next is accepted */
        c->readable = true;
        (void)(s->handshake)(c);
    }
    return true;
}

/*--- accepting --------------------------------------------------------------------------*/

/* Newcomers wait: the log hears of it, once until they have not for a while. */
static void uh_server_crowd(uhttp_server *s, const char *why)
{
    bool again = s->said && s->now - s->waited < UH_EPISODE_MS;
    s->waiting = true;
    if (!UH_LOG)
        return;
    s->said = true;
    s->waited = s->now;
    if (!again)
        uh_server_log(s, NULL, 0, why);
}

UH_APART static void uh_server_pause(uhttp_server *s, const char *why)
{
    uh_server_rest(s);
    s->stats.accept_failures++;
    uh_server_crowd(s, why);
}

/* Has somebody give way to a newcomer. False: nobody can, or there is no room yet, as the
 * program's own loop must know of it first. */
static bool uh_server_make_room(uhttp_server *s)
{
    if (s->leaving > 0 || !uh_server_evict(s, false))
        return false;
    if (!s->stopping)               /* else a slot is free, and the program is not back yet */
        uh_reclaim_closed(s);
    return s->keep_socket == NULL;
}

/* accept() gave nothing; true: try again. Most errors are one peer's, who left early: the next
 * may be taken. Without descriptors somebody gives way, once, if a newcomer is there; if that
 * does not help, or nothing else comes, there is a pause. */
static bool uh_listener_failed(uhttp_server *s, uh_listener *l, uh_sys_error error)
{
    bool full = error == UH_SYS_FULL;
    if (error == UH_SYS_AGAIN || (UH_ACCEPT_IS_GREEDY && full && !uh_sys_is_readable(l->fd)))
        return false;
    l->failures = (uint8_t)(l->failures + (full ? UH_TURNS : 1));
    if (l->failures <= UH_TURNS && (!full || uh_server_make_room(s)))
        return true;
    l->failures = 0;
    uh_server_pause(s, UH_WHY("accept: no descriptors or memory"));
    return false;
}

/* Must somebody give way before a newcomer can be accepted? Each socket needs its place, also
 * one that is not watched yet or not now. */
static bool uh_server_is_full(const uhttp_server *s)
{
    uint32_t sockets = s->config.max_connections - s->counts[UH_FREE] - s->counts[UH_CLOSED] +
                       s->listener_count + (s->can_wake ? 1u : 0u);
    return s->free_slot == NULL || uh_poller_is_full(&s->poller, sockets);
}

/* Has the system find out when a peer has vanished. */
static void uh_server_probe(const uhttp_server *s, uh_socket fd)
{
    uh_sys_probe(fd, s->config.dead_peer_timeout_ms, s->times[UH_TIME_SEND]);
}

/* Takes one newcomer; false: not now. */
static bool uh_listener_accept_one(uhttp_server *s, uh_listener *l)
{
    uh_peer peer;
    uh_sys_error error = UH_SYS_AGAIN;
    uh_socket fd;
    if (uh_server_is_full(s) && (!uh_sys_is_readable(l->fd) || !uh_server_make_room(s)))
        return false;
    while ((fd = uh_sys_accept(l->fd, &peer, &error)) == UH_NO_SOCKET) {
        if (!uh_listener_failed(s, l, error))
            return false;
    }
    l->failures = 0;
    if (!UH_INHERITS_PROBES)
        uh_server_probe(s, fd);
    if (UH_SETS_ARE_SHORT && !uh_poller_fits(&s->poller, fd) && uh_server_make_room(s))
        fd = uh_sys_renumber(fd);
    if (!uh_poller_fits(&s->poller, fd) || !uh_conn_open(s, l, fd, &peer)) {
        uh_sys_close(fd);
        uh_server_pause(s, UH_WHY("accept: a socket that cannot be served"));
        return false;
    }
    return true;
}

/* Has it as many handshakes to wait for as it may? */
static bool uh_listener_is_busy(const uhttp_server *s, const uh_listener *l)
{
    return s->counts[UH_HANDSHAKE] >= l->max_handshakes;
}

/* Takes one newcomer from each listener that may have one. The poller reports again what is
 * left when one could not be taken. */
static void uh_server_accept(uhttp_server *s)
{
    s->knocking = false;
    for (uint32_t i = 0; i < s->listener_count; i++) {
        uh_listener *l = &s->listeners[i];
        if (!l->ready)
            continue;
        uh_reclaim_closed(s);       /* nobody gives way where a slot is free */
        l->ready = !s->paused && !uh_listener_is_busy(s, l) && uh_listener_accept_one(s, l);
        s->knocking |= l->ready;
    }
}

/* After a pause, connections that the system had no memory for try again. */
static void uh_server_resume(uhttp_server *s)
{
    if (!s->paused || uh_time_before(s->now, s->accept_at))
        return;
    s->paused = false;
    for (uint32_t i = 0; i < s->config.max_connections; i++) {
        uhttp_conn *c = &s->slots[i];
        if ((c->wants & UH_REST) == 0)
            continue;
        c->wants = 0;
        c->readable = true;
        c->blocked = false;
        uh_ready_push(c);
    }
}

/* Watches the listeners, or not while nothing could be done for a newcomer. */
static void uh_server_watch_listeners(uhttp_server *s)
{
    uh_server_resume(s);
    bool room = !s->paused && (!uh_server_is_full(s) || s->leaving > 0 ||
                               uh_server_victim(s, false) != NULL);
    s->hidden = false;
    for (uint32_t i = 0; i < s->listener_count; i++) {
        uh_listener *l = &s->listeners[i];
        bool watched = room && !uh_listener_is_busy(s, l);
        if (watched != l->watched &&
            !uh_poller_watch(&s->poller, l->fd, UH_TOKEN_LISTENER + i, watched ? UH_READ : 0))
            watched = false;        /* there is no place for it now */
        l->watched = watched;
        s->hidden = s->hidden || !watched;
    }
    s->waiting = s->waiting && s->hidden;
}

/* Has a handshake's peer been silent for long, or has all of it taken long? Has a stream
 * nothing to say to a client that has shut its side? */
static bool uh_conn_is_stalled(const uhttp_conn *c)
{
    const uhttp_server *s = c->server;
    uint32_t passed = s->now - c->since;
    if (c->time == UH_TIME_FIN)
        return passed >= UH_QUARTER_MS;
    return c->state == UH_HANDSHAKE &&
           (s->now - c->moved >= UH_GRACE_MS || passed >= s->times[c->time] / 2);
}

/* Bytes that have come from the peer, or left for it, since its quarters are counted. */
static uint32_t uh_conn_moved(const uhttp_conn *c)
{
    return c->moved - uh_min(c->moved, uh_conn_held(c));
}

/* Counts a quarter of a second of a body or of a response, if that waits for its peer; true:
 * too little has moved in the last of them. */
static bool uh_conn_is_slow(uhttp_conn *c)
{
    bool peers_turn = c->time == UH_TIME_BODY || (c->time == UH_TIME_SEND && uh_conn_owes(c));
    if (!peers_turn)
        return false;
    if (c->quarters++ == 0)
        c->moved = uh_conn_held(c);
    if (c->quarters <= UH_SLOW_QUARTERS)
        return false;
    c->quarters = uh_conn_moved(c) < UH_SLOW_BYTES ? UH_SLOW_QUARTERS : 0;
    return c->quarters > 0;
}

/* The slowest of all peers gives way, at most one in a quarter of a second; a handshake or a
 * stream that has stalled before others. */
static void uh_server_thin_out(uhttp_server *s)
{
    uhttp_conn *slowest = NULL;
    uint32_t least = 0;
    bool full = uh_server_is_full(s);   /* else newcomers wait for a handshake's place */
    if (s->now - s->thinned < UH_QUARTER_MS)
        return;
    s->thinned = s->now;
    for (uint32_t i = 0; i < s->config.max_connections; i++) {
        uhttp_conn *c = &s->slots[i];
        bool served = c->queued && (c->readable || c->pending != UHTTP_EVENT_NONE);
        if (served || (!full && c->state != UH_HANDSHAKE))
            continue;
        if (uh_conn_is_stalled(c))
            c->moved = 0;
        else if (!uh_conn_is_slow(c))
            continue;
        uint32_t moved = uh_conn_moved(c);
        if (slowest == NULL || moved < least) {
            slowest = c;
            least = moved;
        }
    }
    if (slowest == NULL)
        return;
    if (slowest->state == UH_BODY) {
        (void)uh_body_fail(slowest, 408, UH_WHY("slow body gives way to newcomers"));
        uh_ready_push(slowest);
        return;
    }
    uh_conn_log_loss(slowest, UH_WHY("slow peer gives way to newcomers"));
    uh_conn_drop(slowest);
}

/* Who has the slots, for the log. */
static const char *uh_server_describe(const uhttp_server *s, char *text)
{
    uint32_t held = 0;
    uint32_t gone = 0;
    for (uint32_t i = 0; i < s->config.max_connections; i++) {
        const uhttp_conn *c = &s->slots[i];
        held += c->told ? 1u : 0u;
        gone += c->told && !uhttp_is_open(c) ? 1u : 0u;
    }
    char *p = uh_text_puts(text, "newcomers wait, the program holds ");
    p = uh_text_put_decimal(p, held);
    p = uh_text_puts(p, " requests, ");
    p = uh_text_put_decimal(p, gone);
    *uh_text_puts(p, " of clients that have gone") = '\0';
    return text;
}

/* Looks whether newcomers wait at listeners that are not watched, and acts for them. */
static void uh_server_look(uhttp_server *s)
{
    char text[UH_LOG ? 128 : 1];
    if (!s->hidden || s->paused || s->now - s->looked < UH_BACKOFF_MS)
        return;
    s->looked = s->now;
    s->waiting = false;
    for (uint32_t i = 0; i < s->listener_count; i++) {
        uh_listener *l = &s->listeners[i];
        if (!l->watched && uh_sys_is_readable(l->fd))
            l->ready = s->knocking = s->waiting = true;
    }
    if (s->waiting) {
        uh_server_crowd(s, UH_LOG ? uh_server_describe(s, text) : NULL);
        uh_server_thin_out(s);
    }
}

/*--- time -------------------------------------------------------------------------------*/

/* Ends those of one list that are due. A connection that has just spoken gets its turn first,
 * once; or each time, see uh_conn_turn(). */
static void uh_server_expire_list(uhttp_server *s, uint32_t list)
{
    uh_link *next = s->lists[list].after;
    while (next != &s->lists[list]) {
        uhttp_conn *c = (uhttp_conn *)(void *)next;
        next = next->after;
        if (!uh_conn_is_due(c)) {
            uh_conn_note_due(c);
            return;
        }
        bool spoken = c->queued && c->readable && list != UH_TIME_DUE;
        if (c->pending == UHTTP_EVENT_NONE && !spoken)
            uh_conn_expire(c);
    }
}

/* What is left of a time since then, which may be weeks ago: no moment to compare with. */
static uint32_t uh_server_left(const uhttp_server *s, uint32_t then, uint32_t time)
{
    uint32_t passed = s->now - then;
    return passed < time ? time - passed : 0;
}

/* How much readers have taken is asked every quarter of send_timeout_ms: were it asked at their
 * deadlines only, one that stops would have nearly two of them. */
static void uh_server_gauge(uhttp_server *s)
{
    uh_link *list = &s->lists[UH_TIME_SEND];
    uh_link *last = list->before;       /* those with progress go behind it */
    if (uh_server_left(s, s->gauged, s->times[UH_TIME_SEND] / 4) > 0)
        return;
    s->gauged = s->now;
    for (uh_link *l = list->after, *next; l != list; l = next) {
        next = l != last ? l->after : list;
        uh_conn_made_progress((uhttp_conn *)(void *)l, 0, false);
    }
}

static void uh_server_expire(uhttp_server *s)
{
    if (!s->armed || uh_time_before(s->now, s->next_deadline))
        return;
    s->armed = false;
    if (UH_TELLS_UNSENT)
        uh_server_gauge(s);
    for (uint32_t list = UH_TIME_NONE + 1; list < UH_TIMES; list++)
        uh_server_expire_list(s, list);
}

static void uh_server_trim(uhttp_server *s)
{
    if (uh_pool_is_fixed(&s->pool))
        return;
    if (s->trimming ? uh_time_before(s->now, s->trim_at) : s->pool.count == 0)
        return;
    if (s->trimming)
        uh_pool_trim(&s->pool);
    else
        s->pool.idle = s->pool.count;
    s->trimming = s->pool.count > 0;
    s->trim_at = s->now + UH_TRIM_MS;
}

/* The sooner of time and, if it is wanted, the moment at. */
static uint32_t uh_server_sooner(const uhttp_server *s, uint32_t time, bool wanted, uint32_t at)
{
    if (!wanted)
        return time;
    return uh_min(time, uh_time_before(at, s->now) ? 0 : at - s->now);
}

/* Milliseconds until something is due by itself; UHTTP_NEVER: nothing is. */
static uint32_t uh_server_idle_time(const uhttp_server *s)
{
    if (s->ready_first != NULL || s->owing != NULL || s->closed != NULL || s->woken)
        return 0;
    uint32_t time = uh_server_sooner(s, UH_WAKE_LOOK_MS, s->armed, s->next_deadline);
    time = uh_server_sooner(s, time, s->paused, s->accept_at);
    if (UH_TELLS_LEAVING)
        time = uh_server_sooner(s, time, s->full, s->peeked + UH_PEEK_MS);
    if (!uh_pool_is_fixed(&s->pool))
        time = uh_server_sooner(s, time, s->trimming, s->trim_at);
    if (s->hidden && !s->paused)
        time = uh_min(time, uh_server_left(s, s->looked, UH_BACKOFF_MS));
    return time;
}

/*--- the engine -------------------------------------------------------------------------*/

/* The program has called again: what it did about the last event is all it does. A failed body
 * that it has not answered is refused, and so is a request whose answer failed. */
static void uh_server_take_back(uhttp_server *s)
{
    uhttp_conn *c = s->last;
    bool failed = s->failed;
    s->last = NULL;
    s->failed = false;
    if (c == NULL)
        return;
    bool refused = c->event == UHTTP_EVENT_ERROR && c->state == UH_ANSWER;
    if (c->told && (refused || (failed && (UH_MAY_RESPOND & 1u << c->state) != 0))) {
        uh_conn_let_go(c);
        (void)uh_refuse(c, refused ? c->request.error : 500,
                        refused ? c->request.why : UH_WHY("the program's response failed"));
    }
    c->event = UHTTP_EVENT_NONE;
    if (!c->keep && !c->told)       /* it may be closed before anybody sleeps */
        uh_conn_turn(c);
    uh_ready_push(c);
}

/* Returns a connection to the program with what it must hear. CLOSED is the end of a request,
 * WS_CLOSE of a WebSocket: what the program holds of it stays readable until it calls again. */
static uhttp_conn *uh_server_tell(uhttp_server *s, uhttp_conn *c)
{
    c->event = c->pending;
    c->pending = UHTTP_EVENT_NONE;
    if (!c->told)
        c->serial++;
    c->told = true;
    if (c->event == UHTTP_EVENT_CLOSED || (UH_WS && c->event == UHTTP_EVENT_WS_CLOSE))
        uh_conn_let_go(c);
    s->last = c;
    return c;
}

/* Gives turns until one brings an event; NULL: the queue is empty, or the network and the
 * clock must be asked again. Newcomers come in one by one, when nobody else has anything to do
 * or at every fourth turn: one that leaves with its answer makes place for the next, and all
 * of it is still in the cache. */
static uhttp_conn *uh_server_take_turns(uhttp_server *s)
{
    while (s->turns > 0) {
        if (s->knocking && (s->ready_first == NULL || s->turns % 4 == 0))
            uh_server_accept(s);
        uhttp_conn *c = uh_ready_pop(s);
        if (c == NULL)
            break;
        s->turns--;
        uh_conn_turn(c);
        if (c->pending != UHTTP_EVENT_NONE)
            return uh_server_tell(s, c);
    }
    s->turns = UH_TURNS;
    return NULL;
}

/* Peers that have waited for the end of a handshake get their turn. */
static void uh_server_shake_next(uhttp_server *s)
{
    const uh_link *head = &s->lists[UH_TIME_TURN];
    for (uh_link *l = head->after; s->shaken && l != head; l = l->after)
        uh_ready_push((uhttp_conn *)(void *)l);
    s->shaken = false;
}

/* What must be done before anybody sleeps. */
UH_APART static void uh_server_before_sleep(uhttp_server *s)
{
    uh_flush_owing(s);
    uh_reclaim_closed(s);
    uh_server_watch_listeners(s);
    uh_server_shake_next(s);
    uh_server_trim(s);
}

static void uh_server_mark(uhttp_server *s, uint32_t token, unsigned got)
{
    if (token < UH_TOKEN_WAKE) {
        s->listeners[token].ready = s->knocking = true;
        return;
    }
    if (token == UH_TOKEN_WAKE) {
        if (s->can_wake)
            uh_wake_drain(&s->wake);
        if (!UH_WAKE_IS_LOSSY)
            s->woken = s->can_wake;
        return;
    }
    uhttp_conn *c = &s->slots[token - UH_TOKEN_SLOT];
    bool either = c->wants != 0;        /* a transport may read to write, and back */
    if (c->fd == UH_NO_SOCKET)
        return;
    if (either || (got & UH_READ) != 0)
        c->readable = true;
    if (either || (got & UH_WRITE) != 0)
        c->blocked = false;
    c->wants = 0;
    uh_ready_push(c);
}

static bool uh_server_is_done(const uhttp_server *s)
{
    return s->stopping && s->counts[UH_FREE] == s->config.max_connections;
}

UHTTP_API uhttp_conn *uhttp_wait(uhttp_server *server, int timeout_ms)
{
    uhttp_server *s = server;
    bool asked = false;
    if (s == NULL)
        return NULL;
    s->now = UHTTP_MILLIS();
    uint32_t start = s->now;
    uh_server_take_back(s);
    for (;;) {
        uhttp_conn *c = uh_server_take_turns(s);
        if (c != NULL)
            return c;
        uh_server_before_sleep(s);
        uint32_t left = UHTTP_NEVER;
        uint32_t passed = s->now - start;
        if (timeout_ms >= 0)
            left = passed < (uint32_t)timeout_ms ? (uint32_t)timeout_ms - passed : 0;
        if ((asked && left == 0) || s->woken || uh_server_is_done(s)) {
            s->woken = false;
            return NULL;
        }
        left = uh_min(left, uh_server_idle_time(s));
        bool signalled = !uh_poller_wait(&s->poller, left == UHTTP_NEVER ? -1
                                         : (int)uh_min(left, (uint32_t)INT32_MAX));
        asked = true;
        unsigned got;
        uint32_t token;
        while ((got = uh_poller_next(&s->poller, &token)) != 0)
            uh_server_mark(s, token, got);
        s->now = UHTTP_MILLIS();
        uh_server_expire(s);
        if (UH_TELLS_LEAVING)
            uh_server_peek(s);
        uh_server_look(s);
        if (signalled)
            return NULL;
    }
}

/* What a program's own loop knows a token of the poller as. A slot and its descriptor may have
 * had another client since the program last slept. */
static uint64_t uh_server_token(const uhttp_server *s, uint32_t token)
{
    uint64_t generation = 0;
    if (token >= UH_TOKEN_SLOT)
        generation = s->slots[token - UH_TOKEN_SLOT].generation;
    return generation << 32 | token;
}

UH_APART static void uh_watch_fill(uhttp_watch *entry, uh_socket fd, unsigned wish,
                                   uint64_t token)
{
    entry->fd = (intptr_t)fd;
    entry->wish = (uint16_t)wish;
    entry->ready = 0;
    entry->token = token;
}

/*--- a loop of the program's own that follows changes -----------------------------------*/

/* The wish for a token; 0: its socket is not watched, or is gone. */
static unsigned uh_changes_wish(uhttp_server *s, uint32_t token)
{
    bool known = uh_poller_socket(&s->poller, token) != UH_NO_SOCKET;
    return known ? uh_poller_wish(&s->poller, token) : 0u;
}

/* The socket of a token, watched or not; also one that is gone but not closed yet. */
static uh_socket uh_changes_socket(const uhttp_server *s, uint32_t token)
{
    uh_socket fd = uh_poller_socket(&s->poller, token);
    if (fd != UH_NO_SOCKET)
        return fd;
    if (token >= UH_TOKEN_SLOT)
        return s->slots[token - UH_TOKEN_SLOT].fd;
    return token < s->listener_count ? s->listeners[token].fd : UH_NO_SOCKET;
}

/* Is its socket gone, and stands there only because the loop knew it? */
static bool uh_changes_is_leaving(uhttp_server *s, uint32_t token)
{
    return uh_poller_socket(&s->poller, token) != UH_NO_SOCKET &&
           uh_changes_wish(s, token) == 0;
}

/* Has a socket that is watched no more stay open, if the loop knows it. */
static bool uh_changes_keep(uhttp_server *s, uh_socket fd, uint32_t token)
{
    if (uh_poller_told(&s->poller, token, fd) == 0)
        return false;
    uh_poller_set_socket(&s->poller, token, fd);
    uh_poller_tell_later(&s->poller, token);
    return true;
}

/* See uhttp_server.keep_socket. The peer need not wait for the program's loop. */
static bool uh_changes_keep_conn(uhttp_conn *c)
{
    if (!uh_changes_keep(c->server, c->fd, UH_TOKEN_SLOT + uh_conn_slot(c)))
        return false;
    c->interest = UH_LEAVING;
    c->server->leaving++;
    uh_conn_park(c);
    if (!uh_sys_resets_on_close(c->fd))
        uh_sys_shut(c->fd);
    return true;
}

/* The listeners go as connections do, but are not shut: other processes may have them, too. */
static void uh_changes_close_listeners(uhttp_server *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        uh_listener *l = &s->listeners[i];
        uh_poller_watch(&s->poller, l->fd, UH_TOKEN_LISTENER + i, 0);
        uh_unix_remove(l->fd, l->mark);
        if (!uh_changes_keep(s, l->fd, UH_TOKEN_LISTENER + i))
            uh_sys_close(l->fd);
        l->fd = UH_NO_SOCKET;
    }
    s->listener_count = 0;
}

/* Closes what is leaving; its slot may be used again. */
static void uh_changes_forget(uhttp_server *s, uint32_t token)
{
    uh_sys_close(uh_poller_socket(&s->poller, token));
    uh_poller_set_socket(&s->poller, token, UH_NO_SOCKET);
    if (token < UH_TOKEN_SLOT)
        return;
    uhttp_conn *c = &s->slots[token - UH_TOKEN_SLOT];
    s->leaving--;
    c->interest = 0;
    if (c->aside != c)              /* it owes held output, see uh_flush_owing() */
        return;
    c->set_aside = false;
    if (!c->told)
        uh_conn_set_aside(&s->closed, c);
}

/* Closes those whose removal was handed out before. */
static void uh_changes_close(uhttp_server *s)
{
    uh_poller *p = &s->poller;
    uint32_t token;
    if (!s->handed)
        return;
    s->handed = false;
    uint32_t changes = uh_poller_changes(p);
    while (uh_poller_next_change(p, &changes, &token)) {
        if (!uh_changes_is_leaving(s, token) ||
            uh_poller_told(p, token, uh_poller_socket(p, token)) != 0)
            uh_poller_tell_later(p, token);
        else
            uh_changes_forget(s, token);
    }
}

/* Hands out the removals, or all that is not one, as far as they fit; the others stay noted. */
static size_t uh_changes_list(uhttp_server *s, bool removals, uhttp_watch *list,
                              size_t capacity)
{
    uh_poller *p = &s->poller;
    uint32_t changes = uh_poller_changes(p);
    uint32_t token;
    size_t count = 0;
    while (uh_poller_next_change(p, &changes, &token)) {
        uh_socket fd = uh_changes_socket(s, token);
        unsigned wish = uh_changes_wish(s, token);
        bool leaving = uh_changes_is_leaving(s, token);
        bool news = fd != UH_NO_SOCKET && uh_poller_told(p, token, fd) != wish;
        bool now = news && count < capacity && removals == (wish == 0);
        if (now) {
            uh_poller_set_told(p, token, fd, wish);
            uh_watch_fill(&list[count++], fd, wish, uh_server_token(s, token));
            s->handed = s->handed || leaving;
        }
        if (leaving || (news && !now))
            uh_poller_tell_later(p, token);
    }
    return count;
}

UHTTP_API size_t uhttp_server_watch_changes(uhttp_server *server, uhttp_watch *list,
                                            size_t capacity)
{
    uhttp_server *s = server;
    if (s == NULL || list == NULL)
        return 0;
    if (s->keep_socket == NULL) {
        s->keep_socket = uh_changes_keep_conn;
        uh_poller_follow(&s->poller);
    }
    uh_changes_close(s);
    size_t count = uh_changes_list(s, true, list, capacity);
    return count + uh_changes_list(s, false, list + count, capacity - count);
}

/* The program's loop ends with the server: what it was not told of is closed all the same. */
static void uh_changes_end(uhttp_server *s)
{
    for (uint32_t token = 0; s->keep_socket != NULL && token < s->poller.tokens; token++) {
        if (uh_changes_is_leaving(s, token))
            uh_changes_forget(s, token);
    }
    s->keep_socket = NULL;
}

UHTTP_API uhttp_conn *uhttp_process_events(uhttp_server *server, const uhttp_watch *ready,
                                           size_t count)
{
    uhttp_server *s = server;
    if (s == NULL)
        return NULL;
    s->now = UHTTP_MILLIS();
    uh_changes_close(s);
    for (size_t i = 0; ready != NULL && i < count; i++) {
        uint32_t token = (uint32_t)ready[i].token;
        if (ready[i].ready != 0 && token < s->poller.tokens &&
            ready[i].token == uh_server_token(s, token))
            uh_server_mark(s, token, ready[i].ready);
    }
    uh_server_take_back(s);
    if (UH_TELLS_LEAVING)
        uh_server_peek(s);
    if (s->rested)                  /* what came while the program worked is not reported yet */
        uh_server_look(s);
    if (s->rested)
        uh_server_expire(s);
    uhttp_conn *c = uh_server_take_turns(s);
    s->rested = c == NULL;
    if (s->rested) {
        uh_server_before_sleep(s);
        s->woken = false;           /* the program's own loop has woken already */
    }
    return c;
}

UHTTP_API int uhttp_server_timeout(uhttp_server *server)
{
    if (server == NULL)
        return -1;
    server->now = UHTTP_MILLIS();
    uint32_t time = server->handed ? 0 : uh_server_idle_time(server);
    return time == UHTTP_NEVER ? -1 : (int)uh_min(time, (uint32_t)INT32_MAX);
}

UHTTP_API size_t uhttp_server_watch(uhttp_server *server, uhttp_watch *list, size_t capacity)
{
    if (server == NULL)
        return 0;
    uh_poller *p = &server->poller;
    size_t count = 0;
    for (uint32_t token = 0; token < p->tokens; token++) {
        uh_socket fd = uh_poller_socket(p, token);
        if (fd == UH_NO_SOCKET || uh_poller_wish(p, token) == 0)
            continue;           /* the second: see uh_changes_keep() */
        if (count++ < capacity && list != NULL)
            uh_watch_fill(&list[count - 1], fd, uh_poller_wish(p, token),
                          uh_server_token(server, token));
    }
    return count;
}

UHTTP_API uhttp_result uhttp_server_fd_sets(uhttp_server *server, void *read_set,
                                            void *write_set, int *max_fd)
{
    if (server == NULL || uh_is_missing(read_set, write_set, max_fd))
        return UHTTP_ERR_INVALID;
    if (!UH_HAS_FD_SETS)
        return UHTTP_ERR_UNSUPPORTED;
    uh_poller *p = &server->poller;
    uint32_t count = (uint32_t)uhttp_server_watch(server, NULL, 0);
    uint32_t others = count > 0 ? count - 1 : 0;
    for (uint32_t i = 0; i < p->tokens; i++) {
        uh_socket fd = uh_poller_socket(p, i);
        if (fd != UH_NO_SOCKET && (!uh_fd_set_holds(read_set, fd, others) ||
                                   !uh_fd_set_holds(write_set, fd, others)))
            return UHTTP_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < p->tokens; i++) {
        uh_socket fd = uh_poller_socket(p, i);
        if (fd == UH_NO_SOCKET)
            continue;
        unsigned wish = uh_poller_wish(p, i);
        if ((wish & UH_READ) != 0)
            uh_fd_set_add(read_set, fd);
        if ((wish & UH_WRITE) != 0)
            uh_fd_set_add(write_set, fd);
        if ((intptr_t)fd > *max_fd)
            *max_fd = (int)fd;
    }
    return UHTTP_OK;
}

UHTTP_API uhttp_conn *uhttp_process_fd_sets(uhttp_server *server, const void *read_set,
                                            const void *write_set)
{
    uhttp_server *s = server;
    uint32_t tokens = s != NULL ? s->poller.tokens : 0;
    for (uint32_t token = 0; token < tokens; token++) {
        uh_socket fd = uh_poller_socket(&s->poller, token);
        unsigned got = 0;
        if (fd != UH_NO_SOCKET && uh_fd_set_has(read_set, fd))
            got |= UH_READ;
        if (fd != UH_NO_SOCKET && uh_fd_set_has(write_set, fd))
            got |= UH_WRITE;
        if (got != 0)
            uh_server_mark(s, token, got);
    }
    return uhttp_process_events(server, NULL, 0);
}

UHTTP_API uhttp_result uhttp_server_wakeup(uhttp_server *server)
{
    if (server == NULL)
        return UHTTP_ERR_INVALID;
    if (!server->can_wake)
        return UHTTP_ERR_UNSUPPORTED;
    int error = uh_sys_error_keep();        /* that of whom a signal has interrupted */
    if (UH_WAKE_IS_LOSSY)
        server->woken = true;
    bool sent = uh_wake_send(&server->wake);
    uh_sys_error_restore(error);
    return sent || UH_WAKE_IS_LOSSY ? UHTTP_OK : UHTTP_ERR_AGAIN;
}

/*--- opening ----------------------------------------------------------------------------*/

static uint32_t uh_or_default_ms(uint32_t value, uint32_t standard)
{
    return value != 0 ? value : standard;
}

static size_t uh_or_default(size_t value, size_t standard)
{
    return value != 0 ? value : standard;
}

/* Files are read by three functions, and written by three more or not at all. */
static bool uh_files_are_whole(const uhttp_files *f)
{
    return f->open != NULL && f->read != NULL && f->close != NULL &&
           (f->create == NULL || (f->write != NULL && f->finish != NULL));
}

/* Replaces every zero by its default. */
static void uh_config_complete(uhttp_config *config)
{
    if (config->backlog == 0)
        config->backlog = UH_BACKLOG;
    config->max_connections = uh_or_default_ms(
        config->max_connections, UH_HEAP && config->memory == NULL ? UH_SLOTS : UH_SLOTS_FIXED);
    config->keep_alive_max_requests = uh_or_default(config->keep_alive_max_requests, 100);
    config->dead_peer_timeout_ms = uh_or_default_ms(config->dead_peer_timeout_ms, 60000);
    config->max_headers_length = uh_or_default(config->max_headers_length, 4096);
    config->max_content_length = uh_or_default(config->max_content_length, 512 * 1024u);
    config->max_send_buffer = uh_or_default(config->max_send_buffer, 64 * 1024u);
    if (UH_WS) {
        config->max_ws_message_length =
            uh_or_default(config->max_ws_message_length, 64 * 1024u);
        if (config->max_ws_message_length > UH_SIZE_MAX / 2)
            config->max_ws_message_length = UH_SIZE_MAX / 2;
    }
    config->file_chunk_size = uh_or_default(config->file_chunk_size,
                                            UH_HEAP && config->memory == NULL ? 16384 : 4096);
    if (config->files == NULL)
        config->files = uh_system_files;
    if (config->max_send_buffer > UH_SIZE_MAX / 2)
        config->max_send_buffer = UH_SIZE_MAX / 2;
    if (config->file_chunk_size > config->max_send_buffer)
        config->file_chunk_size = config->max_send_buffer;
    if (config->max_headers_length > UH_SIZE_MAX / 8)
        config->max_headers_length = UH_SIZE_MAX / 8;
}

static void uh_times_complete(uint32_t *times, const uhttp_config *config)
{
    times[UH_TIME_NONE] = times[UH_TIME_TURN] = UHTTP_NEVER;
    times[UH_TIME_IDLE] = uh_or_default_ms(config->keep_alive_timeout_ms, 30000);
    times[UH_TIME_REQUEST] = uh_or_default_ms(config->request_timeout_ms, 5000);
    times[UH_TIME_SILENT] = times[UH_TIME_REQUEST];
    times[UH_TIME_RESPONSE] = uh_or_default_ms(config->response_timeout_ms, UHTTP_NEVER);
    times[UH_TIME_BODY] = uh_or_default_ms(config->body_timeout_ms, 10000);
    times[UH_TIME_SEND] = uh_or_default_ms(config->send_timeout_ms, 10000);
    if (UH_WS)
        times[UH_TIME_WEBSOCKET] = uh_or_default_ms(config->ws_ping_interval_ms, 30000);
    times[UH_TIME_LINGER] = times[UH_TIME_FIN] = UH_LINGER_MS;
}

/* Complete lines, none of them the server's own; else why not, and what. */
static bool uh_default_headers_are_good(const char *lines, const char **why, uhttp_str *what)
{
    uhttp_str rest = uh_text_of(lines);
    uhttp_str value;
    while (uhttp_header_next(&rest, what, &value)) {
        *why = UH_WHY("default_headers: a field of the server's");
        if (uh_text_is_one_of(*what, uh_fields_ours) ||
            uh_text_is_one_of(*what, "date\0" "content-encoding\0"))
            return false;
        *why = UH_WHY("default_headers: a field occurs twice");
        if (uh_text_is_one_of(*what, uh_fields_once) && uh_fields_find(rest, *what) != NULL)
            return false;
    }
    *why = UH_WHY("default_headers: not \"Name: value\" CR LF");
    *what = rest;
    return rest.len == 0;
}

/* Can there be a server like that, with so many proxies? Else why not, and what of a text is
 * wrong. */
static bool uh_config_is_good(const uhttp_config *config, uint32_t *proxies, const char **why,
                              uhttp_str *what)
{
    *why = UH_WHY("backlog: a negative number");
    if (config->backlog < 0)
        return false;
    *why = UH_WHY("max_connections: more than an id can name");
    if (config->max_connections > UH_SLOTS_MAX)
        return false;
    *why = UH_WHY("memory: NULL, and UHTTP_NO_HEAP leaves no other");
    if (!UH_HEAP && config->memory == NULL)
        return false;
    *why = UH_WHY("files: a hook is missing");
    if (UH_FILES && config->files != NULL && !uh_files_are_whole(config->files))
        return false;
    *why = UH_WHY("trusted_proxies: not an address, a network or unix");
    if (config->trusted_proxies != NULL)
        *proxies = uh_networks_parse(config->trusted_proxies, NULL, what);
    if (*proxies == UH_NETWORKS_BAD)
        return false;
    return config->default_headers == NULL ||
           uh_default_headers_are_good(config->default_headers, why, what);
}

/* Takes this much off the front of memory, rounded up to keep what follows aligned. */
static uint8_t *uh_carve(uint8_t **memory, size_t size)
{
    uint8_t *taken = *memory;
    *memory += (size + 7u) & ~(size_t)7u;
    return taken;
}

/* Bytes of everything but the buffers. */
static size_t uh_server_size(uint32_t connections, uint32_t proxies)
{
    size_t size = (sizeof(uhttp_server) + 7u) & ~(size_t)7u;
    size += (proxies * sizeof(uh_network) + 7u) & ~(size_t)7u;
    size += (connections * sizeof(uhttp_conn) + 7u) & ~(size_t)7u;
    return size + ((uh_poller_size(UH_TOKEN_SLOT + connections) + 7u) & ~(size_t)7u);
}

/* Lays the server out in memory; the rest of it becomes blocks in fixed mode. */
static uhttp_server *uh_server_lay_out(uint8_t *memory, size_t size,
                                       const uhttp_config *config, uint32_t proxies)
{
    uint32_t n = config->max_connections;
    const uint8_t *end = memory + size;
    memset(memory, 0, size);
    uhttp_server *s = (uhttp_server *)(void *)uh_carve(&memory, sizeof *s);
    s->config = *config;
    s->slots = (uhttp_conn *)(void *)uh_carve(&memory, n * sizeof *s->slots);
    s->proxies = (uh_network *)(void *)uh_carve(&memory, proxies * sizeof *s->proxies);
    s->proxy_count = proxies;
    uint32_t tokens = UH_TOKEN_SLOT + n;
    s->pool.block_size = UH_BLOCK;
    s->pool.fixed = config->memory != NULL;
    uh_poller_open(&s->poller, uh_carve(&memory, uh_poller_size(tokens)), tokens,
                   s->pool.fixed);
    if (uh_pool_is_fixed(&s->pool)) {
        uint32_t block = (uint32_t)((size_t)(end - memory) / (2 * (size_t)n)) & ~7u;
        s->pool.block_size = block;
        for (uint32_t i = 0; i < 2 * n; i++)
            uh_pool_give(&s->pool, memory + (size_t)i * block);
        if (s->config.max_headers_length > block - block / 8)
            s->config.max_headers_length = block - block / 8;
        if (s->config.max_send_buffer > block)
            s->config.max_send_buffer = block;
        if (UH_WS && s->config.max_ws_message_length > block - UH_WS_CONTROL - 1)
            s->config.max_ws_message_length = block - UH_WS_CONTROL - 1;
    }
    for (uint32_t i = n; i-- > 0; ) {
        uhttp_conn *c = &s->slots[i];
        uh_link_to_itself(&c->link);
        c->server = s;
        c->fd = UH_NO_SOCKET;
        c->aside = s->free_slot;
        s->free_slot = c;
    }
    for (uint32_t list = 0; list < UH_TIMES; list++)
        uh_link_to_itself(&s->lists[list]);
    uh_times_complete(s->times, config);
    s->counts[UH_FREE] = n;
    s->turns = UH_TURNS;
    s->rested = true;
    s->now = UHTTP_MILLIS();
    return s;
}

static void uh_server_open_wake(uhttp_server *s)
{
    if (!uh_wake_open(&s->wake))
        return;
    s->can_wake = uh_poller_watch(&s->poller, s->wake.in, UH_TOKEN_WAKE, UH_READ);
    if (!s->can_wake)
        uh_wake_close(&s->wake);
}

/* Takes the memory for a server: the program's, or from the heap. */
static uhttp_result uh_server_new(uhttp_server **server, const uhttp_config *config,
                                  uint32_t proxies)
{
    const size_t slot = UHTTP_MEMORY_SLOT + 2u * UH_BUFFER_MIN;
    if (config->max_connections > (UH_SIZE_MAX - UHTTP_MEMORY_BASE) / slot)
        return UHTTP_ERR_MEMORY;
    size_t size = uh_server_size(config->max_connections, proxies);
    size_t have = size;
    uint8_t *memory = (uint8_t *)config->memory;
    if (memory != NULL) {
        size_t skip = (size_t)(-(intptr_t)memory & 15);
        size_t least = size + 2 * (size_t)config->max_connections * UH_BUFFER_MIN;
        if (config->memory_size < skip || config->memory_size - skip < least ||
            config->memory_size - skip > UH_SIZE_MAX)
            return UHTTP_ERR_MEMORY;
        memory += skip;
        have = config->memory_size - skip;
    } else {
        memory = (uint8_t *)UHTTP_MALLOC(size);
        if (memory == NULL)
            return UHTTP_ERR_MEMORY;
    }
    *server = uh_server_lay_out(memory, have, config, proxies);
    (*server)->memory = config->memory == NULL ? memory : NULL;
    if (!uh_sys_start()) {
        UHTTP_FREE((*server)->memory);
        return UHTTP_ERR_SYSTEM;
    }
    uh_server_open_wake(*server);
    return UHTTP_OK;
}

/* Has the program filled in all of its transport? */
static bool uh_transport_is_whole(const uhttp_transport *t)
{
    return t->open != NULL && t->handshake != NULL && t->recv != NULL && t->send != NULL &&
           t->pending != NULL && t->close != NULL;
}

/* Has a listener speak TLS: the program's, or mbedTLS. */
static uhttp_result uh_listener_secure(uhttp_server *s, uh_listener *l,
                                       const uhttp_tls_config *tls)
{
    s->times[UH_TIME_HANDSHAKE + s->listener_count] =
        uh_or_default_ms(tls->handshake_timeout_ms, 10000);
    l->max_handshakes = uh_or_default_ms(tls->max_handshakes,
                                         (s->config.max_connections + 1) / 2);
    l->transport = tls->transport != NULL ? tls->transport : UH_TLS_TRANSPORT;
    l->transport_user = tls->transport_user;
    if (tls->transport == NULL)
        return uh_tls_load(&s->config, tls, &l->transport_user);
    return uh_transport_is_whole(l->transport) ? UHTTP_OK : UHTTP_ERR_INVALID;
}

/* Gives back what uh_listener_secure() has loaded. */
static void uh_listener_release(const uh_listener *l)
{
    if (UH_TLS && l->transport == UH_TLS_TRANSPORT)
        uh_tls_release(l->transport_user);
}

/* Adds a listening socket; it is the server's from then on. */
static uhttp_result uh_server_add_listener(uhttp_server *s, uh_socket fd, uint32_t mark,
                                           const uhttp_tls_config *tls)
{
    uh_listener l;
    memset(&l, 0, sizeof l);
    l.fd = fd;
    l.transport = &uh_plain;
    l.max_handshakes = UHTTP_NEVER;
    l.mark = mark;
    l.watched = true;
    uhttp_result result = tls != NULL ? uh_listener_secure(s, &l, tls) : UHTTP_OK;
    if (result != UHTTP_OK)
        return result;
    if (!uh_poller_watch(&s->poller, fd, UH_TOKEN_LISTENER + s->listener_count, UH_READ)) {
        uh_listener_release(&l);
        return UHTTP_ERR_SYSTEM;
    }
    if (UH_INHERITS_PROBES)
        uh_server_probe(s, fd);
    s->listeners[s->listener_count++] = l;
    return UHTTP_OK;
}

UHTTP_API uhttp_result uhttp_server_listen(uhttp_server *server, const char *address, int port,
                                           const uhttp_tls_config *tls)
{
    if (server == NULL)
        return UHTTP_ERR_INVALID;
    const uhttp_config *config = &server->config;
    uhttp_str none = { NULL, 0 };
    uh_socket fd;
    if (server->stopping)
        return UHTTP_ERR_STATE;
    if (server->listener_count == UHTTP_MAX_LISTENERS)
        return UHTTP_ERR_MEMORY;
    if (port < UHTTP_PORT_ANY || port > 65535) {
        uh_log_about(config, NULL, 0, UH_WHY("port: not a number from -1 to 65535"), none);
        return UHTTP_ERR_INVALID;
    }
    port = port == 0 ? 80 : port == UHTTP_PORT_ANY ? 0 : port;
    if (address == NULL)
        address = "0.0.0.0";
    uhttp_result result = uh_sys_listen(&fd, address, port, config);
    if (result == UHTTP_ERR_INVALID)
        uh_log_about(config, NULL, 0, UH_WHY("address: not an IP address or unix:/path"),
                     uh_text_of(address));
    if (result != UHTTP_OK)
        return result;
    if (tls != NULL)
        server->handshake = uh_conn_handshake;
    uint32_t mark = uh_unix_mark(fd);
    result = uh_server_add_listener(server, fd, mark, tls);
    if (result != UHTTP_OK) {
        uh_unix_remove(fd, mark);
        uh_sys_close(fd);
    }
    return result;
}

/* Takes over a listening socket the program or its supervisor has opened. */
static uhttp_result uh_server_adopt_listener(uhttp_server *s, uh_socket fd,
                                             const uhttp_tls_config *tls)
{
    if (uh_sys_prepare(fd) && uh_sys_listens(fd))
        return uh_server_add_listener(s, fd, 0, tls);
    uh_server_log(s, NULL, 0, UH_WHY("listen_fd: not a socket that listens"));
    return UHTTP_ERR_INVALID;
}

UHTTP_API uhttp_result uhttp_server_adopt(uhttp_server *server, intptr_t fd, bool tls)
{
    uhttp_server *s = server;
    const uh_listener *l = NULL;
    uh_peer peer;
    if (s == NULL)
        return UHTTP_ERR_INVALID;
    if (s->stopping)
        return UHTTP_ERR_STATE;
    for (uint32_t i = s->listener_count; tls && i-- > 0; ) {
        if (s->listeners[i].transport != &uh_plain)
            l = &s->listeners[i];
    }
    if ((tls && l == NULL) || !uh_sys_peer((uh_socket)fd, &peer))
        return UHTTP_ERR_INVALID;
    if (uh_server_is_full(s))
        return UHTTP_ERR_AGAIN;
    s->now = UHTTP_MILLIS();
    if (!uh_poller_fits(&s->poller, (uh_socket)fd) || !uh_sys_prepare((uh_socket)fd))
        return UHTTP_ERR_MEMORY;
    uh_server_probe(s, (uh_socket)fd);      /* first: it may be closed at once */
    (void)uh_conn_open(s, l, (uh_socket)fd, &peer);
    return UHTTP_OK;
}

static void uh_server_close_listeners(uhttp_server *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        uh_poller_watch(&s->poller, s->listeners[i].fd, UH_TOKEN_LISTENER + i, 0);
        uh_unix_remove(s->listeners[i].fd, s->listeners[i].mark);
        uh_sys_close(s->listeners[i].fd);
        s->listeners[i].fd = UH_NO_SOCKET;
    }
    s->listener_count = 0;
}

/* Gives back everything, when there are no connections any more. */
static void uh_server_free(uhttp_server *s)
{
    uh_server_close_listeners(s);
    for (uint32_t i = 0; i < UHTTP_MAX_LISTENERS; i++)      /* newcomers need it until now */
        uh_listener_release(&s->listeners[i]);
    while (s->pool.free != NULL && !uh_pool_is_fixed(&s->pool))
        UHTTP_FREE(uh_pool_take(&s->pool));
    if (s->can_wake)
        uh_wake_close(&s->wake);
    uh_poller_close(&s->poller);
    uh_sys_stop();
    if (s->memory != NULL)
        UHTTP_FREE(s->memory);
}

UHTTP_API uhttp_result uhttp_server_open(uhttp_server **server, const uhttp_config *config)
{
    uhttp_config complete;
    const char *why;
    uhttp_str what = { NULL, 0 };
    uint32_t proxies = 0;
    if (server == NULL)
        return UHTTP_ERR_INVALID;
    *server = NULL;
    memset(&complete, 0, sizeof complete);
    if (config != NULL)
        complete = *config;
    const uhttp_tls_config *tls = config != NULL ? config->tls : NULL;
    complete.tls = NULL;                /* lives only during this call */
    uh_config_complete(&complete);
    if (!uh_config_is_good(&complete, &proxies, &why, &what)) {
        uh_log_about(&complete, NULL, 0, why, what);
        return UHTTP_ERR_INVALID;
    }
    uhttp_result result = uh_server_new(server, &complete, proxies);
    if (result != UHTTP_OK) {
        what.ptr = NULL;
        if (result == UHTTP_ERR_MEMORY && complete.memory != NULL)
            uh_log_about(&complete, NULL, 0, UH_WHY("memory_size: too small, see "
                         "UHTTP_MEMORY_SIZE"), what);
        *server = NULL;
        return result;
    }
    uhttp_server *s = *server;
    if (complete.default_headers != NULL)
        s->defaults = uh_fields_default;
    if (complete.keep_alive_hint)
        s->put_keep_alive = uh_put_keep_alive;
    if (complete.event_mode)
        s->offer = uh_step_offer;
    if (tls != NULL)
        s->handshake = uh_conn_handshake;
    if (proxies > 0)
        (void)uh_networks_parse(complete.trusted_proxies, s->proxies, &what);
    if (complete.listen_fd != NULL)
        result = uh_server_adopt_listener(s, (uh_socket)*complete.listen_fd, tls);
    else if (complete.port != UHTTP_PORT_NONE)
        result = uhttp_server_listen(s, complete.address, complete.port, tls);
    if (result != UHTTP_OK) {
        uh_server_free(s);
        *server = NULL;
    }
    return result;
}

UHTTP_API uhttp_result uhttp_server_reload_tls(uhttp_server *server,
                                               const uhttp_tls_config *tls)
{
    void *loaded[UHTTP_MAX_LISTENERS] = { NULL, NULL, NULL, NULL };
    uhttp_result result = UH_TLS ? UHTTP_ERR_STATE : UHTTP_ERR_UNSUPPORTED;
    if (server == NULL || tls == NULL)
        return UHTTP_ERR_INVALID;
    for (uint32_t i = 0; i < server->listener_count; i++) {
        const uh_listener *l = &server->listeners[i];
        if (!uh_tls_is_renewable(l->transport, l->transport_user))
            continue;
        result = uh_tls_renew(&server->config, tls, l->transport_user, &loaded[i]);
        if (result != UHTTP_OK)
            break;
    }
    for (uint32_t i = 0; i < server->listener_count; i++) {
        void *needless = loaded[i];
        if (needless != NULL && result == UHTTP_OK) {
            needless = server->listeners[i].transport_user;
            server->listeners[i].transport_user = loaded[i];
        }
        if (needless != NULL)
            uh_tls_release(needless);
    }
    return result;
}

/*--- the end ----------------------------------------------------------------------------*/

/* Takes who waits in the backlogs, as far as there are slots: closing resets the others. */
static void uh_server_empty_backlogs(uhttp_server *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) {
        while (s->free_slot != NULL && uh_listener_accept_one(s, &s->listeners[i])) { }
    }
}

UHTTP_API uhttp_result uhttp_server_shutdown(uhttp_server *server)
{
    uhttp_server *s = server;
    if (s == NULL)
        return UHTTP_ERR_INVALID;
    if (!s->stopping) {
        s->stopping = true;
        s->now = UHTTP_MILLIS();
        s->times[UH_TIME_SILENT] = UH_LINGER_MS;
        if (s->times[UH_TIME_IDLE] > UH_GRACE_MS)
            s->times[UH_TIME_IDLE] = UH_GRACE_MS;       /* a request may be on its way */
        uh_server_empty_backlogs(s);
        if (s->keep_socket != NULL)
            uh_changes_close_listeners(s);
        else
            uh_server_close_listeners(s);
        for (uint32_t i = 0; i < s->config.max_connections; i++) {
            uhttp_conn *c = &s->slots[i];
            if (c->state == UH_IDLE && c->time == UH_TIME_TURN)
                continue;               /* it has spoken: its turn comes */
            if (c->state == UH_IDLE && c->served == 0)
                uh_conn_arm(c);         /* from now on */
            else if (c->state == UH_IDLE)
                uh_conn_note_due(c);    /* since it was idle */
            else if (UH_WS && c->state == UH_WEBSOCKET)
                uh_ready_push(c);       /* its step says goodbye */
        }
    }
    return uh_server_is_done(s) ? UHTTP_OK : UHTTP_ERR_AGAIN;
}

static void uh_server_log_unanswered(uhttp_server *s, const uhttp_conn *c)
{
    char text[100];
    const char *end = text + sizeof text;
    char *p = uh_log_put(text, end, uh_text_of(uhttp_method(c)));
    p = uh_log_put(uh_log_put(p, end, uh_text_of(" ")), end, uh_text_of(uhttp_path(c)));
    uh_log_about(&s->config, c, 0, UH_WHY("a request was never answered"),
                 uh_text_slice(text, p));
}

UHTTP_API void uhttp_server_close(uhttp_server *server)
{
    uhttp_server *s = server;
    if (s == NULL)
        return;
    uh_poller_end(&s->poller);
    uh_changes_end(s);
    uh_server_close_listeners(s);
    while (uh_aside_pop(&s->owing) != NULL) { }
    for (uint32_t i = 0; i < s->config.max_connections; i++) {
        uhttp_conn *c = &s->slots[i];
        if (c->state == UH_FREE)
            continue;
        if (UH_LOG && c->told && c->state != UH_STREAM && !uh_conn_is_ws(c))
            uh_server_log_unanswered(s, c);
        uh_conn_flush(c);           /* what the socket takes at once */
        uh_conn_let_go(c);
        uh_conn_drop(c);
    }
    uh_reclaim_closed(s);
    uh_server_free(s);
}

/*--- the access log --------------------------------------------------------------------*/

/* Appends to a line; NULL: no room for it and a NUL. */
static char *uh_line_put(char *out, const char *end, const char *text, bool escape)
{
    for (; out != NULL && text != NULL && *text != '\0'; text++) {
        unsigned char u = (unsigned char)*text;
        bool plain = !escape || (u > 0x1f && u < 0x7f && u != '"' && u != '\\');
        if (end - out < (plain ? 2 : 5))
            return NULL;
        if (plain) {
            *out++ = (char)u;
        } else {
            *out++ = '\\';
            *out++ = 'x';
            out = uh_put_hex(out, 2, u);
        }
    }
    return out;
}

UHTTP_API int uhttp_access_format(const uhttp_access *entry, char *buffer, size_t size)
{
    const char *label = "\0 - - [\0] \"\0 \0 HTTP/1.\0\" ";
    char date[30];
    char when[32];
    char result[32];
    if (entry == NULL || buffer == NULL)
        return UHTTP_ERR_INVALID;
    const char *end = buffer + size;
    uhttp_date_format(entry->time_s, date);             /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    char *p = uh_text_put(when, date + 5, 20);
    when[2] = when[6] = '/';
    when[11] = ':';
    memcpy(p, " +0000", 7);
    p = uh_text_put_decimal(result, (unsigned)entry->status);
    *p++ = ' ';
    *uh_text_put_decimal(p, entry->bytes) = '\0';
    bool has_address = entry->address != NULL && *entry->address != '\0';
    bool has_line = entry->method != NULL && *entry->method != '\0';
    const char *values[] = {
        has_address ? entry->address : "-", when, has_line ? entry->method : "-",
        !has_line ? NULL : entry->url != NULL ? entry->url : "",
        !has_line ? NULL : entry->version_minor > 0 ? "1" : "0", result
    };
    p = buffer;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (values[i] != NULL)
            p = uh_line_put(uh_line_put(p, end, label, false), end, values[i], true);
        label += strlen(label) + 1;
    }
    if (p == NULL)
        return UHTTP_ERR_MEMORY;
    *p = '\0';
    return (int)(p - buffer);
}

/*--- questions --------------------------------------------------------------------------*/

UHTTP_API int uhttp_listener_port(const uhttp_server *server, size_t index)
{
    if (server == NULL || index >= server->listener_count)
        return 0;
    return uh_sys_local(server->listeners[index].fd).port;
}

UHTTP_API int uhttp_server_port(const uhttp_server *server)
{
    return uhttp_listener_port(server, 0);
}

UHTTP_API intptr_t uhttp_server_fd(const uhttp_server *server)
{
    bool has = server != NULL && server->listener_count > 0;
    return has ? (intptr_t)server->listeners[0].fd : -1;
}

UHTTP_API bool uhttp_server_is_secure(const uhttp_server *server)
{
    return server != NULL && server->listeners[0].transport != NULL &&
           server->listeners[0].transport != &uh_plain;
}

UHTTP_API bool uhttp_server_event_mode(const uhttp_server *server)
{
    return server != NULL && server->config.event_mode;
}

UHTTP_API void uhttp_server_stats(const uhttp_server *server, uhttp_stats *stats)
{
    if (stats == NULL)
        return;
    memset(stats, 0, sizeof *stats);
    if (server == NULL)
        return;
    *stats = server->stats;
    stats->waiting = server->waiting;
    stats->connections = server->config.max_connections - server->counts[UH_FREE];
    stats->websockets = server->counts[UH_WEBSOCKET];
    for (uint32_t i = 0; i < server->config.max_connections; i++) {
        const uhttp_conn *c = &server->slots[i];
        stats->held += c->told ? 1 : 0;
        stats->forgotten += c->told && c->state == UH_CLOSED ? 1 : 0;
    }
}

UHTTP_API const char *uhttp_strerror(uhttp_result result)
{
    switch (result) {
    case UHTTP_OK:              return "success";
    case UHTTP_ERR_CLOSED:      return "the client has disconnected";
    case UHTTP_ERR_STATE:       return "wrong state for this call";
    case UHTTP_ERR_INVALID:     return "invalid argument";
    case UHTTP_ERR_AGAIN:       return "no room now, try again later";
    case UHTTP_ERR_MEMORY:      return "too large or out of memory";
    case UHTTP_ERR_SYSTEM:      return "a system call failed";
    case UHTTP_ERR_IN_USE:      return "the port is in use";
    case UHTTP_ERR_DENIED:      return "permission denied";
    case UHTTP_ERR_UNSUPPORTED: return "not supported by this build or system";
    }
    return "unknown result";
}

UHTTP_API const char *uhttp_version(void) { return UHTTP_VERSION; }
UHTTP_API uint32_t uhttp_millis(void) { return UHTTP_MILLIS(); }

/* UHTTP_MEMORY_SIZE is written without the structs; here it meets them. */
UH_STATIC_ASSERT(sizeof(uhttp_conn) + UH_WATCHED_SIZE <= UHTTP_MEMORY_SLOT, memory_slot);
UH_STATIC_ASSERT(sizeof(uhttp_server) + 16 + 24 + UH_TOKEN_SLOT * UH_WATCHED_SIZE
                 <= UHTTP_MEMORY_BASE, memory_base);

#endif /* UHTTP_IMPLEMENTATION */

/*==============================================================================
 * 15 CHANGES                                       what changed in which version
 *==============================================================================
 * 0.1.0  the core: listeners, strict requests, responses, streams, event mode for
 *        bodies, deadlines, both memory modes, firmware without a heap, foreign
 *        loops; epoll and kqueue where many connections make them cheaper (built by tcc
 *        with glibc: select() alone);
 *        Zephyr; UHTTP_PLATFORM_HEADER, for network stacks the header does not know;
 *        a wake-up for which there is no memory says so, on lwIP it is late; ESP-IDF's clock
 *        gives Date, its virtual file system files;
 *        on lwIP a connection the server ends closes with the client, or two seconds later;
 *        a system without memory for a send or a wait is asked again after 100 ms;
 *        JSON written and read;
 *        cookies, forms, path matching, Basic credentials, trusted proxies;
 *        multipart/form-data parsed as it arrives; files, directories and tables in ROM sent,
 *        bodies written to files;
 *        Server-Sent Events, NDJSON and multipart streams, small writes sent together;
 *        HTTPS through mbedTLS, client certificates, reload of certificates;
 *        a response that fails is logged and, unless another follows, answered with 500;
 *        bodies are accepted after UHTTP_EVENT_REQUEST as after _HEADERS;
 *        formatted responses, JSON as the data of an event, escaping for pages and URLs;
 *        Unix sockets, connections that exist already; a watched socket's token has 64 bits;
 *        uhttp_server_watch_changes() for loops that keep what they have registered;
 *        on Windows all clients beyond FD_SETSIZE are served, as places become free;
 *        any argument may be NULL, which is refused and never a crash; hooks and transports
 *        that return more than they had room for have failed;
 *        a % that begins no escape stands for itself in queries and forms, malformed parts
 *        of a form are skipped, a .gz alone is sent to clients without
 *        Accept-Encoding, 421 for https targets on plain listeners;
 *        WebSocket in both modes; base64 encoder, SHA-1, UTF-8 piece by piece;
 *        a WebSocket handshake with a chunked body is refused, even an empty one; what was
 *        sent before uhttp_ws_close() may be read slowly; X-Forwarded-Proto may say wss;
 *        an entity tag from a hook is used while its file is open; an unfinished row of JSON
 *        does not become a field of a multipart frame; JSON whose text was discarded is not
 *        sent;
 *        a refused HEAD gets no body, also one that is refused before its line is read;
 *        fields that may occur once occur once in every response: the program's replace
 *        the server's own and those of default_headers;
 *        mistakes in a configuration are logged with the field's name;
 *        slots: an idle connection gives way to a newcomer only after a second, busy clients
 *        take turns while newcomers wait, silent, stalled and slow peers give way to them,
 *        a secure peer costs no memory before its first byte; uhttp_stats.waiting;
 *        of what follows a refusal no more than 16 MiB are read and discarded;
 *        a shutdown leaves kept-alive connections a second, as a request may be on its way;
 *        the manual and the texts of uhttp_strerror() in plain English; migration tables;
 *        64 slots by default on the heap; keep_alive_hint, which Connection names as well;
 *        newcomers are accepted one by one, between turns; without descriptors one idle client
 *        gives way at most, and none if nobody is there; a body that came while the program
 *        worked longer than body_timeout_ms is in time;
 *        a stream whose client has shut its side ends after two seconds of silence;
 *        clients that leave behind input for which there is no room are noticed; what the
 *        system's buffer takes is no progress of a client that reads nothing;
 *        dead_peer_timeout_ms;
 *        redirects escape bytes beyond ASCII, those of directories say their status in words;
 *        a server that closes leaves the Unix socket of its successor alone;
 *        warnings and wishes to renegotiate that a TLS peer sends without end do not hold up
 *        the others, hundreds of them end its connection, and two empty records do not; a .gz
 *        alone that cannot be opened is answered 503 or 403, not 404; a file and its .gz are
 *        never open at once; a body or a pong that came while the program worked is in time,
 *        whatever the program then calls, and a body that stays away is late, although the
 *        program asks for it; a loop of your own sleeps after UHTTP_ERR_AGAIN; slow peers give
 *        way only where that gives the newcomer a slot; a ping without memory is not awaited;
 *        macOS and NetBSD no longer end listeners by their own keepalive, and probe what was
 *        accepted; a head for which there is no memory is answered 503, not 431; a directory
 *        that the program forgets to list is answered 500
 */

/*==============================================================================
 * 16 MIGRATION           coming from the Python uhttp server, Mongoose, ESP-IDF
 *==============================================================================
 * THE PYTHON UHTTP SERVER (uhttp.server, 3.x). The shape is the same: a loop around wait(),
 * responses now or later, bodies as events. What differs on purpose:
 *
 *   - Times are milliseconds, and 0 in a configuration means the default.
 *   - There is no dict. Query, headers, cookies and form fields are looked up by name, or taken
 *     by index; uhttp_header() returns the first field of a name and joins none.
 *   - A response is what its function says: text, HTML, JSON. Nothing is guessed from a type.
 *   - Failures are returned, not raised, and a slow reader is UHTTP_ERR_AGAIN: you skip the
 *     piece, repeat it, or close. Nothing closes a stream because it is slow for a moment.
 *   - Streams are chunked and the connection is kept; the end of a stream is not a close.
 *   - WebSockets check the Origin field, and uhttp_wait() serves them beside everything else:
 *     there is no object whose own wait() would block the others.
 *   - Message framing and the Host field are checked strictly, and a bare LF does not end a
 *     line of a head; a stray % in a query is text, as in browsers, where Python raises a 400.
 *
 *   Python                               C
 *   HttpServer(address, port, ...)       uhttp_server_open()
 *     ssl_context                        uhttp_config.tls
 *     event_mode                         uhttp_config.event_mode
 *     max_waiting_clients                uhttp_config.max_connections
 *     keep_alive_timeout                 uhttp_config.keep_alive_timeout_ms
 *     keep_alive_max_requests            uhttp_config.keep_alive_max_requests
 *     request_timeout                    uhttp_config.request_timeout_ms
 *     max_headers_length                 uhttp_config.max_headers_length
 *     max_content_length                 uhttp_config.max_content_length; in event mode the
 *                                        limit of uhttp_accept_body*()
 *     max_send_buffer_size               uhttp_config.max_send_buffer
 *     max_ws_message_length              uhttp_config.max_ws_message_length
 *     file_chunk_size                    uhttp_config.file_chunk_size
 *     listen                             uhttp_config.backlog
 *     trusted_proxies                    uhttp_config.trusted_proxies: one string, blocks too
 *     selector                           uhttp_server_watch(), uhttp_process_events()
 *   server.wait(seconds)                 uhttp_wait(server, milliseconds)
 *   server.handle_event(), next()        uhttp_process_events(), until it returns NULL
 *   server.maintenance()                 not needed: uhttp_server_timeout() says how long the
 *                                        loop may sleep
 *   server.close()                       uhttp_server_close(), uhttp_server_shutdown()
 *   server.socket                        uhttp_server_fd()
 *   server.is_secure, event_mode         uhttp_server_is_secure(), uhttp_server_event_mode()
 *
 *   client.method, url, path             uhttp_method(), uhttp_url(), uhttp_path()
 *   client.host, full_url, protocol      uhttp_host(), uhttp_full_url(), uhttp_protocol()
 *   client.headers                       uhttp_header_count(), uhttp_header_at()
 *   client.headers_get(name)             uhttp_header(c, name)
 *   client.headers_all(name)             uhttp_header_at() for every index
 *   client.query                         uhttp_query(), uhttp_query_at()
 *   client.cookies                       uhttp_cookie(), uhttp_cookie_at()
 *   client.data                          uhttp_body(); JSON: uhttp_json_find(); a form:
 *                                        uhttp_form(); multipart: uhttp_formdata_begin()
 *   client.content_length                uhttp_content_length()
 *   client.is_loaded, is_secure          uhttp_is_loaded(), uhttp_is_secure()
 *   client.socket                        uhttp_fd()
 *   client.addr, socket_address          uhttp_socket_address()
 *   client.remote_address                uhttp_remote_address()
 *   client.remote_addresses              uhttp_remote_addresses(), one string
 *   client.context                       uhttp_context(), uhttp_set_context()
 *
 *   client.respond(str)                  uhttp_respond_html(), _text(), uhttp_respond()
 *   client.respond(dict)                 uhttp_json_begin_response() ... uhttp_json_respond()
 *     headers=, cookies=                 uhttp_add_header(), uhttp_set_cookie(), before it
 *   client.respond_redirect(url)         uhttp_respond_redirect(c, 302, url)
 *   client.respond_file(name)            uhttp_respond_file(); a tree: uhttp_serve_dir()
 *   client.response_multipart()          uhttp_multipart_begin(); _frame and _end likewise
 *   client.response_stream()             uhttp_sse_begin(); another type: uhttp_stream_begin()
 *   client.send_chunk(data)              uhttp_stream_write(); a comment: uhttp_sse_comment()
 *   client.send_event(...)               uhttp_sse_send(); JSON: uhttp_json_begin_event()
 *   client.response_ndjson()             uhttp_ndjson_begin()
 *   client.send_ndjson(obj)              uhttp_ndjson_send(), uhttp_json_begin_row()
 *   client.response_stream_end()         uhttp_stream_end(), uhttp_sse_end(), ...
 *
 *   client.event, bytes_received, error  uhttp_event(), uhttp_bytes_received(), uhttp_error()
 *   EVENT_REQUEST, EVENT_...             UHTTP_EVENT_REQUEST, UHTTP_EVENT_...
 *   client.accept_body()                 uhttp_accept_body(); streaming=True:
 *                                        uhttp_accept_body_streaming(); to_file=:
 *                                        uhttp_accept_body_to_file()
 *   client.read_buffer()                 uhttp_read_buffer(); a message: uhttp_ws_message()
 *   client.pause_reading()               a body: do not call uhttp_read_buffer(), and the
 *                                        sender stops; a WebSocket: no counterpart
 *   client.is_websocket_request          uhttp_is_websocket_request()
 *   client.is_websocket                  uhttp_ws_is_open()
 *   client.accept_websocket()            uhttp_ws_accept()
 *   client.ws_message, ws_is_text        uhttp_ws_message(), uhttp_ws_is_text()
 *   client.ws_send, ws_ping, ws_close    uhttp_ws_send(), uhttp_ws_ping(), uhttp_ws_close()
 *   WebSocket.recv, send, is_closed      the same functions, and UHTTP_EVENT_WS_CLOSE
 *
 *   decode_percent_encoding()            uhttp_percent_decode()
 *   parse_header_line(), _parameters()   uhttp_header_next(), uhttp_param_next()
 *   parse_cookies(), parse_query()       uhttp_cookie_next(), uhttp_query_next()
 *   parse_url()                          uhttp_url_split()
 *   split_iter()                         uhttp_list_next() for commas
 *   parse_ip(), unmap_ipv4()             uhttp_socket_address() does it for you
 *   encode_response_data()               no counterpart: see client.respond
 *   HttpError, HttpErrorWithResponse     a uhttp_result; what is malformed has been refused
 *                                        before you hear of it
 *   HttpDisconnected                     UHTTP_ERR_CLOSED, UHTTP_EVENT_CLOSED
 *   STATUS_CODES, CONTENT_TYPE_MAP       uhttp_status_phrase(), uhttp_mime_type()
 *
 * MONGOOSE. Its event handler becomes the body of your loop: what came as ev arrives as the
 * return value of uhttp_wait() and, with event_mode, uhttp_event(). One server is one set of
 * listeners; there is no client, no MQTT, no timer and no DNS, so those stay where they are.
 *
 *   mg_mgr_init, mg_http_listen          uhttp_server_open(), uhttp_server_listen()
 *   mg_mgr_poll(&mgr, ms)                uhttp_wait(server, ms), which returns the request
 *   MG_EV_HTTP_MSG                       the request itself; body: uhttp_body()
 *   MG_EV_HTTP_HDRS                      UHTTP_EVENT_HEADERS
 *   MG_EV_WS_MSG, MG_EV_CLOSE            UHTTP_EVENT_WS_MESSAGE, _WS_CLOSE, _CLOSED
 *   mg_match(hm->uri, ...)               uhttp_path_match(); ":name" is one segment
 *   mg_http_get_header, _get_var         uhttp_header(), uhttp_query(), uhttp_form()
 *   mg_http_creds                        uhttp_basic_auth()
 *   mg_http_reply                        uhttp_respond_printf(), uhttp_add_header()
 *   mg_http_printf_chunk, _write_chunk   uhttp_stream_begin(), _write(), _end()
 *   mg_http_serve_dir, _serve_file       uhttp_serve_dir(), uhttp_respond_file()
 *   packed file system, MG_ENABLE_...    uhttp_serve_rom(), examples/rom_pack.sh
 *   mg_http_next_multipart, _upload      uhttp_formdata_next(), uhttp_accept_body_to_file()
 *   mg_ws_upgrade, mg_ws_send            uhttp_ws_accept(), uhttp_ws_send()
 *   mg_json_get_...                      uhttp_json_find(), uhttp_json_to_...()
 *   mg_tls_init                          uhttp_config.tls, once, at open
 *   mg_wakeup(&mgr, id, ...)             your queue, uhttp_server_wakeup(), uhttp_find()
 *   c->id, c->data, c->fn_data           uhttp_id(); uhttp_context(), of one request;
 *                                        uhttp_config.user
 *   c->send.len                          uhttp_send_room(); what does not fit is refused
 *   c->is_draining, c->is_closing = 1    uhttp_add_header(c, "Connection", "close") before the
 *                                        response; uhttp_close()
 *
 * A handler that returns without a reply leaves the request open there; here too: the pointer
 * stays yours until you respond. Mongoose sends whatever you queue and lets memory grow; here a
 * write that does not fit returns UHTTP_ERR_AGAIN. A body beyond memory needs event_mode.
 *
 * ESP_HTTP_SERVER. Its task becomes yours: a task of your own calls uhttp_wait(), or your main
 * loop does. Handlers registered by URI become ifs. In ESP-IDF the header uses lwIP's sockets
 * and the heap, or config.memory; see LWIP in section 00 and examples/esp-idf/.
 *
 *   httpd_start, HTTPD_DEFAULT_CONFIG    uhttp_server_open(), uhttp_config of zeros
 *   httpd_stop                           uhttp_server_shutdown(), uhttp_server_close()
 *   httpd_register_uri_handler           if (uhttp_path_match(c, "/led/:id", &id, 1))
 *   r->method, r->uri, r->content_len    uhttp_method(), uhttp_path(), uhttp_content_length()
 *   r->user_ctx, r->sess_ctx             uhttp_context(), of one request; sessions: a cookie
 *   httpd_req_get_hdr_value_str          uhttp_header()
 *   httpd_query_key_value                uhttp_query(), already decoded
 *   httpd_req_get_cookie_val             uhttp_cookie()
 *   httpd_req_recv                       uhttp_body(); larger ones: uhttp_read_buffer()
 *   httpd_resp_set_status, _type, _hdr   arguments of uhttp_respond(), uhttp_add_header()
 *   httpd_resp_send, _sendstr            uhttp_respond(), uhttp_respond_text(), _html()
 *   httpd_resp_send_chunk                uhttp_stream_begin(), _write(), _end()
 *   httpd_resp_send_err, _send_404       uhttp_respond_error()
 *   httpd_req_async_handler_begin        keep c, or uhttp_id(c): every response may be late
 *   httpd_queue_work                     your queue and uhttp_server_wakeup()
 *   httpd_ws_recv_frame, _send_frame     uhttp_ws_message(), uhttp_ws_send()
 *   httpd_sess_trigger_close             uhttp_close()
 *   httpd_ssl_start                      uhttp_config.tls
 *   max_open_sockets, backlog_conn       uhttp_config.max_connections, backlog
 *   recv_wait_timeout, send_wait_timeout uhttp_config.body_timeout_ms, send_timeout_ms
 *   lru_purge_enable                     always: idle connections give way to newcomers
 *   CONFIG_HTTPD_MAX_REQ_HDR_LEN         uhttp_config.max_headers_length
 *
 * A handler there may block in httpd_req_recv() and holds up everybody; here nothing waits for
 * one client. esp_netif must be initialised before uhttp_server_open(); Wi-Fi may come later.
 */

/* MIT License
 *
 * Copyright (c) 2026 the uHTTP authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this
 * software and associated documentation files (the "Software"), to deal in the Software
 * without restriction, including without limitation the rights to use, copy, modify, merge,
 * publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons
 * to whom the Software is furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or
 * substantial portions of the Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED,
 * INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
 * PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE
 * FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
 * OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
 * DEALINGS IN THE SOFTWARE.
 */
