/* SPDX-License-Identifier: MIT */
/*
 * The decoder against binutils (lengths of every instruction of some
 * programs and of random bytes, in all three modes) and against a table of
 * hand-checked encodings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/bt/decode.h"
#include "gamut/host.h"

/* ---- against objdump ----------------------------------------------------------------- */

/* Parses "  addr:\tbytes\ttext"; the number of bytes, 0 when the line is no instruction. */
static unsigned parse_line(char *line, uint8_t *bytes, char **text)
{
	char *p = strchr(line, '\t'), *end;
	unsigned n = 0;

	if (line[0] != ' ' || !p)
		return 0;
	*text = strchr(++p, '\t');
	if (!*text)
		return 0;
	while (p < *text && n < 16) {
		unsigned long value = strtoul(p, &end, 16);

		if (end == p)
			break;
		bytes[n++] = (uint8_t)value;
		for (p = end; *p == ' '; p++)
			;
	}
	return n;
}

/* What binutils calls invalid, or prints in pieces at the end of a section. */
static bool no_instruction(const char *text)
{
	static const char *const words[] = {"(bad)", "{bad}", ".byte", "rex", "%?"};

	for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strstr(text, words[i]))
			return true;
	return false;
}

struct tally {
	unsigned long n, wrong, undefined;
};

static void check_stream(FILE *f, enum insn_mode mode, struct tally *tally)
{
	char line[1024], *text;
	uint8_t bytes[16];

	while (fgets(line, sizeof(line), f)) {
		unsigned n = parse_line(line, bytes, &text);
		struct insn in;
		bool whole;

		if (!n || no_instruction(text))
			continue;
		tally->n++;
		whole = insn_decode(&in, bytes, n, mode);
		if (whole && in.class_ == CLASS_UD) {
			tally->undefined++;
		} else if (whole && in.op == OP_FWAIT) {
			continue; /* objdump shows it as one with what follows */
		} else if (!whole || in.len != n) {
			tally->wrong++;
			print_error("%s length %u: %s", whole ? "" : "too short,", in.len, line);
		}
	}
}

static bool check_command(const char *command, enum insn_mode mode, struct tally *tally)
{
	FILE *f = popen(command, "r");

	if (!f)
		return false;
	check_stream(f, mode, tally);
	return pclose(f) == 0 && tally->n > 0;
}

/* Compiled programs: under 1% is of extensions that are not offered (EVEX, TSX, CET). */
static void test_lengths_programs(void **state)
{
	static const char *const files[] = {"/bin/busybox", "/lib/x86_64-linux-gnu/libc.so.6", "/proc/self/exe"};
	unsigned done = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct tally tally = {0};
		char command[200];

		if (access(files[i], R_OK))
			continue;
		snprintf(command, sizeof(command), "objdump -d --insn-width=16 $(readlink -f %s) 2>/dev/null",
			 i == 2 ? "/proc/$PPID/exe" : files[i]);
		if (!check_command(command, MODE_64, &tally))
			continue;
		done++;
		assert_int_equal(tally.wrong, 0);
		assert_true(tally.undefined * 100 < tally.n + 100);
	}
	if (!done)
		skip();
}

/* Random bytes, reproducible; what objdump finds valid must have its length here or be undefined here. */
static void test_lengths_random(void **state)
{
	static const char *const machines[] = {"i8086", "i386", "i386:x86-64 -M intel64"};
	char path[] = "/tmp/test_decode.XXXXXX", command[200];
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");
	uint64_t x = 88172645463325252ull;

	(void)state;
	assert_non_null(f);
	for (unsigned i = 0; i < 60000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		fwrite(&x, 8, 1, f);
	}
	fclose(f);
	for (unsigned mode = 0; mode < 3; mode++) {
		struct tally tally = {0};

		snprintf(command, sizeof(command), "objdump -D -b binary -m %s --insn-width=16 %s 2>/dev/null",
			 machines[mode], path);
		if (!check_command(command, (enum insn_mode)mode, &tally)) {
			unlink(path);
			skip();
		}
		assert_int_equal(tally.wrong, 0);
		assert_true(tally.undefined * 50 < tally.n);
	}
	unlink(path);
}

/* ---- by hand ------------------------------------------------------------------------- */

#define SZ (FL_SF | FL_ZF)

struct golden {
	const char *bytes;
	unsigned mode, class_, op, opsize, mem_size;
	uint32_t attr_set, attr_clear;
	uint16_t read, written, fl_read, fl_written, fl_undef;
};

static const struct golden golden[] = {
	/* add [rax+rcx*4+8], edx */
	{"01 54 88 08", MODE_64, CLASS_COPY, OP_ADD, 4, 4,
	 ATTR_MEM | ATTR_MEM_READ | ATTR_MEM_WRITE | ATTR_LOCK_OK | ATTR_REG_GPR, 0, 7, 0, 0, FL_ARITH, 0},
	{"f0 01 10", MODE_64, CLASS_COPY, OP_ADD, 4, 4, ATTR_LOCK_OK, 0, 5, 0, 0, FL_ARITH, 0},
	/* lock on a register, on cmp, on mov */
	{"f0 01 d0", MODE_64, CLASS_UD, OP_NONE, 4, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"f0 39 10", MODE_64, CLASS_UD, OP_NONE, 4, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"f0 89 10", MODE_64, CLASS_UD, OP_NONE, 4, 0, 0, ~0u, 0, 0, 0, 0, 0},
	/* ah and spl */
	{"88 e0", MODE_64, CLASS_COPY, OP_MOV, 1, 0, ATTR_BYTE_REG | ATTR_BYTE_RM, ATTR_MEM, 1, 1, 0, 0, 0},
	{"40 88 e0", MODE_64, CLASS_COPY, OP_MOV, 1, 0, ATTR_BYTE_REG | ATTR_BYTE_RM, ATTR_MEM, 0x11, 1, 0, 0, 0},
	/* 32-bit writes are whole, 16-bit ones are not */
	{"89 c8", MODE_64, CLASS_COPY, OP_MOV, 4, 0, 0, ATTR_MEM, 2, 1, 0, 0, 0},
	{"66 89 c8", MODE_64, CLASS_COPY, OP_MOV, 2, 0, 0, ATTR_MEM, 3, 1, 0, 0, 0},
	/* shifts: by 0, by 1, by 3, by cl; rcl; sar by more than the size */
	{"c1 e0 20", MODE_64, CLASS_COPY, OP_SHL, 4, 0, 0, ATTR_MEM, 1, 1, 0, 0, 0},
	{"d1 e0", MODE_64, CLASS_COPY, OP_SHL, 4, 0, 0, 0, 1, 1, 0, FL_ARITH & ~FL_AF, FL_AF},
	{"c1 e0 03", MODE_64, CLASS_COPY, OP_SHL, 4, 0, 0, 0, 1, 1, 0, SZ | FL_PF | FL_CF, FL_AF | FL_OF},
	{"d3 e0", MODE_64, CLASS_COPY, OP_SHL, 4, 0, 0, 0, 3, 1, FL_ARITH, 0, FL_ARITH},
	{"d1 d0", MODE_64, CLASS_COPY, OP_RCL, 4, 0, 0, 0, 1, 1, FL_CF, FL_CF | FL_OF, 0},
	{"c0 d0 09", MODE_64, CLASS_COPY, OP_RCL, 1, 0, 0, 0, 1, 1, FL_CF, 0, FL_CF | FL_OF},
	{"66 c1 f8 1f", MODE_64, CLASS_COPY, OP_SAR, 2, 0, 0, 0, 1, 1, 0, SZ | FL_PF | FL_CF, FL_AF | FL_OF},
	{"48 c1 c0 40", MODE_64, CLASS_COPY, OP_ROL, 8, 0, 0, 0, 1, 1, 0, 0, 0},
	/* inc keeps CF; adc reads it; cmov reads its destination */
	{"ff c0", MODE_64, CLASS_COPY, OP_INC, 4, 0, 0, 0, 1, 1, 0, FL_ARITH & ~FL_CF, 0},
	{"40", MODE_32, CLASS_COPY, OP_INC, 4, 0, ATTR_OPREG_GPR, 0, 1, 1, 0, FL_ARITH & ~FL_CF, 0},
	{"11 c8", MODE_32, CLASS_COPY, OP_ADC, 4, 0, 0, 0, 3, 1, FL_CF, FL_ARITH, 0},
	{"0f 4f c1", MODE_64, CLASS_COPY, OP_CMOV, 4, 0, 0, 0, 3, 1, FL_ZF | FL_SF | FL_OF, 0, 0},
	{"0f 97 c0", MODE_64, CLASS_COPY, OP_SETCC, 1, 0, ATTR_BYTE_RM, 0, 1, 1, FL_CF | FL_ZF, 0, 0},
	/* mul, div, cdq, cmpxchg16b */
	{"f7 e1", MODE_64, CLASS_COPY, OP_MUL, 4, 0, 0, ATTR_TRAPS, 3, 5, 0, FL_CF | FL_OF, SZ | FL_AF | FL_PF},
	{"f6 f1", MODE_64, CLASS_COPY, OP_DIV, 1, 0, ATTR_TRAPS, 0, 3, 1, 0, 0, FL_ARITH},
	{"99", MODE_64, CLASS_COPY, OP_CWD, 4, 0, 0, 0, 1, 4, 0, 0, 0},
	{"48 0f c7 0f", MODE_64, CLASS_COPY, OP_CMPXCHG8B, 8, 16, ATTR_ALIGNED | ATTR_LOCK_OK, 0, 0x8f, 5, 0, FL_ZF, 0},
	/* bt mem, reg and bt mem, imm */
	{"0f ab 08", MODE_64, CLASS_COPY, OP_BTS, 4, 4, ATTR_BITOFF | ATTR_LOCK_OK, 0, 3, 0, 0, FL_CF,
	 FL_OF | FL_SF | FL_AF | FL_PF},
	{"0f ba 28 05", MODE_64, CLASS_COPY, OP_BTS, 4, 4, ATTR_MEM, ATTR_BITOFF, 1, 0, 0, FL_CF,
	 FL_OF | FL_SF | FL_AF | FL_PF},
	{"0f ab c8", MODE_64, CLASS_COPY, OP_BTS, 4, 0, 0, ATTR_BITOFF | ATTR_MEM, 3, 1, 0, FL_CF,
	 FL_OF | FL_SF | FL_AF | FL_PF},
	/* nops */
	{"90", MODE_64, CLASS_COPY, OP_NOP, 4, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"f3 90", MODE_64, CLASS_COPY, OP_PAUSE, 4, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"41 90", MODE_64, CLASS_COPY, OP_XCHG, 4, 0, ATTR_OPREG_GPR, 0, 0x101, 0x101, 0, 0, 0},
	{"f3 0f 1e fa", MODE_64, CLASS_COPY, OP_NOP, 4, 0, 0, ATTR_MEM, 0, 0, 0, 0, 0},
	{"66 0f 1f 84 00 00 02 00 00", MODE_64, CLASS_COPY, OP_NOP, 2, 0, 0, ATTR_MEM, 0, 0, 0, 0, 0},
	{"f3 48 0f 1e c8", MODE_64, CLASS_COPY, OP_NOP, 8, 0, 0, ATTR_MEM, 0, 0, 0, 0, 0},
	{"0f 0d 08", MODE_64, CLASS_COPY, OP_PREFETCH, 4, 0, 0, ATTR_MEM, 0, 0, 0, 0, 0},
	/* f3 turns bsf into tzcnt, and nothing else into anything */
	{"0f bc c1", MODE_64, CLASS_COPY, OP_BSF, 4, 0, 0, 0, 3, 1, 0, FL_ZF, FL_ARITH & ~FL_ZF},
	{"f3 0f bc c1", MODE_64, CLASS_COPY, OP_TZCNT, 4, 0, 0, 0, 2, 1, 0, FL_ZF | FL_CF, FL_OF | FL_SF | FL_AF | FL_PF},
	{"66 f3 0f b8 c1", MODE_64, CLASS_COPY, OP_POPCNT, 2, 0, 0, 0, 3, 1, 0, FL_ARITH, 0},
	{"0f b8 c1", MODE_64, CLASS_UD, OP_NONE, 0, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"66 f2 0f 38 f1 c1", MODE_64, CLASS_COPY, OP_CRC32, 2, 0, 0, 0, 3, 1, 0, 0, 0},
	/* stack and branches */
	{"50", MODE_64, CLASS_PUSH, OP_PUSH, 8, 0, ATTR_OPREG_GPR, 0, 0x11, 0x10, 0, 0, 0},
	{"66 50", MODE_64, CLASS_PUSH, OP_PUSH, 2, 0, 0, 0, 0x11, 0x10, 0, 0, 0},
	{"66 50", MODE_16, CLASS_PUSH, OP_PUSH, 4, 0, 0, 0, 0x11, 0x10, 0, 0, 0},
	{"41 58", MODE_64, CLASS_POP, OP_POP, 8, 0, 0, 0, 0x10, 0x110, 0, 0, 0},
	{"66 e8 00 00 00 00", MODE_64, CLASS_CALL, OP_CALL, 8, 0, 0, ATTR_MEM, 0x10, 0x10, 0, 0, 0},
	{"e8 00 00", MODE_16, CLASS_CALL, OP_CALL, 2, 0, 0, ATTR_MEM, 0x10, 0x10, 0, 0, 0},
	{"ff 10", MODE_64, CLASS_CALL_IND, OP_CALL_IND, 8, 8, ATTR_MEM_READ, 0, 0x11, 0x10, 0, 0, 0},
	{"f3 c3", MODE_64, CLASS_RET, OP_RET, 8, 0, 0, ATTR_MEM, 0x10, 0x10, 0, 0, 0},
	{"9c", MODE_64, CLASS_FLAGS, OP_PUSHF, 8, 0, 0, 0, 0x10, 0x10, FL_ARITH, 0, 0},
	{"e3 00", MODE_64, CLASS_LOOP, OP_JCXZ, 8, 0, 0, 0, 2, 0, 0, 0, 0},
	/* strings */
	{"f3 48 a5", MODE_64, CLASS_STRING, OP_MOVS, 8, 8, 0, ATTR_MEM, 0xc2, 0xc2, 0, 0, 0},
	{"a6", MODE_64, CLASS_STRING, OP_CMPS, 1, 1, 0, 0, 0xc0, 0xc0, 0, FL_ARITH, 0},
	{"f2 ae", MODE_64, CLASS_STRING, OP_SCAS, 1, 1, 0, 0, 0x83, 0x82, FL_ARITH, 0, FL_ARITH},
	/* SSE and AVX */
	{"0f 28 00", MODE_64, CLASS_COPY, OP_COPY_ONLY, 4, 16, ATTR_SSE | ATTR_ALIGNED | ATTR_MEM_READ, ATTR_AVX, 1, 0, 0, 0, 0},
	{"0f 10 00", MODE_64, CLASS_COPY, OP_COPY_ONLY, 4, 16, ATTR_SSE, ATTR_ALIGNED, 1, 0, 0, 0, 0},
	{"c5 fc 58 00", MODE_64, CLASS_COPY, OP_COPY_ONLY, 4, 32, ATTR_AVX, ATTR_SSE | ATTR_ALIGNED, 1, 0, 0, 0, 0},
	{"c5 fc 28 00", MODE_64, CLASS_COPY, OP_COPY_ONLY, 4, 32, ATTR_AVX | ATTR_ALIGNED, ATTR_SSE, 1, 0, 0, 0, 0},
	{"c5 7c 28 00", MODE_32, CLASS_SYS, OP_LDS_ETC, 4, 6, ATTR_MEM_READ, ATTR_AVX, 0xff, 0xff, FL_ARITH, 0, FL_ARITH},
	{"66 48 0f 7e c1", MODE_64, CLASS_COPY, OP_COPY_ONLY, 8, 0, ATTR_SSE | ATTR_RM_GPR, 0, 0, 2, 0, 0, 0},
	{"0f 2f c1", MODE_64, CLASS_COPY, OP_COPY_ONLY, 4, 0, ATTR_SSE | ATTR_TRAPS, 0, 0, 0, 0, FL_ARITH, 0},
	{"c4 e2 f5 92 04 88", MODE_64, CLASS_SYS, OP_COPY_ONLY, 8, 0, ATTR_VSIB | ATTR_AVX, 0, 0xffff, 0xffff,
	 FL_ARITH, 0, FL_ARITH},
	{"c4 e2 f0 f2 c2", MODE_64, CLASS_COPY, OP_ANDN, 8, 0, ATTR_VVVV_GPR, ATTR_AVX, 6, 1, 0,
	 SZ | FL_OF | FL_CF, FL_AF | FL_PF},
	{"62 f1 7c 48 28 c1", MODE_64, CLASS_UD, OP_NONE, 0, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"62 04 24", MODE_32, CLASS_SYS, OP_BOUND, 4, 8, ATTR_MEM_READ, 0, 0xff, 0xff, FL_ARITH, 0, FL_ARITH},
	{"8f e8 78 c0 c1 01", MODE_64, CLASS_UD, OP_NONE, 0, 0, 0, ~0u, 0, 0, 0, 0, 0}, /* XOP */
	{"c4 e2 7d dc c1", MODE_64, CLASS_UD, OP_NONE, 0, 0, 0, ~0u, 0, 0, 0, 0, 0},    /* 256-bit vaesenc */
	/* x87 */
	{"db 28", MODE_64, CLASS_COPY, OP_COPY_ONLY, 4, 10, ATTR_FPU | ATTR_MEM_READ, 0, 1, 0, 0, 0, 0},
	{"df e0", MODE_64, CLASS_COPY, OP_COPY_ONLY, 2, 0, ATTR_FPU, 0, 1, 1, 0, 0, 0},
	{"da c1", MODE_64, CLASS_COPY, OP_COPY_ONLY, 4, 0, ATTR_FPU, 0, 0, 0, FL_CF, 0, 0},
	{"dd 30", MODE_64, CLASS_SYS, OP_FSAVE, 4, 0, ATTR_FPU | ATTR_MEM_WRITE, 0, 0xffff, 0xffff, FL_ARITH, 0, FL_ARITH},
	/* system */
	{"0f 01 d9", MODE_64, CLASS_SYS, OP_VMMCALL, 4, 0, 0, ATTR_PRIV, 0xffff, 0xffff, FL_ARITH, 0, FL_ARITH},
	{"0f 22 c0", MODE_64, CLASS_SYS, OP_MOV_TO_CR, 8, 0, ATTR_PRIV, 0, 0xffff, 0xffff, FL_ARITH, 0, FL_ARITH},
	{"0f 22 c8", MODE_64, CLASS_UD, OP_NONE, 0, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"8e c8", MODE_64, CLASS_UD, OP_NONE, 0, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"0f 01 f8", MODE_32, CLASS_UD, OP_NONE, 0, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"0f 0b", MODE_64, CLASS_UD, OP_UD, 0, 0, 0, ~0u, 0, 0, 0, 0, 0},
	{"06", MODE_64, CLASS_UD, OP_NONE, 0, 0, 0, ~0u, 0, 0, 0, 0, 0},
};

static unsigned parse_bytes(const char *s, uint8_t *bytes)
{
	unsigned n = 0;
	char *end;

	for (; *s && n < INSN_MAX; s = end)
		bytes[n++] = (uint8_t)strtoul(s, &end, 16);
	return n;
}

static void test_golden(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(golden) / sizeof(*golden); i++) {
		const struct golden *g = &golden[i];
		uint8_t bytes[INSN_MAX] = {0};
		unsigned n = parse_bytes(g->bytes, bytes);
		struct insn in;
		bool ok;

		assert_true(insn_decode(&in, bytes, INSN_MAX, (enum insn_mode)g->mode));
		ok = in.class_ == g->class_ && in.op == g->op && (in.attr & g->attr_set) == g->attr_set &&
		     !(in.attr & g->attr_clear) && in.regs_read == g->read && in.regs_written == g->written &&
		     in.fl_read == g->fl_read && in.fl_written == g->fl_written && in.fl_undef == g->fl_undef;
		if (g->class_ != CLASS_UD)
			ok = ok && in.len == n && in.opsize == g->opsize && in.mem_size == g->mem_size;
		if (!ok)
			fail_msg("%s: len %u class %u op %u size %u mem %u attr %x regs %x %x flags %x %x %x", g->bytes,
				 in.len, in.class_, in.op, in.opsize, in.mem_size, in.attr, in.regs_read,
				 in.regs_written, in.fl_read, in.fl_written, in.fl_undef);
	}
}

static void decode(struct insn *in, const char *s, enum insn_mode mode)
{
	uint8_t bytes[INSN_MAX] = {0};

	parse_bytes(s, bytes);
	assert_true(insn_decode(in, bytes, INSN_MAX, mode));
}

static void test_operands(void **state)
{
	struct insn in;

	(void)state;
	decode(&in, "48 8b 05 10 00 00 00", MODE_64); /* mov rax, [rip+16] */
	assert_true(in.rip_rel && in.base == -1 && in.disp == 16 && in.seg == GAMUT_DS);
	decode(&in, "8b 05 10 00 00 00", MODE_32);
	assert_true(!in.rip_rel && in.base == -1 && in.disp == 16);
	decode(&in, "8b 45 f8", MODE_64); /* [rbp-8] */
	assert_true(in.base == 5 && in.disp == -8 && in.seg == GAMUT_SS);
	decode(&in, "41 8b 45 f8", MODE_64); /* [r13-8] */
	assert_true(in.base == 13 && in.seg == GAMUT_DS);
	decode(&in, "64 8b 45 f8", MODE_64);
	assert_true(in.seg == GAMUT_FS && in.seg_override == GAMUT_FS);
	decode(&in, "2e 8b 45 f8", MODE_64);
	assert_true(in.seg == GAMUT_SS && in.seg_override == -1);
	decode(&in, "4a 8b 04 e5 00 00 00 80", MODE_64); /* [r12*8 - 2G] */
	assert_true(in.base == -1 && in.index == 12 && in.scale == 3 && in.disp == -0x80000000ll);
	decode(&in, "8b 42 fe", MODE_16); /* [bp+si-2] */
	assert_true(in.base == 5 && in.index == 6 && in.scale == 0 && in.disp == -2 && in.seg == GAMUT_SS);
	decode(&in, "8b 0e 34 f2", MODE_16);
	assert_true(in.base == -1 && in.disp == 0xf234 && in.seg == GAMUT_DS);
	decode(&in, "48 a1 88 77 66 55 44 33 22 f1", MODE_64);
	assert_true((uint64_t)in.disp == 0xf122334455667788u && in.imm_size == 8 && (in.attr & ATTR_MEM));
	decode(&in, "ea 34 12 00 f0", MODE_16);
	assert_true(in.op == OP_JMP_FAR && in.imm == 0x1234 && in.imm2 == 0xf000);
	decode(&in, "c8 10 00 02", MODE_32);
	assert_true(in.imm == 16 && in.imm2 == 2 && in.len == 4);
	decode(&in, "48 c7 c0 ff ff ff ff", MODE_64);
	assert_true(in.imm == -1 && in.imm_size == 4 && in.imm_off == 3 && in.opc_off == 1 && in.modrm_off == 2);
	decode(&in, "c4 42 f1 b8 c7", MODE_64); /* vfmadd231pd xmm8, xmm1, xmm15 */
	assert_true(in.reg == 8 && in.vvvv == 1 && in.rm == 15 && in.w && in.l == 0 && in.map == MAP_0F38);
	decode(&in, "44 0f 22 c0", MODE_64);
	assert_true(in.op == OP_MOV_TO_CR && in.reg == 8);
}

/* Every prefix of an instruction asks for more; fifteen bytes without an end are too long. */
static void test_truncated(void **state)
{
	static const uint8_t bytes[] = {0x66, 0x48, 0x0f, 0x38, 0xf1, 0x84, 0x8b, 1, 2, 3, 4};
	static const uint8_t prefixes[15] = {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
					     0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66};
	struct insn in;

	(void)state;
	for (unsigned len = 1; len < sizeof(bytes); len++)
		assert_false(insn_decode(&in, bytes, len, MODE_64));
	assert_true(insn_decode(&in, bytes, sizeof(bytes), MODE_64));
	assert_int_equal(in.len, sizeof(bytes));
	assert_true(insn_decode(&in, prefixes, 15, MODE_64));
	assert_true(in.class_ == CLASS_SYS && in.op == OP_NONE && in.len == 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_operands),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_lengths_programs),
		cmocka_unit_test(test_lengths_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
