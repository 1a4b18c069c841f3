/* SPDX-License-Identifier: MIT */
/*
 * A console on standard input and output, whatever those are.
 *
 * A terminal is put into raw mode while the domain runs; Ctrl-] leaves. In a
 * pipe or file bytes pass as they are: the end of the input does not end the
 * domain, and output that nobody reads any more is dropped.
 *
 * Output is never lost to a slow reader, and nothing here ever blocks: what
 * cannot be written stays in the console, which then takes no more of the
 * guest.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "console-end.h"

struct terminal;

#define TERMINAL_LEAVE 0x1d /* Ctrl-] */

/* Both descriptors stay the caller's. NULL with errno set. [control] */
struct terminal *terminal_create(int in, int out);
/* Detaches and restores the terminal. NULL is allowed. */
void terminal_destroy(struct terminal *t);

/* Called on the loop's thread when the user leaves. */
void terminal_on_leave(struct terminal *t, void (*fn)(void *opaque), void *opaque);

/* Whether both ends are terminals. */
bool terminal_is_tty(const struct terminal *t);
/* True while in raw mode; for logs. */
const atomic_bool *terminal_raw_flag(const struct terminal *t);
/* Into raw mode and out of it; nothing when it is no terminal or so already. Any thread but one at a time. */
void terminal_raw(struct terminal *t);
void terminal_restore(struct terminal *t);

/* Shows that console, served by this loop. 0 or -errno. [control], loop parked or not started */
int terminal_attach(struct terminal *t, struct console *console, struct loop *loop);
/* Writes out what the guest has said, waiting a few seconds at most. The loop is parked or stopped. */
void terminal_detach(struct terminal *t);

#endif
