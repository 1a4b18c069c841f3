/* SPDX-License-Identifier: MIT */
#include "fake/host-fake.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096ull

struct gamut_inst {
	struct host_fake fake;
};

struct gamut_page {
	struct gamut_page *next;
	uint32_t n;
	uint8_t *host;
	uint64_t *at; /* gpa of each page, UINT64_MAX when not mapped */
};

struct gamut_timer {
	struct gamut_timer *next;
	gamut_timer_fn fn;
	void *opaque;
	bool set;
	uint64_t when;
};

struct gamut_watch {
	struct gamut_watch *next;
	int fd;
	uint32_t events;
	gamut_fd_fn fn;
	void *opaque;
};

struct gamut_defer {
	struct gamut_defer *next;
	gamut_defer_fn fn;
	void *opaque;
	_Atomic bool pending;
};

static void *need(void *p)
{
	if (!p) {
		fputs("host-fake: out of memory\n", stderr);
		exit(99);
	}
	return p;
}

static struct host_fake *fake(struct gamut_inst *inst)
{
	return &inst->fake;
}

/* ---- messages and options ---- */

static GAMUT_PRINTF(3, 4) void fake_log(struct gamut_inst *inst, int level, const char *fmt, ...)
{
	struct host_fake *f = fake(inst);
	va_list ap;

	pthread_mutex_lock(&f->lock);
	f->logs[level & 3]++;
	va_start(ap, fmt);
	vsnprintf(f->last_log, sizeof(f->last_log), fmt, ap);
	va_end(ap);
	pthread_mutex_unlock(&f->lock);
}

static GAMUT_PRINTF(3, 4) int fake_fail(struct gamut_inst *inst, int err, const char *fmt, ...)
{
	struct host_fake *f = fake(inst);
	va_list ap;

	pthread_mutex_lock(&f->lock);
	f->fails++;
	va_start(ap, fmt);
	vsnprintf(f->last_fail, sizeof(f->last_fail), fmt, ap);
	va_end(ap);
	pthread_mutex_unlock(&f->lock);
	return -err;
}

static const struct host_fake_option *find_option(struct host_fake *f, const char *name)
{
	for (uint32_t i = 0; i < f->n_options; i++)
		if (!strcmp(f->options[i].name, name))
			return &f->options[i];
	return NULL;
}

static int fake_option_int(struct gamut_inst *inst, const char *name, int64_t *value)
{
	const struct host_fake_option *o = find_option(fake(inst), name);

	if (o)
		*value = o->number;
	return o != NULL;
}

static int fake_option_bool(struct gamut_inst *inst, const char *name, int *value)
{
	const struct host_fake_option *o = find_option(fake(inst), name);

	if (o)
		*value = o->number != 0;
	return o != NULL;
}

static int fake_option_string(struct gamut_inst *inst, const char *name, const char **value)
{
	const struct host_fake_option *o = find_option(fake(inst), name);

	if (o)
		*value = o->string;
	return o != NULL;
}

/* An option given several times over is a list. */
static int fake_option_list(struct gamut_inst *inst, const char *name, uint32_t index, const char **value)
{
	const struct host_fake *f = fake(inst);

	for (uint32_t i = 0; i < f->n_options; i++)
		if (!strcmp(f->options[i].name, name) && f->options[i].string && !index--) {
			*value = f->options[i].string;
			return 1;
		}
	return 0;
}

static uint32_t fake_unit(struct gamut_inst *inst)
{
	return fake(inst)->unit;
}

static const char *fake_domain_name(struct gamut_inst *inst)
{
	return fake(inst)->name;
}

static const uint8_t *fake_domain_uuid(struct gamut_inst *inst)
{
	return fake(inst)->uuid;
}

static uint32_t fake_domain_id(struct gamut_inst *inst)
{
	return fake(inst)->domid;
}

static uint32_t fake_vcpu_count(struct gamut_inst *inst)
{
	return fake(inst)->vcpus;
}

/* ---- guest memory ---- */

static uint8_t *page_ptr(struct host_fake *f, uint64_t gpa)
{
	uint64_t page = gpa / PAGE;

	if (gpa >= f->space)
		return NULL;
	if (f->over[page])
		return f->over[page] + gpa % PAGE;
	return f->hole[page] ? NULL : f->ram + gpa;
}

/* way: -1 read, 1 write, 0 and 2 look whether that can be. */
static int each_page(struct host_fake *f, uint64_t gpa, void *buf, uint64_t len, int way)
{
	uint8_t *p = buf;

	if (gpa + len < gpa)
		return -EFAULT;
	while (len) {
		uint64_t n = PAGE - gpa % PAGE < len ? PAGE - gpa % PAGE : len;
		uint8_t *host = page_ptr(f, gpa);

		if (!host || (way == 2 && f->rom[gpa / PAGE]))
			return -EFAULT;
		if (way == 1)
			memcpy(host, p, n);
		else if (way < 0)
			memcpy(p, host, n);
		gpa += n;
		p += n;
		len -= n;
	}
	return 0;
}

static int fake_copy(struct host_fake *f, uint64_t gpa, void *buf, uint64_t len, int way)
{
	pthread_mutex_lock(&f->lock);
	/* buf is not touched in the first round: all or nothing. */
	int rc = len > f->space ? -EFAULT : each_page(f, gpa, buf, len, way > 0 ? 2 : 0);

	if (!rc)
		rc = each_page(f, gpa, buf, len, way);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static int fake_mem_read(struct gamut_inst *inst, uint64_t gpa, void *buf, uint64_t len)
{
	return fake_copy(fake(inst), gpa, buf, len, -1);
}

static int fake_mem_write(struct gamut_inst *inst, uint64_t gpa, const void *buf, uint64_t len)
{
	return fake_copy(fake(inst), gpa, (void *)(uintptr_t)buf, len, 1);
}

static void *fake_mem_get(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	struct host_fake *f = fake(inst);
	uint8_t *first = NULL;

	pthread_mutex_lock(&f->lock);
	if (len && len <= f->space && gpa < f->space && gpa + len <= f->space && !f->rom[gpa / PAGE]) {
		first = page_ptr(f, gpa);
		for (uint64_t off = PAGE - gpa % PAGE; first && off < len; off += PAGE)
			if (page_ptr(f, gpa + off) != first + off || f->rom[(gpa + off) / PAGE])
				first = NULL;
	}
	if (first)
		f->gets++;
	pthread_mutex_unlock(&f->lock);
	return first;
}

static void fake_mem_put(struct gamut_inst *inst, void *ptr, uint64_t len)
{
	struct host_fake *f = fake(inst);

	(void)ptr;
	(void)len;
	pthread_mutex_lock(&f->lock);
	f->gets--;
	pthread_mutex_unlock(&f->lock);
}

static void fake_mem_dirty(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	struct host_fake *f = fake(inst);

	(void)gpa;
	pthread_mutex_lock(&f->lock);
	f->dirtied += len;
	pthread_mutex_unlock(&f->lock);
}

static uint32_t fake_mem_ranges(struct gamut_inst *inst, struct gamut_mem_range *ranges, uint32_t n)
{
	if (n)
		ranges[0] = (struct gamut_mem_range){ .gpa = 0, .size = fake(inst)->ram_size };
	return 1;
}

static struct gamut_page *fake_page_alloc(struct gamut_inst *inst, uint32_t n, void **host)
{
	struct host_fake *f = fake(inst);
	struct gamut_page *p = need(calloc(1, sizeof(*p)));

	p->n = n;
	p->host = need(aligned_alloc(PAGE, n * PAGE));
	memset(p->host, 0, n * PAGE);
	p->at = need(malloc(n * sizeof(*p->at)));
	memset(p->at, 0xff, n * sizeof(*p->at));
	pthread_mutex_lock(&f->lock);
	p->next = f->pages;
	f->pages = p;
	pthread_mutex_unlock(&f->lock);
	*host = p->host;
	return p;
}

static void unmap_at(struct host_fake *f, struct gamut_page *p, uint32_t i)
{
	if (p->at[i] != UINT64_MAX) {
		f->over[p->at[i] / PAGE] = NULL;
		f->rom[p->at[i] / PAGE] = 0;
	}
	p->at[i] = UINT64_MAX;
}

static void fake_page_free(struct gamut_inst *inst, struct gamut_page *pages)
{
	struct host_fake *f = fake(inst);

	if (!pages)
		return;
	pthread_mutex_lock(&f->lock);
	for (struct gamut_page **link = &f->pages; *link; link = &(*link)->next)
		if (*link == pages) {
			*link = pages->next;
			break;
		}
	for (uint32_t i = 0; i < pages->n; i++)
		unmap_at(f, pages, i);
	pthread_mutex_unlock(&f->lock);
	free(pages->host);
	free(pages->at);
	free(pages);
}

static int fake_page_map(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa)
{
	struct host_fake *f = fake(inst);
	int rc = -EINVAL;

	pthread_mutex_lock(&f->lock);
	if (index < pages->n && gpa % PAGE == 0 && gpa < f->space) {
		rc = f->over[gpa / PAGE] ? -EBUSY : 0;
		if (!rc) {
			unmap_at(f, pages, index);
			f->over[gpa / PAGE] = pages->host + index * PAGE;
			pages->at[index] = gpa;
		}
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

static void unmap_other(struct host_fake *f, uint64_t gpa)
{
	for (struct gamut_page *p = f->pages; p; p = p->next)
		for (uint32_t i = 0; i < p->n; i++)
			if (p->at[i] == gpa)
				unmap_at(f, p, i);
}

static int fake_page_map_as(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa,
                            uint32_t how)
{
	struct host_fake *f = fake(inst);

	if (index >= pages->n || gpa % PAGE || gpa >= f->space || how > GAMUT_PAGE_ROM)
		return -EINVAL;
	if (pages->at[index] != UINT64_MAX && pages->at[index] != gpa)
		return -EBUSY;
	pthread_mutex_lock(&f->lock);
	unmap_other(f, gpa);
	f->over[gpa / PAGE] = pages->host + index * PAGE;
	f->rom[gpa / PAGE] = how == GAMUT_PAGE_ROM;
	pages->at[index] = gpa;
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int fake_page_unmap(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index)
{
	struct host_fake *f = fake(inst);

	if (index >= pages->n || pages->at[index] == UINT64_MAX)
		return -EINVAL;
	pthread_mutex_lock(&f->lock);
	unmap_at(f, pages, index);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int set_holes(struct gamut_inst *inst, uint64_t gpa, uint64_t len, uint8_t hole)
{
	struct host_fake *f = fake(inst);

	if (gpa % PAGE || len % PAGE || gpa >= f->ram_size || len > f->ram_size - gpa)
		return -EINVAL;
	pthread_mutex_lock(&f->lock);
	memset(f->hole + gpa / PAGE, hole, len / PAGE);
	memset(f->ram + gpa, 0, len);
	pthread_mutex_unlock(&f->lock);
	return 0;
}

static int fake_mem_release(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	return set_holes(inst, gpa, len, 1);
}

static int fake_mem_populate(struct gamut_inst *inst, uint64_t gpa, uint64_t len)
{
	return set_holes(inst, gpa, len, 0);
}

static int fake_guest_read(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, void *buf, uint64_t len)
{
	(void)vcpu;
	return fake_mem_read(inst, va, buf, len);
}

static int fake_guest_write(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, const void *buf, uint64_t len)
{
	(void)vcpu;
	return fake_mem_write(inst, va, buf, len);
}

/* ---- exits ---- */

static int add_range(struct host_fake_range *list, uint32_t *n, uint64_t base, uint64_t len, const void *ops,
                     void *opaque)
{
	if (!len || *n == HOST_FAKE_ITEMS)
		return -EINVAL;
	for (uint32_t i = 0; i < *n; i++)
		if (base < list[i].base + list[i].len && list[i].base < base + len)
			return -EBUSY;
	list[(*n)++] = (struct host_fake_range){ .base = base, .len = len, .ops = ops, .opaque = opaque };
	return 0;
}

static int fake_pio_register(struct gamut_inst *inst, uint16_t base, uint32_t len, const struct gamut_io_ops *ops,
                             void *opaque)
{
	return add_range(fake(inst)->pio, &fake(inst)->n_pio, base, len, ops, opaque);
}

static int fake_mmio_register(struct gamut_inst *inst, uint64_t gpa, uint64_t len, const struct gamut_io_ops *ops,
                              void *opaque)
{
	return add_range(fake(inst)->mmio, &fake(inst)->n_mmio, gpa, len, ops, opaque);
}

static int fake_msr_register(struct gamut_inst *inst, uint32_t first, uint32_t count,
                             const struct gamut_msr_ops *ops, void *opaque)
{
	return add_range(fake(inst)->msr, &fake(inst)->n_msr, first, count, ops, opaque);
}

static int fake_bus_fallback(struct gamut_inst *inst, uint32_t space, const struct gamut_io_ops *ops, void *opaque)
{
	struct host_fake *f = fake(inst);

	if (space > GAMUT_SPACE_MMIO)
		return -EINVAL;
	if (f->rest[space].ops)
		return -EBUSY;
	f->rest[space] = (struct host_fake_range){ .len = UINT64_MAX, .ops = ops, .opaque = opaque };
	return 0;
}

static const struct host_fake_range *find_range(const struct host_fake_range *list, uint32_t n, uint64_t at)
{
	for (uint32_t i = 0; i < n; i++)
		if (at - list[i].base < list[i].len)
			return &list[i];
	return NULL;
}

static const struct host_fake_range *who_takes(const struct host_fake *f, uint32_t space, uint64_t at)
{
	const struct host_fake_range *r = space == GAMUT_SPACE_PIO ? find_range(f->pio, f->n_pio, at) :
	                                                             find_range(f->mmio, f->n_mmio, at);

	return r ? r : f->rest[space].ops ? &f->rest[space] : NULL;
}

uint64_t host_fake_in(struct host_fake *f, uint32_t space, uint64_t at, uint32_t width)
{
	const struct host_fake_range *r = who_takes(f, space, at);
	uint64_t ones = width >= 8 ? UINT64_MAX : (1ull << 8 * width) - 1;

	return r ? ((const struct gamut_io_ops *)r->ops)->read(r->opaque, at - r->base, width) & ones : ones;
}

void host_fake_out(struct host_fake *f, uint32_t space, uint64_t at, uint32_t width, uint64_t value)
{
	const struct host_fake_range *r = who_takes(f, space, at);

	if (r)
		((const struct gamut_io_ops *)r->ops)->write(r->opaque, at - r->base, width, value);
}

int host_fake_rdmsr(struct host_fake *f, uint32_t vcpu, uint32_t msr, uint64_t *value)
{
	const struct host_fake_range *r = find_range(f->msr, f->n_msr, msr);

	return r ? ((const struct gamut_msr_ops *)r->ops)->read(r->opaque, vcpu, msr, value) : -EPERM;
}

int host_fake_wrmsr(struct host_fake *f, uint32_t vcpu, uint32_t msr, uint64_t value)
{
	const struct host_fake_range *r = find_range(f->msr, f->n_msr, msr);

	return r ? ((const struct gamut_msr_ops *)r->ops)->write(r->opaque, vcpu, msr, value) : -EPERM;
}

static int fake_hypercall_register(struct gamut_inst *inst, uint32_t nr, gamut_hypercall_fn fn, void *opaque)
{
	struct host_fake *f = fake(inst);

	if (nr >= HOST_FAKE_HYPERCALLS)
		return -EINVAL;
	if (f->hypercalls[nr].fn)
		return -EBUSY;
	f->hypercalls[nr].fn = fn;
	f->hypercalls[nr].opaque = opaque;
	return 0;
}

static struct host_fake_cpuid *cpuid_slot(struct host_fake *f, uint32_t vcpu, uint32_t leaf, uint32_t subleaf,
                                          bool mask)
{
	for (uint32_t i = 0; i < f->n_cpuid; i++) {
		struct host_fake_cpuid *c = &f->cpuid[i];

		if (c->vcpu == vcpu && c->leaf == leaf && c->subleaf == subleaf && c->mask == mask)
			return c;
	}
	if (f->n_cpuid == HOST_FAKE_ITEMS)
		return NULL;
	f->cpuid[f->n_cpuid] =
		(struct host_fake_cpuid){ .vcpu = vcpu, .leaf = leaf, .subleaf = subleaf, .mask = mask };
	return &f->cpuid[f->n_cpuid++];
}

static int fake_cpuid_set(struct gamut_inst *inst, uint32_t vcpu, uint32_t leaf, uint32_t subleaf,
                          const uint32_t regs[4])
{
	struct host_fake_cpuid *c = cpuid_slot(fake(inst), vcpu, leaf, subleaf, false);

	if (!c)
		return -ENOSPC;
	memcpy(c->regs, regs, sizeof(c->regs));
	return 0;
}

static int fake_cpuid_mask(struct gamut_inst *inst, uint32_t vcpu, uint32_t leaf, uint32_t subleaf,
                           const uint32_t clear[4], const uint32_t set[4])
{
	struct host_fake_cpuid *c = cpuid_slot(fake(inst), vcpu, leaf, subleaf, true);

	if (!c)
		return -ENOSPC;
	for (int i = 0; i < 4; i++) {
		c->clear[i] |= clear[i];
		c->regs[i] |= set[i];
	}
	return 0;
}

/* ---- vCPUs and interrupts ---- */

static int fake_vcpu_get(struct gamut_inst *inst, uint32_t vcpu, struct gamut_vcpu_state *state)
{
	if (vcpu >= fake(inst)->vcpus)
		return -EINVAL;
	*state = fake(inst)->vcpu[vcpu].state;
	return 0;
}

static int fake_vcpu_set(struct gamut_inst *inst, uint32_t vcpu, const struct gamut_vcpu_state *state)
{
	if (vcpu >= fake(inst)->vcpus)
		return -EINVAL;
	fake(inst)->vcpu[vcpu].state = *state;
	return 0;
}

static int set_up(struct gamut_inst *inst, uint32_t vcpu, bool up)
{
	if (vcpu >= fake(inst)->vcpus)
		return -EINVAL;
	fake(inst)->vcpu[vcpu].up = up;
	return 0;
}

static int fake_vcpu_up(struct gamut_inst *inst, uint32_t vcpu)
{
	return set_up(inst, vcpu, true);
}

static int fake_vcpu_down(struct gamut_inst *inst, uint32_t vcpu)
{
	return set_up(inst, vcpu, false);
}

static int fake_vcpu_is_up(struct gamut_inst *inst, uint32_t vcpu)
{
	return vcpu < fake(inst)->vcpus && fake(inst)->vcpu[vcpu].up;
}

static void fake_vcpu_block(struct gamut_inst *inst, uint32_t vcpu)
{
	fake(inst)->vcpu[vcpu].blocked = true;
}

static void fake_hypercall_insn(struct gamut_inst *inst, uint8_t insn[3])
{
	memcpy(insn, fake(inst)->hypercall_insn, 3);
}

static uint32_t fake_vcpu_current(struct gamut_inst *inst)
{
	return fake(inst)->current;
}

static void fake_vcpu_wake(struct gamut_inst *inst, uint32_t vcpu)
{
	fake(inst)->vcpu[vcpu].blocked = false;
	fake(inst)->vcpu[vcpu].wakes++;
}

static void fake_vcpu_times(struct gamut_inst *inst, uint32_t vcpu, uint64_t ns[4])
{
	memcpy(ns, fake(inst)->vcpu[vcpu].times, 4 * sizeof(*ns));
}

static int fake_irq_source(struct gamut_inst *inst, const struct gamut_irq_source *ops, void *opaque)
{
	if (fake(inst)->irq)
		return -EBUSY;
	fake(inst)->irq = ops;
	fake(inst)->irq_opaque = opaque;
	return 0;
}

static int fake_irqchip_create(struct gamut_inst *inst, uint32_t kind, void (*eoi)(void *opaque, uint32_t vector),
                               void *opaque)
{
	(void)inst;
	(void)kind;
	(void)eoi;
	(void)opaque;
	return -ENOTSUP;
}

static int fake_irqchip_line(struct gamut_inst *inst, uint32_t gsi, uint32_t level)
{
	(void)inst;
	(void)gsi;
	(void)level;
	return -ENOTSUP;
}

static int fake_irqchip_msi(struct gamut_inst *inst, uint64_t address, uint32_t data)
{
	(void)inst;
	(void)address;
	(void)data;
	return -ENOTSUP;
}

static int fake_irqchip_route(struct gamut_inst *inst, const struct gamut_irqchip_pin *pins, uint32_t n)
{
	(void)inst;
	(void)pins;
	(void)n;
	return -ENOTSUP;
}

static int fake_cr8_register(struct gamut_inst *inst, uint64_t (*read)(void *opaque, uint32_t vcpu),
                             void (*write)(void *opaque, uint32_t vcpu, uint64_t value), void *opaque)
{
	struct host_fake *f = fake(inst);

	f->cr8_read = read;
	f->cr8_write = write;
	f->cr8_opaque = opaque;
	return 0;
}

static int fake_on_dead_halt(struct gamut_inst *inst, gamut_halt_fn fn, void *opaque)
{
	if (fake(inst)->dead_halt)
		return -EBUSY;
	fake(inst)->dead_halt = fn;
	fake(inst)->dead_halt_opaque = opaque;
	return 0;
}

static int fake_on_shutdown(struct gamut_inst *inst, gamut_halt_fn fn, void *opaque)
{
	if (fake(inst)->shutdown)
		return -EBUSY;
	fake(inst)->shutdown = fn;
	fake(inst)->shutdown_opaque = opaque;
	return 0;
}

static void fake_irq_raise(struct gamut_inst *inst, uint32_t vcpu)
{
	fake(inst)->vcpu[vcpu].blocked = false;
	fake(inst)->vcpu[vcpu].irq_raises++;
}

static void fake_nmi_raise(struct gamut_inst *inst, uint32_t vcpu)
{
	fake(inst)->vcpu[vcpu].nmis++;
}

/* ---- time ---- */

static uint64_t fake_time_now(struct gamut_inst *inst)
{
	return fake(inst)->now;
}

static void fake_time_scale(struct gamut_inst *inst, uint32_t vcpu, uint64_t *tsc_base, uint64_t *ns_base,
                            uint32_t *mul, int8_t *shift)
{
	(void)vcpu;
	*tsc_base = fake(inst)->tsc_base;
	*ns_base = fake(inst)->ns_base;
	*mul = 0x80000000u;
	*shift = 1;
}

static struct gamut_timer *fake_timer_create(struct gamut_inst *inst, gamut_timer_fn fn, void *opaque)
{
	struct gamut_timer *t = need(calloc(1, sizeof(*t)));

	t->fn = fn;
	t->opaque = opaque;
	t->next = fake(inst)->timers;
	fake(inst)->timers = t;
	return t;
}

static void fake_timer_set(struct gamut_inst *inst, struct gamut_timer *timer, uint64_t ns)
{
	pthread_mutex_lock(&fake(inst)->lock);
	timer->set = true;
	timer->when = ns;
	pthread_mutex_unlock(&fake(inst)->lock);
}

static void fake_timer_cancel(struct gamut_inst *inst, struct gamut_timer *timer)
{
	pthread_mutex_lock(&fake(inst)->lock);
	timer->set = false;
	pthread_mutex_unlock(&fake(inst)->lock);
}

#define UNLINK(type, list, item)                                                                                   \
	do {                                                                                                       \
		for (struct type **link = &(list); *link; link = &(*link)->next)                                   \
			if (*link == (item)) {                                                                     \
				*link = (item)->next;                                                              \
				break;                                                                             \
			}                                                                                          \
		free(item);                                                                                        \
	} while (0)

static void fake_timer_destroy(struct gamut_inst *inst, struct gamut_timer *timer)
{
	if (timer)
		UNLINK(gamut_timer, fake(inst)->timers, timer);
}

void host_fake_advance(struct host_fake *f, uint64_t ns)
{
	uint64_t end = f->now + ns;

	for (;;) {
		struct gamut_timer *first = NULL;

		pthread_mutex_lock(&f->lock);
		for (struct gamut_timer *t = f->timers; t; t = t->next)
			if (t->set && t->when <= end && (!first || t->when < first->when))
				first = t;
		if (first) {
			first->set = false;
			if (first->when > f->now)
				f->now = first->when;
		}
		pthread_mutex_unlock(&f->lock);
		if (!first)
			break;
		first->fn(first->opaque);
	}
	f->now = end;
}

/* ---- descriptors and deferred work ---- */

static struct gamut_watch *fake_fd_watch(struct gamut_inst *inst, int fd, uint32_t events, gamut_fd_fn fn,
                                         void *opaque)
{
	struct gamut_watch *w = need(calloc(1, sizeof(*w)));

	*w = (struct gamut_watch){ .next = fake(inst)->watches, .fd = fd, .events = events, .fn = fn, .opaque = opaque };
	fake(inst)->watches = w;
	return w;
}

static int fake_fd_modify(struct gamut_inst *inst, struct gamut_watch *watch, uint32_t events)
{
	(void)inst;
	watch->events = events;
	return 0;
}

static void fake_fd_unwatch(struct gamut_inst *inst, struct gamut_watch *watch)
{
	if (watch)
		UNLINK(gamut_watch, fake(inst)->watches, watch);
}

static struct gamut_defer *fake_defer_create(struct gamut_inst *inst, gamut_defer_fn fn, void *opaque)
{
	struct gamut_defer *d = need(calloc(1, sizeof(*d)));

	d->fn = fn;
	d->opaque = opaque;
	d->next = fake(inst)->defers;
	fake(inst)->defers = d;
	return d;
}

static void fake_defer_run(struct gamut_inst *inst, struct gamut_defer *defer)
{
	(void)inst;
	defer->pending = true;
}

static void fake_defer_destroy(struct gamut_inst *inst, struct gamut_defer *defer)
{
	if (defer)
		UNLINK(gamut_defer, fake(inst)->defers, defer);
}

/* One piece of work; the lists may change under the callback, so start anew each time. */
static bool run_one(struct host_fake *f)
{
	for (struct gamut_defer *d = f->defers; d; d = d->next)
		if (atomic_exchange(&d->pending, false)) {
			if (f->before_work)
				f->before_work(f->before_work_opaque);
			d->fn(d->opaque);
			return true;
		}
	for (struct gamut_watch *w = f->watches; w; w = w->next) {
		struct pollfd p = { .fd = w->fd, .events = (short)((w->events & GAMUT_FD_IN ? POLLIN : 0) |
		                                                   (w->events & GAMUT_FD_OUT ? POLLOUT : 0)) };

		if (w->events && poll(&p, 1, 0) > 0) {
			uint32_t got = (p.revents & POLLIN ? GAMUT_FD_IN : 0) |
			               (p.revents & POLLOUT ? GAMUT_FD_OUT : 0) |
			               (p.revents & (POLLERR | POLLHUP | POLLNVAL) ? GAMUT_FD_ERR : 0);

			w->fn(w->opaque, w->fd, got);
			return true;
		}
	}
	return false;
}

void host_fake_run(struct host_fake *f)
{
	/* Bounded, so that a callback that never finishes its work fails the test rather than hangs it. */
	for (int i = 0; i < 100000 && run_one(f); i++)
		;
}

/* ---- counters, console, domain ---- */

static uint64_t *fake_counter(struct gamut_inst *inst, const char *name)
{
	struct host_fake *f = fake(inst);

	for (uint32_t i = 0; i < f->n_counters; i++)
		if (!strcmp(f->counters[i].name, name))
			return &f->counters[i].value;
	if (f->n_counters == HOST_FAKE_ITEMS)
		need(NULL);
	snprintf(f->counters[f->n_counters].name, sizeof(f->counters[0].name), "%s", name);
	return &f->counters[f->n_counters++].value;
}

static uint64_t *fake_sign(struct gamut_inst *inst, uint32_t axis, uint32_t colour, const char *name)
{
	(void)axis;
	(void)colour;
	return fake_counter(inst, name);
}

static int fake_hypercall_fallback(struct gamut_inst *inst, gamut_hypercall_fn fn, void *opaque)
{
	struct host_fake *f = fake(inst);

	if (f->hypercall_rest)
		return -EBUSY;
	f->hypercall_rest = fn;
	f->hypercall_rest_opaque = opaque;
	return 0;
}

static void fake_vcpu_unhalt(struct gamut_inst *inst, uint32_t vcpu)
{
	fake(inst)->vcpu[vcpu].unhalts++;
}

static int fake_needed(struct gamut_inst *inst, const char *id)
{
	struct host_fake *f = fake(inst);

	for (uint32_t i = 0; i < f->n_needed; i++)
		if (!strcmp(f->needed[i], id))
			return 1;
	return 0;
}

static uint32_t fake_console_write(struct gamut_inst *inst, const void *buf, uint32_t len)
{
	struct host_fake *f = fake(inst);
	uint32_t room = (uint32_t)sizeof(f->out) - f->out_len;

	len = len < room ? len : room;
	len = len < f->out_room ? len : f->out_room;
	if (f->out_room != UINT32_MAX)
		f->out_room -= len;
	memcpy(f->out + f->out_len, buf, len);
	f->out_len += len;
	return len;
}

static void fake_console_on_input(struct gamut_inst *inst, gamut_defer_fn fn, void *opaque)
{
	fake(inst)->on_input = fn;
	fake(inst)->on_input_opaque = opaque;
}

static uint32_t fake_console_read(struct gamut_inst *inst, void *buf, uint32_t len)
{
	struct host_fake *f = fake(inst);

	len = len < f->in_len ? len : f->in_len;
	memcpy(buf, f->in, len);
	memmove(f->in, f->in + len, f->in_len - len);
	f->in_len -= len;
	return len;
}

void host_fake_type(struct host_fake *f, const void *buf, uint32_t len)
{
	uint32_t room = (uint32_t)sizeof(f->in) - f->in_len;

	len = len < room ? len : room;
	memcpy(f->in + f->in_len, buf, len);
	f->in_len += len;
	if (f->on_input)
		f->on_input(f->on_input_opaque);
}

static const struct gamut_boot *fake_boot(struct gamut_inst *inst)
{
	return &fake(inst)->boot;
}

static void fake_domain_end(struct gamut_inst *inst, int how)
{
	fake(inst)->ended = how;
	fake(inst)->end_calls++;
}

static const void *fake_lookup(struct gamut_inst *inst, const char *id, uint32_t revision, uint32_t unit, void **self)
{
	struct host_fake *f = fake(inst);

	for (uint32_t i = 0; i < f->n_peers; i++) {
		struct host_fake_peer *p = &f->peers[i];

		if (!strcmp(p->id, id) && p->revision == revision && p->unit == unit) {
			*self = p->self;
			return p->ops;
		}
	}
	return NULL;
}

static const struct gamut_host table = {
	.size = sizeof(struct gamut_host),
	.abi_major = GAMUT_ABI_MAJOR,
	.abi_minor = GAMUT_ABI_MINOR,
	.log = fake_log,
	.fail = fake_fail,
	.option_int = fake_option_int,
	.option_bool = fake_option_bool,
	.option_string = fake_option_string,
	.unit = fake_unit,
	.unit_of_choice = fake_unit,
	.domain_name = fake_domain_name,
	.domain_uuid = fake_domain_uuid,
	.domain_id = fake_domain_id,
	.vcpu_count = fake_vcpu_count,
	.mem_read = fake_mem_read,
	.mem_write = fake_mem_write,
	.mem_get = fake_mem_get,
	.mem_put = fake_mem_put,
	.mem_dirty = fake_mem_dirty,
	.mem_ranges = fake_mem_ranges,
	.page_alloc = fake_page_alloc,
	.page_free = fake_page_free,
	.page_map = fake_page_map,
	.page_unmap = fake_page_unmap,
	.mem_release = fake_mem_release,
	.mem_populate = fake_mem_populate,
	.guest_read = fake_guest_read,
	.guest_write = fake_guest_write,
	.pio_register = fake_pio_register,
	.mmio_register = fake_mmio_register,
	.msr_register = fake_msr_register,
	.hypercall_register = fake_hypercall_register,
	.cpuid_set = fake_cpuid_set,
	.cpuid_mask = fake_cpuid_mask,
	.vcpu_get = fake_vcpu_get,
	.vcpu_set = fake_vcpu_set,
	.vcpu_up = fake_vcpu_up,
	.vcpu_down = fake_vcpu_down,
	.vcpu_is_up = fake_vcpu_is_up,
	.vcpu_block = fake_vcpu_block,
	.vcpu_wake = fake_vcpu_wake,
	.vcpu_times = fake_vcpu_times,
	.irq_source = fake_irq_source,
	.irq_raise = fake_irq_raise,
	.nmi_raise = fake_nmi_raise,
	.time_now = fake_time_now,
	.time_scale = fake_time_scale,
	.timer_create = fake_timer_create,
	.timer_set = fake_timer_set,
	.timer_cancel = fake_timer_cancel,
	.timer_destroy = fake_timer_destroy,
	.fd_watch = fake_fd_watch,
	.fd_modify = fake_fd_modify,
	.fd_unwatch = fake_fd_unwatch,
	.defer_create = fake_defer_create,
	.defer_run = fake_defer_run,
	.defer_destroy = fake_defer_destroy,
	.counter = fake_counter,
	.needed = fake_needed,
	.hypercall_fallback = fake_hypercall_fallback,
	.vcpu_unhalt = fake_vcpu_unhalt,
	.sign = fake_sign,
	.console_write = fake_console_write,
	.console_on_input = fake_console_on_input,
	.console_read = fake_console_read,
	.boot = fake_boot,
	.domain_end = fake_domain_end,
	.lookup = fake_lookup,
	.on_dead_halt = fake_on_dead_halt,
	.on_shutdown = fake_on_shutdown,
	.vcpu_current = fake_vcpu_current,
	.hypercall_insn = fake_hypercall_insn,
	.bus_fallback = fake_bus_fallback,
	.page_map_as = fake_page_map_as,
	.irqchip_create = fake_irqchip_create,
	.irqchip_line = fake_irqchip_line,
	.irqchip_msi = fake_irqchip_msi,
	.irqchip_route = fake_irqchip_route,
	.cr8_register = fake_cr8_register,
	.option_list = fake_option_list,
};

/* ---- the test's side ---- */

struct host_fake *host_fake_create(uint64_t ram_size, uint32_t vcpus)
{
	struct gamut_inst *inst = need(calloc(1, sizeof(*inst)));
	struct host_fake *f = &inst->fake;

	f->table = table;
	f->host = &f->table;
	f->inst = inst;
	pthread_mutex_init(&f->lock, NULL);
	f->ram_size = ram_size;
	f->space = ram_size + HOST_FAKE_SPARE;
	memcpy(f->hypercall_insn, "\x0f\x01\xc1", 3);
	f->ram = need(calloc(1, ram_size));
	f->hole = need(calloc(1, f->space / PAGE));
	memset(f->hole + ram_size / PAGE, 1, HOST_FAKE_SPARE / PAGE);
	f->over = need(calloc(f->space / PAGE, sizeof(*f->over)));
	f->rom = need(calloc(f->space / PAGE, 1));
	f->domid = 1;
	f->vcpus = vcpus < HOST_FAKE_VCPUS ? vcpus : HOST_FAKE_VCPUS;
	f->name = "test";
	for (int i = 0; i < 16; i++)
		f->uuid[i] = (uint8_t)(0x10 + i);
	f->boot = (struct gamut_boot){ .size = sizeof(f->boot), .cmdline = "", .kernel_path = "kernel" };
	f->vcpu[0].up = true;
	f->ended = -1;
	f->out_room = UINT32_MAX;
	return f;
}

void host_fake_grow(struct host_fake *f, uint64_t space)
{
	uint64_t had = f->space / PAGE, n = space / PAGE;

	if (n <= had)
		return;
	f->hole = need(realloc(f->hole, n));
	memset(f->hole + had, 1, n - had);
	f->over = need(realloc(f->over, n * sizeof(*f->over)));
	f->rom = need(realloc(f->rom, n));
	memset(f->rom + had, 0, n - had);
	memset(f->over + had, 0, (n - had) * sizeof(*f->over));
	f->space = space;
}

uint32_t host_fake_destroy(struct host_fake *f)
{
	uint32_t left = f->gets;

	for (; f->pages; left++)
		fake_page_free(f->inst, f->pages);
	for (; f->timers; left++)
		fake_timer_destroy(f->inst, f->timers);
	for (; f->watches; left++)
		fake_fd_unwatch(f->inst, f->watches);
	for (; f->defers; left++)
		fake_defer_destroy(f->inst, f->defers);
	pthread_mutex_destroy(&f->lock);
	free(f->ram);
	free(f->hole);
	free(f->over);
	free(f->rom);
	free(f->inst);
	return left;
}

void host_fake_option(struct host_fake *f, const char *name, int64_t number, const char *string)
{
	if (f->n_options < HOST_FAKE_ITEMS)
		f->options[f->n_options++] = (struct host_fake_option){ name, number, string };
}

void host_fake_give(struct host_fake *f, const char *id, uint32_t revision, const void *ops, void *self)
{
	uint32_t unit = 0;

	for (uint32_t i = 0; i < f->n_peers; i++)
		unit += !strcmp(f->peers[i].id, id);
	if (f->n_peers < HOST_FAKE_ITEMS)
		f->peers[f->n_peers++] = (struct host_fake_peer){ id, revision, unit, ops, self };
}

void host_fake_need(struct host_fake *f, const char *id)
{
	if (f->n_needed == HOST_FAKE_ITEMS)
		need(NULL);
	f->needed[f->n_needed++] = id;
}

uint64_t host_fake_counter(const struct host_fake *f, const char *name)
{
	for (uint32_t i = 0; i < f->n_counters; i++)
		if (!strcmp(f->counters[i].name, name))
			return f->counters[i].value;
	return 0;
}

const struct host_fake_cpuid *host_fake_cpuid(const struct host_fake *f, uint32_t vcpu, uint32_t leaf,
                                              uint32_t subleaf)
{
	const struct host_fake_cpuid *all = NULL;

	for (uint32_t i = 0; i < f->n_cpuid; i++) {
		const struct host_fake_cpuid *c = &f->cpuid[i];

		if (c->mask || c->leaf != leaf || c->subleaf != subleaf)
			continue;
		if (c->vcpu == vcpu)
			return c;
		if (c->vcpu == UINT32_MAX)
			all = c;
	}
	return all;
}

int64_t host_fake_hypercall(struct host_fake *f, struct gamut_hypercall *call)
{
	int64_t rc;

	if (call->nr >= HOST_FAKE_HYPERCALLS || !f->hypercalls[call->nr].fn)
		return f->hypercall_rest ? f->hypercall_rest(f->hypercall_rest_opaque, call) : -ENOSYS;
	do {
		call->restart = 0;
		rc = f->hypercalls[call->nr].fn(f->hypercalls[call->nr].opaque, call);
	} while (call->restart);
	return rc;
}

int64_t host_fake_call(struct host_fake *f, uint32_t nr, uint64_t a, uint64_t b, uint64_t c)
{
	struct gamut_hypercall call = { .nr = nr, .long_mode = 1, .args = { a, b, c } };

	return host_fake_hypercall(f, &call);
}
