/* SPDX-License-Identifier: MIT */
/*
 * The decoder: x86 instruction bytes to a plain struct, for 16, 32 and 64-bit
 * code. Pure: no guest state, no memory access, no allocation. The translator,
 * the interpreter and the differential fuzzer share it.
 *
 * The opcode tables say, for every instruction that the engine offers to
 * guests: how its operands are encoded, what it reads and writes (general
 * registers, flags, memory and how much of it), and its class. An encoding that
 * the tables do not have is INSN_UD: on real hardware without the extension it
 * raises #UD, and so it does here.
 *
 * Sources: Intel SDM vol. 2 (appendix A opcode maps), AMD APM vol. 3.
 */
#ifndef BT_DECODE_H
#define BT_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#define INSN_MAX 15

enum insn_mode { MODE_16 = 0, MODE_32 = 1, MODE_64 = 2 };

/* Opcode maps. */
enum insn_map { MAP_1 = 0, MAP_0F = 1, MAP_0F38 = 2, MAP_0F3A = 3 };

/* Arithmetic flags as bits of RFLAGS. DF and the system flags are not tracked here. */
#define FL_CF 0x001u
#define FL_PF 0x004u
#define FL_AF 0x010u
#define FL_ZF 0x040u
#define FL_SF 0x080u
#define FL_OF 0x800u
#define FL_ARITH 0x8d5u

/*
 * What the translator may do with an instruction.
 */
enum insn_class {
	/*
	 * May be copied to the code cache as it stands, with its memory operand
	 * (if any) replaced by a host pointer and its general registers renamed:
	 * everything that it does is described by this struct. ALU, mov, lea,
	 * shifts, bit operations, cmov, setcc, SSE, AVX, AES, SHA, BMI, x87 with
	 * or without memory, mul, div, cmpxchg, xadd, bswap, nop, prefetch, fences.
	 */
	CLASS_COPY,
	CLASS_JCC,      /* conditional, relative (not loop/jcxz) */
	CLASS_JMP,      /* direct relative */
	CLASS_CALL,     /* direct relative */
	CLASS_JMP_IND,  /* near, through a register or memory */
	CLASS_CALL_IND, /* near */
	CLASS_RET,      /* near, with or without imm16 */
	CLASS_PUSH,     /* register, immediate or memory; 16/32/64-bit (not segment registers, not pushf/pusha) */
	CLASS_POP,      /* register or memory */
	CLASS_LEAVE,
	CLASS_STRING,   /* movs stos lods scas cmps, with or without rep (not ins/outs) */
	CLASS_LOOP,     /* loop loope loopne jcxz/jecxz/jrcxz */
	CLASS_FLAGS,    /* cli sti cld std pushf popf: op tells */
	CLASS_SYS,      /* everything else: only the interpreter knows it; may change rip, mode, anything */
	CLASS_UD,       /* undefined here */
};

/*
 * Operation, one per mnemonic that the interpreter or translator treats by
 * itself. OP_COPY_ONLY marks what only ever runs natively (SSE, AVX, x87, ...):
 * the interpreter executes it by a native stub on a bounce buffer.
 */
enum insn_op {
	OP_NONE = 0, /* undefined */
	OP_COPY_ONLY,
	/* ALU group in encoding order: 0..7 of 80/81/83 */
	OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP,
	OP_TEST, OP_MOV, OP_LEA, OP_XCHG, OP_INC, OP_DEC, OP_NOT, OP_NEG,
	OP_MUL, OP_IMUL, OP_IMUL2, /* one operand; two and three operands */
	OP_DIV, OP_IDIV,
	/* shift group in encoding order */
	OP_ROL, OP_ROR, OP_RCL, OP_RCR, OP_SHL, OP_SHR, OP_SAL, OP_SAR,
	OP_SHLD, OP_SHRD,
	OP_BT, OP_BTS, OP_BTR, OP_BTC, OP_BSF, OP_BSR, OP_TZCNT, OP_LZCNT, OP_POPCNT,
	OP_MOVZX, OP_MOVSX, OP_MOVSXD, OP_CMOV, OP_SETCC, OP_BSWAP, OP_MOVBE, OP_CRC32,
	OP_CMPXCHG, OP_CMPXCHG8B, /* also 16B */ OP_XADD,
	OP_CBW, /* cbw cwde cdqe */ OP_CWD, /* cwd cdq cqo */
	OP_LAHF, OP_SAHF, OP_CMC, OP_CLC, OP_STC, OP_SALC, OP_XLAT,
	OP_DAA, OP_DAS, OP_AAA, OP_AAS, OP_AAM, OP_AAD, OP_BOUND, OP_ARPL,
	OP_ADCX, OP_ADOX, OP_MULX, OP_RORX, OP_SARX, OP_SHLX, OP_SHRX, OP_ANDN, OP_BEXTR, OP_BZHI,
	OP_BLSI, OP_BLSR, OP_BLSMSK, OP_PDEP, OP_PEXT,
	OP_NOP, OP_PAUSE, OP_FENCE, OP_PREFETCH, OP_CLFLUSH,
	OP_JCC, OP_JMP, OP_CALL, OP_JMP_IND, OP_CALL_IND, OP_RET, OP_LOOP, OP_LOOPE, OP_LOOPNE, OP_JCXZ,
	OP_PUSH, OP_POP, OP_PUSHA, OP_POPA, OP_PUSHF, OP_POPF, OP_ENTER, OP_LEAVE,
	OP_PUSH_SEG, OP_POP_SEG,
	OP_MOVS, OP_STOS, OP_LODS, OP_SCAS, OP_CMPS, OP_INS, OP_OUTS,
	OP_CLI, OP_STI, OP_CLD, OP_STD,
	/* system and far */
	OP_JMP_FAR, OP_CALL_FAR, OP_RET_FAR, OP_IRET, OP_INT, OP_INT3, OP_INTO, OP_INT1, OP_UD, /* ud0 ud1 ud2 */
	OP_MOV_FROM_SEG, OP_MOV_TO_SEG, OP_LDS_ETC, /* lds les lss lfs lgs: sreg in .reg_seg */
	OP_IN, OP_OUT, OP_HLT,
	OP_MOV_FROM_CR, OP_MOV_TO_CR, OP_MOV_FROM_DR, OP_MOV_TO_DR, OP_CLTS, OP_LMSW, OP_SMSW,
	OP_LGDT, OP_LIDT, OP_SGDT, OP_SIDT, OP_LLDT, OP_LTR, OP_SLDT, OP_STR, OP_VERR, OP_VERW, OP_LAR, OP_LSL,
	OP_INVLPG, OP_INVPCID, OP_INVD, OP_WBINVD, OP_SWAPGS, OP_RDTSC, OP_RDTSCP, OP_RDPMC, OP_RDPID,
	OP_RDMSR, OP_WRMSR, OP_CPUID, OP_SYSCALL, OP_SYSRET, OP_SYSENTER, OP_SYSEXIT,
	OP_VMCALL, OP_VMMCALL, OP_XGETBV, OP_XSETBV, OP_MONITOR, OP_MWAIT, OP_CLAC, OP_STAC, OP_RDPKRU, OP_WRPKRU, OP_RSM,
	OP_RDFSBASE, OP_RDGSBASE, OP_WRFSBASE, OP_WRGSBASE, OP_RDRAND, OP_RDSEED,
	OP_FXSAVE, OP_FXRSTOR, OP_XSAVE, OP_XSAVEOPT, OP_XSAVEC, OP_XRSTOR, OP_XSAVES, OP_XRSTORS,
	OP_FSAVE, /* fnsave fnstenv frstor fldenv */ OP_FWAIT,
	OP_COUNT
};

/* insn.attr */
#define ATTR_MEM 0x0001u       /* has a memory operand that is accessed (not lea, nop, prefetch) */
#define ATTR_MEM_READ 0x0002u
#define ATTR_MEM_WRITE 0x0004u
#define ATTR_LOCK_OK 0x0008u   /* lock is legal (and memory destination); with lock elsewhere: CLASS_UD */
#define ATTR_REG_GPR 0x0010u   /* modrm.reg is a general register */
#define ATTR_RM_GPR 0x0020u    /* modrm.rm is a general register when mod == 3 */
#define ATTR_VVVV_GPR 0x0040u  /* VEX.vvvv is a general register (BMI) */
#define ATTR_OPREG_GPR 0x0080u /* low three opcode bits (with REX.B) are a general register */
#define ATTR_BYTE_REG 0x0100u  /* modrm.reg or the opcode register is a byte register (ah..bh without REX) */
#define ATTR_BYTE_RM 0x0200u   /* modrm.rm, when a register, is a byte register */
#define ATTR_FPU 0x0400u       /* x87 or MMX: #NM/#MF rules of CR0.EM, TS */
#define ATTR_SSE 0x0800u       /* SSE: CR4.OSFXSR, CR0.EM, TS */
#define ATTR_AVX 0x1000u       /* VEX: XCR0.AVX, CR4.OSXSAVE, TS; 64/32-bit protected only */
#define ATTR_ALIGNED 0x2000u   /* memory operand must be aligned to its size, else #GP (movaps, cmpxchg16b, ...) */
#define ATTR_BITOFF 0x4000u    /* bt/bts/btr/btc mem, reg: the address depends on the register */
#define ATTR_PRIV 0x8000u      /* #GP unless CPL 0 */
#define ATTR_TRAPS 0x10000u    /* may fault without memory operand: div, idiv, x87, SSE arithmetic */
#define ATTR_VSIB 0x20000u     /* gather: only the interpreter */

struct insn {
	uint8_t len;       /* bytes, prefixes included; 1..15 */
	uint8_t mode;      /* enum insn_mode that it was decoded for */
	uint8_t class_;    /* enum insn_class */
	uint8_t map;       /* enum insn_map */
	uint8_t opcode;    /* last opcode byte */
	bool vex;          /* two or three-byte VEX */
	uint8_t rex;       /* the REX byte (0x40-0x4f) or 0; not set for VEX: see w, and r/x/b in the register numbers */
	uint8_t opsize;    /* effective operand size in bytes for the main operand: 1 2 4 8 */
	uint8_t addrsize;  /* 2 4 8 */
	uint8_t stacksize; /* operand size of stack operations: 2 4 8 (64-bit mode defaults to 8) */
	uint8_t rep;       /* 0, 0xf3 or 0xf2 as prefix (also when it is a mandatory prefix) */
	bool lock, pfx66, w;
	int8_t seg;        /* effective segment of the memory operand: enum gamut_seg; overrides and defaults applied */
	int8_t seg_override; /* -1 or enum gamut_seg */

	bool has_modrm, has_sib;
	uint8_t modrm, sib;
	uint8_t mod;       /* 0..3 */
	uint8_t reg;       /* modrm.reg with REX.R / VEX.R: 0..15 */
	uint8_t rm;        /* modrm.rm with REX.B when mod == 3: 0..15 */
	uint8_t opreg;     /* opcode register with REX.B, for ATTR_OPREG_GPR */
	uint8_t vvvv;      /* VEX.vvvv, uninverted: 0..15 */
	uint8_t l;         /* VEX.L */
	uint8_t pp;        /* mandatory prefix: 0 none, 1 66, 2 F3, 3 F2 */

	/* Memory operand: base + index << scale + disp, or rip_rel: next rip + disp. -1: none. */
	int8_t base, index;
	uint8_t scale;     /* 0..3 */
	bool rip_rel;
	int64_t disp;      /* sign-extended; moffs: the full absolute offset */
	uint8_t mem_size;  /* bytes accessed: 1 2 4 8 10 16 32 ... ; 0 when variable (xsave) or none */

	uint8_t imm_size;  /* 0 1 2 4 8: bytes of immediate in the encoding */
	uint8_t imm_off;   /* offset of the immediate from the first byte */
	uint8_t opc_off;   /* offset of the last opcode byte */
	uint8_t modrm_off; /* offset of modrm */
	int64_t imm;       /* sign-extended as the instruction defines; branch: displacement from the next rip; far: offset */
	uint16_t imm2;     /* enter's level, far selector */

	uint8_t cond;      /* jcc, setcc, cmov: 0..15 */
	uint16_t op;       /* enum insn_op */
	uint32_t attr;     /* ATTR_* */
	uint16_t regs_read, regs_written; /* masks of general registers, implicit and explicit; partial writes count as both */
	uint16_t fl_read;    /* arithmetic flags consumed (rcl, adc, jcc, pushf, lahf: exact) */
	uint16_t fl_written; /* set to a defined value whatever the operands are */
	uint16_t fl_undef;   /* left undefined by the manual, or possibly unchanged (shift by cl): neither killed nor kept */
};

/*
 * Decodes one instruction from at most len bytes (1..15 of them). Returns true
 * and fills *in, with class CLASS_UD for what is undefined. Returns false when
 * the bytes end before the instruction does and len < 15 (more bytes are needed:
 * it continues on the next page); 15 bytes without an end is CLASS_SYS with op
 * OP_NONE and len 15: #GP.
 */
bool insn_decode(struct insn *in, const uint8_t *bytes, unsigned len, enum insn_mode mode);

#endif
