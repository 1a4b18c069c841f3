/* SPDX-License-Identifier: MIT */
/* The commands' side of a control socket. Blocking, with time limits; one thread. */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include <jansson.h>
#include <stddef.h>

#include "control/rundir.h"

struct control_client {
	int fd; /* -1: none */
	char *buf;
	size_t used, room;
	json_t *greeting;
	int last_id;
	char code[32];     /* of the last error that the domain answered with; "" for any other failure */
	char message[512]; /* what went wrong last */
};

/* 0 or -errno with a message: -ENOENT no such socket; -ECONNREFUSED nobody listens any more. */
int control_client_open(struct control_client *c, const struct rundir *r, const char *name);
void control_client_close(struct control_client *c);

/*
 * Sends a request and waits for its answer; takes the reference to params,
 * which may be NULL. The result is a new reference; NULL with a message.
 */
json_t *control_client_call(struct control_client *c, const char *method, json_t *params, int timeout_ms);
/* The next object that the domain sends; timeout_ms -1: for ever. NULL with errno: ETIMEDOUT, EPIPE, EPROTO, ... */
json_t *control_client_next(struct control_client *c, int timeout_ms);

#endif
