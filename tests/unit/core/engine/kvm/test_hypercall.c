/* SPDX-License-Identifier: MIT */
/* Hypercalls: by an OUT of their own, and as KVM reports those of a Xen guest. */
#include "fake/kvm-rig.h"

static const uint8_t out_insn[3] = { 0xe7, 0xea, 0x90 };

/* The VM's hypercall instruction is the OUT, whatever the host could do else. */
static void use_port(struct rig *r)
{
	uint8_t insn[3];

	r->vm->features.xen_hypercalls = false;
	engine_kvm.hypercall_insn(r->vm, insn);
	assert_memory_equal(insn, out_insn, 3);
}

static void the_port_is_a_port_until_it_is_asked_for(void **state)
{
	RIG(r);
	r->vm->features.xen_hypercalls = false;
	rig_long(r, RIG_BYTES(0xe7, 0xea, 0x90, 0xe7, 0xea, 0x90, 0xf4));
	rig_wants_out(r, 0xea, 4, 0);
	use_port(r);
	rig_wants(r, EXIT_HYPERCALL);
}

static void where_kvm_knows_xen_it_is_the_processors(void **state)
{
	uint8_t insn[3], native[3];

	RIG(r);
	r->vm->features.xen_hypercalls = true;
	engine_kvm.hypercall_insn(r->vm, insn);
	engine_native_hypercall(native);
	assert_memory_equal(insn, native, 3);
	assert_false(r->vm->hypercall_port);
}

static void in_long_mode(void **state)
{
	RIG(r);
	use_port(r);
	rig_long(r, RIG_BYTES(0xe7, 0xea, 0x90, 0xf4));
	r->state.gpr[RAX] = 0xffffffff00000011;
	r->state.gpr[RDI] = 1ull << 40;
	r->state.gpr[RSI] = 2;
	r->state.gpr[RDX] = 3;
	r->state.gpr[R10] = 4;
	r->state.gpr[R8] = 5;
	r->state.gpr[R9] = 6;
	rig_set(r);
	rig_wants(r, EXIT_HYPERCALL);
	assert_int_equal(r->exit.rip, RIG_CODE);
	assert_int_equal(r->exit.hypercall.nr, 0xffffffff00000011);
	assert_int_equal(r->exit.hypercall.args[0], 1ull << 40);
	for (unsigned i = 1; i < 6; i++)
		assert_int_equal(r->exit.hypercall.args[i], i + 1);
	assert_int_equal(r->exit.hypercall.cpl, 0);
	assert_true(r->exit.hypercall.long_mode);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE + 2);
	r->exit.hypercall.result = (uint64_t)-38;
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RAX], (uint64_t)-38);
	assert_int_equal(r->state.gpr[RDI], 1ull << 40);
	assert_int_equal(r->state.rip, RIG_CODE + 4);
}

static void in_protected_mode_registers_have_32_bits(void **state)
{
	RIG(r);
	use_port(r);
	rig_long(r, RIG_BYTES(0xe7, 0xea, 0x90, 0xf4));
	r->state.seg[GAMUT_CS].attr = 0xc09b; /* compatibility mode */
	r->state.gpr[RAX] = 0x11;
	r->state.gpr[RBX] = 1;
	r->state.gpr[RBP] = 6;
	rig_set(r);
	rig_wants(r, EXIT_HYPERCALL);
	assert_int_equal(r->exit.hypercall.nr, 0x11);
	assert_int_equal(r->exit.hypercall.args[0], 1);
	assert_int_equal(r->exit.hypercall.args[5], 6);
	assert_false(r->exit.hypercall.long_mode);
	r->exit.hypercall.result = (uint64_t)-1;
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RAX], 0xffffffff);
}

static void restart_runs_it_again_with_its_arguments(void **state)
{
	RIG(r);
	use_port(r);
	rig_long(r, RIG_BYTES(0xe7, 0xea, 0x90, 0xe7, 0xea, 0x90, 0xf4));
	r->state.gpr[RAX] = 7;
	rig_set(r);
	rig_wants(r, EXIT_HYPERCALL);
	for (unsigned i = 1; i < 4; i++) {
		r->exit.hypercall.restart = true;
		for (unsigned k = 0; k < 6; k++)
			r->exit.hypercall.args[k] = 100 * i + k;
		rig_wants(r, EXIT_HYPERCALL);
		assert_int_equal(r->exit.rip, RIG_CODE);
		assert_int_equal(r->exit.hypercall.nr, 7);
		for (unsigned k = 0; k < 6; k++)
			assert_int_equal(r->exit.hypercall.args[k], 100 * i + k);
	}
	r->exit.hypercall.result = 9;
	rig_wants(r, EXIT_HYPERCALL);
	assert_int_equal(r->exit.rip, RIG_CODE + 3);
	assert_int_equal(r->exit.hypercall.nr, 9);
	r->exit.hypercall.result = 0;
	rig_wants(r, EXIT_HLT);
}

static void undefined_raises_ud(void **state)
{
	RIG(r);
	use_port(r);
	rig_long(r, RIG_BYTES(0xe7, 0xea, 0x90, 0xf4));
	rig_wants(r, EXIT_HYPERCALL);
	r->exit.hypercall.undefined = true;
	rig_wants_vector(r, 6);
	assert_int_equal(rig_get64(r, RIG_STACK - 40), RIG_CODE); /* a fault: rip is at the instruction */
}

/* The handler may replace all state, and goes on from there: no instruction is skipped. */
static void new_state_from_the_handler(void **state)
{
	RIG(r);
	use_port(r);
	rig_long(r, RIG_BYTES(0xe7, 0xea, 0x90, 0xf4));
	rig_wants(r, EXIT_HYPERCALL);
	rig_fetch(r);
	r->state.rip = RIG_CODE;
	r->state.gpr[RAX] = 55;
	rig_set(r);
	rig_wants(r, EXIT_HYPERCALL);
	assert_int_equal(r->exit.hypercall.nr, 55);
}

static void other_writes_to_the_port_are_none(void **state)
{
	RIG(r);
	use_port(r);
	rig_real(r, RIG_BYTES(0xba, 0xea, 0x00, 0xe6, 0xea, 0xe7, 0xea, /* mov $0xea, %dx; out %al; out %ax */
	                      0x66, 0xef, 0xe4, 0xea, 0xf4));           /* out %eax, %dx; in %al; hlt */
	rig_wants_out(r, 0xea, 1, 0);
	rig_wants_out(r, 0xea, 2, 0);
	rig_wants_out(r, 0xea, 4, 0);
	rig_wants_in(r, 0xea, 1, 0);
	rig_wants(r, EXIT_HLT);
}

/* ---- KVM_EXIT_XEN, as the kernel would fill it ----------------------------------------------- */

static void as_kvm_reports_them(void **state)
{
	struct kvm_run *run;

	RIG(r);
	rig_long(r, RIG_BYTES(0xf4));
	run = r->v->run;
	run->exit_reason = KVM_EXIT_XEN;
	run->xen.type = KVM_EXIT_XEN_HCALL;
	run->xen.u.hcall.longmode = 1;
	run->xen.u.hcall.cpl = 3;
	run->xen.u.hcall.input = 17;
	for (unsigned i = 0; i < 6; i++)
		run->xen.u.hcall.params[i] = i + 1;
	assert_true(kvm_exit_fill(r->v, &r->exit));
	assert_int_equal(r->exit.reason, EXIT_HYPERCALL);
	assert_int_equal(r->exit.rip, RIG_CODE);
	assert_int_equal(r->exit.hypercall.nr, 17);
	assert_int_equal(r->exit.hypercall.cpl, 3);
	assert_true(r->exit.hypercall.long_mode);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(r->exit.hypercall.args[i], i + 1);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE + 3);
	r->exit.hypercall.result = (uint64_t)-22;
	assert_false(kvm_exit_answer(r->v, &r->exit));
	assert_int_equal(run->xen.u.hcall.result, (uint64_t)-22);
	assert_int_equal(r->v->owed, KVM_OWES_ENTRY);
	/* What is not a hypercall is an error, not a guess. */
	run->xen.type = 99;
	assert_true(kvm_exit_fill(r->v, &r->exit));
	assert_int_equal(r->exit.reason, EXIT_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(the_port_is_a_port_until_it_is_asked_for),
		RIG_TEST(where_kvm_knows_xen_it_is_the_processors),
		RIG_TEST(in_long_mode),
		RIG_TEST(in_protected_mode_registers_have_32_bits),
		RIG_TEST(restart_runs_it_again_with_its_arguments),
		RIG_TEST(undefined_raises_ud),
		RIG_TEST(new_state_from_the_handler),
		RIG_TEST(other_writes_to_the_port_are_none),
		RIG_TEST(as_kvm_reports_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
