/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "mem.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define HOLE (3 * GIB + 16 * PAGE_SIZE)

static struct mem m;
static unsigned remaps, changes;

static void changed(void *opaque, uint64_t gpa, uint64_t len, bool remapped)
{
	(void)opaque;
	(void)gpa;
	(void)len;
	if (remapped)
		remaps++;
	else
		changes++;
}

static int setup(void **state)
{
	char err[128];

	(void)state;
	remaps = changes = 0;
	if (mem_init(&m, 16 * MIB, err, sizeof(err)))
		return -1;
	m.changed = changed;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mem_finish(&m);
	return 0;
}

static uint8_t peek(uint64_t gpa)
{
	uint8_t byte = 0xee;

	assert_int_equal(mem_read(&m, gpa, &byte, 1), 0);
	return byte;
}

static void poke(uint64_t gpa, uint8_t byte)
{
	assert_int_equal(mem_write(&m, gpa, &byte, 1), 0);
}

static void test_sizes_refused(void **state)
{
	static const uint64_t sizes[] = { 0, 1, PAGE_SIZE + 1, 1ull << 50, UINT64_MAX & PAGE_MASK };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct mem other;
		char err[128] = "";

		assert_true(mem_init(&other, sizes[i], err, sizeof(err)) < 0);
		assert_string_not_equal(err, "");
	}
}

static void test_high_ram(void **state)
{
	struct mem big;
	char err[128];
	uint64_t value = 0x1122334455667788, got = 0;

	(void)state;
	assert_int_equal(mem_init(&big, 5 * GIB, err, sizeof(err)), 0);
	assert_int_equal(big.n_ranges, 2);
	assert_int_equal(big.ranges[0].size, 3 * GIB);
	assert_int_equal(big.ranges[1].gpa, 4 * GIB);
	assert_int_equal(big.ranges[1].size, 2 * GIB);
	assert_true(big.limit >= 7 * GIB);
	/* Low and high RAM are different memory, and the hole between is none. */
	assert_int_equal(mem_write(&big, 6 * GIB - 8, &value, 8), 0);
	assert_int_equal(mem_read(&big, 6 * GIB - 8, &got, 8), 0);
	assert_int_equal(got, value);
	assert_int_equal(mem_read(&big, 3 * GIB - 8, &got, 8), 0);
	assert_int_equal(got, 0);
	assert_int_equal(mem_read(&big, 3 * GIB - 4, &got, 8), -EFAULT);
	assert_int_equal(mem_read(&big, 4 * GIB - 4, &got, 8), -EFAULT);
	assert_int_equal(mem_read(&big, 6 * GIB - 4, &got, 8), -EFAULT);
	assert_true(mem_usage(&big).touched <= 4 * MIB);
	mem_finish(&big);
}

static void test_bounds(void **state)
{
	uint8_t buf[16] = { 0 };

	(void)state;
	assert_true(mem_valid(&m, 0, 16 * MIB));
	assert_false(mem_valid(&m, 0, 16 * MIB + 1));
	assert_false(mem_valid(&m, 1, 16 * MIB));
	assert_false(mem_valid(&m, UINT64_MAX, 1));
	assert_false(mem_valid(&m, UINT64_MAX - 7, 16));
	assert_false(mem_valid(&m, 16, UINT64_MAX));
	assert_false(mem_valid(&m, m.limit, 1));
	assert_int_equal(mem_read(&m, 16 * MIB - 8, buf, 16), -EFAULT);
	assert_int_equal(mem_write(&m, 16 * MIB - 8, buf, 16), -EFAULT);
	assert_int_equal(mem_write(&m, UINT64_MAX - 7, buf, 16), -EFAULT);
	assert_null(mem_get(&m, 16 * MIB - 8, 16));
	assert_null(mem_get(&m, 0, 0));
	assert_ptr_equal(mem_get(&m, 4096, 16), m.base + 4096);
}

/* All or nothing: a copy that fails at its end has changed nothing. */
static void test_write_all_or_nothing(void **state)
{
	uint8_t ones[16];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(mem_write(&m, 16 * MIB - 8, ones, 16), -EFAULT);
	assert_int_equal(peek(16 * MIB - 1), 0);
}

static void test_dirty_tells_only_code(void **state)
{
	(void)state;
	poke(0x5000, 1);
	assert_int_equal(changes, 0);
	atomic_store(&m.code[6], 1);
	poke(0x5000, 1);
	assert_int_equal(changes, 0);
	mem_dirty(&m, 0x5fff, 2);
	assert_int_equal(changes, 1);
	mem_dirty(&m, UINT64_MAX - 1, 100);
	mem_dirty(&m, 0x6000, 0);
	assert_int_equal(changes, 1);
}

static void test_page_over_ram(void **state)
{
	void *host;
	struct gamut_page *p = mem_page_alloc(&m, 2, &host);

	(void)state;
	assert_non_null(p);
	poke(0x3000, 7);
	assert_int_equal(mem_page_map(&m, p, 1, 0x3000), 0);
	assert_int_equal(mem_kind(&m, 0x3000), MEM_HOST);
	assert_int_equal(peek(0x3000), 0);
	((uint8_t *)host)[PAGE_SIZE] = 9;
	assert_int_equal(peek(0x3000), 9);
	poke(0x3001, 8);
	assert_int_equal(((uint8_t *)host)[PAGE_SIZE + 1], 8);
	assert_int_equal(mem_page_unmap(&m, p, 1), 0);
	assert_int_equal(mem_kind(&m, 0x3000), MEM_RAM);
	assert_int_equal(peek(0x3000), 7);
	assert_int_equal(remaps, 2);
	mem_page_free(&m, p);
}

static void test_page_over_hole(void **state)
{
	void *host;
	struct gamut_page *p = mem_page_alloc(&m, 1, &host);
	uint8_t *seen, byte;

	(void)state;
	assert_int_equal(mem_read(&m, HOLE, &byte, 1), -EFAULT);
	assert_int_equal(mem_page_map(&m, p, 0, HOLE), 0);
	seen = mem_get(&m, HOLE, PAGE_SIZE);
	assert_non_null(seen);
	*seen = 3;
	assert_int_equal(*(uint8_t *)host, 3);
	mem_page_free(&m, p);
	assert_int_equal(mem_kind(&m, HOLE), MEM_NONE);
	assert_int_equal(mem_read(&m, HOLE, &byte, 1), -EFAULT);
	/* A thread that still has the pointer must survive, and see nothing of ours. */
	assert_int_equal(*(volatile uint8_t *)seen, 0);
}

static void test_page_misuse(void **state)
{
	struct gamut_page *p = mem_page_alloc(&m, 1, NULL), *q = mem_page_alloc(&m, 1, NULL);

	(void)state;
	assert_null(mem_page_alloc(&m, 0, NULL));
	assert_null(mem_page_alloc(&m, UINT32_MAX, NULL));
	assert_int_equal(mem_page_map(&m, p, 1, 0x1000), -EINVAL);
	assert_int_equal(mem_page_map(&m, p, 0, 0x1001), -EINVAL);
	assert_int_equal(mem_page_map(&m, p, 0, m.limit), -EINVAL);
	assert_int_equal(mem_page_map(&m, p, 0, UINT64_MAX & PAGE_MASK), -EINVAL);
	assert_int_equal(mem_page_unmap(&m, p, 0), -ENOENT);
	assert_int_equal(mem_page_map(&m, p, 0, 0x1000), 0);
	assert_int_equal(mem_page_map(&m, p, 0, 0x2000), -EBUSY);
	assert_int_equal(mem_page_map(&m, q, 0, 0x1000), -EBUSY);
	mem_page_free(&m, p);
	mem_page_free(&m, q);
	mem_page_free(&m, NULL);
}

/* A guest that moves a page through the hole cannot use up the host's mappings. */
static void test_scars_are_bounded(void **state)
{
	struct gamut_page *p = mem_page_alloc(&m, 1, NULL);
	unsigned i, refused = 0;

	(void)state;
	for (i = 0; i < 18000; i++) {
		int err = mem_page_map(&m, p, 0, 3 * GIB + 2ull * i * PAGE_SIZE);

		if (err) {
			assert_int_equal(err, -ENOSPC);
			refused++;
			continue;
		}
		assert_int_equal(mem_page_unmap(&m, p, 0), 0);
	}
	assert_true(refused > 0);
	/* A place that was used before is free to use again, and so is RAM. */
	assert_int_equal(mem_page_map(&m, p, 0, 3 * GIB), 0);
	assert_int_equal(mem_page_unmap(&m, p, 0), 0);
	assert_int_equal(mem_page_map(&m, p, 0, 0), 0);
	mem_page_free(&m, p);
}

static unsigned mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned n = 0;

	assert_non_null(f);
	for (int c; (c = getc(f)) != EOF;)
		n += c == '\n';
	fclose(f);
	return n;
}

/* Nor one that does so in RAM, whose mapping is whole again each time. */
static void test_ram_is_not_split(void **state)
{
	struct gamut_page *p = mem_page_alloc(&m, 1, NULL);
	unsigned before = mappings();

	(void)state;
	for (uint64_t gpa = 0; gpa < 16 * MIB; gpa += 2 * PAGE_SIZE) {
		poke(gpa, 1);
		assert_int_equal(mem_page_map(&m, p, 0, gpa), 0);
		assert_int_equal(mem_page_unmap(&m, p, 0), 0);
		assert_int_equal(peek(gpa), 1);
	}
	assert_in_range(mappings(), 0, before + 4);
	mem_page_free(&m, p);
}

/* A guest that gives much back shall not find it in huge pages again; a reset begins anew. */
static void test_much_is_released(void **state)
{
	(void)state;
	assert_false(m.small_pages);
	assert_int_equal(mem_release(&m, 0, MIB), 0);
	assert_false(m.small_pages);
	assert_int_equal(mem_release(&m, 4 * MIB, PAGE_SIZE), 0);
	assert_true(m.small_pages);
	assert_int_equal(mem_populate(&m, 0, MIB), 0);
	poke(8 * MIB, 1);
	poke(8 * MIB + PAGE_SIZE, 1);
	assert_in_range(mem_usage(&m).anonymous, 2 * PAGE_SIZE, 64 * PAGE_SIZE);
	assert_int_equal(mem_reset(&m), 0);
	assert_false(m.small_pages);
	assert_int_equal(m.released, 0);
}

static void test_balloon(void **state)
{
	uint8_t byte;
	volatile uint8_t *stale = mem_get(&m, 0x8000, 1);
	uint64_t before;

	(void)state;
	poke(0x8000, 5);
	before = mem_usage(&m).touched;
	assert_int_equal(mem_release(&m, 0x8000, PAGE_SIZE), 0);
	assert_int_equal(mem_usage(&m).touched, before - PAGE_SIZE);
	assert_int_equal(mem_read(&m, 0x8000, &byte, 1), -EFAULT);
	assert_false(mem_valid(&m, 0x7000, 3 * PAGE_SIZE));
	/* A late write through an old pointer hurts nobody, and is gone after populate. */
	*stale = 77;
	assert_int_equal(mem_release(&m, 0x8000, PAGE_SIZE), -EINVAL);
	assert_int_equal(mem_populate(&m, 0x8000, PAGE_SIZE), 0);
	assert_int_equal(peek(0x8000), 0);
	assert_int_equal(mem_populate(&m, 0x8000, PAGE_SIZE), -EINVAL);
	assert_int_equal(remaps, 2);
}

static void test_balloon_misuse(void **state)
{
	struct gamut_page *p = mem_page_alloc(&m, 1, NULL);

	(void)state;
	assert_int_equal(mem_release(&m, 0, 0), -EINVAL);
	assert_int_equal(mem_release(&m, 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(mem_release(&m, 0, 100), -EINVAL);
	assert_int_equal(mem_release(&m, 16 * MIB - PAGE_SIZE, 2 * PAGE_SIZE), -EINVAL);
	assert_int_equal(mem_release(&m, PAGE_SIZE, UINT64_MAX & PAGE_MASK), -EINVAL);
	assert_int_equal(mem_populate(&m, HOLE, PAGE_SIZE), -EINVAL);
	assert_int_equal(mem_page_map(&m, p, 0, 0x1000), 0);
	assert_int_equal(mem_release(&m, 0x1000, PAGE_SIZE), -EINVAL);
	mem_page_free(&m, p);
	/* Nothing of that took a page away. */
	assert_true(mem_valid(&m, 0, 16 * MIB));
}

/* A grant frame over a page that the balloon has taken: after unmapping the hole is back. */
static void test_page_over_released(void **state)
{
	struct gamut_page *p = mem_page_alloc(&m, 1, NULL);

	(void)state;
	assert_int_equal(mem_release(&m, 0x4000, PAGE_SIZE), 0);
	assert_int_equal(mem_page_map(&m, p, 0, 0x4000), 0);
	poke(0x4000, 1);
	assert_int_equal(mem_page_unmap(&m, p, 0), 0);
	assert_int_equal(mem_kind(&m, 0x4000), MEM_NONE);
	assert_int_equal(mem_populate(&m, 0x4000, PAGE_SIZE), 0);
	assert_int_equal(peek(0x4000), 0);
	mem_page_free(&m, p);
}

static void test_reset(void **state)
{
	void *host;
	struct gamut_page *p = mem_page_alloc(&m, 1, &host);

	(void)state;
	poke(0x2000, 1);
	poke(0x9000, 2);
	assert_int_equal(mem_release(&m, 0x2000, PAGE_SIZE), 0);
	assert_int_equal(mem_page_map(&m, p, 0, 0x2000), 0);
	poke(0x2000, 3);
	assert_int_equal(mem_reset(&m), 0);
	assert_int_equal(peek(0x9000), 0);
	assert_int_equal(peek(0x2000), 3);
	assert_int_equal(mem_page_unmap(&m, p, 0), 0);
	assert_int_equal(mem_kind(&m, 0x2000), MEM_RAM);
	assert_int_equal(peek(0x2000), 0);
	mem_page_free(&m, p);
}

static void test_rom(void **state)
{
	void *host;
	struct gamut_page *p = mem_page_alloc(&m, 2, &host);
	uint64_t top = 4 * GIB - PAGE_SIZE;
	uint8_t byte = 1;

	(void)state;
	memset(host, 0xea, 2 * PAGE_SIZE);
	assert_int_equal(mem_page_map_as(&m, p, 0, top, GAMUT_PAGE_ROM), 0);
	assert_int_equal(mem_kind(&m, top), MEM_ROM);
	assert_int_equal(peek(top + 0xff0), 0xea);
	/* No device writes to it, nor gets hold of it. */
	assert_int_equal(mem_write(&m, top, &byte, 1), -EFAULT);
	assert_null(mem_get(&m, top, 1));
	assert_true(mem_valid(&m, top, PAGE_SIZE));
	assert_false(mem_writable(&m, top, PAGE_SIZE));
	assert_int_equal(peek(top), 0xea);
	assert_int_equal(remaps, 1);
	/* In place, and back. */
	assert_int_equal(mem_page_map_as(&m, p, 0, top, GAMUT_PAGE_ROM), 0);
	assert_int_equal(remaps, 1);
	assert_int_equal(mem_page_map_as(&m, p, 0, top, GAMUT_PAGE_RAM), 0);
	assert_int_equal(remaps, 2);
	poke(top, 1);
	assert_int_equal(mem_page_map_as(&m, p, 0, top, GAMUT_PAGE_ROM), 0);
	assert_int_equal(peek(top), 1);
	assert_int_equal(mem_page_map_as(&m, p, 0, top, 2), -EINVAL);
	assert_int_equal(mem_page_map_as(&m, p, 0, 0x1000, GAMUT_PAGE_ROM), -EBUSY);
	assert_int_equal(mem_page_map(&m, p, 1, top), -EBUSY);
	/* It is ROM after a reset, too. */
	assert_int_equal(mem_reset(&m), 0);
	assert_int_equal(mem_kind(&m, top), MEM_ROM);
	assert_int_equal(peek(top), 1);
	assert_int_equal(mem_page_unmap(&m, p, 0), 0);
	assert_int_equal(mem_kind(&m, top), MEM_NONE);
	mem_page_free(&m, p);
}

/* Shadow RAM: one host page takes the place of another, over RAM and over a hole that was released. */
static void test_replace(void **state)
{
	void *rom_host, *ram_host;
	struct gamut_page *rom = mem_page_alloc(&m, 2, &rom_host), *ram = mem_page_alloc(&m, 2, &ram_host);

	(void)state;
	memset(rom_host, 1, 2 * PAGE_SIZE);
	memset(ram_host, 2, 2 * PAGE_SIZE);
	poke(0xf0000, 9);
	assert_int_equal(mem_release(&m, 0xa0000, PAGE_SIZE), 0);
	assert_int_equal(mem_page_map_as(&m, rom, 0, 0xf0000, GAMUT_PAGE_ROM), 0);
	assert_int_equal(mem_page_map_as(&m, rom, 1, 0xa0000, GAMUT_PAGE_ROM), 0);
	assert_int_equal(mem_page_map_as(&m, ram, 0, 0xf0000, GAMUT_PAGE_RAM), 0);
	assert_int_equal(mem_page_map_as(&m, ram, 1, 0xa0000, GAMUT_PAGE_ROM), 0);
	assert_int_equal(mem_kind(&m, 0xf0000), MEM_HOST);
	assert_int_equal(mem_kind(&m, 0xa0000), MEM_ROM);
	assert_int_equal(peek(0xf0000), 2);
	assert_int_equal(peek(0xa0000), 2);
	/* The old one is mapped nowhere. */
	assert_int_equal(mem_page_unmap(&m, rom, 0), -ENOENT);
	assert_int_equal(mem_page_map_as(&m, rom, 0, 0xf0000, GAMUT_PAGE_ROM), 0);
	assert_int_equal(peek(0xf0000), 1);
	assert_int_equal(mem_page_unmap(&m, rom, 0), 0);
	assert_int_equal(mem_kind(&m, 0xf0000), MEM_RAM);
	assert_int_equal(peek(0xf0000), 9);
	mem_page_free(&m, ram);
	assert_int_equal(mem_kind(&m, 0xa0000), MEM_NONE);
	mem_page_free(&m, rom);
}

/* The VGA window of a PC: released at start and at every reset. */
static void test_low_hole(void **state)
{
	(void)state;
	for (unsigned life = 0; life < 3; life++) {
		assert_int_equal(mem_release(&m, 0xa0000, 0x20000), 0);
		assert_int_equal(mem_kind(&m, 0x9f000), MEM_RAM);
		assert_int_equal(mem_kind(&m, 0xa0000), MEM_NONE);
		assert_int_equal(mem_kind(&m, 0xbf000), MEM_NONE);
		assert_int_equal(mem_kind(&m, 0xc0000), MEM_RAM);
		assert_int_equal(mem_reset(&m), 0);
		assert_int_equal(mem_kind(&m, 0xa0000), MEM_RAM);
	}
}

/* Firmware of 16 MiB below 4 GiB. */
static void test_large_rom(void **state)
{
	const uint32_t n = (16 * MIB) / PAGE_SIZE;
	void *host;
	struct gamut_page *p = mem_page_alloc(&m, n, &host);

	(void)state;
	for (uint32_t i = 0; i < n; i++) {
		((uint8_t *)host)[i * PAGE_SIZE] = (uint8_t)i;
		assert_int_equal(mem_page_map_as(&m, p, i, 4 * GIB - 16 * MIB + i * PAGE_SIZE, GAMUT_PAGE_ROM), 0);
	}
	assert_int_equal(peek(4 * GIB - PAGE_SIZE), (uint8_t)(n - 1));
	assert_true(mem_valid(&m, 4 * GIB - 16 * MIB, 16 * MIB));
	assert_false(mem_valid(&m, 4 * GIB - 16 * MIB - 1, 2));
	assert_false(mem_valid(&m, 4 * GIB - 1, 2));
	mem_page_free(&m, p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sizes_refused),
		TEST(test_high_ram),
		TEST(test_bounds),
		TEST(test_write_all_or_nothing),
		TEST(test_dirty_tells_only_code),
		TEST(test_page_over_ram),
		TEST(test_page_over_hole),
		TEST(test_page_misuse),
		TEST(test_scars_are_bounded), TEST(test_ram_is_not_split), TEST(test_much_is_released),
		TEST(test_balloon),
		TEST(test_balloon_misuse),
		TEST(test_page_over_released),
		TEST(test_reset),
		TEST(test_rom),
		TEST(test_replace),
		TEST(test_low_hole),
		TEST(test_large_rom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
