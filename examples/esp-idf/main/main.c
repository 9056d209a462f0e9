/* main.c - a device's page and updates over the air on ESP-IDF
 *
 *     curl http://DEVICE/api/status
 *     curl -T build/uhttp_device.bin http://DEVICE/firmware      then it restarts
 *
 * Wi-Fi is example_connect(), which IDF's examples share; a product has its own, and perhaps
 * mDNS to be found by name. The server runs in app_main()'s task, in memory of its own: nothing
 * is allocated once it has been opened. ESP_PLATFORM makes the header use lwIP's sockets.
 * Anybody who can reach the device can update it: add a password (auth.c).
 */
#define UHTTP_NO_HEAP
#define UHTTP_IMPLEMENTATION
#include "uhttp_server.h"

#include "esp_event.h"
#include "esp_log.h"
#include "esp_netif.h"
#include "esp_ota_ops.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "nvs_flash.h"
#include "protocol_examples_common.h"

#include <string.h>

#define SLOTS 8

static const char tag[] = "device";
static uint8_t memory[UHTTP_MEMORY_SIZE(SLOTS, 2048)];
static bool restart;

static const char page[] =
    "<!doctype html><html lang=en><meta charset=utf-8><title>Device</title>\n"
    "<h1>Device</h1>\n"
    "<p>Firmware: <input type=file id=file> <button id=send>Install</button></p>\n"
    "<pre id=out></pre>\n"
    "<script>\n"
    "const $ = id => document.getElementById(id);\n"
    "fetch('/api/status').then(r => r.text()).then(text => $('out').textContent = text);\n"
    "$('send').onclick = async () => $('out').textContent = await (await fetch('/firmware',\n"
    "    { method: 'PUT', body: $('file').files[0] })).text();\n"
    "</script></html>\n";

static void get_status(uhttp_conn *c)
{
    uhttp_json_writer w;
    uhttp_json_begin_response(&w, c);
    uhttp_json_object_begin(&w);
    uhttp_json_key(&w, "uptime_s");
    uhttp_json_int(&w, esp_timer_get_time() / 1000000);
    uhttp_json_key(&w, "free_heap");
    uhttp_json_uint(&w, esp_get_free_heap_size());
    uhttp_json_object_end(&w);
    if (uhttp_json_respond(&w, 200) != UHTTP_OK)
        uhttp_respond_error(c, 500);
}

/*--- an update: one at a time, straight into the other partition ----------------------*/

static uint64_t update;         /* the request that writes it; 0: none */
static esp_ota_handle_t ota;

static void update_drop(const uhttp_conn *c)
{
    if (update == 0 || update != uhttp_id(c))
        return;
    esp_ota_abort(ota);
    update = 0;
}

static void put_firmware(uhttp_conn *c)
{
    const esp_partition_t *next = esp_ota_get_next_update_partition(NULL);
    if (update != 0) {
        uhttp_add_header(c, "Retry-After", "10");
        uhttp_respond_error(c, 503);
    } else if (next == NULL || esp_ota_begin(next, OTA_WITH_SEQUENTIAL_WRITES, &ota) != ESP_OK) {
        uhttp_respond_error(c, 500);
    } else {
        update = uhttp_id(c);
        if (uhttp_accept_body_streaming(c, next->size) != UHTTP_OK) {
            update_drop(c);
            uhttp_close(c);
        }
    }
}

/* Writing blocks the loop while the flash is erased: some ten milliseconds for each sector. */
static void take_piece(uhttp_conn *c)
{
    size_t length;
    const void *data = uhttp_read_buffer(c, &length);
    if (update != uhttp_id(c) || data == NULL)
        return;
    if (esp_ota_write(ota, data, length) != ESP_OK) {
        update_drop(c);
        uhttp_respond_error(c, 422);    /* not an image, or the flash failed */
    }
}

static void update_complete(uhttp_conn *c)
{
    take_piece(c);
    if (update != uhttp_id(c))
        return;
    update = 0;
    const esp_partition_t *next = esp_ota_get_next_update_partition(NULL);
    if (esp_ota_end(ota) != ESP_OK || esp_ota_set_boot_partition(next) != ESP_OK) {
        uhttp_respond_error(c, 422);
        return;
    }
    uhttp_respond_text(c, 200, "installed, restarting\n");
    restart = true;
}

/*--- the loop -------------------------------------------------------------------------*/

static void request(uhttp_conn *c)
{
    const char *path = uhttp_path(c);
    if (strcmp(path, "/") == 0)
        uhttp_respond_static(c, 200, "text/html; charset=utf-8", page, sizeof page - 1);
    else if (strcmp(path, "/api/status") == 0)
        get_status(c);
    else if (strcmp(path, "/firmware") != 0)
        uhttp_respond_error(c, 404);
    else if (strcmp(uhttp_method(c), "PUT") == 0)
        put_firmware(c);
    else
        uhttp_respond_not_allowed(c, "PUT");
}

static void serve(uhttp_conn *c)
{
    switch (uhttp_event(c)) {
    case UHTTP_EVENT_REQUEST:
    case UHTTP_EVENT_HEADERS:
    case UHTTP_EVENT_WS_REQUEST:
        request(c);
        break;
    case UHTTP_EVENT_DATA:
        take_piece(c);
        break;
    case UHTTP_EVENT_COMPLETE:
        update_complete(c);
        break;
    case UHTTP_EVENT_ERROR:
    case UHTTP_EVENT_CLOSED:
        update_drop(c);
        break;
    default:
        break;
    }
}

static void log_line(void *user, const char *line)
{
    (void)user;
    ESP_LOGW(tag, "%s", line);
}

void app_main(void);
void app_main(void)
{
    uhttp_server *server;
    uhttp_config config = { 0 };
    ESP_ERROR_CHECK(nvs_flash_init());
    ESP_ERROR_CHECK(esp_netif_init());
    ESP_ERROR_CHECK(esp_event_loop_create_default());
    ESP_ERROR_CHECK(example_connect());
    config.event_mode = true;
    config.max_connections = SLOTS;
    config.memory = memory;
    config.memory_size = sizeof memory;
    config.log = log_line;
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        ESP_LOGE(tag, "cannot listen: %s", uhttp_strerror(result));
        esp_restart();          /* an image that has just been installed is rolled back */
        return;
    }
    ESP_LOGI(tag, "listening on port %d", uhttp_server_port(server));
    esp_ota_mark_app_valid_cancel_rollback();   /* it has come this far: keep this image */
    while (!restart) {
        uhttp_conn *c = uhttp_wait(server, 1000);
        if (c != NULL)
            serve(c);
    }
    uint32_t start = uhttp_millis();
    while (uhttp_server_shutdown(server) == UHTTP_ERR_AGAIN && uhttp_millis() - start < 5000) {
        uhttp_conn *c = uhttp_wait(server, 100);
        if (c != NULL)
            serve(c);
    }
    esp_restart();
}
