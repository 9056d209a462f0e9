/* system.h - what server.c asks of the system it runs on: bare/main.c or freertos/main.c */
#ifndef SYSTEM_H
#define SYSTEM_H

#include "uhttp_server.h"

/* Lets others run for a moment. */
void system_pause(void);

/* Adds what is known of stacks, and of a heap if there is one, to a status. */
void system_status(uhttp_json_writer *w);

/* Bytes never used on the stack that came closest to its end. */
uint32_t system_stack_left(void);

/* Serves until POST /api/restart, then ends the emulator with the verdict; in server.c, called in
 * a thread of its own. */
void server_run(void);

/* Makes the server look around; from any thread. Nothing before it has been opened. */
void server_wakeup(void);

#endif
