/* SPDX-License-Identifier: MIT */
/*
 * The kvm engine: vCPUs run by the host's /dev/kvm.
 *
 * Layers, each usable without the ones below it in this list:
 *
 *   vm.c         /dev/kvm, its capabilities, one VM
 *   slots.c      guest memory as KVM memory slots
 *   vcpu.c       one vCPU: descriptor, shared page, entering and kicking
 *   regs.c       registers: struct gamut_vcpu_state to and from KVM's
 *   state.c      everything a vCPU is, as KVM gives it: reset, and moving it
 *   walk.c       guest virtual memory through the guest's own page tables
 *   cpuid.c msr.c irqchip.c
 *   paging.c     nested paging or shadows: what the host's KVM does
 *   hypercall.c  how a guest's hypercall becomes an exit
 *   irq.c exit.c the HVM-type guest: what goes in before an entry, what comes out
 *   kvm.c        the engine table
 *
 * Registers. The kernel copies general and segment registers into the shared
 * page (v->run->s.regs) at every exit and takes them back on entry where
 * kvm_dirty_regs says so: between two entries that copy *is* the vCPU, for
 * reading and for writing, and no ioctl is spent on it. Everything else
 * (FPU, debug registers, MSRs, pending events) has its ioctls.
 *
 * An exit is finished by the next KVM_RUN: the kernel then writes the answer
 * of a port or MSR read to its register and moves rip. Until that has happened
 * the vCPU "owes" (v->owed), and its registers are those before the
 * instruction. kvm_settle has it happen without running the guest.
 */
#ifndef KVM_KVM_H
#define KVM_KVM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/engine.h"
#include "mem.h"

/* ---- VM --------------------------------------------------------------------- */

/* What this host's KVM can do beyond what is required. */
struct kvm_features {
	bool xen_hypercalls; /* vmcall and vmmcall come out as KVM_EXIT_XEN */
	bool irqchip, split_irqchip;
	bool tsc_offset; /* KVM_VCPU_TSC_OFFSET */
	uint32_t max_vcpus, max_slots, xsave_size;
};

/* A run of pages with the same backing; one memory slot each. */
struct kvm_range {
	uint64_t gpa, size;
	uint32_t id; /* of its slot; KVM_NO_SLOT while it has none */
	bool readonly;
};

#define KVM_NO_SLOT UINT32_MAX
/* Slots below this number are for the engine's own use, beside guest memory: kvm_slot_own. */
#define KVM_OWN_SLOTS 8u

struct kvm_slots {
	pthread_mutex_t lock;
	_Atomic bool dirty;  /* ranges and the kernel's slots differ; nobody enters */
	bool running;        /* a vCPU has been entered since the memory was laid out */
	bool failed;         /* no memory for the list: the VM cannot go on */
	struct kvm_range *ranges; /* ascending, not overlapping */
	uint32_t n;
	uint32_t *gone;      /* slots whose ranges are no more, still installed */
	uint32_t n_gone, gone_room;
	uint32_t *free;      /* slot numbers to be used again */
	uint32_t n_free, free_room, next_id;
	uint32_t refused;    /* ranges that the kernel takes no slot for; counted */
};

struct kvm_state;

#define KVM_CHIPS 3u /* two 8259s and the I/O APIC: KVM_IRQCHIP_PIC_MASTER and up */

struct engine_vm {
	int kvm, fd; /* /dev/kvm, the VM */
	struct mem *mem;
	struct kvm_features features;
	struct kvm_slots slots;
	struct engine_vcpu **vcpu;
	uint32_t n_vcpus; /* entries; NULL where none has been created */
	uint32_t *msrs;   /* those that are part of a vCPU's state */
	uint32_t n_msrs;
	bool touched;     /* a vCPU has state of its own: the VM cannot be made anew */
	bool hypercall_port; /* the hypercall instruction is an OUT */
	bool irqchip, split; /* in the kernel; the upper half of it alone */
	void (*eoi)(void *opaque, uint32_t vector); /* split */
	void *eoi_opaque;
	struct kvm_irqchip chips[KVM_CHIPS]; /* power-on state of a whole one */
};

/* Opens /dev/kvm and looks: descriptor, or -errno with a phrase in why. */
int kvm_open(struct kvm_features *features, char *why, unsigned why_len);
/* Makes the VM, without memory or vCPUs. 0 or -errno with a line in err; kvm_vm_close in either case. */
int kvm_vm_open(struct engine_vm *vm, struct mem *mem, uint32_t n_vcpus, char *err, unsigned err_len);
void kvm_vm_close(struct engine_vm *vm);
/* A new VM in the place of the old one, whose vCPUs are detached. 0 or -errno. */
int kvm_vm_remake(struct engine_vm *vm);
/* Turns a capability of the VM on: 0 or -errno. */
int kvm_vm_enable(struct engine_vm *vm, uint32_t cap, uint64_t arg);
/* ioctl that returns -errno. */
int kvm_ioctl(int fd, unsigned long request, void *arg);

/* ---- memory slots -------------------------------------------------------------- */

int kvm_slots_init(struct engine_vm *vm);
void kvm_slots_finish(struct engine_vm *vm);
/* [gpa, gpa + len) is backed otherwise than before, see engine_ops.mem_changed. Any thread. */
void kvm_slots_changed(struct engine_vm *vm, uint64_t gpa, uint64_t len);
/* Brings the kernel's slots in line, with no vCPU inside. Not while the caller's vCPU runs. 0 or -errno. */
int kvm_slots_sync(struct engine_vm *vm);
/* One of the engine's own slots; size 0 removes it. 0 or -errno. */
int kvm_slot_own(struct engine_vm *vm, uint32_t id, uint64_t gpa, void *host, uint64_t size, bool readonly);

/* ---- vCPU ------------------------------------------------------------------------ */

enum kvm_owed {
	KVM_OWES_NOTHING,
	KVM_OWES_ANSWER, /* an exit was reported, its result is not in yet */
	KVM_OWES_ENTRY,  /* the result is in the shared page, the kernel has not taken it */
};

struct engine_vcpu {
	struct engine_vm *vm;
	uint32_t index;
	int fd;
	struct kvm_run *run; /* shared with the kernel */
	size_t run_size;
	struct engine_vcpu_env env;
	_Atomic int tid;     /* of the thread that runs it */
	_Atomic bool inside; /* in KVM_RUN, or about to be */
	struct kvm_state *power_on;
	uint64_t tsc_offset; /* guest = host + offset; read by any thread */
	uint64_t tsc_adjust;
	uint64_t cr8;        /* as of the last entry, when it is a controller's outside */
	uint32_t signature; /* CPUID leaf 1 EAX */

	/* the exit under way */
	enum kvm_owed owed;
	bool unseen;     /* kvm_settle met a new exit, which is still to be reported */
	uint32_t done;   /* bytes of an MMIO access that are answered */
	uint8_t skip;    /* HYPERCALL: rip will move by so much when the exit is finished */
	bool hypercall;

	uint64_t n_entry, n_interrupt, n_window, n_nmi, n_settle;
};

int kvm_vcpu_open(struct engine_vm *vm, uint32_t index, const struct engine_vcpu_env *env, struct engine_vcpu **vcpu,
                  char *err, unsigned err_len);
void kvm_vcpu_close(struct engine_vcpu *v);
/* What ties it to vm->fd, in power-on state; for a VM that is made anew. attach: 0 or -errno. */
int kvm_vcpu_attach(struct engine_vcpu *v);
void kvm_vcpu_detach(struct engine_vcpu *v);

/*
 * One KVM_RUN, on the vCPU's thread: 0 with v->run->exit_reason; -EINTR or
 * -EAGAIN when it came back for nothing, another -errno when it failed.
 * Memory slots are brought in line before. A kick since kvm_vcpu_begin makes
 * it return at once.
 */
int kvm_enter(struct engine_vcpu *v);
/* Forgets earlier kicks; what they were for is to be looked at after this, and before kvm_enter. */
void kvm_vcpu_begin(struct engine_vcpu *v);
/* Any thread: a kvm_enter under way, or the next, returns -EINTR. */
void kvm_kick(struct engine_vcpu *v);
/*
 * Has the kernel finish the last exit, without running the guest. A new exit
 * that comes of it (the next part of a long access) is kept for the run loop.
 */
int kvm_settle(struct engine_vcpu *v);
/* The last exit and what would follow from it are of no interest: new state is about to be set. */
int kvm_abandon(struct engine_vcpu *v);

/* ---- registers -------------------------------------------------------------------- */

static inline struct kvm_regs *kvm_regs(struct engine_vcpu *v)
{
	return &v->run->s.regs.regs;
}

static inline struct kvm_sregs *kvm_sregs(struct engine_vcpu *v)
{
	return &v->run->s.regs.sregs;
}

/*
 * To be called after changing what the two above point at: KVM_SYNC_X86_REGS,
 * KVM_SYNC_X86_SREGS. At an exit the kernel adds the interrupt that is to be
 * injected again to the bitmap and takes none away, and what it finds there
 * later is one to be injected: one that has long been delivered, even with IF
 * clear. What is under way, it knows without the bitmap.
 */
static inline void kvm_touch(struct engine_vcpu *v, uint64_t classes)
{
	if (classes & KVM_SYNC_X86_SREGS)
		memset(kvm_sregs(v)->interrupt_bitmap, 0, sizeof(kvm_sregs(v)->interrupt_bitmap));
	v->run->kvm_dirty_regs |= classes;
}

/* In the encoding's order: rax rcx rdx rbx rsp rbp rsi rdi r8 .. r15. */
uint64_t *kvm_gpr(struct kvm_regs *r, unsigned n);
unsigned kvm_cpl(struct engine_vcpu *v);
bool kvm_code64(struct engine_vcpu *v);
void kvm_segment_from(struct kvm_segment *to, const struct gamut_segment *from);
void kvm_segment_to(struct gamut_segment *to, const struct kvm_segment *from);
/* struct gamut_vcpu_state, all of it. 0 or -errno. */
int kvm_regs_get(struct engine_vcpu *v, struct gamut_vcpu_state *state);
int kvm_regs_set(struct engine_vcpu *v, const struct gamut_vcpu_state *state);
/* Raises an exception at rip as it now is. */
int kvm_raise(struct engine_vcpu *v, uint8_t vector);

/* ---- all of a vCPU's state ----------------------------------------------------------- */

struct kvm_state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debug;
	struct kvm_vcpu_events events;
	struct kvm_xcrs xcrs;
	struct kvm_mp_state mp;
	struct kvm_lapic_state apic; /* when that is in the kernel */
	struct kvm_xsave *xsave; /* vm->features.xsave_size bytes */
	struct kvm_msrs *msrs;   /* vm->n_msrs entries, without the TSC */
};

/* NULL when out of memory; kvm_state_destroy takes NULL. */
struct kvm_state *kvm_state_create(const struct engine_vm *vm);
void kvm_state_destroy(struct kvm_state *s);
int kvm_get_state(struct engine_vcpu *v, struct kvm_state *s);
int kvm_set_state(struct engine_vcpu *v, const struct kvm_state *s);
/* Rights of user pages by protection key; all denied when it cannot be read. */
uint32_t kvm_pkru(struct engine_vcpu *v);

/* ---- the rest --------------------------------------------------------------------------- */

#define KVM_HYPERVISOR_MSR_LAST 0x400001ffu /* 0x40000000 to here are not KVM's */
/* The MSRs that KVM has (vm->msrs), and which of them come out to us instead. */
int kvm_msrs_init(struct engine_vm *vm);
int kvm_msr_get(struct engine_vcpu *v, uint32_t index, uint64_t *value);
int kvm_msr_set(struct engine_vcpu *v, uint32_t index, uint64_t value);
/* As many as can be read or written; the others are left alone. */
void kvm_msrs_get(struct engine_vcpu *v, struct kvm_msr_entry *entries, uint32_t n);
void kvm_msrs_set(struct engine_vcpu *v, const struct kvm_msr_entry *entries, uint32_t n);
/* The guest's TSC from the host's. */
int kvm_tsc_init(struct engine_vcpu *v);
/* A guest's access to an MSR that the engine keeps in its own hands. False: it is the core's. */
bool kvm_msr_own(struct engine_vcpu *v, uint32_t index, bool write, uint64_t *value);

int kvm_cpuid_supported(struct engine_vm *vm, struct cpuid_entry **entries, uint32_t *n);
int kvm_cpuid_set(struct engine_vcpu *v, const struct cpuid_entry *entries, uint32_t n);

#define KVM_COPY_WRITE 1u
#define KVM_COPY_FETCH 2u /* as an instruction fetch */
/* At the vCPU's current privilege. 0 or -EFAULT. */
int kvm_guest_copy(struct engine_vcpu *v, uint64_t va, void *buf, uint64_t len, unsigned how);

/* ---- running an HVM-type guest -------------------------------------------------------------- */

/* The three bytes by which a guest makes a hypercall. */
bool kvm_hypercalls(struct engine_vm *vm);
void kvm_hypercall_insn(struct engine_vm *vm, uint8_t insn[3]);
/* Whether the exit in the shared page is a hypercall; fills *exit then. */
bool kvm_hypercall_exit(struct engine_vcpu *v, struct vcpu_exit *exit);
int kvm_hypercall_complete(struct engine_vcpu *v, const struct vcpu_exit *exit);

/* CR8 as the controller outside has it into the shared page, and what the guest made of it back. */
void kvm_cr8_in(struct engine_vcpu *v);
void kvm_cr8_out(struct engine_vcpu *v);
/* NMIs and interrupts that attention speaks of, before an entry. 0 or -errno. */
int kvm_irq_offer(struct engine_vcpu *v, uint32_t attention);

/* Fills *exit from the shared page. False: nothing that the core must see; enter again. */
bool kvm_exit_fill(struct engine_vcpu *v, struct vcpu_exit *exit);
/* Takes the answer to *exit. True: *exit is the next part of the same access; else the guest can be entered. */
bool kvm_exit_answer(struct engine_vcpu *v, struct vcpu_exit *exit);
void kvm_exit_error(struct engine_vcpu *v, struct vcpu_exit *exit, const char *what, int error);

int kvm_irqchip_create(struct engine_vm *vm, const struct engine_irqchip *config);
void kvm_irqchip_reset(struct engine_vm *vm);
int kvm_irqchip_line(struct engine_vm *vm, uint32_t gsi, bool level);
int kvm_irqchip_msi(struct engine_vm *vm, uint64_t address, uint32_t data);
int kvm_irqchip_route(struct engine_vm *vm, const struct engine_msi *pins, uint32_t n);

#endif
