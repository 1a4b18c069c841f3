/* SPDX-License-Identifier: MIT */
/*
 * PV guests that misbehave. "pv-hypercalls" calls every hypercall with every
 * subcommand and values that checks like to get wrong, in arguments and in what
 * they point to. Each call has to come back, with an errno or having done no
 * harm, and after every group the guest has to be as alive as before. Left out
 * is what a guest may do to itself: ending, sleeping for good, closing the ports
 * that the test lives on. The other names end their domain.
 *
 * What pointers lead to has nothing mapped on either side, so that a count which
 * is too high ends in a fault and not in this program; and below the image
 * nothing is mapped at all. Frames 0 and 1, which many of the calls may change,
 * have a writable mapping elsewhere, so that they can be no page table; our own
 * table is pinned as what it is.
 */
#include "pv.h"

#define SCRATCH_PAGES 2u
/* Pages of the window, each alone. */
#define START_INFO (WINDOW + 500 * PAGE_BYTES)
#define TABLE      (WINDOW + 504 * PAGE_BYTES)
#define FRAME_0    (WINDOW + 508 * PAGE_BYTES)
#define FRAME_1    (WINDOW + 509 * PAGE_BYTES)

#define EVTCHNOP_RESET_CONT 14u /* which the header keeps for Xen itself */

static uint8_t area[(SCRATCH_PAGES + 2) * PAGE_BYTES] PAGE_ALIGNED;
static uint8_t *const scratch = area + PAGE_BYTES;
static uint64_t table[512] PAGE_ALIGNED; /* a page table that maps nothing of use */
static uint64_t witness[4 * 512] PAGE_ALIGNED;

static uint64_t values[18];
static unsigned n_values;
static uint32_t port;

/* ---- the call that is going on, for the report when it is the last ------ */

static struct {
	const char *group;
	uint64_t nr, args[6], fill;
	unsigned calls;
	uint64_t traced; /* the hypercall whose calls are printed beforehand */
} now = { .traced = 1ull << 32 };

static void report_call(void)
{
	print("# %s: hypercall %lu (%lx, %lx, %lx, %lx, %lx), scratch %lx, fill %lx\n", now.group, now.nr,
	      now.args[0], now.args[1], now.args[2], now.args[3], now.args[4], (uint64_t)scratch, now.fill);
}

static _Noreturn void fail(const char *what)
{
	print("# %s\n", what);
	report_call();
	probe_end(SHUTDOWN_crash);
}

/* ---- being alive ----------------------------------------------------------- */

static void fill_witness(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(witness); i++)
		witness[i] = i * 0x9e3779b97f4a7c15ull;
}

static bool witness_holds(void)
{
	for (unsigned i = 0; i < ARRAY_LEN(witness); i++)
		if (witness[i] != i * 0x9e3779b97f4a7c15ull)
			return false;
	return true;
}

static void show(uint64_t va, uint64_t mfn, uint64_t rights)
{
	pv_va_mapping(va, mfn * PAGE_BYTES | rights, UVMF_INVLPG | UVMF_ALL);
}

/* What the calls may have set, back to what this program lives with. */
static void restore(void)
{
	static const unsigned assists[] = { 0, 1, 3, 4, 5, VMASST_TYPE_m2p_strict };
	struct xennmi_callback nmi = { .handler_address = (unsigned long)pv_trap_stubs + 32 };

	irq_off();
	pv_callbacks();
	for (unsigned i = 0; i < SCRATCH_PAGES; i++)
		pv_page_rights(scratch + i * PAGE_BYTES, PTE_RW);
	show(START_INFO, frame_of(pv.start), PTE_RW);
	show(TABLE, frame_of(table), PTE_RO);
	pv_va_mapping(0, 0, UVMF_INVLPG | UVMF_ALL);
	pv_ext(MMUEXT_PIN_L1_TABLE, frame_of(table), 0);
	HYPERCALL2(__HYPERVISOR_nmi_op, XENNMI_register_callback, &nmi);
	for (unsigned i = 0; i < 8; i++)
		if (i < 4 || i == 7)
			HYPERCALL2(__HYPERVISOR_set_debugreg, i, 0);
	for (unsigned i = 0; i < 3; i++)
		HYPERCALL2(__HYPERVISOR_set_segment_base, i, 0);
	for (unsigned i = 0; i < ARRAY_LEN(assists); i++)
		HYPERCALL2(__HYPERVISOR_vm_assist, VMASST_CMD_disable, assists[i]);
	HYPERCALL2(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
	HYPERCALL2(__HYPERVISOR_fpu_taskswitch, 0, 0);
	HYPERCALL2(__HYPERVISOR_set_gdt, 0, 0);
	pv_ext(MMUEXT_SET_LDT, 0, 0);
	pv_iopl(1);
}

static void alive(void)
{
	uint32_t before;

	restore();
	HYPERCALL3(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
	memset(probe.shared->evtchn_mask, 0xff, sizeof(probe.shared->evtchn_mask));
	event_mask(port, false);
	before = probe.events[port];
	irq_on();
	event_send(port);
	irq_off();
	if (probe.events[port] != before + 1)
		fail("an event did not come");
	if (!witness_holds())
		fail("memory has changed");
	(void)TRAPS("ud2", "i"(0));
	print("\n# %s: %u calls\n", now.group, now.calls);
	now.calls = 0;
}

/* ---- values ----------------------------------------------------------------- */

static void make_values(void)
{
	uint64_t monitor = *pv_entry_for(pv.l4, HOLE, 4);
	const uint64_t list[] = {
		~0ull,
		0,
		1,
		(uint64_t)scratch + SCRATCH_PAGES * PAGE_BYTES - 3, /* unaligned, and runs out of the area */
		NONCANONICAL,
		HOLE,
		0xffff87fffffffff8ull,
		UNMAPPED,
		1ull << 40, /* no frame */
		monitor & PTE_P ? PTE_MFN(monitor) : 1ull << 30,
		frame_of(table),
		TABLE,
		pv_machine(table),
		START_INFO,
		(uint64_t)scratch,
		0x7fffffffffffffffull,
		0x80000000,
		0xffffffff,
	};

	n_values = ARRAY_LEN(list);
	memcpy(values, list, sizeof(list));
}

/* Every word the same; and, in variants, a domain id of our own where structs like to have it. */
#define VARIANTS 3u
static void fill(uint64_t value, unsigned variant)
{
	static const unsigned at[VARIANTS] = { 0, 0, 24 };
	uint64_t *words = (uint64_t *)scratch;

	now.fill = value;
	for (unsigned i = 0; i < SCRATCH_PAGES * PAGE_BYTES / 8; i++)
		words[i] = value;
	if (variant)
		*(uint16_t *)(scratch + at[variant]) = DOMID_SELF;
}

/* ---- what a guest may do to itself -------------------------------------------- */

static bool ends_port(const uint64_t *args)
{
	uint32_t op = (uint32_t)args[0], first = *(uint32_t *)scratch;

	if (op == EVTCHNOP_reset || op == EVTCHNOP_RESET_CONT)
		return true;
	if (op != EVTCHNOP_close)
		return false;
	if (args[1] != (uint64_t)scratch)
		first = args[1] == START_INFO ? *(uint32_t *)START_INFO : 0;
	return (probe.shim && !first) || first == port || first == probe.console_port || first == probe.store_port;
}

/* A place to write to, again and again, that is in this program and not in the area: where it is depends on the layout. */
static bool gives_away(uint32_t op)
{
	uint64_t place = *(uint64_t *)scratch;

	if (op != VCPUOP_register_runstate_memory_area && op != VCPUOP_register_vcpu_time_memory_area)
		return false;
	if (place < (uint64_t)image_start || place >= (uint64_t)image_end)
		return false;
	return place < (uint64_t)area || place >= (uint64_t)area + sizeof(area);
}

/* Calls that end the guest, put it to sleep, or move what it stands on, and rightly. */
static bool suicidal(uint64_t nr, const uint64_t *args)
{
	uint32_t op = (uint32_t)args[0];

	switch (nr) {
	case __HYPERVISOR_iret:
		return true;
	case __HYPERVISOR_sched_op:
	case __HYPERVISOR_sched_op_compat:
		return op == SCHEDOP_block || op == SCHEDOP_shutdown || op == SCHEDOP_poll ||
		       op == SCHEDOP_remote_shutdown || op == SCHEDOP_watchdog;
	case __HYPERVISOR_vcpu_op:
		return op == VCPUOP_down || gives_away(op) || (op == VCPUOP_register_vcpu_info && now.fill < 2);
	case __HYPERVISOR_event_channel_op:
	case __HYPERVISOR_event_channel_op_compat:
		return ends_port(args);
	default:
		return false;
	}
}

static void call(uint64_t nr, const uint64_t args[6])
{
	int64_t rc;

	if (suicidal(nr, args))
		return;
	now.nr = nr;
	memcpy(now.args, args, sizeof(now.args));
	now.calls++;
	if (nr == now.traced)
		report_call();
	rc = hypercall_raw(nr, args);
	if (rc < -1000 && nr != __HYPERVISOR_get_debugreg) {
		print("# result %lx\n", rc);
		fail("a result that is no errno");
	}
}

/* ---- groups -------------------------------------------------------------------- */

/* op, pointer, count: every op, wherever the pointer leads, and with everything behind a good one. */
static void by_op(unsigned nr)
{
	static const uint64_t odd[] = { 0x80000000, 0xffffffff, ~0ull, 0x100000001ull };
	uint64_t op;

	for (unsigned i = 0; i < 48 + ARRAY_LEN(odd); i++) {
		op = i < 48 ? i : odd[i - 48];
		for (unsigned v = 0; v < n_values; v++) {
			fill(values[v], 0);
			call(nr, (uint64_t[6]){ op, values[v], values[(v + i) % n_values], values[v], values[v], 0 });
		}
		for (unsigned v = 0; v < n_values * VARIANTS; v++) {
			fill(values[v / VARIANTS], v % VARIANTS);
			call(nr, (uint64_t[6]){ op, (uint64_t)scratch, 1, (uint64_t)scratch, 0, 0 });
			call(nr, (uint64_t[6]){ op, 0, (uint64_t)scratch, values[v / VARIANTS], 0, 0 });
		}
		restore();
	}
}

/* Up to four arguments, all of them anything. */
static void by_value(unsigned nr)
{
	for (unsigned a = 0; a < n_values; a++)
		for (unsigned b = 0; b < n_values; b++) {
			fill(values[b], b % VARIANTS);
			call(nr, (uint64_t[6]){ values[a], values[b], values[(a + b) % n_values], values[a],
			                        values[b], ~0ull });
			call(nr, (uint64_t[6]){ values[a], values[b], 0, DOMID_SELF, 0, 0 });
			call(nr, (uint64_t[6]){ a, values[b], values[a], 0, 0, 0 });
			restore();
		}
}

/* Lists of requests: type, frame and value; then the list itself, its length and where the count goes. */
static void mmu_requests(unsigned nr)
{
	struct mmu_update *u = (struct mmu_update *)scratch;

	for (unsigned i = 0; i < 4 * n_values * n_values; i++) {
		u->ptr = (values[i / 4 % n_values] & ~3ull) | (i % 4);
		u->val = values[i / 4 / n_values] | (i % 8 < 4 ? PTE_RW : 0);
		now.fill = u->val;
		call(nr, (uint64_t[6]){ (uint64_t)u, 1, 0, DOMID_SELF, 0, 0 });
		u->ptr = pv_machine(&table[i % 512]) | (i % 4);
		call(nr, (uint64_t[6]){ (uint64_t)u, 1, (uint64_t)&u->val, DOMID_SELF, 0, 0 });
	}
}

static void ext_requests(unsigned nr)
{
	struct mmuext_op *u = (struct mmuext_op *)scratch;

	for (unsigned cmd = 0; cmd < 36; cmd++) {
		for (unsigned i = 0; i < n_values * n_values; i++) {
			*u = (struct mmuext_op){
				.cmd = cmd < 32 ? cmd : 1u << (cmd - 4),
				.arg1.mfn = values[i % n_values],
				.arg2.src_mfn = values[i / n_values],
			};
			now.fill = cmd;
			call(nr, (uint64_t[6]){ (uint64_t)u, 1, 0, DOMID_SELF, 0, 0 });
		}
		restore();
	}
}

static void by_list(unsigned nr)
{
	if (nr == __HYPERVISOR_mmu_update)
		mmu_requests(nr);
	else
		ext_requests(nr);
	for (unsigned i = 0; i < n_values * n_values; i++) {
		uint64_t a = values[i % n_values], b = values[i / n_values];

		fill(b, 0);
		call(nr, (uint64_t[6]){ a, b, 0, DOMID_SELF, 0, 0 });
		call(nr, (uint64_t[6]){ (uint64_t)scratch, a, b, DOMID_SELF, 0, 0 });
		call(nr, (uint64_t[6]){ (uint64_t)scratch, 2, a, b, 0, 0 });
		call(nr, (uint64_t[6]){ (uint64_t)scratch, ~0u, (uint64_t)scratch, DOMID_SELF, 0, 0 });
		restore();
	}
}

/* The list that is being run is one of its own calls, and so on. */
static void nested(unsigned nr)
{
	struct multicall_entry *list = (struct multicall_entry *)scratch;
	static const unsigned inner[] = {
		__HYPERVISOR_multicall,
		__HYPERVISOR_set_trap_table,
		__HYPERVISOR_memory_op,
		__HYPERVISOR_console_io,
		__HYPERVISOR_grant_table_op,
		__HYPERVISOR_mmu_update,
		__HYPERVISOR_update_va_mapping,
		63,
		~0u,
	};

	by_value(nr);
	for (unsigned i = 0; i < ARRAY_LEN(inner) * n_values; i++) {
		fill(values[i % n_values], 0);
		for (unsigned k = 0; k < 4; k++)
			list[k] = (struct multicall_entry){
				.op = inner[i / n_values],
				.args = { (uint64_t)list, k + 2, values[i % n_values], DOMID_SELF },
			};
		call(nr, (uint64_t[6]){ (uint64_t)list, 4, 0, 0, 0, 0 });
		call(nr, (uint64_t[6]){ (uint64_t)list, 0xffffffff, 0, 0, 0, 0 });
		restore();
	}
}

static void nothing(unsigned nr)
{
	(void)nr;
}

/* Every number; what is not named here is by_value. */
static void (*const groups[64])(unsigned nr) = {
	[__HYPERVISOR_mmu_update] = by_list,
	[__HYPERVISOR_mmuext_op] = by_list,
	[__HYPERVISOR_multicall] = nested,
	[__HYPERVISOR_iret] = nothing,
	[__HYPERVISOR_sched_op_compat] = by_op,
	[__HYPERVISOR_platform_op] = by_op,
	[__HYPERVISOR_memory_op] = by_op,
	[__HYPERVISOR_event_channel_op_compat] = by_op,
	[__HYPERVISOR_xen_version] = by_op,
	[__HYPERVISOR_console_io] = by_op,
	[__HYPERVISOR_physdev_op_compat] = by_op,
	[__HYPERVISOR_grant_table_op] = by_op,
	[__HYPERVISOR_vm_assist] = by_op,
	[__HYPERVISOR_vcpu_op] = by_op,
	[__HYPERVISOR_xsm_op] = by_op,
	[__HYPERVISOR_nmi_op] = by_op,
	[__HYPERVISOR_sched_op] = by_op,
	[__HYPERVISOR_callback_op] = by_op,
	[__HYPERVISOR_xenoprof_op] = by_op,
	[__HYPERVISOR_event_channel_op] = by_op,
	[__HYPERVISOR_physdev_op] = by_op,
	[__HYPERVISOR_hvm_op] = by_op,
	[__HYPERVISOR_sysctl] = by_op,
	[__HYPERVISOR_domctl] = by_op,
	[__HYPERVISOR_kexec_op] = by_op,
	[__HYPERVISOR_argo_op] = by_op,
	[__HYPERVISOR_xenpmu_op] = by_op,
	[__HYPERVISOR_dm_op] = by_op,
	[__HYPERVISOR_hypfs_op] = by_op,
};

static bool prepare(void)
{
	struct evtchn_bind_ipi bind = { .vcpu = 0 };

	fill_witness();
	if (event_op(EVTCHNOP_bind_ipi, &bind) != 0 || pv_page_rights(table, PTE_RO) != 0 ||
	    pv_ext(MMUEXT_PIN_L1_TABLE, frame_of(table), 0) != 0)
		return false;
	port = bind.port;
	probe.shrug = true;
	make_values();
	show(FRAME_0, pv.p2m[0], PTE_RW);
	show(FRAME_1, pv.p2m[1], PTE_RW);
	for (uint64_t va = 0; va < 0x100000; va += PAGE_BYTES)
		pv_va_mapping(va, 0, UVMF_INVLPG | UVMF_ALL);
	pv_va_mapping((uint64_t)area, 0, UVMF_INVLPG | UVMF_ALL);
	return pv_va_mapping((uint64_t)scratch + SCRATCH_PAGES * PAGE_BYTES, 0, UVMF_INVLPG | UVMF_ALL) == 0;
}

static void every_hypercall(void)
{
	static const uint64_t odd[] = { 64, 0xff, 0x80000000, 0xffffffff, ~0ull, 0x100000011ull };
	char name[24];

	if (!prepare())
		fail("cannot begin");
	probe.on_fatal = report_call;
	if (cmdline_word("trace="))
		now.traced = parse_uint(cmdline_word("trace="));
	now.group = name;
	for (unsigned nr = 0; nr < 64; nr++) {
		format_to(name, sizeof(name), "hypercall %u", nr);
		(groups[nr] ? groups[nr] : by_value)(nr);
		alive();
	}
	format_to(name, sizeof(name), "hypercall 64 and up");
	for (unsigned i = 0; i < ARRAY_LEN(odd); i++)
		for (unsigned v = 0; v < n_values; v++)
			call(odd[i],
			     (uint64_t[6]){ values[v], values[v], values[v], values[v], values[v], values[v] });
	alive();
}

/* ---- page tables --------------------------------------------------------------- */

static uint64_t seed = 0x2545f4914f6cdd1dull;

/* A frame of a table of ours, of another page, of nobody, or just a number. */
static uint64_t some_frame(uint64_t r)
{
	const void *const ours[] = { window_l1, window_l2, window_l3, table, witness, area };

	switch (r % 4) {
	case 0:
		return r >> 8 & 0xffffffffff;
	case 1:
		return pv.p2m[(r >> 8) % pv.start->nr_pages];
	case 2:
		return r >> 8 & 1 ? pv.l4 : pv.user_l4;
	default:
		return frame_of(ours[(r >> 8) % ARRAY_LEN(ours)]);
	}
}

static bool is_table(uint64_t mfn)
{
	return mfn == frame_of(window_l1) || mfn == frame_of(window_l2) || mfn == frame_of(window_l3) ||
	       mfn == frame_of(table) || mfn == pv.l4 || mfn == pv.user_l4;
}

/* Random entries in the window's tables, by every way: none may make a table writable. */
static void updates(void)
{
	uint64_t r, value, *entry;

	if (!prepare())
		fail("cannot begin");
	now.group = "updates";
	HYPERCALL2(__HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
	for (unsigned i = 0; i < 40000; i++) {
		r = random_next(&seed);
		entry = r & 7 ? &window_l1[r >> 8 & 511] : &window_l2[1 + (r >> 8) % 511];
		value = some_frame(random_next(&seed)) << 12 | (random_next(&seed) & 0x8000000000000fffull);
		now.calls++;
		switch (r >> 3 & 3) {
		case 0:
			(void)TRAPS("movq %[v], (%[p])", [p] "r"(entry), [v] "r"(value));
			break;
		case 1:
			pv_va_mapping(WINDOW + (r >> 8 & 511) * PAGE_BYTES, value, r >> 20 & 7);
			entry = &window_l1[r >> 8 & 511];
			break;
		default:
			pv_update(entry, r >> 5 & 1 ? MMU_PT_UPDATE_PRESERVE_AD : MMU_NORMAL_PT_UPDATE, value);
		}
		if ((*entry & (PTE_P | PTE_W)) == (PTE_P | PTE_W) && entry < window_l1 + 512 && entry >= window_l1 &&
		    is_table(PTE_MFN(*entry)))
			fail("a table is mapped writable");
	}
	alive();
}

/* ---- those that end their domain -------------------------------------------------- */

static void iret_garbage(void)
{
	static struct iret_context c;

	memset(&c, 0xff, sizeof(c));
	pv_iret_raw(&c);
}

static void iret_hole(void)
{
	pv_iret_raw((const void *)HOLE);
}

static void iret_unmapped(void)
{
	pv_iret_raw((const void *)UNMAPPED);
}

static void iret_noncanonical(void)
{
	pv_iret_raw((const void *)NONCANONICAL);
}

void user_ud2(void);

static void no_kernel_stack(void)
{
	HYPERCALL2(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, UNMAPPED);
	user_run(user_ud2, 0);
}

static void kernel_stack_hole(void)
{
	HYPERCALL2(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, HOLE + 0x100000);
	user_run(user_ud2, 0);
}

static void no_user_space(void)
{
	pv_ext(MMUEXT_NEW_USER_BASEPTR, 0, 0);
	user_run(user_ud2, 0);
}

static void no_traps(void)
{
	HYPERCALL2(__HYPERVISOR_set_trap_table, 0, 0);
	__asm__ volatile("ud2");
}

static void traps_at(uint64_t address)
{
	struct trap_info two[] = {
		{ .vector = 6, .flags = 4, .cs = FLAT_KERNEL_CS, .address = address },
		{ .vector = 13, .flags = 4, .cs = FLAT_KERNEL_CS, .address = address },
		{ .vector = 14, .flags = 4, .cs = FLAT_KERNEL_CS, .address = address },
		{ 0 },
	};

	HYPERCALL2(__HYPERVISOR_set_trap_table, two, 0);
	__asm__ volatile("ud2");
}

static void handler_unmapped(void)
{
	traps_at(UNMAPPED);
}

static void handler_hole(void)
{
	traps_at(HOLE + 0x1000);
}

static void handler_noncanonical(void)
{
	traps_at(NONCANONICAL);
}

static void event_unmapped(void)
{
	struct callback_register arg = { .type = CALLBACKTYPE_event, .address = UNMAPPED };
	struct evtchn_bind_ipi bind = { .vcpu = 0 };

	event_op(EVTCHNOP_bind_ipi, &bind);
	event_mask(bind.port, false);
	HYPERCALL2(__HYPERVISOR_callback_op, CALLBACKOP_register, &arg);
	event_send(bind.port);
	irq_on();
}

static void code_unmapped(void)
{
	pv_va_mapping((uint64_t)pv_trap_stubs & ~0xfffull, 0, UVMF_TLB_FLUSH | UVMF_ALL);
	__asm__ volatile("ud2");
}

static void stack_unmapped(void)
{
	__asm__ volatile("movq %0, %%rsp; pushq %%rax" ::"r"(UNMAPPED));
}

static void stack_hole(void)
{
	__asm__ volatile("movq %0, %%rsp; pushq %%rax" ::"r"(HOLE + 0x1000));
}

static void tables_gone(void)
{
	pv_update_at(pv.l4 * PAGE_BYTES, 0);
	pv_ext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0);
}

const struct hostile_mode hostile_pv_modes[] = {
	{ "pv-hypercalls", every_hypercall },
	{ "pv-updates", updates },
	{ "pv-iret-garbage", iret_garbage },
	{ "pv-iret-hole", iret_hole },
	{ "pv-iret-unmapped", iret_unmapped },
	{ "pv-iret-noncanonical", iret_noncanonical },
	{ "pv-no-kernel-stack", no_kernel_stack },
	{ "pv-kernel-stack-hole", kernel_stack_hole },
	{ "pv-no-user-space", no_user_space },
	{ "pv-no-traps", no_traps },
	{ "pv-handler-unmapped", handler_unmapped },
	{ "pv-handler-hole", handler_hole },
	{ "pv-handler-noncanonical", handler_noncanonical },
	{ "pv-event-unmapped", event_unmapped },
	{ "pv-code-unmapped", code_unmapped },
	{ "pv-stack-unmapped", stack_unmapped },
	{ "pv-stack-hole", stack_hole },
	{ "pv-tables-gone", tables_gone },
	{ NULL, NULL },
};
