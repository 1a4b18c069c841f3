/* SPDX-License-Identifier: MIT */
/*
 * interrupts = "kvmclock": a PC's controllers as with "apic", and what KVM
 * tells a guest beside them: its clock, steal time, PV end of interrupt,
 * hypercalls. Without a PC there are I/O APIC and local APICs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/kvm/pv.h"
#include "dm/pc/intr-instance.h"

#define EXT_EDX_INVARIANT_TSC (1u << 8) /* of leaf 0x80000007 */

struct intr_kvm {
	struct pc_intr pc; /* first, see pc_intr_interface */
	struct kvm_pv pv;
};

static int create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	struct intr_kvm *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return host->fail(inst, ENOMEM, "out of memory");
	rc = pc_intr_create(&k->pc, host, inst, PC_INTR_IOAPIC);
	if (rc)
		goto free_self;
	rc = kvm_pv_init(&k->pv, host, inst, k->pc.kind == PC_INTR_KERNEL ? NULL : &k->pc.apics);
	if (rc) {
		rc = host->fail(inst, -rc, "cannot make KVM's clocks: %s", strerror(-rc));
		goto free_pc;
	}
	*self = k;
	return 0;

free_pc:
	pc_intr_finish(&k->pc);
free_self:
	free(k);
	return rc;
}

/*
 * The TSC goes on while the domain is paused, and KVM's clock does not: a guest
 * that takes the TSC for invariant makes it its clock, and sees every pause. KVM
 * does not offer it either unless it is asked to.
 */
static int hide_invariant_tsc(const struct gamut_host *host, struct gamut_inst *inst)
{
	static const uint32_t none[4] = { 0 }, clear[4] = { 0, 0, 0, EXT_EDX_INVARIANT_TSC };
	int offered = 0;

	host->option_bool(inst, "invariant_tsc", &offered);
	return offered ? 0 : host->cpuid_mask(inst, UINT32_MAX, 0x80000007u, 0, clear, none);
}

static int start(void *self)
{
	struct intr_kvm *k = self;
	const struct gamut_host *host = k->pv.host;
	int rc = pc_intr_start(&k->pc);

	if (rc)
		return rc;
	rc = kvm_pv_register(&k->pv);
	if (!rc)
		rc = hide_invariant_tsc(host, k->pv.inst);
	return rc ? host->fail(k->pv.inst, -rc, "cannot register KVM's clocks: %s", strerror(-rc)) : 0;
}

static int resume(void *self)
{
	struct intr_kvm *k = self;

	pc_intr_resume(&k->pc);
	kvm_pv_resume(&k->pv);
	return 0;
}

static int reset(void *self)
{
	struct intr_kvm *k = self;

	kvm_pv_reset(&k->pv);
	pc_intr_reset(&k->pc);
	return 0;
}

static void destroy(void *self)
{
	struct intr_kvm *k = self;

	kvm_pv_finish(&k->pv);
	pc_intr_finish(&k->pc);
	free(k);
}

static const void *interface(void *self, const char *id, uint32_t revision)
{
	return pc_intr_interface(self, id, revision);
}

static const struct gamut_ops ops = {
	.size = sizeof(struct gamut_ops),
	.create = create,
	.start = start,
	.resume = resume,
	.reset = reset,
	.destroy = destroy,
	.interface = interface,
};

static const char *const needs[] = { NULL };
static const char *const gives[] = { GAMUT_IRQ_LINES, NULL };

static const struct gamut_option options[] = {
	PC_INTR_OPTIONS,
	{ .size = sizeof(struct gamut_option),
	  .type = GAMUT_OPTION_BOOL,
	  .name = "invariant_tsc",
	  .help = "say that the TSC is invariant where it is; Linux then prefers it, and its time goes on in pauses",
	  .default_value = "false" },
};

static const struct gamut_descriptor descriptor = {
	.size = sizeof(struct gamut_descriptor),
	.axis = GAMUT_AXIS_INTERRUPTS,
	.colour = GAMUT_COLOUR_V,
	.score = 60,
	.choice = "kvmclock",
	.description = "8259s, 8254, I/O APIC and local APICs, with KVM's clock, steal time, PV EOI and hypercalls",
	.needs = needs,
	.gives = gives,
	.options = options,
	.n_options = sizeof(options) / sizeof(options[0]),
	.ops = &ops,
};

static const struct gamut_descriptor *const descriptors[] = { &descriptor };

GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {
	GAMUT_PLUGIN_HEADER,
	.name = "intr-kvmclock",
	.version = "0.1.0",
	.licence = "MIT",
	.n_descriptors = 1,
	.descriptors = descriptors,
};
