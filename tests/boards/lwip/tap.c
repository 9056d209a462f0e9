/* tap.c - the firmware's site on lwIP over a TAP device, for real clients
 *
 *   PRECONFIGURED_TAPIF=tap0 tap [LOST [HOG [BACKLOG]]]
 *
 * lwIP is 192.0.2.2. Of a thousand packets LOST are lost, both ways, from a fixed seed. HOG 1: every
 * other second all of lwIP's heap, packets and segments are taken away for 150 ms. BACKLOG is
 * config.backlog, 0 the header's own; without it, the firmware's. */
#include "uhttp_server.h"

#include "hog.h"
#include "site.h"

#include "lwip/netif.h"
#include "lwip/sockets.h"
#include "lwip/stats.h"
#include "lwip/sys.h"
#include "lwip/tcpip.h"

#include <stdio.h>
#include <stdlib.h>

err_t tapif_init(struct netif *netif);          /* of lwIP's unix port */

static uint8_t memory[UHTTP_MEMORY_SIZE(HTTP_SLOTS, 1024)];
static uhttp_server *server;
static struct netif tap;
static netif_linkoutput_fn real_output;
static netif_input_fn real_input;
static unsigned lost_of_thousand, lost, passed;
static sys_sem_t ready;

static bool is_lost(void)
{
    static uint32_t seed = 12345;
    seed = seed * 1664525u + 1013904223u;
    bool gone = (seed >> 8) % 1000 < lost_of_thousand;
    lost += gone;
    passed += !gone;
    return gone;
}

static err_t lossy_output(struct netif *netif, struct pbuf *packet)
{
    return is_lost() ? ERR_OK : real_output(netif, packet);
}

static err_t lossy_input(struct pbuf *packet, struct netif *netif)
{
    if (!is_lost())
        return real_input(packet, netif);
    pbuf_free(packet);
    return ERR_OK;
}

static void bring_up(void *argument)
{
    ip4_addr_t address, mask, gateway;
    (void)argument;
    IP4_ADDR(&address, 192, 0, 2, 2);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&gateway, 192, 0, 2, 1);
    netif_add(&tap, &address, &mask, &gateway, NULL, tapif_init, tcpip_input);
    real_output = tap.linkoutput;
    real_input = tap.input;
    tap.linkoutput = lossy_output;
    tap.input = lossy_input;
    netif_set_default(&tap);
    netif_set_up(&tap);
    netif_set_link_up(&tap);
    sys_sem_signal(&ready);
}

static void hog(void *argument)
{
    (void)argument;
    for (;;) {
        sys_msleep(1850);
        hog_take(HOG_HEAP | HOG_SEGMENTS | HOG_PACKETS);
        sys_msleep(150);
        hog_give();
    }
}

static void log_line(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    uhttp_config config = { 0 };
    lost_of_thousand = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    sys_sem_new(&ready, 0);
    tcpip_init(bring_up, NULL);
    sys_arch_sem_wait(&ready, 0);
    config.max_connections = HTTP_SLOTS;
    config.backlog = argc > 3 ? atoi(argv[3]) : HTTP_BACKLOG;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.log = log_line;
    if (lost_of_thousand > 0)           /* repeats of repeats take longer than ten seconds */
        config.request_timeout_ms = config.body_timeout_ms = config.send_timeout_ms = 60000;
    site_configure(&config);
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen: %s\n", uhttp_strerror(result));
        return 1;
    }
    if (argc > 2 && atoi(argv[2]) > 0)
        sys_thread_new("hog", hog, NULL, 0, 0);
    puts("listening");
    fflush(stdout);
    while (!site_wants_restart()) {
        uhttp_conn *c = uhttp_wait(server, site_tick(server));
        if (c != NULL)
            site_serve(c);
    }
    site_end(server);
    uint32_t start = sys_now();
    while (uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN && sys_now() - start < 20000) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL)
            site_serve(c);
    }
    uhttp_stats stats;
    uhttp_server_stats(server, &stats);
    uhttp_server_close(server);
    int bad = (stats.connections != 0) + (stats.held != 0) + (stats.forgotten != 0) +
              (lwip_stats.memp[MEMP_NETCONN]->used != 0);
    printf("%u packets passed, %u lost\n%d bad\n", passed, lost, bad);
    fflush(stdout);
    _Exit(bad > 0);             /* lwIP's own thread never ends */
}
