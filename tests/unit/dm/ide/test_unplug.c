/* SPDX-License-Identifier: MIT */
/* Drives that are pulled out while a guest runs, idle and in the middle of commands, and are back after a reset. */
#include "rig.h"

#include <pthread.h>
#include <unistd.h>

static void reset(struct rig *r)
{
	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		ide_pause(r->ide, i);
	ide_reset(r->ide);
	for (uint32_t i = 0; i < IDE_SLOTS; i++)
		ide_resume(r->ide, i);
	enable(r);
}

/* As on a channel that never had one. */
static void nobody(struct rig *r)
{
	for (uint32_t dev = 0; dev < 2; dev++) {
		set(r, 6, (uint8_t)(0xa0 | dev << 4));
		set(r, 2, 0x55);
		set(r, 3, 0xaa);
		for (uint32_t i = 1; i < 8; i++)
			assert_int_equal(reg(r, i), 0x7f);
		command(r, 0xec);
		assert_int_equal(alt(r), 0x7f);
	}
	assert_false(irq(r));
}

static void test_idle(void **state)
{
	struct rig *r = *state;
	uint16_t words[256];

	ide_unplug(r->ide, 0);
	nobody(r);
	ide_unplug(r->ide, 0);
	ide_unplug(r->ide, 1); /* where nothing is */
	/* Its place is kept. */
	assert_int_equal(ide_attach(r->ide, 0, &(struct ide_drive_config){.host = r->f->host,
	                                                                   .inst = r->f->inst,
	                                                                   .block = &r->disk.block}),
	                 -EBUSY);
	/* The other channel does not mind. */
	r->base = 0x170;
	command(r, 0xa1);
	assert_int_equal(finish(r), OK | DRQ);
	r->base = 0x1f0;
	reset(r);
	assert_int_equal(alt(r), OK);
	command(r, 0xec);
	assert_int_equal(finish(r), OK | DRQ);
	ins(r, words, 2, 256);
	assert_int_equal(words[60] | words[61] << 16, DISK / 512);
}

static void test_interrupt_pending(void **state)
{
	struct rig *r = *state;

	command(r, 0xe5);
	assert_true(irq(r));
	ide_unplug(r->ide, 0);
	assert_false(irq(r));
	nobody(r);
	assert_int_equal(edges(r), 1);
}

static void test_neighbour_stays(void **state)
{
	struct rig *r = *state;

	attach(r, 1, NULL, true);
	ide_unplug(r->ide, 0);
	set(r, 6, 0xa0);
	assert_int_equal(alt(r), 0x7f);
	set(r, 6, 0xb0);
	assert_int_equal(reg(r, 4), 0x14);
	command(r, 0x08);
	assert_int_equal(alt(r), 0);
	reset(r);
	assert_int_equal(alt(r), OK);
}

static void test_pio(void **state)
{
	struct rig *r = *state;
	uint16_t words[16];

	address28(r, 0, 4);
	command(r, 0x20);
	assert_int_equal(finish(r), OK | DRQ);
	ins(r, words, 2, 16);
	ide_unplug(r->ide, 0);
	assert_int_equal(in(r, 0x1f0, 2), 0xffff);
	out(r, 0x1f0, 2, 0);
	nobody(r);
	reset(r);
	assert_int_equal(alt(r), OK);
}

static void start_read(struct rig *r)
{
	prd(r, 0, DATA, EOT | 4096);
	address28(r, 40, 8);
	set(r, 7, 0xc8);
	bm_out(r, 4, 4, PRD);
	bm_out(r, 0, 1, 9);
}

/* The request has not reached the host: it never does. */
static void test_dma_queued(void **state)
{
	struct rig *r = *state;

	start_read(r);
	assert_int_equal(alt(r), BSY);
	assert_true(r->f->gets > 0);
	ide_unplug(r->ide, 0);
	assert_int_equal(r->f->gets, 0);
	nobody(r);
	assert_int_equal(r->disk.n_log, 0);
	/* The bus master waits for what does not come, and is not moved by anything. */
	assert_int_equal(bm_in(r, 2, 1) & 7, 1);
	bm_out(r, 0, 1, 0);
	bm_out(r, 0, 1, 9);
	host_fake_run(r->f);
	assert_int_equal(r->disk.n_log, 0);
	bm_out(r, 0, 1, 0);
	assert_int_equal(bm_in(r, 2, 1) & 7, 0);
	reset(r);
	assert_int_equal(alt(r), OK);
}

/* The drive waits for a bus master that has not been started. */
static void test_dma_waiting(void **state)
{
	struct rig *r = *state;

	prd(r, 0, DATA, EOT | 4096);
	address28(r, 40, 8);
	command(r, 0xc8);
	ide_unplug(r->ide, 0);
	bm_start(r, true);
	assert_int_equal(r->f->gets, 0);
	assert_int_equal(r->f->dirtied, 0);
	assert_false(irq(r));
}

/* ---- with the host at work ---- */

static void *come_back(void *opaque)
{
	struct rig *r = opaque;

	usleep(20000);
	/* Nobody may say that the memory is the guest's again before this. */
	assert_int_not_equal(r->f->gets, 0);
	r->disk.hold = false;
	block_fake_complete(&r->disk);
	return NULL;
}

static void test_dma_in_flight(void **state)
{
	struct rig *r = *state;
	pthread_t io;

	r->disk.hold = true;
	start_read(r);
	host_fake_run(r->f);
	assert_int_equal(r->disk.in_flight, 1);
	assert_int_equal(pthread_create(&io, NULL, come_back, r), 0);
	ide_unplug(r->ide, 0);
	assert_int_equal(r->f->gets, 0);
	assert_int_equal(r->disk.in_flight, 0);
	pthread_join(io, NULL);
	nobody(r);
	assert_int_equal(bm_in(r, 2, 1) & 7, 1);
	host_fake_run(r->f);
	assert_int_equal(r->disk.n_log, 1);
	reset(r);
	assert_int_equal(alt(r), OK);
}

/* A soft reset waits for the same request, and is finished without the drive. */
static void test_soft_reset_under_way(void **state)
{
	struct rig *r = *state;
	pthread_t io;

	for (int held = 0; held < 2; held++) {
		r->disk.hold = true;
		start_read(r);
		host_fake_run(r->f);
		control(r, 4);
		if (!held)
			control(r, 0);
		assert_int_equal(pthread_create(&io, NULL, come_back, r), 0);
		ide_unplug(r->ide, 0);
		assert_int_equal(r->f->gets, 0);
		pthread_join(io, NULL);
		control(r, 0);
		nobody(r);
		reset(r);
		assert_int_equal(alt(r), OK);
	}
}

static void test_detach_after_unplug(void **state)
{
	struct rig *r = *state;

	ide_unplug(r->ide, 0);
	ide_detach(r->ide, 0);
	reset(r);
	nobody(r);
	attach(r, 0, &r->disk, false);
	set(r, 6, 0xa0);
	assert_int_equal(alt(r), OK);
}

static void test_signs(void **state)
{
	struct rig *r = *state;

	address28(r, 0, 4);
	command(r, 0x20);
	assert_int_equal(host_fake_counter(r->f, "ide-requests"), 1);
	assert_int_equal(host_fake_counter(r->f, "ide-sectors"), 4);
	command(r, 0xec);
	assert_int_equal(host_fake_counter(r->f, "ide-requests"), 1);
	ide_unplug(r->ide, 0);
	assert_int_equal(host_fake_counter(r->f, "ide-requests"), 0);
	assert_int_equal(host_fake_counter(r->f, "ide-sectors"), 0);
	assert_int_equal(host_fake_counter(r->f, "reads"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        IN_BOTH(test_idle),
	        IN_BOTH(test_interrupt_pending),
	        IN_BOTH(test_neighbour_stays),
	        IN_BOTH(test_pio),
	        IN_RIG(test_dma_queued),
	        IN_BOTH(test_dma_waiting),
	        IN_RIG(test_dma_in_flight),
	        IN_RIG(test_soft_reset_under_way),
	        IN_BOTH(test_detach_after_unplug),
	        IN_BOTH(test_signs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
