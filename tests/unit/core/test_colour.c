/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "colour.h"

#define D GAMUT_AXIS_DISK
#define N GAMUT_AXIS_NET
#define I GAMUT_AXIS_INTERRUPTS
#define PL GAMUT_AXIS_PLATFORM
#define M GAMUT_AXIS_MMU
#define V GAMUT_COLOUR_V
#define P GAMUT_COLOUR_P
#define VH GAMUT_COLOUR_VH

#define SIGN(a, c, f, n) { .axis = a, .colour = c, .family = f, .name = "x", .count = n, .recent = n }

#define PC    SIGN(PL, V, "pc", 100)
#define HAP   SIGN(M, VH, "hap", 9)
#define PIT   SIGN(I, V, "apic", 50)
#define CALLS SIGN(PL, P, "pvh", 7)

static const struct colour_case {
	const char *row;
	struct colour_sign signs[8];
} cases[] = {
	{ "none yet", { { 0 } } },
	{ "none yet", { HAP } },
	{ "HVM", { PC, HAP, PIT, SIGN(D, V, "ide", 3) } },
	/* A ring that is there and not used is no sign. */
	{ "HVM", { PC, HAP, PIT, SIGN(D, V, "xen", 3), SIGN(D, P, "xen", 0), SIGN(I, P, "xen", 0) } },
	{ "HVM with PV drivers", { PC, HAP, PIT, SIGN(D, P, "xen", 1), SIGN(D, V, "xen", 0) } },
	{ "HVM with PV drivers", { PC, HAP, PIT, SIGN(D, V, "ide", 9), SIGN(N, P, "xen", 1) } },
	{ "PVHVM", { PC, HAP, PIT, SIGN(I, P, "xen", 1), SIGN(D, P, "xen", 1) } },
	{ "PVHVM", { PC, SIGN(I, V, "xen", 1000), SIGN(I, P, "xen", 1), SIGN(D, V, "ide", 1) } },
	/* Xen's hypercalls on a PC do not make it bare. */
	{ "PVHVM", { PC, CALLS, SIGN(I, P, "xen", 1) } },
	{ "PVH", { CALLS, HAP, SIGN(I, P, "xen", 1) } },
	{ "PVH", { CALLS, HAP } },
	{ "PV", { SIGN(M, P, "pv", 1), SIGN(I, P, "xen", 1), SIGN(PL, P, "pv", 1) } },
	{ "KVM", { PC, HAP, PIT, SIGN(I, P, "kvmclock", 1), SIGN(D, P, "virtio", 1) } },
	{ "KVM", { PC, SIGN(I, P, "kvmclock", 1), SIGN(D, V, "ide", 1) } },
	{ "HVM with virtio", { PC, PIT, SIGN(N, P, "virtio", 1) } },
	{ "KVM without a PC", { SIGN(I, P, "kvmclock", 1), SIGN(D, P, "virtio", 1) } },
};

static size_t count(const struct colour_sign *signs)
{
	size_t n = 0;

	while (n < 8 && signs[n].family)
		n++;
	return n;
}

static void rows_follow_from_signs(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct colour c;

		colour_derive(cases[i].signs, count(cases[i].signs), &c);
		assert_string_equal(c.row, cases[i].row);
		assert_non_null(c.why);
	}
}

/* Firmware read the kernel by IDE, and a CD-ROM drive is asked for its disc: the guest came to its PV disk. */
static void a_disk_is_what_the_guest_came_to(void **state)
{
	struct colour_sign signs[] = {
		{ D, V, "ide", "requests", 100000, 3 },
		{ D, P, "xen", "requests", 5, 0 },
		{ D, P, "xen", "connected", 1, 0 },
	};
	struct colour c;

	(void)state;
	colour_derive(signs, 3, &c);
	assert_int_equal(c.axis[D].colour, P);
	assert_string_equal(c.axis[D].family, "xen");
	assert_false(c.axis[N].seen);
}

/* Of the same colour: what moves now, and if nothing does, what moved most. */
static void among_equals_the_busiest(void **state)
{
	struct colour_sign signs[] = {
		{ D, P, "virtio", "requests", 100000, 0 },
		{ D, P, "xen", "requests", 5, 2 },
	};
	struct colour c;

	(void)state;
	colour_derive(signs, 2, &c);
	assert_string_equal(c.axis[D].family, "xen");
	signs[1].recent = 0;
	colour_derive(signs, 2, &c);
	assert_string_equal(c.axis[D].family, "virtio");
}

static void large_counts_do_not_wrap(void **state)
{
	const struct colour_sign signs[] = {
		{ D, V, "ide", "a", UINT64_MAX, UINT64_MAX },
		{ D, V, "ide", "b", UINT64_MAX, UINT64_MAX },
		{ D, P, "xen", "a", 5, 5 },
		{ D, 77, "odd", "a", 6, 6 },
		{ 200, P, "odd", "a", 6, 6 },
	};
	struct colour c;

	(void)state;
	colour_derive(signs, 5, &c);
	assert_string_equal(c.axis[D].family, "xen");
	assert_int_equal(c.axis[D].colour, P);
	/* Nor are those of the same colour. */
	colour_derive((const struct colour_sign[]){ signs[0], signs[1], SIGN(D, V, "floppy", UINT64_MAX - 1) }, 3, &c);
	assert_string_equal(c.axis[D].family, "ide");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_follow_from_signs),
		cmocka_unit_test(a_disk_is_what_the_guest_came_to),
		cmocka_unit_test(among_equals_the_busiest),
		cmocka_unit_test(large_counts_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
