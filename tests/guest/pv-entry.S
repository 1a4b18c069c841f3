/* SPDX-License-Identifier: MIT */
/*
 * The PV entry of the same image: notes, stubs that make a bounce frame into
 * struct frame, the ways to user mode and back, and what runs there.
 *
 * A bounce frame is what the processor pushes with rcx and r11 below it; popping
 * these two leaves the frame of entry.S. All returns go by the iret hypercall,
 * which puts the event mask back as well. Numbers of struct frame's vector that
 * are no processor's are in probe.h.
 */
#include <xen/elfnote.h>

	.macro	note_quad type, value
	.balign	4
	.long	4, 8, \type
	.asciz	"Xen"
	.quad	\value
	.endm

	.macro	note_text type, text
	.balign	4
	.long	4, 2f - 1f, \type
	.asciz	"Xen"
1:	.asciz	"\text"
2:	.balign	4
	.endm

	/* Virtual address 0 is pseudo-physical address 0, as for the PVH entry. */
	.section .note.Xen, "a", @note
	note_quad XEN_ELFNOTE_ENTRY, pv_entry
	note_quad XEN_ELFNOTE_VIRT_BASE, 0
	note_quad XEN_ELFNOTE_PADDR_OFFSET, 0
	note_quad XEN_ELFNOTE_MOD_START_PFN, 1
	note_quad XEN_ELFNOTE_SUPPORTED_FEATURES, 0x20 /* mmu_pt_update_preserve_ad */
	note_text XEN_ELFNOTE_XEN_VERSION, "xen-3.0"
	note_text XEN_ELFNOTE_GUEST_OS, "probe"
	note_text XEN_ELFNOTE_LOADER, "generic"
	note_text XEN_ELFNOTE_PAE_MODE, "yes"
#ifdef PROBE_HYPERCALL_PAGE
	note_quad XEN_ELFNOTE_HYPERCALL_PAGE, hypercall_page
#endif

	.text
	.code64
	/* rsi = start_info */
	.globl	pv_entry
pv_entry:
	cld
	movl	$stack_top, %esp
	movq	%rsi, %rdi
	xorl	%ebp, %ebp
	call	probe_main_pv
	ud2

/* ---- bounce frames --------------------------------------------------------- */

	.balign	16
	.globl	pv_trap_stubs
pv_trap_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	popq	%rcx
	popq	%r11
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	pushq	$0
	.endif
	pushq	$vector
	jmp	pv_trap_common
	.set	vector, vector + 1
	.endr

	.macro	callback name, vector
	.globl	\name
\name:
	popq	%rcx
	popq	%r11
	pushq	$0
	pushq	$\vector
	jmp	pv_trap_common
	.endm

	callback pv_event_entry, 0xf3
	callback pv_syscall32_entry, 0x101
	callback pv_sysenter_entry, 0x102

	/* ds, es, fs, gs lie between r11 and rip. */
	.globl	pv_failsafe_entry
pv_failsafe_entry:
	popq	%rcx
	popq	%r11
	addq	$32, %rsp
	pushq	$0
	pushq	$0x103
	jmp	pv_trap_common

	/* System call 7 is answered here, for measuring; others go to trap(). */
	.globl	pv_syscall_entry
pv_syscall_entry:
	popq	%rcx
	popq	%r11
	cmpl	$7, %eax
	jne	1f
	addl	$35, %eax
	pushq	$0x100		/* VGCF_in_syscall */
	jmp	pv_iret
1:	pushq	$0
	pushq	$0x100

pv_trap_common:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	movq	%rsp, %rbx
	andq	$-16, %rsp
	call	trap
	movq	%rbx, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rdx
	popq	%rcx
	popq	%rbx
	popq	%rax
	addq	$16, %rsp
	pushq	$0

	/* On the stack: flags, rip, cs, rflags, rsp, ss. */
pv_iret:
	pushq	%rcx
	pushq	%r11
	pushq	%rax
	movl	$23, %eax
	syscall
	ud2

/* ---- hypercalls -------------------------------------------------------------- */

	/* long hypercall_syscall(unsigned nr, a1, a2, a3, a4, a5) */
	.globl	hypercall_syscall
hypercall_syscall:
	movl	%edi, %eax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	syscall
	ret

	/* long hypercall_raw(uint64_t nr, const uint64_t args[6]): all bits of nr */
	.globl	hypercall_raw
hypercall_raw:
	movq	%rdi, %rax
	movq	%rsi, %r11
	movq	0(%r11), %rdi
	movq	8(%r11), %rsi
	movq	16(%r11), %rdx
	movq	24(%r11), %r10
	movq	32(%r11), %r8
	movq	40(%r11), %r9
	syscall
	ret

	/* void pv_iret_raw(const void *frame): rsp is the frame; does not come back. */
	.globl	pv_iret_raw
pv_iret_raw:
	movq	%rdi, %rsp
	movl	$23, %eax
	syscall
	ud2

	/* Where a breakpoint can be: back to rdx. */
	.globl	pv_nothing
pv_nothing:
	jmp	*%rdx

/* ---- user mode ------------------------------------------------------------------ */

	/* uint64_t pv_user_enter(const struct pv_user *u): ends as user_run does. */
	.globl	pv_user_enter
pv_user_enter:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, user_saved_rsp
	movq	40(%rdi), %rbx
	pushq	32(%rdi)	/* ss */
	pushq	24(%rdi)	/* rsp */
	pushq	16(%rdi)	/* rflags */
	pushq	8(%rdi)		/* cs */
	pushq	0(%rdi)		/* rip */
	pushq	$0
	jmp	pv_iret

	/* The quad at rbx, the result of int $0x80. */
	.globl	user_load, user_store, user_load_gs, user_load_fs
user_load:
	movq	(%rbx), %rax
	int	$0x80
user_store:
	movq	%rbx, (%rbx)
	int	$0x80
user_load_gs:
	movq	%gs:(%rbx), %rax
	int	$0x80
user_load_fs:
	movq	%fs:(%rbx), %rax
	int	$0x80

	/* A system call that goes to trap(), with values to be seen in its frame. */
	.globl	user_syscall_slow, user_syscall_after
user_syscall_slow:
	movl	$99, %eax
	syscall
user_syscall_after:
	ud2

	.globl	user_hlt, user_in, user_mov_cr3, user_int81, user_ud2
user_hlt:
	hlt
user_in:
	movl	$0x2f7, %edx
	inb	%dx, %al
	int	$0x80
user_mov_cr3:
	movq	%cr3, %rax
	int	$0x80
user_int81:
	int	$0x81
user_ud2:
	ud2

	/* Until the word at rbx is not zero. */
	.globl	user_spin
user_spin:
	pause
	cmpl	$0, (%rbx)
	je	user_spin
	movl	(%rbx), %eax
	int	$0x80

	/* Its own cs in rax; the marks of every register must come back with int $0x80. */
	.globl	user_marks
user_marks:
	movq	$0x1001, %rcx
	movq	$0x1002, %rdx
	movq	$0x1003, %rsi
	movq	$0x1004, %rdi
	movq	$0x1005, %r8
	movq	$0x1006, %r9
	movq	$0x1007, %r10
	movq	$0x1008, %r11
	movq	$0x1009, %r15
	movl	%cs, %eax
	int	$0x80

	.code32
	.globl	user32_int80, user32_syscall, user32_syscall_after, user32_sysenter, user32_into, user32_dec
user32_int80:
	movl	$0x80001234, %eax
	int	$0x80
user32_syscall:
	movl	$0x5678, %eax
	movl	$0x1234, %ebp
	syscall
user32_syscall_after:
	ud2
user32_sysenter:
	movl	$0x9abc, %eax
	sysenter
	ud2
user32_into:
	movl	$0x7fffffff, %eax
	addl	$1, %eax
	into
	ud2
	/* 0x48 is dec %eax here, REX.W in 64-bit code. */
user32_dec:
	movl	$8, %eax
	.byte	0x48
	nop
	int	$0x80
	.code64

	.section .rodata
	.globl	probe_wants_hypercall_page
probe_wants_hypercall_page:
#ifdef PROBE_HYPERCALL_PAGE
	.byte	1
#else
	.byte	0
#endif
	.section .note.GNU-stack, "", @progbits
