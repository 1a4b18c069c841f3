/* SPDX-License-Identifier: MIT */
/*
 * A disk on a real file, with the I/O thread beside the vCPU's: what was
 * written is what is read, through resets in the middle of transfers.
 */
#include "rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define SECTORS  4096u
#define COMMANDS 3000u

struct world {
	struct rig *r;
	struct block *block;
	char path[64];
	pthread_t io;
	_Atomic bool stop;
	uint8_t model[SECTORS * 512];
	uint32_t seed;
};

static void *io_main(void *opaque)
{
	struct world *w = opaque;

	while (!atomic_load(&w->stop)) {
		host_fake_run(w->r->f);
		usleep(20);
	}
	return NULL;
}

static void open_disk(struct world *w, const struct block_options *o)
{
	char err[256];
	int fd;

	snprintf(w->path, sizeof(w->path), "/tmp/gamut-ide-XXXXXX");
	fd = mkstemp(w->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(w->model)), 0);
	close(fd);
	w->block = block_open(w->r->f->host, w->r->f->inst, w->path, o, err, sizeof(err));
	if (!w->block)
		fail_msg("%s", err);
}

static uint32_t dice(struct world *w, uint32_t n)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return (w->seed >> 8) % n;
}

/* Polls, as a guest would whose interrupt is disabled. */
static uint8_t wait_not_busy(struct rig *r)
{
	for (int i = 0; i < 200000; i++) {
		uint8_t status = alt(r);

		if (!(status & BSY))
			return status;
		usleep(10);
	}
	fail_msg("busy for ever");
	return 0;
}

static void reset(struct rig *r)
{
	control(r, 6);
	bm_out(r, 0, 1, 0);
	control(r, 2);
	assert_int_equal(wait_not_busy(r), OK);
}

/* A DMA command in regions of odd sizes, or of whole pages; false: it was reset in the middle. */
static bool transfer(struct world *w, bool write, uint32_t lba, uint32_t n)
{
	bool pages = dice(w, 2);
	struct rig *r = w->r;
	uint32_t left = n * 512, at = DATA, i = 0;

	while (left) {
		uint32_t len = pages ? 4096 : 2 + dice(w, 8000) * 2, room = 0x10000 - (at & 0xffff);

		len = len > room ? room : len;
		len = len > left ? left : len;
		left -= len;
		prd(r, i++, at, left ? len : EOT | len);
		at += len;
	}
	address48(r, lba, n);
	set(r, 7, write ? 0x35 : 0x25);
	bm_out(r, 4, 4, PRD);
	bm_out(r, 2, 1, 6);
	bm_out(r, 0, 1, write ? 1 : 9);
	if (!dice(w, 50)) {
		reset(r);
		return false;
	}
	assert_int_equal(wait_not_busy(r), OK);
	assert_int_equal(bm_in(r, 2, 1) & 3, 0);
	bm_out(r, 0, 1, 0);
	return true;
}

static void one(struct world *w)
{
	uint32_t unit = dice(w, 2) ? 8 : 1, n = (1 + dice(w, 64 / unit)) * unit;
	uint32_t lba = dice(w, (SECTORS - n) / unit) * unit;
	uint8_t *data = w->r->f->ram + DATA;

	if (dice(w, 2)) {
		fill_pattern(data, dice(w, 1000), n * 512);
		memcpy(w->model + lba * 512, data, n * 512);
		/* What a reset cut off is undefined: it is written again. */
		while (!transfer(w, true, lba, n))
			;
	} else {
		memset(data, 0xcc, n * 512);
		if (transfer(w, false, lba, n))
			assert_memory_equal(data, w->model + lba * 512, n * 512);
	}
}

static void run(struct rig *r, const struct block_options *o)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ide_drive_config c = {.host = r->f->host, .inst = r->f->inst};

	w->r = r;
	w->seed = 1;
	open_disk(w, o);
	c.block = w->block;
	ide_detach(r->ide, 0);
	assert_int_equal(ide_attach(r->ide, 0, &c), 0);
	control(r, 2);
	pthread_create(&w->io, NULL, io_main, w);
	for (uint32_t i = 0; i < COMMANDS; i++)
		one(w);
	atomic_store(&w->stop, true);
	pthread_join(w->io, NULL);
	ide_detach(r->ide, 0);
	block_close(w->block);
	unlink(w->path);
	free(w);
}

static void test_page_cache(void **state)
{
	const struct block_options o = {.direct = BLOCK_DIRECT_OFF};

	run(*state, &o);
	assert_true(host_fake_counter(((struct rig *)*state)->f, "requests-at-once") > 0);
}

static void test_direct(void **state)
{
	const struct block_options o = {.direct = BLOCK_DIRECT_AUTO};

	run(*state, &o);
}

static void test_threads(void **state)
{
	const struct block_options o = {.direct = BLOCK_DIRECT_AUTO, .no_uring = true};

	run(*state, &o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        IN_RIG(test_page_cache),
	        IN_RIG(test_direct),
	        IN_RIG(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
