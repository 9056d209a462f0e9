void esp_stub_log(const char *tag, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define ESP_LOGE esp_stub_log
#define ESP_LOGW esp_stub_log
#define ESP_LOGI esp_stub_log
