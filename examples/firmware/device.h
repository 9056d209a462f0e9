/* device.h - what the site needs to know of the device it runs on
 *
 * server.c supplies these. In a product they lead to its flash driver, its clock and its sensors.
 */
#ifndef DEVICE_H
#define DEVICE_H

#include "uhttp_server.h"

/* Milliseconds since the start; may wrap. */
uint32_t device_millis(void);

/* The image that is running, for GET /firmware. */
size_t device_image_size(void);
void device_image_read(size_t offset, void *to, size_t length);

/* The place for the next image, for PUT /firmware. device_flash_end(true) makes it the one the
 * boot loader starts; false forgets it. */
bool device_flash_begin(void);
bool device_flash_write(const void *data, size_t length);
bool device_flash_end(bool install);

/* Adds the members of GET /api/status that only the device knows: stacks, heaps, pools. */
void device_status(uhttp_json_writer *w);

#endif
