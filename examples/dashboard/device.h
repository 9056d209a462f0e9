/* device.h - the device behind the page: sensors, a fan, storage, firmware. Here it is a
 * simulated greenhouse and files; on a board, replace these functions with yours. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_CHARACTERS 24

typedef enum fan_mode { FAN_AUTO, FAN_OFF, FAN_FULL } fan_mode;

typedef struct settings {
    char name[NAME_CHARACTERS * 4 + 1];     /* UTF-8 */
    double target;                          /* degrees Celsius */
    double alarm;
    fan_mode fan;
    int interval_s;                         /* between two measurements */
    bool log_requests;
} settings;

typedef struct sample {
    uint64_t time_ms;                       /* of device_millis() */
    float temperature;                      /* degrees Celsius */
    float humidity;                         /* percent */
    float fan;                              /* percent of full speed */
} sample;

/* Where the files are; false: they cannot be there. */
bool device_begin(const char *directory);

uint64_t device_millis(void);               /* since some moment before the start */
bool device_random(void *to, size_t length);
size_t device_memory(void);                 /* bytes the process has taken; 0: unknown */

/* Measures, and sets the fan. */
sample device_measure(const settings *s, uint64_t now_ms);

/* One record that survives a restart: replaced as a whole, or not at all. */
bool device_load(void *record, size_t size);
bool device_save(const void *record, size_t size);

/* A firmware image: begin, write..., then install or drop. */
bool flash_begin(void);
bool flash_write(const void *data, size_t length);
bool flash_install(void);
void flash_drop(void);

#endif
