/* tls_loopback.h - loopback.h with TLS: mbedTLS on both sides, in one thread
 *
 * UHTTP_TLS_CERTIFICATES (build/tls) is the directory that tests/server/tls_certificates.sh has filled.
 * Linked with -Wl,--wrap=calloc, and mbedTLS's static libraries, so that a test can let any one
 * allocation of the server's fail.
 */
#ifndef TLS_LOOPBACK_H
#define TLS_LOOPBACK_H

#ifndef UHTTP_TLS
#define UHTTP_TLS 1
#endif
#include "loopback.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

#define TLS_LATER 0x03020000    /* from this version of mbedTLS on, some names are others */

/*--- allocations: counted and failed while the server runs ------------------------------*/

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool tls_in_server;      /* the server is running, not a client */
static size_t tls_allocations;  /* so many since tls_fail_at was set, in the server */
static size_t tls_fail_at;      /* the allocation that fails, from 1; 0: none */

void *__wrap_calloc(size_t count, size_t size)
{
    if (tls_in_server && ++tls_allocations == tls_fail_at)
        return NULL;
    return __real_calloc(count, size);
}

static void tls_pump_server(uhttp_server *server, int timeout_ms)
{
    tls_in_server = true;
    loop_pump_wait(server, timeout_ms);
    tls_in_server = false;
}

/*--- certificates -------------------------------------------------------------------------*/

static const char *tls_file(const char *name)
{
    static char paths[16][256];
    static unsigned next;
    const char *dir = getenv("UHTTP_TLS_CERTIFICATES");
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", dir != NULL ? dir : "build/tls", name);
    return path;
}

/* A file in memory, with a NUL behind it that is not counted; to be freed. */
static char *tls_read(const char *name, size_t *length)
{
    FILE *file = fopen(tls_file(name), "rb");
    if (file == NULL)
        fail_msg("%s: %s (tests/server/tls_certificates.sh makes it)", tls_file(name),
                 strerror(errno));
    char *bytes = (char *)calloc(1, 65536);
    assert_non_null(bytes);
    *length = fread(bytes, 1, 65535, file);
    fclose(file);
    return bytes;
}

static uhttp_tls_certificate tls_certificate(const char *chain, const char *key)
{
    uhttp_tls_certificate certificate;
    memset(&certificate, 0, sizeof certificate);
    certificate.chain_file = tls_file(chain);
    certificate.key_file = tls_file(key);
    return certificate;
}

static uhttp_tls_config tls_config(void)
{
    uhttp_tls_config tls;
    memset(&tls, 0, sizeof tls);
    tls.certificate = tls_certificate("server.pem", "server.key");
    return tls;
}

static void tls_open_with(const uhttp_tls_config *tls)
{
    uhttp_config config = loop_config();
    config.tls = tls;
    loop_open(&config);
    loop.pump = tls_pump_server;
}

static void tls_open(void)
{
    uhttp_tls_config tls = tls_config();
    tls_open_with(&tls);
}

/*--- the client ---------------------------------------------------------------------------*/

/* What a client may be told to do; all zero: verify against ca.pem, for "localhost". */
typedef struct tls_wish {
    const char *host;
    const char *ca;
    const char *chain, *key;    /* its own certificate */
    bool no_verify;
    bool tls12;                 /* not newer */
    bool no_tickets;
    bool large_curves;          /* offer these alone */
    const char **alpn;
    const mbedtls_ssl_session *session;     /* to be resumed */
} tls_wish;

typedef struct tls_client {
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config conf;
    mbedtls_x509_crt ca, chain;
    mbedtls_pk_context key;
    uh_tls_random random;
    int error;                  /* mbedTLS's, of what ended it */
    int lost;                   /* errno of the socket when it failed */
    bool agreed, notified;      /* the handshake is over; close_notify has come */
    size_t most;                /* bytes that may leave, to cut it off anywhere; SIZE_MAX */
    size_t left;                /* bytes that have left */
    size_t received;            /* bytes that have come */
} tls_client;

static int tls_client_failed(tls_client *t, int later)
{
    if (errno == EAGAIN || errno == ENOTCONN)
        return later;
    t->lost = errno;
    return -0x4c;
}

static int tls_client_out(void *state, const unsigned char *bytes, size_t length)
{
    client *c = (client *)state;
    tls_client *t = (tls_client *)c->wire_state;
    size_t room = t->most - t->left;
    if (room == 0)
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    ssize_t n = send(c->fd, bytes, length < room ? length : room, LOOP_SEND_FLAGS);
    if (n < 0)
        return tls_client_failed(t, MBEDTLS_ERR_SSL_WANT_WRITE);
    t->left += (size_t)n;
    return (int)n;
}

static int tls_client_in(void *state, unsigned char *to, size_t room)
{
    client *c = (client *)state;
    tls_client *t = (tls_client *)c->wire_state;
    ssize_t n = recv(c->fd, to, room, 0);
    if (n < 0)
        return tls_client_failed(t, MBEDTLS_ERR_SSL_WANT_READ);
    t->received += (size_t)n;
    return (int)n;
}

/* Goes on with the handshake: 1 done, 0 not yet, -1 failed. */
static int tls_client_shake(client *c)
{
    tls_client *t = (tls_client *)c->wire_state;
    if (t->agreed)
        return 1;
    int code = t->error != 0 ? t->error : mbedtls_ssl_handshake(&t->ssl);
    if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE)
        return 0;
    t->agreed = code == 0;
    t->error = code;
    return t->agreed ? 1 : -1;
}

static int tls_client_errno(const tls_client *t)
{
    return t->lost != 0 ? t->lost : ECONNRESET;
}

static ssize_t tls_client_result(client *c, int n)
{
    tls_client *t = (tls_client *)c->wire_state;
    if (n > 0)
        return n;
    if (n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        t->notified = true;
        return 0;
    }
    if (n == 0 || n == MBEDTLS_ERR_SSL_CONN_EOF)
        return 0;
    bool later = n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE;
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    later = later || n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET;
#endif
    if (!later)
        t->error = n;
    errno = later ? EAGAIN : tls_client_errno(t);
    return -1;
}

static ssize_t tls_client_send(client *c, const void *bytes, size_t length)
{
    tls_client *t = (tls_client *)c->wire_state;
    int done = tls_client_shake(c);
    if (done <= 0) {
        errno = done == 0 ? EAGAIN : tls_client_errno(t);
        return -1;
    }
    int n = mbedtls_ssl_write(&t->ssl, (const unsigned char *)bytes, length);
    return tls_client_result(c, n == 0 ? MBEDTLS_ERR_SSL_WANT_WRITE : n);
}

static ssize_t tls_client_recv(client *c, void *to, size_t room)
{
    tls_client *t = (tls_client *)c->wire_state;
    int done = tls_client_shake(c);
    if (done <= 0) {
        errno = done == 0 ? EAGAIN : tls_client_errno(t);
        return -1;
    }
    return tls_client_result(c, mbedtls_ssl_read(&t->ssl, (unsigned char *)to, room));
}

/* A test of TLS itself says close_notify when it means it. */
static void tls_client_shut(client *c) { (void)c; }

static void tls_client_free(client *c)
{
    tls_client *t = (tls_client *)c->wire_state;
    mbedtls_ssl_free(&t->ssl);
    mbedtls_ssl_config_free(&t->conf);
    mbedtls_x509_crt_free(&t->ca);
    mbedtls_x509_crt_free(&t->chain);
    mbedtls_pk_free(&t->key);
    uh_tls_random_free(&t->random);
    free(t);
}

static const client_wire tls_wire = { tls_client_send, tls_client_recv,
                                      tls_client_shut, tls_client_free };

static void tls_limit_client(mbedtls_ssl_config *conf)
{
#if MBEDTLS_VERSION_NUMBER >= TLS_LATER
    mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_max_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
#endif
}

#if MBEDTLS_VERSION_NUMBER < 0x03010000
static void tls_offer_large_curves(mbedtls_ssl_config *conf)
{
    static const mbedtls_ecp_group_id large[] = {
        MBEDTLS_ECP_DP_SECP521R1, MBEDTLS_ECP_DP_SECP384R1, MBEDTLS_ECP_DP_NONE };
    mbedtls_ssl_conf_curves(conf, large);
}
#else
static void tls_offer_large_curves(mbedtls_ssl_config *conf)
{
    static const uint16_t large[] = {
        MBEDTLS_SSL_IANA_TLS_GROUP_SECP521R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, 0 };
    mbedtls_ssl_conf_groups(conf, large);
}
#endif

/* Has a connected client speak TLS from now on. */
static tls_client *tls_wrap(client *c, const tls_wish *wish)
{
    static const uhttp_tls_config nothing;
    tls_client *t = (tls_client *)calloc(1, sizeof *t);
    assert_non_null(t);
    mbedtls_ssl_init(&t->ssl);
    mbedtls_ssl_config_init(&t->conf);
    mbedtls_x509_crt_init(&t->ca);
    mbedtls_x509_crt_init(&t->chain);
    mbedtls_pk_init(&t->key);
    uh_tls_random_init(&t->random);
    t->most = SIZE_MAX;
    c->wire = &tls_wire;
    c->wire_state = t;
    assert_int_equal(uh_tls_start_psa(), 0);
    assert_int_equal(uh_tls_random_open(&t->random, &nothing), 0);
    assert_int_equal(mbedtls_ssl_config_defaults(&t->conf, MBEDTLS_SSL_IS_CLIENT,
                                                 MBEDTLS_SSL_TRANSPORT_STREAM,
                                                 MBEDTLS_SSL_PRESET_DEFAULT), 0);
    uh_tls_conf_random(&t->conf, &t->random);
    if (wish->tls12)
        tls_limit_client(&t->conf);
    const char *ca = wish->ca != NULL ? wish->ca : "ca.pem";
    assert_int_equal(mbedtls_x509_crt_parse_file(&t->ca, tls_file(ca)), 0);
    mbedtls_ssl_conf_ca_chain(&t->conf, &t->ca, NULL);
    mbedtls_ssl_conf_authmode(&t->conf, wish->no_verify ? MBEDTLS_SSL_VERIFY_NONE
                                                        : MBEDTLS_SSL_VERIFY_REQUIRED);
    if (wish->chain != NULL) {
        assert_int_equal(mbedtls_x509_crt_parse_file(&t->chain, tls_file(wish->chain)), 0);
        assert_int_equal(uh_tls_parse_key_file(&t->key, tls_file(wish->key), NULL, &t->random),
                         0);
        assert_int_equal(mbedtls_ssl_conf_own_cert(&t->conf, &t->chain, &t->key), 0);
    }
    if (wish->alpn != NULL)
        assert_int_equal(mbedtls_ssl_conf_alpn_protocols(&t->conf, wish->alpn), 0);
    if (wish->large_curves)
        tls_offer_large_curves(&t->conf);
    if (wish->no_tickets)
        mbedtls_ssl_conf_session_tickets(&t->conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    assert_int_equal(mbedtls_ssl_setup(&t->ssl, &t->conf), 0);
    mbedtls_ssl_set_bio(&t->ssl, c, tls_client_out, tls_client_in, NULL);
    assert_int_equal(mbedtls_ssl_set_hostname(&t->ssl, wish->host != NULL ? wish->host
                                                                          : "localhost"), 0);
    if (wish->session != NULL)
        assert_int_equal(mbedtls_ssl_set_session(&t->ssl, wish->session), 0);
    return t;
}

static client *tls_connect_with(const tls_wish *wish)
{
    client *c = client_connect();
    tls_wrap(c, wish);
    return c;
}

static client *tls_connect(void)
{
    static const tls_wish nothing;
    return tls_connect_with(&nothing);
}

static tls_client *tls_of(const client *c) { return (tls_client *)c->wire_state; }

/* Waits for the end of the handshake: 0, or mbedTLS's error. */
static int tls_agree(client *c)
{
    int done = 0;
    LOOP_UNTIL((done = tls_client_shake(c)) != 0);
    return done > 0 ? 0 : tls_of(c)->error;
}

/* The server certificate's common name. */
static const char *tls_shown(const client *c)
{
    static char subject[256];
    const mbedtls_x509_crt *crt = mbedtls_ssl_get_peer_cert(&tls_of(c)->ssl);
    assert_non_null(crt);
    assert_true(mbedtls_x509_dn_gets(subject, sizeof subject, &crt->subject) >= 0);
    return subject;
}

static bool tls_is_13(const client *c)
{
    return strcmp(mbedtls_ssl_get_version(&tls_of(c)->ssl), "TLSv1.3") == 0;
}

/*--- a suite that is not about TLS, over TLS ----------------------------------------------*/

#ifdef LOOP_TLS
static const uhttp_tls_config *loop_tls(void)
{
    static uhttp_tls_config tls;
    tls = tls_config();
    tls.max_handshakes = LOOP_CLIENTS;  /* the cap is test_tls.c's */
    return &tls;
}

static void client_agree(client *c)
{
    assert_int_equal(tls_agree(c), 0);
}

static void client_notify(client *c)
{
    client_agree(c);
    mbedtls_ssl_close_notify(&tls_of(c)->ssl);
}

/* The handshake begins with the first byte that is sent, or waited for. */
static void client_wrap(client *c)
{
    static const client_wire notifying = { tls_client_send, tls_client_recv, client_notify,
                                           tls_client_free };
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.no_verify = true;      /* for speed: test_tls.c verifies */
    tls_wrap(c, &wish);
    c->wire = &notifying;
}
#endif

#pragma GCC diagnostic pop

#endif
