/* SPDX-License-Identifier: MIT */
/*
 * The two halves of a block device meet in the store. Each has a directory
 * with a state; the guest's half is watched, and this is what its states do:
 *
 *     front end                back end, if it was
 *     Initialising             disconnect -> InitWait (the driver starts over)
 *     InitWait                 nothing
 *     Initialised, Connected   InitWait -> connect -> Connected
 *     Closing                  disconnect -> Closing
 *     Closed, gone             disconnect -> Closed
 *
 * The guest may write anything there at any time. Only the present state
 * counts, not the order of changes: a front end that goes from Closing to
 * Initialising may have been through Closed too quickly to be seen. Everything
 * is read again on connect.
 * What cannot be connected ends in Closing, as with Linux' back end, and the
 * guest may start over from there.
 */
#include "dm/xen/blkback.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/io/xenbus.h>

#include "dm/xen/blkring.h"
#include "gamut/plugin.h"

/* Lines in the log that one guest may cause by misuse. */
#define MAX_COMPLAINTS 16u
#define PATH           160u

struct blkback {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block;
	const char *dev;
	uint32_t devid, max_queues;
	bool offer_persistent;
	enum blkback_type type;
	struct blkback_peers peers;
	char front[96], back[96];
	struct gamut_xs_watch *watch;
	struct gamut_defer *defer;
	struct blkring **rings; /* max_queues of them */
	uint32_t n_rings;
	enum xenbus_state state;
	bool started;
	uint32_t complaints;
	struct blkcounters counters;
};

/* What a front end has agreed to, as read from its directory. */
struct terms {
	const struct blkabi *abi;
	uint32_t queues, pages;
	bool persistent;
};

/* ---- the store -------------------------------------------------------------------------- */

static int GAMUT_PRINTF(4, 5) put(struct blkback *b, const char *dir, const char *name, const char *fmt, ...)
{
	char path[PATH], value[128];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(value, sizeof(value), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(value))
		return -E2BIG;
	n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	return b->peers.bus->write(b->peers.bus_self, path, value, (uint32_t)strlen(value));
}

/* A value of the front end's directory, to be freed; NULL when there is none. */
static char *get(struct blkback *b, const char *name)
{
	char path[PATH];
	int n = snprintf(path, sizeof(path), "%s/%s", b->front, name);

	return n < 0 || (size_t)n >= sizeof(path) ? NULL : b->peers.bus->read(b->peers.bus_self, path, NULL);
}

static bool parse_number(const char *text, uint32_t *value)
{
	unsigned long long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n > UINT32_MAX)
		return false;
	*value = (uint32_t)n;
	return true;
}

enum found { ABSENT, FOUND, WRONG };

static enum found get_number(struct blkback *b, const char *name, uint32_t *value)
{
	char *text = get(b, name);
	enum found found = ABSENT;

	if (text)
		found = parse_number(text, value) ? FOUND : WRONG;
	free(text);
	return found;
}

static void set_state(struct blkback *b, enum xenbus_state state)
{
	int err;

	if (b->state == state)
		return;
	b->state = state;
	err = put(b, b->back, "state", "%d", state);
	if (err)
		b->host->log(b->inst, GAMUT_LOG_ERROR, "%s: cannot write the state to the store: %s", b->dev,
		             strerror(-err));
}

/* The guest's fault: a line in the log, but not any number of them. */
static bool GAMUT_PRINTF(2, 3) complain(struct blkback *b, const char *fmt, ...)
{
	char text[160];
	va_list args;

	if (b->complaints++ >= MAX_COMPLAINTS)
		return false;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	b->host->log(b->inst, GAMUT_LOG_WARN, "%s: cannot connect: %s", b->dev, text);
	return false;
}

/* ---- publishing ---------------------------------------------------------------------------- */

static int publish_identity(struct blkback *b)
{
	const char *type = b->type == BLKBACK_CDROM ? "cdrom" : "disk";
	int err = put(b, b->back, "dev", "%s", b->dev);

	if (!err)
		err = put(b, b->back, "mode", "%s", b->block->info.readonly ? "r" : "w");
	if (!err)
		err = put(b, b->back, "type", "phy");
	if (!err)
		err = put(b, b->back, "device-type", "%s", type);
	if (!err)
		err = put(b, b->back, "removable", "0");
	if (!err)
		err = put(b, b->back, "hotplug-status", "connected");
	if (!err)
		err = put(b, b->front, "virtual-device", "%u", b->devid);
	return err ? err : put(b, b->front, "device-type", "%s", type);
}

static int publish_features(struct blkback *b)
{
	const struct block_info *info = &b->block->info;
	int err = put(b, b->back, "feature-flush-cache", "1");

	if (!err)
		err = put(b, b->back, "feature-barrier", "0");
	if (!err)
		err = put(b, b->back, "feature-persistent", "%d", b->offer_persistent);
	if (!err)
		err = put(b, b->back, "feature-max-indirect-segments", "%u", BLKRING_MAX_INDIRECT);
	if (!err)
		err = put(b, b->back, "max-ring-page-order", "%u", BLKRING_MAX_ORDER);
	if (!err)
		err = put(b, b->back, "multi-queue-max-queues", "%u", b->max_queues);
	if (!err)
		err = put(b, b->back, "discard-enable", "%d", info->discard);
	if (err || !info->discard)
		return err;
	err = put(b, b->back, "discard-granularity", "%u", info->discard_granularity);
	if (!err)
		err = put(b, b->back, "discard-alignment", "0");
	if (!err)
		err = put(b, b->back, "discard-secure", "0");
	return err ? err : put(b, b->back, "feature-discard", "1");
}

/*
 * Sizes are in units of 512 bytes whatever the medium has: some front ends
 * cannot do otherwise. The physical size tells the guest what to align to.
 */
static int publish_geometry(struct blkback *b)
{
	const struct block_info *info = &b->block->info;
	int err = put(b, b->back, "sectors", "%" PRIu64, info->capacity / BLKRING_SECTOR);

	if (!err)
		err = put(b, b->back, "info", "%u",
		          (info->readonly ? VDISK_READONLY : 0) | (b->type == BLKBACK_CDROM ? VDISK_CDROM : 0));
	if (!err)
		err = put(b, b->back, "sector-size", "%u", BLKRING_SECTOR);
	return err ? err : put(b, b->back, "physical-sector-size", "%u", info->physical_sector);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static bool read_protocol(struct blkback *b, struct terms *terms)
{
	char *protocol = get(b, "protocol");

	terms->abi = blkabi_find(protocol);
	free(protocol);
	return terms->abi || complain(b, "unknown protocol");
}

static bool read_terms(struct blkback *b, struct terms *terms)
{
	uint32_t order = 0, queues = 1, persistent = 0;

	if (!read_protocol(b, terms))
		return false;
	if (get_number(b, "multi-queue-num-queues", &queues) == WRONG || !queues || queues > b->max_queues)
		return complain(b, "multi-queue-num-queues is not within 1 to %u", b->max_queues);
	if (get_number(b, "ring-page-order", &order) == WRONG || order > BLKRING_MAX_ORDER)
		return complain(b, "ring-page-order is not within 0 to %u", BLKRING_MAX_ORDER);
	get_number(b, "feature-persistent", &persistent);
	terms->queues = queues;
	terms->pages = 1u << order;
	terms->persistent = b->offer_persistent && persistent;
	return true;
}

/* The grants of a queue's ring: ring-ref0.. as for many pages, or ring-ref alone for one. */
static bool read_refs(struct blkback *b, const char *prefix, const struct terms *terms, uint32_t *refs)
{
	char name[64];

	for (uint32_t i = 0; i < terms->pages; i++) {
		snprintf(name, sizeof(name), "%sring-ref%u", prefix, i);
		if (get_number(b, name, &refs[i]) == FOUND)
			continue;
		snprintf(name, sizeof(name), "%sring-ref", prefix);
		if (terms->pages != 1 || get_number(b, name, &refs[0]) != FOUND)
			return complain(b, "%sring-ref%u is missing or no number", prefix, i);
	}
	return true;
}

static bool connect_ring(struct blkback *b, const struct terms *terms, uint32_t index)
{
	struct blkring_config c = {
	        .host = b->host,
	        .inst = b->inst,
	        .block = b->block,
	        .grants = b->peers.grants,
	        .grants_self = b->peers.grants_self,
	        .evtchn = b->peers.evtchn,
	        .evtchn_self = b->peers.evtchn_self,
	        .defer = b->defer,
	        .counters = &b->counters,
	        .abi = terms->abi,
	        .n_pages = terms->pages,
	        .persistent = terms->persistent,
	};
	char prefix[24] = "", name[64];

	if (terms->queues > 1)
		snprintf(prefix, sizeof(prefix), "queue-%u/", index);
	snprintf(name, sizeof(name), "%sevent-channel", prefix);
	if (get_number(b, name, &c.port) != FOUND)
		return complain(b, "%s is missing or no number", name);
	if (!read_refs(b, prefix, terms, c.refs))
		return false;
	b->rings[index] = blkring_create(&c);
	if (!b->rings[index])
		return complain(b, "ring %u (grant %u, port %u): %s", index, c.refs[0], c.port,
		                strerror(errno));
	b->n_rings++;
	return true;
}

/* On return nothing of the guest's is used any more. Waits for what is in flight. */
static void disconnect(struct blkback *b)
{
	if (!b->n_rings)
		return;
	for (uint32_t i = 0; i < b->n_rings; i++)
		blkring_stop(b->rings[i]);
	block_drain(b->block);
	for (uint32_t i = 0; i < b->n_rings; i++) {
		blkring_publish(b->rings[i]);
		blkring_destroy(b->rings[i]);
		b->rings[i] = NULL;
	}
	b->n_rings = 0;
}

static bool connect_rings(struct blkback *b)
{
	struct terms terms = {0};

	if (!read_terms(b, &terms))
		return false;
	for (uint32_t i = 0; i < terms.queues; i++)
		if (!connect_ring(b, &terms, i))
			return false;
	return !publish_geometry(b) || complain(b, "the store takes no more");
}

static void connect_front(struct blkback *b)
{
	if (b->state == XenbusStateConnected)
		return;
	/* From Closing too: a front end may mend its ways without going through Closed. */
	disconnect(b);
	if (connect_rings(b)) {
		set_state(b, XenbusStateConnected);
		return;
	}
	disconnect(b);
	set_state(b, XenbusStateClosing);
}

/* ---- the state machine -------------------------------------------------------------------------- */

static void front_initialising(struct blkback *b)
{
	if (b->state == XenbusStateInitWait)
		return;
	disconnect(b);
	set_state(b, XenbusStateInitWait);
}

static void front_closing(struct blkback *b)
{
	disconnect(b);
	set_state(b, XenbusStateClosing);
}

static void front_closed(struct blkback *b)
{
	disconnect(b);
	set_state(b, XenbusStateClosed);
}

static void (*const on_front[])(struct blkback *b) = {
        [XenbusStateUnknown] = front_closed,      [XenbusStateInitialising] = front_initialising,
        [XenbusStateInitialised] = connect_front, [XenbusStateConnected] = connect_front,
        [XenbusStateClosing] = front_closing,     [XenbusStateClosed] = front_closed,
};

/* The front end's state changed, or may have. [io] */
static void front_changed(void *opaque, const char *path)
{
	struct blkback *b = opaque;
	uint32_t state = XenbusStateUnknown;

	(void)path;
	if (!b->started)
		return;
	if (get_number(b, "state", &state) == WRONG)
		return;
	if (state < sizeof(on_front) / sizeof(on_front[0]) && on_front[state])
		on_front[state](b);
}

/* Rings want attention. [io] */
static void work(void *opaque)
{
	struct blkback *b = opaque;
	bool more = false;

	for (uint32_t i = 0; i < b->n_rings; i++)
		more |= blkring_work(b->rings[i]);
	if (more)
		b->host->defer_run(b->inst, b->defer);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static struct blkcounters counters_of(const struct gamut_host *host, struct gamut_inst *inst)
{
	return (struct blkcounters){
	        .reads = host->counter(inst, "reads"),
	        .writes = host->counter(inst, "writes"),
	        .flushes = host->counter(inst, "flushes"),
	        .discards = host->counter(inst, "discards"),
	        .bytes = host->counter(inst, "bytes"),
	        .bad = host->counter(inst, "bad-requests"),
	        .io_errors = host->counter(inst, "io-errors"),
	        .broken = host->counter(inst, "broken-rings"),
	        .notifies = host->counter(inst, "notifications"),
	        .at_once = host->counter(inst, "requests-at-once"),
	        .requests = host->sign(inst, GAMUT_AXIS_DISK, GAMUT_COLOUR_P, "blkif-requests"),
	};
}

struct blkback *blkback_create(const struct blkback_config *config)
{
	struct blkback *b = calloc(1, sizeof(*b));

	if (!b)
		goto fail;
	b->host = config->host;
	b->inst = config->inst;
	b->block = config->block;
	b->dev = config->dev;
	b->devid = config->devid;
	b->max_queues = config->max_queues;
	b->offer_persistent = config->persistent;
	b->counters = counters_of(config->host, config->inst);
	b->rings = calloc(b->max_queues, sizeof(b->rings[0]));
	b->defer = config->host->defer_create(config->inst, work, b);
	if (!b->rings || !b->defer)
		goto fail;
	return b;
fail:
	blkback_destroy(b);
	errno = ENOMEM;
	return NULL;
}

void blkback_destroy(struct blkback *b)
{
	if (!b)
		return;
	blkback_stop(b);
	if (b->defer)
		b->host->defer_destroy(b->inst, b->defer);
	free(b->rings);
	free(b);
}

/* Both directories as a tool stack and a fresh back end leave them. */
static int announce(struct blkback *b)
{
	const struct gamut_xenbus_ops *bus = b->peers.bus;
	int err = bus->device_add(b->peers.bus_self, "vbd", b->devid, b->front, sizeof(b->front), b->back,
	                          sizeof(b->back));

	b->state = XenbusStateInitialising;
	if (!err)
		err = publish_identity(b);
	if (!err)
		err = publish_features(b);
	if (err == -EEXIST)
		return b->host->fail(b->inst, EEXIST, "two disks are named \"%s\", or have its number",
		                     b->dev);
	if (err)
		return b->host->fail(b->inst, -err, "%s: cannot make the device's nodes in the store: %s",
		                     b->dev, strerror(-err));
	set_state(b, XenbusStateInitWait);
	return 0;
}

int blkback_start(struct blkback *b, const struct blkback_peers *peers, enum blkback_type type)
{
	char path[PATH];
	int err;

	b->peers = *peers;
	b->type = type;
	err = announce(b);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/state", b->front);
	b->watch = peers->bus->watch(peers->bus_self, path, front_changed, b);
	if (!b->watch)
		return b->host->fail(b->inst, errno, "%s: cannot watch the store: %s", b->dev,
		                     strerror(errno));
	b->started = true;
	return 0;
}

void blkback_pause(struct blkback *b)
{
	for (uint32_t i = 0; i < b->n_rings; i++)
		blkring_stop(b->rings[i]);
	block_drain(b->block);
	for (uint32_t i = 0; i < b->n_rings; i++)
		blkring_suspend(b->rings[i]);
}

void blkback_resume(struct blkback *b)
{
	bool dead = false;

	for (uint32_t i = 0; i < b->n_rings; i++)
		dead |= blkring_resume(b->rings[i]) != 0;
	if (!dead)
		return;
	complain(b, "the guest no longer grants its rings");
	disconnect(b);
	set_state(b, XenbusStateClosing);
}

int blkback_reset(struct blkback *b)
{
	disconnect(b);
	b->complaints = 0;
	/* Gone with the store's old tree, as a rule. */
	b->peers.bus->device_remove(b->peers.bus_self, "vbd", b->devid);
	return announce(b);
}

void blkback_stop(struct blkback *b)
{
	int err;

	if (!b->started)
		return;
	b->started = false;
	disconnect(b);
	b->peers.bus->unwatch(b->peers.bus_self, b->watch);
	b->watch = NULL;
	b->peers.bus->device_remove(b->peers.bus_self, "vbd", b->devid);
	err = block_sync(b->block);
	if (err)
		b->host->log(b->inst, GAMUT_LOG_ERROR, "%s: the last flush failed: %s", b->dev,
		             strerror(-err));
}
