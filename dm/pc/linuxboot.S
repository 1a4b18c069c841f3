/* SPDX-License-Identifier: MIT */
/*
 * A BIOS option ROM that boots the kernel of the configuration device
 * (fw_cfg.h) by the 16-bit entry of the Linux boot protocol. The platform has
 * chosen all addresses and filled in the kernel's setup header (linux-bios.c);
 * this copies command line, ramdisk, kernel and setup, in this order, to where
 * the device's items say, by the device's DMA, and jumps. With an item for the
 * kernel's entry it is a Multiboot image, which has no setup.
 *
 * A legacy PnP option ROM (BIOS Boot Specification 1.01): its expansion header
 * names a bootstrap entry vector. The checksum is filled in when it is given to
 * the BIOS.
 */
	.code16
	.text
	.org 0
start:
	.byte 0x55, 0xaa
	.byte ROM_BLOCKS
	lret				/* initialization: nothing to do */
	.org 0x18
	.word 0
	.word pnp
	.org 0x20
pnp:
	.ascii "$PnP"
	.byte 1				/* revision */
	.byte 2				/* 16-byte units of this header */
	.word 0				/* next header */
	.byte 0
	.byte 0				/* checksum, filled in */
	.long 0				/* device identifier */
	.word vendor
	.word product
	.byte 2, 0x80, 0x80		/* type: a mass storage, other controller */
	.byte 0x14			/* an initial program loader that can be shadowed */
	.word 0				/* boot connection vector */
	.word 0				/* disconnect vector */
	.word boot			/* bootstrap entry vector */
	.word 0
	.word 0				/* static resources */
	.org 0x40
vendor:
	.asciz "Gamut"
product:
	.asciz "Linux loader"

	.equ KEY_KERNEL_ADDR, 0x07
	.equ KEY_KERNEL_SIZE, 0x08
	.equ KEY_INITRD_ADDR, 0x0a
	.equ KEY_INITRD_SIZE, 0x0b
	.equ KEY_KERNEL_ENTRY, 0x10
	.equ KEY_KERNEL_DATA, 0x11
	.equ KEY_INITRD_DATA, 0x12
	.equ KEY_CMDLINE_ADDR, 0x13
	.equ KEY_CMDLINE_SIZE, 0x14
	.equ KEY_CMDLINE_DATA, 0x15
	.equ KEY_SETUP_ADDR, 0x16
	.equ KEY_SETUP_SIZE, 0x17
	.equ KEY_SETUP_DATA, 0x18

	.equ SELECT, 0x510
	.equ DATA, 0x511
	.equ DMA_HIGH, 0x514
	.equ DMA_LOW, 0x518
	.equ DMA_SELECT_READ, 0x0a

/* eax := the little-endian number in item %ax */
read_number:
	pushw	%cx
	pushw	%dx
	movw	$SELECT, %dx
	outw	%ax, %dx
	movw	$DATA, %dx
	movw	$4, %cx
1:	inb	%dx, %al
	rorl	$8, %eax
	loop	1b
	popw	%dx
	popw	%cx
	ret

/*
 * Copies an item: bx its data's key, si its address's, di its size's. The
 * request is on the stack: control, length, address, each big endian.
 */
copy:
	movw	%di, %ax
	call	read_number
	testl	%eax, %eax
	jz	1f
	movl	%eax, %ecx
	movw	%si, %ax
	call	read_number
	bswapl	%eax
	pushl	%eax			/* address, low half */
	pushl	$0
	bswapl	%ecx
	pushl	%ecx			/* length */
	movzwl	%bx, %eax
	shll	$16, %eax
	orl	$DMA_SELECT_READ, %eax
	bswapl	%eax
	pushl	%eax			/* control */
	movzwl	%sp, %ebp
	xorl	%eax, %eax
	movw	$DMA_HIGH, %dx
	outl	%eax, %dx
	movw	%ss, %ax
	movzwl	%ax, %eax
	shll	$4, %eax
	addl	%ebp, %eax
	bswapl	%eax
	movw	$DMA_LOW, %dx
	outl	%eax, %dx
	popl	%eax			/* 0 when it went well */
	addw	$12, %sp
	testl	%eax, %eax
	jnz	failed
1:	ret

failed:
	movw	$message, %si
	movw	%cs, %ax
	movw	%ax, %ds
	cld
1:	lodsb
	testb	%al, %al
	jz	2f
	movb	$0x0e, %ah
	movw	$7, %bx
	int	$0x10
	jmp	1b
2:	int	$0x18			/* the next boot device */
message:
	.asciz "linuxboot: the kernel cannot be copied into memory\r\n"

	.macro item name
	movw	$KEY_\name\()_DATA, %bx
	movw	$KEY_\name\()_ADDR, %si
	movw	$KEY_\name\()_SIZE, %di
	call	copy
	.endm

boot:
	cld
	movw	$KEY_KERNEL_ENTRY, %ax
	call	read_number
	movl	%eax, %edi
	/* A stack of our own where nothing is loaded to: Multiboot images may lie low. */
	movw	$0, %bx
	movl	$0x7c00, %ecx
	testl	%edi, %edi
	jz	1f
	movw	$0x8000, %bx
	movl	$0xfff0, %ecx
1:	cli
	movw	%bx, %ss
	movl	%ecx, %esp
	sti
	pushl	%edi
	item	CMDLINE
	item	INITRD
	item	KERNEL
	popl	%edi
	testl	%edi, %edi
	jnz	multiboot
	item	SETUP
	/* Linux boot protocol: all segments at the setup, code 0x200 after it; the stack below the command line. */
	movw	$KEY_SETUP_ADDR, %ax
	call	read_number
	movl	%eax, %ebx
	movw	$KEY_CMDLINE_ADDR, %ax
	call	read_number
	subl	%ebx, %eax
	subl	$16, %eax
	shrl	$4, %ebx
	cli
	movw	%bx, %ss
	movl	%eax, %esp
	movw	%bx, %ds
	movw	%bx, %es
	movw	%bx, %fs
	movw	%bx, %gs
	addw	$0x20, %bx
	pushw	%bx
	pushw	$0
	xorl	%eax, %eax
	xorl	%ebx, %ebx
	xorl	%ecx, %ecx
	xorl	%edx, %edx
	xorl	%esi, %esi
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	lret

/* Multiboot Specification, 3.2: flat protected mode at edi; the command line's item is the information. */
multiboot:
	movw	$KEY_CMDLINE_ADDR, %ax
	call	read_number
	movl	%eax, %esi
	xorl	%ecx, %ecx
	movw	%cs, %cx
	shll	$4, %ecx
	leal	gdt(%ecx), %eax
	cli
	pushl	%eax
	pushw	$gdt_end - gdt - 1
	movw	%sp, %bp
	lgdtl	(%bp)
	leal	protected(%ecx), %edx
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	pushl	$8
	pushl	%edx
	lretl
	.code32
protected:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	movl	$0x2badb002, %eax
	movl	%esi, %ebx
	jmp	*%edi
	.balign 8
gdt:
	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_end:

	.balign 512
end:
	.set ROM_BLOCKS, (end - start) / 512
	.section .note.GNU-stack, "", @progbits
