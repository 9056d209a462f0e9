/* https.c - HTTPS with a certificate of your own, or one made at the first start
 *
 *     build: cc -o https examples/https.c -lmbedtls -lmbedx509 -lmbedcrypto
 *     try:   ./https 8443 fullchain.pem privkey.pem, then curl -k https://localhost:8443/
 *
 * If the files do not exist, a key and a self-signed certificate are written to them: enough to
 * try, or for a device whose owner accepts it once in the browser. On SIGHUP both files are read
 * again, and no connection is dropped; the last argument names a file for the process id:
 *
 *     ./https 443 fullchain.pem privkey.pem /run/https.pid
 *     certbot renew --deploy-hook 'kill -HUP "$(cat /run/https.pid)"'
 */
#define UHTTP_TLS 1
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/x509_crt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*--- a certificate that signs itself ----------------------------------------------------*/

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context random_bytes;

static bool make_key(mbedtls_pk_context *key)
{
    return mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
           mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key),
                               mbedtls_ctr_drbg_random, &random_bytes) == 0;
}

static bool set_serial(mbedtls_x509write_cert *crt)
{
    unsigned char serial[16];
    if (mbedtls_ctr_drbg_random(&random_bytes, serial, sizeof serial) != 0)
        return false;
    serial[0] = 0x40 | (serial[0] & 0x3f);      /* a positive number of this length */
#if MBEDTLS_VERSION_NUMBER >= 0x03040000
    return mbedtls_x509write_crt_set_serial_raw(crt, serial, sizeof serial) == 0;
#else
    mbedtls_mpi number;
    mbedtls_mpi_init(&number);
    bool done = mbedtls_mpi_read_binary(&number, serial, sizeof serial) == 0 &&
                mbedtls_x509write_crt_set_serial(crt, &number) == 0;
    mbedtls_mpi_free(&number);
    return done;
#endif
}

/* From yesterday, as clocks differ, for ten years. */
static bool set_validity(mbedtls_x509write_cert *crt)
{
    char from[16], to[16];
    time_t begin = time(NULL) - 86400;
    time_t end = begin + 3650 * (time_t)86400;
    return strftime(from, sizeof from, "%Y%m%d%H%M%S", gmtime(&begin)) == 14 &&
           strftime(to, sizeof to, "%Y%m%d%H%M%S", gmtime(&end)) == 14 &&
           mbedtls_x509write_crt_set_validity(crt, from, to) == 0;
}

/* Writes a new file that only its owner may read. */
static bool save(const char *path, const void *text)
{
    mode_t others = umask(077);
    FILE *file = fopen(path, "wx");
    umask(others);
    if (file == NULL)
        return false;
    bool done = fputs((const char *)text, file) >= 0;
    return fclose(file) == 0 && done;
}

static bool make_certificate(const char *chain, const char *key_file)
{
    /* subjectAltName: DNS:localhost */
    static const unsigned char name[] = "\x30\x0b\x82\x09localhost";
    static const char oid[] = "\x55\x1d\x11";
    static unsigned char text[4096];
    mbedtls_pk_context key;
    mbedtls_x509write_cert crt;
    mbedtls_pk_init(&key);
    mbedtls_x509write_crt_init(&crt);
    mbedtls_x509write_crt_set_version(&crt, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&crt, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&crt, &key);
    mbedtls_x509write_crt_set_issuer_key(&crt, &key);
    bool done = make_key(&key) && set_serial(&crt) && set_validity(&crt) &&
        mbedtls_x509write_crt_set_subject_name(&crt, "CN=localhost") == 0 &&
        mbedtls_x509write_crt_set_issuer_name(&crt, "CN=localhost") == 0 &&
        mbedtls_x509write_crt_set_extension(&crt, oid, 3, 0, name, sizeof name - 1) == 0 &&
        mbedtls_pk_write_key_pem(&key, text, sizeof text) == 0 && save(key_file, text) &&
        mbedtls_x509write_crt_pem(&crt, text, sizeof text, mbedtls_ctr_drbg_random,
                                  &random_bytes) == 0 && save(chain, text);
    mbedtls_x509write_crt_free(&crt);
    mbedtls_pk_free(&key);
    return done;
}

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* Nothing is made as long as one of the two is there. */
static bool have_certificate(const char *chain, const char *key_file)
{
    if (exists(chain) || exists(key_file))
        return true;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random_bytes);
    bool done = mbedtls_ctr_drbg_seed(&random_bytes, mbedtls_entropy_func, &entropy, NULL,
                                      0) == 0 && make_certificate(chain, key_file);
    mbedtls_ctr_drbg_free(&random_bytes);
    mbedtls_entropy_free(&entropy);
    return done;
}

/* For those who send SIGHUP: kill -HUP "$(cat /run/https.pid)" */
static bool write_pid(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    bool done = fprintf(file, "%ld\n", (long)getpid()) > 0;
    return fclose(file) == 0 && done;
}

/*--- the server ---------------------------------------------------------------------------*/

static uhttp_server *server;
static volatile sig_atomic_t renewed, stopped;

static void on_signal(int number)
{
    if (number == SIGHUP)
        renewed = 1;
    else
        stopped = 1;
    uhttp_server_wakeup(server);
}

/* A port, 0 for any that is free; -1: neither. */
static int read_port(const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && port <= 65535 ? (int)port : -1;
}

int main(int argc, char **argv)
{
    static char error[200];
    uhttp_config config = { 0 };
    uhttp_tls_config tls = { 0 };
    int port = argc > 1 ? read_port(argv[1]) : -1;
    if (argc < 4 || argc > 5 || port < 0) {
        fprintf(stderr, "usage: %s port chain.pem key.pem [pid_file]    port 0: any that is free\n",
                argv[0]);
        return 2;
    }
    if (!have_certificate(argv[2], argv[3])) {
        fprintf(stderr, "cannot make %s and %s\n", argv[2], argv[3]);
        return 1;
    }
    tls.certificate.chain_file = argv[2];
    tls.certificate.key_file = argv[3];
    tls.error = error;
    tls.error_size = sizeof error;
    config.port = port == 0 ? UHTTP_PORT_ANY : port;
    config.tls = &tls;
    config.default_headers = "Strict-Transport-Security: max-age=31536000\r\n";
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %d: %s\n", port,
                error[0] != '\0' ? error : uhttp_strerror(result));
        return 1;
    }
    if (argc > 4 && !write_pid(argv[4])) {
        fprintf(stderr, "cannot write %s\n", argv[4]);
        uhttp_server_close(server);
        return 1;
    }
    signal(SIGHUP, on_signal);
    signal(SIGTERM, on_signal);
    printf("listening on https://localhost:%d/\n", uhttp_server_port(server));
    fflush(stdout);
    while (!stopped) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            uhttp_respond_html(c, 200, "<h1>nobody else can read this</h1>");
        if (renewed) {
            renewed = 0;
            if (uhttp_server_reload_tls(server, &tls) != UHTTP_OK)
                fprintf(stderr, "the old certificate stays in force: %s\n", error);
        }
    }
    signal(SIGTERM, SIG_DFL);               /* the handler must not wake it any more */
    uhttp_server_close(server);
    if (argc > 4)
        remove(argv[4]);
    return 0;
}
