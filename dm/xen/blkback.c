/* SPDX-License-Identifier: MIT */
#include "dm/xen/blkback.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/blkring.h"
#include "dm/xen/xenback.h"
#include "gamut/plugin.h"

struct blkback {
	struct xenback x;
	const struct gamut_host *host;
	struct gamut_inst *inst;
	struct block *block;
	const char *dev;
	uint32_t max_queues;
	bool offer_persistent;
	enum blkback_type type;
	struct blkback_peers peers;
	struct gamut_defer *defer;
	struct blkring **rings; /* max_queues of them */
	uint32_t n_rings;
	struct blkcounters counters;
};

/* What a front end has agreed to, as read from its directory. */
struct terms {
	const struct blkabi *abi;
	uint32_t queues, pages;
	bool persistent;
};

/* ---- publishing ---------------------------------------------------------------------------- */

static int publish_identity(struct blkback *b)
{
	const char *type = b->type == BLKBACK_CDROM ? "cdrom" : "disk";
	int err = xenback_put(&b->x, b->x.back, "dev", "%s", b->dev);

	if (!err)
		err = xenback_put(&b->x, b->x.back, "mode", "%s", b->block->info.readonly ? "r" : "w");
	if (!err)
		err = xenback_put(&b->x, b->x.back, "type", "phy");
	if (!err)
		err = xenback_put(&b->x, b->x.back, "device-type", "%s", type);
	if (!err)
		err = xenback_put(&b->x, b->x.back, "removable", "0");
	if (!err)
		err = xenback_put(&b->x, b->x.back, "hotplug-status", "connected");
	if (!err)
		err = xenback_put(&b->x, b->x.front, "virtual-device", "%u", b->x.devid);
	return err ? err : xenback_put(&b->x, b->x.front, "device-type", "%s", type);
}

static int publish_features(struct blkback *b)
{
	const struct block_info *info = &b->block->info;
	int err = xenback_put(&b->x, b->x.back, "feature-flush-cache", "1");

	if (!err)
		err = xenback_put(&b->x, b->x.back, "feature-barrier", "0");
	if (!err)
		err = xenback_put(&b->x, b->x.back, "feature-persistent", "%d", b->offer_persistent);
	if (!err)
		err = xenback_put(&b->x, b->x.back, "feature-max-indirect-segments", "%u", BLKRING_MAX_INDIRECT);
	if (!err)
		err = xenback_put(&b->x, b->x.back, "max-ring-page-order", "%u", BLKRING_MAX_ORDER);
	if (!err)
		err = xenback_put(&b->x, b->x.back, "multi-queue-max-queues", "%u", b->max_queues);
	if (!err)
		err = xenback_put(&b->x, b->x.back, "discard-enable", "%d", info->discard);
	if (err || !info->discard)
		return err;
	err = xenback_put(&b->x, b->x.back, "discard-granularity", "%u", info->discard_granularity);
	if (!err)
		err = xenback_put(&b->x, b->x.back, "discard-alignment", "0");
	if (!err)
		err = xenback_put(&b->x, b->x.back, "discard-secure", "0");
	return err ? err : xenback_put(&b->x, b->x.back, "feature-discard", "1");
}

/*
 * Sizes are in units of 512 bytes whatever the medium has: some front ends
 * cannot do otherwise. The physical size tells the guest what to align to.
 */
static int publish_geometry(struct blkback *b)
{
	const struct block_info *info = &b->block->info;
	int err = xenback_put(&b->x, b->x.back, "sectors", "%" PRIu64, info->capacity / BLKRING_SECTOR);

	if (!err)
		err = xenback_put(&b->x, b->x.back, "info", "%u",
		                  (info->readonly ? VDISK_READONLY : 0) | (b->type == BLKBACK_CDROM ? VDISK_CDROM : 0));
	if (!err)
		err = xenback_put(&b->x, b->x.back, "sector-size", "%u", BLKRING_SECTOR);
	return err ? err : xenback_put(&b->x, b->x.back, "physical-sector-size", "%u", info->physical_sector);
}

static int publish(void *opaque)
{
	int err = publish_identity(opaque);

	return err ? err : publish_features(opaque);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static bool read_protocol(struct blkback *b, struct terms *terms)
{
	char *protocol = xenback_get(&b->x, "protocol");

	terms->abi = blkabi_find(protocol);
	free(protocol);
	return terms->abi || xenback_complain(&b->x, "unknown protocol");
}

static bool read_terms(struct blkback *b, struct terms *terms)
{
	uint32_t order = 0, queues = 1, persistent = 0;

	if (!read_protocol(b, terms))
		return false;
	if (xenback_number(&b->x, "multi-queue-num-queues", &queues) == XENBACK_WRONG || !queues || queues > b->max_queues)
		return xenback_complain(&b->x, "multi-queue-num-queues is not within 1 to %u", b->max_queues);
	if (xenback_number(&b->x, "ring-page-order", &order) == XENBACK_WRONG || order > BLKRING_MAX_ORDER)
		return xenback_complain(&b->x, "ring-page-order is not within 0 to %u", BLKRING_MAX_ORDER);
	xenback_number(&b->x, "feature-persistent", &persistent);
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
		if (xenback_number(&b->x, name, &refs[i]) == XENBACK_FOUND)
			continue;
		snprintf(name, sizeof(name), "%sring-ref", prefix);
		if (terms->pages != 1 || xenback_number(&b->x, name, &refs[0]) != XENBACK_FOUND)
			return xenback_complain(&b->x, "%sring-ref%u is missing or no number", prefix, i);
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
	if (xenback_number(&b->x, name, &c.port) != XENBACK_FOUND)
		return xenback_complain(&b->x, "%s is missing or no number", name);
	if (!read_refs(b, prefix, terms, c.refs))
		return false;
	b->rings[index] = blkring_create(&c);
	if (!b->rings[index])
		return xenback_complain(&b->x, "ring %u (grant %u, port %u): %s", index, c.refs[0], c.port,
		                strerror(errno));
	b->n_rings++;
	return true;
}

/* On return nothing of the guest's is used any more. Waits for what is in flight. */
static void disconnect(void *opaque)
{
	struct blkback *b = opaque;

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

static bool connect_front(void *opaque)
{
	struct blkback *b = opaque;
	struct terms terms = {0};

	if (!read_terms(b, &terms))
		return false;
	for (uint32_t i = 0; i < terms.queues; i++)
		if (!connect_ring(b, &terms, i))
			return false;
	return !publish_geometry(b) || xenback_complain(&b->x, "the store takes no more");
}

static const struct xenback_ops back_ops = {
        .publish = publish,
        .connect = connect_front,
        .disconnect = disconnect,
};

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
	b->x = (struct xenback){
	        .host = config->host,
	        .inst = config->inst,
	        .ops = &back_ops,
	        .opaque = b,
	        .type = "vbd",
	        .name = config->dev,
	        .devid = config->devid,
	};
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

static int failed(struct blkback *b, int err)
{
	if (err == -EEXIST)
		return b->host->fail(b->inst, EEXIST, "two disks are named \"%s\", or have its number",
		                     b->dev);
	return b->host->fail(b->inst, -err, "%s: cannot make the device's nodes in the store: %s", b->dev,
	                     strerror(-err));
}

int blkback_start(struct blkback *b, const struct blkback_peers *peers, enum blkback_type type)
{
	int err;

	b->peers = *peers;
	b->type = type;
	err = xenback_start(&b->x, peers->bus, peers->bus_self);
	return err ? failed(b, err) : 0;
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
	xenback_complain(&b->x, "the guest no longer grants its rings");
	xenback_close(&b->x);
}

int blkback_reset(struct blkback *b)
{
	int err = xenback_reset(&b->x);

	return err ? failed(b, err) : 0;
}

void blkback_stop(struct blkback *b)
{
	int err;

	if (!b->x.started)
		return;
	xenback_stop(&b->x);
	err = block_sync(b->block);
	if (err)
		b->host->log(b->inst, GAMUT_LOG_ERROR, "%s: the last flush failed: %s", b->dev,
		             strerror(-err));
}
