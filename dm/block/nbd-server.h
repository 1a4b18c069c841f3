/* SPDX-License-Identifier: MIT */
/*
 * A server process of our own for one disk image: qemu-nbd, which knows every
 * common format, with one connection to us. It lives as long as the
 * connection: when we go, in whatever way, it sees the end of it and goes too.
 */
#ifndef BLOCK_NBD_SERVER_H
#define BLOCK_NBD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct nbd_server {
	pid_t pid;      /* 0: none */
	int errors;     /* the reading end of its standard error, not blocking; -1: none */
};

/*
 * Starts it on the image at path with a format driver of qemu's. Returns our
 * end of the connection, or -errno with a sentence in err: the program is not
 * there, no process can be made. A server that cannot open the image ends,
 * which shows as the connection's end: nbd_server_last_words tells why.
 * discard: pass discards on to the image. [control]
 */
int nbd_server_start(struct nbd_server *server, const char *path, const char *driver, bool readonly, bool discard,
                     char *err, size_t err_len);

/* The last line that it wrote to standard error, "" when none. Waits a moment for it to end. [control] */
void nbd_server_last_words(struct nbd_server *server, char *line, size_t len);

/*
 * After the connection was closed: waits for the process to write back what it
 * has and end, in the end by force, and reaps it. True when it ended well. [control]
 */
bool nbd_server_stop(struct nbd_server *server);

#endif
