/* SPDX-License-Identifier: MIT */
#include "trap-rig.h"

#include <xen/callback.h>
#include <xen/nmi.h>

#define BAD (1ull << 47) /* not canonical */

static int64_t set_traps(struct rig *r, const struct trap_info *list, uint32_t n)
{
	r->c->cpu.rip = CODE;
	memcpy(rig_mem + ARG, list, n * sizeof(*list));
	return rig_call(r, __HYPERVISOR_set_trap_table, ARG, 0, 0);
}

static void trap_table(void **state)
{
	struct rig *r = *state;
	const struct trap_info list[] = {
		{ .vector = 3, .flags = 3, .cs = 0x10, .address = 0x1000 },
		{ .vector = 14, .flags = 4, .cs = 0, .address = ENTRY(14) + 1 },
		{ 0 },
		{ .vector = 5, .address = 0x2000 },
	};

	assert_int_equal(set_traps(r, list, 4), 0);
	assert_int_equal(r->v->trap[3].rip, 0x1000);
	assert_int_equal(r->v->trap[3].cs, 0x13);
	assert_int_equal(r->v->trap_dpl[3], 3);
	assert_false(r->v->trap[3].mask);
	assert_int_equal(r->v->trap[14].rip, ENTRY(14) + 1);
	assert_true(r->v->trap[14].mask);
	assert_int_equal(r->v->trap[5].rip, ENTRY(5)); /* behind the end of the list */
	assert_int_equal(r->v->trap[4].rip, ENTRY(4));
	assert_int_equal(rig_call(r, __HYPERVISOR_set_trap_table, 0, 0, 0), 0);
	for (uint32_t i = 0; i < 256; i++)
		assert_true(!r->v->trap[i].rip && !r->v->trap_dpl[i] && !r->v->trap[i].mask);
}

static void trap_table_of_an_enemy(void **state)
{
	struct rig *r = *state;
	const struct trap_info bad[] = { { .vector = 7, .address = 0x1000 }, { .vector = 8, .address = BAD } };
	struct trap_info *endless = (void *)(rig_mem + 0x20000);
	uint64_t n = (RIG_MEM - 0x20000) / sizeof(*endless);

	assert_int_equal(set_traps(r, bad, 2), -EINVAL);
	assert_int_equal(r->v->trap[7].rip, 0x1000);
	assert_int_equal(r->v->trap[8].rip, ENTRY(8));
	r->c->cpu.rip = CODE;
	assert_int_equal(rig_call(r, __HYPERVISOR_set_trap_table, RIG_MEM - 8, 0, 0), -EFAULT);
	for (uint64_t i = 0; i < n; i++)
		endless[i] = (struct trap_info){ .vector = (uint8_t)i, .address = 0x5000 + i };
	r->restarts = 0;
	r->c->cpu.rip = CODE;
	assert_int_equal(rig_call(r, __HYPERVISOR_set_trap_table, 0x20000, 0, 0), -EFAULT);
	assert_int_equal(r->restarts, n / 256); /* it looks up in between */
	assert_int_equal(r->v->trap[(n - 1) % 256].rip, 0x5000 + n - 1);
}

static int64_t reg(struct rig *r, uint16_t type, uint16_t flags, uint64_t address)
{
	const struct callback_register c = { .type = type, .flags = flags, .address = address };

	r->c->cpu.rip = CODE;
	return rig_op(r, __HYPERVISOR_callback_op, CALLBACKOP_register, &c, sizeof(c));
}

static int64_t unreg(struct rig *r, uint16_t type)
{
	const struct callback_unregister c = { .type = type };

	r->c->cpu.rip = CODE;
	return rig_op(r, __HYPERVISOR_callback_op, CALLBACKOP_unregister, &c, sizeof(c));
}

static void callbacks_by_type(void **state)
{
	struct rig *r = *state;
	const struct {
		uint16_t type;
		struct pv_entry *entry;
	} list[] = { { CALLBACKTYPE_event, &r->v->event },       { CALLBACKTYPE_failsafe, &r->v->failsafe },
		     { CALLBACKTYPE_syscall, &r->v->syscall },   { CALLBACKTYPE_sysenter, &r->v->sysenter },
		     { CALLBACKTYPE_syscall32, &r->v->syscall32 } };

	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(reg(r, list[i].type, CALLBACKF_mask_events, 0x1000 + i), 0);
		assert_int_equal(list[i].entry->rip, 0x1000 + i);
		assert_true(list[i].entry->mask);
		assert_int_equal(reg(r, list[i].type, 0, BAD), -EINVAL);
		assert_int_equal(list[i].entry->rip, 0x1000 + i);
		assert_int_equal(reg(r, list[i].type, 0, 0x2000), 0);
		assert_false(list[i].entry->mask);
		assert_int_equal(unreg(r, list[i].type), -EINVAL);
	}
	assert_int_equal(reg(r, CALLBACKTYPE_sysenter_deprecated, 0, 0x1000), -ENOSYS);
	assert_int_equal(reg(r, 8, 0, 0x1000), -ENOSYS);
	assert_int_equal(unreg(r, 0xffff), -ENOSYS);
	assert_int_equal(rig_call(r, __HYPERVISOR_callback_op, 2, ARG, 0), -ENOSYS);
	assert_int_equal(rig_call(r, __HYPERVISOR_callback_op, CALLBACKOP_register, RIG_MEM, 0), -EFAULT);
	assert_int_equal(rig_call(r, __HYPERVISOR_callback_op, CALLBACKOP_unregister, RIG_MEM, 0), -EFAULT);
}

static void nmi_is_entry_two(void **state)
{
	struct rig *r = *state;
	const struct xennmi_callback cb = { .handler_address = 0x3000 }, bad = { .handler_address = BAD };

	assert_int_equal(reg(r, CALLBACKTYPE_nmi, 0, 0x1000), 0);
	assert_int_equal(r->v->trap[PV_NMI].rip, 0x1000);
	assert_true(r->v->trap[PV_NMI].mask);
	assert_int_equal(r->v->trap_dpl[PV_NMI], 0);
	assert_int_equal(unreg(r, CALLBACKTYPE_nmi), 0);
	assert_int_equal(r->v->trap[PV_NMI].rip, 0);
	assert_int_equal(rig_op(r, __HYPERVISOR_nmi_op, XENNMI_register_callback, &cb, sizeof(cb)), 0);
	assert_int_equal(r->v->trap[PV_NMI].rip, 0x3000);
	assert_int_equal(rig_op(r, __HYPERVISOR_nmi_op, XENNMI_register_callback, &bad, sizeof(bad)), -EINVAL);
	assert_int_equal(rig_call(r, __HYPERVISOR_nmi_op, XENNMI_register_callback, RIG_MEM, 0), -EFAULT);
	assert_int_equal(r->v->trap[PV_NMI].rip, 0x3000);
	assert_int_equal(rig_call(r, __HYPERVISOR_nmi_op, XENNMI_unregister_callback, 0, 0), 0);
	assert_int_equal(r->v->trap[PV_NMI].rip, 0);
	assert_int_equal(rig_call(r, __HYPERVISOR_nmi_op, 2, 0, 0), -ENOSYS);
}

static void three_at_once(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rig_call(r, __HYPERVISOR_set_callbacks, 0x1000, BAD, 0x3000), 0);
	assert_int_equal(r->v->event.rip, 0x1000);
	assert_int_equal(r->v->failsafe.rip, ENTRY(301));
	assert_int_equal(r->v->syscall.rip, 0x3000);
}

static void assists(void **state)
{
	struct rig *r = *state;

	for (uint64_t type = 0; type < 64; type++) {
		bool known = type <= VMASST_TYPE_runstate_update_flag || type == VMASST_TYPE_m2p_strict;

		r->result = 0;
		r->c->cpu.rip = CODE;
		assert_int_equal(rig_call(r, __HYPERVISOR_vm_assist, VMASST_CMD_enable, type, 0), known ? 0 : -EINVAL);
	}
	assert_int_equal(r->d.vm_assist, 0x10000001f);
	assert_int_equal(r->calls, 1); /* runstates are another's */
	assert_int_equal(r->last.nr, __HYPERVISOR_vm_assist);
	assert_int_equal(rig_call(r, __HYPERVISOR_vm_assist, VMASST_CMD_disable, VMASST_TYPE_writable_pagetables, 0), 0);
	assert_int_equal(r->d.vm_assist, 0x10000001b);
	assert_int_equal(rig_call(r, __HYPERVISOR_vm_assist, 2, VMASST_TYPE_writable_pagetables, 0), -ENOSYS);
	assert_int_equal(rig_call(r, __HYPERVISOR_vm_assist, VMASST_CMD_enable, 0xffffffff, 0), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(trap_table),    T(trap_table_of_an_enemy), T(callbacks_by_type),
		T(nmi_is_entry_two), T(three_at_once),       T(assists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
