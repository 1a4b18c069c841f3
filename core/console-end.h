/* SPDX-License-Identifier: MIT */
/*
 * A host end of a console: descriptors that the console's output goes to and
 * input comes from, served by a loop (the domain's service thread, which is
 * never parked, so that one can leave a paused domain as well).
 *
 *   struct console_pump   moves bytes between a console and two descriptors
 *   struct console_end    one of the kinds that a domain file names
 *
 * Life: on [control] while the loop is parked or not started, or on the loop's
 * own thread.
 */
#ifndef CONSOLE_END_H
#define CONSOLE_END_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "console.h"

struct console_pump {
	struct console_reader reader; /* lossless is the owner's to set */
	struct console *console;
	struct loop *loop;
	int in, out; /* -1: no such direction; never the same: epoll has a descriptor once */
	/* As write, -1 with EAGAIN where it would block; NULL: write. */
	ssize_t (*write)(void *opaque, const void *buf, size_t len);
	/* Input on its way: how many of the bytes go to the guest. NULL: all. */
	uint32_t (*filter)(void *opaque, const uint8_t *buf, uint32_t n);
	/* The output cannot be written any more, or the input has ended. May stop the pump. NULL: never mind. */
	void (*gone)(void *opaque, bool output);
	void *opaque;

	struct gamut_defer *work;
	struct gamut_watch *in_watch, *out_watch;
	bool in_ended, out_gone;
};

/* The fields up to opaque are filled in. 0 or -errno, and then nothing is left to stop. */
int console_pump_start(struct console_pump *p, bool history);
/* Nothing when it has not started. */
void console_pump_stop(struct console_pump *p);
/* Writes what is waiting. 0: all; -EAGAIN: the descriptor has no room now. */
int console_pump_flush(struct console_pump *p);
/* After the stop of its loop: writes what is waiting as long as somebody takes it, some seconds at most. */
void console_pump_drain(struct console_pump *p);

/* ---- kinds ---- */

struct console_end;

enum console_end_kind { CONSOLE_TO_STDIO, CONSOLE_TO_PTY, CONSOLE_TO_SOCKET, CONSOLE_TO_FILE };

struct console_end_ops {
	const char *name;
	/* Fills *end; path says where, and is NULL for "wherever". NULL with a line in err. */
	struct console_end *(*open)(struct console *c, struct loop *loop, const char *path, char *err, size_t err_len);
	void (*close)(struct console_end *end); /* the loop has stopped */
};

struct console_end {
	const struct console_end_ops *ops;
	char *path; /* where to find it: "/dev/pts/7", a socket, a file */
};

extern const struct console_end_ops console_pty_ops, console_socket_ops, console_file_ops;

/*
 * `path` is the socket's or file's; for a pty, where to put a symbolic link to
 * it, or NULL. Not for stdio, which is the process' own: see terminal.h.
 */
struct console_end *console_end_open(enum console_end_kind kind, struct console *c, struct loop *loop,
                                     const char *path, char *err, size_t err_len);
/* Writes out what is waiting. NULL is allowed. */
void console_end_close(struct console_end *end);
const char *console_end_kind_name(enum console_end_kind kind);

#endif
