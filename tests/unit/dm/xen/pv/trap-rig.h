/* SPDX-License-Identifier: MIT */
/*
 * The monitor's trap half on an engine of plain fields, a host that is a fake,
 * and a memory half that records. Virtual addresses are offsets into 1 MiB of
 * memory; pages of it can be made unreadable, unwritable or the kernel's alone.
 */
#ifndef TRAP_RIG_H
#define TRAP_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dm/xen/pv/monitor.h"
#include "fake/host-fake.h"

#define RIG_MEM (1u << 20)
#define RIG_VCPUS 2u

#define KERNEL_STACK 0x8000ull /* of stack_switch */
#define STACK 0x6000ull        /* where the guest's rsp is at first */
#define CODE 0x2000ull
#define ARG 0x10000ull
#define ENTRY(n) (0xffffffff81000000ull + (uint64_t)(n) * 16)
#define KERNEL_GS 0xffff888000001000ull
#define USER_GS 0x7f0000002000ull

enum { PAGE_NONE = 1, PAGE_READ_ONLY = 2, PAGE_KERNEL = 4 };

struct rig_cpu {
	struct gamut_pv_cpu cpu; /* first */
	uint64_t gpr[16], base[GAMUT_SEG_COUNT], dr[8], cr4, xcr0, msr_value;
	uint16_t sel[GAMUT_SEG_COUNT];
	bool user, ts, code64;
	uint32_t msr;
	uint32_t loads; /* of selectors */
};

struct rig {
	struct host_fake *f;
	struct pv_domain d;
	struct rig_cpu cpu[RIG_VCPUS];
	struct rig_cpu *c; /* vCPU 0 */
	struct pv_vcpu *v;
	uint8_t info[RIG_VCPUS][64];
	uint8_t pages[RIG_MEM / 4096];
	uint16_t bad_selector; /* does not load */
	uint32_t cpuid[4];     /* what every leaf is */

	/* what was asked of others */
	struct gamut_hypercall last; /* through the host or the interrupts plugin */
	uint32_t calls;
	int64_t result;
	uint32_t restarts;
	int mmu_fault, mmu_fast; /* answers */
	uint32_t mmu_faults, mmu_resets;
	int roots_rc, gdt_rc, ldt_rc;
	uint64_t kernel_mfn, user_mfn, gdt_first, ldt_va, boot_mfn;
	uint32_t gdt_entries, ldt_entries, by_monitor;
	int keep_rc;
	uint64_t kept; /* the frame that pv_frame_keep keeps; 0: none */
};

static struct rig *rig_now; /* of the running test */
static uint8_t rig_mem[RIG_MEM];

/* ---- the engine --------------------------------------------------------------------------- */

static struct rig_cpu *rig_of(const struct gamut_pv_cpu *cpu)
{
	return (struct rig_cpu *)(uintptr_t)cpu;
}

/* The monitor's addresses are memory as well, so that only its checks keep the guest out. */
static bool in_hole(uint64_t va)
{
	return va >= HYPERVISOR_VIRT_START && va < HYPERVISOR_VIRT_START + RIG_MEM;
}

static int rig_copy(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, bool write, uint64_t *fault)
{
	for (uint32_t i = 0; i < len; i++) {
		uint64_t at = va + i - (in_hole(va + i) ? HYPERVISOR_VIRT_START : 0);
		uint8_t page = at < RIG_MEM ? rig_now->pages[at / 4096] : PAGE_NONE;

		if (page & PAGE_NONE || (write && page & PAGE_READ_ONLY) || (page & PAGE_KERNEL && rig_of(cpu)->user)) {
			if (fault)
				*fault = at;
			return -EFAULT;
		}
		if (write)
			rig_mem[at] = ((const uint8_t *)buf)[i];
		else
			((uint8_t *)buf)[i] = rig_mem[at];
	}
	return 0;
}

static int rig_read(struct gamut_pv_cpu *cpu, uint64_t va, void *buf, uint32_t len, uint64_t *fault)
{
	return rig_copy(cpu, va, buf, len, false, fault);
}

static int rig_write(struct gamut_pv_cpu *cpu, uint64_t va, const void *buf, uint32_t len, uint64_t *fault)
{
	return rig_copy(cpu, va, (void *)(uintptr_t)buf, len, true, fault);
}

static void rig_enter(struct gamut_pv_cpu *cpu, int user)
{
	rig_of(cpu)->user = user != 0;
}

static int rig_load(struct gamut_pv_cpu *cpu, uint32_t seg, uint16_t selector)
{
	if (rig_now->bad_selector && (selector & ~3u) == (rig_now->bad_selector & ~3u))
		return -EINVAL;
	rig_of(cpu)->loads++;
	rig_of(cpu)->sel[seg] = selector;
	rig_of(cpu)->base[seg] = selector & ~3u ? 0x1000u * selector : 0;
	return 0;
}

static uint16_t rig_selector(struct gamut_pv_cpu *cpu, uint32_t seg)
{
	return rig_of(cpu)->sel[seg];
}

static uint64_t rig_base(struct gamut_pv_cpu *cpu, uint32_t seg)
{
	return rig_of(cpu)->base[seg];
}

static void rig_set_base(struct gamut_pv_cpu *cpu, uint32_t seg, uint64_t value)
{
	rig_of(cpu)->base[seg] = value;
}

static int rig_code64(struct gamut_pv_cpu *cpu)
{
	return rig_of(cpu)->code64;
}

static void rig_set_ts(struct gamut_pv_cpu *cpu, int on)
{
	rig_of(cpu)->ts = on != 0;
}

static uint64_t rig_cr4(struct gamut_pv_cpu *cpu)
{
	return rig_of(cpu)->cr4;
}

static int rig_set_cr4(struct gamut_pv_cpu *cpu, uint64_t value)
{
	rig_of(cpu)->cr4 = value;
	return 0;
}

static uint64_t rig_xcr0(struct gamut_pv_cpu *cpu)
{
	return rig_of(cpu)->xcr0;
}

static int rig_set_xcr0(struct gamut_pv_cpu *cpu, uint64_t value)
{
	if (!(value & 1))
		return -EINVAL;
	rig_of(cpu)->xcr0 = value;
	return 0;
}

static uint64_t rig_dr(struct gamut_pv_cpu *cpu, uint32_t n)
{
	return rig_of(cpu)->dr[n];
}

static void rig_set_dr(struct gamut_pv_cpu *cpu, uint32_t n, uint64_t value)
{
	rig_of(cpu)->dr[n] = value;
}

static void rig_cpuid(struct gamut_pv_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	(void)cpu;
	(void)leaf;
	(void)subleaf;
	memcpy(regs, rig_now->cpuid, sizeof(rig_now->cpuid));
}

static uint64_t rig_tsc(struct gamut_pv_cpu *cpu)
{
	(void)cpu;
	return 0x1122334455667788ull;
}

static int rig_msr_read(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t *value)
{
	*value = 0xa5a5;
	return rig_of(cpu)->msr == msr ? 0 : -EINVAL;
}

static int rig_msr_write(struct gamut_pv_cpu *cpu, uint32_t msr, uint64_t value)
{
	rig_of(cpu)->msr_value = value;
	return rig_of(cpu)->msr == msr ? 0 : -EINVAL;
}

static const struct gamut_pv_cpu_ops rig_ops = {
	.size = sizeof(struct gamut_pv_cpu_ops),
	.read = rig_read,
	.write = rig_write,
	.enter = rig_enter,
	.load_segment = rig_load,
	.selector = rig_selector,
	.base = rig_base,
	.set_base = rig_set_base,
	.code64 = rig_code64,
	.set_ts = rig_set_ts,
	.cr4 = rig_cr4,
	.set_cr4 = rig_set_cr4,
	.xcr0 = rig_xcr0,
	.set_xcr0 = rig_set_xcr0,
	.dr = rig_dr,
	.set_dr = rig_set_dr,
	.cpuid = rig_cpuid,
	.tsc = rig_tsc,
	.msr_read = rig_msr_read,
	.msr_write = rig_msr_write,
};

/* ---- the memory half ---------------------------------------------------------------------------- */

int pv_mmu_init(struct pv_domain *d)
{
	return d->vcpu[0].cpu ? 0 : -EINVAL;
}

void pv_mmu_finish(struct pv_domain *d)
{
	(void)d;
}

void pv_mmu_reset(struct pv_domain *d)
{
	(void)d;
	rig_now->mmu_resets++;
}

void pv_mmu_resume(struct pv_domain *d)
{
	(void)d;
}

int pv_mmu_boot(struct pv_domain *d, uint64_t root_mfn)
{
	d->vcpu[0].root[PV_KERNEL] = rig_now->boot_mfn = root_mfn;
	return 0;
}

int pv_mmu_register(struct pv_domain *d)
{
	(void)d;
	return 0;
}

int pv_mmu_fast(struct pv_vcpu *v, uint32_t nr)
{
	if (rig_now->mmu_fast == PV_DONE)
		v->cpu->gpr[PV_RAX] = 0x1000 + nr;
	return rig_now->mmu_fast;
}

int pv_mmu_fault(struct pv_vcpu *v, uint64_t cr2, uint32_t error)
{
	(void)v;
	(void)cr2;
	(void)error;
	rig_now->mmu_faults++;
	return rig_now->mmu_fault;
}

int pv_set_roots(struct pv_vcpu *v, uint64_t kernel_mfn, uint64_t user_mfn)
{
	if (rig_now->roots_rc)
		return rig_now->roots_rc;
	v->root[PV_KERNEL] = rig_now->kernel_mfn = kernel_mfn;
	v->root[PV_USER] = rig_now->user_mfn = user_mfn;
	return 0;
}

int pv_frame_keep(struct pv_vcpu *v, uint64_t mfn, bool keep)
{
	(void)v;
	if (keep && rig_now->keep_rc)
		return rig_now->keep_rc;
	if (!keep)
		assert_int_equal(rig_now->kept, mfn);
	rig_now->kept = keep ? mfn : 0;
	return 0;
}

int pv_set_gdt(struct pv_vcpu *v, const uint64_t *mfn, uint32_t entries)
{
	(void)v;
	rig_now->gdt_first = entries ? mfn[0] : 0;
	rig_now->gdt_entries = entries;
	return entries ? rig_now->gdt_rc : 0;
}

int pv_set_ldt(struct pv_vcpu *v, uint64_t va, uint32_t entries)
{
	(void)v;
	rig_now->ldt_va = va;
	rig_now->ldt_entries = entries;
	return entries ? rig_now->ldt_rc : 0;
}

void pv_machphys(const struct pv_domain *d, uint64_t *v_start, uint64_t *v_end, uint64_t *max_mfn)
{
	(void)d;
	*v_start = 1;
	*v_end = 2;
	*max_mfn = 3;
}

bool pv_page_free(const struct pv_domain *d, uint64_t mfn)
{
	(void)d;
	return mfn == 5;
}

void pv_page_gone(struct pv_domain *d, uint64_t mfn)
{
	(void)d;
	(void)mfn;
}

void pv_page_here(struct pv_domain *d, uint64_t mfn, uint64_t pfn)
{
	(void)d;
	(void)mfn;
	(void)pfn;
}

/* ---- host and interrupts --------------------------------------------------------------------------- */

static int64_t rig_intr_hypercall(void *self, struct gamut_hypercall *call)
{
	struct rig *r = self;

	r->last = *call;
	r->calls++;
	return r->result;
}

static void rig_by_monitor(void *self)
{
	struct rig *r = self;

	r->by_monitor++;
	for (uint32_t i = 0; i < RIG_VCPUS; i++)
		r->info[i][1] = 1;
}

static uint8_t *rig_vcpu_info(void *self, uint32_t vcpu)
{
	return ((struct rig *)self)->info[vcpu];
}

static const struct gamut_xen_intr_ops rig_intr = {
	.size = sizeof(struct gamut_xen_intr_ops),
	.hypercall = rig_intr_hypercall,
	.upcall_by_monitor = rig_by_monitor,
	.vcpu_info = rig_vcpu_info,
};

static int rig_attach(struct gamut_inst *inst, const struct gamut_pv_guest *guest, void *opaque,
                      struct gamut_pv_cpu **cpus)
{
	(void)inst;
	(void)opaque;
	assert_ptr_equal(guest->fast, pv_fast);
	for (uint32_t i = 0; i < RIG_VCPUS; i++)
		cpus[i] = &rig_now->cpu[i].cpu;
	return 0;
}

/* Handlers that are registered run; others answer what the test said. */
static int64_t rig_hypercall_call(struct gamut_inst *inst, struct gamut_hypercall *call)
{
	struct rig *r = rig_now;

	(void)inst;
	r->restarts += call->restart;
	if (call->nr < HOST_FAKE_HYPERCALLS && r->f->hypercalls[call->nr].fn)
		return r->f->hypercalls[call->nr].fn(r->f->hypercalls[call->nr].opaque, call);
	r->last = *call;
	r->calls++;
	return r->result;
}

static int rig_guest_read(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, void *buf, uint64_t len)
{
	(void)inst;
	return rig_read(&rig_now->cpu[vcpu].cpu, va, buf, (uint32_t)len, NULL);
}

static int rig_guest_write(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, const void *buf, uint64_t len)
{
	(void)inst;
	return rig_write(&rig_now->cpu[vcpu].cpu, va, buf, (uint32_t)len, NULL);
}

/* ---- a test's set-up ---------------------------------------------------------------------------------- */

static void rig_power_on(struct rig_cpu *c, uint32_t index)
{
	*c = (struct rig_cpu){ .cpu = { .size = sizeof(c->cpu), .vcpu = index, .ops = &rig_ops, .gpr = c->gpr,
		                        .rip = CODE, .rflags = 0x202 },
		               .code64 = true, .xcr0 = 1 };
	c->sel[GAMUT_CS] = FLAT_KERNEL_CS;
	c->sel[GAMUT_SS] = FLAT_KERNEL_SS;
	c->base[GAMUT_GS] = KERNEL_GS;
	c->gpr[PV_RSP] = STACK;
	c->dr[6] = PV_DR6_FIXED;
	c->dr[7] = PV_DR7_FIXED;
}

/* A kernel that has set all its entries up: vector n at ENTRY(n). */
static void rig_entries(struct rig *r)
{
	struct pv_vcpu *v = r->v;

	for (uint32_t i = 0; i < 256; i++)
		v->trap[i] = (struct pv_entry){ .rip = ENTRY(i), .cs = FLAT_KERNEL_CS };
	v->event = (struct pv_entry){ .rip = ENTRY(300), .mask = true };
	v->failsafe = (struct pv_entry){ .rip = ENTRY(301) };
	v->syscall = (struct pv_entry){ .rip = ENTRY(302) };
	v->syscall32 = (struct pv_entry){ .rip = ENTRY(303), .mask = true };
	v->sysenter = (struct pv_entry){ .rip = ENTRY(304) };
	v->kernel_sp = KERNEL_STACK;
	v->other_gs = USER_GS;
	v->root[PV_KERNEL] = 0x11;
	v->root[PV_USER] = 0x22;
}

static int rig_setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	const struct gamut_pv_boot boot = { .size = sizeof(boot), .root = 0x11, .entry = CODE, .stack = STACK,
		                            .start_info = 0x7000 };

	rig_now = r;
	memset(rig_mem, 0, sizeof(rig_mem));
	r->f = host_fake_create(1 << 20, RIG_VCPUS);
	r->f->table.pv_attach = rig_attach;
	r->f->table.hypercall_call = rig_hypercall_call;
	r->f->table.guest_read = rig_guest_read;
	r->f->table.guest_write = rig_guest_write;
	host_fake_give(r->f, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, &rig_intr, r);
	for (uint32_t i = 0; i < RIG_VCPUS; i++)
		rig_power_on(&r->cpu[i], i);
	r->c = &r->cpu[0];
	assert_int_equal(pv_domain_init(&r->d, r->f->host, r->f->inst), 0);
	r->v = &r->d.vcpu[0];
	assert_int_equal(pv_monitor_ops.boot(&r->d, &boot), 0);
	assert_int_equal(pv_domain_start(&r->d), 0);
	pv_take_info(r->v);
	r->info[0][1] = 0;
	rig_entries(r);
	*state = r;
	return 0;
}

static int rig_teardown(void **state)
{
	struct rig *r = *state;

	pv_domain_finish(&r->d);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
	return 0;
}

/* User mode, as the kernel would have entered it. */
static inline void rig_user(struct rig *r)
{
	r->v->user = r->c->user = true;
	r->c->base[GAMUT_GS] = USER_GS;
	r->v->other_gs = KERNEL_GS;
	r->c->sel[GAMUT_CS] = 0x33;
	r->c->sel[GAMUT_SS] = 0x2b;
}

/* ---- events ---------------------------------------------------------------------------------------------- */

static inline void rig_event(struct rig *r, uint32_t event)
{
	r->c->cpu.event = event;
	if (pv_fast(&r->d, &r->c->cpu) == GAMUT_PV_SLOW)
		assert_int_equal(pv_slow(&r->d, &r->c->cpu), GAMUT_PV_RESUME);
}

static inline void rig_trap(struct rig *r, uint8_t vector, int64_t error)
{
	r->c->cpu.vector = vector;
	r->c->cpu.has_error = error >= 0;
	r->c->cpu.error = error >= 0 ? (uint32_t)error : 0;
	rig_event(r, GAMUT_PV_TRAP);
}

/* The instruction at CODE raised #GP(0). */
static inline void rig_run(struct rig *r, const char *code, uint32_t len)
{
	memcpy(rig_mem + CODE, code, len);
	r->c->cpu.rip = CODE;
	rig_trap(r, PV_GP, 0);
}

#define RUN(r, code) rig_run(r, code, sizeof(code) - 1)

static inline bool rig_bounced(const struct rig *r, uint32_t n)
{
	return r->c->cpu.rip == ENTRY(n);
}

static inline int64_t rig_call(struct rig *r, uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t rip = r->c->cpu.rip;

	for (uint32_t i = 0; i < 1000; i++) {
		r->c->gpr[PV_RAX] = i ? r->c->gpr[PV_RAX] : nr;
		if (!i) {
			r->c->gpr[PV_RDI] = a;
			r->c->gpr[PV_RSI] = b;
			r->c->gpr[PV_RDX] = c;
		}
		r->c->cpu.rip = rip;
		rig_event(r, GAMUT_PV_SYSCALL);
		if (r->c->cpu.rip != rip - 2)
			break;
		r->restarts++;
	}
	return (int64_t)r->c->gpr[PV_RAX];
}

/* With a structure at ARG as the argument that follows cmd. */
static inline int64_t rig_op(struct rig *r, uint64_t nr, uint64_t cmd, const void *arg, uint32_t len)
{
	memcpy(rig_mem + ARG, arg, len);
	return rig_call(r, nr, cmd, ARG, 0);
}

static inline const uint64_t *rig_frame(const struct rig *r)
{
	return (const uint64_t *)(void *)(rig_mem + r->c->gpr[PV_RSP]);
}

static inline void rig_expect(const struct rig *r, const uint64_t *words, uint32_t n)
{
	assert_memory_equal(rig_frame(r), words, n * 8);
}

#define EXPECT_FRAME(r, ...)                                                                                       \
	do {                                                                                                       \
		const uint64_t words_[] = { __VA_ARGS__ };                                                         \
		rig_expect(r, words_, sizeof(words_) / 8);                                                         \
	} while (0)

static inline bool rig_crashed(const struct rig *r)
{
	return r->f->ended == GAMUT_END_CRASH;
}

#endif
