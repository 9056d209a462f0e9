/* What examples/esp-idf uses of ESP-IDF, as its programming guide documents it: to compile against
 * where there is no IDF. The other headers of this folder likewise. */
#ifndef ESP_ERR_H
#define ESP_ERR_H

typedef int esp_err_t;
#define ESP_OK 0

void esp_stub_abort(esp_err_t error);
#define ESP_ERROR_CHECK(call) do { \
        esp_err_t esp_stub_error = (call); \
        if (esp_stub_error != ESP_OK) \
            esp_stub_abort(esp_stub_error); \
    } while (0)

#endif
