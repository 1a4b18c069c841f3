/* SPDX-License-Identifier: MIT */
/* The bt engine's face: struct engine_ops over the translator. */
#include "engine/bt/bt.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/bt/decode.h"
#include "engine/bt/fpu.h"
#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/pv.h"
#include "engine/bt/run.h"
#include "engine/bt/shadow.h"
#include "engine/bt/smp.h"
#include "engine/bt/sys.h"
#include "engine/bt/trans.h"

struct engine_vm {
	struct bt_vm vm;
};

struct engine_vcpu {
	struct bt_vcpu v;
};

struct bt_vcpu *bt_vcpu_of(struct engine_vcpu *e)
{
	return &e->v;
}

struct bt_vcpu *bt_vm_vcpu(struct engine_vm *e)
{
	return e->vm.present & 1 ? e->vm.vcpu[0] : NULL;
}

#define CACHE_MIN (4ull << 20)
#define CACHE_MAX (1ull << 30)
#define CACHE_DEFAULT (32ull << 20)

/* ---- probe ------------------------------------------------------------------- */

static bool host_bmi2(void)
{
	unsigned a, b = 0, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 8);
}

static bool host_lahf(void)
{
	unsigned a, b, c = 0, d;

	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & 1);
}

static bool probe(struct engine_caps *caps, char *why, unsigned why_len)
{
	uint64_t components;
	uint32_t size;
	bool avx;

	*caps = (struct engine_caps){ .hap = true, .shadow = true, .pv_ring3 = true, .max_vcpus = BT_MAX_VCPUS };
	if (!host_lahf()) {
		snprintf(why, why_len, "the processor lacks lahf and sahf in 64-bit mode");
		return false;
	}
	if (!fpu_probe(&components, &size, &avx)) {
		snprintf(why, why_len, "the processor lacks fxsave");
		return false;
	}
	return true;
}

/* ---- domain ------------------------------------------------------------------- */

static const void *const thunks[THUNK_COUNT] = {
	[THUNK_MISS_KR] = bt_thunk_miss_kr, [THUNK_MISS_KW] = bt_thunk_miss_kw,
	[THUNK_MISS_UR] = bt_thunk_miss_ur, [THUNK_MISS_UW] = bt_thunk_miss_uw,
	[THUNK_LINK] = bt_thunk_link,	    [THUNK_LINK_H] = bt_thunk_link_h,
	[THUNK_LOOKUP_K] = bt_thunk_lookup_k, [THUNK_LOOKUP_U] = bt_thunk_lookup_u,
	[THUNK_STEP] = bt_thunk_step,	    [THUNK_POLL] = bt_thunk_poll,
};

/* The cache may be far from the program: blocks jump to these, and these through %gs. */
static void make_trampolines(struct code_cache *c)
{
	uint8_t *p = c->code;

	for (unsigned i = 0; i < THUNK_COUNT; i++) {
		uint32_t off = (uint32_t)(offsetof(struct bt_vcpu, thunk) + 8 * i);

		c->tramp[i] = (uint32_t)(p - c->code);
		memcpy(p, "\x65\xff\x24\x25", 4);
		memcpy(p + 4, &off, 4);
		p += 16;
	}
	c->start = c->used = (uint32_t)(p - c->code + 63) & ~63u;
}

static bool parse_debug(struct bt_vm *vm, const char *debug, char *err, unsigned err_len)
{
	char word[64];

	vm->bisect_hi = UINT64_MAX;
	while (debug && *debug) {
		unsigned long long lo, hi;
		size_t n = strcspn(debug, ",");

		snprintf(word, sizeof(word), "%.*s", (int)n, debug);
		if (!strcmp(word, "nolink")) {
			vm->no_links = true;
		} else if (!strcmp(word, "alllive")) {
			vm->all_live = true;
		} else if (!strcmp(word, "nogroup")) {
			vm->no_groups = true;
		} else if (!strcmp(word, "nobmi2")) {
			vm->bmi2 = false;
		} else if (!strcmp(word, "interp")) {
			vm->interp_only = true;
		} else if (sscanf(word, "rip=%llx-%llx", &lo, &hi) == 2) {
			vm->bisect_lo = lo;
			vm->bisect_hi = hi;
		} else {
			snprintf(err, err_len, "bt.debug: unknown switch \"%s\" (nolink, alllive, nogroup, nobmi2, interp, rip=LO-HI)", word);
			return false;
		}
		debug += n + (debug[n] == ',');
	}
	return true;
}

/* A mask of vCPUs for each page. */
static size_t masks_size(const struct bt_vm *vm)
{
	return (vm->mem->limit >> PAGE_SHIFT) * sizeof(uint64_t);
}

static void *map_zero(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void vm_destroy(struct engine_vm *e)
{
	if (!e)
		return;
	cache_finish(&e->vm.cache);
	shadow_destroy(e->vm.spt);
	if (e->vm.writers)
		munmap(e->vm.writers, masks_size(&e->vm));
	if (e->vm.users)
		munmap(e->vm.users, masks_size(&e->vm));
	if (e->vm.trans)
		munmap(e->vm.trans, sizeof(struct trans));
	pthread_mutex_destroy(&e->vm.inval_lock);
	free(e);
}

static int vm_create(struct engine_vm **out, struct mem *mem, const struct engine_config *config, char *err,
		     unsigned err_len)
{
	struct engine_vm *e = aligned_alloc(_Alignof(struct engine_vm), sizeof(*e));
	uint64_t size = config->code_cache ? config->code_cache : CACHE_DEFAULT;
	int r = -EINVAL;

	if (!e)
		return -ENOMEM;
	memset(e, 0, sizeof(*e));
	pthread_mutex_init(&e->vm.inval_lock, NULL);
	e->vm.mem = mem;
	e->vm.config = *config;
	e->vm.bmi2 = host_bmi2();
	if (size < CACHE_MIN || size > CACHE_MAX) {
		snprintf(err, err_len, "bt.code_cache must be between 4 and 1024 MiB");
		goto fail;
	}
	if (!parse_debug(&e->vm, config->debug, err, err_len))
		goto fail;
	e->vm.trans = map_zero(sizeof(struct trans));
	if (config->vcpus > 1) {
		e->vm.writers = map_zero(masks_size(&e->vm));
		e->vm.users = map_zero(masks_size(&e->vm));
	}
	r = e->vm.trans && (config->vcpus < 2 || (e->vm.writers && e->vm.users)) ? cache_init(&e->vm.cache, size, mem->limit) : -ENOMEM;
	if (r) {
		snprintf(err, err_len, "no memory for a code cache of %llu MiB", (unsigned long long)(size >> 20));
		goto fail;
	}
	make_trampolines(&e->vm.cache);
	if (config->shadow && !(e->vm.spt = shadow_create(mem, 0))) {
		r = -ENOMEM;
		snprintf(err, err_len, "no memory for shadow page tables");
		goto fail;
	}
	r = bt_signal_init();
	if (r)
		goto fail;
	*out = e;
	return 0;
fail:
	vm_destroy(e);
	return r;
}

/* ---- vCPU --------------------------------------------------------------------- */

static void vcpu_destroy(struct engine_vcpu *e)
{
	struct bt_vcpu *v = &e->v;

	if (!e)
		return;
	for (unsigned i = 0; i < 2; i++) {
		free(v->tlb_list[i][0]);
		free(v->tlb_list[i][1]);
		free(v->jc_list[i]);
	}
	shadow_detach(v);
	fpu_finish(v);
	free(v->pv.upper);
	free(v->cpuid);
	interp_finish(v);
	bt_signal_thread_finish(v);
	v->vm->present &= ~(1ull << v->index);
	munmap(e, sizeof(*e));
}

static bool vcpu_tables(struct bt_vcpu *v)
{
	bool ok = true;

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned g = 0; g < 2; g++) {
			v->tlb_list[i][g] = malloc(TLB_SIZE * sizeof(uint16_t));
			ok &= v->tlb_list[i][g] != NULL;
		}
		v->jc_list[i] = malloc(JC_SIZE * sizeof(uint16_t));
		ok &= v->jc_list[i] != NULL;
	}
	/* Until cpuid_set the vCPU is all that the engine offers. */
	return ok && !interp_init(v) && !fpu_init(v) && !cpuid_build(&v->cpuid, &v->n_cpuid);
}

static int vcpu_create(struct engine_vm *vm, uint32_t index, const struct engine_vcpu_env *env,
		       struct engine_vcpu **out, char *err, unsigned err_len)
{
	struct engine_vcpu *e;
	struct bt_vcpu *v;

	/* With one vCPU only vCPU 0 needs nothing of smp.c. */
	if (index >= BT_MAX_VCPUS || (index > 0 && !vm->vm.writers)) {
		snprintf(err, err_len, "vCPU %u is one too many for this domain of engine bt", index);
		return -ENOTSUP;
	}
	e = mmap(NULL, sizeof(*e), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e == MAP_FAILED)
		return -ENOMEM;
	v = &e->v;
	v->self = (uint64_t)v;
	v->vm = &vm->vm;
	v->mem = vm->vm.mem;
	v->env_copy = *env;
	v->env = &v->env_copy;
	v->index = index;
	v->writers = vm->vm.writers;
	for (unsigned i = 0; i < THUNK_COUNT; i++)
		v->thunk[i] = thunks[i];
	if (!vcpu_tables(v) || (vm->vm.spt && shadow_attach(v, vm->vm.spt))) {
		vcpu_destroy(e);
		snprintf(err, err_len, "no memory for a vCPU");
		return -ENOMEM;
	}
	for (unsigned class = 0; class < 2; class++)
		v->itlb_gen[class][0] = v->itlb_gen[class][1] = 1;
	tlb_init(v);
	jc_init(v);
	sys_reset(v);
	fpu_reset(v);
	vm->vm.vcpu[index] = v;
	vm->vm.present |= 1ull << index;
	*out = e;
	return 0;
}

static int cpuid_supported(struct engine_vm *vm, struct cpuid_entry **entries, uint32_t *n)
{
	(void)vm;
	return cpuid_build(entries, n);
}

static int cpuid_set(struct engine_vcpu *e, const struct cpuid_entry *entries, uint32_t n)
{
	struct cpuid_entry *copy = calloc(n ? n : 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	memcpy(copy, entries, n * sizeof(*copy));
	free(e->v.cpuid);
	e->v.cpuid = copy;
	e->v.n_cpuid = n;
	sys_features(&e->v);
	return 0;
}

static void vcpu_reset(struct engine_vcpu *e)
{
	smp_busy(&e->v);
	sys_reset(&e->v);
	fpu_reset(&e->v);
	replay_clear(&e->v);
	e->v.replay_on = false;
	e->v.pio_len = 0;
	e->v.halted = false;
	tlb_flush(&e->v, true);
	smp_quiet(&e->v);
}

static int vcpu_get(struct engine_vcpu *e, struct gamut_vcpu_state *state)
{
	sys_get_state(&e->v, state);
	return 0;
}

static int vcpu_set(struct engine_vcpu *e, const struct gamut_vcpu_state *state)
{
	int r;

	smp_busy(&e->v);
	r = bt_is_pv(&e->v) ? pv_set_state(&e->v, state) : sys_set_state(&e->v, state);
	if (!r)
		tlb_flush(&e->v, true);
	smp_quiet(&e->v);
	if (r)
		return r;
	/* An exit that has not been completed belongs to what this replaces. */
	e->v.exited = EXIT_INTR;
	e->v.pio_len = 0;
	return 0;
}

/* ---- running -------------------------------------------------------------------- */

static void complete_hypercall(struct bt_vcpu *v, struct vcpu_exit *exit)
{
	static const uint8_t long_regs[6] = { RDI, RSI, RDX, R10, R8, R9 };
	static const uint8_t short_regs[6] = { RBX, RCX, RDX, RSI, RDI, RBP };
	const uint8_t *regs = exit->hypercall.long_mode ? long_regs : short_regs;

	if (exit->hypercall.undefined) {
		v->rip = exit->rip;
		bt_fault(v, EXC_UD);
		v->exc_pending = true;
		return;
	}
	if (exit->hypercall.restart) {
		for (unsigned i = 0; i < 6; i++)
			v->gpr[regs[i]] = exit->hypercall.args[i];
		v->gpr[RAX] = exit->hypercall.nr;
		v->rip = exit->rip;
		return;
	}
	v->gpr[RAX] = exit->hypercall.long_mode ? exit->hypercall.result : (uint32_t)exit->hypercall.result;
}

static void complete_port(struct bt_vcpu *v, const struct vcpu_exit *exit)
{
	uint64_t mask = 0xffffffffull >> (32 - 8 * exit->pio.width);

	/* A 32-bit result clears the upper half, smaller ones leave the rest. */
	if (!exit->pio.write && exit->pio.width == 4)
		v->gpr[RAX] = exit->pio.data;
	else if (!exit->pio.write)
		v->gpr[RAX] = (v->gpr[RAX] & ~mask) | (exit->pio.data & mask);
	v->rip += v->pio_len;
	v->pio_len = 0;
}

/* The answer to the last exit; port, MMIO and MSR accesses are served to the instruction as it runs again. */
static void complete(struct bt_vcpu *v, struct vcpu_exit *exit)
{
	uint64_t value = 0;

	switch (v->exited) {
	case EXIT_HYPERCALL:
		complete_hypercall(v, exit);
		return;
	case EXIT_PV:
		pv_resume(v);
		return;
	case EXIT_HLT:
		if (exit->hlt.over)
			v->halted = false;
		return;
	case EXIT_PIO:
		if (v->pio_len) {
			complete_port(v, exit);
			return;
		}
		if (v->io_run.n) {
			io_many_done(v);
			return;
		}
		value = exit->pio.data;
		break;
	case EXIT_MMIO:
		value = exit->mmio.data;
		break;
	case EXIT_RDMSR:
	case EXIT_WRMSR:
		value = exit->msr.value;
		v->replay.fault = exit->msr.fault;
		break;
	default:
		return;
	}
	if (v->replay.done < REPLAY_MAX)
		v->replay.value[v->replay.done++] = value;
	v->replay.next = 0;
	v->replay_on = true;
}

static void fail_run(struct vcpu_exit *exit, const char *what, int error)
{
	exit->reason = EXIT_ERROR;
	snprintf(exit->error.text, sizeof(exit->error.text), "%s: %s", what, strerror(-error));
}

static void vcpu_run(struct engine_vcpu *e, struct vcpu_exit *exit)
{
	struct bt_vcpu *v = &e->v;
	const void *code;
	int r = bt_signal_thread(v);

	if (r) {
		fail_run(exit, "alternate signal stack", r);
		return;
	}
	if (bt_is_pv(v) && v->cpl != 3) {
		fail_run(exit, "the monitor of the guest gave no registers", -EINVAL);
		return;
	}
	smp_busy(v);
	v->exit = exit;
	complete(v, exit);
	v->exited = EXIT_INTR;
	if (atomic_load(v->env->attention))
		bt_poll_set(v);
	fpu_restore(v);
	code = bt_start(v);
	if (code)
		bt_enter(v, code);
	fpu_save(v);
	smp_quiet(v);
	v->exited = exit->reason;
	v->n_exit++;
}

static void vcpu_kick(struct engine_vcpu *e)
{
	bt_poll_set(&e->v);
}

static int guest_copy(struct engine_vcpu *e, uint64_t va, void *buf, uint64_t len, bool write)
{
	struct bt_vcpu *v = &e->v;
	struct vcpu_exit scratch, *exit = v->exit;
	struct bt_replay replay = v->replay;
	unsigned access = mmu_rights(v);
	enum bt_step st = STEP_OK;

	/* MMIO is no memory: what it would ask of the core goes nowhere. */
	smp_busy(v);
	v->exit = &scratch;
	replay_clear(v);
	for (uint64_t done = 0; done < len && st == STEP_OK;) {
		uint64_t n = PAGE_SIZE - ((va + done) & ~PAGE_MASK);

		if (n > len - done)
			n = len - done;
		if (write)
			st = mmu_write(v, va + done, (uint8_t *)buf + done, (unsigned)n, access | ACC_WRITE);
		else
			st = mmu_read(v, va + done, (uint8_t *)buf + done, (unsigned)n, access);
		done += n;
	}
	v->exit = exit;
	v->replay = replay;
	smp_quiet(v);
	return st == STEP_OK ? 0 : -EFAULT;
}

static bool any_code(const struct mem *m, uint64_t gpa, uint64_t len)
{
	for (uint64_t page = gpa >> PAGE_SHIFT; page <= (gpa + len - 1) >> PAGE_SHIFT; page++) {
		if (m->code[page])
			return true;
	}
	return false;
}

static void mem_changed(struct engine_vm *e, uint64_t gpa, uint64_t len, bool remapped)
{
	struct bt_vm *vm = &e->vm;

	if (len == 0 || gpa >= vm->mem->limit || len > vm->mem->limit - gpa)
		return;
	if (!remapped && !any_code(vm->mem, gpa, len))
		return;
	pthread_mutex_lock(&vm->inval_lock);
	if (vm->n_inval < INVAL_MAX && len <= 64 * PAGE_SIZE)
		vm->inval[vm->n_inval++] = (struct bt_inval){ .gpa = gpa, .len = len, .remapped = remapped };
	else
		vm->inval_all = true;
	pthread_mutex_unlock(&vm->inval_lock);
	FOR_EACH_VCPU(vm, v) {
		atomic_fetch_or(v->env->attention, ATTN_INVAL);
		bt_poll_set(v);
	}
}

static uint64_t tsc_offset(struct engine_vcpu *e)
{
	return e->v.tsc_offset;
}

struct counter {
	const char *name;
	size_t offset; /* in struct bt_vcpu */
};

#define COUNTER(name, field) { name, offsetof(struct bt_vcpu, field) }

/* Of all vCPUs together. */
static const struct counter counters[] = {
	COUNTER("tlb_misses", n_miss),
	COUNTER("writes_beside_code", n_beside),
	COUNTER("windows_split", n_ungrouped),
	COUNTER("page_walks", n_walk),
	COUNTER("tlb_flushes", n_flush),
	COUNTER("steps", n_step),
	COUNTER("lookups", n_lookup),
	COUNTER("exceptions", n_exc),
	COUNTER("interrupts", n_irq),
	COUNTER("blocks_invalidated", n_smc),
	COUNTER("exits", n_exit),
	COUNTER("pv_events", n_pv),
	COUNTER("pv_events_slow", n_pv_slow),
	COUNTER("others_stopped", n_stop),
	COUNTER("lock_waits", smp.lost),
};

static uint64_t sum_of(const struct bt_vm *vm, const struct counter *c)
{
	uint64_t sum = 0;

	FOR_EACH_VCPU(vm, v)
		sum += *(const uint64_t *)((const uint8_t *)v + c->offset);
	return sum;
}

#define N_SHADOW 8u

static uint32_t stats(struct engine_vm *e, struct engine_stat *s, uint32_t n)
{
	static const struct counter fills = COUNTER("", n_shadow_fill);
	const struct code_cache *c = &e->vm.cache;
	const struct shadow *spt = e->vm.spt;
	const struct shadow_stats shadow = shadow_stats(spt);
	const struct engine_stat own[] = {
		{ "code_cache_used_bytes", c->used },
		{ "code_cache_meta_bytes", c->meta_used },
		{ "code_cache_flushes", c->n_flush },
		{ "blocks", c->n_blocks },
		{ "translated_instructions", c->n_insns },
		/* N_SHADOW of them, with shadow paging alone. */
		{ "shadow_pages", shadow.pages },
		{ "shadow_pages_made", shadow.made },
		{ "shadow_fills", sum_of(&e->vm, &fills) },
		{ "shadow_table_writes", shadow.writes },
		{ "shadow_tables_protected", shadow.protected },
		{ "shadow_compared", shadow.compared },
		{ "shadow_zaps", shadow.zaps },
		{ "shadow_evicted", shadow.evicted },
	};
	const uint32_t n_own = sizeof(own) / sizeof(own[0]) - (spt ? 0 : N_SHADOW), n_sums = sizeof(counters) / sizeof(counters[0]);

	for (uint32_t i = 0; i < n_own && i < n; i++)
		s[i] = own[i];
	for (uint32_t i = 0; i < n_sums && n_own + i < n; i++)
		s[n_own + i] = (struct engine_stat){ counters[i].name, sum_of(&e->vm, &counters[i]) };
	return n_own + n_sums;
}

static int attach(struct engine_vm *e, const struct gamut_pv_guest *guest, void *opaque, struct gamut_pv_cpu **cpus)
{
	if (!e->vm.present)
		return -EINVAL;
	FOR_EACH_VCPU(&e->vm, v) {
		shadow_detach(v); /* its tables are not the processor's, and its monitor knows of every change */
		v->pv.upper = calloc(v->mem->limit >> PAGE_SHIFT, sizeof(*v->pv.upper));
		if (!v->pv.upper)
			return -ENOMEM;
		cpus[v->index] = pv_init(v, guest, opaque);
	}
	return 0;
}

const struct engine_ops engine_bt = {
	.name = "bt",
	.description = "same-ISA binary translator; needs no hardware virtualization",
	.probe = probe,
	.vm_create = vm_create,
	.vm_destroy = vm_destroy,
	.vcpu_create = vcpu_create,
	.vcpu_destroy = vcpu_destroy,
	.cpuid_supported = cpuid_supported,
	.cpuid_set = cpuid_set,
	.vcpu_reset = vcpu_reset,
	.vcpu_get = vcpu_get,
	.vcpu_set = vcpu_set,
	.vcpu_run = vcpu_run,
	.vcpu_kick = vcpu_kick,
	.guest_copy = guest_copy,
	.mem_changed = mem_changed,
	.tsc_offset = tsc_offset,
	.stats = stats,
	.pv_attach = attach,
};
