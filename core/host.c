/* SPDX-License-Identifier: MIT */
/*
 * The host services table: each entry finds the domain of the instance that
 * asks and hands on to the file that does the work. What such a file reports
 * as a sentence is kept as the instance's failure, so that a plugin which just
 * returns the error has said why.
 *
 * Services that name a vCPU check its number: plugins are trusted, but many
 * pass on what a guest gave.
 */
#include "host.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "console.h"
#include "domain.h"
#include "host-internal.h"
#include "instance.h"

/* ---- messages, options, identity ------------------------------------------------- */

static void host_log(struct gamut_inst *inst, int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vline(&inst->domain->log, level, inst->name, fmt, ap);
	va_end(ap);
}

static int host_fail(struct gamut_inst *inst, int err, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = instance_vfail(inst, err, fmt, ap);
	va_end(ap);
	return rc;
}

static int host_option_int(struct gamut_inst *inst, const char *name, int64_t *value)
{
	const struct option_value *v = conf_option(inst->config, name);

	if (!v || v->type != GAMUT_OPTION_INT)
		return 0;
	*value = v->num;
	return 1;
}

static int host_option_bool(struct gamut_inst *inst, const char *name, int *value)
{
	const struct option_value *v = conf_option(inst->config, name);

	if (!v || v->type != GAMUT_OPTION_BOOL)
		return 0;
	*value = v->num != 0;
	return 1;
}

static int host_option_string(struct gamut_inst *inst, const char *name, const char **value)
{
	const struct option_value *v = conf_option(inst->config, name);

	if (!v || !v->str)
		return 0;
	*value = v->str;
	return 1;
}

static int host_option_list(struct gamut_inst *inst, const char *name, uint32_t index, const char **value)
{
	const struct option_value *v = conf_option(inst->config, name);

	if (!v || index >= v->n_list)
		return 0;
	*value = v->list[index];
	return 1;
}

static uint32_t host_unit(struct gamut_inst *inst)
{
	return inst->config->unit;
}

static uint32_t host_unit_of_choice(struct gamut_inst *inst)
{
	const struct instance_config *other = inst->domain->config->instances;
	uint32_t n = 0;

	for (; other != inst->config; other++)
		n += other->desc == inst->config->desc;
	return n;
}

static const char *host_domain_name(struct gamut_inst *inst)
{
	return inst->domain->config->name;
}

static const uint8_t *host_domain_uuid(struct gamut_inst *inst)
{
	return inst->domain->config->uuid;
}

static uint32_t host_domain_id(struct gamut_inst *inst)
{
	return inst->domain->id;
}

static uint32_t host_vcpu_count(struct gamut_inst *inst)
{
	return inst->domain->vcpus.n;
}

/* ---- guest memory ------------------------------------------------------------------- */

static int host_mem_read(struct gamut_inst *inst, uint64_t gpa, void *buf, uint64_t len)
{
	return mem_read(&inst->domain->mem, gpa, buf, len);
}

static int host_mem_write(struct gamut_inst *inst, uint64_t gpa, const void *buf, uint64_t len)
{
	return mem_write(&inst->domain->mem, gpa, buf, len);
}

static void *host_mem_get(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	return mem_get(&inst->domain->mem, gpa, len);
}

/* The mapping is permanent; a plugin in another process will need this. */
static void host_mem_put(struct gamut_inst *inst, void *ptr, uint64_t len)
{
	(void)inst;
	(void)ptr;
	(void)len;
}

static void host_mem_dirty(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	mem_dirty(&inst->domain->mem, gpa, len);
}

static uint32_t host_mem_ranges(struct gamut_inst *inst, struct gamut_mem_range *ranges, uint32_t n)
{
	const struct mem *m = &inst->domain->mem;

	for (uint32_t i = 0; i < n && i < m->n_ranges; i++)
		ranges[i] = m->ranges[i];
	return m->n_ranges;
}

static struct gamut_page *host_page_alloc(struct gamut_inst *inst, uint32_t n, void **host)
{
	return mem_page_alloc(&inst->domain->mem, n, host);
}

static void host_page_free(struct gamut_inst *inst, struct gamut_page *pages)
{
	mem_page_free(&inst->domain->mem, pages);
}

static int host_page_map(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa)
{
	return mem_page_map(&inst->domain->mem, pages, index, gpa);
}

static int host_page_unmap(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index)
{
	return mem_page_unmap(&inst->domain->mem, pages, index);
}

static int host_page_map_as(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa, uint32_t how)
{
	return mem_page_map_as(&inst->domain->mem, pages, index, gpa, how);
}

static int host_mem_release(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	return mem_release(&inst->domain->mem, gpa, len);
}

static int host_mem_populate(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	return mem_populate(&inst->domain->mem, gpa, len);
}

/* ---- exits ------------------------------------------------------------------------------ */

static int host_pio_register(struct gamut_inst *inst, uint16_t base, uint32_t len, const struct gamut_io_ops *ops,
                             void *opaque)
{
	char err[256] = "";
	int rc = bus_add_pio(&inst->domain->bus, base, len, ops, opaque, instance_owner(inst), err, sizeof(err));

	return rc ? instance_fail(inst, rc, "%s", err) : 0;
}

static int host_mmio_register(struct gamut_inst *inst, uint64_t gpa, uint64_t len, const struct gamut_io_ops *ops,
                              void *opaque)
{
	char err[256] = "";
	int rc = bus_add_mmio(&inst->domain->bus, gpa, len, ops, opaque, instance_owner(inst), err, sizeof(err));

	return rc ? instance_fail(inst, rc, "%s", err) : 0;
}

static int host_msr_register(struct gamut_inst *inst, uint32_t first, uint32_t count,
                             const struct gamut_msr_ops *ops, void *opaque)
{
	char err[256] = "";
	int rc = bus_add_msr(&inst->domain->bus, first, count, ops, opaque, instance_owner(inst), err, sizeof(err));

	return rc ? instance_fail(inst, rc, "%s", err) : 0;
}

static int host_hypercall_register(struct gamut_inst *inst, uint32_t nr, gamut_hypercall_fn fn, void *opaque)
{
	char err[256] = "";
	int rc = bus_add_hypercall(&inst->domain->bus, nr, fn, opaque, instance_owner(inst), err, sizeof(err));

	return rc ? instance_fail(inst, rc, "%s", err) : 0;
}

static int host_hypercall_fallback(struct gamut_inst *inst, gamut_hypercall_fn fn, void *opaque)
{
	const struct domain *d = inst->domain;
	char err[256] = "";
	int rc;

	if (d->engine->hypercalls && !d->engine->hypercalls(d->vm))
		return instance_fail(inst, ENOTSUP, "the engine %s answers vmcall and vmmcall by itself here", d->engine->name);
	rc = bus_add_hypercall_rest(&inst->domain->bus, fn, opaque, instance_owner(inst), err, sizeof(err));
	return rc ? instance_fail(inst, rc, "%s", err) : 0;
}

static int host_bus_fallback(struct gamut_inst *inst, uint32_t space, const struct gamut_io_ops *ops, void *opaque)
{
	char err[256] = "";
	int rc = bus_add_fallback(&inst->domain->bus, space, ops, opaque, instance_owner(inst), err, sizeof(err));

	return rc ? instance_fail(inst, rc, "%s", err) : 0;
}

static int host_cpuid_set(struct gamut_inst *inst, uint32_t vcpu, uint32_t leaf, uint32_t subleaf,
                          const uint32_t regs[4])
{
	return cpuid_edits_set(&inst->domain->cpuid, vcpu, leaf, subleaf, regs);
}

static int host_cpuid_mask(struct gamut_inst *inst, uint32_t vcpu, uint32_t leaf, uint32_t subleaf,
                           const uint32_t clear[4], const uint32_t set[4])
{
	return cpuid_edits_mask(&inst->domain->cpuid, vcpu, leaf, subleaf, clear, set);
}

static int64_t host_hypercall_call(struct gamut_inst *inst, struct gamut_hypercall *call)
{
	struct vcpu *v = host_find_vcpu(inst, call->vcpu);

	return v ? exit_hypercall(v, call, v->exit.rip) : -EINVAL;
}

static void host_hypercall_insn(struct gamut_inst *inst, uint8_t insn[3])
{
	const struct engine_ops *engine = inst->domain->engine;

	if (engine->hypercall_insn)
		engine->hypercall_insn(inst->domain->vm, insn);
	else
		engine_native_hypercall(insn);
}

/* ---- descriptors, deferred work, counters ------------------------------------------------------ */

static struct gamut_watch *host_fd_watch(struct gamut_inst *inst, int fd, uint32_t events, gamut_fd_fn fn,
                                         void *opaque)
{
	struct gamut_watch *w = loop_watch(&inst->domain->loop, fd, events, fn, opaque);

	if (w)
		loop_watch_account(w, &inst->io);
	return w;
}

static int host_fd_modify(struct gamut_inst *inst, struct gamut_watch *watch, uint32_t events)
{
	return loop_modify(&inst->domain->loop, watch, events);
}

static void host_fd_unwatch(struct gamut_inst *inst, struct gamut_watch *watch)
{
	loop_unwatch(&inst->domain->loop, watch);
}

static struct gamut_defer *host_defer_create(struct gamut_inst *inst, gamut_defer_fn fn, void *opaque)
{
	struct gamut_defer *d = loop_defer_create(&inst->domain->loop, fn, opaque);

	if (d)
		loop_defer_account(d, &inst->io);
	return d;
}

static void host_defer_run(struct gamut_inst *inst, struct gamut_defer *defer)
{
	loop_defer_run(&inst->domain->loop, defer);
}

static void host_defer_destroy(struct gamut_inst *inst, struct gamut_defer *defer)
{
	loop_defer_destroy(&inst->domain->loop, defer);
}

static uint64_t *host_counter(struct gamut_inst *inst, const char *name)
{
	return instance_counter(inst, name);
}

static uint64_t *host_sign(struct gamut_inst *inst, uint32_t axis, uint32_t colour, const char *name)
{
	return instance_sign(inst, axis, colour, name);
}

/* ---- console -------------------------------------------------------------------------------------- */

/* Without a console what the guest says is taken and dropped, as by a line with nobody at the end. */
static uint32_t host_console_write(struct gamut_inst *inst, const void *buf, uint32_t len)
{
	return inst->console ? console_write(inst->console, buf, len) : len;
}

static void host_console_on_input(struct gamut_inst *inst, gamut_defer_fn fn, void *opaque)
{
	if (inst->console)
		console_on_input(inst->console, fn, opaque);
}

static uint32_t host_console_read(struct gamut_inst *inst, void *buf, uint32_t len)
{
	return inst->console ? console_read(inst->console, buf, len) : 0;
}

/* ---- domain ----------------------------------------------------------------------------------------- */

static const struct gamut_boot *host_boot(struct gamut_inst *inst)
{
	return &inst->domain->image->boot;
}

static void host_domain_end(struct gamut_inst *inst, int how)
{
	vcpus_ended(&inst->domain->vcpus, how, "%s: %s", inst->name, domain_end_name(how));
}

static const void *host_lookup(struct gamut_inst *inst, const char *id, uint32_t revision, uint32_t unit,
                               void **self)
{
	struct domain *d = inst->domain;

	for (uint32_t i = 0; i < d->n_instances; i++) {
		const void *ops = instance_interface(&d->instances[i], id, revision);

		if (!ops || unit--)
			continue;
		*self = d->instances[i].self;
		return ops;
	}
	return NULL;
}

static int host_needed(struct gamut_inst *inst, const char *id)
{
	const struct domain_config *c = inst->domain->config;

	for (uint32_t i = 0; i < c->n_instances; i++)
		if (&c->instances[i] != inst->config && instance_config_needs(&c->instances[i], id))
			return 1;
	return 0;
}

static int host_on_dead_halt(struct gamut_inst *inst, gamut_halt_fn fn, void *opaque)
{
	struct vcpus *set = &inst->domain->vcpus;

	if (!fn)
		return instance_fail(inst, EINVAL, "a function for halted vCPUs is needed");
	if (set->dead_halt)
		return instance_fail(inst, EBUSY, "the domain has a function for halted vCPUs already");
	set->dead_halt = fn;
	set->dead_halt_opaque = opaque;
	return 0;
}

static int host_on_shutdown(struct gamut_inst *inst, gamut_halt_fn fn, void *opaque)
{
	struct vcpus *set = &inst->domain->vcpus;

	if (!fn)
		return instance_fail(inst, EINVAL, "a function for vCPUs in shutdown is needed");
	if (set->shutdown)
		return instance_fail(inst, EBUSY, "the domain has a function for vCPUs in shutdown already");
	set->shutdown = fn;
	set->shutdown_opaque = opaque;
	return 0;
}

static int host_pv_attach(struct gamut_inst *inst, const struct gamut_pv_guest *guest, void *opaque,
                          struct gamut_pv_cpu **cpus)
{
	struct domain *d = inst->domain;
	struct vcpus *set = &d->vcpus;
	int rc;

	if (!GAMUT_HAS(guest, struct gamut_pv_guest, pending) || !guest->slow || !guest->pending)
		return instance_fail(inst, EINVAL, "the monitor of a guest needs slow and pending");
	if (set->pv)
		return instance_fail(inst, EBUSY, "the domain has a monitor already");
	if (!d->choice.caps.pv_ring3 || !d->engine->pv_attach)
		return instance_fail(inst, ENOTSUP, "the engine %s has no \"engine:pv-ring3\"", d->engine->name);
	rc = d->engine->pv_attach(d->vm, guest, opaque, cpus);
	if (rc)
		return instance_fail(inst, -rc, "the engine %s takes no monitor", d->engine->name);
	set->pv = guest;
	set->pv_opaque = opaque;
	set->pv_owner = instance_owner(inst).index;
	return 0;
}

const struct gamut_host gamut_host_table = {
	.size = sizeof(struct gamut_host),
	.abi_major = GAMUT_ABI_MAJOR,
	.abi_minor = GAMUT_ABI_MINOR,
	.log = host_log,
	.fail = host_fail,
	.option_int = host_option_int,
	.option_bool = host_option_bool,
	.option_string = host_option_string,
	.unit = host_unit,
	.domain_name = host_domain_name,
	.domain_uuid = host_domain_uuid,
	.domain_id = host_domain_id,
	.vcpu_count = host_vcpu_count,
	.mem_read = host_mem_read,
	.mem_write = host_mem_write,
	.mem_get = host_mem_get,
	.mem_put = host_mem_put,
	.mem_dirty = host_mem_dirty,
	.mem_ranges = host_mem_ranges,
	.page_alloc = host_page_alloc,
	.page_free = host_page_free,
	.page_map = host_page_map,
	.page_unmap = host_page_unmap,
	.mem_release = host_mem_release,
	.mem_populate = host_mem_populate,
	.guest_read = host_guest_read,
	.guest_write = host_guest_write,
	.pio_register = host_pio_register,
	.mmio_register = host_mmio_register,
	.msr_register = host_msr_register,
	.hypercall_register = host_hypercall_register,
	.cpuid_set = host_cpuid_set,
	.cpuid_mask = host_cpuid_mask,
	.vcpu_get = host_vcpu_get,
	.vcpu_set = host_vcpu_set,
	.vcpu_up = host_vcpu_up,
	.vcpu_down = host_vcpu_down,
	.vcpu_is_up = host_vcpu_is_up,
	.vcpu_block = host_vcpu_block,
	.vcpu_wake = host_vcpu_wake,
	.vcpu_times = host_vcpu_times,
	.irq_source = host_irq_source,
	.irq_raise = host_irq_raise,
	.nmi_raise = host_nmi_raise,
	.time_now = host_time_now,
	.time_scale = host_time_scale,
	.timer_create = host_timer_create,
	.timer_set = host_timer_set,
	.timer_cancel = host_timer_cancel,
	.timer_destroy = host_timer_destroy,
	.fd_watch = host_fd_watch,
	.fd_modify = host_fd_modify,
	.fd_unwatch = host_fd_unwatch,
	.defer_create = host_defer_create,
	.defer_run = host_defer_run,
	.defer_destroy = host_defer_destroy,
	.counter = host_counter,
	.console_write = host_console_write,
	.console_on_input = host_console_on_input,
	.console_read = host_console_read,
	.boot = host_boot,
	.domain_end = host_domain_end,
	.lookup = host_lookup,
	.on_dead_halt = host_on_dead_halt,
	.vcpu_current = host_vcpu_current,
	.pv_attach = host_pv_attach,
	.hypercall_call = host_hypercall_call,
	.hypercall_insn = host_hypercall_insn,
	.bus_fallback = host_bus_fallback,
	.page_map_as = host_page_map_as,
	.irqchip_create = host_irqchip_create,
	.irqchip_line = host_irqchip_line,
	.irqchip_msi = host_irqchip_msi,
	.irqchip_route = host_irqchip_route,
	.cr8_register = host_cr8_register,
	.option_list = host_option_list,
	.on_shutdown = host_on_shutdown,
	.needed = host_needed,
	.sign = host_sign,
	.hypercall_fallback = host_hypercall_fallback,
	.vcpu_unhalt = host_vcpu_unhalt,
	.unit_of_choice = host_unit_of_choice,
};
