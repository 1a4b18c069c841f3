/* SPDX-License-Identifier: MIT */
/*
 * What C cannot say: the PVH entry and the way to long mode, trap stubs, three
 * ways to make a hypercall, and a few lines that run in ring 3. What a PV guest
 * has instead is in pv-entry.S.
 *
 * The whole of the first 4 GiB is mapped one to one with 2 MiB pages, user
 * accessible, so that no address needs translating.
 */
#include <xen/elfnote.h>

	.section .note.Xen, "a", @note
	.balign	4
	.long	4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.quad	entry32

/*
 * Multiboot 0.6.96, with the addresses in the header: the file is an ELF of 64
 * bits, which Multiboot does not know. Flags: memory map, addresses.
 */
	.section .multiboot, "a"
	.balign	4
multiboot_header:
	.set	multiboot_flags, 0x00010002
	.long	0x1badb002, multiboot_flags, -(0x1badb002 + multiboot_flags)
	.long	multiboot_header, image_start, data_end, image_end, entry32

/* ---- 32-bit: ebx = hvm_start_info; or eax = 0x2badb002, ebx = multiboot info ---- */

	.text
	.code32
	.globl	entry32
entry32:
	cld
	movl	$stack_top, %esp
	movl	%ebx, %esi
	movl	%eax, %ebp

	movl	$pdpt + 7, pml4
	movl	$pdpt, %edi
	movl	$pd + 7, %eax
	movl	$4, %ecx
1:	movl	%eax, (%edi)
	addl	$4096, %eax
	addl	$8, %edi
	loop	1b

	movl	$pd, %edi
	movl	$0x87, %eax	/* present, writable, user, 2 MiB */
	movl	$2048, %ecx
2:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	loop	2b

	movl	$0x620, %eax	/* PAE, OSFXSR, OSXMMEXCPT */
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x101, %eax	/* LME, SCE */
	wrmsr
	movl	%cr0, %eax
	andl	$~0xc, %eax	/* no EM, TS */
	orl	$0x80010023, %eax /* PG, WP, NE, MP, PE */
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$0x08, $entry64

/* ---- a second processor: 16 bits at a page below 1 MiB, to which this is copied ---- */

	.code16
	.globl	ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_trampoline
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$0x18, $ap_entry32
	.balign	4
ap_gdt_pointer:
	.word	ap_gdt_end - ap_gdt - 1
	.long	ap_gdt
ap_trampoline_end:

	.code32
ap_entry32:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$0x620, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx
	rdmsr
	orl	$0x101, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$~0x6000000c, %eax	/* after INIT its caches are off */
	orl	$0x80010023, %eax
	movl	%eax, %cr0
	ljmp	$0x08, $ap_entry64

	/* Also where Xen starts it, whose segments are of no table of ours. */
	.code64
	.globl	ap_entry64
ap_entry64:
	movl	$ap_stack + 16384, %esp
	lgdt	gdt_pointer
	pushq	$0x08
	pushq	$6f
	lretq
6:	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	xorl	%ebp, %ebp
	call	ap_main

/* ---- 64-bit --------------------------------------------------------------- */

	.code64
entry64:
	movl	$0x10, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	xorl	%eax, %eax
	movl	%eax, %fs
	movl	%eax, %gs
	movl	$stack_top, %esp
	movl	%esi, %edi
	movl	%ebp, %esi
	xorl	%ebp, %ebp
	call	probe_start
3:	cli
	hlt
	jmp	3b

/*
 * Trap stubs, 16 bytes each: error code (or 0) and vector on the stack, then
 * the registers as struct frame has them.
 */
	.balign	16
	.globl	trap_stubs
trap_stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common
	.set	vector, vector + 1
	.endr

trap_common:
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
	iretq

/* ---- hypercalls: long f(nr, a1, a2, a3, a4, a5) --------------------------- */

	.macro	hypercall_args
	movl	%edi, %eax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	.endm

	/* The instructions lie as Linux has them, so that whoever replaces them there finds them here. */
	.balign	16
vmmcall_insn:
	vmmcall
	ret
	.balign	16
vmcall_insn:
	vmcall
	ret

	.globl	hypercall_vmcall
hypercall_vmcall:
	hypercall_args
	jmp	vmcall_insn

	.globl	hypercall_vmmcall
hypercall_vmmcall:
	hypercall_args
	jmp	vmmcall_insn

	/* Through the page that the hypervisor fills; 32 bytes a call. */
	.globl	hypercall_by_page
hypercall_by_page:
	hypercall_args
	movl	%eax, %r11d
	shll	$5, %r11d
	addq	$hypercall_page, %r11
	jmp	*%r11

/* ---- ring 3 ---------------------------------------------------------------- */

	/* uint64_t user_run_native(void (*code)(void), uint64_t arg): see user_run. */
	.globl	user_run_native
user_run_native:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	movq	%rsp, user_saved_rsp
	movq	%rsi, %rbx
	pushq	$0x23
	pushq	$user_stack_top
	pushq	$2
	pushq	$0x2b
	pushq	%rdi
	iretq

	/* void user_leave(uint64_t result): back to the caller of what entered ring 3. */
	.globl	user_leave
user_leave:
	movq	%rdi, %rax
	movq	user_saved_rsp, %rsp
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

	.globl	user_syscalls
user_syscalls:
	movl	$7, %eax
	syscall
	decq	%rbx
	jnz	user_syscalls
	int	$0x80

	/* movq (%rdx), %rax: where the page is not, the handler goes on behind it. */
	.globl	user_faults
user_faults:
	movabsq	$0x123456789000, %rdx
5:	movq	(%rdx), %rax
	decq	%rbx
	jnz	5b
	movq	%rbx, %rax
	int	$0x80

	.globl	user_vmcall
user_vmcall:
	movl	$17, %eax	/* xen_version(XENVER_version) */
	xorl	%edi, %edi
	xorl	%esi, %esi
	testl	%ebx, %ebx
	jnz	4f
	vmcall
	int	$0x80
4:	vmmcall
	int	$0x80

	.globl	user_cli
user_cli:
	cli
	int	$0x80

	.globl	user_vectors
user_vectors:
	movdqa	(%rbx), %xmm1
	paddd	%xmm1, %xmm1
	movdqu	%xmm1, 16(%rbx)
	int	$0x80

	/* LSTAR: the result is rax + 35. */
	.globl	syscall_entry
syscall_entry:
	addl	$35, %eax
	sysretq

/* ---- data -------------------------------------------------------------------- */

	.data
	.balign	16
	.globl	gdt
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* 08 kernel code */
	.quad	0x00cf93000000ffff	/* 10 kernel data */
	.quad	0x00cffb000000ffff	/* 18 user code, 32 bits: SYSRET's base */
	.quad	0x00cff3000000ffff	/* 20 user data */
	.quad	0x00affb000000ffff	/* 28 user code */
	.quad	0, 0			/* 30 TSS */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	.balign	16
ap_gdt:	.quad	0
	.quad	0x00af9b000000ffff	/* 08, 10 as above */
	.quad	0x00cf93000000ffff
	.quad	0x00cf9b000000ffff	/* 18 kernel code, 32 bits */
ap_gdt_end:

	.bss
	.balign	4096
	.globl	pml4, hypercall_page, stack_top, user_stack_top, user_saved_rsp
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4 * 4096
hypercall_page:
	.skip	4096
	.skip	32768
stack_top:
	.skip	8192
	.globl	trap_stack_top
trap_stack_top:
	.skip	4096
user_stack_top:
user_saved_rsp:
	.skip	8
	.section .note.GNU-stack, "", @progbits
