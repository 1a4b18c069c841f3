/* SPDX-License-Identifier: MIT */
/* linuxboot.S as it was assembled (CMakeLists.txt). */
	.section .rodata
	.globl linuxboot_rom, linuxboot_rom_end
	.hidden linuxboot_rom, linuxboot_rom_end
	.balign 16
linuxboot_rom:
	.incbin "linuxboot.bin"
linuxboot_rom_end:
	.section .note.GNU-stack, "", @progbits
