/* SPDX-License-Identifier: MIT */
/*
 * Inside the translator: the state of one translation, shared by its files.
 *
 *   translate.c    decoding a block, flag liveness, the loop over instructions
 *   trans-emit.c   bytes: moves to and from the vCPU, lea, re-encoding
 *   trans-group.c  accesses that share a check
 *   trans-mem.c    the soft-TLB check and instructions with a memory operand
 *   trans-stack.c  push, pop, call, ret, leave
 *   trans-string.c movs, stos, lods, scas, cmps
 *   trans-system.c segment registers and bases, clocks, PKRU
 *   trans-flow.c   leaving a block: links, jump cache, polls, stubs
 *
 * Registers. Guest r11 and r15 live in memory (gpr[]); the host's r11 (T0) and
 * r15 (T1) are scratch. An instruction that names r11 or r15 and has no memory
 * operand is copied as it stands between a load and a store of the host
 * register of the same number. `cached` remembers that the host's r11 or r15
 * still holds the guest's value.
 *
 * Flags. in_host: the guest's arithmetic flags are in the host's register;
 * in_slot: they are in flags_slot. Neither: they are dead (each will be
 * overwritten before it is read). A TLB check clobbers the host's.
 *
 * Dead flags and faults: where an instruction faults between a flag's last use
 * and its next definition, the saved RFLAGS may show another value of that
 * flag than hardware would. The guest's program cannot be affected by it.
 */
#ifndef BT_TRANS_H
#define BT_TRANS_H

#include "engine/bt/cache.h"
#include "engine/bt/decode.h"

#define T0 R11
#define T1 R15
#define MREGS ((1u << R11) | (1u << R15))

#define BLOCK_INSNS 64
#define BLOCK_STUBS 256

enum stub_kind { STUB_MISS, STUB_LINK, STUB_POLL, STUB_STEP };

struct stub {
	enum stub_kind kind;
	uint32_t patch;   /* offset of the rel32 that jumps here */
	uint32_t after;   /* STUB_MISS: where to go on */
	enum thunk_index thunk;
	bool group;       /* STUB_MISS: of a whole window */
	uint64_t rip;     /* STUB_POLL; of a group's first instruction */
	struct link *link;
	uint32_t arg;     /* STUB_STEP */
};

/* How an instruction's memory access is checked (trans-group.c). */
enum access_kind { ACCESS_ALONE, ACCESS_FIRST, ACCESS_NEXT };

struct access {
	uint8_t kind;
	uint8_t base;  /* FIRST: register and window of the group */
	bool write;
	uint16_t size;
	int32_t lo;
	int16_t off;   /* of this access in the window */
};

struct trans {
	struct bt_vcpu *v;
	struct code_cache *c;
	uint8_t *p;           /* next byte of code */
	uint64_t rip;         /* of the block */
	uint64_t next;        /* rip after the current instruction */
	const uint8_t *bytes; /* of the guest page */
	uint8_t cross[16];    /* an instruction that continues on the next page */
	/*
	 * The bytes of each instruction as they were decoded: a device may write to
	 * the page meanwhile, and what is copied must be what was judged.
	 */
	uint8_t text[BLOCK_INSNS][16];
	bool crosses;
	uint8_t key;
	enum insn_mode mode;
	bool user;            /* KEY_USER: which TLB and jump cache */
	bool ring3;           /* what the guest's ring 0 may do natively is not done */
	bool bmi2, full;      /* full: out of bookkeeping; give up */
	bool in_host, in_slot;
	bool op_slot;         /* in_slot while the current instruction's operation runs */
	uint32_t cached;      /* mask of MREGS */
	uint16_t live;        /* flags that are live after the current instruction */
	struct block *block;
	struct link **link_tail;
	struct stub stubs[BLOCK_STUBS];
	unsigned n_stubs;
	struct insn insn[BLOCK_INSNS];
	uint16_t live_after[BLOCK_INSNS];
	uint16_t live_before;
	struct access access[BLOCK_INSNS];
	unsigned cur;         /* index of the current instruction */
	int32_t t0_disp;      /* its operand is [T0 + t0_disp] */
	bool ungrouped;
	uint64_t insn_rip[BLOCK_INSNS];
	unsigned n;
	bool ended;           /* the last instruction leaves the block */
	unsigned sti;         /* instructions until the poll that follows sti and its shadow; 0: none */
};

#define GPR_OFF(r) ((uint32_t)(offsetof(struct bt_vcpu, gpr) + 8 * (r)))
#define V_OFF(m) ((uint32_t)offsetof(struct bt_vcpu, m))

/* ---- trans-emit.c ---------------------------------------------------------- */

static inline void e8(struct trans *t, unsigned b)
{
	*t->p++ = (uint8_t)b;
}

static inline void e32(struct trans *t, uint32_t x)
{
	__builtin_memcpy(t->p, &x, 4);
	t->p += 4;
}

static inline uint32_t here(const struct trans *t)
{
	return (uint32_t)(t->p - t->c->code);
}

void e_bytes(struct trans *t, const uint8_t *bytes, unsigned n);
void e_gs_load(struct trans *t, unsigned reg, uint32_t off);          /* 64 bits */
void e_gs_load32(struct trans *t, unsigned reg, uint32_t off);
void e_gs_load8(struct trans *t, unsigned reg, uint32_t off);         /* zero-extended */
void e_gs_load16(struct trans *t, unsigned reg, uint32_t off);        /* zero-extended */
void e_gs_store(struct trans *t, uint32_t off, unsigned reg);
void e_gs_store32(struct trans *t, uint32_t off, unsigned reg);
void e_gs_store8_imm(struct trans *t, uint32_t off, uint8_t imm);
void e_gs_store32_imm(struct trans *t, uint32_t off, uint32_t imm);
void e_gs_alu(struct trans *t, unsigned op, unsigned reg, uint32_t off); /* 64-bit op reg, gs:[off]; op: 0x03 add, 0x3b cmp ... */
void e_mov_rr(struct trans *t, unsigned dst, unsigned src);
void e_mov_imm(struct trans *t, unsigned reg, uint64_t imm);
void e_alu_imm32(struct trans *t, unsigned ext, unsigned reg, uint32_t imm, bool wide); /* 81 /ext */
void e_shift_imm(struct trans *t, unsigned ext, unsigned reg, unsigned count, bool wide); /* c1 /ext */
void e_alu_rr(struct trans *t, unsigned op, unsigned dst, unsigned src, bool wide);     /* op r, r/m form */
void e_imul32_imm(struct trans *t, unsigned dst, unsigned src, uint32_t imm);
void e_rorx32(struct trans *t, unsigned dst, unsigned src, unsigned count);
/* modrm and displacement for [T0 + t0_disp] */
void e_modrm_t0(struct trans *t, unsigned reg);
/* mov of size bytes between a register and [T0 + t0_disp] */
void e_load_t0(struct trans *t, unsigned reg, unsigned size);
void e_store_t0(struct trans *t, unsigned reg, unsigned size);
void e_store_t0_imm(struct trans *t, int32_t imm, unsigned size);
/* lea dst, [the operand of in]; address registers are loaded first. wide: 64-bit result. */
void e_lea(struct trans *t, unsigned dst, const struct insn *in, bool wide);
/* lea dst, [base + disp] in the block's stack width; keeps flags */
void e_lea_disp(struct trans *t, unsigned dst, unsigned base, int32_t disp, bool wide);
/* the same from a guest register, which may be in memory; 64 bits */
void e_lea_base(struct trans *t, unsigned dst, unsigned base, int32_t disp);
uint32_t e_jcc(struct trans *t, unsigned cond); /* rel32 to be patched; returns its offset */
uint32_t e_jmp(struct trans *t);
void e_jcc_tramp(struct trans *t, unsigned cond, enum thunk_index thunk);
void e_jmp_tramp(struct trans *t, enum thunk_index thunk);
void e_patch(struct trans *t, uint32_t at, uint32_t to);
void e_copy(struct trans *t, const struct insn *in, const uint8_t *bytes);
/* As e_copy with the memory operand [T0]; register `from` in a register field becomes T1. False: cannot be encoded. */
bool e_copy_mem(struct trans *t, const struct insn *in, const uint8_t *bytes, unsigned from);

/* Loads the memory-resident ones of mask into their host registers; stores them back. */
void use_regs(struct trans *t, uint32_t mask);
void def_regs(struct trans *t, uint32_t mask);
static inline void clobber(struct trans *t, uint32_t mask)
{
	t->cached &= ~mask;
}

/* ---- flags (translate.c) ------------------------------------------------------ */

void flags_save(struct trans *t);    /* host -> slot, unless there; uses T0 */
void flags_restore(struct trans *t); /* slot -> host, unless there; uses T1 */
/* Before code that clobbers the host's flags, when `live` must survive. */
static inline void flags_keep(struct trans *t, unsigned live)
{
	if (live && !t->in_slot)
		flags_save(t);
}

static inline void flags_clobbered(struct trans *t)
{
	t->in_host = false;
}

/*
 * Division errors happen in sane programs, and a division costs more than
 * keeping flags: they count as read. For #PF, #GP and SIMD exceptions that
 * would burden every access.
 */
static inline bool flags_at_fault(const struct insn *in)
{
	return in->op == OP_DIV || in->op == OP_IDIV;
}

/* Flags whose old value is gone after instruction in. */
unsigned flags_killed(const struct insn *in);

/*
 * Flags that must be as the guest left them before instruction in; all of them
 * with bt.debug = "alllive", so that an instruction that defines them all and
 * faults still shows the old ones.
 */
static inline unsigned flags_needed(const struct trans *t, const struct insn *in)
{
	if (t->v->vm->all_live || flags_at_fault(in))
		return FL_ARITH;
	return in->fl_read | (t->live & ~flags_killed(in));
}

static inline bool flags_touched(const struct insn *in)
{
	return in->fl_read | in->fl_written | in->fl_undef;
}

/* ---- trans-mem.c ---------------------------------------------------------------- */

/* The address of in's operand to T0, segment base included. Host flags may be lost: call flags_keep before. */
void mem_address(struct trans *t, const struct insn *in);
/* T0 ^= tag of its page, with the TLB index in T1: below 4096 when the page is there. Host flags are lost. */
void mem_tag(struct trans *t, bool write);
/* T0 += host address of the page whose index is in T1. */
void mem_host(struct trans *t);
/* T0 = host address of the guest address in T0, for size bytes; misses leave. Host flags are lost. */
void mem_check(struct trans *t, unsigned size, bool write);
/* Whether trans_mem can encode it with its operand at T0. */
bool mem_encodable(const struct trans *t, const struct insn *in);
/*
 * The check of the current instruction's access, alone or as part of its
 * group; T0 + t0_disp is the host address then. address: puts the guest
 * address to T0 for one that stands alone. Flags: `needed` survive.
 */
void mem_access(struct trans *t, const struct insn *in, unsigned size, bool write, unsigned needed,
		void (*address)(struct trans *t, const struct insn *in));
/* Both, with the flags that the instruction needs kept and, where it reads or keeps them, restored. */
bool trans_mem(struct trans *t, const struct insn *in, const uint8_t *bytes);
bool trans_reg(struct trans *t, const struct insn *in, const uint8_t *bytes);

/* ---- trans-group.c ---------------------------------------------------------------- */

void group_find(struct trans *t);

/* ---- trans-stack.c, trans-string.c: false when the interpreter must do it ----------- */

bool trans_push(struct trans *t, const struct insn *in);
bool trans_pop(struct trans *t, const struct insn *in);
bool trans_leave(struct trans *t, const struct insn *in);
bool trans_call(struct trans *t, const struct insn *in);
bool trans_call_ind(struct trans *t, const struct insn *in);
bool trans_jmp_ind(struct trans *t, const struct insn *in);
bool trans_ret(struct trans *t, const struct insn *in);
bool trans_flags_op(struct trans *t, const struct insn *in); /* cli sti cld std pushf, and what system_refine makes of that class */
bool trans_string(struct trans *t, const struct insn *in);
bool trans_loop(struct trans *t, const struct insn *in);
bool stack_wide(const struct trans *t);

/* ---- trans-system.c -------------------------------------------------------------------- */

/* Right after decoding: a class of its own for what reads a field of the vCPU and no more. */
void system_refine(struct insn *in);
bool trans_system(struct trans *t, const struct insn *in);

/* ---- trans-flow.c ---------------------------------------------------------------------- */

/* Goes to rip (in mode width); live: flags that may be read there. Ends the path. */
void flow_direct(struct trans *t, uint64_t rip, unsigned live);
/* Goes to the address in T0; all flags are in the slot or in the host's register. */
void flow_indirect(struct trans *t);
void flow_jcc(struct trans *t, const struct insn *in, uint64_t target);
/* A poll in the middle of a block: an interrupt is taken before the instruction at rip. */
void flow_poll(struct trans *t, uint64_t rip, unsigned live);
/* Leaves to have the instruction at rip stepped by C. */
void flow_step(struct trans *t, uint64_t rip, const struct insn *in);
/* A conditional jump, cond, to an out-of-line step of the current instruction; live flags are in the slot. */
void flow_step_if(struct trans *t, unsigned cond, const struct insn *in);
void flow_stubs(struct trans *t);
/* Flags that code at rip may read before it writes them; all of them when unknown. */
unsigned flow_live_at(struct trans *t, uint64_t rip);
bool same_page(const struct trans *t, uint64_t rip);


/*
 * Translates the block at rip, whose first byte is at guest physical address
 * gpa. NULL when it cannot be (then step it). gpa2 is where the next page of
 * code is, for a first instruction that continues there; ~0 when unknown: then
 * such an instruction gives NULL with *crosses set.
 */
struct block *translate(struct bt_vcpu *v, uint64_t rip, uint64_t gpa, uint64_t gpa2, bool *crosses);
/* The same without groups, found under v->key | KEY_UNGROUPED. */
struct block *translate_ungrouped(struct bt_vcpu *v, uint64_t rip, uint64_t gpa);

#endif
