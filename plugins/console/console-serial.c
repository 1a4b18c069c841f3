/* SPDX-License-Identifier: MIT */
/*
 * console = "serial": a serial port, COM1 if not said otherwise, on the host.
 *
 * Both directions are limited by the slower side: what the terminal does not
 * take stays in the port, whose transmitter waits; what the port has no room
 * for stays here, and then in the terminal's queue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gamut/host.h"
#include "gamut/pc.h"
#include "gamut/plugin.h"

struct console_serial {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_serial_ops *ports; /* NULL before start and after stop */
	void *ports_self;
	uint32_t port; /* 0: COM1 */
	struct gamut_defer *feed;
	uint8_t input[256]; /* [at, n): taken from the terminal, not yet by the port. [io] */
	uint32_t at, n;
	uint64_t *said;       /* sign: bytes */
	uint32_t short_write; /* the terminal was full: kick the port when there is room. [io] */
};

/* ---- the peer of the port ---- */

static uint32_t receive(void *opaque, const void *buf, uint32_t len)
{
	struct console_serial *c = opaque;
	uint32_t n = c->host->console_write(c->inst, buf, len);

	__atomic_fetch_add(c->said, n, __ATOMIC_RELAXED);
	if (n < len)
		__atomic_store_n(&c->short_write, 1, __ATOMIC_RELAXED);
	return n;
}

static void room(void *opaque)
{
	struct console_serial *c = opaque;

	c->host->defer_run(c->inst, c->feed);
}

static const struct gamut_serial_peer peer = {
	.size = sizeof(struct gamut_serial_peer),
	.receive = receive,
	.room = room,
};

/* ---- the terminal ---- */

/* There is input, or room in the port, or room in the terminal. [io] */
static void feed(void *opaque)
{
	struct console_serial *c = opaque;

	if (!c->ports)
		return;
	if (__atomic_exchange_n(&c->short_write, 0, __ATOMIC_RELAXED))
		c->ports->kick(c->ports_self, c->port);
	for (;;) {
		if (c->at == c->n) {
			c->at = 0;
			c->n = c->host->console_read(c->inst, c->input, sizeof(c->input));
		}
		if (c->at == c->n)
			return;
		c->at += c->ports->send(c->ports_self, c->port, c->input + c->at, c->n - c->at);
		if (c->at < c->n)
			return;
	}
}

/* ---- life cycle ---- */

static void destroy(void *self)
{
	struct console_serial *c = self;

	if (c->feed)
		c->host->defer_destroy(c->inst, c->feed);
	free(c);
}

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct console_serial *c = calloc(1, sizeof(*c));
	int64_t port = 0;

	if (!c)
		return host->fail(inst, ENOMEM, "out of memory");
	c->host = host;
	c->inst = inst;
	host->option_int(inst, "port", &port);
	c->port = (uint32_t)port;
	c->said = host->sign(inst, GAMUT_AXIS_CONSOLE, GAMUT_COLOUR_V, "serial-bytes-out");
	c->feed = host->defer_create(inst, feed, c);
	if (!c->feed) {
		destroy(c);
		return host->fail(inst, ENOMEM, "out of memory");
	}
	*self = c;
	return 0;
}

static int start(void *self)
{
	struct console_serial *c = self;
	const struct gamut_serial_ops *ports;
	int rc;

	ports = c->host->lookup(c->inst, GAMUT_SERIAL_PORTS, GAMUT_PC_REVISION, 0, &c->ports_self);
	if (!ports)
		return c->host->fail(c->inst, ENODEV, "the serial console needs a platform with %s",
		                     GAMUT_SERIAL_PORTS);
	rc = ports->attach(c->ports_self, c->port, &peer, c);
	if (rc)
		return c->host->fail(c->inst, -rc, "cannot attach to COM%u: %s", c->port + 1, strerror(-rc));
	c->ports = ports;
	c->host->console_on_input(c->inst, feed, c);
	return 0;
}

/* What was typed and not taken belonged to the system before. */
static int reset(void *self)
{
	struct console_serial *c = self;

	c->at = c->n = 0;
	return 0;
}

/* Detaching brings out what the guest has sent so far. */
static void stop(void *self)
{
	struct console_serial *c = self;

	if (!c->ports)
		return;
	c->host->console_on_input(c->inst, NULL, NULL);
	c->ports->attach(c->ports_self, c->port, NULL, NULL);
	c->ports = NULL;
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.reset = reset,
	.stop = stop,
	.destroy = destroy,
};

static const struct gamut_option options[] = {
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_INT,
	  .name = "port",
	  .help = "Which port, as Linux numbers them: 0 is COM1, 1 is COM2",
	  .default_value = "0",
	  .min = 0,
	  .max = 3 },
};

static const char *const needs[] = { GAMUT_SERIAL_PORTS, NULL };
static const char *const gives[] = { NULL };

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_CONSOLE,
	.colour = GAMUT_COLOUR_V,
	.score = 50,
	.choice = "serial",
	.description = "A serial port (COM1, ttyS0 in Linux)",
	.needs = needs,
	.gives = gives,
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "console-serial",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
