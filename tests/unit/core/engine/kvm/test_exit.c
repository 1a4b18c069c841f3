/* SPDX-License-Identifier: MIT */
/* What comes out of a guest, and how it goes on after the answer. */
#include "fake/kvm-rig.h"

/* ---- ports ------------------------------------------------------------------- */

static void ports_of_each_width(void **state)
{
	RIG(r);
	rig_long(r, RIG_BYTES(0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, /* mov $-1, %rax */
	                      0xe6, 0x10,                               /* out %al, $0x10 */
	                      0x66, 0xe7, 0x10,                         /* out %ax, $0x10 */
	                      0xe7, 0x10,                               /* out %eax, $0x10 */
	                      0xe4, 0x20,                               /* in $0x20, %al */
	                      0x48, 0x89, 0xc3,                         /* mov %rax, %rbx */
	                      0x66, 0xe5, 0x20,                         /* in $0x20, %ax */
	                      0x48, 0x89, 0xc1,                         /* mov %rax, %rcx */
	                      0xe5, 0x20, 0xf4));                       /* in $0x20, %eax; hlt */
	rig_wants_out(r, 0x10, 1, 0xff);
	rig_wants_out(r, 0x10, 2, 0xffff);
	rig_wants_out(r, 0x10, 4, 0xffffffff);
	rig_wants_in(r, 0x20, 1, 0x12);
	rig_wants_in(r, 0x20, 2, 0x3456);
	rig_wants_in(r, 0x20, 4, 0x789abcde);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RBX], 0xffffffffffffff12);
	assert_int_equal(r->state.gpr[RCX], 0xffffffffffff3456);
	assert_int_equal(r->state.gpr[RAX], 0x789abcde);
}

static void a_port_read_is_not_done_before_its_answer(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xe4, 0x20, 0xf4)); /* in $0x20, %al; hlt */
	rig_wants_in(r, 0x20, 1, 0x77);
	assert_int_equal(r->exit.rip, RIG_CODE);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE + 3);
	assert_int_equal(r->state.gpr[RAX] & 0xff, 0x77);
}

/* An answer that is given when the vCPU is to pause is in its registers all the same. */
static void a_pause_finds_the_answer_in_place(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xe4, 0x20, 0xf4));
	rig_wants_in(r, 0x20, 1, 0x77);
	atomic_store(&r->attention, ATTN_PAUSE);
	rig_wants(r, EXIT_INTR);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE + 2);
	assert_int_equal(r->state.gpr[RAX] & 0xff, 0x77);
	atomic_store(&r->attention, 0);
	rig_wants(r, EXIT_HLT);
}

static void new_state_leaves_no_trace_of_an_exit(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xe4, 0x20, 0xf4, 0xf4));
	rig_wants_in(r, 0x20, 1, 0x77);
	rig_fetch(r);
	r->state.gpr[RAX] = 0x1122;
	r->state.rip = RIG_CODE; /* the same instruction again */
	rig_set(r);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE);
	assert_int_equal(r->state.gpr[RAX], 0x1122);
	rig_wants_in(r, 0x20, 1, 0x78);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RAX], 0x1178);
}

/* As many elements as the kernel makes of it. */
static void string_part(struct rig *r, bool write, uint16_t *words, unsigned *at)
{
	uint32_t n;

	rig_wants(r, EXIT_PIO);
	n = r->exit.pio.count;
	assert_int_equal(r->exit.pio.port, 0x300);
	assert_int_equal(r->exit.pio.width, 2);
	assert_int_equal(r->exit.pio.write, write);
	assert_in_range(n, 1, 3 - *at);
	if (write)
		memcpy(words + *at, n > 1 ? r->exit.pio.buf : &r->exit.pio.data, n * 2);
	else
		memcpy(n > 1 ? r->exit.pio.buf : &r->exit.pio.data, words + *at, n * 2);
	*at += n;
}

static void strings_come_in_runs(void **state)
{
	static const uint16_t words[3] = { 0x1111, 0x2222, 0x3333 };
	uint16_t got[3] = { 0 }, answers[3] = { 0x1112, 0x2223, 0x3334 };

	RIG(r);
	rig_real(r, RIG_BYTES(0xfc, 0xbe, 0x00, 0x80, 0xb9, 0x03, 0x00, /* cld; mov $0x8000, %si; mov $3, %cx */
	                      0xba, 0x00, 0x03, 0xf3, 0x6f,             /* mov $0x300, %dx; rep outsw */
	                      0xbf, 0x00, 0x81, 0xb9, 0x03, 0x00,       /* mov $0x8100, %di; mov $3, %cx */
	                      0xf3, 0x6d, 0xf4));                       /* rep insw; hlt */
	memcpy(rig_at(r, RIG_DATA), words, sizeof(words));
	for (unsigned i = 0; i < 3;)
		string_part(r, true, got, &i);
	assert_memory_equal(got, words, sizeof(words));
	for (unsigned i = 0; i < 3;)
		string_part(r, false, answers, &i);
	rig_wants(r, EXIT_HLT);
	assert_memory_equal(rig_at(r, RIG_DATA + 0x100), answers, sizeof(answers));
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RCX] & 0xffff, 0);
}

/* ---- MMIO ---------------------------------------------------------------------- */

static void wants_mmio(struct rig *r, uint64_t gpa, uint8_t width, bool write)
{
	rig_wants(r, EXIT_MMIO);
	assert_int_equal(r->exit.mmio.gpa, gpa);
	assert_int_equal(r->exit.mmio.width, width);
	assert_int_equal(r->exit.mmio.write, write);
}

static void mmio_of_each_width(void **state)
{
	RIG(r);
	rig_long(r, RIG_BYTES(0xbb, 0x00, 0x00, 0x00, 0xe0, /* mov $0xe0000000, %ebx */
	                      0xb8, 0x44, 0x33, 0x22, 0x11, /* mov $0x11223344, %eax */
	                      0x88, 0x03, 0x66, 0x89, 0x03, /* mov %al, (%rbx); mov %ax, (%rbx) */
	                      0x89, 0x03, 0x48, 0x89, 0x03, /* mov %eax, (%rbx); mov %rax, (%rbx) */
	                      0x48, 0x8b, 0x4b, 0x08,       /* mov 8(%rbx), %rcx */
	                      0x0f, 0xb6, 0x53, 0x01, 0xf4)); /* movzbl 1(%rbx), %edx; hlt */
	for (uint8_t width = 1; width <= 8; width *= 2) {
		wants_mmio(r, RIG_HOLE, width, true);
		assert_int_equal(r->exit.mmio.data, width == 1 ? 0x44 : width == 2 ? 0x3344 : 0x11223344);
	}
	wants_mmio(r, RIG_HOLE + 8, 8, false);
	r->exit.mmio.data = 0x123456789abcdef0;
	wants_mmio(r, RIG_HOLE + 1, 1, false);
	r->exit.mmio.data = 0x5a;
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RCX], 0x123456789abcdef0);
	assert_int_equal(r->state.gpr[RDX], 0x5a);
}

/* Over a page's end it comes in two parts, and these in powers of two. */
static void mmio_across_pages_is_split(void **state)
{
	static const struct {
		uint64_t gpa;
		uint8_t width;
		uint64_t data;
	} parts[] = { { 0xfff, 1, 0x11 }, { 0x1000, 4, 0x55443322 }, { 0x1004, 2, 0x7766 }, { 0x1006, 1, 0x88 } };

	RIG(r);
	rig_long(r, RIG_BYTES(0xbb, 0xff, 0x0f, 0x00, 0xe0,   /* mov $0xe0000fff, %ebx */
	                      0x48, 0x8b, 0x03, 0xf4));       /* mov (%rbx), %rax; hlt */
	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		wants_mmio(r, RIG_HOLE + parts[i].gpa, parts[i].width, false);
		r->exit.mmio.data = parts[i].data;
	}
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RAX], 0x8877665544332211);
}

/* The first part is answered, the second is not: what is asked for then is no state of the guest's. */
static void a_pause_amid_a_split_access(void **state)
{
	RIG(r);
	rig_long(r, RIG_BYTES(0xbb, 0xfc, 0x0f, 0x00, 0xe0, 0x48, 0x8b, 0x03, 0xf4)); /* mov $0xe0000ffc, %ebx ... */
	wants_mmio(r, RIG_HOLE + 0xffc, 4, false);
	r->exit.mmio.data = 1;
	atomic_store(&r->attention, ATTN_PAUSE);
	rig_wants(r, EXIT_INTR);
	rig_fetch(r); /* has the kernel go on, to the other part */
	assert_int_equal(r->state.rip, RIG_CODE + 5);
	atomic_store(&r->attention, 0);
	wants_mmio(r, RIG_HOLE + 0x1000, 4, false);
	r->exit.mmio.data = 2;
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RAX], 0x200000001);
}

/* ---- MSRs ------------------------------------------------------------------------- */

static void msrs_that_are_not_the_engines(void **state)
{
	static const uint32_t indices[] = { 0x40000000, 0x400000ff, 0x1b, 0x6e0, 0x802, 0x12345678 };

	RIG(r);
	for (unsigned i = 0; i < sizeof(indices) / sizeof(indices[0]); i++) {
		rig_long(r, RIG_BYTES(0x0f, 0x30, 0x0f, 0x32, 0xf4)); /* wrmsr; rdmsr; hlt */
		rig_fetch(r);
		r->state.gpr[RCX] = indices[i];
		r->state.gpr[RAX] = 0x44332211;
		r->state.gpr[RDX] = 0x88776655;
		rig_set(r);
		rig_wants(r, EXIT_WRMSR);
		assert_int_equal(r->exit.rip, RIG_CODE);
		assert_int_equal(r->exit.msr.index, indices[i]);
		/* APIC_BASE must be one that can be: it is passed on to KVM. */
		assert_int_equal(r->exit.msr.value, 0x8877665544332211);
		r->exit.msr.fault = indices[i] == 0x1b;
		if (indices[i] == 0x1b) {
			rig_run(r); /* #GP without a handler */
			continue;
		}
		rig_wants(r, EXIT_RDMSR);
		assert_int_equal(r->exit.msr.index, indices[i]);
		r->exit.msr.value = 0x1020304050607080;
		rig_wants(r, EXIT_HLT);
		rig_fetch(r);
		assert_int_equal(r->state.gpr[RAX], 0x50607080);
		assert_int_equal(r->state.gpr[RDX], 0x10203040);
	}
}

static void an_msr_may_fault(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0x66, 0xb9, 0x00, 0x00, 0x00, 0x40, 0x0f, 0x32, 0xf4)); /* mov $0x40000000, %ecx; rdmsr */
	rig_wants(r, EXIT_RDMSR);
	r->exit.msr.fault = true;
	rig_wants_vector(r, 13);
}

static void the_tsc_is_the_hosts_until_it_is_written(void **state)
{
	uint64_t before, after, seen;

	RIG(r);
	assert_int_equal(engine_kvm.tsc_offset(r->v), 0);
	/* rdtsc; hlt; then a day is added through TSC_ADJUST, read back, and the TSC read */
	rig_long(r, RIG_BYTES(0x0f, 0x31, 0xf4, 0xb9, 0x3b, 0x00, 0x00, 0x00, 0x31, 0xc0, 0xba, 0x00, 0x00, 0x01, 0x00,
	                      0x0f, 0x30, 0x31, 0xd2, 0x0f, 0x32, 0xf4, 0x0f, 0x31, 0xf4));
	before = __builtin_ia32_rdtsc();
	rig_wants(r, EXIT_HLT);
	after = __builtin_ia32_rdtsc();
	rig_fetch(r);
	seen = r->state.gpr[RDX] << 32 | (uint32_t)r->state.gpr[RAX];
	assert_in_range(seen, before - 100000, after + 100000);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.gpr[RDX], 0x10000);
	assert_int_equal(engine_kvm.tsc_offset(r->v), 1ull << 48);
	before = __builtin_ia32_rdtsc() + (1ull << 48);
	rig_wants(r, EXIT_HLT);
	after = __builtin_ia32_rdtsc() + (1ull << 48);
	rig_fetch(r);
	seen = r->state.gpr[RDX] << 32 | (uint32_t)r->state.gpr[RAX];
	/* A KVM without hardware behind it has nothing to add an offset with. */
	if (seen < 1ull << 48)
		skip();
	assert_in_range(seen, before - 100000, after + 100000);
}

static uint64_t read_tsc(struct rig *r, struct engine_vcpu *v)
{
	struct gamut_vcpu_state s = { .size = sizeof(s) };

	assert_int_equal(engine_kvm.vcpu_set(v, &r->state), 0);
	engine_kvm.vcpu_run(v, &r->exit);
	assert_int_equal(r->exit.reason, EXIT_HLT);
	assert_int_equal(engine_kvm.vcpu_get(v, &s), 0);
	return s.gpr[RDX] << 32 | (uint32_t)s.gpr[RAX];
}

/* A vCPU that comes up late has the same TSC as the one that has been running. */
static void all_vcpus_have_one_tsc(void **state)
{
	struct engine_vcpu_env env;
	struct engine_vcpu *other;
	char err[128];

	RIG(r);
	env = r->v->env;
	assert_int_equal(engine_kvm.vcpu_create(r->vm, 1, &env, &other, err, sizeof(err)), 0);
	rig_long(r, RIG_BYTES(0x0f, 0x31, 0xf4)); /* rdtsc; hlt */
	for (unsigned i = 0; i < 5; i++) {
		uint64_t first = __builtin_ia32_rdtsc(), a = read_tsc(r, r->v), b = read_tsc(r, other);
		const struct timespec wait = { .tv_nsec = 20000000 };

		assert_in_range(a, first - 100000, b);
		assert_in_range(b, a, __builtin_ia32_rdtsc() + 100000);
		nanosleep(&wait, NULL);
	}
	engine_kvm.vcpu_destroy(other);
}

static int two_vcpus(void **state)
{
	return rig_setup_cpus(state, 2);
}

/* ---- the end -------------------------------------------------------------------------- */

static void halt_leaves_rip_behind_it(void **state)
{
	RIG(r);
	rig_real(r, RIG_BYTES(0xf4, 0xf4));
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE + 1);
	rig_wants(r, EXIT_HLT);
	rig_fetch(r);
	assert_int_equal(r->state.rip, RIG_CODE + 2);
}

static void *stop_soon(void *opaque)
{
	struct rig *r = opaque;

	sleep(2);
	atomic_fetch_or(&r->attention, ATTN_STOP);
	engine_kvm.vcpu_kick(r->v);
	return NULL;
}

static void triple_fault(void **state)
{
	pthread_t thread;

	RIG(r);
	rig_long(r, RIG_BYTES(0x0f, 0x0b)); /* ud2, with no IDT to speak of */
	rig_fetch(r);
	r->state.idt.limit = 0;
	rig_set(r);
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, r), 0);
	rig_run(r);
	pthread_join(thread, NULL);
	/* Some hosts' KVM goes round and round instead; it can be stopped then. */
	if (r->exit.reason == EXIT_INTR)
		skip();
	assert_int_equal(r->exit.reason, EXIT_SHUTDOWN);
}

static void errors_say_what_happened(void **state)
{
	static const uint8_t bytes[] = { 0x0f, 0xfe, 0xc1 };
	struct kvm_run *run;

	RIG(r);
	rig_real(r, bytes, sizeof(bytes)); /* it is where memory is: else it would be #UD */
	run = r->v->run;
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	run->emulation_failure.ndata = 3;
	run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	run->emulation_failure.insn_size = sizeof(bytes);
	memcpy(run->emulation_failure.insn_bytes, bytes, sizeof(bytes));
	assert_true(kvm_exit_fill(r->v, &r->exit));
	assert_int_equal(r->exit.reason, EXIT_ERROR);
	assert_string_equal(r->exit.error.text, "KVM cannot emulate the instruction 0f fe c1");
	/* More than there is room for is cut. */
	run->emulation_failure.insn_size = 255;
	assert_true(kvm_exit_fill(r->v, &r->exit));
	assert_int_equal(strlen(r->exit.error.text), strlen("KVM cannot emulate the instruction") + 15 * 3);
	run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	run->fail_entry.hardware_entry_failure_reason = 0x80000021;
	assert_true(kvm_exit_fill(r->v, &r->exit));
	assert_non_null(strstr(r->exit.error.text, "0x80000021"));
	run->exit_reason = 4711;
	assert_true(kvm_exit_fill(r->v, &r->exit));
	assert_non_null(strstr(r->exit.error.text, "4711"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(ports_of_each_width),
		RIG_TEST(a_port_read_is_not_done_before_its_answer),
		RIG_TEST(a_pause_finds_the_answer_in_place),
		RIG_TEST(new_state_leaves_no_trace_of_an_exit),
		RIG_TEST(strings_come_in_runs),
		RIG_TEST(mmio_of_each_width),
		RIG_TEST(mmio_across_pages_is_split),
		RIG_TEST(a_pause_amid_a_split_access),
		RIG_TEST(msrs_that_are_not_the_engines),
		RIG_TEST(an_msr_may_fault),
		RIG_TEST(the_tsc_is_the_hosts_until_it_is_written),
		cmocka_unit_test_setup_teardown(all_vcpus_have_one_tsc, two_vcpus, rig_teardown),
		RIG_TEST(halt_leaves_rip_behind_it),
		RIG_TEST(triple_fault),
		RIG_TEST(errors_say_what_happened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
