/* SPDX-License-Identifier: MIT */
#include "trap-rig.h"

#define BAD (1ull << 47)
#define OTHER 1

/* As a kernel starts its second vCPU. */
static struct vcpu_guest_context context(void)
{
	struct vcpu_guest_context c;

	memset(&c, 0, sizeof(c));
	c.flags = VGCF_in_kernel | VGCF_syscall_disables_events;
	c.user_regs.rip = 0x3000;
	c.user_regs.rsp = 0x7000;
	c.user_regs.rflags = 0x1000; /* IOPL 1 */
	c.user_regs.cs = FLAT_KERNEL_CS;
	c.user_regs.ss = FLAT_KERNEL_SS;
	c.user_regs.r15 = 15;
	c.user_regs.rax = 1;
	c.user_regs.rdi = 7;
	c.trap_ctxt[3] = (struct trap_info){ .vector = 99, .flags = 7, .cs = 0x10, .address = ENTRY(3) };
	c.trap_ctxt[PV_GP] = (struct trap_info){ .address = ENTRY(PV_GP) };
	c.gdt_frames[0] = 0x44;
	c.gdt_ents = 16;
	c.kernel_ss = 0x18;
	c.kernel_sp = KERNEL_STACK;
	c.ctrlreg[3] = xen_pfn_to_cr3(0x55);
	c.event_callback_eip = ENTRY(300);
	c.failsafe_callback_eip = ENTRY(301);
	c.syscall_callback_eip = ENTRY(302);
	c.fs_base = 0x1234;
	c.gs_base_kernel = KERNEL_GS + 1;
	c.gs_base_user = USER_GS + 1;
	return c;
}

static int64_t vcpu_op(struct rig *r, uint64_t cmd, uint64_t vcpu, const void *arg, uint32_t len)
{
	r->c->cpu.rip = CODE;
	if (arg)
		memcpy(rig_mem + ARG, arg, len);
	return rig_call(r, __HYPERVISOR_vcpu_op, cmd, vcpu, arg ? ARG : 0);
}

static int64_t initialise(struct rig *r, const struct vcpu_guest_context *c)
{
	return vcpu_op(r, VCPUOP_initialise, OTHER, c, sizeof(*c));
}

/* What the host would do when the vCPU first runs: its registers, and ATTENTION. */
static struct rig_cpu *first_run(struct rig *r)
{
	struct rig_cpu *c = &r->cpu[OTHER];
	const struct gamut_vcpu_state *s = &r->f->vcpu[OTHER].state;

	memcpy(c->gpr, s->gpr, sizeof(c->gpr));
	c->cpu.rip = s->rip;
	c->cpu.rflags = s->rflags;
	c->cpu.event = GAMUT_PV_ATTENTION;
	assert_int_equal(pv_fast(&r->d, &c->cpu), GAMUT_PV_SLOW);
	assert_int_equal(pv_slow(&r->d, &c->cpu), GAMUT_PV_RESUME);
	return c;
}

static void first_vcpu(void **state)
{
	struct rig *r = *state;
	const struct gamut_vcpu_state *s = &r->f->vcpu[0].state;

	assert_int_equal(s->rip, CODE);
	assert_int_equal(s->gpr[PV_RSP], STACK);
	assert_int_equal(s->gpr[PV_RSI], 0x7000);
	assert_int_equal(s->rflags, 0x202);
	assert_int_equal(s->cr3, 0x11000);
	assert_int_equal(s->efer, 0xd01);
	assert_int_equal(s->seg[GAMUT_CS].selector, 0xe033);
	assert_int_equal(s->seg[GAMUT_CS].attr, 0xa0fb);
	assert_int_equal(s->seg[GAMUT_SS].selector, 0xe02b);
	assert_int_equal(s->seg[GAMUT_SS].attr, 0xc0f3);
	assert_int_equal(s->seg[GAMUT_DS].attr, 1 << 16);
	assert_int_equal(r->boot_mfn, 0x11);
	assert_int_equal(r->info[1][1], 1);
	assert_int_equal(r->by_monitor, 1);
	assert_int_equal(vcpu_op(r, VCPUOP_initialise, 0, &(struct vcpu_guest_context){ 0 }, 5168), -EEXIST);
}

static void initialise_takes_it_all(void **state)
{
	struct rig *r = *state;
	struct vcpu_guest_context c = context();
	struct pv_vcpu *v = &r->d.vcpu[OTHER];
	struct rig_cpu *cpu;

	c.ctrlreg[0] = PV_CR0_TS;
	c.ctrlreg[1] = xen_pfn_to_cr3(0x66);
	c.debugreg[0] = 0x3000;
	c.debugreg[1] = HYPERVISOR_VIRT_START; /* left out */
	c.debugreg[7] = 1;
	c.ldt_base = 0x9000;
	c.ldt_ents = 4;
	assert_int_equal(initialise(r, &c), 0);
	assert_int_equal(initialise(r, &c), -EEXIST);
	assert_int_equal(r->kernel_mfn, 0x55);
	assert_int_equal(r->user_mfn, 0x66);
	assert_int_equal(r->gdt_first, 0x44);
	assert_int_equal(r->gdt_entries, 16);
	assert_int_equal(r->ldt_va, 0x9000);
	assert_int_equal(r->ldt_entries, 4);
	assert_int_equal(v->trap[3].rip, ENTRY(3)); /* by place, not by vector */
	assert_int_equal(v->trap_dpl[3], 3);
	assert_true(v->trap[3].mask);
	assert_int_equal(v->trap[99].rip, 0);
	assert_int_equal(v->event.rip, ENTRY(300));
	assert_true(v->syscall.mask);
	assert_false(v->failsafe.mask);
	assert_int_equal(v->kernel_ss, 0x1b);
	assert_int_equal(v->kernel_sp, KERNEL_STACK);
	assert_int_equal(v->iopl, 1);
	assert_int_equal(v->other_gs, USER_GS + 1);
	cpu = first_run(r);
	assert_int_equal(cpu->cpu.rip, 0x3000);
	assert_int_equal(cpu->cpu.rflags, 0x202);
	assert_int_equal(cpu->gpr[PV_RSP], 0x7000);
	assert_int_equal(cpu->gpr[15], 15);
	assert_int_equal(cpu->gpr[PV_RAX], 1);
	assert_int_equal(cpu->gpr[PV_RDI], 7);
	assert_int_equal(cpu->base[GAMUT_FS], 0x1234);
	assert_int_equal(cpu->base[GAMUT_GS], KERNEL_GS + 1);
	assert_true(cpu->ts);
	assert_false(cpu->user);
	assert_int_equal(cpu->dr[0], 0x3000);
	assert_int_equal(cpu->dr[1], 0);
	assert_int_equal(cpu->dr[7], 0x401);
	assert_ptr_equal(v->info, r->info[OTHER]);
}

static void initialise_in_user_mode(void **state)
{
	struct rig *r = *state;
	struct vcpu_guest_context c = context();
	struct pv_vcpu *v = &r->d.vcpu[OTHER];

	c.flags = 0;
	assert_int_equal(initialise(r, &c), -EINVAL); /* no tables for it */
	c.ctrlreg[1] = xen_pfn_to_cr3(0x66);
	c.user_regs.fs = 0x63; /* a selector: the bases count for nothing */
	c.user_regs.gs = 0x6b;
	assert_int_equal(initialise(r, &c), 0);
	assert_true(v->user && r->cpu[OTHER].user);
	assert_int_equal(v->other_gs, KERNEL_GS + 1);
	assert_int_equal(r->cpu[OTHER].base[GAMUT_GS], 0);
	first_run(r);
	assert_int_equal(r->cpu[OTHER].sel[GAMUT_FS], 0x63);
	assert_int_equal(r->cpu[OTHER].base[GAMUT_FS], 0x63000);
	assert_int_equal(r->cpu[OTHER].base[GAMUT_GS], 0x6b000);
	assert_int_equal(v->other_gs, KERNEL_GS + 1);
}

static void user_selector_in_the_kernel(void **state)
{
	struct rig *r = *state;
	struct vcpu_guest_context c = context();

	c.user_regs.gs = 0x6b;
	assert_int_equal(initialise(r, &c), 0);
	first_run(r);
	assert_int_equal(r->d.vcpu[OTHER].other_gs, 0x6b000);
	assert_int_equal(r->cpu[OTHER].base[GAMUT_GS], KERNEL_GS + 1);
}

/* Each of these words of the context, made not canonical. */
static void hostile_addresses(void **state)
{
	static const size_t at[] = {
		offsetof(struct vcpu_guest_context, user_regs.rip), offsetof(struct vcpu_guest_context, user_regs.rsp),
		offsetof(struct vcpu_guest_context, kernel_sp), offsetof(struct vcpu_guest_context, ldt_base),
		offsetof(struct vcpu_guest_context, fs_base), offsetof(struct vcpu_guest_context, gs_base_kernel),
		offsetof(struct vcpu_guest_context, gs_base_user),
		offsetof(struct vcpu_guest_context, event_callback_eip),
		offsetof(struct vcpu_guest_context, failsafe_callback_eip),
		offsetof(struct vcpu_guest_context, syscall_callback_eip),
		offsetof(struct vcpu_guest_context, trap_ctxt[0].address),
		offsetof(struct vcpu_guest_context, trap_ctxt[255].address),
	};
	struct rig *r = *state;

	for (uint32_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		struct vcpu_guest_context c = context();
		uint64_t bad = BAD;

		memcpy((char *)&c + at[i], &bad, sizeof(bad));
		assert_int_equal(initialise(r, &c), -EINVAL);
	}
	assert_false(r->d.vcpu[OTHER].initialised);
}

static void hostile_tables(void **state)
{
	struct rig *r = *state;
	struct vcpu_guest_context c = context();

	c.ldt_ents = 8193;
	assert_int_equal(initialise(r, &c), -EINVAL);
	c.ldt_ents = 1;
	c.ldt_base = HYPERVISOR_VIRT_START;
	assert_int_equal(initialise(r, &c), -EINVAL);
	c.ldt_base = HYPERVISOR_VIRT_START - 4096;
	c.ldt_ents = 513;
	assert_int_equal(initialise(r, &c), -EINVAL);
	c.ldt_base = 0x8;
	c.ldt_ents = 1;
	assert_int_equal(initialise(r, &c), -EINVAL);
	c = context();
	c.gdt_ents = FIRST_RESERVED_GDT_ENTRY + 1;
	assert_int_equal(initialise(r, &c), -EINVAL);
	c.gdt_ents = UINT64_MAX;
	assert_int_equal(initialise(r, &c), -EINVAL);
	assert_int_equal(r->gdt_entries, 0);
	c = context();
	r->roots_rc = -EINVAL; /* what was taken before is given back */
	assert_int_equal(initialise(r, &c), -EINVAL);
	assert_int_equal(r->gdt_entries, 0);
	assert_int_equal(r->ldt_entries, 0);
	r->gdt_rc = -EPERM;
	assert_int_equal(initialise(r, &c), -EPERM);
	assert_int_equal(vcpu_op(r, VCPUOP_initialise, OTHER, NULL, 0), -EINVAL); /* address 0: empty, and no mode fits */
	assert_int_equal(rig_call(r, __HYPERVISOR_vcpu_op, VCPUOP_initialise, OTHER, RIG_MEM - 100), -EFAULT);
	assert_false(r->d.vcpu[OTHER].initialised);
	r->roots_rc = r->gdt_rc = 0;
	assert_int_equal(initialise(r, &c), 0);
}

static void up_needs_initialise(void **state)
{
	struct rig *r = *state;
	struct vcpu_guest_context c = context();

	assert_int_equal(vcpu_op(r, VCPUOP_up, OTHER, NULL, 0), -EINVAL);
	assert_int_equal(vcpu_op(r, VCPUOP_up, RIG_VCPUS, NULL, 0), -ENOENT);
	assert_int_equal(r->calls, 0);
	assert_int_equal(initialise(r, &c), 0);
	assert_int_equal(vcpu_op(r, VCPUOP_up, OTHER, NULL, 0), 0);
	assert_int_equal(r->calls, 1);
	assert_int_equal(r->last.args[0], VCPUOP_up);
	assert_int_equal(r->f->vcpu[OTHER].irq_raises, 1);
}

static void online_means_up(void **state)
{
	struct rig *r = *state;
	struct vcpu_guest_context c = context();

	c.flags |= VGCF_online;
	assert_int_equal(initialise(r, &c), 0);
	assert_int_equal(r->last.args[0], VCPUOP_up);
	assert_int_equal(r->last.args[1], OTHER);
}

static void others_are_passed_on(void **state)
{
	struct rig *r = *state;

	r->result = 1;
	assert_int_equal(vcpu_op(r, VCPUOP_is_up, OTHER, NULL, 0), 1);
	assert_int_equal(r->last.args[0], VCPUOP_is_up);
}

/* A request for the page that the rig's vcpu_info is on. */
static int64_t register_info(struct rig *r, uint64_t pages_off)
{
	struct vcpu_register_vcpu_info reg = {
		.mfn = (((uintptr_t)r->info[0] - (uintptr_t)r->d.ram) >> 12) + pages_off,
	};

	return vcpu_op(r, VCPUOP_register_vcpu_info, 0, &reg, sizeof(reg));
}

static void vcpu_info_is_not_on_a_table(void **state)
{
	struct rig *r = *state;

	r->keep_rc = -EINVAL;
	assert_int_equal(register_info(r, 0), -EINVAL);
	assert_int_equal(r->calls, 0);
	assert_ptr_equal(r->v->info, r->info[0]);
	assert_int_equal(rig_call(r, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, RIG_MEM - 4), -EFAULT);
}

static void vcpu_info_refused_is_not_kept(void **state)
{
	struct rig *r = *state;

	r->result = -EBUSY;
	assert_int_equal(register_info(r, 0), -EBUSY);
	assert_int_equal(r->kept, 0);
	assert_ptr_equal(r->v->info, r->info[0]);
}

/* Another vCPU has written to the request in between. */
static void vcpu_info_elsewhere_is_the_end(void **state)
{
	struct rig *r = *state;

	register_info(r, 1);
	assert_int_equal(r->f->ended, GAMUT_END_CRASH);
}

static void vcpu_info_is_taken_anew(void **state)
{
	struct rig *r = *state;
	uint8_t stale[64] = { 1, 0 };

	r->v->info = stale;
	assert_int_equal(register_info(r, 0), 0);
	assert_int_not_equal(r->kept, 0);
	assert_ptr_equal(r->v->info, r->info[0]);
	assert_ptr_equal(r->v->arch, r->info[0] + 16);
	assert_int_equal(r->c->cpu.rip, CODE); /* the old one has no say */
}

/* ---- the first instruction ---- */

static void bad_data_selector_is_failsafe(void **state)
{
	struct rig *r = *state;
	struct vcpu_guest_context c = context();
	struct rig_cpu *cpu;
	uint64_t words[11];

	c.user_regs.ds = 0x2b;
	c.user_regs.es = 0x1000;
	c.user_regs.fs = 0x63;
	c.user_regs.cs = 0x10;
	c.user_regs.rcx = 4;
	c.user_regs.r11 = 5;
	c.flags |= VGCF_failsafe_disables_events;
	r->bad_selector = 0x1000;
	r->info[OTHER][1] = 0;
	assert_int_equal(initialise(r, &c), 0);
	cpu = first_run(r);
	assert_int_equal(cpu->cpu.rip, ENTRY(301));
	assert_int_equal(cpu->gpr[PV_RSP], 0x7000 - sizeof(words));
	memcpy(words, rig_mem + cpu->gpr[PV_RSP], sizeof(words));
	assert_memory_equal(words,
	                    ((uint64_t[]){ 4, 5, 0x2b, 0x1000, 0x63, 0, 0x3000, 0x10, 0x202, 0x7000, FLAT_KERNEL_SS }),
	                    sizeof(words));
	assert_int_equal(r->info[OTHER][1], 1);
	assert_int_equal(cpu->sel[GAMUT_DS], 0x2b);
	assert_int_equal(cpu->sel[GAMUT_ES], 0);
}

static void bad_code_selector_is_a_fault(void **state)
{
	struct rig *r = *state;
	struct vcpu_guest_context c = context();
	struct rig_cpu *cpu;

	c.user_regs.cs = 0x1000;
	r->bad_selector = 0x1000;
	assert_int_equal(initialise(r, &c), 0);
	cpu = first_run(r);
	assert_int_equal(cpu->cpu.rip, ENTRY(PV_GP));
	assert_int_equal(*(uint64_t *)(void *)(rig_mem + cpu->gpr[PV_RSP] + 16), 0x1000);
	assert_int_equal(*(uint64_t *)(void *)(rig_mem + cpu->gpr[PV_RSP] + 24), 0x3000);
}

/* ---- life cycle ---- */

static void boot_again_forgets(void **state)
{
	struct rig *r = *state;
	const struct gamut_pv_boot boot = { .size = sizeof(boot), .root = 0x77, .entry = 0x5000, .stack = 0x6000 };
	struct vcpu_guest_context c = context();

	assert_int_equal(initialise(r, &c), 0);
	r->v->iopl = 3;
	r->d.vm_assist = 1;
	r->v->user = true;
	pv_domain_pause(&r->d);
	assert_int_equal(pv_monitor_ops.boot(&r->d, &boot), 0);
	pv_domain_resume(&r->d);
	assert_int_equal(r->mmu_resets, 1);
	assert_int_equal(r->boot_mfn, 0x77);
	assert_int_equal(r->f->vcpu[0].state.rip, 0x5000);
	assert_int_equal(r->v->iopl, 0);
	assert_false(r->v->user);
	assert_int_equal(r->d.vm_assist, 0);
	assert_int_equal(r->v->trap[14].rip, 0);
	assert_null(r->v->info);
	assert_false(r->d.vcpu[OTHER].initialised);
	assert_int_equal(r->by_monitor, 1);
}

static void needs_its_peers(void **state)
{
	struct rig *r = *state;
	static const struct gamut_xen_intr_ops old = {
		.size = offsetof(struct gamut_xen_intr_ops, upcall_by_monitor)
	};

	r->d.wired = false;
	r->f->n_peers = 0;
	assert_int_equal(pv_domain_start(&r->d), -ENOENT);
	host_fake_give(r->f, GAMUT_XEN_INTERRUPTS, GAMUT_XEN_REVISION, &old, r);
	assert_int_equal(pv_domain_start(&r->d), -ENOENT);
}

static int no_attach(struct gamut_inst *inst, const struct gamut_pv_guest *guest, void *opaque,
                     struct gamut_pv_cpu **cpus)
{
	(void)inst;
	(void)guest;
	(void)opaque;
	(void)cpus;
	return -ENOTSUP;
}

static void needs_its_engine(void **state)
{
	struct rig *r = *state;
	struct pv_domain d;

	r->f->table.pv_attach = no_attach;
	assert_int_equal(pv_domain_init(&d, r->f->host, r->f->inst), -ENOTSUP);
}

static void platform_s_interface(void **state)
{
	struct rig *r = *state;
	uint64_t start, end, max;

	pv_monitor_ops.machphys(&r->d, &start, &end, &max);
	assert_true(start == 1 && end == 2 && max == 3);
	assert_int_equal(pv_monitor_ops.page_free(&r->d, 5), 1);
	assert_int_equal(pv_monitor_ops.page_free(&r->d, 6), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(first_vcpu),
		T(initialise_takes_it_all),
		T(initialise_in_user_mode),
		T(user_selector_in_the_kernel),
		T(hostile_addresses),
		T(hostile_tables),
		T(up_needs_initialise),
		T(online_means_up),
		T(others_are_passed_on),
		T(vcpu_info_is_not_on_a_table),
		T(vcpu_info_refused_is_not_kept),
		T(vcpu_info_elsewhere_is_the_end),
		T(vcpu_info_is_taken_anew),
		T(bad_data_selector_is_failsafe),
		T(bad_code_selector_is_a_fault),
		T(boot_again_forgets),
		T(needs_its_peers),
		T(needs_its_engine),
		T(platform_s_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
