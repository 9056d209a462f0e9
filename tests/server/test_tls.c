/* HTTPS over real sockets, mbedTLS on both sides. Built by the stage "tls" of tests/run.sh. */
#include "tls_loopback.h"

/*--- certificates and keys ----------------------------------------------------------------*/

static void a_page_is_served_over_tls(void **state)
{
    (void)state;
    tls_open();
    client *c = tls_connect();
    client_check(c, "/a");
    client_check(c, "/b");
    assert_true(uhttp_server_is_secure(loop.server));
    assert_int_equal(loop_stats().accepted, 1);
}

static void what_was_asked_over_tls_is_secure(void **state)
{
    (void)state;
    char url[128];
    tls_open();
    client *c = tls_connect();
    client_send(c, "GET /hold?a=1 HTTP/1.1\r\nHost: localhost:8443\r\n\r\n");
    LOOP_UNTIL(loop.held_count == 1);
    assert_true(uhttp_is_secure(loop.held[0]));
    assert_true(uhttp_full_url(loop.held[0], url, sizeof url) > 0);
    assert_string_equal(url, "https://localhost:8443/hold?a=1");
    assert_int_equal(uhttp_client_subject(loop.held[0], url, sizeof url), 0);
    assert_int_equal(uhttp_client_subject(loop.held[0], url, 0), UHTTP_ERR_MEMORY);
    assert_ok(uhttp_respond_text(loop.held[0], 200, "now"));
    assert_int_equal(client_answer(c), 200);
}

static void set_cookies(uhttp_conn *c)
{
    uhttp_new_cookie cookie;
    memset(&cookie, 0, sizeof cookie);
    cookie.name = "a";
    assert_ok(uhttp_set_cookie(c, &cookie));
    cookie.name = "__Host-b";
    cookie.same_site = UHTTP_SAME_SITE_NONE;
    assert_ok(uhttp_set_cookie(c, &cookie));
    cookie.insecure = true;
    assert_int_equal(uhttp_set_cookie(c, &cookie), UHTTP_ERR_INVALID);
    cookie.name = "c";
    assert_int_equal(uhttp_set_cookie(c, &cookie), UHTTP_ERR_INVALID);
    cookie.same_site = UHTTP_SAME_SITE_LAX;
    assert_ok(uhttp_set_cookie(c, &cookie));
    assert_ok(uhttp_respond_text(c, 200, ""));
}

static void a_cookie_set_over_tls_is_secure_unless_it_is_not_to_be(void **state)
{
    (void)state;
    tls_open();
    loop.handler = set_cookies;
    client *c = tls_connect();
    assert_int_equal(client_get(c, "/"), 200);
    assert_non_null(strstr(c->head, "\r\nSet-Cookie: a=; Path=/; Secure; HttpOnly; SameSite=Lax"
                                    "\r\n"));
    assert_non_null(strstr(c->head, "\r\nSet-Cookie: __Host-b=; Path=/; Secure; HttpOnly; "
                                    "SameSite=None\r\n"));
    assert_non_null(strstr(c->head, "\r\nSet-Cookie: c=; Path=/; HttpOnly; SameSite=Lax\r\n"));
}

static void certificates_and_keys_are_read_from_files_and_memory(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *key;
        bool in_memory, with_nul, whole_chain;
    } cases[] = {
        { "server.pem", "server.key", false, false, true },
        { "server.pem", "server.key", true, true, true },
        { "server.pem", "server.key", true, false, true },      /* a file linked in, no NUL */
        { "server.leaf.der", "server.key.der", false, false, false },
        { "server.leaf.der", "server.key.der", true, false, false },
        { "rsa.pem", "rsa.key", false, false, true },
        { "p384.pem", "p384.key", false, false, true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uhttp_tls_config tls = tls_config();
        tls_wish wish;
        memset(&wish, 0, sizeof wish);
        char *chain = tls_read(cases[i].chain, &tls.certificate.chain_length);
        char *key = tls_read(cases[i].key, &tls.certificate.key_length);
        if (cases[i].with_nul)
            tls.certificate.chain_length = tls.certificate.key_length = 0;
        tls.certificate.chain = chain;
        tls.certificate.key = key;
        if (cases[i].in_memory)
            tls.certificate.chain_file = tls.certificate.key_file = NULL;
        else
            tls.certificate = tls_certificate(cases[i].chain, cases[i].key);
        wish.no_verify = !cases[i].whole_chain;
        wish.host = strcmp(cases[i].chain, "rsa.pem") == 0 ? "other.example" : NULL;
        tls_open_with(&tls);
        free(chain);            /* needed no longer than the call */
        free(key);
        client *c = tls_connect_with(&wish);
        client_check(c, "/");
        client_close(c);
        loop_close();
    }
}

static void a_failure_without_a_text_is_told_by_its_number(void **state)
{
    (void)state;
    char text[160];
    *uh_tls_put_reason(text, -0x5f80) = '\0';
    assert_string_equal(text, "mbedTLS error (-0x5F80)");
    *uh_tls_put_reason(text, -0x0010) = '\0';
    assert_string_equal(text, "BIGNUM - Memory allocation failed (-0x0010)");
}

static void a_key_is_decrypted_with_its_password(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config();
    tls.certificate.key_file = tls_file("server.aes.key");
    tls.certificate.key_password = "secret";
    tls_open_with(&tls);
    client_check(tls_connect(), "/");
}

static void a_failing_open_names_the_file_and_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *chain, *key, *password;
        uhttp_result result;
        const char *names, *says;
    } cases[] = {
        { "nowhere.pem", "server.key", NULL, UHTTP_ERR_SYSTEM, "nowhere.pem",
          "No such file or directory: " },
        { "server.pem", "nowhere.key", NULL, UHTTP_ERR_SYSTEM, "nowhere.key",
          "No such file or directory: " },
        { "server.key", "server.key", NULL, UHTTP_ERR_INVALID, "server.key", "(-0x" },
        { "server.pem", "server.pem", NULL, UHTTP_ERR_INVALID, "server.pem", "(-0x" },
        { "server.pem", "renewed.key", NULL, UHTTP_ERR_INVALID, "renewed.key",
          "does not belong to the certificate" },
        { "server.pem", "rsa.key", NULL, UHTTP_ERR_INVALID, "rsa.key",
          "does not belong to the certificate" },
        { "broken.pem", "renewed.key", NULL, UHTTP_ERR_INVALID, "broken.pem",
          "not every certificate in it can be read" },
        { "server.pem", "server.aes.key", NULL, UHTTP_ERR_INVALID, "server.aes.key",
          "password" },
        { "server.pem", "server.aes.key", "guess", UHTTP_ERR_INVALID, "server.aes.key",
          "password" },
        { NULL, "server.key", NULL, UHTTP_ERR_INVALID, "certificate", "none was given" },
        { "server.pem", NULL, NULL, UHTTP_ERR_INVALID, "private key", "none was given" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uhttp_config config = loop_config();
        uhttp_tls_config tls;
        uhttp_server *server;
        char error[200] = "";
        memset(&tls, 0, sizeof tls);
        if (cases[i].chain != NULL)
            tls.certificate.chain_file = tls_file(cases[i].chain);
        if (cases[i].key != NULL)
            tls.certificate.key_file = tls_file(cases[i].key);
        tls.certificate.key_password = cases[i].password;
        tls.error = error;
        tls.error_size = sizeof error;
        config.tls = &tls;
        assert_int_equal(uhttp_server_open(&server, &config), cases[i].result);
        assert_null(server);
        if (strstr(error, cases[i].names) == NULL || strstr(error, cases[i].says) == NULL)
            fail_msg("not \"%s\" and \"%s\" but: %s", cases[i].names, cases[i].says, error);
        assert_int_equal(loop.line_count, i + 1);
        assert_non_null(strstr(loop.lines[i], cases[i].says));
        if (cases[i].result == UHTTP_ERR_SYSTEM)        /* it begins with what the system says */
            assert_ptr_equal(strstr(error, cases[i].says), error);
    }
}

static void a_reason_is_cut_to_the_room_there_is(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    uhttp_server *server;
    char error[10];
    memset(error, 'x', sizeof error);
    tls.certificate.chain_file = NULL;
    tls.error = error;
    tls.error_size = 8;
    config.tls = &tls;
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_INVALID);
    assert_memory_equal(error, "certifi\0xx", 10);
    tls.error_size = 0;
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_INVALID);
    assert_memory_equal(error, "certifi\0xx", 10);
}

static void a_client_refuses_expired_and_foreign_certificates(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config();
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    tls.certificate = tls_certificate("expired.pem", "expired.key");
    tls_open_with(&tls);
    client *c = tls_connect();
    assert_int_equal(tls_agree(c), MBEDTLS_ERR_X509_CERT_VERIFY_FAILED);
    client_close(c);
    LOOP_UNTIL(loop_logged("(-0x7") == 1);      /* the client's alert */
    wish.ca = "other_ca.pem";
    c = tls_connect_with(&wish);
    assert_int_equal(tls_agree(c), MBEDTLS_ERR_X509_CERT_VERIFY_FAILED);
    client_close(c);
    LOOP_UNTIL(loop_logged("(-0x7") == 2);
    wish.no_verify = true;
    client_check(tls_connect_with(&wish), "/");
}

static void the_name_a_client_asks_for_chooses_the_certificate(void **state)
{
    (void)state;
    static const struct { const char *host, *shown; } cases[] = {
        { "localhost", "CN=localhost" },
        { "other.example", "CN=other.example" },
        { "OTHER.Example", "CN=other.example" },
        { "one.wild.example", "CN=other.example" },
        { "wild.example", "CN=localhost" },
        { "two.one.wild.example", "CN=localhost" },
        { ".wild.example", "CN=localhost" },
        { "other.example.com", "CN=localhost" },
        { "nobody", "CN=localhost" },
    };
    uhttp_tls_config tls = tls_config();
    uhttp_tls_certificate more[1];
    more[0] = tls_certificate("rsa.pem", "rsa.key");
    tls.more = more;
    tls.more_count = 1;
    tls_open_with(&tls);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tls_wish wish;
        memset(&wish, 0, sizeof wish);
        wish.host = cases[i].host;
        wish.no_verify = true;
        client *c = tls_connect_with(&wish);
        assert_int_equal(tls_agree(c), 0);
        assert_string_equal(tls_shown(c), cases[i].shown);
        client_check(c, "/");
        client_close(c);
    }
}

static size_t entropy_asked;
static bool entropy_fails;

static bool entropy_source(void *user, void *to, size_t length)
{
    assert_ptr_equal(user, &entropy_asked);
    entropy_asked++;
    memset(to, 7, length);
    return !entropy_fails;
}

static void the_programs_entropy_is_asked(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    uhttp_server *server;
    char error[120] = "";
    tls.entropy = entropy_source;
    tls.entropy_user = &entropy_asked;
    tls.error = error;
    tls.error_size = sizeof error;
    entropy_asked = 0;
    entropy_fails = false;
    tls_open_with(&tls);
    assert_true(entropy_asked > 0);
    client_check(tls_connect(), "/");
    entropy_fails = true;
    config.tls = &tls;
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_SYSTEM);
    assert_non_null(strstr(error, "entropy: "));
}

static void a_ready_configuration_is_used_as_it_is(void **state)
{
    (void)state;
    mbedtls_ssl_config conf;
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
    uh_tls_random random;
    uhttp_tls_config tls, nothing;
    memset(&tls, 0, sizeof tls);
    memset(&nothing, 0, sizeof nothing);
    mbedtls_ssl_config_init(&conf);
    mbedtls_x509_crt_init(&chain);
    mbedtls_pk_init(&key);
    uh_tls_random_init(&random);
    assert_int_equal(uh_tls_start_psa(), 0);
    assert_int_equal(uh_tls_random_open(&random, &nothing), 0);
    assert_int_equal(mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_SERVER,
                                                 MBEDTLS_SSL_TRANSPORT_STREAM,
                                                 MBEDTLS_SSL_PRESET_DEFAULT), 0);
    uh_tls_conf_random(&conf, &random);
    assert_int_equal(mbedtls_x509_crt_parse_file(&chain, tls_file("renewed.pem")), 0);
    assert_int_equal(uh_tls_parse_key_file(&key, tls_file("renewed.key"), NULL, &random), 0);
    assert_int_equal(mbedtls_ssl_conf_own_cert(&conf, &chain, &key), 0);
    tls.mbedtls_config = &conf;
    tls_open_with(&tls);
    client_check(tls_connect(), "/");
    tls = tls_config();
    assert_int_equal(uhttp_server_reload_tls(loop.server, &tls), UHTTP_ERR_STATE);
    loop_close();
    mbedtls_ssl_config_free(&conf);
    mbedtls_x509_crt_free(&chain);
    mbedtls_pk_free(&key);
    uh_tls_random_free(&random);
}

/*--- what is agreed on --------------------------------------------------------------------*/

static void alpn_selects_http_and_nothing_else(void **state)
{
    (void)state;
    static const char *both[] = { "h2", "http/1.1", NULL };
    static const char *newer[] = { "h2", NULL };
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    tls_open();
    client *c = tls_connect();
    assert_int_equal(tls_agree(c), 0);
    assert_null(mbedtls_ssl_get_alpn_protocol(&tls_of(c)->ssl));
    wish.alpn = both;
    c = tls_connect_with(&wish);
    assert_int_equal(tls_agree(c), 0);
    assert_string_equal(mbedtls_ssl_get_alpn_protocol(&tls_of(c)->ssl), "http/1.1");
    wish.alpn = newer;
    assert_int_not_equal(tls_agree(tls_connect_with(&wish)), 0);
    loop_close();
    uhttp_tls_config tls = tls_config();
    tls.no_alpn = true;
    tls_open_with(&tls);
    c = tls_connect_with(&wish);
    assert_int_equal(tls_agree(c), 0);
    assert_null(mbedtls_ssl_get_alpn_protocol(&tls_of(c)->ssl));
}

static void suites_have_forward_secrecy_and_authenticated_encryption(void **state)
{
    (void)state;
    static const int weak[] = {
        0xc023, 0xc009,         /* ECDHE-ECDSA with CBC */
        0x009c, 0x002f,         /* RSA key exchange */
        0
    };
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.tls12 = true;
    tls_open();
    client *c = tls_connect_with(&wish);
    assert_int_equal(tls_agree(c), 0);
    assert_non_null(strstr(mbedtls_ssl_get_ciphersuite(&tls_of(c)->ssl), "TLS-ECDHE-ECDSA-"));
    assert_non_null(strstr(mbedtls_ssl_get_ciphersuite(&tls_of(c)->ssl), "GCM"));
    c = tls_connect_with(&wish);
    mbedtls_ssl_conf_ciphersuites(&tls_of(c)->conf, weak);
    assert_int_not_equal(tls_agree(c), 0);
}

/* From version 3 on mbedTLS's client knows none either; tests/clients/tls.sh asks with openssl. */
static void versions_before_1_2_are_refused(void **state)
{
    (void)state;
#if MBEDTLS_VERSION_NUMBER < 0x03000000
    tls_open();
    client *c = tls_connect();
    mbedtls_ssl_conf_max_version(&tls_of(c)->conf, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_2);
    assert_int_not_equal(tls_agree(c), 0);
#else
    skip();
#endif
}

static void larger_curves_are_used_only_when_asked_for(void **state)
{
    (void)state;
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.no_verify = true;
    wish.host = "other.example";
    uhttp_tls_config tls = tls_config();
    tls.certificate = tls_certificate("rsa.pem", "rsa.key");    /* brings no curve of its own */
    tls_open_with(&tls);
    wish.large_curves = true;
    assert_int_not_equal(tls_agree(tls_connect_with(&wish)), 0);
    loop_close();
    tls.larger_curves = true;
    tls_open_with(&tls);
    assert_int_equal(tls_agree(tls_connect_with(&wish)), 0);
}

/* Bytes that came for a handshake: a full one brings the certificates. */
static size_t handshake_bytes(const tls_wish *wish, mbedtls_ssl_session *session)
{
    client *c = tls_connect_with(wish);
    assert_int_equal(tls_agree(c), 0);
    size_t bytes = tls_of(c)->received;
    client_check(c, "/");               /* in 1.3 a ticket comes with it */
    if (session != NULL)
        assert_int_equal(mbedtls_ssl_get_session(&tls_of(c)->ssl, session), 0);
    client_close(c);
    return bytes;
}

static bool resumes(tls_wish wish)
{
    mbedtls_ssl_session session;
    mbedtls_ssl_session_init(&session);
    size_t full = handshake_bytes(&wish, &session);
    wish.session = &session;
    size_t again = handshake_bytes(&wish, NULL);
    mbedtls_ssl_session_free(&session);
    return again < full / 2;
}

static void sessions_resume_by_tickets_and_by_the_cache(void **state)
{
    (void)state;
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    tls_open();
    wish.tls12 = true;
    assert_true(resumes(wish));
    wish.no_tickets = true;
    assert_true(resumes(wish));
}

static uhttp_tls_config tls_config_for_clients(uhttp_client_certificate demand)
{
    uhttp_tls_config tls = tls_config();
    tls.client_certificate = demand;
    tls.client_ca_file = tls_file("ca.pem");
    return tls;
}

static void sessions_do_not_resume_where_clients_show_certificates(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config_for_clients(UHTTP_CLIENT_REQUIRED);
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.chain = "alice.pem";
    wish.key = "alice.key";
    wish.tls12 = true;
    tls_open_with(&tls);
    assert_false(resumes(wish));
    wish.no_tickets = true;
    assert_false(resumes(wish));
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
#if defined(MBEDTLS_SSL_RENEGOTIATION)
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.tls12 = true;
    tls_open();
    client *c = tls_connect_with(&wish);
    mbedtls_ssl_conf_renegotiation(&tls_of(c)->conf, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
    client_check(c, "/before");
    int code = 0;
    LOOP_UNTIL((code = mbedtls_ssl_renegotiate(&tls_of(c)->ssl)) != MBEDTLS_ERR_SSL_WANT_READ &&
               code != MBEDTLS_ERR_SSL_WANT_WRITE);
    assert_int_not_equal(code, 0);
    client_check(tls_connect(), "/another");
#else
    skip();
#endif
}

#if defined(MBEDTLS_SSL_RENEGOTIATION)

/* What has come for a client whose TLS has not read it yet. */
static struct { unsigned char *bytes; size_t length, at; } unread;

static void unread_take_in(const client *c)
{
    ssize_t n;
    while ((n = recv(c->fd, unread.bytes + unread.length, LOOP_BIG - unread.length, 0)) > 0)
        unread.length += (size_t)n;
}

static int unread_give(void *c, unsigned char *to, size_t room)
{
    if (unread.at == unread.length)
        unread_take_in((const client *)c);
    size_t n = unread.length - unread.at < room ? unread.length - unread.at : room;
    memcpy(to, unread.bytes + unread.at, n);
    unread.at += n;
    return n > 0 ? (int)n : MBEDTLS_ERR_SSL_WANT_READ;
}

static uint32_t pattern[1u << 20];

static void answer_pattern(uhttp_conn *c)
{
    int room = 30000;           /* so that the system takes a part of a record */
    assert_int_equal(setsockopt((int)uhttp_fd(c), SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    assert_ok(uhttp_respond_static(c, 200, "application/x", pattern, sizeof pattern));
}

/* The rest of a record goes with the alert that says no: the record must not come again. */
static void a_record_on_its_way_survives_a_wish_for_renegotiation(void **state)
{
    (void)state;
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.tls12 = true;
    for (uint32_t i = 0; i < sizeof pattern / sizeof pattern[0]; i++)
        pattern[i] = i;
    tls_open();
    loop.handler = answer_pattern;
    client *c = client_connect_narrow(8192);
    tls_client *t = tls_wrap(c, &wish);
    mbedtls_ssl_conf_renegotiation(&t->conf, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
    mbedtls_ssl_conf_renegotiation_enforced(&t->conf, MBEDTLS_SSL_RENEGOTIATION_NOT_ENFORCED);
    client_send(c, GET("/"));
    memset(&unread, 0, sizeof unread);
    unread.bytes = (unsigned char *)malloc(LOOP_BIG);
    assert_non_null(unread.bytes);
    mbedtls_ssl_set_bio(&t->ssl, c, tls_client_out, unread_give, NULL);
    uhttp_conn *slot = &loop.server->slots[0];
    LOOP_UNTIL(slot->t != NULL && ((uh_tls_peer *)slot->t)->held);
    for (int i = 0; i < 20; i++) {      /* there is room, but the server does not know it yet */
        loop_sleep(2);
        unread_take_in(c);
    }
    assert_true(((uh_tls_peer *)slot->t)->held);
    assert_int_not_equal(mbedtls_ssl_renegotiate(&t->ssl), 0);
    loop_pump(1);
    assert_int_equal(client_answer(c), 200);
    assert_int_equal(c->length, sizeof pattern);
    assert_memory_equal(c->body, pattern, sizeof pattern);
    free(unread.bytes);
}

#endif

/*--- client certificates ------------------------------------------------------------------*/

static void a_required_client_certificate_names_its_subject(void **state)
{
    (void)state;
    char subject[80], tight[40];
    uhttp_tls_config tls = tls_config_for_clients(UHTTP_CLIENT_REQUIRED);
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.chain = "alice.pem";
    wish.key = "alice.key";
    tls_open_with(&tls);
    client *c = tls_connect_with(&wish);
    client_send(c, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    static const char alice[] = "C=DE, O=uHTTP tests, CN=alice";
    assert_int_equal(uhttp_client_subject(loop.held[0], subject, sizeof subject),
                     sizeof alice - 1);
    assert_string_equal(subject, alice);
    for (size_t size = 0; size < sizeof alice; size++)
        assert_int_equal(uhttp_client_subject(loop.held[0], tight, size), UHTTP_ERR_MEMORY);
    assert_int_equal(uhttp_client_subject(loop.held[0], tight, sizeof alice),
                     sizeof alice - 1);
    client_reset(c);
    LOOP_UNTIL(!uhttp_is_open(loop.held[0]));
    assert_int_equal(uhttp_client_subject(loop.held[0], subject, sizeof subject),
                     UHTTP_ERR_CLOSED);
    assert_int_equal(uhttp_respond_text(loop.held[0], 200, "late"), UHTTP_ERR_CLOSED);
}

/* In 1.3 the client hears of a refusal only when it reads. */
static bool is_served(client *c)
{
    if (tls_agree(c) != 0)
        return false;
    client_try_send(c, GET("/x"), strlen(GET("/x")));
    LOOP_UNTIL(client_receive(c) != 0);
    return c->used > 0;
}

static void without_a_good_certificate_a_requiring_listener_serves_nobody(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config_for_clients(UHTTP_CLIENT_REQUIRED);
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    tls_open_with(&tls);
    assert_false(is_served(tls_connect()));
    wish.chain = "mallory.pem";
    wish.key = "mallory.key";
    assert_false(is_served(tls_connect_with(&wish)));
    wish.chain = "alice.pem";
    wish.key = "alice.key";
    assert_true(is_served(tls_connect_with(&wish)));
    assert_int_equal(loop.requests, 1);
}

/* What the client has sent behind its bad certificate must not turn the alert into a reset. */
static void who_is_refused_hears_the_alert(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config_for_clients(UHTTP_CLIENT_REQUIRED);
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.tls12 = true;
    wish.chain = "mallory.pem";
    wish.key = "mallory.key";
    tls.handshake_timeout_ms = 1500;
    tls_open_with(&tls);
    for (size_t late = 0; late < 2; late++) {
        client *c = tls_connect_with(&wish);
        assert_int_equal(tls_agree(c), MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
        uint8_t more[64] = { 0 };
        assert_int_equal(send(c->fd, more, sizeof more, LOOP_SEND_FLAGS), sizeof more);
        loop_pump_for(20);
        assert_int_equal(recv(c->fd, more, sizeof more, 0), 0);     /* an end, no reset */
        if (late == 0)
            client_close(c);
        LOOP_UNTIL(loop_stats().connections == 0);      /* at the latest by its deadline */
        assert_int_equal(loop_logged("handshake_timeout_ms"), 0);
        assert_int_equal(loop_logged("ertificate"), 1 + late);
    }
}

static void an_optional_certificate_counts_only_when_it_is_good(void **state)
{
    (void)state;
    static const struct { const char *chain, *key; int length; } cases[] = {
        { NULL, NULL, 0 },
        { "mallory.pem", "mallory.key", 0 },
        { "alice.pem", "alice.key", 29 },
    };
    char subject[80];
    uhttp_tls_config tls = tls_config_for_clients(UHTTP_CLIENT_OPTIONAL);
    tls_open_with(&tls);
    for (unsigned i = 0; i < 3; i++) {
        tls_wish wish;
        memset(&wish, 0, sizeof wish);
        wish.chain = cases[i].chain;
        wish.key = cases[i].key;
        client *c = tls_connect_with(&wish);
        client_send(c, GET("/hold"));
        LOOP_UNTIL(loop.held_count == i + 1);
        assert_int_equal(uhttp_client_subject(loop.held[i], subject, sizeof subject),
                         cases[i].length);
        assert_int_equal(strlen(subject), cases[i].length);
        assert_ok(uhttp_respond_text(loop.held[i], 200, "ok"));
        assert_int_equal(client_answer(c), 200);
    }
}

static void client_certificates_need_somebody_to_trust(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config_for_clients(UHTTP_CLIENT_OPTIONAL);
    uhttp_server *server;
    tls.client_ca_file = NULL;
    config.tls = &tls;
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_INVALID);
    tls.client_ca_file = tls_file("nowhere.pem");
    assert_int_equal(uhttp_server_open(&server, &config), UHTTP_ERR_SYSTEM);
    assert_int_equal(loop_logged("No such file or directory: "), 1);
    assert_int_equal(loop_logged("nowhere.pem"), 1);
    size_t length;
    char *ca = tls_read("ca.pem", &length);
    tls.client_ca_file = NULL;
    tls.client_ca = ca;
    tls.client_ca_length = length;
    config.tls = &tls;
    assert_ok(uhttp_server_open(&server, &config));
    uhttp_server_close(server);
    free(ca);
}

/*--- handshakes that do not come to an end ------------------------------------------------*/

static void a_handshake_may_be_cut_after_every_byte(void **state)
{
    (void)state;
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.no_verify = true;
    tls_open();
    client *other = tls_connect();
    client_check(other, "/first");
    client *whole = tls_connect_with(&wish);
    assert_int_equal(tls_agree(whole), 0);
    size_t all = tls_of(whole)->left;
    client_close(whole);
    for (size_t cut = 0; cut < all; cut++) {
        client *c = tls_connect_with(&wish);
        tls_of(c)->most = cut;
        LOOP_UNTIL(tls_of(c)->left == cut || tls_client_shake(c) < 0);
        for (int i = 0; i < 3; i++) {
            loop_pump(0);
            (void)tls_client_shake(c);
        }
        if (cut % 3 == 0)
            client_reset(c);
        else if (cut % 3 == 1)
            client_close(c);
        else
            client_shut(c);
        LOOP_UNTIL(loop_stats().connections <= 1);
        client_forget(c);
    }
    client_check(other, "/last");
}

/* Bytes that the system holds for the server from the first slot's peer. */
static int unread_by_server(void)
{
    int bytes = 0;
    assert_int_equal(ioctl((int)loop.server->slots[0].fd, FIONREAD, &bytes), 0);
    return bytes;
}

/* mbedTLS passes over warnings by itself, and would do so for as long as they come. */
static void warnings_without_end_do_not_hold_the_server(void **state)
{
    (void)state;
    static const unsigned char warning[] = { 21, 3, 3, 0, 2, 1, 90 };
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.tls12 = true;
    for (int agreed = 0; agreed < 2; agreed++) {
        tls_open();
        client *c = tls_connect_with(&wish);
        if (agreed)
            client_check(c, "/before");
        else
            assert_int_equal(tls_client_shake(c), 0);
        loop_pump_for(20);
        for (int i = 0; i < 1000; i++) {
            if (agreed)
                (void)mbedtls_ssl_send_alert_message(&tls_of(c)->ssl, 1, 90);
            else
                assert_int_equal(send(c->fd, warning, sizeof warning, LOOP_SEND_FLAGS),
                                 sizeof warning);
        }
        for (int i = 0; i < 1000 && unread_by_server() < 7000; i++)
            loop_sleep(1);
        assert_true(unread_by_server() >= 7000);
        loop_pump(0);
        assert_true(unread_by_server() >= 6000);
        client_check(tls_connect_with(&wish), "/other");
        LOOP_UNTIL(loop_stats().connections == 1);          /* so many are no mistake */
        loop_close();
    }
}

/* A few may come. */
static void warnings_are_passed_over(void **state)
{
    (void)state;
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.tls12 = true;
    tls_open();
    client *c = tls_connect_with(&wish);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 20 && round > 0; i++)
            assert_int_equal(mbedtls_ssl_send_alert_message(&tls_of(c)->ssl, 1, 90), 0);
        client_check(c, "/after");
    }
}

/* What TLS passes over is no progress of a body. */
static void a_body_is_late_whatever_else_comes(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.tls12 = true;
    config.tls = &tls;
    config.body_timeout_ms = 300;
    loop_open(&config);
    client *c = tls_connect_with(&wish);
    client_send(c, POST("/echo", "100") "some");
    for (uint32_t start = loop_millis(); loop_logged("body_timeout_ms") == 0; loop_pump(0)) {
        assert_true(loop_millis() - start < LOOP_PATIENCE_MS);
        for (int i = 0; i < 3; i++)
            (void)mbedtls_ssl_send_alert_message(&tls_of(c)->ssl, 1, 90);
    }
    assert_int_equal(client_answer(c), 408);
}

static void empty_records_are_no_end(void **state)
{
    (void)state;
    tls_open();
    client *c = tls_connect();
    client_check(c, "/before");
    for (int i = 0; i < 2; i++)
        assert_int_equal(mbedtls_ssl_write(&tls_of(c)->ssl, (const unsigned char *)"", 0), 0);
    client_check(c, "/after");
}

static void garbage_ends_this_connection_only(void **state)
{
    (void)state;
    static const struct { const char *bytes; size_t length; } cases[] = {
        { "\0\0\0\0\0\0\0\0", 8 },
        { "\x16\x03\x01\xff\xff\1\2\3\4\5\6\7", 12 },
        { "\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff", 10 },
        { "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11 },
        { "\x17\x03\x03\x00\x01\x00", 6 },
        { "\r\n\r\n", 4 },
    };
    tls_open();
    client *other = tls_connect();
    client_check(other, "/first");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client *c = client_connect();
        client_send_bytes(c, cases[i].bytes, cases[i].length);
        client_shut(c);
        client_await_end(c);
    }
    LOOP_UNTIL(loop_stats().connections == 1);
    client_check(other, "/last");
    assert_true(loop_logged("(-0x") > 0);
}

/* A client that begins a handshake, and says no more. */
static client *tls_stall(void)
{
    client *c = client_connect();
    client_send_bytes(c, "\x16\x03\x01\x02\x00\x01", 6);
    return c;
}

static void a_stalled_handshake_is_ended_by_its_deadline(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config();
    tls.handshake_timeout_ms = 200;
    tls_open_with(&tls);
    client *stalled = tls_stall();
    client *half = tls_connect();
    tls_of(half)->most = 40;
    LOOP_UNTIL(tls_of(half)->left == 40 || tls_client_shake(half) < 0);
    LOOP_UNTIL(loop_stats().connections == 2);
    loop_expect_sleep(60);
    client_await_end(stalled);
    LOOP_UNTIL(loop_stats().connections == 0);
    assert_int_equal(loop_logged("handshake_timeout_ms"), 2);
}

/* Nothing has been said: that is no handshake yet, and the server has taken nothing for it. */
static void a_secure_peer_that_is_silent_is_closed_as_any_other(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    config.tls = &tls;
    config.request_timeout_ms = 200;
    loop_open(&config);
    client *silent = client_connect();
    client_await_end(silent);
    assert_int_equal(loop_logged("handshake"), 0);
    client_check(tls_connect(), "/after");
}

/* Silent, or stalled within their handshakes: whoever does not go on makes room for those who
 * would, though they take half of the slots, or all. */
static void a_newcomer_is_served_beside_peers_that_do_not_shake_hands(void **state)
{
    static const struct { int silent, stalled; } cases[] = { { 3, 0 }, { 0, 3 }, { 5, 0 },
                                                             { 2, 3 } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uhttp_config config = loop_config();
        uhttp_tls_config tls = tls_config();
        client *idle[5];
        config.tls = &tls;
        config.max_connections = 5;
        loop_open(&config);
        for (int n = 0; n < cases[i].silent + cases[i].stalled; n++)
            idle[n] = n < cases[i].silent ? client_connect() : tls_stall();
        LOOP_UNTIL(loop_stats().accepted == (unsigned)(cases[i].silent + cases[i].stalled));
        uint32_t start = loop_millis();
        client_check(tls_connect(), "/newcomer");
        assert_in_range(loop_millis() - start, 0, 1500 + LOOP_PATIENCE_MS / 10);
        loop_close();
        for (int n = 0; n < cases[i].silent + cases[i].stalled; n++)
            client_close(idle[n]);
    }
}

static void handshakes_have_a_cap_and_others_wait(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config();
    tls.handshake_timeout_ms = 1000;
    tls.max_handshakes = 2;
    tls_open_with(&tls);
    assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", UHTTP_PORT_ANY, NULL));
    client *before = tls_connect();
    client_check(before, "/before");
    client *stalled[2];
    stalled[0] = tls_stall();
    stalled[1] = tls_stall();
    LOOP_UNTIL(loop_stats().accepted == 3);
    client *late = tls_connect();
    client *plain = client_connect_port(uh_sys_local(loop.server->listeners[1].fd).port);
    client_check(plain, "/plain");      /* is not concerned */
    client_check(before, "/again");
    loop_expect_sleep(60);
    assert_int_equal(loop_stats().accepted, 4);
    client_check(late, "/late");        /* when those have been given up */
    assert_int_equal(loop_stats().accepted, 5);
    client_await_end(stalled[0]);
    client_await_end(stalled[1]);
}

/* There are slots: a newcomer that waits for a handshake's place needs nobody else's. */
static void for_a_handshake_only_handshakes_give_way(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config();
    tls.max_handshakes = 1;
    tls_open_with(&tls);
    assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", UHTTP_PORT_ANY, NULL));
    client *plain = client_connect_port(uh_sys_local(loop.server->listeners[1].fd).port);
    client_send(plain, GET("/stream"));
    LOOP_UNTIL(loop.held_count == 1);
    client_shut(plain);
    uint32_t start = loop_millis();
    tls_stall();
    LOOP_UNTIL(loop.server->counts[UH_HANDSHAKE] == 1);
    tls_stall();
    loop_pump_for(500);
    if (loop_millis() - start < UH_GRACE_MS) {  /* else the handshake gives way, as it should */
        assert_ok(uhttp_stream_write(loop.held[0], "here", 4));
        assert_int_equal(loop_logged("gives way"), 0);
    }
}

static void half_of_the_slots_may_shake_hands_by_default(void **state)
{
    (void)state;
    tls_open();
    for (int i = 0; i < 16; i++)
        tls_stall();
    LOOP_UNTIL(loop_stats().accepted == 8);
    loop_pump_for(50);
    assert_int_equal(loop_stats().accepted, 8);
}

static void a_connection_that_has_said_nothing_costs_no_buffers(void **state)
{
    (void)state;
    tls_open();
    tls_allocations = 0;
    client_connect();
    LOOP_UNTIL(loop_stats().accepted == 1);
    loop_pump_for(20);
    assert_int_equal(tls_allocations, 0);
}

static void plain_http_on_the_secure_port_gets_a_readable_400(void **state)
{
    (void)state;
    static char large[20000];
    tls_open();
    client *c = client_connect();
    assert_int_equal(client_get(c, "/"), 400);
    assert_true(client_says_close(c));
    client_expect_end(c);
    c = client_connect();
    memset(large, 'x', sizeof large);
    memcpy(large, "POST /up HTTP/1.1\r\n", 19);
    client_send_bytes(c, large, sizeof large);
    assert_int_equal(client_answer(c), 400);
    client_expect_end(c);
    c = client_connect();
    client_send(c, "p");
    assert_int_equal(client_answer(c), 400);
    assert_int_equal(loop.requests, 0);
    assert_int_equal(loop_logged("400 plain HTTP to a secure listener"), 3);
    client_check(tls_connect(), "/");
}

/*--- bytes ----------------------------------------------------------------------------------*/

static void a_large_body_reaches_a_reader_with_little_room(void **state)
{
    (void)state;
    static const tls_wish nothing;
    uint64_t offset = 0;
    tls_open();
    client *c = client_connect_narrow(8192);
    tls_wrap(c, &nothing);
    client_send(c, GET("/big"));
    client_await_head(c);
    client_drain_pattern(c, &offset, 6u * 1024 * 1024);
    client_reset(c);
    client *other = tls_connect();
    offset = 0;
    client_send(other, GET("/big"));
    client_await_head(other);
    client_drain_pattern(other, &offset, LOOP_BIG);
    client_check(other, "/after");
}

/* Output grows behind a short record that the socket did not take: only its length counts. */
static void a_stream_goes_on_behind_a_blocked_record(void **state)
{
    (void)state;
    static const tls_wish nothing;
    uint64_t written = 0, offset = 0;
    const uint64_t all = 400 * 1000;
    unsigned blocked = 0;
    tls_open();
    client *c = client_connect_narrow(4096);
    tls_wrap(c, &nothing);
    client_send(c, "GET /stream HTTP/1.0\r\n\r\n");
    LOOP_UNTIL(loop.held_count == 1);
    uhttp_conn *stream = loop.held[0];
    int little = 4096;
    assert_int_equal(setsockopt((int)uhttp_fd(stream), SOL_SOCKET, SO_SNDBUF, &little,
                                sizeof little), 0);
    client_await_head(c);
    while (offset < all) {
        uhttp_result result = UHTTP_OK;
        while (written < all && result == UHTTP_OK) {
            size_t length = 300 + (size_t)(written % 701);
            if (length > all - written)
                length = (size_t)(all - written);
            result = uhttp_stream_write(stream, loop_pattern(written), length);
            if (result == UHTTP_OK)
                written += length;
            loop_pump(0);               /* a record for each, as long as it goes */
            blocked += stream->blocked ? 1 : 0;
        }
        assert_true(result == UHTTP_OK || result == UHTTP_ERR_AGAIN);
        if (written == all && stream->state == UH_STREAM)
            assert_ok(uhttp_stream_end(stream));
        client_drain_pattern(c, &offset, offset + 7000 < written ? offset + 7000 : written);
    }
    assert_true(blocked > 10);
    client_await_end(c);
    assert_true(tls_of(c)->notified);       /* else it might have been cut */
}

static void requests_in_one_record_are_answered_without_the_network(void **state)
{
    (void)state;
    char burst[16000] = "";
    tls_open();
    client *c = tls_connect();
    client_check(c, "/before");
    for (int i = 0; i < 40; i++)
        snprintf(burst + strlen(burst), sizeof burst - strlen(burst),
                 "GET /%d HTTP/1.1\r\nHost: t\r\nX-Fill: %0200d\r\n\r\n", i, i);
    client_send(c, burst);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(client_answer(c), 200);
        assert_string_equal(c->body, loop_text("/%d", i));
    }
}

static void decrypted_bytes_that_find_no_room_do_not_spin(void **state)
{
    (void)state;
    static char body[16000];
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    config.tls = &tls;
    config.max_headers_length = 1024;
    loop_open(&config);
    client *c = tls_connect();
    client_send(c, GET("/hold"));
    LOOP_UNTIL(loop.held_count == 1);
    static const char head[] = "POST /echo" HOST "Content-Length: 15900\r\n\r\n";
    memset(body, 'x', sizeof body);
    memcpy(body, head, sizeof head - 1);
    client_offer(c, body, sizeof head - 1 + 15900);     /* one record, more than rx may hold */
    loop_expect_sleep(60);
    assert_ok(uhttp_respond_text(loop.held[0], 200, "held"));
    assert_int_equal(client_answer(c), 200);
    assert_int_equal(client_answer(c), 200);
    assert_int_equal(c->length, 15900);
}

static void a_large_upload_is_collected(void **state)
{
    (void)state;
    tls_open();
    client *c = tls_connect();
    client_send(c, POST("/hold", "300000"));
    client_send_bytes(c, loop_big(), 300000);
    LOOP_UNTIL(loop.held_count == 1);
    size_t length;
    const void *body = uhttp_body(loop.held[0], &length);
    assert_int_equal(length, 300000);
    assert_true(loop_pattern_is(body, 0, length));
    assert_ok(uhttp_respond_text(loop.held[0], 200, "got it"));
    assert_int_equal(client_answer(c), 200);
}

static void an_upload_cut_short_is_no_request(void **state)
{
    (void)state;
    tls_open();
    for (int with_notify = 0; with_notify < 2; with_notify++) {
        client *c = tls_connect();
        client_send(c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhalf");
        loop_pump_for(20);
        if (with_notify)
            assert_int_equal(mbedtls_ssl_close_notify(&tls_of(c)->ssl), 0);
        client_shut(c);
        client_await_end(c);
        LOOP_UNTIL(loop_stats().connections == 0);
    }
    assert_int_equal(loop.requests, 0);
}

static void a_request_is_answered_to_who_has_shut_his_side(void **state)
{
    (void)state;
    tls_open();
    for (int with_notify = 0; with_notify < 2; with_notify++) {
        client *c = tls_connect();
        client_send(c, GET("/half"));
        if (with_notify)
            assert_int_equal(mbedtls_ssl_close_notify(&tls_of(c)->ssl), 0);
        client_shut(c);
        assert_int_equal(client_answer(c), 200);
        client_expect_end(c);
        assert_true(tls_of(c)->notified);
    }
}

/*--- the end of a connection ----------------------------------------------------------------*/

static void every_orderly_end_says_so(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    config.tls = &tls;
    config.max_connections = 3;
    config.keep_alive_timeout_ms = 150;
    loop_open(&config);

    client *closing = tls_connect();
    assert_int_equal(client_ask(closing, "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"),
                     200);
    client_expect_end(closing);
    assert_true(tls_of(closing)->notified);

    client *old = tls_connect();
    assert_int_equal(client_ask(old, "GET / HTTP/1.0\r\n\r\n"), 200);
    client_expect_end(old);
    assert_true(tls_of(old)->notified);

    client *idle = tls_connect();
    client_check(idle, "/");
    client_expect_end(idle);
    assert_true(tls_of(idle)->notified);

    client *refused = tls_connect();
    assert_int_equal(client_ask(refused, "GET / HTTP/9.9\r\n\r\n"), 505);
    client_expect_end(refused);
    assert_true(tls_of(refused)->notified);
}

static void an_evicted_connection_is_told(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    config.tls = &tls;
    config.max_connections = 2;
    loop_open(&config);
    client *first = tls_connect();
    client_check(first, "/1");
    client *second = tls_connect();
    client_check(second, "/2");
    client *third = tls_connect();
    client_check(third, "/3");
    client_expect_end(first);
    assert_true(tls_of(first)->notified);
    assert_int_equal(loop_stats().evicted, 1);
}

static void a_response_cut_short_does_not_end_in_order(void **state)
{
    (void)state;
    tls_open();
    client *c = tls_connect();
    client_send(c, "GET /stream HTTP/1.0\r\n\r\n");
    LOOP_UNTIL(loop.held_count == 1);
    assert_ok(uhttp_stream_write(loop.held[0], "half", 4));
    client_await_head(c);
    assert_ok(uhttp_close(loop.held[0]));
    client_await_end(c);
    assert_false(tls_of(c)->notified);
}

static void closing_the_server_says_so_to_idle_clients(void **state)
{
    (void)state;
    tls_open();
    client *c = tls_connect();
    client_check(c, "/");
    loop_close();
    client_expect_end(c);
    assert_true(tls_of(c)->notified);
}

static void shutdown_ends_secure_connections(void **state)
{
    (void)state;
    tls_open();
    client *c = tls_connect();
    client_check(c, "/");
    client *shaking = client_connect();
    LOOP_UNTIL(loop_stats().accepted == 2);
    LOOP_UNTIL(uhttp_server_shutdown(loop.server) == UHTTP_OK || c->ended ||
               client_receive(c) < 0);
    assert_true(tls_of(c)->notified);
    client_close(shaking);
    LOOP_UNTIL(uhttp_server_shutdown(loop.server) == UHTTP_OK);
    uhttp_tls_config tls = tls_config();
    assert_int_equal(uhttp_server_reload_tls(loop.server, &tls), UHTTP_ERR_STATE);
}

/*--- reload -----------------------------------------------------------------------------------*/

static size_t serial_of(const client *c)
{
    const mbedtls_x509_crt *crt = mbedtls_ssl_get_peer_cert(&tls_of(c)->ssl);
    size_t sum = crt->serial.len;
    for (size_t i = 0; i < crt->serial.len; i++)
        sum = sum * 31 + crt->serial.p[i];
    return sum;
}

static void a_reload_changes_new_connections_only(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config();
    tls_open();
    assert_ok(uhttp_server_listen(loop.server, "127.0.0.1", UHTTP_PORT_ANY, &tls));
    client *old = tls_connect();
    client *early = client_connect();       /* accepted before, its handshake begins after */
    client_check(old, "/");
    LOOP_UNTIL(loop_stats().accepted == 2);
    tls.certificate = tls_certificate("renewed.pem", "renewed.key");
    assert_ok(uhttp_server_reload_tls(loop.server, &tls));
    client *new_one = tls_connect();
    static const tls_wish nothing;
    client *second = client_connect_port(uh_sys_local(loop.server->listeners[1].fd).port);
    tls_wrap(second, &nothing);
    tls_wrap(early, &nothing);
    client_check(new_one, "/");
    client_check(second, "/");
    client_check(early, "/");
    client_check(old, "/");
    assert_int_not_equal(serial_of(old), serial_of(new_one));
    assert_int_equal(serial_of(new_one), serial_of(second));
    assert_int_equal(serial_of(new_one), serial_of(early));
}

static void a_broken_reload_leaves_the_old_in_force_and_says_why(void **state)
{
    (void)state;
    char error[160] = "";
    uhttp_tls_config tls = tls_config();
    tls_open();
    client *before = tls_connect();
    client_check(before, "/");
    tls.certificate = tls_certificate("renewed.pem", "server.key");
    tls.error = error;
    tls.error_size = sizeof error;
    assert_int_equal(uhttp_server_reload_tls(loop.server, &tls), UHTTP_ERR_INVALID);
    assert_non_null(strstr(error, "server.key: does not belong to the certificate"));
    assert_int_equal(loop_logged("server.key: does not belong to the certificate"), 1);
    client *after = tls_connect();
    client_check(after, "/");
    assert_int_equal(serial_of(before), serial_of(after));
}

static void a_reload_keeps_what_a_listener_demands_of_clients(void **state)
{
    (void)state;
    uhttp_tls_config strict = tls_config_for_clients(UHTTP_CLIENT_REQUIRED);
    uhttp_tls_config renewed = tls_config();
    renewed.certificate = tls_certificate("renewed.pem", "renewed.key");
    tls_open_with(&strict);
    assert_int_equal(uhttp_server_reload_tls(loop.server, &renewed), UHTTP_ERR_INVALID);
    assert_int_equal(loop_logged("client_ca: none was given"), 1);
    renewed.client_ca_file = tls_file("ca.pem");
    assert_ok(uhttp_server_reload_tls(loop.server, &renewed));
    assert_false(is_served(tls_connect()));
}

static void without_a_secure_listener_there_is_nothing_to_reload(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config();
    loop_open_default();
    assert_int_equal(uhttp_server_reload_tls(loop.server, &tls), UHTTP_ERR_STATE);
}

static void a_thousand_reloads_leave_nothing_behind(void **state)
{
    (void)state;
    uhttp_tls_config tls = tls_config();
    tls_open();
    client *c = tls_connect();
    for (int i = 0; i < 1000; i++) {
        const char *name = i % 2 == 0 ? "renewed" : "server";
        tls.certificate = tls_certificate(loop_text("%s.pem", name), loop_text("%s.key", name));
        if (i % 100 == 99)
            tls.certificate.key_file = tls_file("rsa.key");
        assert_int_equal(uhttp_server_reload_tls(loop.server, &tls),
                         i % 100 == 99 ? UHTTP_ERR_INVALID : UHTTP_OK);
        if (i % 50 == 0)
            client_check(c, "/");
    }
    const uh_tls *in_force = (const uh_tls *)loop.server->listeners[0].transport_user;
    assert_int_equal(in_force->users, 1);
}

/*--- memory -------------------------------------------------------------------------------------*/

/* Late allocations are numbers of the arithmetic, one like the other: each of them is tried only
 * when UHTTP_TEST_EVERY is set. How many to pass over. */
static size_t stride(size_t n, size_t first, size_t step)
{
    return n < first || getenv("UHTTP_TEST_EVERY") != NULL ? 0 : step;
}

static void out_of_memory_refuses_one_handshake_only(void **state)
{
    (void)state;
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.no_verify = true;
    for (int newer = 0; newer < 2; newer++) {
        wish.tls12 = newer == 0;
        tls_open();
        client *other = tls_connect_with(&wish);
        client_check(other, "/first");
        size_t n = 0;
        int code = -1;
        for (bool hit = true; hit; ) {
            client *c = tls_connect_with(&wish);
            tls_allocations = 0;
            tls_fail_at = ++n;
            code = tls_agree(c);
            if (code == 0)
                (void)is_served(c);
            hit = tls_allocations >= tls_fail_at;
            tls_fail_at = 0;
            client_forget(c);
            n += stride(n, 200, 20);
            if (n % 256 == 0)
                client_check(other, "/between");
            LOOP_UNTIL(loop_stats().connections == 1);
        }
        assert_int_equal(code, 0);
        assert_true(n > 50);
        client_check(other, "/last");
        client_close(other);
        loop_close();
        if (!tls_is_13(other))
            break;
    }
}

static void out_of_memory_at_open_and_reload_is_an_answer(void **state)
{
    (void)state;
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config_for_clients(UHTTP_CLIENT_REQUIRED);
    uhttp_tls_certificate more = tls_certificate("renewed.pem", "renewed.key");
    uhttp_server *server = NULL;
    uhttp_result result = UHTTP_ERR_MEMORY;
    tls.more = &more;
    tls.more_count = 1;
    config.tls = &tls;
    config.log = NULL;
    for (size_t n = 1; result != UHTTP_OK; n++) {
        tls_allocations = 0;
        tls_fail_at = n;
        tls_in_server = true;
        result = uhttp_server_open(&server, &config);
        tls_in_server = false;
        tls_fail_at = 0;
        n += stride(n, 60, 10);
        assert_true(result == UHTTP_OK || server == NULL);
    }
    result = UHTTP_ERR_MEMORY;
    for (size_t n = 1; result != UHTTP_OK; n++) {
        tls_allocations = 0;
        tls_fail_at = n;
        tls_in_server = true;
        result = uhttp_server_reload_tls(server, &tls);
        tls_in_server = false;
        tls_fail_at = 0;
        n += stride(n, 60, 10);
    }
    loop.server = server;
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.chain = "alice.pem";
    wish.key = "alice.key";
    client_check(tls_connect_with(&wish), "/");
}

static void fixed_memory_takes_nothing_but_what_mbedtls_takes(void **state)
{
    (void)state;
    static uint8_t memory[UHTTP_MEMORY_SIZE(4, 2048)];
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    config.tls = &tls;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.max_connections = 4;
    loop_open(&config);
    client *c = tls_connect();
    client_check(c, "/a");
    client_send(c, GET("/big"));
    uint64_t offset = 0;
    client_await_head(c);
    client_drain_pattern(c, &offset, LOOP_BIG);
    assert_int_equal(loop_allocations, 0);
}

/*--- many ---------------------------------------------------------------------------------------*/

static bool shake_all(client **many, int count)
{
    int done = 0;
    for (int i = 0; i < count; i++)
        done += tls_client_shake(many[i]) > 0 ? 1 : 0;
    return done == count;
}

static void two_hundred_connections_are_served_at_once(void **state)
{
    (void)state;
    enum { MANY = 200 };
    static client *many[MANY];
    uhttp_config config = loop_config();
    uhttp_tls_config tls = tls_config();
    tls_wish wish;
    memset(&wish, 0, sizeof wish);
    wish.no_verify = true;
    config.tls = &tls;
    config.max_connections = MANY;
    config.request_timeout_ms = 60000;      /* agreeing with all of them may take long */
    tls.max_handshakes = MANY;              /* or those it stalls give way to newcomers: all
                                               clients share this thread */
    tls.handshake_timeout_ms = 60000;
    if (!loop_want_descriptors(3 * MANY))
        skip();
    loop_open(&config);
    for (int i = 0; i < MANY; i++)
        many[i] = tls_connect_with(&wish);
    LOOP_UNTIL(shake_all(many, MANY));
    assert_int_equal(loop_stats().connections, MANY);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            client_send(many[i], GET("/x"));
        for (int i = 0; i < MANY; i++)
            assert_int_equal(client_answer(many[i]), 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(a_page_is_served_over_tls),
        LOOP_TEST(what_was_asked_over_tls_is_secure),
        LOOP_TEST(a_cookie_set_over_tls_is_secure_unless_it_is_not_to_be),
        LOOP_TEST(certificates_and_keys_are_read_from_files_and_memory),
        LOOP_TEST(a_key_is_decrypted_with_its_password),
        LOOP_TEST(a_failing_open_names_the_file_and_the_reason),
        LOOP_TEST(a_reason_is_cut_to_the_room_there_is),
        LOOP_TEST(a_client_refuses_expired_and_foreign_certificates),
        LOOP_TEST(the_name_a_client_asks_for_chooses_the_certificate),
        LOOP_TEST(the_programs_entropy_is_asked),
        LOOP_TEST(a_ready_configuration_is_used_as_it_is),
        LOOP_TEST(alpn_selects_http_and_nothing_else),
        LOOP_TEST(suites_have_forward_secrecy_and_authenticated_encryption),
        LOOP_TEST(versions_before_1_2_are_refused),
        LOOP_TEST(larger_curves_are_used_only_when_asked_for),
        LOOP_TEST(sessions_resume_by_tickets_and_by_the_cache),
        LOOP_TEST(sessions_do_not_resume_where_clients_show_certificates),
        LOOP_TEST(renegotiation_is_refused),
#if defined(MBEDTLS_SSL_RENEGOTIATION)
        LOOP_TEST(a_record_on_its_way_survives_a_wish_for_renegotiation),
#endif
        LOOP_TEST(a_required_client_certificate_names_its_subject),
        LOOP_TEST(without_a_good_certificate_a_requiring_listener_serves_nobody),
        LOOP_TEST(who_is_refused_hears_the_alert),
        LOOP_TEST(an_optional_certificate_counts_only_when_it_is_good),
        LOOP_TEST(client_certificates_need_somebody_to_trust),
        LOOP_TEST(a_handshake_may_be_cut_after_every_byte),
        LOOP_TEST(warnings_without_end_do_not_hold_the_server),
        LOOP_TEST(warnings_are_passed_over),
        LOOP_TEST(a_body_is_late_whatever_else_comes),
        LOOP_TEST(empty_records_are_no_end),
        LOOP_TEST(garbage_ends_this_connection_only),
        LOOP_TEST(a_stalled_handshake_is_ended_by_its_deadline),
        LOOP_TEST(a_secure_peer_that_is_silent_is_closed_as_any_other),
        LOOP_TEST(a_newcomer_is_served_beside_peers_that_do_not_shake_hands),
        LOOP_TEST(handshakes_have_a_cap_and_others_wait),
        LOOP_TEST(for_a_handshake_only_handshakes_give_way),
        LOOP_TEST(half_of_the_slots_may_shake_hands_by_default),
        LOOP_TEST(a_connection_that_has_said_nothing_costs_no_buffers),
        LOOP_TEST(plain_http_on_the_secure_port_gets_a_readable_400),
        LOOP_TEST(a_large_body_reaches_a_reader_with_little_room),
        LOOP_TEST(a_stream_goes_on_behind_a_blocked_record),
        LOOP_TEST(requests_in_one_record_are_answered_without_the_network),
        LOOP_TEST(decrypted_bytes_that_find_no_room_do_not_spin),
        LOOP_TEST(a_large_upload_is_collected),
        LOOP_TEST(an_upload_cut_short_is_no_request),
        LOOP_TEST(a_request_is_answered_to_who_has_shut_his_side),
        LOOP_TEST(every_orderly_end_says_so),
        LOOP_TEST(an_evicted_connection_is_told),
        LOOP_TEST(a_response_cut_short_does_not_end_in_order),
        LOOP_TEST(closing_the_server_says_so_to_idle_clients),
        LOOP_TEST(shutdown_ends_secure_connections),
        LOOP_TEST(a_reload_changes_new_connections_only),
        LOOP_TEST(a_broken_reload_leaves_the_old_in_force_and_says_why),
        LOOP_TEST(a_reload_keeps_what_a_listener_demands_of_clients),
        LOOP_TEST(without_a_secure_listener_there_is_nothing_to_reload),
        LOOP_TEST(a_thousand_reloads_leave_nothing_behind),
        LOOP_TEST(a_failure_without_a_text_is_told_by_its_number),
        LOOP_TEST(out_of_memory_refuses_one_handshake_only),
        LOOP_TEST(out_of_memory_at_open_and_reload_is_an_answer),
        LOOP_TEST(fixed_memory_takes_nothing_but_what_mbedtls_takes),
        LOOP_TEST(two_hundred_connections_are_served_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
