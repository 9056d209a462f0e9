/* device.c - a simulated greenhouse; its storage and its flash are files. POSIX. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PATH_SIZE 512
#define DAY_MS    86400000u     /* added to the clock: there is a past, even after a boot */

static char record_path[PATH_SIZE];
static char image_path[PATH_SIZE];
static char image_new_path[PATH_SIZE];
static FILE *flash;

static bool make_path(char *path, const char *directory, const char *name)
{
    int n = snprintf(path, PATH_SIZE, "%s/%s", directory, name);
    return n > 0 && n < PATH_SIZE;
}

bool device_begin(const char *directory)
{
    srand((unsigned)time(NULL));
    return make_path(record_path, directory, "device.bin") &&
           make_path(image_path, directory, "firmware.bin") &&
           make_path(image_new_path, directory, "firmware.new");
}

uint64_t device_millis(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return DAY_MS + (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool device_random(void *to, size_t length)
{
    FILE *source = fopen("/dev/urandom", "rb");
    bool good = source != NULL && fread(to, 1, length, source) == length;
    if (source != NULL)
        fclose(source);
    return good;
}

size_t device_memory(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
#ifdef __APPLE__
    return (size_t)usage.ru_maxrss;
#else
    return (size_t)usage.ru_maxrss * 1024;
#endif
}

/*--- the greenhouse -----------------------------------------------------------*/

static float noise(float width) { return width * ((float)(rand() % 2001) / 1000 - 1); }

static float between(float low, float value, float high)
{
    return value < low ? low : value > high ? high : value;
}

/* The sun warms, clouds pass, the fan blows cooler and drier air in. */
sample device_measure(const settings *s, uint64_t now_ms)
{
    static sample last = { 0, 24, 62, 0 };
    static float sun = 0.5f;
    uint64_t seconds = now_ms < last.time_ms ? 1 : (now_ms - last.time_ms + 500) / 1000;
    for (uint64_t i = 0; i < seconds && i < 60; i++) {
        float wish = s->fan == FAN_FULL ? 100 : s->fan == FAN_OFF ? 0 :
                     between(0, (last.temperature - (float)s->target) * 40 + 35, 100);
        sun = between(0.05f, sun + noise(0.06f), 1);
        last.fan += between(-6, wish - last.fan, 6);
        last.temperature += (18 + 26 * sun - last.temperature) * 0.012f +
                            (17 - last.temperature) * last.fan * 0.0004f;
        last.humidity += (86 - last.temperature * 0.6f - last.humidity) * 0.02f -
                         last.fan * 0.004f;
    }
    last.time_ms = now_ms;
    sample measured = last;
    measured.temperature += noise(0.05f);
    measured.humidity = between(0, measured.humidity + noise(0.2f), 100);
    return measured;
}

/*--- storage ------------------------------------------------------------------*/

bool device_load(void *record, size_t size)
{
    FILE *file = fopen(record_path, "rb");
    bool good = file != NULL && fread(record, size, 1, file) == 1;
    if (file != NULL)
        fclose(file);
    return good;
}

bool device_save(const void *record, size_t size)
{
    char path[PATH_SIZE + 4];
    snprintf(path, sizeof path, "%s.new", record_path);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    bool good = fwrite(record, size, 1, file) == 1;
    good = fclose(file) == 0 && good && rename(path, record_path) == 0;
    if (!good)
        remove(path);
    return good;
}

/*--- flash --------------------------------------------------------------------*/

bool flash_begin(void)
{
    flash = fopen(image_new_path, "wb");
    return flash != NULL;
}

bool flash_write(const void *data, size_t length)
{
    return fwrite(data, 1, length, flash) == length;
}

/* The new image takes the place of the old one at once, or not at all. */
bool flash_install(void)
{
    bool good = fclose(flash) == 0 && rename(image_new_path, image_path) == 0;
    flash = NULL;
    if (!good)
        remove(image_new_path);
    return good;
}

void flash_drop(void)
{
    if (flash == NULL)
        return;
    fclose(flash);
    flash = NULL;
    remove(image_new_path);
}
