#include "esp_err.h"

#include <stddef.h>
#include <stdint.h>

typedef uint32_t esp_ota_handle_t;
typedef struct esp_partition_t {
    uint32_t address, size;
    char label[17];
} esp_partition_t;

#define OTA_WITH_SEQUENTIAL_WRITES 0xfffffffeu

const esp_partition_t *esp_ota_get_next_update_partition(const esp_partition_t *from);
esp_err_t esp_ota_begin(const esp_partition_t *to, size_t size, esp_ota_handle_t *handle);
esp_err_t esp_ota_write(esp_ota_handle_t handle, const void *data, size_t length);
esp_err_t esp_ota_end(esp_ota_handle_t handle);
esp_err_t esp_ota_abort(esp_ota_handle_t handle);
esp_err_t esp_ota_set_boot_partition(const esp_partition_t *partition);
esp_err_t esp_ota_mark_app_valid_cancel_rollback(void);
