/* SPDX-License-Identifier: MIT */
/* Messages between processors: who is meant, and what happens there. */
#include "dm/pc/lapic-internal.h"

#define ICR_VECTOR 0xffu
#define ICR_MODE(icr) ((uint32_t)(icr) >> 8 & 7)
#define ICR_LOGICAL (1u << 11)
#define ICR_ASSERT (1u << 14)
#define ICR_LEVEL (1u << 15)
#define ICR_SHORTHAND(icr) ((uint32_t)(icr) >> 18 & 3)

enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_RESERVED, MODE_NMI, MODE_INIT, MODE_STARTUP, MODE_EXTINT };
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

struct message {
	struct lapic *from;
	uint32_t icr;  /* the low half */
	uint32_t dest; /* as the sender's mode has it: 8 or 32 bits */
	bool x2;
};

/* ---- who is meant ---- */

static bool matches_physical(const struct message *m, const struct lapic *a)
{
	uint32_t id = lapic_id_of(a->vcpu);

	if (m->dest == (m->x2 ? UINT32_MAX : 0xff))
		return true;
	return m->dest == (lapic_x2(a) ? id : id & 0xff);
}

/* Cluster in the upper half, a bit for each of sixteen members in the lower. */
static bool matches_x2_logical(uint32_t dest, uint32_t ldr)
{
	return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
}

static bool matches_logical(const struct message *m, const struct lapic *a)
{
	uint32_t ldr = lapic_ldr(a), dest = m->dest & 0xff;

	if (m->x2 && m->dest == UINT32_MAX)
		return true;
	if (lapic_x2(a))
		return matches_x2_logical(m->dest, ldr);
	if (m->x2 && m->dest > 0xff)
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

static bool meant(const struct message *m, const struct lapic *a)
{
	if (!lapic_on(a))
		return false;
	switch (ICR_SHORTHAND(m->icr)) {
	case TO_SELF:
		return a == m->from;
	case TO_ALL:
		return true;
	case TO_OTHERS:
		return a != m->from;
	default:
		return m->icr & ICR_LOGICAL ? matches_logical(m, a) : matches_physical(m, a);
	}
}

/* ---- what happens there ---- */

/*
 * The vCPU stops and waits for a start-up message; APIC_BASE stays. As on Xen,
 * one that waits already is not touched: Linux gives a vCPU its upcall vector
 * before it wakes it by INIT, and the upcall that is pending since then would
 * be lost, and with it every later one.
 */
static void take_init(struct lapic *a)
{
	struct lapics *s = a->set;

	pthread_mutex_lock(&a->lock);
	if (!a->wait_sipi || s->host->vcpu_is_up(s->inst, a->vcpu)) {
		lapic_clear(a);
		a->wait_sipi = true;
		s->host->vcpu_down(s->inst, a->vcpu);
	}
	pthread_mutex_unlock(&a->lock);
	if (s->cleared)
		s->cleared(s->cleared_opaque, a->vcpu);
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

static void take_fixed(struct lapic *a, uint32_t vector)
{
	if (lapic_enabled(a))
		lapic_request(a, (uint8_t)vector);
}

static void take(const struct message *m, struct lapic *a)
{
	switch (ICR_MODE(m->icr)) {
	case MODE_FIXED:
		take_fixed(a, m->icr & ICR_VECTOR);
		break;
	case MODE_NMI:
		a->set->host->nmi_raise(a->set->inst, a->vcpu);
		break;
	case MODE_INIT:
		take_init(a);
		break;
	case MODE_STARTUP:
		take_startup(a, m->icr & ICR_VECTOR);
		break;
	default:
		break;
	}
}

static void take_lowest(const struct message *m)
{
	const struct lapics *s = m->from->set;
	struct lapic *best = NULL;

	for (uint32_t i = 0; i < s->n; i++) {
		struct lapic *a = &s->apic[i];

		if (meant(m, a) && lapic_enabled(a) && (!best || lapic_ppr(a) < lapic_ppr(best)))
			best = a;
	}
	if (best)
		take_fixed(best, m->icr & ICR_VECTOR);
}

/* ---- sending ---- */

/* What the SDM's table of valid combinations allows, and what exists here. */
static bool valid(const struct message *m)
{
	uint32_t to = ICR_SHORTHAND(m->icr), how = ICR_MODE(m->icr);

	if (how == MODE_SMI || how == MODE_RESERVED || how == MODE_EXTINT)
		return false;
	return how == MODE_FIXED || to == TO_DESTINATION || to == TO_OTHERS;
}

static bool vector_ok(struct lapic *a, const struct message *m)
{
	uint32_t how = ICR_MODE(m->icr);

	if ((how != MODE_FIXED && how != MODE_LOWEST) || (m->icr & ICR_VECTOR) >= FIRST_VECTOR)
		return true;
	pthread_mutex_lock(&a->lock);
	lapic_error(a, ESR_SEND_VECTOR);
	pthread_mutex_unlock(&a->lock);
	return false;
}

void lapic_send(struct lapic *a, uint64_t icr, bool x2)
{
	const struct message m = {
		.from = a,
		.icr = (uint32_t)icr,
		.dest = x2 ? (uint32_t)(icr >> 32) : (uint32_t)(icr >> 56),
		.x2 = x2,
	};

	lapic_count(a->set->ipis);
	if (!valid(&m)) {
		lapic_count(a->set->refused);
		return;
	}
	if (!vector_ok(a, &m))
		return;
	/* The de-assertion of a level-triggered INIT set arbitration ids, which exist no more. */
	if (ICR_MODE(m.icr) == MODE_INIT && m.icr & ICR_LEVEL && !(m.icr & ICR_ASSERT))
		return;
	if (ICR_MODE(m.icr) == MODE_LOWEST) {
		take_lowest(&m);
		return;
	}
	for (uint32_t i = 0; i < a->set->n; i++)
		if (meant(&m, &a->set->apic[i]))
			take(&m, &a->set->apic[i]);
}
