/* SPDX-License-Identifier: MIT */
/*
 * A guest at a block ring. The input sets up layout, size and grants, and
 * then is a list of actions: bytes into the ring or the indirect pages,
 * indices, grants given and taken, completions, pauses.
 *
 * The disk refuses what is out of range; that the back end never asks it so is
 * one of the checks.
 */
#include "dm/xen/blkring.h"
#include "fake/block-fake.h"
#include "fake/host-fake.h"
#include "fake/xen-fake.h"
#include "fuzz-input.h"

#define DISK  (64u << 10)
#define PAGES 32u /* of guest memory: ring, tables and data, all granted under their numbers */

struct world {
	struct host_fake *f;
	struct xen_fake *x;
	struct block_fake disk;
	struct blkring *ring;
	struct gamut_defer *defer;
	struct blkcounters counters;
	uint64_t counts[sizeof(struct blkcounters) / sizeof(uint64_t *)];
	uint32_t port, pages;
};

static void work(void *opaque)
{
	struct world *w = opaque;

	if (w->ring && blkring_work(w->ring))
		w->f->host->defer_run(w->f->inst, w->defer);
}

static void run(struct world *w)
{
	xen_fake_send(w->x, w->port);
	host_fake_run(w->f);
}

/* Bytes anywhere: a page of the ring, of a table, of data. */
static void act_bytes(struct world *w, struct fuzz_input *in)
{
	uint32_t page = fuzz_u8(in) % PAGES, at = fuzz_u16(in) % 4096;
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in), &n);

	n = n < 4096 - at ? n : 4096 - at;
	memcpy(w->f->ram + page * 4096 + at, p, n);
}

/* The next entry, and it is announced. */
static void act_request(struct world *w, struct fuzz_input *in)
{
	struct blkif_sring *s = (struct blkif_sring *)w->f->ram;
	uint32_t entry = w->ring->c.abi->entry;
	uint32_t at = 64 + (s->req_prod & (w->ring->size - 1)) * entry;
	size_t n;
	const uint8_t *p = fuzz_bytes(in, entry, &n);

	memset(w->f->ram + at, 0, entry);
	memcpy(w->f->ram + at, p, n);
	w->f->ram[at] &= 7;
	s->req_prod++;
	if (fuzz_u8(in) & 1)
		run(w);
}

static void act_index(struct world *w, struct fuzz_input *in)
{
	struct blkif_sring *s = (struct blkif_sring *)w->f->ram;

	s->req_prod = (fuzz_u8(in) & 1 ? s->req_prod : 0) + fuzz_u32(in);
	s->rsp_event = fuzz_u32(in);
	run(w);
}

static void act_grant(struct world *w, struct fuzz_input *in)
{
	uint32_t ref = fuzz_u8(in) % PAGES, how = fuzz_u8(in);

	/* What is mapped stays granted, as real grants do. */
	if (w->x->grants[ref].maps)
		return;
	if (how & 1)
		xen_fake_revoke(w->x, ref);
	else
		xen_fake_grant(w->x, ref, fuzz_u8(in) % PAGES * 4096u, how & 2);
}

static void act_disk(struct world *w, struct fuzz_input *in)
{
	static const int errors[] = {0, 0, -5, -95};
	uint8_t how = fuzz_u8(in);

	w->disk.fail = errors[how & 3];
	w->disk.hold = how & 4;
	block_fake_complete(&w->disk);
	run(w);
}

static void act_pause(struct world *w, struct fuzz_input *in)
{
	(void)in;
	blkring_stop(w->ring);
	block_drain(&w->disk.block);
	blkring_suspend(w->ring);
	FUZZ_CHECK(w->x->maps == 0);
	if (blkring_resume(w->ring)) {
		FUZZ_CHECK(w->x->maps == 0);
		for (uint32_t i = 0; i < w->pages; i++)
			xen_fake_grant(w->x, i, i * 4096, false);
		FUZZ_CHECK(!blkring_resume(w->ring));
	}
	run(w);
}

static void (*const actions[])(struct world *w, struct fuzz_input *in) = {
        act_request, act_request, act_bytes, act_index, act_grant, act_disk, act_pause,
};

static void check(struct world *w)
{
	uint32_t kept = w->ring->grants.kept;

	FUZZ_CHECK((uint32_t)(w->ring->req_cons - w->ring->rsp_prod) == w->disk.in_flight);
	FUZZ_CHECK(w->disk.in_flight <= w->ring->size);
	FUZZ_CHECK(kept <= BLKGRANT_LIMIT);
	if (!w->disk.in_flight)
		FUZZ_CHECK(w->x->maps == w->pages + kept);
	/* Nothing that the disk has to refuse is ever sent to it. */
	FUZZ_CHECK(w->disk.n_refused == 0);
}

static void counters_init(struct world *w)
{
	uint64_t **c = (uint64_t **)&w->counters;

	for (size_t i = 0; i < sizeof(w->counters) / sizeof(*c); i++)
		c[i] = &w->counts[i];
}

static bool begin(struct world *w, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	struct blkring_config c = {
	        .host = w->f->host,
	        .inst = w->f->inst,
	        .block = &w->disk.block,
	        .grants = &xen_fake_grants,
	        .grants_self = w->x,
	        .evtchn = &xen_fake_evtchn,
	        .evtchn_self = w->x,
	        .defer = w->defer,
	        .counters = &w->counters,
	        .abi = blkabi_find(how & 1 ? "x86_32-abi" : "x86_64-abi"),
	        .n_pages = 1u << (how >> 1 & 3),
	        .persistent = how & 8,
	};

	w->disk.block.info.readonly = how & 16;
	w->disk.block.info.discard = !(how & 32);
	w->disk.at_once = how & 64;
	w->pages = c.n_pages;
	w->port = c.port = xen_fake_open(w->x);
	for (uint32_t i = 0; i < PAGES; i++)
		xen_fake_grant(w->x, i, i * 4096, false);
	for (uint32_t i = 0; i < c.n_pages; i++)
		c.refs[i] = i;
	w->ring = blkring_create(&c);
	return w->ring;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct world *w = calloc(1, sizeof(*w));

	w->f = host_fake_create(PAGES * 4096, 1);
	w->x = malloc(sizeof(*w->x));
	xen_fake_init(w->x, w->f);
	block_fake_init(&w->disk, DISK);
	counters_init(w);
	w->defer = w->f->host->defer_create(w->f->inst, work, w);
	FUZZ_CHECK(begin(w, &in));
	while (in.left) {
		actions[fuzz_u8(&in) % (sizeof(actions) / sizeof(actions[0]))](w, &in);
		check(w);
	}
	blkring_stop(w->ring);
	block_drain(&w->disk.block);
	check(w);
	blkring_destroy(w->ring);
	FUZZ_CHECK(w->x->maps == 0);
	w->f->host->defer_destroy(w->f->inst, w->defer);
	FUZZ_CHECK(!host_fake_destroy(w->f));
	block_fake_finish(&w->disk);
	free(w->x);
	free(w);
	return 0;
}
