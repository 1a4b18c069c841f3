/* SPDX-License-Identifier: MIT */
/*
 * The domain's console on standard input and output, whatever those are.
 *
 * A terminal is put into raw mode while the domain runs; Ctrl-] leaves. In a
 * pipe or file bytes pass as they are: the end of the input does not end the
 * domain, and output that nobody reads any more is dropped.
 *
 * Output goes through a bounded queue which the I/O thread empties without
 * ever blocking. A full queue takes nothing: that is the guest's back
 * pressure. Once there is room again after a short write, the input function is
 * called, as if there were input.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gamut/host.h"
#include "loop.h"

struct terminal;

#define TERMINAL_LEAVE 0x1d /* Ctrl-] */

/* Both descriptors stay the caller's. NULL with errno set. [control] */
struct terminal *terminal_create(int in, int out);
/* Writes out what is queued (waiting a few seconds at most), restores the terminal. NULL is allowed. */
void terminal_destroy(struct terminal *t);

/* Called on the I/O thread when the user leaves. */
void terminal_on_leave(struct terminal *t, void (*fn)(void *opaque), void *opaque);

/* Whether both ends are terminals. */
bool terminal_is_tty(const struct terminal *t);
/* True while in raw mode; for logs. */
const atomic_bool *terminal_raw_flag(const struct terminal *t);
/* Into raw mode and out of it; nothing when it is no terminal or so already. Any thread but one at a time. */
void terminal_raw(struct terminal *t);
void terminal_restore(struct terminal *t);

/* Its descriptors are served by this loop. 0 or -errno. [control], loop parked or not started */
int terminal_attach(struct terminal *t, struct loop *loop);
void terminal_detach(struct terminal *t);

/* host->console_*; see host.h. */
uint32_t terminal_write(struct terminal *t, const void *buf, uint32_t len);
void terminal_on_input(struct terminal *t, gamut_defer_fn fn, void *opaque);
uint32_t terminal_read(struct terminal *t, void *buf, uint32_t len);

#endif
