/* SPDX-License-Identifier: MIT */
/*
 * Instructions that the processor itself executes for the interpreter.
 *
 * An instruction of class COPY is described wholly by struct insn. It is
 * encoded anew for 64-bit mode with its memory operand replaced by a register
 * that holds a host address, guest rsp by another register (the stack is the
 * host's), and the general registers that it uses loaded before and stored
 * after. Flags and results are therefore exact, undefined ones included, and
 * `lock` on a host page is the processor's own.
 *
 *	stub:	mov  X, rsi             X: context, a register not used
 *		mov  P, rdx             P: the memory operand
 *		mov  reg, [X + 8*n]     for what it reads or writes
 *		<instruction>
 *		mov  [X + 8*n], reg     for what it writes
 *		pushf; pop rax; ret
 *
 * A stub depends on nothing but the instruction's bytes and mode, so stubs are
 * kept in a small direct-mapped cache (v->native), and a loop in interpreted
 * code builds each once.
 *
 * When the instruction traps, the engine's signal handler finds its pc in the
 * native area and continues at v->native_resume, with the stack as the stub
 * had it. Guest vector registers are live throughout.
 */
#include <errno.h>
#include <sys/mman.h>

#include "engine/bt/interp-internal.h"

#define SLOTS     256u
#define SLOT_SIZE 128u

/* The start of the native area; the stubs follow. */
struct slot_key {
	uint64_t key[2];
};

_Static_assert(INTERP_NATIVE_SIZE == SLOTS * (sizeof(struct slot_key) + SLOT_SIZE),
               "size of the native area");

/* Runs a stub; returns its flags, or all ones after a signal. flags 0: it minds not what they are, which saves time. */
uint64_t native_call(const void *code, uint64_t *gpr, void *mem, uint64_t flags, uint64_t *resume);

__asm__(".text\n"
        ".hidden native_call\n"
        ".globl native_call\n"
        ".type native_call, @function\n"
        "native_call:\n"
        "	push %rbx\n"
        "	push %rbp\n"
        "	push %r12\n"
        "	push %r13\n"
        "	push %r14\n"
        "	push %r15\n"
        "	push %r8\n"
        "	lea 2f(%rip), %rax\n"
        "	mov %rax, (%r8)\n"
        "	mov %rdi, %rax\n"
        "	test %rcx, %rcx\n"
        "	jz 3f\n"
        "	push %rcx\n"
        "	popf\n"
        "3:	call *%rax\n"
        "1:	pop %r8\n"
        "	movq $0, (%r8)\n"
        "	pop %r15\n"
        "	pop %r14\n"
        "	pop %r13\n"
        "	pop %r12\n"
        "	pop %rbp\n"
        "	pop %rbx\n"
        "	ret\n"
        "2:	lea 8(%rsp), %rsp\n" /* the stub's return address */
        "	mov $-1, %rax\n"
        "	jmp 1b\n"
        ".size native_call, . - native_call\n");

int native_init(struct bt_vcpu *v)
{
	void *area = mmap(NULL, INTERP_NATIVE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
	                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		return -errno;
	v->native = area;
	return 0;
}

void native_finish(struct bt_vcpu *v)
{
	if (v->native)
		munmap(v->native, INTERP_NATIVE_SIZE);
	v->native = NULL;
}

/* ---- the stub ------------------------------------------------------------------------ */

struct stub {
	uint8_t *p;
	const struct insn *in;
	unsigned used;         /* registers that the instruction names or implies */
	uint8_t ctx, mem, rsp; /* X, P, and what stands for rsp */
};

static void put(struct stub *s, unsigned byte)
{
	*s->p++ = (uint8_t)byte;
}

static void put_imm(struct stub *s, uint64_t value, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		put(s, (unsigned)(value >> (8 * i)) & 0xff);
}

static void put_mov(struct stub *s, unsigned dst, unsigned src)
{
	put(s, 0x48 | (src & 8) >> 1 | (dst & 8) >> 3);
	put(s, 0x89);
	put(s, 0xc0 | (src & 7) << 3 | (dst & 7));
}

/* mov reg, [X + 8*n] (8b) or back (89). */
static void put_slot(struct stub *s, unsigned opcode, unsigned reg, unsigned n)
{
	put(s, 0x48 | (reg & 8) >> 1 | (s->ctx & 8) >> 3);
	put(s, opcode);
	put(s, 0x40 | (reg & 7) << 3 | (s->ctx & 7));
	if ((s->ctx & 7) == 4)
		put(s, 0x24);
	put(s, 8 * n);
}

/* The instruction has one of ah..bh, so that no REX may be added. */
static bool high_byte(const struct insn *in)
{
	if (in->rex || in->vex)
		return false;
	if ((in->attr & ATTR_BYTE_REG) && ((in->attr & ATTR_OPREG_GPR) ? in->opreg : in->reg) >= 4)
		return true;
	return (in->attr & ATTR_BYTE_RM) && in->mod == 3 && in->rm >= 4;
}

static uint8_t pick(struct stub *s, bool low)
{
	static const uint8_t order[] = {RSI, RDI, RBP, RBX, RDX, RCX, RAX, R8, R9, R10, R11, R12, R13, R14};

	for (unsigned i = 0; i < (low ? 7 : sizeof(order)); i++)
		if (!(s->used >> order[i] & 1)) {
			s->used |= 1u << order[i];
			return order[i];
		}
	return RSI; /* not reached: an instruction uses at most six registers */
}

static void pick_registers(struct stub *s)
{
	bool low = high_byte(s->in);

	s->used = s->in->regs_read | s->in->regs_written | 1u << RSP;
	s->mem = pick(s, low);
	s->rsp = pick(s, low);
	s->ctx = R15;
	while (s->used >> s->ctx & 1)
		s->ctx--;
}

/* A general register as the stub names it; a byte register is ah..bh, or as it is. */
static unsigned rename_reg(const struct stub *s, unsigned reg, bool byte)
{
	if (reg != RSP || (byte && high_byte(s->in)))
		return reg;
	return s->rsp;
}

/* The operand numbers after renaming. */
struct operands {
	unsigned reg, rm, vvvv, opreg;
};

static struct operands rename_operands(const struct stub *s)
{
	const struct insn *in = s->in;
	struct operands o = {in->reg, in->rm, in->vvvv, in->opreg};

	if (in->attr & ATTR_REG_GPR)
		o.reg = rename_reg(s, in->reg, in->attr & ATTR_BYTE_REG);
	if (in->attr & ATTR_OPREG_GPR)
		o.opreg = rename_reg(s, in->opreg, in->attr & ATTR_BYTE_REG);
	if (in->attr & ATTR_VVVV_GPR)
		o.vvvv = rename_reg(s, in->vvvv, false);
	if (in->attr & ATTR_MEM)
		o.rm = s->mem;
	else if (in->attr & ATTR_RM_GPR)
		o.rm = rename_reg(s, in->rm, in->attr & ATTR_BYTE_RM);
	return o;
}

static void put_vex(struct stub *s, const struct operands *o)
{
	const struct insn *in = s->in;

	put(s, 0xc4);
	put(s, (o->reg & 8 ? 0 : 0x80) | 0x40 | (o->rm & 8 ? 0 : 0x20) | in->map);
	put(s, (unsigned)in->w << 7 | (~o->vvvv & 15) << 3 | (unsigned)in->l << 2 | in->pp);
	put(s, in->opcode);
}

/* 66 is part of the opcode of vector instructions, and operand size elsewhere. */
static bool needs_66(const struct insn *in)
{
	if (in->op == OP_COPY_ONLY && in->map != MAP_1)
		return in->pfx66;
	return in->op == OP_ADCX || in->opsize == 2;
}

static void put_prefixes(struct stub *s, const struct operands *o, bool opreg)
{
	const struct insn *in = s->in;
	unsigned rex = in->rex ? 0x40 : 0, b = opreg ? o->opreg : o->rm;

	if (needs_66(in))
		put(s, 0x66);
	if (in->rep && in->map != MAP_1)
		put(s, in->rep);
	if (in->lock)
		put(s, 0xf0);
	rex |= in->mode == MODE_64 && in->w ? 0x48 : 0;
	rex |= in->has_modrm && (o->reg & 8) ? 0x44 : 0;
	rex |= b & 8 ? 0x41 : 0;
	if (rex)
		put(s, rex);
}

static void put_map(struct stub *s)
{
	if (s->in->map != MAP_1)
		put(s, 0x0f);
	if (s->in->map == MAP_0F38)
		put(s, 0x38);
	else if (s->in->map == MAP_0F3A)
		put(s, 0x3a);
}

static void put_modrm(struct stub *s, const struct operands *o)
{
	const struct insn *in = s->in;

	if (in->attr & ATTR_MEM) { /* [P + 0]: the short form means something else for rbp */
		put(s, 0x40 | (o->reg & 7) << 3 | (o->rm & 7));
		if ((o->rm & 7) == 4)
			put(s, 0x24);
		put(s, 0);
	} else {
		put(s, 0xc0 | (o->reg & 7) << 3 | (o->rm & 7));
	}
}

/* vzeroall and vzeroupper leave registers 8 to 15 alone outside 64-bit mode: vpxor or vmovaps of each other one. */
static void put_vzero(struct stub *s)
{
	bool all = s->in->l;

	for (unsigned i = 0; i < 8; i++) {
		put(s, 0xc5);
		put(s, all ? (~i & 15u) << 3 | 0x81 : 0xf8);
		put(s, all ? 0xef : 0x28);
		put(s, 0xc0 | i << 3 | i);
	}
}

/* Forms that 64-bit mode lacks or that have no modrm to put P into. */
static bool put_special(struct stub *s, struct operands *o)
{
	static const uint8_t moffs[4] = {0x8a, 0x8b, 0x88, 0x89};
	const struct insn *in = s->in;

	if (in->vex && in->mode != MODE_64 && in->map == MAP_0F && in->opcode == 0x77) {
		put_vzero(s);
		return true;
	}
	if (in->map != MAP_1 || in->vex)
		return false;
	if ((in->opcode & 0xfc) == 0xa0) {
		o->reg = RAX;
		o->rm = s->mem;
		put_prefixes(s, o, false);
		put(s, moffs[in->opcode & 3]);
		put_modrm(s, o);
		return true;
	}
	if ((in->opcode & 0xf0) == 0x40) { /* inc, dec */
		put_prefixes(s, o, true);
		put(s, 0xff);
		put(s, 0xc0 | (in->opcode & 8) | (o->opreg & 7));
		return true;
	}
	return false;
}

/* 82 is 80 in 32-bit code and undefined in 64-bit code. */
static uint8_t alias_of(const struct insn *in)
{
	return in->map == MAP_1 && in->opcode == 0x82 ? 0x80 : in->opcode;
}

static void put_insn(struct stub *s)
{
	const struct insn *in = s->in;
	struct operands o = rename_operands(s);
	bool opreg = in->attr & ATTR_OPREG_GPR;

	if (put_special(s, &o))
		return;
	if (in->vex) {
		put_vex(s, &o);
	} else {
		put_prefixes(s, &o, opreg);
		put_map(s);
		put(s, opreg ? (in->opcode & 0xf8) | (o.opreg & 7) : alias_of(in));
	}
	if (in->has_modrm)
		put_modrm(s, &o);
	put_imm(s, (uint64_t)in->imm, in->imm_size);
}

static unsigned host_reg(const struct stub *s, unsigned reg)
{
	return reg == RSP ? s->rsp : reg;
}

static void build(uint8_t *code, const struct insn *in)
{
	struct stub s = {.p = code, .in = in};
	unsigned used = in->regs_read | in->regs_written;

	pick_registers(&s);
	put_mov(&s, s.ctx, RSI);
	put_mov(&s, s.mem, RDX);
	for (unsigned n = 0; n < 16; n++)
		if (used >> n & 1)
			put_slot(&s, 0x8b, host_reg(&s, n), n);
	put_insn(&s);
	for (unsigned n = 0; n < 16; n++)
		if (in->regs_written >> n & 1)
			put_slot(&s, 0x89, host_reg(&s, n), n);
	put(&s, 0x9c);
	put(&s, 0x58);
	put(&s, 0xc3);
}

static const void *find_stub(struct bt_vcpu *v, const struct interp *x)
{
	struct slot_key *keys = (struct slot_key *)(void *)v->native;
	uint64_t hash = (x->key[0] ^ x->key[1] * 0xff51afd7ed558ccdull) * 0x9e3779b97f4a7c15ull;
	unsigned slot = (unsigned)(hash >> 56);
	uint8_t *code = v->native + SLOTS * sizeof(*keys) + slot * SLOT_SIZE;

	if (keys[slot].key[0] != x->key[0] || keys[slot].key[1] != x->key[1]) {
		build(code, &x->in);
		keys[slot].key[0] = x->key[0];
		keys[slot].key[1] = x->key[1];
	}
	return code;
}

/* ---- running -------------------------------------------------------------------------- */

/* What a signal in the stub means for the guest. */
static enum bt_step trap_of(struct bt_vcpu *v, const struct insn *in)
{
	switch (v->native_signal) {
	case 8: /* SIGFPE */
		if (in->attr & ATTR_FPU)
			return bt_fault(v, EXC_MF);
		if (in->attr & (ATTR_SSE | ATTR_AVX))
			return bt_fault(v, v->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
		return bt_fault(v, EXC_DE);
	case 4: /* SIGILL */
		return bt_fault(v, EXC_UD);
	default:
		return fault_gp(v);
	}
}

enum bt_step native_run(struct bt_vcpu *v, const struct interp *x, struct native *n)
{
	uint64_t in = x->keeps_flags || x->sets_flags ? 0 : (n->flags & FL_ARITH) | FL_FIXED;
	uint64_t flags = native_call(find_stub(v, x), n->gpr, n->mem, in, &v->native_resume);

	if (flags == ~0ull)
		return trap_of(v, &x->in);
	if (!x->keeps_flags)
		n->flags = flags & FL_ARITH;
	return STEP_OK;
}

void native_bytes(struct bt_vcpu *v, const uint8_t *bytes, unsigned len, void *mem)
{
	struct native n;
	struct interp x;

	bt_zero(&n, sizeof(n));
	n.mem = mem;
	insn_decode(&x.in, bytes, len, MODE_64);
	interp_key(&x, bytes);
	native_run(v, &x, &n);
}
