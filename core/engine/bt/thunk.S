/* SPDX-License-Identifier: MIT */
/*
 * The border between translated code and C.
 *
 * Translated code never calls: it jumps to a thunk, which puts the guest's
 * general registers into struct bt_vcpu (at GS), takes the host's stack and
 * calls C. C answers with the code to go on with, or NULL to return from
 * bt_enter. Guest r11 and r15 are in memory all the time; the host's r11 and
 * r15 are scratch. The flags have been saved in flags_slot by the code that
 * left, except for the _h thunks, which save them.
 *
 * Offsets are those of struct bt_vcpu, checked by static asserts in run.c.
 */
#define O_GPR(n) ((n) * 8)
#define O_HOST_RSP 0x88
#define O_RIP 0x80
#define O_SLOT 0x90
#define O_POLL 0x98
#define O_VA 0xa0
#define O_SCRATCH0 0x100
#define O_SCRATCH1 0x108
#define O_SELF 0x1e8

/* jump cache of two classes at 0x1000, 16 bytes an entry, then the TLBs of 32 x 16384 */
#define JC_BITS 15
#define JC_HASH 0x9e3779b1
#define BT_OFF_TLB (0x1000 + 2 * 16 * (1 << JC_BITS))
#define BT_OFF_TAG_KR (BT_OFF_TLB)
#define BT_OFF_TAG_KW (BT_OFF_TLB + 8)
#define BT_OFF_TAG_UR (BT_OFF_TLB + 32 * 16384)
#define BT_OFF_TAG_UW (BT_OFF_TLB + 32 * 16384 + 8)

	.macro save_guest
	movq %rax, %gs:O_GPR(0)
	movq %rcx, %gs:O_GPR(1)
	movq %rdx, %gs:O_GPR(2)
	movq %rbx, %gs:O_GPR(3)
	movq %rsp, %gs:O_GPR(4)
	movq %rbp, %gs:O_GPR(5)
	movq %rsi, %gs:O_GPR(6)
	movq %rdi, %gs:O_GPR(7)
	movq %r8, %gs:O_GPR(8)
	movq %r9, %gs:O_GPR(9)
	movq %r10, %gs:O_GPR(10)
	movq %r12, %gs:O_GPR(12)
	movq %r13, %gs:O_GPR(13)
	movq %r14, %gs:O_GPR(14)
	movq %gs:O_HOST_RSP, %rsp
	movq %gs:O_SELF, %rdi
	.endm

	/* rax: where to; r11 gets scratch[0], the host pointer of a served miss */
	.macro enter_guest
	testq %rax, %rax
	jz bt_leave
	movq %rax, %gs:O_SCRATCH1
	movq %gs:O_GPR(0), %rax
	movq %gs:O_GPR(1), %rcx
	movq %gs:O_GPR(2), %rdx
	movq %gs:O_GPR(3), %rbx
	movq %gs:O_GPR(5), %rbp
	movq %gs:O_GPR(6), %rsi
	movq %gs:O_GPR(7), %rdi
	movq %gs:O_GPR(8), %r8
	movq %gs:O_GPR(9), %r9
	movq %gs:O_GPR(10), %r10
	movq %gs:O_GPR(12), %r12
	movq %gs:O_GPR(13), %r13
	movq %gs:O_GPR(14), %r14
	movq %gs:O_GPR(4), %rsp
	movq %gs:O_SCRATCH0, %r11
	jmp *%gs:O_SCRATCH1
	.endm

	.macro save_flags
	movq %rax, %r11
	lahf
	seto %al
	movl %eax, %gs:O_SLOT
	movq %r11, %rax
	.endm

	.text

	/* void bt_enter(struct bt_vcpu *v, const void *code) */
	.globl bt_enter
	.hidden bt_enter
	.type bt_enter, @function
bt_enter:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	subq $8, %rsp
	movq %rsp, %gs:O_HOST_RSP
	movq %rsi, %rax
	enter_guest
bt_leave:
	addq $8, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.size bt_enter, .-bt_enter

	.macro thunk name, handler
	.globl \name
	.hidden \name
	.type \name, @function
\name:
	save_guest
	call \handler
	enter_guest
	.size \name, .-\name
	.endm

	/* r11 = va ^ tag, r15 = byte offset of the entry in its table */
	.macro miss name, tag, write
	.globl \name
	.hidden \name
	.type \name, @function
\name:
	xorq %gs:\tag(%r15), %r11
	movq %r11, %gs:O_VA
	save_guest
	movl $\write, %esi
	call bt_on_miss
	enter_guest
	.size \name, .-\name
	.endm

	miss bt_thunk_miss_kr, BT_OFF_TAG_KR, 0
	miss bt_thunk_miss_kw, BT_OFF_TAG_KW, 1
	miss bt_thunk_miss_ur, BT_OFF_TAG_UR, 0
	miss bt_thunk_miss_uw, BT_OFF_TAG_UW, 1

	.globl bt_thunk_link_h
	.hidden bt_thunk_link_h
	.type bt_thunk_link_h, @function
bt_thunk_link_h:
	save_flags
	.size bt_thunk_link_h, .-bt_thunk_link_h
	thunk bt_thunk_link, bt_on_link

	/*
	 * The jump cache has two ways: code looks at one, this at the other, which
	 * is the neighbour. r11 = rip.
	 */
	.macro lookup name, jc
	.globl \name
	.hidden \name
	.type \name, @function
\name:
	imull $JC_HASH, %r11d, %r15d
	shrl $(32 - JC_BITS - 4), %r15d
	andl $(((1 << JC_BITS) - 1) << 4), %r15d
	xorl $16, %r15d
	cmpq %gs:\jc(%r15), %r11
	jne 1f
	cmpq $0, %gs:O_POLL
	jne 1f
	jmp *%gs:\jc + 8(%r15)
1:	movq %r11, %gs:O_RIP
	save_guest
	call bt_on_lookup
	enter_guest
	.size \name, .-\name
	.endm

	lookup bt_thunk_lookup_k, 0x1000
	lookup bt_thunk_lookup_u, (0x1000 + 16 * (1 << JC_BITS))

	thunk bt_thunk_step, bt_on_step
	thunk bt_thunk_poll, bt_on_poll

	/* The signal handler has saved everything and set rsp. */
	.globl bt_thunk_signal
	.hidden bt_thunk_signal
	.type bt_thunk_signal, @function
bt_thunk_signal:
	movq %gs:O_SELF, %rdi
	call bt_on_signal
	enter_guest
	.size bt_thunk_signal, .-bt_thunk_signal

	.section .note.GNU-stack, "", @progbits
