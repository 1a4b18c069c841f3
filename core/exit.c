/* SPDX-License-Identifier: MIT */
#include "exit.h"

#include <errno.h>
#include <x86intrin.h>

#include "burn.h"
#include "vcpu.h"

#define UNCLAIMED_LINES 5u /* a second */
#define RFLAGS_IF (1ull << 9)

/* The only writer is this thread, so that no locked instruction is needed. */
static inline void count(_Atomic uint64_t *counter)
{
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

static inline void account(struct vcpu *v, uint32_t owner)
{
	if (owner < v->counters.n_owners)
		count(&v->counters.owner[owner]);
	v->counters.last = owner;
	if (__builtin_expect(v->counters.burn != NULL, 0) && owner < v->counters.n_owners && v->counters.burn[owner])
		burn_ticks(v->counters.burn[owner]);
}

/* Nobody's: already answered; say so to whoever listens at that level. */
static void unclaimed(struct vcpu *v, const char *what, bool write, uint64_t at, uint32_t width, uint64_t value,
                      uint64_t rip)
{
	struct vcpus *set = v->set;

	if (!set->log || set->log->level < GAMUT_LOG_DEBUG || !log_allowed(&set->unclaimed, UNCLAIMED_LINES))
		return;
	log_line(set->log, GAMUT_LOG_DEBUG, NULL, "vcpu %u: unclaimed %s %s 0x%llx, %u bytes, value 0x%llx, rip 0x%llx",
	         v->index, what, write ? "write" : "read", (unsigned long long)at, width, (unsigned long long)value,
	         (unsigned long long)rip);
}

static enum verdict handle_intr(struct vcpu *v, struct vcpu_exit *e)
{
	(void)v;
	(void)e;
	return VERDICT_RESUME;
}

static enum verdict handle_pio(struct vcpu *v, struct vcpu_exit *e)
{
	const struct bus *bus = v->set->bus;
	uint32_t owner;

	if (e->pio.count > 1)
		owner = bus_pio_many(bus, e->pio.port, e->pio.width, e->pio.write, e->pio.buf, e->pio.count);
	else
		owner = bus_pio(bus, e->pio.port, e->pio.width, e->pio.write, &e->pio.data);
	account(v, owner);
	if (owner == BUS_UNCLAIMED)
		unclaimed(v, "port", e->pio.write, e->pio.port, e->pio.width, e->pio.data, e->rip);
	return VERDICT_RESUME;
}

static enum verdict handle_mmio(struct vcpu *v, struct vcpu_exit *e)
{
	uint32_t owner =
		bus_mmio(v->set->bus, &v->cache, e->mmio.gpa, e->mmio.width, e->mmio.write, &e->mmio.data);

	account(v, owner);
	if (owner == BUS_UNCLAIMED)
		unclaimed(v, "address", e->mmio.write, e->mmio.gpa, e->mmio.width, e->mmio.data, e->rip);
	return VERDICT_RESUME;
}

static enum verdict handle_msr(struct vcpu *v, struct vcpu_exit *e, bool write)
{
	int err;
	uint32_t owner = bus_msr(v->set->bus, v->index, e->msr.index, write, &e->msr.value, &err);

	account(v, owner);
	if (owner == BUS_UNCLAIMED)
		unclaimed(v, "MSR", write, e->msr.index, 8, write ? e->msr.value : 0, e->rip);
	e->msr.fault = err != 0;
	return err ? VERDICT_FAULT : VERDICT_RESUME;
}

static enum verdict handle_rdmsr(struct vcpu *v, struct vcpu_exit *e)
{
	e->msr.value = 0;
	return handle_msr(v, e, false);
}

static enum verdict handle_wrmsr(struct vcpu *v, struct vcpu_exit *e)
{
	return handle_msr(v, e, true);
}

/* The arguments as the handler left them are what the next attempt starts from. */
static void hypercall_restart(struct vcpu *v, struct vcpu_exit *e, const struct gamut_hypercall *call)
{
	for (int i = 0; i < 6; i++)
		e->hypercall.args[i] = call->args[i];
	e->hypercall.restart = true;
	count(&v->counters.restarts);
}

int64_t exit_hypercall(struct vcpu *v, struct gamut_hypercall *call, uint64_t rip)
{
	int64_t result = 0;
	uint32_t owner = bus_hypercall(v->set->bus, call, &result);

	account(v, owner);
	if (owner == BUS_UNCLAIMED)
		unclaimed(v, "hypercall", false, call->nr, 0, 0, rip);
	return result;
}

static enum verdict handle_hypercall(struct vcpu *v, struct vcpu_exit *e)
{
	struct gamut_hypercall call = {
		.vcpu = v->index,
		/* A number beyond 32 bits is as unknown as the highest. */
		.nr = e->hypercall.nr > UINT32_MAX ? UINT32_MAX : (uint32_t)e->hypercall.nr,
		.cpl = e->hypercall.cpl,
		.long_mode = e->hypercall.long_mode,
	};

	e->hypercall.undefined = !v->set->bus->n_hypercalls;
	if (e->hypercall.undefined)
		return VERDICT_FAULT;
	for (int i = 0; i < 6; i++)
		call.args[i] = e->hypercall.args[i];
	e->hypercall.result = (uint64_t)exit_hypercall(v, &call, e->rip);
	e->hypercall.restart = false;
	if (call.restart)
		hypercall_restart(v, e, &call);
	return VERDICT_RESUME;
}

/* Only an NMI would end it: what that means is for the platform to say. */
static enum verdict dead_halt(struct vcpu *v)
{
	struct vcpus *set = v->set;

	v->idle_mask = ATTN_NMI;
	if (!set->dead_halt || atomic_load(&v->attention) & ATTN_NMI)
		return VERDICT_IDLE;
	set->dead_halt(set->dead_halt_opaque, v->index);
	/* One that went down sleeps for that reason, and goes on when it is brought up. */
	return atomic_load(&v->up) ? VERDICT_IDLE : VERDICT_RESUME;
}

/*
 * The state is fetched for one flag: what follows is a sleep, next to which it
 * costs nothing.
 */
static enum verdict handle_hlt(struct vcpu *v, struct vcpu_exit *e)
{
	struct gamut_vcpu_state state = { .size = sizeof(state), .rflags = RFLAGS_IF };

	e->hlt.over = false;
	if (!v->set->ops->vcpu_get(v->engine, &state) && !(state.rflags & RFLAGS_IF))
		return dead_halt(v);
	v->idle_mask = ATTN_NMI | ATTN_IRQ;
	return VERDICT_IDLE;
}

/* The first to say how a domain ends is heard: if the platform does not, it is a crash. */
static enum verdict handle_shutdown(struct vcpu *v, struct vcpu_exit *e)
{
	if (v->set->shutdown)
		v->set->shutdown(v->set->shutdown_opaque, v->index);
	vcpus_ended(v->set, GAMUT_END_CRASH, "vcpu %u: triple fault at rip 0x%llx", v->index,
	            (unsigned long long)e->rip);
	return VERDICT_STOP;
}

static enum verdict handle_error(struct vcpu *v, struct vcpu_exit *e)
{
	vcpus_ended(v->set, GAMUT_END_ERROR, "vcpu %u at rip 0x%llx: engine %s cannot go on: %.*s", v->index,
	            (unsigned long long)e->rip, v->set->ops->name, (int)sizeof(e->error.text), e->error.text);
	return VERDICT_STOP;
}

static enum verdict unknown(struct vcpu *v, struct vcpu_exit *e)
{
	vcpus_ended(v->set, GAMUT_END_ERROR, "vcpu %u at rip 0x%llx: exit reason %d is unknown", v->index,
	            (unsigned long long)e->rip, (int)e->reason);
	return VERDICT_STOP;
}

/* The monitor changes registers; the engine takes them back. */
static enum verdict handle_pv(struct vcpu *v, struct vcpu_exit *e)
{
	const struct vcpus *set = v->set;

	if (!set->pv)
		return unknown(v, e);
	account(v, set->pv_owner);
	set->pv->slow(set->pv_opaque, e->pv.cpu);
	return VERDICT_RESUME;
}

/*
 * A handler asked for vcpu_block. An IRQ bit of before may have been served
 * while the guest of a monitor had its events masked; it counts again now, and
 * falls when nothing is pending.
 */
static enum verdict block(struct vcpu *v)
{
	v->block = false;
	if (v->set->pv)
		atomic_fetch_or(&v->attention, ATTN_IRQ);
	v->idle_mask = ATTN_NMI | ATTN_IRQ | ATTN_WAKE;
	return VERDICT_IDLE;
}

/* The index of everything that is handled. */
static const struct {
	const char *name;
	enum verdict (*handle)(struct vcpu *v, struct vcpu_exit *e);
} handlers[EXIT_COUNT] = {
	[EXIT_INTR] = { "interrupt", handle_intr },
	[EXIT_PIO] = { "pio", handle_pio },
	[EXIT_MMIO] = { "mmio", handle_mmio },
	[EXIT_HYPERCALL] = { "hypercall", handle_hypercall },
	[EXIT_RDMSR] = { "rdmsr", handle_rdmsr },
	[EXIT_WRMSR] = { "wrmsr", handle_wrmsr },
	[EXIT_HLT] = { "hlt", handle_hlt },
	[EXIT_SHUTDOWN] = { "shutdown", handle_shutdown },
	[EXIT_ERROR] = { "error", handle_error },
	[EXIT_PV] = { "pv-event", handle_pv },
};

/*
 * Reading the clock twice would cost a cheap exit a third of its time, so that
 * one in SAMPLE exits is timed and counts for all. The gaps are random, or a
 * guest that does the same few accesses over and over would always show the
 * same of them.
 */
#define SAMPLE 64u

static enum verdict handle_timed(struct vcpu *v, struct vcpu_exit *e)
{
	struct exit_counters *c = &v->counters;
	uint64_t begun = __rdtsc(), ticks;
	enum verdict verdict;

	c->last = BUS_UNCLAIMED;
	c->random = c->random * 1664525u + 1013904223u;
	c->until_sample = SAMPLE / 2 + (c->random >> 16) % (SAMPLE + 1);
	verdict = handlers[e->reason].handle(v, e);
	ticks = (__rdtsc() - begun) * SAMPLE;
	if (c->last < c->n_owners)
		atomic_store_explicit(&c->ticks[c->last],
		                      atomic_load_explicit(&c->ticks[c->last], memory_order_relaxed) + ticks,
		                      memory_order_relaxed);
	return verdict;
}

enum verdict exit_dispatch(struct vcpu *v, struct vcpu_exit *e)
{
	enum verdict verdict;

	if ((unsigned)e->reason >= EXIT_COUNT || !handlers[e->reason].handle)
		return unknown(v, e);
	count(&v->counters.reason[e->reason]);
	if (v->counters.until_sample-- == 0)
		verdict = handle_timed(v, e);
	else
		verdict = handlers[e->reason].handle(v, e);
	if (verdict == VERDICT_FAULT)
		count(&v->counters.faults);
	return v->block && verdict != VERDICT_STOP ? block(v) : verdict;
}

const char *exit_name(enum exit_reason reason)
{
	return (unsigned)reason < EXIT_COUNT ? handlers[reason].name : NULL;
}
