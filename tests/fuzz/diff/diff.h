/* SPDX-License-Identifier: MIT */
/*
 * Differential fuzzing of the bt engine: what its files share.
 *
 *   gen.c      random instructions with operands that make sense, 64, 32 and 16-bit user code
 *   patterns.c what random instructions do not hit: calls, self-modification, faults on purpose
 *   native.c   runs a case on the processor, in this process
 *   guest.c    a small guest at the same virtual addresses; runs a case in the engine
 *   templates.c kernel-mode code
 *   system.c   kernel-mode cases: translator against interpreter
 *   main.c     the comparison and the command line
 *
 * Memory map, the same for process and guest:
 *   DATA_VA - 4096  one page, read-only
 *   DATA_VA         16 pages; their guest pages are in reverse order
 *   DATA_END        nothing
 *   CODE_VA         two pages
 *   CODE_VA+0x2000  one page that is readable and writable but not executable
 *   CODE_VA+0x3000  one page of code; nothing behind it
 */
#ifndef DIFF_H
#define DIFF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bt/bt.h"
#include "engine/bt/decode.h"
#include "engine/engine.h"
#include "mem.h"

#define DATA_VA 0x40000000ull
#define DATA_PAGES 16u
#define DATA_SIZE (DATA_PAGES * 4096u)
#define DATA_END (DATA_VA + DATA_SIZE)
#define RO_VA (DATA_VA - 4096)
#define CODE_VA 0x50000000ull
#define CODE_SIZE 16384u
#define ALIAS_VA 0x50200000ull /* the same pages as CODE_VA, writable, not executable */
#define SYS_VA 0x60000000ull
#define SYS_SIZE 0x10000u
#define TABLE_VA 0x60100000ull /* the page tables; system cases only */
#define TABLE_GPA 0x1000ull
#define TABLE_SIZE 0x9000u
#define DATA_GPA 0x100000ull
#define RO_GPA 0x110000ull
#define CODE_GPA 0x200000ull
#define SYS_GPA 0x300000ull
#define RAM_SIZE (16ull << 20)
#define FX_SIZE 832u

/* Page tables by their guest physical address. */
#define PT_DATA 0x4000ull
#define PT_CODE 0x5000ull
#define PT_SYS 0x6000ull

/* In the system region. */
#define GDT_OFF 0x0000u
#define IDT_OFF 0x1000u
#define TSS_OFF 0x2000u
#define STUB_OFF 0x3000u
#define STACK_OFF 0x5000u /* top at 0x7000 */
#define LOG_OFF 0x8000u   /* see RESUME */

/* Selectors as Linux gives them to its processes. */
#define SEL_KCS 0x10u
#define SEL_KDS 0x18u
#define SEL_CS32 0x23u
#define SEL_DS 0x2bu
#define SEL_CS64 0x33u
#define SEL_TSS 0x40u

/*
 * 16-bit code is in segments of the LDT (modify_ldt for the process): code from
 * CODE_VA, data and stack from DATA_VA. The data segment ends before its last page does.
 */
#define SEL_CS16 0x07u
#define SEL_DS16 0x0fu
#define SEL_SS16 0x17u
#define DS16_LIMIT 0xfbffu

#define VECTORS 0x40u

struct state {
	uint64_t gpr[16], rip, rflags;
	uint8_t fx[FX_SIZE] __attribute__((aligned(64)));
	int vector; /* -1: reached the end */
	uint64_t error, cr2;
};

struct gen {
	uint64_t rng;
	enum insn_mode mode;
	uint32_t start, len;      /* first byte; next byte to be written */
	bool kernel;              /* privileged code may be generated */
	bool decimal;             /* daa and its kin, which leave flags undefined, are in the code */
	uint8_t code[CODE_SIZE + 512];
};

/* ---- gen.c ------------------------------------------------------------------------- */

uint64_t rng(struct gen *g);
unsigned pick(struct gen *g, unsigned n); /* 0 .. n - 1 */
void put(struct gen *g, uint8_t b);
void put_bytes(struct gen *g, const void *bytes, unsigned n);
void put32(struct gen *g, uint32_t x);
/* mov reg, imm of full width (32 bits in 32-bit code). */
void put_mov_imm(struct gen *g, unsigned reg, uint64_t imm);
/* An absolute memory operand; reg: bits 5:3 of modrm. */
void put_abs(struct gen *g, unsigned reg, uint64_t addr);
/* Overwrites four bytes of the code. */
void fix32(struct gen *g, unsigned at, uint64_t value);
/* An address for an operand: mostly in the data, now and then where it hurts. */
uint64_t pick_address(struct gen *g);
void add_insn(struct gen *g);
/* A whole user-mode case, without the int3 at its end. */
void generate(struct gen *g);
void random_state(struct gen *g, struct state *s);
static inline uint64_t code_at(const struct gen *g)
{
	return CODE_VA + g->len;
}
void print_code(const struct gen *g);

/* ---- patterns.c ----------------------------------------------------------------------- */

void add_pattern(struct gen *g);

/* ---- native.c ------------------------------------------------------------------------- */

bool processor_init(void);
/* The segments for 16-bit code; false: the host's kernel has no modify_ldt. */
bool processor_init16(void);
void processor_run(const struct gen *g, const struct state *start, struct state *end);

/* ---- guest.c ---------------------------------------------------------------------------- */

struct guest {
	struct mem mem;
	struct engine_vm *vm;
	struct engine_vcpu *vcpu;
	_Atomic uint32_t attention;
	int irq; /* vector to be injected once, or -1 */
};

bool guest_init(struct guest *g, const char *debug, bool shadow);
void guest_finish(struct guest *g);
uint64_t data_gpa(unsigned page);
/* Page tables, descriptor tables, stubs that stop at every exception. */
void guest_layout(struct guest *g);
void guest_put64(struct guest *g, uint64_t gpa, uint64_t value);
/* Where user code begins, with Linux's selectors. */
void guest_state(struct gamut_vcpu_state *s, const struct state *start, enum insn_mode mode);
/* The state into the engine, vector state too. */
bool guest_load(struct guest *g, const struct gamut_vcpu_state *s, const struct state *start);
bool guest_run(struct guest *g, const struct gen *gen, const struct state *start, struct state *end);

/* ---- main.c ---------------------------------------------------------------------------- */

bool same_fx(const struct state *a, const struct state *b);
void print_fx(const struct state *a, const struct state *b);

/* ---- templates.c ----------------------------------------------------------------------- */

/* Words that kernel-mode cases and their exception handlers (system.c) share; log entries follow the first 64 bytes. */
#define LOG_VA (SYS_VA + LOG_OFF)   /* number of entries */
#define RESUME (LOG_VA + 8)         /* where a fault goes on */
#define FLAG_MASK (LOG_VA + 16)     /* flags of a frame that count */
#define KSTACK (LOG_VA + 24)        /* RSP for int 0x30 and syscall */
#define RETURN (LOG_VA + 32)        /* where int 0x30 and syscall go on in kernel mode */
#define KSTACK_VA (DATA_VA + 0x7800)

void generate_system(struct gen *g);

/* ---- system.c -------------------------------------------------------------------------- */

struct system_pair {
	struct guest trans, interp;
	bool alllive;
};

bool system_init(struct system_pair *p, const char *debug, bool shadow); /* shadow: of the translated one alone */
void system_finish(struct system_pair *p);
bool system_case(struct system_pair *p, uint64_t seed, bool verbose);

#endif
