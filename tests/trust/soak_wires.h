/* soak_wires.h - the networks of soak.c: memory_port.h, or the system's sockets, with TLS or not */
#ifndef SOAK_WIRES_H
#define SOAK_WIRES_H

#ifdef SOAK_PORT

#define PORT 8080
#define NETWORK_DELAY 1         /* turns without movement before time may jump */

static intptr_t wire_socket(const visitor *v) { return (intptr_t)(void *)v->end; }

static bool wire_open(visitor *v)
{
    uhttp_address from;
    memset(&from, 0, sizeof from);
    from.family = 4;
    from.port = (uint16_t)(1024 + below(60000));
    from.address[0] = 192;
    from.address[2] = 2;
    from.address[3] = (uint8_t)below(256);
    v->end = net_connect_from(&from, (uint16_t)(PORT + v->listener));
    return v->end != NULL;
}

static int wire_send(visitor *v, const char *bytes, size_t length)
{
    uhttp_str part = { bytes, length };
    int n = uhttp_port_send(wire_socket(v), &part, 1);
    return n == UHTTP_WANT_WRITE ? WIRE_LATER : n > 0 ? n : WIRE_LOST;
}

static int wire_recv(visitor *v, char *to, size_t room)
{
    int n = uhttp_port_recv(wire_socket(v), to, room);
    return n == UHTTP_WANT_READ ? WIRE_LATER : n >= 0 ? n : WIRE_LOST;
}

static void wire_shut(visitor *v) { uhttp_port_shut(wire_socket(v)); }

static void wire_close(visitor *v, bool reset)
{
    if (reset)
        uhttp_port_abort(wire_socket(v));
    uhttp_port_close(wire_socket(v));
}

static void network_open(uhttp_config *config)
{
    net_start();
    config->port = PORT;
    config->files = &files_in_memory;
    CHECK(uhttp_server_open(&server, config) == UHTTP_OK);
    CHECK(uhttp_server_listen(server, NULL, PORT + 1, NULL) == UHTTP_OK);
}

static void network_look(uhttp_watch *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        list[i].ready = (uint16_t)(list[i].wish & net_ready(net_end_of(list[i].fd)));
}

static void network_turn(void) { }
static void network_sample(long *now) { now[FLAT_SOCKETS] = (long)net_used(); }
static void network_night(void) { net.date = 1700000000 + (int64_t)(soak_ms / 1000); }
static void network_close(void) { CHECK(net_used() == 0 && files_open == 0 && files_renamed > 0); }

#else

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define NETWORK_DELAY 3

static long descriptors_before;
static char unix_path[160];
static uint64_t moves;          /* of the poller, between select() and a queue */

static long count_descriptors(void)
{
    long count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return count;
}

/*--- TLS: every block of mbedTLS is counted ---------------------------------------------------*/

#ifdef UHTTP_TLS

void *__real_calloc(size_t count, size_t size);
void __real_free(void *memory);
void *__wrap_calloc(size_t count, size_t size);
void __wrap_free(void *memory);

static long tls_blocks, tls_bytes;
static mbedtls_ssl_config client_conf;
static mbedtls_ssl_session client_session;
static bool client_resumes;
static uh_tls_random client_random;
static uhttp_tls_config server_tls;
static uint64_t handshakes;

/* Whatever calls these two is mbedTLS: the rest of the program takes malloc(). */
void *__wrap_calloc(size_t count, size_t size)
{
    size_t *block = (size_t *)__real_calloc(1, count * size + 16);
    CHECK(block != NULL);
    block[0] = count * size;
    block[1] = 0x715;
    tls_blocks++;
    tls_bytes += (long)block[0];
    return block + 2;
}

void __wrap_free(void *memory)
{
    size_t *block = (size_t *)memory - 2;
    if (memory == NULL)
        return;
    CHECK(block[1] == 0x715);
    block[1] = 0;
    tls_blocks--;
    tls_bytes -= (long)block[0];
    __real_free(block);
}

static int client_out(void *state, const unsigned char *bytes, size_t length)
{
    ssize_t n = send(((visitor *)state)->fd, bytes, length, MSG_NOSIGNAL);
    bool later = n < 0 && (errno == EAGAIN || errno == ENOTCONN);
    return n >= 0 ? (int)n : later ? MBEDTLS_ERR_SSL_WANT_WRITE : -0x4e;
}

static int client_in(void *state, unsigned char *to, size_t room)
{
    ssize_t n = recv(((visitor *)state)->fd, to, room, 0);
    bool later = n < 0 && (errno == EAGAIN || errno == ENOTCONN);
    return n >= 0 ? (int)n : later ? MBEDTLS_ERR_SSL_WANT_READ : -0x4c;
}

static void client_setup(void)
{
    static char chain[256], key[256];
    const char *dir = getenv("UHTTP_TLS_CERTIFICATES");
    snprintf(chain, sizeof chain, "%s/server.pem", dir != NULL ? dir : "build/tls");
    snprintf(key, sizeof key, "%s/server.key", dir != NULL ? dir : "build/tls");
    server_tls.certificate.chain_file = chain;
    server_tls.certificate.key_file = key;
    mbedtls_ssl_config_init(&client_conf);
    mbedtls_ssl_session_init(&client_session);
    uh_tls_random_init(&client_random);
    uh_tls_start_psa();
    CHECK(uh_tls_random_open(&client_random, &server_tls) == 0);
    CHECK(mbedtls_ssl_config_defaults(&client_conf, MBEDTLS_SSL_IS_CLIENT,
                                      MBEDTLS_SSL_TRANSPORT_STREAM,
                                      MBEDTLS_SSL_PRESET_DEFAULT) == 0);
    uh_tls_conf_random(&client_conf, &client_random);
    mbedtls_ssl_conf_authmode(&client_conf, MBEDTLS_SSL_VERIFY_NONE);
}

static void client_forget_session(void)
{
    mbedtls_ssl_session_free(&client_session);
    mbedtls_ssl_session_init(&client_session);
    client_resumes = false;
}

static void client_begin(visitor *v)
{
    v->secure = v->listener == 1 && chance(97);         /* some speak HTTP to that port */
    v->agreed = false;
    if (!v->secure)
        return;
    mbedtls_ssl_init(&v->ssl);
    CHECK(mbedtls_ssl_setup(&v->ssl, &client_conf) == 0);
    mbedtls_ssl_set_bio(&v->ssl, v, client_out, client_in, NULL);
    if (client_resumes && chance(80))
        CHECK(mbedtls_ssl_set_session(&v->ssl, &client_session) == 0);
}

static int client_result(int n)
{
    if (n > 0)
        return n;
    if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || n == MBEDTLS_ERR_SSL_CONN_EOF)
        return 0;
    bool later = n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE;
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    later = later || n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
#endif
    return later ? WIRE_LATER : n == 0 ? 0 : WIRE_LOST;
}

/* 1: the handshake is over. */
static int client_agree(visitor *v)
{
    if (v->agreed)
        return 1;
    int code = mbedtls_ssl_handshake(&v->ssl);
    if (code != 0)
        return client_result(code);
    v->agreed = true;
    handshakes++;
    if (!client_resumes)
        client_resumes = mbedtls_ssl_get_session(&v->ssl, &client_session) == 0;
    return 1;
}

#endif

/*--- sockets ------------------------------------------------------------------------------------*/

static int wire_result(ssize_t n)
{
    bool later = n < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINTR);
    return later ? WIRE_LATER : n < 0 ? WIRE_LOST : (int)n;
}

static bool wire_connect_unix(visitor *v)
{
    struct sockaddr_un to;
    memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;
    snprintf(to.sun_path, sizeof to.sun_path, "%.100s", unix_path);
    v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return v->fd >= 0 && connect(v->fd, (struct sockaddr *)&to, sizeof to) == 0;
}

/* From many addresses, as a port of one is not free again at once. */
static bool wire_connect(visitor *v)
{
    struct sockaddr_in at;
    int on = 1;
    int few = 4096;
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(0x7f000001u + below(1u << 20));
    v->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(v->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (v->bite != SIZE_MAX)                    /* who reads little has room for little */
        setsockopt(v->fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
    if (v->fd < 0 || bind(v->fd, (struct sockaddr *)&at, sizeof at) != 0)
        return false;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)uhttp_listener_port(server, v->listener));
    return connect(v->fd, (struct sockaddr *)&at, sizeof at) == 0 || errno == EINPROGRESS;
}

/* One end of a pair, the other one is given to the server. */
static bool wire_adopt(visitor *v)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    v->fd = ends[0];
    if (uhttp_server_adopt(server, ends[1], false) == UHTTP_OK)
        return true;
    close(ends[1]);
    return false;
}

static bool wire_open(visitor *v)
{
    bool adopted = v->listener == 0 && chance(10);
    bool good = adopted ? wire_adopt(v) : v->listener == 2 ? wire_connect_unix(v)
                                                           : wire_connect(v);
    if (!good && v->fd >= 0)
        close(v->fd);
#ifdef UHTTP_TLS
    if (good)
        client_begin(v);
    if (v->listener == 1 && !v->secure)
        v->honest = false;
#endif
    return good;
}

static int wire_send(visitor *v, const char *bytes, size_t length)
{
#ifdef UHTTP_TLS
    if (v->secure) {
        int agreed = client_agree(v);
        return agreed != 1 ? WIRE_LATER
               : client_result(mbedtls_ssl_write(&v->ssl, (const unsigned char *)bytes, length));
    }
#endif
    return wire_result(send(v->fd, bytes, length, MSG_NOSIGNAL));
}

static int wire_recv(visitor *v, char *to, size_t room)
{
#ifdef UHTTP_TLS
    if (v->secure) {
        int agreed = client_agree(v);
        return agreed != 1 ? agreed
               : client_result(mbedtls_ssl_read(&v->ssl, (unsigned char *)to, room));
    }
#endif
    return wire_result(recv(v->fd, to, room, 0));
}

static void wire_shut(visitor *v)
{
#ifdef UHTTP_TLS
    if (v->secure && v->agreed)
        mbedtls_ssl_close_notify(&v->ssl);
#endif
    shutdown(v->fd, SHUT_WR);
}

static void wire_close(visitor *v, bool reset)
{
    struct linger hard = { 1, 0 };
#ifdef UHTTP_TLS
    if (v->secure && v->agreed && !reset)
        mbedtls_ssl_close_notify(&v->ssl);
    if (v->secure)
        mbedtls_ssl_free(&v->ssl);
#endif
    if (reset)
        setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(v->fd);
}

/*--- the server's side --------------------------------------------------------------------------*/

static void folder_make(void)
{
    const char *where = getenv("TMPDIR");
    char name[200];
    snprintf(folder, sizeof folder, "%.80s/uhttp-soak-%ld", where != NULL ? where : "/tmp",
             (long)getpid());
    CHECK(mkdir(folder, 0700) == 0);
    snprintf(folder_root, sizeof folder_root, "%s", folder);
    snprintf(unix_path, sizeof unix_path, "%s/socket", folder);
    strcat(folder, "/");
    snprintf(name, sizeof name, "%sfile.bin", folder);
    FILE *file = fopen(name, "wb");
    CHECK(file != NULL && fwrite(big, 1, FILE_SIZE, file) == FILE_SIZE && fclose(file) == 0);
}

/* No upload may have been left half written. */
static void folder_remove(void)
{
    DIR *directory = opendir(folder_root);
    struct dirent *entry;
    unsigned uploads = 0;
    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        char name[400];
        if (entry->d_name[0] == '.') {
            CHECK(strncmp(entry->d_name, ".upload-", 8) != 0);
            continue;
        }
        uploads += entry->d_name[0] == 'u';
        snprintf(name, sizeof name, "%s%s", folder, entry->d_name);
        unlink(name);
    }
    closedir(directory);
    rmdir(folder_root);
    CHECK(uploads == 10);
}

static void network_open(uhttp_config *config)
{
    char at[200];
    soak_now = 0xfffff000u;
    descriptors_before = count_descriptors();
    folder_make();
    config->address = "127.0.0.1";
    config->port = UHTTP_PORT_ANY;
    CHECK(uhttp_server_open(&server, config) == UHTTP_OK);
#ifdef UHTTP_TLS
    client_setup();
    CHECK(uhttp_server_listen(server, "127.0.0.1", UHTTP_PORT_ANY, &server_tls) == UHTTP_OK);
#else
    CHECK(uhttp_server_listen(server, "127.0.0.1", UHTTP_PORT_ANY, NULL) == UHTTP_OK);
#endif
    snprintf(at, sizeof at, "unix:%s", unix_path);
    CHECK(uhttp_server_listen(server, at, 0, NULL) == UHTTP_OK);
}

static void network_look(uhttp_watch *list, size_t count)
{
    static struct pollfd sockets[UHTTP_WATCH_CAPACITY(SLOTS)];
    for (size_t i = 0; i < count; i++) {
        sockets[i].fd = (int)list[i].fd;
        sockets[i].events = (short)((list[i].wish & UHTTP_READABLE ? POLLIN : 0) |
                                    (list[i].wish & UHTTP_WRITABLE ? POLLOUT : 0));
    }
    poll(sockets, (nfds_t)count, 0);
    for (size_t i = 0; i < count; i++) {
        short got = sockets[i].revents;
        CHECK((got & POLLNVAL) == 0);
        list[i].ready = (uint16_t)((got & POLLIN ? UHTTP_READABLE : 0) |
                                   (got & POLLOUT ? UHTTP_WRITABLE : 0));
        if ((got & (POLLERR | POLLHUP)) != 0)
            list[i].ready = UHTTP_READABLE | UHTTP_WRITABLE;
    }
}

static void network_turn(void)
{
    static bool was;
    bool is = server->poller.queue >= 0;
    moves += is != was;
    was = is;
}

static void network_sample(long *now)
{
    now[FLAT_SOCKETS] = count_descriptors();
    now[FLAT_QUEUE] = server->poller.queue >= 0;
#ifdef UHTTP_TLS
    client_forget_session();
    now[FLAT_TLS_BLOCKS] = tls_blocks;
    now[FLAT_TLS_BYTES] = tls_bytes;
#endif
}

static void network_night(void)
{
#ifdef UHTTP_TLS
    CHECK(uhttp_server_reload_tls(server, &server_tls) == UHTTP_OK);
#endif
}

static void network_close(void)
{
    CHECK(count_descriptors() == descriptors_before);
    folder_remove();
    printf("# the poller moved %llu times between select() and epoll\n", (unsigned long long)moves);
#ifdef UHTTP_TLS
    mbedtls_ssl_config_free(&client_conf);
    uh_tls_random_free(&client_random);
    printf("# %llu handshakes\n", (unsigned long long)handshakes);
#endif
}

#endif

#endif
