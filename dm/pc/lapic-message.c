/* SPDX-License-Identifier: MIT */
/* Messages: who is meant, and what happens there. */
#include "dm/pc/lapic-internal.h"

#include <cpuid.h>

#define RDX 2 /* in gpr */

/* ---- who is meant ---- */

static bool matches_physical(const struct apic_message *m, const struct lapic *a)
{
	return m->dest == (m->wide ? UINT32_MAX : 0xff) || m->dest == lapic_physical_id(a);
}

/* Cluster in the upper half, a bit for each of sixteen members in the lower. */
static bool matches_x2_logical(uint32_t dest, uint32_t ldr)
{
	return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
}

static bool matches_logical(const struct apic_message *m, const struct lapic *a)
{
	uint32_t ldr = lapic_ldr(a), dest = m->dest & 0xff;

	if (m->wide && m->dest == UINT32_MAX)
		return true;
	if (lapic_x2(a))
		return matches_x2_logical(m->dest, ldr);
	if (m->wide && m->dest > 0xff)
		return false;
	ldr >>= 24;
	switch (__atomic_load_n(&a->dfr, __ATOMIC_ACQUIRE) >> 28) {
	case 0xf: /* flat: a bit for each of eight */
		return dest & ldr;
	case 0x0: /* clusters of four */
		return (dest >> 4 == ldr >> 4 || dest >> 4 == 0xf) && (dest & ldr & 0xf);
	default:
		return false;
	}
}

bool lapic_meant(const struct apic_message *m, const struct lapic *a)
{
	return lapic_on(a) && (m->logical ? matches_logical(m, a) : matches_physical(m, a));
}

/* ---- what happens there ---- */

/* What a processor has in rdx after INIT: its signature. */
static uint64_t signature(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) ? a : 0;
}

/* Registers after INIT but for CS, which comes from the message. */
static void startup_state(struct gamut_vcpu_state *s, uint32_t page)
{
	*s = (struct gamut_vcpu_state){ .size = sizeof(*s), .rflags = 2, .cr0 = 0x60000010 };
	for (int i = 0; i < GAMUT_SEG_COUNT; i++)
		s->seg[i] = (struct gamut_segment){ .limit = 0xffff, .attr = 0x93 };
	s->seg[GAMUT_CS].selector = (uint16_t)(page << 8);
	s->seg[GAMUT_CS].base = (uint64_t)page << 12;
	s->seg[GAMUT_CS].attr = 0x9b;
	s->seg[GAMUT_LDTR].attr = 0x82;
	s->seg[GAMUT_TR].attr = 0x8b;
	s->gdt.limit = s->idt.limit = 0xffff;
	s->dr[6] = 0xffff0ff0;
	s->dr[7] = 0x400;
	s->gpr[RDX] = signature();
}

/* The bootstrap processor does not wait: it starts over at the reset vector. Locked. */
static void start_over(struct lapic *a)
{
	const struct gamut_host *host = a->set->host;
	struct gamut_vcpu_state state;

	startup_state(&state, 0);
	state.seg[GAMUT_CS].selector = 0xf000;
	state.seg[GAMUT_CS].base = 0xffff0000;
	state.rip = 0xfff0;
	if (host->vcpu_set(a->set->inst, a->vcpu, &state)) {
		lapic_count(a->set->refused);
		return;
	}
	a->wait_sipi = false;
	host->vcpu_up(a->set->inst, a->vcpu);
}

/*
 * The vCPU stops and waits for a start-up message; APIC_BASE stays. As on Xen,
 * one that waits already is not touched: Linux gives a vCPU its upcall vector
 * before it wakes it by INIT, and the upcall that is pending since then would
 * be lost, and with it every later one.
 */
void lapic_take_init(struct lapic *a)
{
	struct lapics *s = a->set;

	pthread_mutex_lock(&a->lock);
	if (!a->wait_sipi || s->host->vcpu_is_up(s->inst, a->vcpu)) {
		lapic_clear(a);
		a->wait_sipi = true;
		s->host->vcpu_down(s->inst, a->vcpu);
		if (s->restarts && lapic_base(a) & BASE_BSP)
			start_over(a);
	}
	pthread_mutex_unlock(&a->lock);
	if (s->cleared)
		s->cleared(s->cleared_opaque, a->vcpu);
}

/* Only one that waits for it, and that nobody has started by hypercall, takes it. */
static void take_startup(struct lapic *a, uint32_t page)
{
	const struct gamut_host *host = a->set->host;
	struct gamut_vcpu_state state;

	pthread_mutex_lock(&a->lock);
	if (a->wait_sipi && !host->vcpu_is_up(a->set->inst, a->vcpu)) {
		startup_state(&state, page);
		if (host->vcpu_set(a->set->inst, a->vcpu, &state)) {
			lapic_count(a->set->refused);
		} else {
			a->wait_sipi = false;
			host->vcpu_up(a->set->inst, a->vcpu);
		}
	}
	pthread_mutex_unlock(&a->lock);
}

static int take_fixed(struct lapic *a, uint32_t vector, bool level)
{
	if (!lapic_enabled(a))
		return APIC_NOBODY;
	if (vector >= FIRST_VECTOR)
		return lapic_request(a, (uint8_t)vector, level) ? APIC_TAKEN : APIC_MERGED;
	pthread_mutex_lock(&a->lock);
	lapic_error(a, ESR_RECEIVE_VECTOR);
	pthread_mutex_unlock(&a->lock);
	return APIC_NOBODY;
}

/* The vector is fetched when the processor takes it. */
static int take_extint(struct lapic *a)
{
	if (!lapic_enabled(a))
		return APIC_NOBODY;
	__atomic_store_n(&a->extint, 1, __ATOMIC_SEQ_CST);
	a->set->host->irq_raise(a->set->inst, a->vcpu);
	return APIC_TAKEN;
}

int lapic_take(const struct apic_message *m, struct lapic *a)
{
	switch (m->mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		return take_fixed(a, m->vector, m->level);
	case APIC_NMI:
		a->set->host->nmi_raise(a->set->inst, a->vcpu);
		return APIC_TAKEN;
	case APIC_INIT:
		lapic_take_init(a);
		return APIC_TAKEN;
	case APIC_STARTUP:
		take_startup(a, m->vector);
		return APIC_TAKEN;
	case APIC_EXTINT:
		return take_extint(a);
	default:
		return APIC_NOBODY;
	}
}

/* ---- sending ---- */

/* One of them: the first of those with the lowest priority. */
static int take_lowest(struct lapics *s, const struct apic_message *m)
{
	struct lapic *best = NULL;

	for (uint32_t i = 0; i < s->n; i++) {
		struct lapic *a = &s->apic[i];

		if (lapic_meant(m, a) && lapic_enabled(a) && (!best || lapic_ppr(a) < lapic_ppr(best)))
			best = a;
	}
	return best ? lapic_take(m, best) : APIC_NOBODY;
}

int lapics_message(struct lapics *s, const struct apic_message *m)
{
	int fate = APIC_NOBODY;

	if (m->mode == APIC_SMI || m->mode == APIC_RESERVED) {
		lapic_count(m->mode == APIC_SMI ? s->smi : s->refused);
		return fate;
	}
	if (m->mode == APIC_LOWEST)
		return take_lowest(s, m);
	for (uint32_t i = 0; i < s->n; i++) {
		int one = lapic_meant(m, &s->apic[i]) ? lapic_take(m, &s->apic[i]) : APIC_NOBODY;

		fate = one > fate ? one : fate;
	}
	return fate;
}

/* ---- as a write to memory ---- */

#define MSI_PAGE(address) ((address) >> 20)
#define MSI_DEST(address) ((uint32_t)(address) >> 12 & 0xff)
#define MSI_REDIRECT (1u << 3)
#define MSI_LOGICAL (1u << 2)
#define DATA_ASSERT (1u << 14)
#define DATA_LEVEL (1u << 15)

/*
 * The destination mode holds with and without the redirection hint, as
 * software relies on (Linux sends logical destinations without it); the hint
 * makes one of several targets.
 */
int lapics_msi(struct lapics *s, uint64_t address, uint32_t data)
{
	struct apic_message m = {
		.dest = MSI_DEST(address),
		.vector = (uint8_t)data,
		.mode = data >> 8 & 7,
		.logical = address & MSI_LOGICAL,
		.level = data & DATA_LEVEL,
	};

	if (MSI_PAGE(address) != LAPIC_BASE >> 20 || m.mode == APIC_STARTUP) {
		lapic_count(s->refused);
		return APIC_NOBODY;
	}
	if (m.level && !(data & DATA_ASSERT))
		return APIC_MERGED;
	if (m.mode == APIC_FIXED && address & MSI_REDIRECT)
		m.mode = APIC_LOWEST;
	return lapics_message(s, &m);
}
