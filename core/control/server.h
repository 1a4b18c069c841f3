/* SPDX-License-Identifier: MIT */
/*
 * The control socket of one domain: see README.md for the protocol. Runs on
 * the loop that it is given (the domain's service thread).
 */
#ifndef CONTROL_SERVER_H
#define CONTROL_SERVER_H

#include <jansson.h>
#include <stdint.h>

#include "conf.h"
#include "console.h"
#include "loop.h"

struct control;
struct domain;

struct control_config {
	const struct domain_config *domain;
	uint32_t id;
	struct loop *loop;
	struct console *const *consoles; /* domain->n_consoles */
	/* Where the ends of console i are: an array of { "kind", "path" }. */
	json_t *(*ends)(void *opaque, uint32_t i);
	void *opaque;
	const char *log; /* where messages go, or NULL: standard error */
};

/*
 * Listens at name in the open folder dir. 0 or -errno. *config is copied; what
 * it points to outlives the control. [control], the loop not started
 */
int control_open(struct control **control, const struct control_config *config, int dir, const char *name);

/* The domain that commands are for, from when it is about to run; NULL: it is ending. [control] */
void control_domain(struct control *c, struct domain *d);
/* Tells those who asked for events. [any] */
void control_event(struct control *c, const char *event);

/*
 * Nobody finds the socket any more; those who are connected are told how the
 * domain ended and are not served any more, but not let go. The loop has
 * stopped. how and why may be NULL: it never ran.
 */
void control_finish(struct control *c, const char *how, const char *why);
/* Lets go of them. NULL is allowed. */
void control_close(struct control *c);

#endif
