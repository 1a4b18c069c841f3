/* SPDX-License-Identifier: MIT */
/*
 * The engine table: what runs vCPUs. Two engines stand behind it, kvm and bt.
 *
 * An engine executes guest code and reports why it stopped as a plain struct
 * (struct vcpu_exit); everything that a device, plugin or hypercall does
 * happens between two calls of vcpu_run, on the vCPU's own thread, so that a
 * test can fabricate an exit with no engine at all. An engine knows no device
 * and no Xen.
 *
 * Completion of an exit: the handler fills the exit's result fields (data,
 * value, regs, fault) and calls vcpu_run again with the same struct, which
 * first completes the instruction: a port read lands in al/ax/eax, rip moves
 * past the instruction. State read between the two (vcpu_get) shows rip still
 * at the instruction for every exit but HYPERCALL, HLT, INTR, where it is past
 * it, and PV, where it is what the event says (gamut/pv.h); and, on engine kvm,
 * some writes to ports and MMIO.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gamut/host.h"
#include "gamut/pv.h"

struct engine_vm;   /* engine's state of a domain */
struct engine_vcpu; /* engine's state of a vCPU */
struct mem;         /* core/mem.h */

enum exit_reason {
	EXIT_INTR,      /* attention was asked for; nothing to complete */
	EXIT_PIO,       /* pio */
	EXIT_MMIO,      /* mmio */
	EXIT_HYPERCALL, /* hypercall: vmcall or vmmcall */
	EXIT_RDMSR,     /* msr: one that the engine does not hold itself */
	EXIT_WRMSR,
	EXIT_HLT,      /* idle until an interrupt */
	EXIT_SHUTDOWN, /* triple fault */
	EXIT_ERROR,    /* the engine cannot go on: error.text says why */
	EXIT_PV,       /* pv: an event for the slow handler of the guest's monitor */
	EXIT_COUNT
};

struct vcpu_exit {
	enum exit_reason reason;
	uint64_t rip; /* of the instruction, for messages */
	union {
		/*
		 * One access, or, with count above 1, as many in a row to the same
		 * port: string I/O, whose elements are in buf (count * width bytes,
		 * the engine's) in place of data.
		 */
		struct {
			uint16_t port;
			uint8_t width; /* 1 2 4 */
			bool write;
			uint32_t data; /* in: filled by the handler */
			uint32_t count;
			void *buf;
		} pio;
		struct {
			uint64_t gpa;
			uint8_t width; /* 1 2 4 8; wider accesses are split by the engine */
			bool write;
			uint64_t data;
		} mmio;
		struct {
			uint64_t nr; /* rax */
			uint64_t args[6];
			uint64_t result; /* to rax */
			uint8_t cpl;
			bool long_mode;
			bool restart; /* args are written back and the instruction runs again */
			bool undefined; /* raise #UD instead */
		} hypercall;
		struct {
			uint32_t index;
			uint64_t value;
			bool fault; /* raise #GP(0) instead */
		} msr;
		struct {
			bool over; /* goes on behind it, with no interrupt */
		} hlt;
		struct {
			struct gamut_pv_cpu *cpu; /* registers are taken back from it on the next entry */
		} pv;
		struct {
			char text[160];
		} error;
	};
};

struct cpuid_entry {
	uint32_t leaf, subleaf;
	bool has_subleaf;
	uint32_t regs[4]; /* eax ebx ecx edx */
};

/*
 * The attention word of a vCPU: why it should look up from guest code. Any
 * thread ORs bits in and then calls the engine's kick; the vCPU clears what it
 * has served. (blink's machine.c, and KVM's vcpu->requests)
 */
#define ATTN_IRQ (1u << 0)    /* ask the interrupt source */
#define ATTN_NMI (1u << 1)
#define ATTN_PAUSE (1u << 2)
#define ATTN_STOP (1u << 3)
#define ATTN_INVAL (1u << 4)  /* the engine's own: pages of translated code have changed */
#define ATTN_WAKE (1u << 5)   /* leave a block */
#define ATTN_NMI_MORE (1u << 6) /* with ATTN_NMI alone: a second one came before the first was taken */

/*
 * One more NMI. Two can be due, one that starts its handler and one that waits
 * for the handler's end (Intel SDM volume 3, "Handling Multiple NMIs"); a third
 * is lost. [any]
 */
static inline void attn_nmi_raise(_Atomic uint32_t *attention)
{
	uint32_t old = atomic_load(attention);

	while (!atomic_compare_exchange_weak(attention, &old, old | (old & ATTN_NMI ? ATTN_NMI_MORE : ATTN_NMI)))
		;
}

/* The vCPU takes one; with `blocked`, a handler runs, it takes none, and only one goes on waiting. */
static inline void attn_nmi_take(_Atomic uint32_t *attention, bool blocked)
{
	uint32_t old = atomic_load(attention);

	while (!atomic_compare_exchange_weak(attention, &old,
	                                     old & ~(blocked || old & ATTN_NMI_MORE ? ATTN_NMI_MORE : ATTN_NMI)))
		;
}

/* What the core gives to an engine for a vCPU (copied by vcpu_create); called on the vCPU's thread. */
struct engine_vcpu_env {
	void *opaque;
	_Atomic uint32_t *attention;
	/* The interrupt source's accept: a vector or -1. Called when IF and shadow allow. */
	int (*irq_accept)(void *opaque);
	/* Whether accept would give one. */
	int (*irq_pending)(void *opaque);
	/*
	 * True once CR8 is the task priority of a controller outside: then it is
	 * read and written by these. NULL is false; it does not change after the
	 * first run.
	 */
	const bool *cr8_outside;
	uint64_t (*cr8_read)(void *opaque); /* 0 to 15 */
	void (*cr8_write)(void *opaque, uint64_t value);
};

struct engine_caps {
	bool hap, shadow, pv_ring3, irqchip;
	uint32_t max_vcpus;
	const char *paging; /* why it lacks hap or shadow, as a clause; static; NULL: nothing to say */
};

/* Settings from the domain file that concern engines. */
struct engine_config {
	uint32_t vcpus;
	uint64_t code_cache; /* bytes, bt */
	const char *debug;   /* bt's switches for bisecting, "" when none */
	bool shadow;         /* the MMU is to be shadow page tables (caps.shadow) */
};

/*
 * The platform's interrupt controllers inside the engine. split: the local
 * APICs alone; the 8259s go on through the environment's irq_accept, the I/O
 * APIC sends messages and is told of ends of interrupt of the vectors that
 * irqchip_route names, on a vCPU's thread.
 */
struct engine_irqchip {
	bool split;
	void (*eoi)(void *opaque, uint32_t vector); /* split; may be NULL */
	void *opaque;
};

#define ENGINE_PINS 24u /* of an I/O APIC, at most */

/* A message signalled interrupt, as devices write it. */
struct engine_msi {
	bool set;
	uint64_t address;
	uint32_t data;
};

struct engine_stat {
	const char *name;
	uint64_t value;
};

struct engine_ops {
	const char *name;
	const char *description;

	/*
	 * Whether this host can run it; fills caps. A few milliseconds at most. On
	 * false, why holds a phrase.
	 */
	bool (*probe)(struct engine_caps *caps, char *why, unsigned why_len);

	/* 0 or -errno with one line in err. mem outlives the engine. [control] */
	int (*vm_create)(struct engine_vm **vm, struct mem *mem, const struct engine_config *config, char *err,
	                 unsigned err_len);
	void (*vm_destroy)(struct engine_vm *vm);

	int (*vcpu_create)(struct engine_vm *vm, uint32_t index, const struct engine_vcpu_env *env,
	                   struct engine_vcpu **vcpu, char *err, unsigned err_len); /* [control] */
	void (*vcpu_destroy)(struct engine_vcpu *vcpu);

	/* The CPUID leaves that this engine can honour, for the core to edit. Caller frees. */
	int (*cpuid_supported)(struct engine_vm *vm, struct cpuid_entry **entries, uint32_t *n);
	/* What the guest will see; copied. Before the first run. */
	int (*cpuid_set)(struct engine_vcpu *vcpu, const struct cpuid_entry *entries, uint32_t n);

	/* Power-on state as after INIT/reset (real mode at f000:fff0). */
	void (*vcpu_reset)(struct engine_vcpu *vcpu);
	/* On the vCPU's thread or while it does not run. 0 or -errno (a state that cannot be). */
	int (*vcpu_get)(struct engine_vcpu *vcpu, struct gamut_vcpu_state *state);
	int (*vcpu_set)(struct engine_vcpu *vcpu, const struct gamut_vcpu_state *state);

	/* Completes the previous exit, then runs until the next. */
	void (*vcpu_run)(struct engine_vcpu *vcpu, struct vcpu_exit *exit);
	/* After attention was set, from any thread: the run returns (or serves it) soon. */
	void (*vcpu_kick)(struct engine_vcpu *vcpu);

	/* Copies through the vCPU's page tables at its current CPL; 0 or -EFAULT. */
	int (*guest_copy)(struct engine_vcpu *vcpu, uint64_t va, void *buf, uint64_t len, bool write);

	/*
	 * Guest pages changed otherwise than by guest instructions (mem_dirty), or
	 * their mapping to host pages changed (remapped). Any thread.
	 */
	void (*mem_changed)(struct engine_vm *vm, uint64_t gpa, uint64_t len, bool remapped);

	/* Host TSC to guest TSC: guest = host + offset. */
	uint64_t (*tsc_offset)(struct engine_vcpu *vcpu);

	/* Fills up to n; returns how many there are. For --stats. */
	uint32_t (*stats)(struct engine_vm *vm, struct engine_stat *stats, uint32_t n);

	/*
	 * The guest's kernel runs in ring 3 under this monitor, from the first run
	 * on; guest outlives the engine's VM. Fills cpus, one for each vCPU. The
	 * vCPUs have been created and have not run. 0 or -errno; NULL: this engine
	 * cannot. [control]
	 */
	int (*pv_attach)(struct engine_vm *vm, const struct gamut_pv_guest *guest, void *opaque,
	                 struct gamut_pv_cpu **cpus);

	/*
	 * The three bytes by which this VM's guest makes a hypercall where it
	 * would have vmcall or vmmcall; those work only when they are what this
	 * gives. NULL: engine_native_hypercall, and either works. [control]
	 */
	void (*hypercall_insn)(struct engine_vm *vm, uint8_t insn[3]);

	/*
	 * Interrupt controllers in the engine; caps.irqchip says that there can
	 * be. NULL, or 0 or -errno: -ENOTSUP (this kind is not there), -EBUSY (it
	 * is too late: before any state or CPUID is set). [control]
	 */
	int (*irqchip_create)(struct engine_vm *vm, const struct engine_irqchip *config);
	/* A pin of the whole irqchip; -ENOTSUP when it is split. [any] */
	int (*irqchip_line)(struct engine_vm *vm, uint32_t gsi, bool level);
	int (*irqchip_msi)(struct engine_vm *vm, uint64_t address, uint32_t data); /* [any] */
	/* What the I/O APIC's pins send, when it is split: replaces what was said before. [control] [vcpu] */
	int (*irqchip_route)(struct engine_vm *vm, const struct engine_msi *pins, uint32_t n);

	/* Whether a guest's vmcall and vmmcall come out as EXIT_HYPERCALL. NULL: always. [control] */
	bool (*hypercalls)(struct engine_vm *vm);
};

extern const struct engine_ops engine_bt;
extern const struct engine_ops engine_kvm;

/* vmcall or vmmcall: the one that this host's processor has. */
void engine_native_hypercall(uint8_t insn[3]);

#endif
