/* server.c - the site as firmware on lwIP's sockets, every byte of memory fixed when it is linked
 *
 * With UHTTP_TLS there is a second listener on 443. The address is the one QEMU's user network
 * gives; a product asks by DHCP (LWIP_DHCP, dhcp_start).
 */
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"

#include "board.h"
#include "device.h"
#include "site.h"
#include "system.h"
#include "tls.h"

#include "lwip/netif.h"
#include "lwip/stats.h"
#include "lwip/tcpip.h"

#include <string.h>

#define BUFFER 1024             /* a browser's request has about 700 bytes */

static uint8_t memory[UHTTP_MEMORY_SIZE(HTTP_SLOTS, BUFFER)];
static uhttp_server *server;
static struct netif netif;
static volatile bool network_is_up, is_open;

/*--- what the site asks of the device ----------------------------------------------*/

uint32_t device_millis(void)
{
    return board_ms;
}

size_t device_image_size(void)
{
    return (size_t)(board_image_end - board_image_begin);
}

void device_image_read(size_t offset, void *to, size_t length)
{
    memcpy(to, board_image_begin + offset, length);
}

/* The emulated boards have no flash that can be written: the image is only counted. */
bool device_flash_begin(void)
{
    return true;
}

bool device_flash_write(const void *data, size_t length)
{
    (void)data, (void)length;
    return true;
}

bool device_flash_end(bool install)
{
    return install;
}

static void add(uhttp_json_writer *w, const char *name, uint32_t value)
{
    uhttp_json_key(w, name);
    uhttp_json_uint(w, value);
}

void device_status(uhttp_json_writer *w)
{
    system_status(w);
    add(w, "lwip_heap_most", lwip_stats.mem.max);
    add(w, "lwip_heap_errors", lwip_stats.mem.err);
    add(w, "pbuf_pool_most", lwip_stats.memp[MEMP_PBUF_POOL]->max);
    add(w, "pbuf_pool_errors", lwip_stats.memp[MEMP_PBUF_POOL]->err);
    add(w, "segments_most", lwip_stats.memp[MEMP_TCP_SEG]->max);
    add(w, "segment_errors", lwip_stats.memp[MEMP_TCP_SEG]->err);
    add(w, "netconns_most", lwip_stats.memp[MEMP_NETCONN]->max);
    add(w, "netconn_errors", lwip_stats.memp[MEMP_NETCONN]->err);
    add(w, "pcbs_most", lwip_stats.memp[MEMP_TCP_PCB]->max);
    add(w, "sockets", lwip_stats.memp[MEMP_NETCONN]->used);
    add(w, "packets", lwip_stats.memp[MEMP_PBUF_POOL]->used);
    add(w, "frames_lost", board_frames_lost);
    tls_status(w);
}

/*--- the program --------------------------------------------------------------------*/

static void say(void *user, const char *line)
{
    (void)user;
    board_say(line);
    board_say("\n");
}

/* Called in lwIP's thread, once that runs. */
static void bring_up(void *argument)
{
    ip4_addr_t address, mask, gateway;
    (void)argument;
    IP4_ADDR(&address, 10, 0, 2, 15);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&gateway, 10, 0, 2, 2);
    netif_add(&netif, &address, &mask, &gateway, NULL, board_netif_init, tcpip_input);
    netif_set_default(&netif);
    netif_set_up(&netif);
    network_is_up = true;
}

void server_wakeup(void)
{
    if (is_open)
        (void)uhttp_server_wakeup(server);
}

static uhttp_result open_server(void)
{
    uhttp_config config = { 0 };
    config.max_connections = HTTP_SLOTS;
    config.backlog = HTTP_BACKLOG;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.log = say;
    site_configure(&config);
    uhttp_result result = uhttp_server_open(&server, &config);
    return result == UHTTP_OK ? tls_listen(server, 443) : result;
}

static void serve(void)
{
    while (!site_wants_restart()) {
        uhttp_conn *c = uhttp_wait(server, site_tick(server));
        if (c != NULL)
            site_serve(c);
    }
    site_end(server);
    uint32_t start = board_ms;
    while (uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN && board_ms - start < 5000) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL)
            site_serve(c);
    }
}

/* The counters, the same as GET /api/status gives. */
static void report(void)
{
    static char text[1024];
    uhttp_json_writer w;
    uhttp_json_begin(&w, text, sizeof text);
    site_status(&w, server);
    board_say(uhttp_json_error(&w) == UHTTP_OK ? text : "the status is too long");
    board_say("\n");
}

static int judge(bool good, const char *what)
{
    if (good)
        return 0;
    board_say("bad: ");
    board_say(what);
    board_say("\n");
    return 1;
}

/* Closes the server and says whether all went well; 0 bad: the emulator ends with success. */
static int close_server(void)
{
    uhttp_stats stats;
    int bad = 0;
    uhttp_server_stats(server, &stats);
    is_open = false;
    system_pause();                     /* who was in server_wakeup() has left it */
    uhttp_server_close(server);
    bad += judge(stats.connections == 0, "clients that did not go in five seconds");
    bad += judge(stats.held == 0, "requests that were never answered");
    bad += judge(stats.forgotten == 0, "requests whose end the site did not hear of");
    bad += judge(lwip_stats.memp[MEMP_NETCONN]->used == 0, "sockets still open");
    bad += judge(lwip_stats.memp[MEMP_PBUF_POOL]->used == 0, "received packets never freed");
    bad += judge(system_stack_left() >= 128, "a stack is too small");
    board_say(bad == 0 ? "0 bad\n" : "bad\n");
    return bad;
}

void server_run(void)
{
    tcpip_init(bring_up, NULL);
    while (!network_is_up)
        system_pause();
    uhttp_result result = open_server();
    if (result != UHTTP_OK)
        board_die(uhttp_strerror(result));
    is_open = true;
    board_say("listening\n");
    serve();
    report();
    board_exit(close_server());
}

/* newlib's malloc() asks here for memory. There is none: nothing is allocated. */
void *_sbrk(intptr_t more);
void *_sbrk(intptr_t more)
{
    (void)more;
    return (void *)-1;
}
