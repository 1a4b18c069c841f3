/* SPDX-License-Identifier: MIT */
#include "dm/xen/intr.h"

#include <errno.h>
#include <string.h>

#include "gamut/pci.h"

static int64_t op_evtchn(void *opaque, struct gamut_hypercall *call)
{
	return evtchn_op(&((struct xen_intr *)opaque)->evtchn, call);
}

static int64_t op_vcpu(void *opaque, struct gamut_hypercall *call)
{
	return xen_vcpu_op(&((struct xen_intr *)opaque)->vcpus, call);
}

static int64_t op_sched(void *opaque, struct gamut_hypercall *call)
{
	return xen_sched_op(&((struct xen_intr *)opaque)->vcpus, call);
}

static int64_t op_set_timer(void *opaque, struct gamut_hypercall *call)
{
	return xen_set_timer_op(&((struct xen_intr *)opaque)->time, call);
}

static int64_t op_vm_assist(void *opaque, struct gamut_hypercall *call)
{
	return xen_vm_assist(&((struct xen_intr *)opaque)->time, call);
}

/*
 * The first is left out where there are no PV timers. The last two belong to the
 * monitor in a PV guest, which passes on what is not its own.
 */
static const struct xen_hypercall hypercalls[] = {
	{ __HYPERVISOR_set_timer_op, op_set_timer },
	{ __HYPERVISOR_sched_op, op_sched },
	{ __HYPERVISOR_event_channel_op, op_evtchn },
	{ __HYPERVISOR_vm_assist, op_vm_assist },
	{ __HYPERVISOR_vcpu_op, op_vcpu },
};

#define N_HYPERCALLS (sizeof(hypercalls) / sizeof(hypercalls[0]))

static uint32_t first_hypercall(const struct xen_intr *x)
{
	return x->can & GAMUT_XEN_INTR_TIME ? 0 : 1;
}

static uint32_t end_of_hypercalls(const struct xen_intr *x)
{
	return x->upcall.by_monitor ? N_HYPERCALLS - 2 : N_HYPERCALLS;
}

/* ---- for the platform ---- */

static int64_t intr_hypercall(void *self, struct gamut_hypercall *call)
{
	struct xen_intr *x = self;

	for (uint32_t i = first_hypercall(x); i < N_HYPERCALLS; i++)
		if (hypercalls[i].nr == call->nr)
			return hypercalls[i].fn(x, call);
	return call->cpl ? -EPERM : xen_unimplemented(&x->env);
}

static int intr_place(void *self, uint64_t gpa)
{
	return shinfo_place(&((struct xen_intr *)self)->shinfo, gpa);
}

static uint64_t intr_where(void *self)
{
	return shinfo_where(&((struct xen_intr *)self)->shinfo);
}

static void intr_latch(void *self, uint32_t long_mode)
{
	struct xen_intr *x = self;

	shinfo_latch(&x->shinfo, long_mode != 0);
	/* The clocks may have another place now. */
	xen_time_update(&x->time);
}

static int intr_callback(void *self, uint64_t via)
{
	return upcall_set_callback(&((struct xen_intr *)self)->upcall, via);
}

static int intr_vector(void *self, uint32_t vcpu, uint32_t vector)
{
	return upcall_set_vector(&((struct xen_intr *)self)->upcall, vcpu, vector);
}

static void intr_by_monitor(void *self)
{
	upcall_by_monitor(&((struct xen_intr *)self)->upcall);
}

static uint8_t *intr_vcpu_info(void *self, uint32_t vcpu)
{
	struct xen_intr *x = self;

	return vcpu < x->env.n_vcpus ? shinfo_vcpu_info(&x->shinfo, vcpu) : NULL;
}

static uint32_t intr_can(void *self)
{
	return ((struct xen_intr *)self)->can;
}

const struct gamut_xen_intr_ops xen_intr_ops = {
	.size = sizeof(struct gamut_xen_intr_ops),
	.hypercall = intr_hypercall,
	.shared_info_place = intr_place,
	.shared_info_where = intr_where,
	.latch_mode = intr_latch,
	.callback_set = intr_callback,
	.upcall_vector_set = intr_vector,
	.upcall_by_monitor = intr_by_monitor,
	.vcpu_info = intr_vcpu_info,
	.can = intr_can,
};

/* ---- for back ends ---- */

static int intr_alloc(void *self, gamut_evtchn_fn fn, void *opaque)
{
	return evtchn_ops.alloc(&((struct xen_intr *)self)->evtchn, fn, opaque);
}

static int intr_bind(void *self, uint32_t port, gamut_evtchn_fn fn, void *opaque)
{
	return evtchn_ops.bind(&((struct xen_intr *)self)->evtchn, port, fn, opaque);
}

static void intr_unbind(void *self, uint32_t port)
{
	evtchn_ops.unbind(&((struct xen_intr *)self)->evtchn, port);
}

static void intr_notify(void *self, uint32_t port)
{
	evtchn_ops.notify(&((struct xen_intr *)self)->evtchn, port);
}

const struct gamut_evtchn_ops xen_intr_evtchn_ops = {
	.size = sizeof(struct gamut_evtchn_ops),
	.alloc = intr_alloc,
	.bind = intr_bind,
	.unbind = intr_unbind,
	.notify = intr_notify,
};

/* ---- for the core ---- */

static int irq_accept(void *opaque, uint32_t vcpu)
{
	return upcall_accept(&((struct xen_intr *)opaque)->upcall, vcpu);
}

static int irq_pending(void *opaque, uint32_t vcpu)
{
	return upcall_has(&((struct xen_intr *)opaque)->upcall, vcpu);
}

static const struct gamut_irq_source irq_source = {
	.size = sizeof(struct gamut_irq_source),
	.accept = irq_accept,
	.pending = irq_pending,
};

const void *xen_intr_interface(const struct xen_intr *x, const char *id, uint32_t revision)
{
	if (x->pc.kind != PC_INTR_APICS && revision == GAMUT_IRQ_REVISION && !strcmp(id, GAMUT_IRQ_LINES))
		return &pc_irq_lines;
	if (revision != GAMUT_XEN_REVISION)
		return NULL;
	if (!strcmp(id, GAMUT_EVENT_CHANNELS))
		return &xen_intr_evtchn_ops;
	return strcmp(id, GAMUT_XEN_INTERRUPTS) ? NULL : &xen_intr_ops;
}

/* ---- a PC's lines ---- */

static void pin_gsi(void *opaque, uint32_t gsi, uint32_t level)
{
	pc_intr_wire(&((struct xen_intr *)opaque)->pc, gsi, level);
}

static void pin_intx(void *opaque, uint32_t device, uint32_t pin, uint32_t level)
{
	struct xen_intr *x = opaque;

	if (x->bus)
		x->bus->board_irq(x->bus_self, device, pin, level);
}

static void look(void *opaque)
{
	upcall_line_look(&((struct xen_intr *)opaque)->upcall);
}

static void wire(struct xen_intr *x)
{
	x->upcall.line.pins = (struct upcall_pins){ pin_gsi, pin_intx, x };
	x->pc.wired = true;
	x->pc.look = look;
	x->pc.look_opaque = x;
}

/* It exists since create, and adds functions only from its own start on. */
static void find_bus(struct xen_intr *x)
{
	const struct gamut_pci_bus_ops *bus =
	        x->env.host->lookup(x->env.inst, GAMUT_PCI_BUS, GAMUT_PCI_REVISION, 0, &x->bus_self);

	if (bus && GAMUT_HAS(bus, struct gamut_pci_bus_ops, board_irq))
		x->bus = bus;
}

/* ---- life cycle ---- */

int xen_intr_register(struct xen_intr *x)
{
	const struct gamut_host *host = x->env.host;
	struct gamut_inst *inst = x->env.inst;
	uint32_t first = first_hypercall(x);
	int rc = xen_hypercalls_register(&x->env, hypercalls + first, end_of_hypercalls(x) - first, x);

	if (rc)
		return rc;
	/* HLT and interrupt controllers are for ring 0. */
	if (x->upcall.by_monitor)
		return host->irq_source(inst, &irq_source, x);
	if (x->pc.kind == PC_INTR_OWN)
		find_bus(x);
	x->pc.source = &irq_source;
	x->pc.source_opaque = x;
	rc = host->on_dead_halt(inst, xen_vcpu_halted, &x->vcpus);
	return rc ? rc : pc_intr_register(&x->pc);
}

static int init(struct xen_intr *x, const struct gamut_host *host, struct gamut_inst *inst, enum pc_intr_kind kind,
                uint32_t can)
{
	x->can = can;
	xen_env_init(&x->env, host, inst);
	if (shinfo_init(&x->shinfo, &x->env))
		return -ENOMEM;
	if (pc_intr_init(&x->pc, host, inst, kind))
		goto no_controllers;
	if (upcall_init(&x->upcall, &x->env, &x->shinfo, &x->pc.apics))
		goto no_upcall;
	if (evtchn_init(&x->evtchn, &x->env, &x->shinfo, &x->upcall))
		goto no_evtchn;
	if (xen_time_init(&x->time, &x->env, &x->shinfo, &x->evtchn))
		goto no_time;
	if (xen_vcpus_init(&x->vcpus, &x->env, &x->shinfo, &x->upcall, &x->evtchn, &x->time))
		goto no_vcpus;
	x->upcall.no_vectors = !(can & GAMUT_XEN_INTR_VECTOR);
	x->time.none = !(can & GAMUT_XEN_INTR_TIME);
	if (kind == PC_INTR_OWN)
		wire(x);
	return 0;

no_vcpus:
	xen_time_finish(&x->time);
no_time:
	evtchn_finish(&x->evtchn);
no_evtchn:
	upcall_finish(&x->upcall);
no_upcall:
	pc_intr_finish(&x->pc);
no_controllers:
	shinfo_finish(&x->shinfo);
	return -ENOMEM;
}

int xen_intr_init(struct xen_intr *x, const struct gamut_host *host, struct gamut_inst *inst)
{
	return init(x, host, inst, PC_INTR_APICS, GAMUT_XEN_INTR_VECTOR | GAMUT_XEN_INTR_TIME);
}

int xen_intr_init_pc(struct xen_intr *x, const struct gamut_host *host, struct gamut_inst *inst, uint32_t can)
{
	return init(x, host, inst, PC_INTR_OWN, can);
}

void xen_intr_finish(struct xen_intr *x)
{
	xen_vcpus_finish(&x->vcpus);
	xen_time_finish(&x->time);
	evtchn_finish(&x->evtchn);
	upcall_finish(&x->upcall);
	pc_intr_finish(&x->pc);
	shinfo_finish(&x->shinfo);
}

void xen_intr_start(struct xen_intr *x)
{
	xen_time_update(&x->time);
}

void xen_intr_pause(struct xen_intr *x)
{
	shinfo_pause(&x->shinfo);
}

void xen_intr_resume(struct xen_intr *x)
{
	shinfo_resume(&x->shinfo);
	pc_intr_resume(&x->pc);
	xen_time_update(&x->time);
	evtchn_resume(&x->evtchn);
}

void xen_intr_reset(struct xen_intr *x)
{
	xen_vcpus_reset(&x->vcpus);
	shinfo_reset(&x->shinfo);
	upcall_reset(&x->upcall);
	pc_intr_reset(&x->pc);
	evtchn_reset(&x->evtchn);
	xen_time_reset(&x->time);
}
