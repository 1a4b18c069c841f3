/* SPDX-License-Identifier: MIT */
/* The services of the host table that are about vCPUs: their memory, state, interrupts and time. */
#include <errno.h>
#include <string.h>

#include "domain.h"
#include "host-internal.h"
#include "instance.h"

/* ---- vCPUs ----------------------------------------------------------------------------- */

struct vcpu *host_find_vcpu(struct gamut_inst *inst, uint32_t index)
{
	struct vcpus *set = &inst->domain->vcpus;

	return index < set->n ? set->vcpu[index] : NULL;
}

static int guest_copy(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, void *buf, uint64_t len, bool write)
{
	struct vcpu *v = host_find_vcpu(inst, vcpu);

	/* A range that wraps is none. */
	if (!v || (len && va + (len - 1) < va))
		return -EFAULT;
	return len ? inst->domain->engine->guest_copy(v->engine, va, buf, len, write) : 0;
}

int host_guest_read(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, void *buf, uint64_t len)
{
	return guest_copy(inst, vcpu, va, buf, len, false);
}

int host_guest_write(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, const void *buf, uint64_t len)
{
	/* Only read through when writing to the guest; the engine has one function for both. */
	return guest_copy(inst, vcpu, va, (void *)buf, len, true);
}

int host_vcpu_get(struct gamut_inst *inst, uint32_t vcpu, struct gamut_vcpu_state *state)
{
	const struct vcpus *set = &inst->domain->vcpus;
	struct vcpu *v = host_find_vcpu(inst, vcpu);
	int rc = v ? inst->domain->engine->vcpu_get(v->engine, state) : -EINVAL;

	if (!rc && set->cr8_outside && GAMUT_HAS(state, struct gamut_vcpu_state, cr8))
		state->cr8 = set->cr8_read(set->cr8_opaque, vcpu) & 15;
	return rc;
}

static int set_up(struct gamut_inst *inst, uint32_t vcpu, bool up)
{
	struct vcpu *v = host_find_vcpu(inst, vcpu);

	if (!v)
		return -EINVAL;
	vcpu_set_up(v, up);
	return 0;
}

int host_vcpu_up(struct gamut_inst *inst, uint32_t vcpu)
{
	return set_up(inst, vcpu, true);
}

int host_vcpu_down(struct gamut_inst *inst, uint32_t vcpu)
{
	return set_up(inst, vcpu, false);
}

int host_vcpu_is_up(struct gamut_inst *inst, uint32_t vcpu)
{
	struct vcpu *v = host_find_vcpu(inst, vcpu);

	return v && atomic_load(&v->up);
}

/* Few vCPUs and a rare question: a search spares a variable per thread. */
uint32_t host_vcpu_current(struct gamut_inst *inst)
{
	const struct vcpus *set = &inst->domain->vcpus;

	for (uint32_t i = 0; i < set->n; i++)
		if (set->vcpu[i]->started && pthread_equal(set->vcpu[i]->thread, pthread_self()))
			return i;
	return UINT32_MAX;
}

/* On the vCPU's own thread, or on the control thread while all are parked, it is set at once. */
int host_vcpu_set(struct gamut_inst *inst, uint32_t vcpu, const struct gamut_vcpu_state *state)
{
	struct vcpu *v = host_find_vcpu(inst, vcpu);
	uint32_t current = host_vcpu_current(inst);

	if (!v)
		return -EINVAL;
	if (current == vcpu || current == UINT32_MAX)
		return inst->domain->engine->vcpu_set(v->engine, state);
	return vcpu_set_state(v, state);
}

void host_vcpu_block(struct gamut_inst *inst, uint32_t vcpu)
{
	struct vcpu *v = host_find_vcpu(inst, vcpu);

	if (v)
		v->block = true;
}

static void attend(struct gamut_inst *inst, uint32_t vcpu, uint32_t bits)
{
	struct vcpu *v = host_find_vcpu(inst, vcpu);

	if (v)
		vcpu_attend(v, bits);
}

void host_vcpu_wake(struct gamut_inst *inst, uint32_t vcpu)
{
	attend(inst, vcpu, ATTN_WAKE);
}

void host_vcpu_times(struct gamut_inst *inst, uint32_t vcpu, uint64_t ns[4])
{
	struct vcpu *v = host_find_vcpu(inst, vcpu);

	memset(ns, 0, 4 * sizeof(*ns));
	if (v)
		vcpu_times(v, ns);
}

/* ---- interrupts -------------------------------------------------------------------------- */

int host_irq_source(struct gamut_inst *inst, const struct gamut_irq_source *ops, void *opaque)
{
	struct vcpus *set = &inst->domain->vcpus;

	if (!GAMUT_HAS(ops, struct gamut_irq_source, pending) || !ops->accept || !ops->pending)
		return instance_fail(inst, EINVAL, "an interrupt source needs accept and pending");
	if (set->irq)
		return instance_fail(inst, EBUSY, "the domain has an interrupt source already");
	set->irq = ops;
	set->irq_opaque = opaque;
	return 0;
}

int host_cr8_register(struct gamut_inst *inst, uint64_t (*read)(void *opaque, uint32_t vcpu),
                             void (*write)(void *opaque, uint32_t vcpu, uint64_t value), void *opaque)
{
	struct vcpus *set = &inst->domain->vcpus;

	if (!read != !write)
		return instance_fail(inst, EINVAL, "CR8 needs a read and a write function");
	if (inst->domain->phase >= PHASE_START)
		return instance_fail(inst, EPERM, "CR8 is given to a controller before the domain is started");
	if (read && set->cr8_outside)
		return instance_fail(inst, EBUSY, "CR8 is another controller's already");
	set->cr8_outside = read != NULL;
	set->cr8_read = read;
	set->cr8_write = write;
	set->cr8_opaque = opaque;
	return 0;
}

/* ---- interrupt controllers of the engine ------------------------------------------------- */

int host_irqchip_create(struct gamut_inst *inst, uint32_t kind, void (*eoi)(void *opaque, uint32_t vector),
                               void *opaque)
{
	const struct engine_irqchip config = { .split = kind == GAMUT_IRQCHIP_SPLIT, .eoi = eoi, .opaque = opaque };
	struct domain *d = inst->domain;
	int rc;

	if (kind != GAMUT_IRQCHIP_WHOLE && kind != GAMUT_IRQCHIP_SPLIT)
		return instance_fail(inst, EINVAL, "interrupt controllers of kind %u are not known", kind);
	if (d->phase != PHASE_ENGINE)
		return instance_fail(inst, EBUSY, "interrupt controllers in the engine are made in create alone");
	rc = d->engine->irqchip_create ? d->engine->irqchip_create(d->vm, &config) : -ENOTSUP;
	if (rc)
		return instance_fail(inst, -rc, "the engine %s has no interrupt controllers here: %s", d->engine->name,
		                     strerror(-rc));
	vcpus_irqchip(&d->vcpus);
	return 0;
}

int host_irqchip_line(struct gamut_inst *inst, uint32_t gsi, uint32_t level)
{
	const struct domain *d = inst->domain;

	return d->vcpus.irqchip ? d->engine->irqchip_line(d->vm, gsi, level != 0) : -ENOTSUP;
}

int host_irqchip_msi(struct gamut_inst *inst, uint64_t address, uint32_t data)
{
	const struct domain *d = inst->domain;

	return d->vcpus.irqchip ? d->engine->irqchip_msi(d->vm, address, data) : -ENOTSUP;
}

int host_irqchip_route(struct gamut_inst *inst, const struct gamut_irqchip_pin *pins, uint32_t n)
{
	struct engine_msi msi[ENGINE_PINS];
	const struct domain *d = inst->domain;

	if (!d->vcpus.irqchip)
		return -ENOTSUP;
	if (n > ENGINE_PINS)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		msi[i] = (struct engine_msi){ .set = pins[i].set != 0, .address = pins[i].address, .data = pins[i].data };
	return d->engine->irqchip_route(d->vm, msi, n);
}

void host_irq_raise(struct gamut_inst *inst, uint32_t vcpu)
{
	attend(inst, vcpu, ATTN_IRQ);
}

void host_nmi_raise(struct gamut_inst *inst, uint32_t vcpu)
{
	struct vcpu *v = host_find_vcpu(inst, vcpu);

	if (v)
		vcpu_nmi(v);
}

/* ---- time ----------------------------------------------------------------------------------- */

uint64_t host_time_now(struct gamut_inst *inst)
{
	return clock_now(&inst->domain->clock);
}

void host_time_scale(struct gamut_inst *inst, uint32_t vcpu, uint64_t *tsc_base, uint64_t *ns_base,
                            uint32_t *mul, int8_t *shift)
{
	const struct clock_scale *scale = &inst->domain->clock.scale;
	struct vcpu *v = host_find_vcpu(inst, vcpu);

	*tsc_base = scale->tsc_base + (v ? inst->domain->engine->tsc_offset(v->engine) : 0);
	*ns_base = scale->ns_base;
	*mul = scale->mul;
	*shift = scale->shift;
}

struct gamut_timer *host_timer_create(struct gamut_inst *inst, gamut_timer_fn fn, void *opaque)
{
	struct gamut_timer *t = timer_create_in(&inst->domain->timers, fn, opaque);

	if (t)
		timer_account(t, &inst->io);
	return t;
}

void host_timer_set(struct gamut_inst *inst, struct gamut_timer *timer, uint64_t ns)
{
	timer_set_in(&inst->domain->timers, timer, ns);
}

void host_timer_cancel(struct gamut_inst *inst, struct gamut_timer *timer)
{
	timer_cancel_in(&inst->domain->timers, timer);
}

void host_timer_destroy(struct gamut_inst *inst, struct gamut_timer *timer)
{
	timer_destroy_in(&inst->domain->timers, timer);
}
