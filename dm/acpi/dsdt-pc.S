/* SPDX-License-Identifier: MIT */
/* dsdt-pc.asl as iasl has compiled it (CMakeLists.txt). */
	.section .rodata
	.globl dsdt_pc_aml, dsdt_pc_aml_end
	.hidden dsdt_pc_aml, dsdt_pc_aml_end
	.balign 16
dsdt_pc_aml:
	.incbin "dsdt-pc.aml"
dsdt_pc_aml_end:
	.section .note.GNU-stack, "", @progbits
