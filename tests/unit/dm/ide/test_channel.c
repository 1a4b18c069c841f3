/* SPDX-License-Identifier: MIT */
#include "rig.h"

static void test_function(void **state)
{
	struct rig *r = *state;

	assert_int_equal(r->pci.desc.vendor, 0x8086);
	assert_int_equal(r->pci.desc.device, 0x7010);
	assert_int_equal(r->pci.desc.devfn, 0x09);
	assert_int_equal(r->pci.desc.class_revision >> 8, 0x010180);
	assert_int_equal(r->pci.desc.bar[4].size, 16);
	assert_int_equal(r->pci.desc.pin, 0);
}

static void test_decoding(void **state)
{
	struct rig *r = *state;

	assert_int_equal(alt(r), OK);
	pci_fake_config(&r->pci, 0x40, 2, 0);
	assert_int_equal(alt(r), 0xff);
	assert_int_equal(in(r, 0x1f0, 4), 0xffffffff);
	set(r, 3, 0x55);
	command(r, 0xec);
	r->base = 0x170;
	assert_int_equal(alt(r), 0);
	pci_fake_config(&r->pci, 4, 2, 4);
	assert_int_equal(alt(r), 0xff);
	enable(r);
	r->base = 0x1f0;
	assert_int_equal(alt(r), OK);
	assert_int_equal(reg(r, 3), 1);
	assert_false(irq(r));
}

static void test_absent_device_1(void **state)
{
	struct rig *r = *state;

	set(r, 6, 0x10);
	assert_int_equal(reg(r, 7), 0);
	assert_int_equal(alt(r), 0);
	command(r, 0xec);
	assert_int_equal(alt(r), 0);
	assert_false(irq(r));
	/* Device 0 keeps the registers for it. */
	set(r, 3, 0x55);
	assert_int_equal(reg(r, 3), 0x55);
	assert_int_equal(reg(r, 6), 0xb0);
	/* The one command for both. */
	command(r, 0x90);
	assert_int_equal(finish(r), OK);
	assert_int_equal(reg(r, 1), 1);
	assert_int_equal(reg(r, 6), 0xa0);
}

static void test_absent_device_0(void **state)
{
	struct rig *r = *state;

	ide_detach(r->ide, 0);
	attach(r, 1, &r->disk, false);
	assert_int_equal(alt(r), 0x7f);
	set(r, 3, 0x55);
	assert_int_equal(reg(r, 3), 0x7f);
	set(r, 6, 0x10);
	assert_int_equal(alt(r), OK);
	command(r, 0xe5);
	assert_int_equal(finish(r), OK);
}

static void test_empty_channel(void **state)
{
	struct rig *r = *state;

	ide_detach(r->ide, 0);
	for (uint32_t i = 1; i < 8; i++)
		assert_int_equal(reg(r, i), 0x7f);
	assert_int_equal(alt(r), 0x7f);
	assert_int_equal(in(r, 0x1f0, 2), 0xffff);
	for (uint32_t i = 0; i < 256; i++)
		set(r, 7, (uint8_t)i);
	control(r, 4);
	control(r, 0);
	host_fake_run(r->f);
	assert_int_equal(alt(r), 0x7f);
	assert_int_equal(edges(r), 0);
}

static void test_slots(void **state)
{
	struct rig *r = *state;
	struct ide_drive_config c = {.host = r->f->host, .inst = r->f->inst, .block = &r->disk.block};

	assert_int_equal(ide_attach(r->ide, 0, &c), -EBUSY);
	assert_int_equal(ide_attach(r->ide, 4, &c), -EINVAL);
	c.block = NULL;
	assert_int_equal(ide_attach(r->ide, 1, &c), -EINVAL);
}

static void test_software_reset(void **state)
{
	struct rig *r = *state;

	attach(r, 1, &r->cd, true);
	set(r, 6, 0x10);
	set(r, 3, 0x55);
	control(r, 4);
	assert_int_equal(alt(r), BSY);
	set(r, 3, 0x66);
	control(r, 0);
	assert_int_equal(reg(r, 6), 0xa0);
	assert_int_equal(reg(r, 1), 1);
	assert_int_equal(reg(r, 2), 1);
	assert_int_equal(reg(r, 3), 1);
	assert_int_equal(reg(r, 4), 0);
	assert_int_equal(reg(r, 5), 0);
	assert_int_equal(reg(r, 7), OK);
	set(r, 6, 0x10);
	assert_int_equal(reg(r, 4), 0x14);
	assert_int_equal(reg(r, 5), 0xeb);
	assert_int_equal(reg(r, 7), 0);
	assert_int_equal(edges(r), 0);
}

static void test_reset_in_the_middle_of_pio(void **state)
{
	struct rig *r = *state;
	uint8_t data[1024];

	address28(r, 5, 2);
	command(r, 0x20);
	ins(r, data, 2, 100);
	control(r, 4);
	control(r, 0);
	assert_int_equal(in(r, 0x1f0, 2), 0xffff);
	assert_int_equal(alt(r), OK);
	/* A write that was not whole did not happen. */
	memset(data, 0xaa, sizeof(data));
	address28(r, 5, 2);
	command(r, 0x30);
	outs(r, data, 2, 300);
	control(r, 4);
	control(r, 0);
	host_fake_run(r->f);
	assert_true(is_pattern(r->disk.data, 0, 8192));
	/* And with the host at work. */
	r->disk.hold = true;
	address28(r, 5, 2);
	command(r, 0x30);
	outs(r, data, 2, 512);
	host_fake_run(r->f);
	assert_int_equal(r->disk.in_flight, 1);
	control(r, 4);
	block_fake_complete(&r->disk);
	assert_int_equal(alt(r), BSY);
	control(r, 0);
	assert_int_equal(alt(r), OK);
	assert_false(irq(r));
	assert_memory_equal(r->disk.data + 5 * 512, data, 1024);
	r->disk.hold = false;
	address28(r, 5, 1);
	command(r, 0x20);
	assert_int_equal(finish(r), OK | DRQ);
}

static void test_reset_takes_settings_back(void **state)
{
	struct rig *r = *state;
	uint16_t words[256];

	set(r, 1, 0x82);
	command(r, 0xef);
	finish(r);
	control(r, 4);
	control(r, 0);
	command(r, 0xec);
	ins(r, words, 2, 256);
	assert_int_equal(words[85] & 0x20, 0x20);
	/* Unless told to keep them. */
	set(r, 1, 0x66);
	command(r, 0xef);
	finish(r);
	set(r, 1, 0x82);
	command(r, 0xef);
	finish(r);
	control(r, 4);
	control(r, 0);
	command(r, 0xec);
	ins(r, words, 2, 256);
	assert_int_equal(words[85] & 0x20, 0);
}

static void test_interrupt_follows_selection_and_nien(void **state)
{
	struct rig *r = *state;

	attach(r, 1, &r->cd, true);
	command(r, 0xe5);
	assert_true(irq(r));
	set(r, 6, 0x10);
	assert_false(irq(r));
	set(r, 6, 0);
	assert_true(irq(r));
	control(r, 2);
	assert_false(irq(r));
	control(r, 0);
	assert_true(irq(r));
	/* The alternate status leaves it, status takes it, and so does a command. */
	alt(r);
	assert_true(irq(r));
	reg(r, 7);
	assert_false(irq(r));
	control(r, 2);
	command(r, 0xe5);
	assert_false(irq(r));
	/* What is disabled is no edge for the bus master either. */
	bm_out(r, 2, 1, 4);
	command(r, 0xe5);
	assert_int_equal(bm_in(r, 2, 1) & 4, 0);
	control(r, 0);
	assert_int_equal(bm_in(r, 2, 1) & 4, 4);
	/* Cleared while the line is up, it stays so until the next edge. */
	bm_out(r, 2, 1, 4);
	assert_int_equal(bm_in(r, 2, 1) & 4, 0);
	reg(r, 7);
	command(r, 0xe5);
	assert_int_equal(bm_in(r, 2, 1) & 4, 4);
}

/* Every register of every device with every width, and nothing else happens. */
static void test_rubbish(void **state)
{
	struct rig *r = *state;
	uint32_t seed = 12345;

	attach(r, 1, &r->cd, true);
	attach(r, 3, &r->disk, false);
	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t v = seed = seed * 1664525 + 1013904223, what = v >> 28,
		         width = 1u << (v >> 26 & 3) % 3;
		uint32_t at = (v >> 20 & 7) / width * width;

		seed = seed * 1664525 + 1013904223;
		r->base = v & 0x80000 ? 0x170 : 0x1f0;
		if (what < 5)
			out(r, r->base + at, width, seed >> 8);
		else if (what < 8)
			in(r, r->base + at, width);
		else if (what < 12)
			bm_out(r, at, width, at == 4 ? seed >> 8 & 0xffffff : seed >> 8);
		else if (what == 12)
			bm_in(r, at, width);
		else if (what == 13)
			control(r, seed >> 31 ? 0 : (uint8_t)(seed >> 16));
		else if (what == 14)
			host_fake_run(r->f);
		else
			memcpy(r->f->ram + (seed >> 8 & 0xfffff), &v, 4);
	}
	for (uint32_t base = 0x170; base <= 0x1f0; base += 0x80) {
		r->base = base;
		control(r, 4);
		control(r, 0);
		host_fake_run(r->f);
		assert_int_equal(reg(r, 1), 1);
	}
	assert_int_equal(r->f->gets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        IN_RIG(test_function),
	        IN_RIG(test_decoding),
	        IN_RIG(test_absent_device_1),
	        IN_RIG(test_absent_device_0),
	        IN_RIG(test_empty_channel),
	        IN_RIG(test_slots),
	        IN_RIG(test_software_reset),
	        IN_RIG(test_reset_in_the_middle_of_pio),
	        IN_RIG(test_reset_takes_settings_back),
	        IN_RIG(test_interrupt_follows_selection_and_nien),
	        IN_BOTH(test_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
