/* SPDX-License-Identifier: MIT */
/*
 * The two pins. On a PC, LINT0 of every APIC is the output of the 8259 pair:
 * set to ExtINT it is the virtual wire by which one of them gets the interrupts
 * of a PC without APICs, vectors from the 8259s. LINT1 is NMI. When the APIC is
 * turned off by IA32_APIC_BASE the two pins are the processor's INTR and NMI.
 */
#include "dm/pc/lapic-internal.h"

static uint32_t intr_level(const struct lapics *s)
{
	return __atomic_load_n(&s->intr, __ATOMIC_SEQ_CST);
}

/* LINT0, or INTR in its place, asks for a vector from the 8259s. Disabled by SVR, the entry is masked. */
static bool wired(const struct lapic *a)
{
	uint32_t entry = lapic_lvt(a, LVT_LINT0);

	if (!lapic_on(a))
		return lapic_base(a) & BASE_BSP;
	return !(entry & LVT_MASKED) && LVT_MODE(entry) == APIC_EXTINT;
}

bool lapic_extint(const struct lapic *a)
{
	if (__atomic_load_n(&a->extint, __ATOMIC_SEQ_CST))
		return true;
	return intr_level(a->set) && wired(a);
}

bool lapics_wired(const struct lapics *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t entry = lapic_lvt(&s->apic[i], LVT_LINT0);

		if (wired(&s->apic[i]) || (lapic_on(&s->apic[i]) && !(entry & LVT_MASKED)))
			return true;
	}
	return false;
}

/* ---- what a pin does ---- */

static void fixed(struct lapic *a, enum lapic_lvt which, bool rises)
{
	uint32_t entry = a->lvt[which];

	if (!(entry & LVT_LEVEL)) {
		if (rises)
			lapic_lvt_fire(a, which);
		return;
	}
	if (entry & LVT_REMOTE_IRR || !lapic_enabled(a))
		return;
	if ((entry & LVT_VECTOR) < FIRST_VECTOR) {
		lapic_error(a, ESR_RECEIVE_VECTOR);
		return;
	}
	lapic_set_lvt(a, which, entry | LVT_REMOTE_IRR);
	lapic_request(a, (uint8_t)entry, true);
}

/* The pin is high; rises: it has just become so. True: the processor is to be initialized. Locked. */
static bool pin_high(struct lapic *a, enum lapic_lvt which, bool rises)
{
	uint32_t entry = a->lvt[which];

	if (entry & LVT_MASKED)
		return false;
	switch (LVT_MODE(entry)) {
	case APIC_FIXED:
		fixed(a, which, rises);
		break;
	case APIC_NMI:
		if (rises)
			a->set->host->nmi_raise(a->set->inst, a->vcpu);
		break;
	case APIC_INIT:
		return rises;
	case APIC_SMI:
		if (rises)
			lapic_count(a->set->smi);
		break;
	default:
		break;
	}
	return false;
}

static void pin_rises(struct lapic *a, enum lapic_lvt which)
{
	bool init;

	if (lapic_lvt(a, which) & LVT_MASKED)
		return;
	pthread_mutex_lock(&a->lock);
	init = pin_high(a, which, true);
	pthread_mutex_unlock(&a->lock);
	if (init)
		lapic_take_init(a);
}

/* ---- when it is high all the while ---- */

void lapic_lint_recheck(struct lapic *a)
{
	if (!intr_level(a->set))
		return;
	if (lapic_extint(a))
		a->set->host->irq_raise(a->set->inst, a->vcpu);
	else
		pin_high(a, LVT_LINT0, false);
}

void lapic_lint_eoi(struct lapic *a, uint32_t vector)
{
	for (enum lapic_lvt which = LVT_LINT0; which <= LVT_LINT1; which++) {
		uint32_t entry = a->lvt[which];

		if (!(entry & LVT_REMOTE_IRR) || (entry & LVT_VECTOR) != vector)
			continue;
		lapic_set_lvt(a, which, entry & ~LVT_REMOTE_IRR);
		lapic_lint_recheck(a);
	}
}

/* ---- for the board ---- */

void lapics_intr(struct lapics *s, uint32_t level)
{
	__atomic_store_n(&s->intr, level, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < s->n && level; i++) {
		struct lapic *a = &s->apic[i];

		if (wired(a))
			s->host->irq_raise(s->inst, i);
		else if (lapic_on(a))
			pin_rises(a, LVT_LINT0);
	}
}

void lapics_nmi(struct lapics *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		struct lapic *a = &s->apic[i];

		if (lapic_on(a))
			pin_rises(a, LVT_LINT1);
		else if (lapic_base(a) & BASE_BSP)
			s->host->nmi_raise(s->inst, i);
	}
}

void lapics_init_pin(struct lapics *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		lapic_take_init(&s->apic[i]);
}
