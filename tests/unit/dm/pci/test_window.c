/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "dm/pci/window.h"

static struct pci_windows w;

static void add(struct pci_map *map, uint64_t first, uint64_t last, uintptr_t who)
{
	const struct pci_window window = { first, last, 0, NULL, (void *)who };

	pci_windows_add(&w, map, &window);
}

static uintptr_t at(uint64_t address, uint64_t *offset)
{
	struct pci_window found;

	if (!pci_windows_find(&w, 0, address, &found))
		return 0;
	if (offset)
		*offset = address - found.first + found.offset;
	return (uintptr_t)found.opaque;
}

static int setup(void **state)
{
	(void)state;
	return pci_windows_init(&w, 2) || pci_windows_reserve(&w, 8);
}

static int teardown(void **state)
{
	(void)state;
	pci_windows_finish(&w);
	return 0;
}

static void test_empty(void **state)
{
	(void)state;
	assert_int_equal(at(0, NULL), 0);
	assert_int_equal(at(UINT64_MAX, NULL), 0);
}

static void test_edges(void **state)
{
	struct pci_map *m = pci_windows_begin(&w);

	(void)state;
	add(m, 0x1000, 0x1fff, 1);
	add(m, 0x2000, 0x20ff, 2);
	add(m, UINT64_MAX - 15, UINT64_MAX, 3);
	assert_int_equal(at(0x1000, NULL), 0); /* not yet */
	pci_windows_publish(&w, m);
	assert_int_equal(at(0xfff, NULL), 0);
	assert_int_equal(at(0x1000, NULL), 1);
	assert_int_equal(at(0x1fff, NULL), 1);
	assert_int_equal(at(0x2000, NULL), 2);
	assert_int_equal(at(0x2100, NULL), 0);
	assert_int_equal(at(UINT64_MAX, NULL), 3);
	assert_int_equal(at(UINT64_MAX - 16, NULL), 0);
}

/* The first that was added answers; what is left of the second keeps its offsets. */
static void test_overlap(void **state)
{
	struct pci_map *m = pci_windows_begin(&w);
	uint64_t offset = 0;

	(void)state;
	add(m, 0x1800, 0x18ff, 1);
	add(m, 0x1c00, 0x1cff, 2);
	add(m, 0x1000, 0x1fff, 3);
	add(m, 0x1810, 0x1820, 4); /* hidden wholly */
	pci_windows_publish(&w, m);
	assert_int_equal(at(0x1000, &offset), 3);
	assert_int_equal(offset, 0);
	assert_int_equal(at(0x17ff, NULL), 3);
	assert_int_equal(at(0x1810, NULL), 1);
	assert_int_equal(at(0x1900, &offset), 3);
	assert_int_equal(offset, 0x900);
	assert_int_equal(at(0x1c00, NULL), 2);
	assert_int_equal(at(0x1d00, &offset), 3);
	assert_int_equal(offset, 0xd00);
	assert_int_equal(m->n, 5);
}

/* A map that a reader looks at is never the one that is written. */
static void test_hazard(void **state)
{
	struct pci_map *a = pci_windows_begin(&w), *b, *c;

	(void)state;
	pci_windows_publish(&w, a);
	w.readers[0].in_use = a;
	b = pci_windows_begin(&w);
	pci_windows_publish(&w, b);
	for (int i = 0; i < 8; i++) {
		c = pci_windows_begin(&w);
		assert_ptr_not_equal(c, a);
		pci_windows_publish(&w, c);
	}
	w.readers[0].in_use = NULL;
}

static void *look(void *opaque)
{
	uint64_t *seen = opaque;
	struct pci_window found;

	for (int i = 0; i < 200000; i++) {
		if (!pci_windows_find(&w, 1, 0x5000, &found))
			continue;
		/* All windows of a map agree on who they are. */
		if ((uintptr_t)found.opaque != found.offset)
			return NULL;
		(*seen)++;
	}
	return seen;
}

static void test_race(void **state)
{
	uint64_t seen = 0;
	pthread_t thread;
	void *ok;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, look, &seen), 0);
	for (uintptr_t i = 1; i < 20000; i++) {
		struct pci_map *m = pci_windows_begin(&w);
		const struct pci_window window = { 0x5000 - i % 64, 0x5000 + i % 64, i, NULL, (void *)i };

		pci_windows_add(&w, m, &window);
		m->window[0].offset = i;
		pci_windows_publish(&w, m);
	}
	assert_int_equal(pthread_join(thread, &ok), 0);
	assert_non_null(ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hazard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
