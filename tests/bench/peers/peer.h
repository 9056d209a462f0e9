/* What the servers of peers.py share: their arguments, and what they answer.
 *
 *     PROGRAM PORT TLS_PORT ROOT CERTIFICATE KEY CONNECTIONS
 *
 * TLS_PORT 0: no HTTPS. "/" is "hello", "/memory" is 1 MiB from memory, other paths of GET are files
 * below ROOT, and the body of a PUT is read and thrown away. */
#ifndef PEER_H
#define PEER_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEER_MEMORY = 1 << 20 };

static struct peer {
    int port, tls_port;
    const char *root, *certificate, *key;
    unsigned connections;
    char *memory;
} peer;

static void peer_begin(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: %s port tls-port root certificate key connections\n", argv[0]);
        exit(2);
    }
    signal(SIGPIPE, SIG_IGN);
    peer.port = atoi(argv[1]);
    peer.tls_port = atoi(argv[2]);
    peer.root = argv[3];
    peer.certificate = argv[4];
    peer.key = argv[5];
    peer.connections = (unsigned)atoi(argv[6]);
    peer.memory = (char *)malloc(PEER_MEMORY);
    if (peer.memory == NULL)
        exit(1);
    memset(peer.memory, 'm', PEER_MEMORY);
}

static void peer_die(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(1);
}

#endif
