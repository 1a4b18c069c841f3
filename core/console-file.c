/* SPDX-License-Identifier: MIT */
/*
 * to = "file:PATH": a log of the console, appended to. It is written as the
 * guest speaks; a full disk ends it, with the rest lost and the guest going on.
 */
#include "console-end.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct console_file {
	struct console_end end;
	struct console_pump pump;
};

static void file_close(struct console_end *end)
{
	struct console_file *f = (struct console_file *)end;

	console_pump_drain(&f->pump);
	console_pump_stop(&f->pump);
	if (f->pump.out >= 0)
		close(f->pump.out);
	free(end->path);
	free(f);
}

static int start(struct console_file *f, const char *path)
{
	f->end.path = strdup(path);
	if (!f->end.path)
		return -ENOMEM;
	f->pump.out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	return f->pump.out < 0 ? -errno : console_pump_start(&f->pump, true);
}

static struct console_end *file_open(struct console *c, struct loop *loop, const char *path, char *err,
                                     size_t err_len)
{
	struct console_file *f = calloc(1, sizeof(*f));
	int rc = -ENOMEM;

	if (f) {
		f->end.ops = &console_file_ops;
		f->pump = (struct console_pump){
			.reader.lossless = true, .console = c, .loop = loop, .in = -1, .out = -1, .opaque = f
		};
		rc = start(f, path);
	}
	if (!rc)
		return &f->end;
	snprintf(err, err_len, "cannot write the console's log %s: %s", path, strerror(-rc));
	if (f)
		file_close(&f->end);
	return NULL;
}

const struct console_end_ops console_file_ops = { "file", file_open, file_close };
