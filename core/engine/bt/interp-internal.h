/* SPDX-License-Identifier: MIT */
/*
 * What the interpreter's files share. Everything runs on the vCPU's thread, on
 * synced state; see interp.h.
 *
 * A handler does its checks and computes before it changes anything that the
 * guest can see, in the order: memory read, memory written, registers and
 * flags. It may change *next (where rip goes); rip itself is set by
 * interp_step.
 */
#ifndef BT_INTERP_INTERNAL_H
#define BT_INTERP_INTERNAL_H

#include "engine/bt/bt.h"
#include "engine/bt/decode.h"
#include "engine/bt/interp.h"
#include "engine/bt/mmu.h"
#include "engine/bt/sys.h"

struct interp {
	struct insn in;
	uint64_t next;    /* rip after this instruction */
	uint64_t key[2];  /* the instruction's bytes and mode */
	uint64_t mask[2]; /* of the bytes that it has, and the mode's */
	bool keeps_flags; /* it neither reads nor changes arithmetic flags */
	bool sets_flags;  /* it sets all of them, whatever they were */
};

typedef enum bt_step (*interp_fn)(struct bt_vcpu *v, struct interp *x);

/* ---- registers ------------------------------------------------------------------- */

static inline uint64_t size_mask(unsigned size)
{
	return size >= 8 ? ~0ull : (1ull << (8 * size)) - 1;
}

/* Register of the given size with the architecture's rules: 32 bits clear the rest, 8 and 16 keep it. */
static inline void set_gpr(struct bt_vcpu *v, unsigned reg, uint64_t value, unsigned size)
{
	uint64_t mask = size_mask(size);

	v->gpr[reg] = size == 4 ? (uint32_t)value : (v->gpr[reg] & ~mask) | (value & mask);
}

static inline uint64_t get_gpr(const struct bt_vcpu *v, unsigned reg, unsigned size)
{
	return v->gpr[reg] & size_mask(size);
}

static inline void set_arith(struct bt_vcpu *v, uint64_t flags, uint64_t mask)
{
	v->rflags = (v->rflags & ~mask) | (flags & mask);
}

static inline unsigned access_of(const struct bt_vcpu *v)
{
	return v->cpl == 3 ? ACC_USER : 0;
}

/* Whether a misaligned access faults. A kernel has AC set too, where SMAP is to let it at user pages. */
static inline bool alignment_checked(const struct bt_vcpu *v)
{
	return v->cpl == 3 && (v->cr0 & CR0_AM) && (v->rflags & FL_AC);
}

static inline bool protected_mode(const struct bt_vcpu *v)
{
	return (v->cr0 & CR0_PE) && !(v->rflags & FL_VM);
}

/* #GP(0) */
static inline enum bt_step fault_gp(struct bt_vcpu *v)
{
	return bt_fault_error(v, EXC_GP, 0);
}

static inline bool canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* UMIP: these tell nothing to user code. */
static inline bool umip_denies(const struct bt_vcpu *v)
{
	return (v->cr4 & CR4_UMIP) && v->cpl > 0;
}

/* ---- interp-mem.c ----------------------------------------------------------------- */

/* Effective address of the memory operand, within its segment. */
uint64_t interp_ea(const struct bt_vcpu *v, const struct interp *x);
/* Linear address of len bytes at the memory operand plus offset; checked. */
enum bt_step interp_operand(struct bt_vcpu *v, const struct interp *x, uint64_t offset, unsigned len,
                            bool write, uint64_t *va);
/* Linear reads and writes at the current privilege, with #AC and data breakpoints. */
enum bt_step interp_read(struct bt_vcpu *v, uint64_t va, void *buf, unsigned len);
enum bt_step interp_write(struct bt_vcpu *v, uint64_t va, const void *buf, unsigned len);
enum bt_step interp_rmw(struct bt_vcpu *v, uint64_t va, unsigned len, void **host);
/* modrm.rm of the given size (not for byte registers ah..bh), register or memory. */
enum bt_step interp_read_rm(struct bt_vcpu *v, const struct interp *x, unsigned size, uint64_t *value);
/* Writes mem_size bytes to memory or opsize bytes of the register. */
enum bt_step interp_write_rm(struct bt_vcpu *v, const struct interp *x, uint64_t value);

/*
 * Stack accesses relative to *rsp (a copy; the caller commits it), with the
 * stack's own width.
 */
enum bt_step interp_push(struct bt_vcpu *v, uint64_t *rsp, uint64_t value, unsigned size);
enum bt_step interp_pop(struct bt_vcpu *v, uint64_t *rsp, uint64_t *value, unsigned size);
uint64_t interp_stack_mask(const struct bt_vcpu *v);

/* Debug registers: whether an enabled breakpoint of the kind covers [va, va+len); bits for DR6. */
enum { BREAK_EXEC = 0, BREAK_WRITE = 1, BREAK_READ = 3 };
uint64_t interp_breakpoint(const struct bt_vcpu *v, uint64_t va, unsigned len, unsigned kind);

/* ---- interp-native.c -------------------------------------------------------------- */

int native_init(struct bt_vcpu *v); /* 0 or -errno */
void native_finish(struct bt_vcpu *v);

struct native {
	uint64_t gpr[16]; /* in and out */
	uint64_t flags;   /* arithmetic flags in and out */
	void *mem;        /* host address that stands for the memory operand */
};

/*
 * Runs the instruction on the host processor with the registers of *n and the
 * live vector state. STEP_FAULT when it trapped (v->exc filled). *n is only
 * changed in what the instruction writes, and not at all by a trap.
 */
enum bt_step native_run(struct bt_vcpu *v, const struct interp *x, struct native *n);
/* Decodes bytes of the interpreter's own making (64-bit mode) and runs them on mem. For vector registers. */
void native_bytes(struct bt_vcpu *v, const uint8_t *bytes, unsigned len, void *mem);

/* A place that no instruction is in: bit 7 is set in the mode's byte of every one. */
#define INTERP_MODE_MASK (0xffull << 56)

static inline uint64_t interp_key_mode(unsigned mode)
{
	return (uint64_t)(0x80u | mode) << 56;
}

/* Fills what is beside x->in from it and the instruction's bytes. */
static inline void interp_key(struct interp *x, const uint8_t *bytes)
{
	const struct insn *in = &x->in;
	bool logic = in->op == OP_AND || in->op == OP_OR || in->op == OP_XOR || in->op == OP_TEST;

	x->key[0] = x->key[1] = 0;
	x->mask[0] = 0;
	x->mask[1] = INTERP_MODE_MASK;
	for (unsigned i = 0; i < in->len; i++) {
		x->key[i / 8] |= (uint64_t)bytes[i] << (8 * (i % 8));
		x->mask[i / 8] |= 0xffull << (8 * (i % 8));
	}
	x->key[1] |= interp_key_mode(in->mode);
	x->keeps_flags = !(in->fl_read | in->fl_written | in->fl_undef);
	/* Logic leaves AF undefined, and processors clear it. */
	x->sets_flags = logic || (!in->fl_read && in->fl_written == FL_ARITH && !in->fl_undef);
}

/* ---- handlers --------------------------------------------------------------------- */

enum bt_step interp_copy(struct bt_vcpu *v, struct interp *x); /* interp-copy.c */
enum bt_step interp_legacy(struct bt_vcpu *v,
                           struct interp *x); /* interp-legacy.c: decimal adjustments, salc */
enum bt_step interp_string(struct bt_vcpu *v, struct interp *x); /* interp-string.c; also ins, outs */
enum bt_step interp_masked(struct bt_vcpu *v, struct interp *x); /* interp-vector.c: gathers, masked moves */
enum bt_step interp_fpu_check(struct bt_vcpu *v, const struct insn *in); /* interp-fpu.c: #NM, #UD */

/* interp-flow.c */
enum bt_step exec_jcc(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_jmp(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_call(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_jmp_ind(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_call_ind(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_ret(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_loop(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_push(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_pop(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_leave(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_enter(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_pusha(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_popa(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_pushf(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_popf(struct bt_vcpu *v, struct interp *x);

/* interp-seg.c */
enum bt_step exec_store_table(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_load_table(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_sldt(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_lldt(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_verr(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_lar(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_arpl(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_mov_from_seg(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_mov_to_seg(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_push_seg(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_pop_seg(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_lds(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_jmp_far(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_ret_far(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_iret(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_syscall(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_sysret(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_sysenter(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_sysexit(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_int_n(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_into(struct bt_vcpu *v, struct interp *x);
enum bt_step exec_int1(struct bt_vcpu *v, struct interp *x);

/* By operation, for CLASS_SYS and CLASS_FLAGS; interp-sys.c. */
extern const interp_fn interp_sys_table[OP_COUNT];
/* interp-io.c, interp-fpu.c */
enum bt_step io_in(struct bt_vcpu *v, struct interp *x);
enum bt_step io_out(struct bt_vcpu *v, struct interp *x);
/* One port access through the replay record; checked by the caller. */
enum bt_step io_port(struct bt_vcpu *v, uint16_t port, unsigned width, bool write, uint64_t *value);
/*
 * rep ins or rep outs with rcx not 0: STEP_EXIT with several elements of `size`
 * in v->exit, STEP_FAULT, or STEP_OK: nothing was done, the next element is one
 * by itself.
 */
enum bt_step io_many(struct bt_vcpu *v, const struct interp *x, unsigned size, bool ins);
enum bt_step fpu_op_save(struct bt_vcpu *v, struct interp *x);
enum bt_step fpu_op_env(struct bt_vcpu *v, struct interp *x);
enum bt_step fpu_op_wait(struct bt_vcpu *v, struct interp *x);

/* Whether the guest's CPUID has a bit; reg 0..3 is eax..edx. */
bool interp_cpuid_bit(const struct bt_vcpu *v, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit);

#endif
