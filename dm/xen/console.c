/* SPDX-License-Identifier: MIT */
/*
 * The rings are byte queues in a page that a hostile guest writes as well. Our
 * own indices, out_cons and in_prod, are kept here and only written to the
 * page. The guest's are read once for each use; when they claim more than a
 * ring holds nothing is moved, as in xenconsoled, until they make sense again.
 */
#include "dm/xen/console.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/xen.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>

#include "gamut/plugin.h"

/* How soon to offer output again that the terminal did not take. */
#define RETRY_NS 5000000ull
/* Bytes the tool stack lets a console daemon buffer for a guest. */
#define BUFFER_LIMIT "1048576"

struct xen_console {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	const struct gamut_xenbus_ops *bus;
	void *bus_self;
	const struct gamut_evtchn_ops *evtchn;
	void *evtchn_self;
	struct gamut_page *pages;
	struct xencons_interface *ring;
	uint64_t gfn;
	uint32_t port;
	bool attached;
	XENCONS_RING_IDX out_cons, in_prod;
	struct gamut_defer *defer;
	struct gamut_timer *retry;
	uint64_t *n_out, *n_in, *n_bad;
};

static void count(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- guest to terminal ------------------------------------------------------------ */

/* Bytes waiting in the out ring; 0 as well when the guest's index cannot be. */
static uint32_t out_waiting(struct xen_console *con)
{
	uint32_t n = __atomic_load_n(&con->ring->out_prod, __ATOMIC_ACQUIRE) - con->out_cons;

	if (n <= sizeof(con->ring->out))
		return n;
	count(con->n_bad, 1);
	return 0;
}

/* Returns whether anything moved. */
static bool move_out(struct xen_console *con)
{
	bool moved = false;
	uint32_t n;

	while ((n = out_waiting(con))) {
		uint32_t at = MASK_XENCONS_IDX(con->out_cons, con->ring->out);
		uint32_t part = sizeof(con->ring->out) - at;
		uint32_t taken;

		part = n < part ? n : part;
		taken = con->host->console_write(con->inst, con->ring->out + at, part);
		con->out_cons += taken;
		__atomic_store_n(&con->ring->out_cons, con->out_cons, __ATOMIC_SEQ_CST);
		count(con->n_out, taken);
		moved |= taken != 0;
		if (taken < part) {
			con->host->timer_set(con->inst, con->retry,
			                     con->host->time_now(con->inst) + RETRY_NS);
			break;
		}
	}
	return moved;
}

/* ---- terminal to guest -------------------------------------------------------------- */

static uint32_t in_room(struct xen_console *con)
{
	uint32_t used = con->in_prod - __atomic_load_n(&con->ring->in_cons, __ATOMIC_ACQUIRE);

	if (used <= sizeof(con->ring->in))
		return sizeof(con->ring->in) - used;
	count(con->n_bad, 1);
	return 0;
}

static bool move_in(struct xen_console *con)
{
	bool moved = false;
	uint32_t room;

	while ((room = in_room(con))) {
		uint32_t at = MASK_XENCONS_IDX(con->in_prod, con->ring->in);
		uint32_t part = sizeof(con->ring->in) - at;
		uint32_t n;

		part = room < part ? room : part;
		n = con->host->console_read(con->inst, con->ring->in + at, part);
		if (!n)
			break;
		con->in_prod += n;
		__atomic_store_n(&con->ring->in_prod, con->in_prod, __ATOMIC_SEQ_CST);
		count(con->n_in, n);
		moved = true;
	}
	return moved;
}

/* [io] */
static void work(void *opaque)
{
	struct xen_console *con = opaque;
	bool moved;

	if (!con->attached)
		return;
	moved = move_out(con);
	moved |= move_in(con);
	if (moved)
		con->evtchn->notify(con->evtchn_self, con->port);
}

/* [vcpu] [io] */
static void notified(void *opaque)
{
	struct xen_console *con = opaque;

	con->host->defer_run(con->inst, con->defer);
}

/* ---- life ---------------------------------------------------------------------------- */

struct xen_console *xen_console_create(const struct gamut_host *host, struct gamut_inst *inst)
{
	struct xen_console *con = calloc(1, sizeof(*con));
	void *page = NULL;

	if (!con) {
		errno = ENOMEM;
		return NULL;
	}
	con->host = host;
	con->inst = inst;
	con->n_out = host->sign(inst, GAMUT_AXIS_CONSOLE, GAMUT_COLOUR_P, "console-bytes-out");
	con->n_in = host->counter(inst, "console-bytes-in");
	con->n_bad = host->counter(inst, "console-bad-indices");
	con->pages = host->page_alloc(inst, 1, &page);
	con->ring = page;
	con->defer = host->defer_create(inst, work, con);
	con->retry = host->timer_create(inst, work, con);
	if (!con->pages || !con->defer || !con->retry) {
		xen_console_destroy(con);
		errno = ENOMEM;
		return NULL;
	}
	return con;
}

void xen_console_destroy(struct xen_console *con)
{
	if (!con)
		return;
	xen_console_stop(con);
	if (con->retry)
		con->host->timer_destroy(con->inst, con->retry);
	if (con->defer)
		con->host->defer_destroy(con->inst, con->defer);
	if (con->pages)
		con->host->page_free(con->inst, con->pages);
	free(con);
}

static int put(struct xen_console *con, const char *name, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/local/domain/%u/console/%s", con->host->domain_id(con->inst), name);
	return con->bus->write(con->bus_self, path, value, (uint32_t)strlen(value));
}

/* What libxl writes for the first console. */
static int publish(struct xen_console *con)
{
	char ref[24], port[16];
	const char *const nodes[][2] = {
	        {"ring-ref", ref},       {"port", port},    {"type", "xenconsoled"},
	        {"limit", BUFFER_LIMIT}, {"output", "pty"}, {"tty", ""},
	};
	int err;

	snprintf(ref, sizeof(ref), "%" PRIu64, con->gfn);
	snprintf(port, sizeof(port), "%u", con->port);
	err = con->bus->hvm_param_set(con->bus_self, HVM_PARAM_CONSOLE_PFN, con->gfn);
	if (!err)
		err = con->bus->hvm_param_set(con->bus_self, HVM_PARAM_CONSOLE_EVTCHN, con->port);
	for (size_t i = 0; !err && i < sizeof(nodes) / sizeof(nodes[0]); i++)
		err = put(con, nodes[i][0], nodes[i][1]);
	return err;
}

/* The page where it belongs, whatever the guest has done to its map. */
static int place_page(struct xen_console *con)
{
	int err;

	con->host->page_unmap(con->inst, con->pages, 0);
	err = con->host->page_map(con->inst, con->pages, 0, con->gfn << 12);
	if (err)
		return con->host->fail(con->inst, -err,
		                       "cannot map the console page at frame 0x%" PRIx64 ": %s", con->gfn,
		                       strerror(-err));
	return 0;
}

/* Empty rings, and everything that tells of them. */
static int power_on(struct xen_console *con)
{
	int err = place_page(con);

	if (err)
		return err;
	con->out_cons = con->in_prod = 0;
	memset(con->ring, 0, 4096);
	err = publish(con);
	if (err)
		return con->host->fail(con->inst, -err, "cannot announce the console in the store: %s",
		                       strerror(-err));
	return 0;
}

static int attach(struct xen_console *con)
{
	int port = con->evtchn->alloc(con->evtchn_self, notified, con);

	if (port < 0)
		return con->host->fail(con->inst, -port, "no event channel for the console: %s",
		                       strerror(-port));
	con->port = (uint32_t)port;
	con->attached = true;
	return power_on(con);
}

static void detach(struct xen_console *con)
{
	if (!con->attached)
		return;
	con->attached = false;
	con->host->timer_cancel(con->inst, con->retry);
	con->evtchn->unbind(con->evtchn_self, con->port);
	con->host->page_unmap(con->inst, con->pages, 0);
}

int xen_console_start(struct xen_console *con, const struct gamut_xenbus_ops *bus, void *bus_self,
                      const struct gamut_evtchn_ops *evtchn, void *evtchn_self)
{
	int err;

	con->bus = bus;
	con->bus_self = bus_self;
	con->evtchn = evtchn;
	con->evtchn_self = evtchn_self;
	if (!con->gfn)
		con->gfn = bus->special_gfn(bus_self);
	if (!con->gfn)
		return con->host->fail(con->inst, ENOSPC,
		                       "the platform has no special frame left for the console");
	err = attach(con);
	if (err) {
		detach(con);
		return err;
	}
	con->host->console_on_input(con->inst, work, con);
	return 0;
}

int xen_console_reset(struct xen_console *con)
{
	con->host->timer_cancel(con->inst, con->retry);
	return power_on(con);
}

void xen_console_stop(struct xen_console *con)
{
	if (!con->attached)
		return;
	move_out(con);
	con->host->console_on_input(con->inst, NULL, NULL);
	detach(con);
}
