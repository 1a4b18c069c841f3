/* SPDX-License-Identifier: MIT */
/* Messages that processors send: the interrupt command register. */
#include "dm/pc/lapic-internal.h"

#define ICR_VECTOR 0xffu
#define ICR_MODE(icr) ((uint32_t)(icr) >> 8 & 7)
#define ICR_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
#define ICR_SHORTHAND(icr) ((uint32_t)(icr) >> 18 & 3)

enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

/* What the SDM's table of valid combinations allows, and what exists here. */
static bool valid(uint32_t icr)
{
	uint32_t to = ICR_SHORTHAND(icr), how = ICR_MODE(icr);

	if (how == APIC_SMI || how == APIC_RESERVED || how == APIC_EXTINT)
		return false;
	return how == APIC_FIXED || to == TO_DESTINATION || to == TO_OTHERS;
}

static bool vector_ok(struct lapic *a, uint32_t icr)
{
	if (ICR_MODE(icr) > APIC_LOWEST || (icr & ICR_VECTOR) >= FIRST_VECTOR)
		return true;
	pthread_mutex_lock(&a->lock);
	lapic_error(a, ESR_SEND_VECTOR);
	pthread_mutex_unlock(&a->lock);
	return false;
}

static void send_shorthand(struct lapic *from, const struct apic_message *m, uint32_t to)
{
	const struct lapics *s = from->set;

	for (uint32_t i = 0; i < s->n; i++) {
		struct lapic *a = &s->apic[i];

		if (lapic_on(a) && (to == TO_ALL || (a == from) == (to == TO_SELF)))
			lapic_take(m, a);
	}
}

void lapic_send(struct lapic *a, uint64_t icr64, bool x2)
{
	const uint32_t icr = (uint32_t)icr64;
	const struct apic_message m = {
		.dest = x2 ? (uint32_t)(icr64 >> 32) : (uint32_t)(icr64 >> 56),
		.vector = icr & ICR_VECTOR,
		.mode = ICR_MODE(icr),
		.logical = icr & ICR_LOGICAL,
		.wide = x2,
	};

	lapic_count(a->set->ipis);
	if (!valid(icr)) {
		lapic_count(a->set->refused);
		if (ICR_MODE(icr) == APIC_SMI)
			lapic_count(a->set->smi);
		return;
	}
	if (!vector_ok(a, icr))
		return;
	/* The de-assertion of a level-triggered INIT set arbitration ids, which exist no more. */
	if (m.mode == APIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
		return;
	if (ICR_SHORTHAND(icr) == TO_DESTINATION)
		lapics_message(a->set, &m);
	else
		send_shorthand(a, &m, ICR_SHORTHAND(icr));
}
