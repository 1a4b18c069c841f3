/* SPDX-License-Identifier: MIT */
/*
 * Unix stream sockets in the file system, for our own user alone.
 *
 * A path of any length can be used: the kernel sees a short one through the
 * folder's descriptor. A socket that nobody listens at any more, as a killed
 * process leaves behind, is replaced; one at which somebody does is not.
 */
#ifndef UNIX_SOCKET_H
#define UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

struct unix_listener {
	int fd;  /* -1: closed */
	int dir; /* the folder */
	char name[256];
	dev_t dev; /* of the socket that we made: the name may be another's by now */
	ino_t ino;
};

/* 0 or -errno: -EADDRINUSE somebody listens there; -EEXIST there is something else of that name. */
int unix_listener_open(struct unix_listener *l, const char *path);
/* The same for a name in an open folder, which stays the caller's. */
int unix_listener_open_at(struct unix_listener *l, int dir, const char *name);
/* Removes the socket. Nothing when it is closed. */
void unix_listener_close(struct unix_listener *l);

/*
 * The next connection, not blocking, or -errno. One of another user (root
 * excepted) is closed at once: -EPERM.
 */
int unix_accept(int fd);

/* A connection, blocking, or -errno: -ECONNREFUSED nobody listens any more; -ENOENT. */
int unix_connect_at(int dir, const char *name);

#endif
