/* SPDX-License-Identifier: MIT */
#include "engine-fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct engine_vm {
	struct mem *mem;
};

struct engine_fake engine_fake;

void engine_fake_reset(void)
{
	memset(&engine_fake, 0, sizeof(engine_fake));
}

static struct engine_fake_vcpu *fake(struct engine_vcpu *v)
{
	return (struct engine_fake_vcpu *)v;
}

static bool fake_probe(struct engine_caps *caps, char *why, unsigned why_len)
{
	snprintf(why, why_len, "fake");
	*caps = (struct engine_caps){
		.hap = true, .shadow = engine_fake.shadow, .pv_ring3 = engine_fake.pv_ring3,
		.irqchip = engine_fake.irqchip, .max_vcpus = ENGINE_FAKE_VCPUS
	};
	return true;
}

static int fake_vm_create(struct engine_vm **vm, struct mem *mem, const struct engine_config *config, char *err,
                          unsigned err_len)
{
	engine_fake.config = *config;
	if (engine_fake.fail_vm) {
		snprintf(err, err_len, "the fake engine was told to fail");
		return -EIO;
	}
	*vm = calloc(1, sizeof(**vm));
	(*vm)->mem = mem;
	engine_fake.n_vms++;
	return 0;
}

static void fake_vm_destroy(struct engine_vm *vm)
{
	engine_fake.n_vms--;
	free(vm);
}

static int fake_vcpu_create(struct engine_vm *vm, uint32_t index, const struct engine_vcpu_env *env,
                            struct engine_vcpu **vcpu, char *err, unsigned err_len)
{
	struct engine_fake_vcpu *v;

	(void)vm;
	if (engine_fake.fail_vcpu || index >= ENGINE_FAKE_VCPUS) {
		snprintf(err, err_len, "no fake vCPU %u", index);
		return -EIO;
	}
	v = calloc(1, sizeof(*v));
	v->env = *env;
	v->index = index;
	v->script = engine_fake.scripts[index];
	v->last_vector = -1;
	engine_fake.vcpu[index] = v;
	engine_fake.n_vcpus++;
	*vcpu = &v->base;
	return 0;
}

static void fake_vcpu_destroy(struct engine_vcpu *vcpu)
{
	engine_fake.vcpu[fake(vcpu)->index] = NULL;
	engine_fake.n_vcpus--;
	free(fake(vcpu));
}

static int fake_cpuid_supported(struct engine_vm *vm, struct cpuid_entry **entries, uint32_t *n)
{
	static const struct cpuid_entry offer[] = {
		{ .leaf = 0, .regs = { 7, 1, 2, 3 } },
		{ .leaf = 1, .regs = { 0x10, 0, 0xff, 0xffff } },
	};

	(void)vm;
	*entries = malloc(sizeof(offer));
	memcpy(*entries, offer, sizeof(offer));
	*n = 2;
	return 0;
}

static int fake_cpuid_set(struct engine_vcpu *vcpu, const struct cpuid_entry *entries, uint32_t n)
{
	struct engine_fake_vcpu *v = fake(vcpu);

	if (n > 64)
		return -E2BIG;
	memcpy(v->cpuid, entries, n * sizeof(*entries));
	v->n_cpuid = n;
	return 0;
}

static void fake_vcpu_reset(struct engine_vcpu *vcpu)
{
	struct engine_fake_vcpu *v = fake(vcpu);

	v->resets++;
	v->at = 0;
	memset(&v->state, 0, sizeof(v->state));
	v->state.size = sizeof(v->state);
	v->state.rip = 0xfff0;
	v->state.rflags = 0x202; /* IF set, for hlt */
}

static int fake_vcpu_get(struct engine_vcpu *vcpu, struct gamut_vcpu_state *state)
{
	*state = fake(vcpu)->state;
	return 0;
}

static int fake_vcpu_set(struct engine_vcpu *vcpu, const struct gamut_vcpu_state *state)
{
	fake(vcpu)->state = *state;
	return 0;
}

/* As an engine with IF set: takes what there is on entry. */
static void take_interrupts(struct engine_fake_vcpu *v)
{
	int vector;

	if (!(atomic_fetch_and(v->env.attention, ~(ATTN_IRQ | ATTN_NMI | ATTN_NMI_MORE)) & ATTN_IRQ))
		return;
	while ((vector = v->env.irq_accept(v->env.opaque)) >= 0) {
		v->last_vector = vector;
		v->accepted++;
	}
}

static void fake_vcpu_run(struct engine_vcpu *vcpu, struct vcpu_exit *exit)
{
	const struct timespec nap = { .tv_nsec = 100000 };
	struct engine_fake_vcpu *v = fake(vcpu);
	uint32_t at = v->at;

	v->runs++;
	take_interrupts(v);
	if (v->script && v->script[at]) {
		v->at = at + 1;
		v->script[at](v, exit);
		return;
	}
	while (!atomic_load(v->env.attention))
		nanosleep(&nap, NULL);
	take_interrupts(v);
	exit->reason = EXIT_INTR;
}

/* The loop above looks by itself. */
static void fake_vcpu_kick(struct engine_vcpu *vcpu)
{
	fake(vcpu)->kicks++;
}

static int fake_guest_copy(struct engine_vcpu *vcpu, uint64_t va, void *buf, uint64_t len, bool write)
{
	(void)vcpu;
	(void)va;
	if (!write)
		memset(buf, 0x5a, len);
	return va < 0x1000 ? -EFAULT : 0;
}

static void fake_mem_changed(struct engine_vm *vm, uint64_t gpa, uint64_t len, bool remapped)
{
	(void)vm;
	(void)gpa;
	(void)len;
	if (remapped)
		engine_fake.remaps++;
	else
		engine_fake.changes++;
}

static uint64_t fake_tsc_offset(struct engine_vcpu *vcpu)
{
	(void)vcpu;
	return 1000;
}

static uint32_t fake_stats(struct engine_vm *vm, struct engine_stat *stats, uint32_t n)
{
	(void)vm;
	if (n)
		stats[0] = (struct engine_stat){ "code_cache_bytes", 4096 };
	return 1;
}

static int fake_pv_attach(struct engine_vm *vm, const struct gamut_pv_guest *guest, void *opaque,
                          struct gamut_pv_cpu **cpus)
{
	(void)vm;
	(void)guest;
	(void)opaque;
	if (engine_fake.fail_attach)
		return -EINVAL;
	for (uint32_t i = 0; i < engine_fake.n_vcpus; i++) {
		engine_fake.vcpu[i]->pv = (struct gamut_pv_cpu){ .size = sizeof(struct gamut_pv_cpu), .vcpu = i };
		cpus[i] = &engine_fake.vcpu[i]->pv;
	}
	return 0;
}

static int fake_irqchip_create(struct engine_vm *vm, const struct engine_irqchip *config)
{
	(void)vm;
	if (!engine_fake.irqchip)
		return -ENOTSUP;
	engine_fake.chip = *config;
	engine_fake.n_chips++;
	return 0;
}

static int fake_irqchip_line(struct engine_vm *vm, uint32_t gsi, bool level)
{
	(void)vm;
	engine_fake.last_gsi = gsi;
	engine_fake.last_level = level;
	return 0;
}

static int fake_irqchip_msi(struct engine_vm *vm, uint64_t address, uint32_t data)
{
	(void)vm;
	(void)address;
	engine_fake.last_msi = data;
	return 0;
}

static int fake_irqchip_route(struct engine_vm *vm, const struct engine_msi *pins, uint32_t n)
{
	(void)vm;
	memcpy(engine_fake.pins, pins, n * sizeof(*pins));
	engine_fake.n_pins = n;
	return 0;
}

const struct engine_ops engine_fake_ops = {
	.name = "fake",
	.description = "for tests",
	.probe = fake_probe,
	.vm_create = fake_vm_create,
	.vm_destroy = fake_vm_destroy,
	.vcpu_create = fake_vcpu_create,
	.vcpu_destroy = fake_vcpu_destroy,
	.cpuid_supported = fake_cpuid_supported,
	.cpuid_set = fake_cpuid_set,
	.vcpu_reset = fake_vcpu_reset,
	.vcpu_get = fake_vcpu_get,
	.vcpu_set = fake_vcpu_set,
	.vcpu_run = fake_vcpu_run,
	.vcpu_kick = fake_vcpu_kick,
	.guest_copy = fake_guest_copy,
	.mem_changed = fake_mem_changed,
	.tsc_offset = fake_tsc_offset,
	.stats = fake_stats,
	.pv_attach = fake_pv_attach,
	.irqchip_create = fake_irqchip_create,
	.irqchip_line = fake_irqchip_line,
	.irqchip_msi = fake_irqchip_msi,
	.irqchip_route = fake_irqchip_route,
};
