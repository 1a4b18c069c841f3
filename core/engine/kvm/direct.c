/* SPDX-License-Identifier: MIT */
/* Running user mode in a virtual machine: making it, going there, coming back. See direct.h. */
#include "engine/kvm/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "engine/bt/decode.h"
#include "engine/bt/fpu.h"

#define POOL_PAGES 2048u
#define SLOT_POOL 30u
#define SLOT_FORGET 31u /* comes and goes, so that KVM forgets all that it derived from page tables */
#define POOL_GPA (1ull << 38)
#define FORGET_GPA (POOL_GPA + (1ull << 30))
#define MAX_CPUID 256u

#define MSR_TSC_AUX 0xc0000103u
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SFMASK 0xc0000084u

#define CR0_FIXED (CR0_PG | CR0_AM | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE)
#define CR4_FIXED (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT)
#define CR4_TAKEN (CR4_OSXSAVE | CR4_FSGSBASE | CR4_PCE)
#define EFER_FIXED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

#define USER_FLAGS (FL_ARITH | FL_TF | FL_DF | FL_NT | FL_AC | FL_ID) /* what ring 3 can change */
#define PF_WRITE 2u
#define PF_FETCH 16u

/* ---- making it ------------------------------------------------------------------ */

static int fail(char *err, unsigned err_len, const char *what)
{
	int rc = errno ? -errno : -EIO;

	snprintf(err, err_len, "/dev/kvm: %s: %s", what, strerror(-rc));
	return rc;
}

static int set_slot(struct direct *d, uint32_t slot, uint64_t gpa, void *host, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uint64_t)host
	};

	return ioctl(d->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static int set_slots(struct direct *d, struct mem *mem)
{
	for (uint32_t i = 0; i < mem->n_ranges; i++)
		if (set_slot(d, i, mem->ranges[i].gpa, mem->base + mem->ranges[i].gpa, mem->ranges[i].size))
			return -1;
	return set_slot(d, SLOT_POOL, POOL_GPA, d->space.pool, POOL_PAGES * PAGE_SIZE);
}

/* What the processor has; ring 3 meets it as it is in most cases, so nothing is gained by less. */
static int set_cpuid(struct direct *d)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + MAX_CPUID * sizeof(c->entries[0]));
	int rc;

	if (!c)
		return -1;
	c->nent = MAX_CPUID;
	rc = ioctl(d->kvm, KVM_GET_SUPPORTED_CPUID, c);
	if (!rc)
		rc = ioctl(d->vcpu, KVM_SET_CPUID2, c);
	free(c);
	return rc;
}

static int set_msrs(struct direct *d)
{
	static const struct kvm_msr_entry entries[] = {
		{ .index = MSR_STAR, .data = 0x0023000800000000ull },
		{ .index = MSR_LSTAR, .data = DIRECT_LSTAR },
		{ .index = MSR_CSTAR, .data = DIRECT_LSTAR },
		{ .index = MSR_SFMASK, .data = FL_TF | FL_IF | FL_DF | FL_AC | FL_NT },
	};
	enum { N = sizeof(entries) / sizeof(entries[0]) };
	_Alignas(struct kvm_msrs) uint8_t buf[sizeof(struct kvm_msrs) + sizeof(entries)] = { 0 };
	struct kvm_msrs *msrs = (struct kvm_msrs *)(void *)buf;

	msrs->nmsrs = N;
	memcpy(msrs->entries, entries, sizeof(entries));
	return ioctl(d->vcpu, KVM_SET_MSRS, msrs) == N ? 0 : -1;
}

/* The TSC is the host's, as under the translator. A software KVM lacks the attribute, and has no other TSC to give. */
static void set_tsc(struct direct *d)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uint64_t)&offset
	};

	ioctl(d->vcpu, KVM_SET_DEVICE_ATTR, &attr);
}

#define SYNCED (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS)

static int open_kvm(char *err, unsigned err_len)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return fail(err, err_len, "open");
	if ((ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & SYNCED) == SYNCED &&
	    ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) > 0)
		return fd;
	close(fd);
	errno = ENOTSUP;
	return fail(err, err_len, "synchronized registers and immediate exit");
}

bool direct_probe(char *why, unsigned why_len)
{
	int fd = open_kvm(why, why_len);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static int open_vm(struct direct *d, char *err, unsigned err_len)
{
	int size;

	d->kvm = open_kvm(err, err_len);
	if (d->kvm < 0)
		return d->kvm;
	d->vm = ioctl(d->kvm, KVM_CREATE_VM, 0);
	if (d->vm < 0)
		return fail(err, err_len, "KVM_CREATE_VM");
	size = ioctl(d->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	d->vcpu = size > 0 ? ioctl(d->vm, KVM_CREATE_VCPU, 0) : -1;
	if (d->vcpu < 0)
		return fail(err, err_len, "KVM_CREATE_VCPU");
	d->run_size = (uint32_t)size;
	d->run = mmap(NULL, d->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, d->vcpu, 0);
	if (d->run == MAP_FAILED) {
		d->run = NULL;
		return fail(err, err_len, "mmap of a vCPU");
	}
	return 0;
}

static int make_space(struct direct *d, struct mem *mem)
{
	struct direct_space *s = &d->space;

	s->mem = mem;
	s->pool_gpa = POOL_GPA;
	s->n_pages = POOL_PAGES;
	s->first = s->used = DIRECT_PAGES;
	s->pool = mmap(NULL, POOL_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->pool == MAP_FAILED) {
		s->pool = NULL;
		return -ENOMEM;
	}
	s->writable = calloc(mem->limit >> PAGE_SHIFT, 1);
	if (!s->writable)
		return -ENOMEM;
	direct_stub_make(s->pool, POOL_GPA, &d->fixed);
	return 0;
}

static void kick_handler(int sig)
{
	(void)sig;
}

/* Its only use is to interrupt KVM_RUN. On the alternate stack: translated code has the guest's stack pointer. */
static int kick_init(void)
{
	struct sigaction sa = { .sa_handler = kick_handler, .sa_flags = SA_ONSTACK };

	sigemptyset(&sa.sa_mask);
	return sigaction(SIGRTMIN + 1, &sa, NULL);
}

int direct_create(struct direct **out, struct mem *mem, struct bt_vcpu *v, char *err, unsigned err_len)
{
	struct direct *d = calloc(1, sizeof(*d));
	int rc;

	if (!d) {
		snprintf(err, err_len, "out of memory");
		return -ENOMEM;
	}
	d->kvm = d->vm = d->vcpu = -1;
	d->v = v;
	rc = open_vm(d, err, err_len);
	if (!rc && make_space(d, mem)) {
		snprintf(err, err_len, "no memory for page tables");
		rc = -ENOMEM;
	}
	if (!rc && (set_slots(d, mem) || set_cpuid(d) || set_msrs(d) || kick_init()))
		rc = fail(err, err_len, "setting up a virtual machine");
	if (rc) {
		direct_destroy(d);
		return rc;
	}
	set_tsc(d);
	d->handover = (struct bt_handover){
		.patience = 1, .gen = 1, .writable = d->space.writable, .n_frames = mem->limit >> PAGE_SHIFT
	};
	*out = d;
	return 0;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void direct_destroy(struct direct *d)
{
	if (!d)
		return;
	if (d->run)
		munmap(d->run, d->run_size);
	close_fd(d->vcpu);
	close_fd(d->vm);
	close_fd(d->kvm);
	if (d->space.pool)
		munmap(d->space.pool, POOL_PAGES * PAGE_SIZE);
	free(d->space.writable);
	free(d);
}

void direct_reset(struct direct *d)
{
	d->handover.gen++;
	d->handover.sticky = d->handover.go = false;
	d->handover.patience = 1;
}

/* ---- the address space ------------------------------------------------------------- */

/* Deleting any slot makes KVM drop everything that it shadows. */
static void forget(struct direct *d)
{
	set_slot(d, SLOT_FORGET, FORGET_GPA, d->space.pool, PAGE_SIZE);
	set_slot(d, SLOT_FORGET, FORGET_GPA, d->space.pool, 0);
}

static void new_space(struct direct *d, uint64_t guest)
{
	d->gen = d->handover.gen;
	if (direct_space_drop(&d->space, guest, &d->fixed))
		forget(d);
}

/* ---- registers ----------------------------------------------------------------------- */

static struct kvm_segment to_kvm(const struct gamut_segment *s)
{
	uint32_t a = s->attr;

	return (struct kvm_segment){ .base = s->base, .limit = s->limit, .selector = s->selector, .type = a & 0xf,
		                     .s = a >> 4 & 1, .dpl = a >> 5 & 3, .present = a >> 7 & 1, .avl = a >> 12 & 1,
		                     .l = a >> 13 & 1, .db = a >> 14 & 1, .g = a >> 15 & 1, .unusable = a >> 16 & 1 };
}

static void load_sregs(struct direct *d, struct kvm_sregs *s)
{
	const struct bt_vcpu *v = d->v;

	s->cs = to_kvm(&v->seg[GAMUT_CS]);
	s->ss = to_kvm(&v->seg[GAMUT_SS]);
	s->ds = to_kvm(&v->seg[GAMUT_DS]);
	s->es = to_kvm(&v->seg[GAMUT_ES]);
	s->fs = to_kvm(&v->seg[GAMUT_FS]);
	s->gs = to_kvm(&v->seg[GAMUT_GS]);
	s->tr = (struct kvm_segment){ .base = DIRECT_VA + DIRECT_TSS * PAGE_SIZE, .limit = 0x67, .selector = 0x40, .type = 11, .present = 1 };
	s->ldt = (struct kvm_segment){ .unusable = 1, .type = 2 };
	s->gdt = (struct kvm_dtable){ .base = DIRECT_VA + DIRECT_GDT * PAGE_SIZE, .limit = 0x4f };
	s->idt = (struct kvm_dtable){ .base = DIRECT_VA + DIRECT_IDT * PAGE_SIZE, .limit = 0xfff };
	s->cr0 = CR0_FIXED;
	s->cr2 = 0;
	s->cr3 = d->space.root;
	s->cr4 = CR4_FIXED | (v->cr4 & CR4_TAKEN);
	s->efer = EFER_FIXED;
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
}

/* KVM's order of the general registers, by the encoding's number. */
static uint64_t *kvm_gpr(struct kvm_regs *r, unsigned n)
{
	static const uint8_t at[8] = { 0, 2, 3, 1, 6, 7, 4, 5 }; /* rax rbx rcx rdx rsi rdi rsp rbp r8 .. */

	return (uint64_t *)(void *)r + (n < 8 ? at[n] : n);
}

static void load_regs(struct direct *d)
{
	struct kvm_sync_regs *sync = &d->run->s.regs;
	const struct bt_vcpu *v = d->v;

	for (unsigned i = 0; i < 16; i++)
		*kvm_gpr(&sync->regs, i) = v->gpr[i];
	sync->regs.rip = v->rip;
	sync->regs.rflags = bt_rflags(v) | FL_IF;
	load_sregs(d, &sync->sregs);
	d->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	d->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

static int load_fpu(struct direct *d)
{
	struct kvm_xsave area;
	uint64_t comps;

	if (d->xcr0 != d->v->xcr0) {
		struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = d->v->xcr0 } } };

		if (ioctl(d->vcpu, KVM_SET_XCRS, &xcrs))
			return -1;
		d->xcr0 = d->v->xcr0;
	}
	memset(&area, 0, sizeof(area));
	memcpy(&area, d->v->fpu_area, FPU_AREA_MAX);
	memcpy(&comps, (uint8_t *)&area + 512, sizeof(comps));
	comps = d->v->fpu_comps ? comps & d->v->fpu_comps : 3;
	memcpy((uint8_t *)&area + 512, &comps, sizeof(comps));
	return ioctl(d->vcpu, KVM_SET_XSAVE, &area);
}

static int store_fpu(struct direct *d)
{
	struct kvm_xsave area;
	uint64_t comps;

	if (ioctl(d->vcpu, KVM_GET_XSAVE, &area))
		return -1;
	memcpy(d->v->fpu_area, &area, FPU_AREA_MAX);
	memcpy(&comps, d->v->fpu_area + 512, sizeof(comps));
	comps &= d->v->fpu_comps;
	memcpy(d->v->fpu_area + 512, &comps, sizeof(comps));
	return 0;
}

/* Of a SYSCALL they come out of r11, which may be anything when user code jumped to the stub's address by itself. */
static void store_flags(struct bt_vcpu *v, uint64_t flags)
{
	bt_set_rflags(v, (flags & USER_FLAGS) | FL_IF);
}

/* The user's registers, wherever the vCPU stands; f as direct_stub_frame left it, or NULL when it is in user mode. */
static void store_regs(struct direct *d, const struct direct_frame *f)
{
	struct kvm_sync_regs *sync = &d->run->s.regs;
	struct bt_vcpu *v = d->v;

	for (unsigned i = 0; i < 16; i++)
		v->gpr[i] = *kvm_gpr(&sync->regs, i);
	v->rip = sync->regs.rip;
	if (f && f->vector == DIRECT_SYSCALL) {
		/* The instruction runs again, so what it has overwritten does not matter. */
		v->rip = v->gpr[RCX] - 2;
		store_flags(v, v->gpr[R11]);
		if (f->cs)
			v->gpr[RSP] = f->rsp;
	} else if (f) {
		v->rip = f->rip;
		v->gpr[RSP] = f->rsp;
		store_flags(v, f->rflags);
	} else {
		store_flags(v, sync->regs.rflags);
	}
	v->seg[GAMUT_FS].base = v->seg_base[GAMUT_FS] = sync->sregs.fs.base;
	v->seg[GAMUT_GS].base = v->seg_base[GAMUT_GS] = sync->sregs.gs.base;
}

/* ---- running ------------------------------------------------------------------------------ */

enum step {
	GO_ON,      /* in user mode again: registers are to be loaded */
	BACK_OWN,   /* to the translator, for an event of user mode's own */
	BACK_ASKED, /* to the translator, because somebody asked */
};

/* What the processor reports behind the instruction would not be met again by running it. */
static void carry_trap(struct bt_vcpu *v, const struct direct_frame *f)
{
	if (f->vector == EXC_BP)
		v->exc = (struct bt_exc){ .vector = EXC_BP, .soft = true };
	else if (f->vector == EXC_DB)
		v->exc = (struct bt_exc){ .vector = EXC_DB, .dr6 = f->rflags & FL_TF ? DR6_BS : 0 };
	v->exc_pending = f->vector == EXC_BP || f->vector == EXC_DB;
}

static enum step serve_frame(struct direct *d, const struct direct_frame *f, uint64_t cr2)
{
	store_regs(d, f);
	if (f->vector == DIRECT_SYSCALL) {
		d->n_syscalls++;
		return BACK_OWN;
	}
	carry_trap(d->v, f);
	if (f->vector != EXC_PF)
		return BACK_OWN;
	d->n_faults++;
	return direct_space_fill(&d->space, cr2, f->error & PF_WRITE, f->error & PF_FETCH) ? GO_ON : BACK_OWN;
}

static bool asked(const struct direct *d)
{
	return atomic_load(d->v->env->attention) != 0;
}

static enum step run_once(struct direct *d)
{
	struct kvm_sync_regs *sync = &d->run->s.regs;
	struct direct_frame frame;
	int rc;

	rc = ioctl(d->vcpu, KVM_RUN, 0);
	d->run->kvm_dirty_regs = 0;
	d->n_exits++;
	if (direct_stub_frame(d->space.pool, sync->regs.rip, sync->regs.rsp, &frame))
		return serve_frame(d, &frame, sync->sregs.cr2);
	store_regs(d, NULL);
	/* Whatever else made KVM stop, the translator can go on from a point in user mode. */
	return rc && errno == EINTR ? BACK_ASKED : BACK_OWN;
}

static enum step run_inside(struct direct *d)
{
	enum step step = GO_ON;

	load_regs(d);
	while (step == GO_ON) {
		d->run->immediate_exit = 0;
		atomic_store(&d->inside, true);
		step = asked(d) ? BACK_ASKED : run_once(d);
		atomic_store(&d->inside, false);
		if (step == GO_ON)
			load_regs(d);
	}
	return step;
}

static bool lost(struct direct *d, struct vcpu_exit *exit)
{
	int error = errno;

	d->handover.go = false;
	exit->reason = EXIT_ERROR;
	exit->rip = d->v->rip;
	snprintf(exit->error.text, sizeof(exit->error.text), "/dev/kvm: reading the vector state: %s", strerror(error));
	return false;
}

bool direct_run(struct direct *d, struct vcpu_exit *exit)
{
	uint64_t start = mono_now(), ns;
	uint64_t guest = d->v->pv.root[TLB_USER];
	enum step step = BACK_OWN;

	if (!atomic_load_explicit(&d->tid, memory_order_relaxed))
		atomic_store(&d->tid, (int)syscall(SYS_gettid));
	if (d->gen != d->handover.gen || d->space.guest != guest || !d->space.root)
		new_space(d, guest);
	d->n_runs++;
	if (!load_fpu(d)) {
		step = run_inside(d);
		if (store_fpu(d))
			return lost(d, exit);
	}
	bt_update_key(d->v);
	ns = mono_now() - start;
	d->ns += ns;
	bt_handover_back(d->v, ns, step == BACK_OWN);
	return true;
}

void direct_kick(struct direct *d)
{
	if (!atomic_load(&d->inside))
		return;
	__atomic_store_n(&d->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_tgkill, getpid(), atomic_load(&d->tid), SIGRTMIN + 1);
}
