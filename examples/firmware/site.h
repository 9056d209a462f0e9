/* site.h - the web site of a device; the same file serves on every board
 *
 *     uhttp_config config = { 0 };
 *     site_configure(&config);
 *     ...                                     open the server
 *     while (!site_wants_restart()) {
 *         uhttp_conn *c = uhttp_wait(server, site_tick(server));
 *         if (c != NULL)
 *             site_serve(c);
 *     }
 *
 *   GET  /                  the device's page, with live values and an upload form
 *   GET  /api/status        counters of the server and the device, JSON
 *   GET  /api/led           {"on":false}
 *   PUT  /api/led           the same, to be set
 *   GET  /api/next          answered when the next measurement is there (long polling)
 *   GET  /events            a measurement every half second, Server-Sent Events
 *   GET  /console           a WebSocket that takes "led on", "led off", "led"
 *   GET  /firmware          the running image; ranges, so that a download can be resumed
 *   PUT  /firmware?crc32=   an update, larger than RAM; one at a time
 *   GET  /speed?bytes=      so many bytes, as fast as they go
 *   PUT  /speed             takes any number of bytes, answers with their CRC-32
 *   POST /api/restart       ends the program
 */
#ifndef SITE_H
#define SITE_H

#include "uhttp_server.h"

/* Sets what the site needs: event mode, its files. */
void site_configure(uhttp_config *config);

/* Answers, or goes on with, what uhttp_wait() returned. */
void site_serve(uhttp_conn *c);

/* Takes a measurement when it is time and tells everybody who waits for it. Returns how many
 * milliseconds uhttp_wait() may sleep until the next. */
int site_tick(uhttp_server *server);

/* True once POST /api/restart has been answered. */
bool site_wants_restart(void);

/* Ends what the site still holds, so that uhttp_server_shutdown() can finish. */
void site_end(uhttp_server *server);

/* Writes the object of GET /api/status. */
void site_status(uhttp_json_writer *w, const uhttp_server *server);

#endif
