/* tls.h - the HTTPS listener of the firmware; without UHTTP_TLS there is none */
#ifndef TLS_H
#define TLS_H

#include "uhttp_server.h"

/* Adds a secure listener to the server. */
uhttp_result tls_listen(uhttp_server *server, int port);

/* Adds what TLS has taken of its heap to a status. */
void tls_status(uhttp_json_writer *w);

#endif
