/* SPDX-License-Identifier: MIT */
/*
 * The monitor of a domain from its making to its end, and what the platform
 * sees of it. start runs platform, mmu, interrupts; so boot, which the platform
 * calls, comes before the monitor's own start, and in a reset before the
 * interrupts' own reset. That is why boot looks its peers up itself, and why no
 * pointer to a vcpu_info is taken before the guest runs (pv_take_info).
 */
#include "dm/xen/pv/monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct gamut_pv_guest guest_ops = {
	.size = sizeof(struct gamut_pv_guest),
	.fast = pv_fast,
	.slow = pv_slow,
	.pending = pv_pending,
};

static void make_vcpus(struct pv_domain *d)
{
	for (uint32_t i = 0; i < d->n_vcpus; i++) {
		d->vcpu[i].domain = d;
		d->vcpu[i].cpu = d->cpu[i];
		d->vcpu[i].index = i;
		pv_vcpu_clear(&d->vcpu[i]);
	}
}

static void make_counters(struct pv_domain *d)
{
	d->hypercalls = d->env.host->counter(d->env.inst, "hypercalls");
	d->bounces = d->env.host->counter(d->env.inst, "bounces");
	d->emulated = d->env.host->counter(d->env.inst, "instructions-emulated");
	d->exits_slow = d->env.host->counter(d->env.inst, "events-slow");
}

int pv_domain_init(struct pv_domain *d, const struct gamut_host *host, struct gamut_inst *inst)
{
	int rc = -ENOMEM;

	memset(d, 0, sizeof(*d));
	xen_env_init(&d->env, host, inst);
	d->n_vcpus = d->env.n_vcpus;
	d->vcpu = calloc(d->n_vcpus, sizeof(*d->vcpu));
	d->cpu = calloc(d->n_vcpus, sizeof(*d->cpu));
	if (!d->vcpu || !d->cpu)
		goto fail;
	make_counters(d);
	pthread_mutex_init(&d->lock, NULL);
	pv_pit_init(&d->pit);
	rc = host->pv_attach(inst, &guest_ops, d, d->cpu);
	if (rc)
		goto no_engine;
	make_vcpus(d);
	rc = pv_mmu_init(d);
	if (!rc)
		return 0;

no_engine:
	pv_pit_finish(&d->pit);
	pthread_mutex_destroy(&d->lock);
fail:
	free(d->cpu);
	free(d->vcpu);
	return rc;
}

void pv_domain_finish(struct pv_domain *d)
{
	pv_mmu_finish(d);
	pv_pit_finish(&d->pit);
	pthread_mutex_destroy(&d->lock);
	free(d->cpu);
	free(d->vcpu);
}

/* Whoever comes first, boot or start. */
static int wire(struct pv_domain *d)
{
	const struct xen_env *env = &d->env;

	if (d->wired)
		return 0;
	d->intr = env->host->lookup(env->inst, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, 0, &d->intr_self);
	if (!d->intr || !GAMUT_HAS(d->intr, struct gamut_xen_intr_ops, vcpu_info))
		return env->host->fail(env->inst, ENOENT, "a PV guest needs event channels whose upcalls its monitor delivers");
	d->intr->upcall_by_monitor(d->intr_self);
	d->wired = true;
	return 0;
}

int pv_domain_start(struct pv_domain *d)
{
	int rc = wire(d);

	if (!rc)
		rc = pv_hypercalls_register(d);
	if (!rc)
		rc = pv_mmu_register(d);
	return rc ? rc : pv_cpuid_register(d);
}

static void forget_info(struct pv_domain *d)
{
	for (uint32_t i = 0; i < d->n_vcpus; i++)
		__atomic_store_n(&d->vcpu[i].info, NULL, __ATOMIC_RELEASE);
}

void pv_domain_pause(struct pv_domain *d)
{
	forget_info(d);
}

void pv_domain_resume(struct pv_domain *d)
{
	pv_mmu_resume(d);
}

/* ---- for the platform --------------------------------------------------------------------- */

/* All as before the first boot; the memory half lets go of what it knows of the old guest's memory. */
static void clear(struct pv_domain *d)
{
	pv_mmu_reset(d);
	for (uint32_t i = 0; i < d->n_vcpus; i++)
		pv_vcpu_clear(&d->vcpu[i]);
	pv_pit_reset(&d->pit);
	d->vm_assist = 0;
	d->crashed = false;
}

static int monitor_boot(void *self, const struct gamut_pv_boot *boot)
{
	struct pv_domain *d = self;
	int rc;

	if (d->booted)
		clear(d);
	d->booted = true;
	rc = wire(d);
	if (!rc)
		rc = pv_vcpu_first(&d->vcpu[0], boot);
	return rc ? rc : pv_mmu_boot(d, boot->root);
}

static void monitor_machphys(void *self, uint64_t *v_start, uint64_t *v_end, uint64_t *max_mfn)
{
	pv_machphys(self, v_start, v_end, max_mfn);
}

static int monitor_page_free(void *self, uint64_t mfn)
{
	return pv_page_free(self, mfn);
}

static void monitor_page_gone(void *self, uint64_t mfn)
{
	pv_page_gone(self, mfn);
}

static void monitor_page_here(void *self, uint64_t mfn, uint64_t pfn)
{
	pv_page_here(self, mfn, pfn);
}

const struct gamut_pv_monitor_ops pv_monitor_ops = {
	.size = sizeof(struct gamut_pv_monitor_ops),
	.boot = monitor_boot,
	.machphys = monitor_machphys,
	.page_free = monitor_page_free,
	.page_gone = monitor_page_gone,
	.page_here = monitor_page_here,
};
