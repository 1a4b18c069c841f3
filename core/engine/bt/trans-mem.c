/* SPDX-License-Identifier: MIT */
/*
 * Memory operands.
 *
 * The check (see struct tlb_entry) is seven instructions and uses both scratch
 * registers; afterwards T0 is a host pointer and T1 is free, so that one
 * memory-resident register of the instruction can be in T1. Instructions that
 * would need more go to the interpreter.
 *
 * on_miss in run.c reads the size of the access back from the cmp, so the
 * order of the last three instructions of mem_check is fixed.
 */
#include "engine/bt/trans.h"

static void stub_miss(struct trans *t, uint32_t patch, bool write)
{
	struct stub *s = &t->stubs[t->n_stubs++];

	*s = (struct stub){ .kind = STUB_MISS, .patch = patch };
	s->thunk = (t->user ? THUNK_MISS_UR : THUNK_MISS_KR) + (write ? 1 : 0);
}

static uint32_t tlb_off(const struct trans *t)
{
	return BT_OFF_TLB + (t->user ? sizeof(struct tlb_entry) * TLB_SIZE : 0);
}

void mem_tag(struct trans *t, bool write)
{
	static const uint8_t xor_gs[] = { 0x65, 0x4d, 0x33, 0x9f }; /* xor r11, gs:[r15 + disp32] */
	size_t tag = write ? offsetof(struct tlb_entry, tag_w) : offsetof(struct tlb_entry, tag_r);

	e_rorx32(t, T1, T0, 7);
	e_alu_imm32(t, 4, T1, (TLB_SIZE - 1) * sizeof(struct tlb_entry), false);
	e_bytes(t, xor_gs, 4);
	e32(t, tlb_off(t) + (uint32_t)tag);
	clobber(t, MREGS);
	flags_clobbered(t);
}

void mem_host(struct trans *t)
{
	static const uint8_t add_gs[] = { 0x65, 0x4d, 0x03, 0x9f }; /* add r11, gs:[r15 + disp32] */

	e_bytes(t, add_gs, 4);
	e32(t, tlb_off(t) + (uint32_t)offsetof(struct tlb_entry, host));
}

void mem_check(struct trans *t, unsigned size, bool write)
{
	mem_tag(t, write);
	e_alu_imm32(t, 7, T0, 4096 - size, true);
	stub_miss(t, e_jcc(t, 7 /* a */), write);
	mem_host(t);
	t->stubs[t->n_stubs - 1].after = here(t);
}

static void group_check(struct trans *t, const struct access *a)
{
	e_lea_base(t, T0, a->base, a->lo);
	clobber(t, 1u << T0);
	mem_check(t, a->size, a->write);
	t->stubs[t->n_stubs - 1].group = true;
	t->stubs[t->n_stubs - 1].rip = t->insn_rip[t->cur];
}

void mem_access(struct trans *t, const struct insn *in, unsigned size, bool write, unsigned needed,
		void (*address)(struct trans *t, const struct insn *in))
{
	const struct access *a = &t->access[t->cur];

	t->t0_disp = a->kind == ACCESS_ALONE ? 0 : a->off;
	if (a->kind == ACCESS_NEXT)
		return;
	flags_keep(t, needed);
	if (a->kind == ACCESS_FIRST) {
		group_check(t, a);
		return;
	}
	address(t, in);
	mem_check(t, size, write);
}

void mem_address(struct trans *t, const struct insn *in)
{
	bool wide = in->addrsize == 8;
	bool segment = in->seg == GAMUT_FS || in->seg == GAMUT_GS;

	e_lea(t, T0, in, wide);
	clobber(t, 1u << T0);
	if (!segment)
		return;
	e_gs_alu(t, 0x03, T0, V_OFF(seg_base) + 8u * (unsigned)in->seg);
	if (t->mode != MODE_64) /* mov r11d, r11d */
		e_alu_rr(t, 0x8b, T0, T0, false);
	flags_clobbered(t);
}

/* Guest registers that the operation itself (not its address) names. */
static uint32_t data_regs(const struct insn *in)
{
	uint32_t regs = 0;

	if (in->attr & ATTR_REG_GPR)
		regs |= 1u << in->reg;
	if (in->attr & ATTR_VVVV_GPR)
		regs |= 1u << in->vvvv;
	return regs;
}

/*
 * bt, bts, btr, btc with a register offset: the bit string reaches beyond the
 * operand. T0 += (reg >> log2(bits)) * size, and the instruction is emitted
 * with the offset modulo the operand size.
 */
static bool bit_string(struct trans *t, const struct insn *in)
{
	unsigned shift = in->opsize == 8 ? 6 : in->opsize == 4 ? 5 : 4;

	/* They leave ZF, and in practice the other flags, as they were. */
	if (t->live & ~(unsigned)FL_CF)
		return false;
	if (in->reg == T1)
		e_gs_load(t, T1, GPR_OFF(T1));
	else if (in->reg == T0)
		e_gs_load(t, T1, GPR_OFF(T0));
	else
		e_mov_rr(t, T1, in->reg);
	if (in->opsize == 4) { /* movsxd r15, r15d */
		static const uint8_t movsxd[] = { 0x4d, 0x63, 0xff };
		e_bytes(t, movsxd, 3);
	} else if (in->opsize == 2) { /* movsx r15, r15w */
		static const uint8_t movsx[] = { 0x4d, 0x0f, 0xbf, 0xff };
		e_bytes(t, movsx, 4);
	}
	e_shift_imm(t, 7, T1, shift, true);
	/* lea r11, [r11 + r15 * size] */
	e8(t, 0x4f);
	e8(t, 0x8d);
	e8(t, 0x1c);
	e8(t, (shift - 3) << 6 | (T1 & 7) << 3 | (T0 & 7));
	if (in->addrsize == 4)
		e_alu_rr(t, 0x8b, T0, T0, false);
	clobber(t, MREGS);
	flags_clobbered(t);
	return true;
}

static void bit_index(struct trans *t, const struct insn *in)
{
	if (in->reg == R11 || in->reg == R15)
		e_gs_load(t, T1, GPR_OFF(in->reg));
	else
		e_mov_rr(t, T1, in->reg);
	e_alu_imm32(t, 4, T1, in->opsize * 8u - 1, false);
}

/* Emits the operation on [T0]; from: the register that T1 stands for. */
static bool finish_copy(struct trans *t, const struct insn *in, const uint8_t *bytes, uint32_t moved)
{
	unsigned from = moved & 1u << R11 ? R11 : moved & 1u << R15 ? R15 : 16;

	if (moved && (in->regs_read & moved))
		e_gs_load(t, T1, GPR_OFF(from));
	if (!e_copy_mem(t, in, bytes, from))
		return false;
	if (moved && (in->regs_written & moved))
		e_gs_store(t, GPR_OFF(from), T1);
	return true;
}

bool mem_encodable(const struct trans *t, const struct insn *in)
{
	uint32_t moved = data_regs(in) & MREGS;

	if (in->mem_size == 0 || in->mem_size > 64 || (in->attr & ATTR_VSIB) || in->addrsize == 2)
		return false;
	if ((moved & (moved - 1)) != 0)
		return false;
	if ((in->attr & ATTR_BYTE_REG) && !in->rex && in->reg >= 4 && in->reg < 8 && in->has_modrm)
		return false;
	if (!in->has_modrm && (in->map != MAP_1 || (in->opcode & 0xfc) != 0xa0))
		return false;
	if (t->mode != MODE_64 && in->seg == GAMUT_CS && (in->attr & ATTR_MEM_WRITE)) /* #GP: not writable */
		return false;
	return t->n_stubs + 4 < BLOCK_STUBS;
}

bool trans_mem(struct trans *t, const struct insn *in, const uint8_t *bytes)
{
	uint32_t moved = data_regs(in) & MREGS;
	bool write = in->attr & ATTR_MEM_WRITE;
	struct insn local = *in;
	bool bits = in->attr & ATTR_BITOFF;

	if (!mem_encodable(t, in) || (bits && (t->live & ~(unsigned)FL_CF)))
		return false;
	if (bits && (in->seg == GAMUT_FS || in->seg == GAMUT_GS) && in->addrsize == 4)
		return false;
	if (bits) {
		flags_keep(t, flags_needed(t, in));
		mem_address(t, in);
		if (!bit_string(t, in))
			return false;
		mem_check(t, in->mem_size, write);
	} else {
		mem_access(t, in, in->mem_size, write, flags_needed(t, in), mem_address);
	}
	if (flags_touched(in) && flags_needed(t, in) && !bits)
		flags_restore(t);
	if (bits) {
		bit_index(t, in);
		local.reg = T1;
		moved = 0;
	}
	if (!finish_copy(t, &local, bytes, moved))
		return false;
	clobber(t, 1u << T1);
	/* Registers written through fixed roles (cmpxchg's rax) are never memory-resident. */
	if (in->fl_written | in->fl_undef) {
		t->in_host = true;
		t->in_slot = false;
	}
	return true;
}

bool trans_reg(struct trans *t, const struct insn *in, const uint8_t *bytes)
{
	uint32_t read = in->regs_read & MREGS, written = in->regs_written & MREGS;

	if (flags_touched(in) && flags_needed(t, in))
		flags_restore(t);
	use_regs(t, read);
	if (in->op == OP_LEA) {
		if (in->addrsize == 2 || in->opsize == 2)
			return false;
		e_lea(t, in->reg, in, in->addrsize == 8 && in->opsize == 8);
	} else {
		e_copy(t, in, bytes);
	}
	def_regs(t, written);
	if (in->fl_written | in->fl_undef) {
		t->in_host = true;
		t->in_slot = false;
	}
	return true;
}
