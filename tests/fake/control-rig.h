/* SPDX-License-Identifier: MIT */
/*
 * A control socket without a domain behind it, in a folder of its own, and a
 * loop that the test turns. Shared by the unit test and the fuzz target.
 */
#ifndef CONTROL_RIG_H
#define CONTROL_RIG_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/server.h"
#include "control/unix-socket.h"

struct control_rig {
	char dir[32];
	int folder;
	struct loop loop;
	struct console *console[2];
	struct domain_config domain;
	struct console_config consoles[2];
	struct preset preset;
	struct control *control;
};

static inline json_t *control_rig_ends(void *opaque, uint32_t i)
{
	(void)opaque;
	(void)i;
	return json_array();
}

static inline int control_rig_init(struct control_rig *r)
{
	static char file[] = "web.cfg", name[] = "web", first[] = "xen", second[] = "serial1", mode[] = "pvh", empty[] = "";
	struct control_config config = {
		.domain = &r->domain, .id = 3, .loop = &r->loop, .consoles = r->console, .ends = control_rig_ends
	};

	memset(r, 0, sizeof(*r));
	strcpy(r->dir, "/tmp/gamut-rig-XXXXXX");
	if (!mkdtemp(r->dir) || loop_init(&r->loop))
		return -1;
	r->folder = open(r->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r->console[0] = console_create();
	r->console[1] = console_create();
	r->consoles[0].name = first;
	r->consoles[1].name = second;
	r->preset.name = mode;
	r->domain = (struct domain_config){ .file = file, .name = name, .mode = mode, .memory = 64, .vcpus = 2,
		                            .cmdline = empty, .consoles = r->consoles, .n_consoles = 2 };
	r->domain.axes.preset = &r->preset;
	return control_open(&r->control, &config, r->folder, "s");
}

static inline void control_rig_finish(struct control_rig *r)
{
	control_close(r->control);
	console_destroy(r->console[0]);
	console_destroy(r->console[1]);
	loop_finish(&r->loop);
	close(r->folder);
	rmdir(r->dir);
}

/* A connection, not blocking. */
static inline int control_rig_connect(struct control_rig *r)
{
	int fd = unix_connect_at(r->folder, "s");

	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static inline void control_rig_turn(struct control_rig *r, int n)
{
	while (n--)
		loop_once(&r->loop, 1);
}

#endif
