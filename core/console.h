/* SPDX-License-Identifier: MIT */
/*
 * One console of a guest: what a console plugin writes to and reads from, and
 * any number of readers on the host who see the same and may all type.
 *
 * Output is kept in one ring, which is queue and history at once. Every reader
 * has a place in it of its own. A lossless reader (standard output, a file) is
 * waited for: when it is a ring behind, nothing more is taken, and that is the
 * guest's back pressure. Any other (a pty, a socket, an attached client) is
 * never waited for: what it was too slow for is lost to it, and it goes on
 * with the oldest that is left. Whoever joins may have all that is left first.
 *
 * Input is one queue that takes from whoever types, as far as the guest reads.
 */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "gamut/host.h"
#include "loop.h"

#define CONSOLE_HISTORY 65536u

struct console;

/* Somebody who sees the console: zeroed memory of the caller's, with lossless, ready and opaque filled in. */
struct console_reader {
	struct console *console; /* NULL: has not joined */
	struct console_reader *next;
	uint64_t at;             /* the next byte for it, counted from the console's first; under the console's lock */
	uint64_t lost;           /* bytes that went by; under the console's lock */
	bool lossless;
	/* There is output, or room for input again. Must only flag and defer. [any] */
	void (*ready)(void *opaque);
	void *opaque;
};

/* NULL when memory is short. [control] */
struct console *console_create(void);
/* Nobody is joined any more. NULL is allowed. */
void console_destroy(struct console *c);

/* ---- the guest's side: host->console_*; see host.h ---- */

/* The input function runs on this loop. 0 or -errno. [control], loop parked or not started */
int console_attach(struct console *c, struct loop *loop);
void console_detach(struct console *c);

uint32_t console_write(struct console *c, const void *buf, uint32_t len);
void console_on_input(struct console *c, gamut_defer_fn fn, void *opaque);
uint32_t console_read(struct console *c, void *buf, uint32_t len);

/* ---- the host's side [any] ---- */

/* history: from the oldest that is left, else from now on. */
void console_join(struct console *c, struct console_reader *r, bool history);
/* ready is not called any more. Nothing when it has not joined. */
void console_leave(struct console_reader *r);
/* Copies what comes next without taking it; returns how much. */
uint32_t console_peek(struct console_reader *r, void *buf, uint32_t len);
/* Takes `len` bytes of what was peeked. */
void console_skip(struct console_reader *r, uint32_t len);
/* Input; returns how many bytes there was room for. After a short one, ready is called when there is more. */
uint32_t console_type(struct console *c, const void *buf, uint32_t len);
/* Room for input. */
uint32_t console_room(struct console *c);
/* Bytes that the guest has written so far, and that it has read. */
void console_counts(struct console *c, uint64_t *out, uint64_t *in);

#endif
