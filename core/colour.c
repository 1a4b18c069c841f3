/* SPDX-License-Identifier: MIT */
#include "colour.h"

#include <string.h>

/* What a guest came to says more than what it touched on the way. But a PC is one once it is touched. */
static unsigned strength(unsigned axis, uint8_t colour)
{
	static const uint8_t order[] = { [GAMUT_COLOUR_V] = 0, [GAMUT_COLOUR_VH] = 1, [GAMUT_COLOUR_P] = 2 };

	if (colour >= sizeof(order))
		return 0;
	return axis == GAMUT_AXIS_PLATFORM ? 2u - order[colour] : order[colour];
}

/* What a family did on an axis: its signs of one colour together. */
static uint64_t busy(const struct colour_sign *signs, size_t n, const struct colour_sign *like, bool recent)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		const struct colour_sign *s = &signs[i];
		uint64_t more = recent ? s->recent : s->count;

		if (s->axis != like->axis || s->colour != like->colour || strcmp(s->family, like->family))
			continue;
		sum = more > UINT64_MAX - sum ? UINT64_MAX : sum + more;
	}
	return sum;
}

/* Whether `a` says more of its axis than `b`, of the same. */
static bool says_more(const struct colour_sign *signs, size_t n, const struct colour_sign *a,
                      const struct colour_sign *b)
{
	uint64_t x, y;

	if (strength(a->axis, a->colour) != strength(b->axis, b->colour))
		return strength(a->axis, a->colour) > strength(b->axis, b->colour);
	x = busy(signs, n, a, true);
	y = busy(signs, n, b, true);
	if (x != y)
		return x > y;
	return busy(signs, n, a, false) > busy(signs, n, b, false);
}

static void derive_axis(const struct colour_sign *signs, size_t n, unsigned axis, struct colour_axis *out)
{
	const struct colour_sign *best = NULL;

	for (size_t i = 0; i < n; i++) {
		if (signs[i].axis == axis && signs[i].count && (!best || says_more(signs, n, &signs[i], best)))
			best = &signs[i];
	}
	if (best)
		*out = (struct colour_axis){ .seen = true, .colour = best->colour, .family = best->family };
}

/* ---- the row --------------------------------------------------------------------- */

/* What one axis must show; families NULL: any. */
struct want {
	uint8_t axis, colour;
	const char *family;
};

/* All of `all` hold, and, if it has any, one of `one`. The first rule that holds names the row. */
static const struct rule {
	const char *row, *why;
	struct want all[2], one[2];
} rules[] = {
	{ "PV", "page tables and privileged instructions go through hypercalls",
	  { { GAMUT_AXIS_MMU, GAMUT_COLOUR_P, NULL } }, { { 0 } } },
	{ "PVHVM", "a PC whose events come by callback vector or whose clock is Xen's",
	  { { GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_V, NULL }, { GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "xen" } }, { { 0 } } },
	{ "KVM", "a PC with KVM's clock",
	  { { GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_V, NULL }, { GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, NULL } }, { { 0 } } },
	{ "HVM with PV drivers", "a PC with Xen's disk or network and emulated interrupts",
	  { { GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_V, NULL } },
	  { { GAMUT_AXIS_DISK, GAMUT_COLOUR_P, "xen" }, { GAMUT_AXIS_NET, GAMUT_COLOUR_P, "xen" } } },
	{ "HVM with virtio", "a PC with virtio's disk or network and emulated interrupts and clock",
	  { { GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_V, NULL } },
	  { { GAMUT_AXIS_DISK, GAMUT_COLOUR_P, "virtio" }, { GAMUT_AXIS_NET, GAMUT_COLOUR_P, "virtio" } } },
	{ "HVM", "a PC, and nothing but emulated devices",
	  { { GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_V, NULL } }, { { 0 } } },
	{ "PVH", "no PC, and events by Xen's channels",
	  { { GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, "xen" } }, { { 0 } } },
	{ "PVH", "no PC, and Xen's hypercalls",
	  { { GAMUT_AXIS_PLATFORM, GAMUT_COLOUR_P, "pvh" } }, { { 0 } } },
	{ "KVM without a PC", "no PC, and KVM's clock",
	  { { GAMUT_AXIS_INTERRUPTS, GAMUT_COLOUR_P, NULL } }, { { 0 } } },
};

static bool wanted(const struct want *w)
{
	return w->axis || w->colour || w->family;
}

static bool meets(const struct colour *c, const struct want *w)
{
	const struct colour_axis *a = &c->axis[w->axis];

	return a->seen && a->colour == w->colour && (!w->family || !strcmp(a->family, w->family));
}

static bool holds(const struct rule *rule, const struct colour *c)
{
	for (size_t i = 0; i < 2; i++)
		if (wanted(&rule->all[i]) && !meets(c, &rule->all[i]))
			return false;
	if (!wanted(&rule->one[0]))
		return true;
	return meets(c, &rule->one[0]) || (wanted(&rule->one[1]) && meets(c, &rule->one[1]));
}

void colour_derive(const struct colour_sign *signs, size_t n, struct colour *colour)
{
	*colour = (struct colour){ .row = "none yet", .why = "the guest has not done anything that tells" };
	for (unsigned axis = 0; axis < GAMUT_AXIS_COUNT; axis++)
		derive_axis(signs, n, axis, &colour->axis[axis]);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (!holds(&rules[i], colour))
			continue;
		colour->row = rules[i].row;
		colour->why = rules[i].why;
		return;
	}
}
