/* SPDX-License-Identifier: MIT */
/* conf/matrix.cfg, for who names no plan. */
	.section .rodata
	.globl bench_default_plan
	.hidden bench_default_plan
bench_default_plan:
	.incbin "matrix.cfg"
	.byte 0
	.section .note.GNU-stack,"",@progbits
