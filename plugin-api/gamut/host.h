/* SPDX-License-Identifier: MIT */
/*
 * Host services: everything a plugin may ask of the core, as one append-only
 * table. A plugin links no symbol of the core. The first argument of every
 * service is the instance that asks, so that logs, counters and errors are
 * put to its account.
 *
 * Thread tags:
 *   [control]  the domain's control thread: life-cycle operations
 *   [io]       the domain's I/O thread: timers, fd watches, deferred work
 *   [vcpu]     a vCPU's thread: port, MMIO, MSR and hypercall handlers
 *   [any]      all of them
 *
 * Handlers that run on [vcpu] may run at the same time for different vCPUs.
 */
#ifndef GAMUT_HOST_H
#define GAMUT_HOST_H

#include "gamut/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

struct gamut_inst;
struct gamut_timer;
struct gamut_watch;
struct gamut_page;
struct gamut_defer;
struct gamut_pv_guest;
struct gamut_pv_cpu;

enum gamut_log_level {
	GAMUT_LOG_ERROR = 0,
	GAMUT_LOG_WARN = 1,
	GAMUT_LOG_INFO = 2,
	GAMUT_LOG_DEBUG = 3,
};

/* ---- guest memory ---------------------------------------------------- */

struct gamut_mem_range {
	uint64_t gpa;  /* guest physical address, bytes */
	uint64_t size; /* bytes */
};

/* ---- exits ----------------------------------------------------------- */

/*
 * A device's port or MMIO range. The device sees offsets from the start of
 * its range, never addresses. width is 1, 2, 4 or 8 bytes; an access never
 * crosses the end of the range. Reads return the value in the low bytes.
 * [vcpu]
 */
struct gamut_io_ops {
	uint32_t size;
	uint64_t (*read)(void *opaque, uint64_t offset, uint32_t width);
	void (*write)(void *opaque, uint64_t offset, uint32_t width, uint64_t value);
	/*
	 * Ports only, and optional: `count` accesses in a row of the same width to
	 * the same offset (REP INS and REP OUTS); buf holds count * width bytes,
	 * little endian. At least one is done; returns how many, the rest comes
	 * again. Without them the core makes single accesses. [vcpu]
	 */
	uint32_t (*read_many)(void *opaque, uint64_t offset, uint32_t width, void *buf, uint32_t count);
	uint32_t (*write_many)(void *opaque, uint64_t offset, uint32_t width, const void *buf, uint32_t count);
};

/* What a range is in. */
enum gamut_space {
	GAMUT_SPACE_PIO = 0,
	GAMUT_SPACE_MMIO = 1,
};

/* How a host-owned page is mapped: see page_map_as. */
enum gamut_page_how {
	GAMUT_PAGE_RAM = 0, /* read and written as RAM */
	GAMUT_PAGE_ROM = 1, /* read and executed as RAM; a write is an MMIO write */
};

/* Interrupt controllers that the engine can have: see irqchip_create. */
enum gamut_irqchip {
	GAMUT_IRQCHIP_WHOLE = 0, /* the 8259s, the I/O APIC and the local APICs */
	GAMUT_IRQCHIP_SPLIT = 1, /* the local APICs alone */
};

/* What a pin of an I/O APIC sends, as a device writes it (Intel SDM volume 3, "Message Signalled Interrupts"). */
struct gamut_irqchip_pin {
	uint64_t address;
	uint32_t data;
	uint32_t set; /* 0: the pin is masked */
};

/* Return 0, or -EPERM for #GP(0) in the guest. [vcpu] */
struct gamut_msr_ops {
	uint32_t size;
	int (*read)(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t *value);
	int (*write)(void *opaque, uint32_t vcpu, uint32_t msr, uint64_t value);
};

/*
 * A hypercall as the guest made it. In long mode args are rdi, rsi, rdx, r10,
 * r8, r9; in 32-bit mode (long_mode == 0) ebx, ecx, edx, esi, edi, ebp, zero
 * extended. The handler's result goes to rax (eax). cpl is the caller's.
 *
 * Pointers in arguments are guest *virtual* addresses: use guest_read and
 * guest_write, which walk the vCPU's own page tables.
 */
struct gamut_hypercall {
	uint32_t vcpu;
	uint32_t nr;
	uint32_t cpl;
	uint32_t long_mode;
	uint64_t args[6];
	/*
	 * Set by the handler: run the same hypercall again at once, with the
	 * arguments as they now stand (they are written back to the guest's
	 * registers). For preemptible work.
	 */
	uint32_t restart;
	uint32_t reserved;
};

/* [vcpu] */
typedef int64_t (*gamut_hypercall_fn)(void *opaque, struct gamut_hypercall *call);

/* ---- vCPU state ------------------------------------------------------ */

enum gamut_seg { GAMUT_ES, GAMUT_CS, GAMUT_SS, GAMUT_DS, GAMUT_FS, GAMUT_GS, GAMUT_LDTR, GAMUT_TR, GAMUT_SEG_COUNT };

/*
 * attr is the descriptor's access byte and flags as VMX and Xen lay them out:
 * bits 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G; 16 unusable.
 * limit is in bytes (already scaled by G).
 */
struct gamut_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint16_t reserved;
	uint32_t attr;
	uint32_t reserved2;
};

struct gamut_table {
	uint64_t base;
	uint32_t limit;
	uint32_t reserved;
};

/* gpr order is the encoding's: rax rcx rdx rbx rsp rbp rsi rdi r8 .. r15. */
struct gamut_vcpu_state {
	uint32_t size;
	uint32_t reserved;
	uint64_t gpr[16];
	uint64_t rip, rflags;
	struct gamut_segment seg[GAMUT_SEG_COUNT];
	struct gamut_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer;
	uint64_t dr[8];
};

/*
 * The one interrupt controller of a domain, given by the interrupts plugin.
 * The core asks it when a vCPU has been flagged with irq_raise and the guest
 * can take an interrupt.
 */
struct gamut_irq_source {
	uint32_t size;
	/*
	 * The vector to deliver now, acknowledged by this call, or -1 when there
	 * is none any more. [vcpu]
	 */
	int (*accept)(void *opaque, uint32_t vcpu);
	/* Whether accept would return a vector; no side effect. [any] */
	int (*pending)(void *opaque, uint32_t vcpu);
};

/* [vcpu] */
typedef void (*gamut_halt_fn)(void *opaque, uint32_t vcpu);

/* ---- time, events ---------------------------------------------------- */

/* [io] */
typedef void (*gamut_timer_fn)(void *opaque);
/* events is a mask of GAMUT_FD_*. [io] */
typedef void (*gamut_fd_fn)(void *opaque, int fd, uint32_t events);
typedef void (*gamut_defer_fn)(void *opaque);

#define GAMUT_FD_IN 1u
#define GAMUT_FD_OUT 2u
#define GAMUT_FD_ERR 4u

/* ---- boot image ------------------------------------------------------ */

struct gamut_segment_load {
	uint64_t paddr, vaddr; /* as in the ELF program header */
	uint64_t filesz, memsz;
	const void *data; /* filesz bytes */
};

/*
 * The section "__xen_guest" of Xen kernels from before the notes comes as one
 * of that name, its type 0 and its bytes, which need not end with a zero, desc.
 */
struct gamut_elf_note {
	const char *name; /* "Xen" */
	uint32_t type;    /* XEN_ELFNOTE_* */
	uint32_t desc_size;
	const void *desc;
};

/*
 * The kernel named by the domain file, unpacked (bzImage payloads included)
 * and parsed; lives as long as the domain. n_segments is 0 when no kernel was
 * given.
 */
struct gamut_boot {
	uint32_t size;
	uint32_t n_segments, n_notes;
	uint32_t elf_class; /* 32 or 64 */
	uint64_t elf_entry;
	const char *kernel_path; /* for messages */
	const struct gamut_segment_load *segments;
	const struct gamut_elf_note *notes;
	const void *ramdisk; /* NULL when none */
	uint64_t ramdisk_size;
	const char *cmdline; /* never NULL */
	/*
	 * The kernel's file as it is on disk, NULL when none was given. A file
	 * that is no ELF and holds none (n_segments is 0) is not refused by the
	 * core: platforms say what they can boot.
	 */
	const void *image;
	uint64_t image_size;
	const char *not_elf; /* why n_segments is 0 although there is a file: a sentence; NULL otherwise */
};

/* How a domain ends; becomes the exit status of `gamut run`. */
enum gamut_end {
	GAMUT_END_POWEROFF = 0,
	GAMUT_END_REBOOT = 1, /* the core resets or ends the domain as configured */
	GAMUT_END_CRASH = 2,  /* reported by the guest, or a triple fault */
	GAMUT_END_SUSPEND = 3,
	GAMUT_END_ERROR = 4, /* the host could not go on */
};

/* ---- the table ------------------------------------------------------- */

struct gamut_host {
	uint32_t size;
	uint16_t abi_major, abi_minor;

	/* -- messages [any] -- */

	/* One line to the domain's log; no newline at the end. Never on a path per exit. */
	void (*log)(struct gamut_inst *inst, int level, const char *fmt, ...) GAMUT_PRINTF(3, 4);
	/*
	 * Records the sentence that the user will read for a failing op, and
	 * returns -err, so that `return host->fail(inst, EINVAL, "...")` works.
	 */
	int (*fail)(struct gamut_inst *inst, int err, const char *fmt, ...) GAMUT_PRINTF(3, 4);

	/* -- options [control] -- values live as long as the instance */

	/* 1 when set or defaulted, 0 when absent. */
	int (*option_int)(struct gamut_inst *inst, const char *name, int64_t *value);
	int (*option_bool)(struct gamut_inst *inst, const char *name, int *value);
	int (*option_string)(struct gamut_inst *inst, const char *name, const char **value);
	/* Index of this instance on its axis: 0 for the first disk, 1 for the second, ..., whatever types they are of. */
	uint32_t (*unit)(struct gamut_inst *inst);
	const char *(*domain_name)(struct gamut_inst *inst);
	/* 16 bytes, given in the domain file or made from the name. */
	const uint8_t *(*domain_uuid)(struct gamut_inst *inst);
	uint32_t (*domain_id)(struct gamut_inst *inst); /* 1 .. 0x7fef, as Xen's domid */
	uint32_t (*vcpu_count)(struct gamut_inst *inst);

	/* -- guest memory -- */

	/*
	 * Copies len bytes from or to guest physical memory; all or nothing.
	 * 0, or -EFAULT when any byte is not RAM. write marks pages dirty and
	 * invalidates translated code. [any]
	 */
	int (*mem_read)(struct gamut_inst *inst, uint64_t gpa, void *buf, uint64_t len);
	int (*mem_write)(struct gamut_inst *inst, uint64_t gpa, const void *buf, uint64_t len);
	/*
	 * A host pointer to len bytes of guest RAM, contiguous, or NULL. Valid
	 * until mem_put or pause. The guest may change the bytes at any time: copy
	 * before checking. After writing, call mem_dirty for what was written,
	 * before the guest can learn of it. [any]
	 */
	void *(*mem_get)(struct gamut_inst *inst, uint64_t gpa, uint64_t len);
	void (*mem_put)(struct gamut_inst *inst, void *ptr, uint64_t len);
	void (*mem_dirty)(struct gamut_inst *inst, uint64_t gpa, uint64_t len);
	/* Fills up to n ranges of RAM in ascending order; returns how many there are. [any] */
	uint32_t (*mem_ranges)(struct gamut_inst *inst, struct gamut_mem_range *ranges, uint32_t n);
	/*
	 * Pages owned by the host that can be put at any page of the guest
	 * physical space, over RAM or not (shared_info, grant tables).
	 * page_alloc gives n zeroed contiguous pages and their host address, which
	 * stays valid until page_free; page_map puts page `index` of them at gpa
	 * (what was there is hidden, and is back after page_unmap); a page may be
	 * mapped at one gpa at a time. [control] [vcpu] [io]
	 */
	struct gamut_page *(*page_alloc)(struct gamut_inst *inst, uint32_t n, void **host);
	void (*page_free)(struct gamut_inst *inst, struct gamut_page *pages);
	int (*page_map)(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa);
	int (*page_unmap)(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index);
	/*
	 * Balloon: gives RAM pages back to the host (release: they become holes)
	 * or takes them in again (populate: zeroed RAM where there was a hole).
	 * Whole pages. 0 or -errno. [vcpu]
	 */
	int (*mem_release)(struct gamut_inst *inst, uint64_t gpa, uint64_t len);
	int (*mem_populate)(struct gamut_inst *inst, uint64_t gpa, uint64_t len);

	/*
	 * Copies from or to guest virtual memory as the calling vCPU sees it at
	 * its current privilege; all or nothing is not promised. 0 or -EFAULT.
	 * [vcpu], only inside a handler for that vCPU.
	 */
	int (*guest_read)(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, void *buf, uint64_t len);
	int (*guest_write)(struct gamut_inst *inst, uint32_t vcpu, uint64_t va, const void *buf, uint64_t len);

	/* -- exits: registered in create or start [control] -- ops must stay valid -- */

	int (*pio_register)(struct gamut_inst *inst, uint16_t base, uint32_t len, const struct gamut_io_ops *ops,
	                    void *opaque);
	int (*mmio_register)(struct gamut_inst *inst, uint64_t gpa, uint64_t len, const struct gamut_io_ops *ops,
	                     void *opaque);
	int (*msr_register)(struct gamut_inst *inst, uint32_t first, uint32_t count, const struct gamut_msr_ops *ops,
	                    void *opaque);
	int (*hypercall_register)(struct gamut_inst *inst, uint32_t nr, gamut_hypercall_fn fn, void *opaque);
	/*
	 * CPUID as all vCPUs (vcpu == UINT32_MAX) or one of them see it. set
	 * replaces a leaf; mask changes bits of what the engine offers: first
	 * &= ~clear, then |= set.  regs are eax, ebx, ecx, edx. Before start ends.
	 */
	int (*cpuid_set)(struct gamut_inst *inst, uint32_t vcpu, uint32_t leaf, uint32_t subleaf, const uint32_t regs[4]);
	int (*cpuid_mask)(struct gamut_inst *inst, uint32_t vcpu, uint32_t leaf, uint32_t subleaf, const uint32_t clear[4],
	                  const uint32_t set[4]);

	/* -- vCPUs -- */

	/* [control], or [vcpu] for the calling vCPU or one that is down. 0 or -errno. */
	int (*vcpu_get)(struct gamut_inst *inst, uint32_t vcpu, struct gamut_vcpu_state *state);
	int (*vcpu_set)(struct gamut_inst *inst, uint32_t vcpu, const struct gamut_vcpu_state *state);
	/* vCPU 0 starts up, the others down. [control] [vcpu] */
	int (*vcpu_up)(struct gamut_inst *inst, uint32_t vcpu);
	int (*vcpu_down)(struct gamut_inst *inst, uint32_t vcpu);
	int (*vcpu_is_up)(struct gamut_inst *inst, uint32_t vcpu);
	/*
	 * The calling vCPU stops executing until irq_raise or vcpu_wake is called
	 * for it; takes effect when the handler returns. [vcpu]
	 */
	void (*vcpu_block)(struct gamut_inst *inst, uint32_t vcpu);
	void (*vcpu_wake)(struct gamut_inst *inst, uint32_t vcpu); /* [any] */
	/* Nanoseconds that the vCPU spent running, runnable, blocked, offline since start. [any] */
	void (*vcpu_times)(struct gamut_inst *inst, uint32_t vcpu, uint64_t ns[4]);

	/* -- interrupts -- */

	int (*irq_source)(struct gamut_inst *inst, const struct gamut_irq_source *ops, void *opaque); /* [control] */
	/* The source may have something for this vCPU: ask it soon, waking or kicking the vCPU. [any] */
	void (*irq_raise)(struct gamut_inst *inst, uint32_t vcpu);
	void (*nmi_raise)(struct gamut_inst *inst, uint32_t vcpu); /* [any] */

	/* -- time -- */

	/*
	 * Domain time in ns: monotonic, stands still while the domain is paused,
	 * 0 at creation. [any]
	 */
	uint64_t (*time_now)(struct gamut_inst *inst);
	/*
	 * How domain time follows from the guest's TSC, for pvclock pages:
	 * ns = ((tsc - tsc_base) << shift, or >> -shift) * mul >> 32) + ns_base.
	 * [any]
	 */
	void (*time_scale)(struct gamut_inst *inst, uint32_t vcpu, uint64_t *tsc_base, uint64_t *ns_base, uint32_t *mul,
	                   int8_t *shift);
	struct gamut_timer *(*timer_create)(struct gamut_inst *inst, gamut_timer_fn fn, void *opaque); /* [control] */
	/* Fires once at domain time ns (at once when that is past); replaces an earlier setting. [any] */
	void (*timer_set)(struct gamut_inst *inst, struct gamut_timer *timer, uint64_t ns);
	void (*timer_cancel)(struct gamut_inst *inst, struct gamut_timer *timer); /* [any] */
	void (*timer_destroy)(struct gamut_inst *inst, struct gamut_timer *timer); /* [control] */

	/* -- descriptors and deferred work -- */

	struct gamut_watch *(*fd_watch)(struct gamut_inst *inst, int fd, uint32_t events, gamut_fd_fn fn,
	                                void *opaque);                                    /* [control] [io] */
	int (*fd_modify)(struct gamut_inst *inst, struct gamut_watch *watch, uint32_t events); /* [control] [io] */
	void (*fd_unwatch)(struct gamut_inst *inst, struct gamut_watch *watch);            /* [control] [io] */
	/*
	 * An object whose fn runs on [io] soon after defer_run was called, once
	 * for any number of calls since it last ran. [any] for run.
	 */
	struct gamut_defer *(*defer_create)(struct gamut_inst *inst, gamut_defer_fn fn, void *opaque); /* [control] */
	void (*defer_run)(struct gamut_inst *inst, struct gamut_defer *defer);
	void (*defer_destroy)(struct gamut_inst *inst, struct gamut_defer *defer); /* [control] */

	/* -- counters -- */

	/*
	 * A named 64-bit counter of this instance, shown by `gamut run --stats`
	 * and `gamut color`; add to it with relaxed atomics. Never NULL. [control]
	 */
	uint64_t *(*counter)(struct gamut_inst *inst, const char *name);

	/* -- the domain's console terminal -- */

	/* Bytes from the guest; returns how many were taken (fewer when the reader is slow). [any] */
	uint32_t (*console_write)(struct gamut_inst *inst, const void *buf, uint32_t len);
	/*
	 * fn runs on [io] when there is input; console_read takes what the guest
	 * has room for, the rest stays queued, and fn is called again after the
	 * next defer or input. NULL ends it. [control]
	 */
	void (*console_on_input)(struct gamut_inst *inst, gamut_defer_fn fn, void *opaque);
	uint32_t (*console_read)(struct gamut_inst *inst, void *buf, uint32_t len); /* [io] */

	/* -- domain -- */

	const struct gamut_boot *(*boot)(struct gamut_inst *inst); /* [control] */
	/* Ends the domain; returns at once, the vCPUs stop at their next exit. [any] */
	void (*domain_end)(struct gamut_inst *inst, int how);
	/*
	 * An interface given by another instance of this domain, or NULL. *self is
	 * the first argument of its functions. unit picks among several that give
	 * the same (0 first). [control], in start and reset.
	 */
	const void *(*lookup)(struct gamut_inst *inst, const char *id, uint32_t revision, uint32_t unit, void **self);
	/*
	 * fn is called when a vCPU executes HLT with interrupts disabled and no
	 * NMI pending, from which nothing but an NMI would wake it. It may take
	 * the vCPU down (vcpu_down) or end the domain; if it does neither, the
	 * vCPU sleeps until an NMI comes, as without this. 0; -EBUSY when the
	 * domain has one already. [control]
	 */
	int (*on_dead_halt)(struct gamut_inst *inst, gamut_halt_fn fn, void *opaque);

	/*
	 * The vCPU whose handler is running on the calling thread; UINT32_MAX on
	 * any other thread. For ranges that are each vCPU's own, such as a local
	 * APIC's page: struct gamut_io_ops does not say who accesses. [any]
	 */
	uint32_t (*vcpu_current)(struct gamut_inst *inst);

	/*
	 * The domain's kernel runs in ring 3 and this is its monitor: see
	 * gamut/pv.h. In create, once; the engine must have "engine:pv-ring3". cpus
	 * is filled with the engine's register file of every vCPU (vcpu_count of
	 * them), valid until destroy. 0; -ENOTSUP; -EBUSY. [control]
	 */
	int (*pv_attach)(struct gamut_inst *inst, const struct gamut_pv_guest *guest, void *opaque,
	                 struct gamut_pv_cpu **cpus);
	/*
	 * Runs the handler that is registered for call->nr as if the guest had
	 * made the call, counted to its owner; -ENOSYS when there is none. [vcpu]
	 */
	int64_t (*hypercall_call)(struct gamut_inst *inst, struct gamut_hypercall *call);
	/*
	 * The three bytes by which this guest makes a hypercall. Where they are
	 * vmcall or vmmcall, both are hypercalls; where not, neither is, and
	 * whoever puts the guest's code into memory puts these in their place.
	 * They do the same: number, arguments and result are where
	 * struct gamut_hypercall has them. Bytes that are not the processor's own
	 * are hypercalls only after this was called. [control]
	 */
	void (*hypercall_insn)(struct gamut_inst *inst, uint8_t insn[3]);

	/*
	 * Takes the accesses to a space (enum gamut_space) that no range claims:
	 * for a bus whose windows the guest moves. The handler sees addresses, not
	 * offsets, and answers all ones where there is nothing. An access of which
	 * only a part is claimed arrives in bytes. 0; -EBUSY when the space has
	 * one already. Registered like a range. [control]
	 */
	int (*bus_fallback)(struct gamut_inst *inst, uint32_t space, const struct gamut_io_ops *ops, void *opaque);
	/*
	 * As page_map, and says how (enum gamut_page_how): a page that is mapped
	 * at gpa already changes to it in place. A write to a ROM page goes to the
	 * MMIO range that covers it, else to the fallback. Reads never do.
	 * [control] [vcpu] [io]
	 */
	int (*page_map_as)(struct gamut_inst *inst, struct gamut_page *pages, uint32_t index, uint64_t gpa,
	                   uint32_t how);
	/*
	 * The engine's own interrupt controllers (enum gamut_irqchip) in place of
	 * an irq_source's local APICs. With GAMUT_IRQCHIP_WHOLE the plugin
	 * registers no port, page or MSR of theirs and irq_source is not asked;
	 * with GAMUT_IRQCHIP_SPLIT irq_source stands for the 8259 pair's ExtINT,
	 * and eoi (may be NULL) is told of ends of interrupt of the vectors that
	 * irqchip_route named. 0; -ENOTSUP: the engine has no such thing on this
	 * host; -EBUSY: too late. In create only. [control]
	 */
	int (*irqchip_create)(struct gamut_inst *inst, uint32_t kind, void (*eoi)(void *opaque, uint32_t vector),
	                      void *opaque);
	/* An input of the whole irqchip: 0-15 the ISA lines, to both controllers, 16-23 the I/O APIC. [any] */
	int (*irqchip_line)(struct gamut_inst *inst, uint32_t gsi, uint32_t level);
	/* A message to the engine's local APICs. [any] */
	int (*irqchip_msi)(struct gamut_inst *inst, uint64_t address, uint32_t data);
	/* Split: what each pin of the plugin's I/O APIC sends now, for eoi; replaces the former. [control] [vcpu] */
	int (*irqchip_route)(struct gamut_inst *inst, const struct gamut_irqchip_pin *pins, uint32_t n);
	/*
	 * The guest's CR8 is the task priority of an interrupt controller: ops
	 * are asked on every access to it (on engine kvm, before and after the
	 * guest runs). vcpu_get shows what read says, on its caller's thread;
	 * vcpu_set leaves CR8 to the controller. NULL of both: CR8 is the engine's
	 * own register. 0; -EINVAL one of them alone; -EBUSY somebody has it; -EPERM
	 * too late. Before start ends. [control]; read and write on [vcpu]
	 */
	int (*cr8_register)(struct gamut_inst *inst, uint64_t (*read)(void *opaque, uint32_t vcpu),
	                    void (*write)(void *opaque, uint32_t vcpu, uint64_t value), void *opaque);

	/*
	 * String `index` (0 first) of an option of type GAMUT_OPTION_LIST: 1, or 0
	 * past its end. It lives as long as the instance. [control]
	 */
	int (*option_list)(struct gamut_inst *inst, const char *name, uint32_t index, const char **value);
	/*
	 * fn is called when a vCPU enters the shutdown state (a triple fault; Intel
	 * SDM volume 3, 24.1), which a chip set answers with a reset. It may end the
	 * domain (domain_end); if it does not, and without this, the guest has
	 * crashed. 0; -EBUSY when the domain has one already. [control]; fn on [vcpu]
	 */
	int (*on_shutdown)(struct gamut_inst *inst, gamut_halt_fn fn, void *opaque);

	/*
	 * Whether the descriptor of another instance of this domain has `id` among
	 * its needs: 1 or 0. For what is made only when somebody wants it, as the
	 * Xen parts of a PC are. From create on. [control]
	 */
	int (*needed)(struct gamut_inst *inst, const char *id);
	/*
	 * A sign of the domain's true colour: a counter as of `counter`, to be
	 * added to whenever the guest is seen to use what `name` says ("requests",
	 * "callback vector set", "PIT programmed"), which is of `colour` (enum
	 * gamut_colour) on `axis` (enum gamut_axis, not always the instance's own).
	 * What was only configured or offered is no sign; the guest has to act. A
	 * reset sets it to 0. `gamut color` tells the mode that a guest is in by
	 * signs alone. Never NULL. In create or start. [control]
	 */
	uint64_t *(*sign)(struct gamut_inst *inst, uint32_t axis, uint32_t colour, const char *name);

	/*
	 * Takes the hypercalls whose number nobody has registered: for guests
	 * whose convention is another than struct gamut_hypercall's, and for
	 * another answer than -ENOSYS to what is unknown. Registers that are not
	 * among args the handler finds by vcpu_get; a number beyond 32 bits
	 * arrives as UINT32_MAX. 0; -EBUSY the domain has one already; -ENOTSUP
	 * vmcall and vmmcall do not reach the core on this engine and host, which
	 * answer them by themselves. Registered like a hypercall. [control]
	 */
	int (*hypercall_fallback)(struct gamut_inst *inst, gamut_hypercall_fn fn, void *opaque);
	/*
	 * Ends the vCPU's HLT as an NMI does, be its interrupts enabled or not,
	 * with nothing delivered; when it is not halted, its next HLT ends at
	 * once. Not while halts are the engine's (irqchip_create). [any]
	 */
	void (*vcpu_unhalt)(struct gamut_inst *inst, uint32_t vcpu);

	/*
	 * As unit, among the instances of this one's own choice: 1 for the second
	 * virtio disk, whatever other disks the domain has. From create on. [control]
	 */
	uint32_t (*unit_of_choice)(struct gamut_inst *inst);
};

#ifdef __cplusplus
}
#endif
#endif
