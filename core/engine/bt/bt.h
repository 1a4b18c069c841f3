/* SPDX-License-Identifier: MIT */
/*
 * State of a vCPU of the bt engine, and what its files agree on.
 *
 * Where guest state lives
 *
 * While translated code runs, GS of the host thread points at struct bt_vcpu
 * and guest registers sit in the host registers of the same name, RSP
 * included; r11 and r15 are the exception: they live in gpr[] and the host's
 * r11 and r15 are scratch (t0 and t1). Vector and x87 registers are the
 * guest's own. Arithmetic flags are in the host's flags or, once they have
 * been saved, in flags_slot (lahf and seto: see flags_from_slot).
 *
 * In C, reached through a thunk (thunk.S), everything general is in gpr[],
 * and all arithmetic flags are in rflags ("synced"), so that interpreter,
 * system and exception code is plain C over struct bt_vcpu. Vector state
 * stays live in the processor: files in this folder are built with
 * -mgeneral-regs-only, and what they call while a guest is live must call no
 * libc function that may use vector registers (memcpy, memset, printf ...);
 * use bt_copy and bt_zero. Cold paths that need more are bracketed with
 * fpu_save and fpu_restore (fpu.h).
 *
 * Faults in C: a function that can fault returns enum bt_step. STEP_FAULT
 * means that v->exc describes the exception and nothing guest-visible has
 * changed; only the run loop (or the stepper) delivers it.
 */
#ifndef BT_H
#define BT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bt/page-filter.h"
#include "engine/engine.h"
#include "mem.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/* RFLAGS bits beside FL_ARITH (decode.h). */
#define FL_FIXED 0x2ull
#define DR6_BS 0x4000ull /* single step */
#define FL_TF 0x100ull
#define FL_IF 0x200ull
#define FL_DF 0x400ull
#define FL_IOPL 0x3000ull
#define FL_NT 0x4000ull
#define FL_RF 0x10000ull
#define FL_VM 0x20000ull
#define FL_AC 0x40000ull
#define FL_VIF 0x80000ull
#define FL_VIP 0x100000ull
#define FL_ID 0x200000ull

#define MSR_APIC_BASE 0x1bu
#define APIC_BASE_ENABLE 0x800ull

#define CR0_PE 0x1ull
#define CR0_MP 0x2ull
#define CR0_EM 0x4ull
#define CR0_TS 0x8ull
#define CR0_ET 0x10ull
#define CR0_NE 0x20ull
#define CR0_WP 0x10000ull
#define CR0_AM 0x40000ull
#define CR0_NW 0x20000000ull
#define CR0_CD 0x40000000ull
#define CR0_PG 0x80000000ull

#define CR4_VME 0x1ull
#define CR4_PVI 0x2ull
#define CR4_TSD 0x4ull
#define CR4_DE 0x8ull
#define CR4_PSE 0x10ull
#define CR4_PAE 0x20ull
#define CR4_MCE 0x40ull
#define CR4_PGE 0x80ull
#define CR4_PCE 0x100ull
#define CR4_OSFXSR 0x200ull
#define CR4_OSXMMEXCPT 0x400ull
#define CR4_UMIP 0x800ull
#define CR4_FSGSBASE 0x10000ull
#define CR4_PCIDE 0x20000ull
#define CR4_OSXSAVE 0x40000ull
#define CR4_SMEP 0x100000ull
#define CR4_SMAP 0x200000ull
#define CR4_PKE 0x400000ull
#define CR4_PKS 0x1000000ull

#define EFER_SCE 0x1ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define EFER_NXE 0x800ull

/* Segment attribute bits as in struct gamut_segment. */
#define SEG_TYPE 0xfu
#define SEG_S 0x10u
#define SEG_DPL_SHIFT 5
#define SEG_P 0x80u
#define SEG_L 0x2000u
#define SEG_DB 0x4000u
#define SEG_G 0x8000u
#define SEG_UNUSABLE 0x10000u

enum { EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5, EXC_UD = 6, EXC_NM = 7, EXC_DF = 8,
       EXC_TS = 10, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14, EXC_MF = 16, EXC_AC = 17, EXC_MC = 18, EXC_XM = 19 };

enum bt_step {
	STEP_OK = 0,
	STEP_FAULT, /* v->exc is set */
	STEP_EXIT,  /* v->exit is filled: back to the core */
};

/* Fast calls that are delivered as exceptions are: to the monitor of a PV guest. */
enum bt_call { CALL_NONE, CALL_SYSCALL, CALL_SYSENTER };

/* Exception (or software interrupt) about to be delivered. */
struct bt_exc {
	uint8_t vector;
	bool has_error;
	bool soft;      /* int n, int3, into: rip pushed is the next one, DPL is checked */
	bool int_n;     /* soft, and not one of the one-byte forms */
	uint8_t len;    /* soft and fast calls: instruction length */
	uint8_t call;   /* enum bt_call */
	uint32_t error;
	uint64_t cr2;   /* for EXC_PF, written to CR2 at delivery */
	uint64_t dr6;   /* for EXC_DB: bits to set */
};

/*
 * One soft-TLB entry. A tag is the page's virtual address, or tlb_invalid()
 * when the access is not allowed without a visit to C. host is the host
 * address of the page.
 *
 * tag_w is valid only for pages that are writable, dirty, and hold no
 * translated code. The check in translated code:
 *     t0 = va; t1 = (va >> 12) % TLB_SIZE * 32
 *     t0 ^= tag[t1]; if (t0 > 4096 - size) miss; t0 += host[t1]
 * which fails for another page and for a crossing alike.
 */
struct tlb_entry {
	uint64_t tag_r, tag_w, host;
	uint32_t gpa_page; /* guest physical page number */
	uint32_t flags;    /* TLB_* */
};
#define TLB_GLOBAL 1u /* survives a CR3 write */
#define TLB_LISTED 2u /* index is in the dirty list */
#define TLB_BITS 14
#define TLB_SIZE (1u << TLB_BITS)
#define TLB_INVALID (~0ull)
#define TLB_LISTED_GLOBAL 4u /* index is in the dirty list of global entries */
#define TLB_EXEC 8u   /* the table's privilege may execute the page */
#define TLB_LARGE 16u /* of a page of 2M or 4M */
#define TLB_SMAP 32u  /* a user page in the kernel's table: there while SMAP lets it be (tlb_smap) */

/*
 * The tag of an entry that matches nothing. All ones differs from every page
 * address, but the check's xor of it with an address in the last page of the
 * address space is small: that page's own slot (the last) needs another one,
 * the address of a page that belongs to another slot.
 */
static inline uint64_t tlb_invalid(uint32_t index)
{
	return index == TLB_SIZE - 1 ? 0 : TLB_INVALID;
}

enum { TLB_KERNEL = 0, TLB_USER = 1 };

/* Jump cache: rip to block entry, checked by the jumping side. Entry B of a block (see translate.h). */
struct jc_entry {
	uint64_t rip;
	const void *code;
};
#define JC_BITS 15
#define JC_SIZE (1u << JC_BITS)

/* What the translation of a block depends on besides its bytes and address. */
enum {
	KEY_MODE = 3,      /* enum insn_mode of CS */
	KEY_USER = 4,      /* TLB_USER: CPL 3, or a PV guest's user space (bt_table) */
	KEY_SS32 = 8,      /* 32-bit stack (outside 64-bit mode) */
	KEY_DF = 16,
	KEY_NOFPU = 32,    /* CR0.EM or TS, or SSE/AVX not enabled by CR4 and XCR0: such instructions go to the interpreter */
	KEY_UNGROUPED = 128, /* of a block only: translated without groups (trans-group.c) */
	KEY_INTERP = 64,   /* nothing is translated: real mode, V86, non-flat segments, TF, armed debug registers */
};

/* Results of port, MMIO and MSR accesses made by the instruction that is being run again (see interp.h). */
#define REPLAY_MAX 16
#define REPLAY_TEXT 0xff /* `got` of an instruction whose decoded form the interpreter still has (interp.c) */
struct bt_replay {
	uint64_t value[REPLAY_MAX];
	uint8_t done; /* completed accesses recorded */
	uint8_t next; /* to be served next in this run of the instruction */
	bool fault;   /* the last one ended in #GP (MSR) */
	uint8_t got;  /* bytes of the instruction, once it is fetched; or REPLAY_TEXT */
	uint8_t fetched; /* accesses that fetching it took */
	uint8_t bytes[16];
};

/* Elements of rep ins or rep outs that are out in one exit, in io_buf; see interp-io.c. */
struct bt_io_run {
	uint64_t gpa;  /* ins: where they go, within one page */
	uint64_t next; /* rip after the instruction */
	uint16_t n;    /* 0: none */
	uint8_t size, addrsize;
	bool write;
};

/* Offsets in struct bt_vcpu that assembly needs. */
#define BT_OFF_JC 0x1000
#define BT_OFF_TLB (BT_OFF_JC + 2 * 16 * JC_SIZE)

/* Pages of descriptor tables that ring 3 need not be able to read; see mmu_read. */
#define PV_TABLES 8

/* What other vCPUs of the domain want of this one, and what it may be doing; see smp.c. */
struct bt_smp {
	uint32_t state; /* enum smp_state; a futex */
	uint32_t stop;  /* enum smp_stop; a futex */
	uint32_t held;  /* it was stopped and has not gone on yet; a futex */
	uint32_t depth; /* of the translator lock, while this vCPU has it */
	bool waiting;   /* for that lock; it may go back into a block */
	uint64_t lost;  /* how often it waited for that lock: what was walked before may not be so any more */
};

/* User pages in the kernel's table of the TLB, with CR4.SMAP; see tlb_smap. */
#define SMAP_MAX 16
struct bt_smap {
	bool open;  /* explicit supervisor accesses may reach user pages now */
	uint8_t n;
	struct { uint16_t index; bool writable; uint64_t tag; } page[SMAP_MAX];
};

/* Machine check banks: as many as KVM and QEMU show. */
#define MC_BANKS 10

/* Where a table of the upper half was found: PV_REGION (pv.h) of two places. */
struct bt_pv_seen {
	uint32_t region[2];
};

/* A vCPU whose guest's kernel runs in ring 3; see pv.c. */
struct bt_pv {
	const struct gamut_pv_guest *guest; /* the monitor; NULL: an ordinary guest */
	void *opaque;
	bool user;             /* which of the two spaces is in force */
	bool trap_pending;     /* ... of an instruction that emulate_write completed */
	struct bt_exc trap;
	uint64_t root[2];      /* top-level tables, by TLB_* */
	struct gamut_pv_cpu cpu;
	struct { uint64_t va; const uint8_t *host; } tables[2][PV_TABLES];
	struct bt_pv_seen *upper; /* by frame: a table that the upper half was translated through, and where; see pv.h */
	bool upper_stale[2];   /* by TLB_*: one of them has lost something since the last full flush */
	/* While emulate_write runs an instruction: who gets stores to which page, and what came of it. */
	int (*store)(void *opaque, uint64_t gpa, uint64_t old_value, uint64_t new_value);
	void *store_opaque;
	uint64_t store_page;
	int store_error;
};

struct block;
struct bt_vm;
struct shadow;
struct shadow_hit;
struct bt_handover;
struct interp;
struct engine_vm;
struct engine_vcpu;

struct bt_vcpu {
	/* ---- reached as %gs:disp from translated code; offsets in thunk.S are checked by static asserts ---- */
	uint64_t gpr[16];      /* 0x00 */
	uint64_t rip;          /* 0x80 */
	uint64_t host_rsp;     /* 0x88 */
	uint32_t flags_slot;   /* 0x90: al = OF, ah = SF ZF - AF - PF - CF */
	uint8_t if_flag;       /* 0x94: RFLAGS.IF, by itself so that cli and sti are one store */
	uint8_t pad0[3];
	uint32_t poll;         /* 0x98: nonzero: leave translated code at the next poll; set by any thread */
	uint32_t poll_irq;     /* 0x9c: the same for an interrupt that waited for IF; polls test both as one 64-bit word */
	uint64_t va;           /* 0xa0: address of a TLB miss */
	uint64_t resume;       /* 0xa8: where in the cache a missed check goes on; 0 after a flush: see resume_rip */
	uint64_t exit_arg;     /* 0xb0 */
	uint32_t irq_wait;     /* 0xb8: an interrupt waits for IF; sti copies it to poll_irq */
	uint32_t pad1;
	uint64_t seg_base[8];  /* 0xc0: by enum gamut_seg; always equal to seg[].base */
	uint64_t scratch[4];   /* 0x100 */
	const void *thunk[24]; /* 0x120 */
	uint64_t rflags;       /* 0x1e0: all but IF and, while code runs, but the arithmetic flags */
	uint64_t self;         /* 0x1e8 */

	/* ---- reached with an index register ---- */
	struct jc_entry jc[2][JC_SIZE] __attribute__((aligned(4096)));   /* BT_OFF_JC */
	struct tlb_entry tlb[2][TLB_SIZE] __attribute__((aligned(4096))); /* BT_OFF_TLB */

	/* ---- architectural state, C only ---- */
	struct gamut_segment seg[GAMUT_SEG_COUNT];
	struct gamut_table gdt, idt;
	uint64_t cr0, cr2, cr3, cr4, cr8, efer, xcr0;
	uint64_t dr[8];
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, tsc_aux, pat;
	uint64_t misc_enable, tsc_adjust, apic_base, spec_ctrl, mtrr_def_type, mtrr[16], mtrr_fixed[11];
	uint64_t tsc_offset;   /* guest = host + offset */
	uint64_t pdpte[4];     /* PAE paging: as loaded with CR3 */
	uint64_t mcg_status, mcg_ctl, mc[MC_BANKS][4];
	uint64_t pkrs;         /* IA32_PKRS */
	uint32_t pkru;         /* part of the XSAVE state (fpu.c) */
	uint32_t pkeys_seen;   /* keys of pages that were walked since the last full flush: user, and supervisor from bit 16 */
	struct bt_smap smap;
	struct bt_device_page { uint64_t va, gpa; bool valid, writable; } device_page; /* tlb.c */
	/* What the CPUID that the guest sees allows; recomputed by sys_features. */
	uint64_t cr4_valid, efer_valid, xcr0_valid;
	bool rdtscp;
	uint64_t pa_reserved;  /* bits of 51:12 at and above MAXPHYADDR */
	uint8_t cpl;
	uint8_t key;           /* KEY_*; bt_update_key after any change of what it depends on */
	uint8_t shadow;        /* 1: interrupts are held off for one instruction (sti, mov ss) */
	bool nmi_blocked;
	bool halted;
	bool pending_db;       /* single-step or data breakpoint trap after this instruction */
	uint64_t pending_dr6;  /* ... its bits */
	struct bt_exc exc;
	struct vcpu_exit *exit; /* the core's, while vcpu_run is on */
	struct bt_replay replay;
	bool replay_on;        /* an exit is being completed */
	struct bt_io_run io_run;
	uint8_t pio_len;       /* a port access is out that need not run again: instruction length; 0: none */
	bool exc_pending;      /* v->exc is to be delivered before anything runs */
	enum exit_reason exited; /* what the last run returned */
	struct bt_pv pv;
	struct bt_handover *handover; /* handover.h; NULL: user mode stays here */

	/* ---- shadow paging (shadow.h) ---- */
	struct shadow *spt;    /* NULL: hap */
	struct shadow_hit *spt_hits;
	struct bt_wtag { uint16_t at[2]; } *wtag; /* by frame: where its write tags are; tlb.c */
	uint64_t n_shadow_fill;

	/* ---- plumbing ---- */
	struct bt_smp smp __attribute__((aligned(64)));
	struct bt_vm *vm __attribute__((aligned(64)));
	uint64_t *writers;     /* by guest physical page: which vCPUs may write to it without asking; NULL: only one vCPU */
	uint64_t resume_rip;   /* rip of the instruction whose check missed, when resume is 0 */
	struct mem *mem;
	const struct engine_vcpu_env *env; /* env_copy */
	struct engine_vcpu_env env_copy;
	uint32_t index;
	struct cpuid_entry *cpuid;
	uint32_t n_cpuid;
	uint8_t *native;       /* executable scratch page of the interpreter (interp-native.c) */
	struct interp *decoded; /* instructions that it met last (interp.c) */
	/* Signal contract: while native_resume is nonzero, SIGFPE, SIGSEGV, SIGBUS, SIGILL with the pc inside the
	 * native page make the handler store the signal and si_code here and continue at native_resume. */
	uint64_t native_resume;
	int native_signal, native_code;
	uint8_t *fpu_area;     /* XSAVE area, 64-byte aligned (fpu.h) */
	bool fpu_live;         /* guest vector state is in the processor */
	bool fpu_inuse;        /* the host tells which components are in use */
	uint64_t fpu_comps;    /* XSAVE components of the area; 0: the host has only FXSAVE */

	/* TLB dirty lists: indices filled since the last flush, non-global and global */
	uint16_t *tlb_list[2][2];
	uint32_t tlb_listed[2][2];
	/* by the 4M: where entries of large pages are, non-global and global */
	struct page_filter large[2];
	/* hulls of virtual ranges mapped by large pages since the last full flush: 1G, any that was executed */
	uint64_t hull_lo[2], hull_hi[2];
	/* jump cache (cache.c), by CPL class */
	uint16_t *jc_list[2];  /* indices filled for non-global pages */
	uint64_t jc_local[2][JC_SIZE / 64]; /* whether the index still holds such an entry */
	uint32_t jc_listed[2];
	bool jc_global[2];     /* entries for global pages, which are in no list, may be there */
	struct page_filter jc_pages[2]; /* those that have entries */
	uint8_t jc_key[2];     /* KEY_* that the entries were filled for */
	struct bt_itlb { uint64_t va, gpa, gen; } itlb[2][256]; /* code pages; valid while gen is itlb_gen[class][global] */
	uint64_t itlb_gen[2][2];

	uint8_t io_buf[PAGE_SIZE];

	/* counters, for --stats */
	uint64_t n_miss, n_walk, n_step, n_flush, n_translate, n_exit, n_exc, n_irq, n_lookup, n_smc, n_beside, n_ungrouped;
	uint64_t n_dropped; /* accesses to MMIO that cannot be replayed: read as ones, writes lost */
	uint64_t n_pv, n_pv_slow, n_stop;
} __attribute__((aligned(4096)));

/* Copies without vector registers. */
static inline void bt_copy(void *dst, const void *src, size_t n)
{
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

static inline void bt_zero(void *dst, size_t n)
{
	__asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(0) : "memory");
}

/* lahf and seto to RFLAGS bits and back. */
static inline uint64_t flags_from_slot(uint32_t slot)
{
	return (slot >> 8 & 0xd5u) | (uint64_t)(slot & 1) << 11;
}

static inline uint32_t flags_to_slot(uint64_t rflags)
{
	return (uint32_t)(rflags & 0xd5u) << 8 | (uint32_t)(rflags >> 11 & 1) | 0x200u;
}

/* Full RFLAGS while synced. */
static inline uint64_t bt_rflags(const struct bt_vcpu *v)
{
	return v->rflags | FL_FIXED | (v->if_flag ? FL_IF : 0);
}

static inline void bt_set_rflags(struct bt_vcpu *v, uint64_t f)
{
	v->if_flag = (f & FL_IF) != 0;
	v->rflags = (f & ~FL_IF) | FL_FIXED;
}

static inline bool bt_long_mode(const struct bt_vcpu *v)
{
	return (v->efer & EFER_LMA) != 0;
}

static inline bool bt_code64(const struct bt_vcpu *v)
{
	return bt_long_mode(v) && (v->seg[GAMUT_CS].attr & SEG_L);
}

static inline bool bt_is_pv(const struct bt_vcpu *v)
{
	return v->pv.guest != NULL;
}

/*
 * The table of the soft TLB, and class of the jump cache, in force: by
 * privilege, or by what the monitor of a PV guest says. Rights to a page are
 * another matter: they go by CPL alone.
 */
static inline int bt_table(const struct bt_vcpu *v)
{
	return bt_is_pv(v) ? v->pv.user : v->cpl == 3;
}

/* Recomputes v->key; in sys-state.c. After changes of CS, SS, DS, ES, CR0, CR4, XCR0, EFER, RFLAGS (DF, TF, VM), CPL, DR7. */
void bt_update_key(struct bt_vcpu *v);

/* Makes the vCPU leave translated code at the next poll. Any thread. */
static inline void bt_poll_set(struct bt_vcpu *v)
{
	__atomic_store_n(&v->poll, 1u, __ATOMIC_SEQ_CST);
}

/* Fault helpers: fill v->exc and return STEP_FAULT. */
static inline enum bt_step bt_fault(struct bt_vcpu *v, uint8_t vector)
{
	v->exc = (struct bt_exc){ .vector = vector };
	return STEP_FAULT;
}

static inline enum bt_step bt_fault_error(struct bt_vcpu *v, uint8_t vector, uint32_t error)
{
	v->exc = (struct bt_exc){ .vector = vector, .has_error = true, .error = error };
	return STEP_FAULT;
}

/* Translated code made from bytes of [gpa, gpa+len), within one page, goes. In cache.c. Takes the translator lock. */
void bt_code_invalidate(struct bt_vcpu *v, uint64_t gpa, uint32_t len);
/* Whether any translated block covers bytes of [gpa, gpa+len), within one page. With the translator lock. */
bool bt_code_covers(struct bt_vcpu *v, uint64_t gpa, uint32_t len);

/* Before mem->code of the page is looked at by a vCPU that wants to write there; see smp.c. */
static inline void bt_note_writer(struct bt_vcpu *v, uint64_t gpa)
{
	uint64_t bit = 1ull << v->index, *word;

	if (!v->writers)
		return;
	word = &v->writers[gpa >> PAGE_SHIFT];
	if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & bit))
		__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
}

/*
 * Before C writes to [gpa, gpa+len), memory within one page: code that was made
 * from these bytes goes, and nobody translates the page until the vCPU has
 * come to its next poll or lock. May take the translator lock: mind
 * v->smp.lost.
 */
void bt_code_write_slow(struct bt_vcpu *v, uint64_t gpa, unsigned len);

static inline void bt_code_write(struct bt_vcpu *v, uint64_t gpa, unsigned len)
{
	bt_note_writer(v, gpa);
	if (atomic_load_explicit(&v->mem->code[gpa >> PAGE_SHIFT], memory_order_relaxed))
		bt_code_write_slow(v, gpa, len); /* or it is a shadowed table */
}

/*
 * Guest physical address of the code at linear rip, for the current privilege,
 * from a small cache that is forgotten with the jump cache. May fault.
 */
enum bt_step bt_code_gpa(struct bt_vcpu *v, uint64_t rip, uint64_t *gpa, bool *global);
/* What is behind the engine table's handles; the vCPU is NULL before it is made. */
struct bt_vcpu *bt_vcpu_of(struct engine_vcpu *e);
struct bt_vcpu *bt_vm_vcpu(struct engine_vm *e);
/* Zeros are a jump-cache entry for address 0: this makes it empty. */
void jc_init(struct bt_vcpu *v);
/* Forgets what the jump cache knows: all of it, or what belongs to non-global pages, or to one page. */
void jc_flush(struct bt_vcpu *v, bool global);
void jc_flush_class(struct bt_vcpu *v, unsigned class, bool global);
void jc_flush_page(struct bt_vcpu *v, uint64_t va);

#endif
