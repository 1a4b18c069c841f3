/* SPDX-License-Identifier: MIT */
/* Facts of a host, a kernel and a build, each from files that the test has made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/elfnote.h>

#include "advise.h"
#include "image/image.h"
#include "preset.h"

static char root[64];

/* Makes a file below root, and the folders that it is in. */
static void put(const char *path, const void *bytes, size_t n)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(full, 0700);
		*p = '/';
	}
	f = fopen(full, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/gamut-test-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- host ---- */

static void an_amd_host(void **state)
{
	struct advise_host h;

	(void)state;
	put_text("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n"
	                          "flags\t\t: fpu svm npt svm_lock\nbugs\t\t: x\n\nprocessor\t: 1\n");
	put_text("/proc/meminfo", "MemTotal:       16777216 kB\nHugePages_Total:      12\nHugePages_Free:        7\n"
	                          "Hugepagesize:       2048 kB\n");
	put_text("/proc/sys/kernel/osrelease", "6.1.0-43-amd64\n");
	put_text("/sys/module/kvm_amd/parameters/nested", "1\n");
	put_text("/sys/kernel/iommu_groups/0/type", "DMA\n");
	put_text("/sys/kernel/iommu_groups/1/type", "DMA\n");
	put_text("/dev/kvm", "");
	advise_host_facts(root, &h);
	assert_string_equal(h.vendor, "AuthenticAMD");
	assert_string_equal(h.model, "AMD EPYC");
	assert_int_equal(h.cpus, 2);
	assert_true(h.svm && h.npt);
	assert_false(h.vmx || h.ept || h.virtual_machine);
	assert_int_equal(h.nested, 1);
	assert_string_equal(h.release, "6.1.0-43-amd64");
	assert_int_equal(h.memory_mib, 16384);
	assert_int_equal(h.huge_kib, 2048);
	assert_int_equal(h.huge_total, 12);
	assert_int_equal(h.huge_free, 7);
	assert_int_equal(h.iommu_groups, 2);
	assert_true(h.kvm_device && h.kvm_allowed);
}

static void an_intel_guest(void **state)
{
	struct advise_host h;

	(void)state;
	put_text("/proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\n"
	                          "flags\t\t: vmx hypervisor\nvmx flags\t: vnmi ept\n");
	put_text("/sys/module/kvm_intel/parameters/nested", "N\n");
	advise_host_facts(root, &h);
	assert_true(h.vmx && h.ept && h.virtual_machine);
	assert_false(h.svm || h.npt);
	assert_int_equal(h.nested, 0);
	assert_false(h.kvm_device || h.kvm_allowed);
}

static void a_host_that_tells_nothing(void **state)
{
	struct advise_host h;

	(void)state;
	advise_host_facts(root, &h);
	assert_int_equal(h.cpus, 0);
	assert_string_equal(h.model, "");
	assert_string_equal(h.release, "");
	assert_int_equal(h.nested, -1);
	assert_int_equal(h.iommu_groups, 0);
}

/* ---- kernel ---- */

#define BANNER "Linux version %s\0Linux version 6.1.0-43-amd64 (debian-kernel@lists.debian.org) #1 SMP"

struct kernel_file {
	Elf64_Ehdr head;
	Elf64_Phdr load, note;
	char data[128];
	uint8_t notes[512];
};

static size_t add_note(struct kernel_file *k, size_t at, uint32_t type, const void *desc, size_t len)
{
	const Elf64_Nhdr nh = { .n_namesz = 4, .n_descsz = (Elf64_Word)len, .n_type = type };

	memcpy(k->notes + at, &nh, sizeof(nh));
	memcpy(k->notes + at + sizeof(nh), "Xen", 4);
	memcpy(k->notes + at + sizeof(nh) + 4, desc, len);
	return at + sizeof(nh) + 4 + ((len + 3) & ~(size_t)3);
}

static void make_kernel(const char *path, const char *banner, size_t banner_len)
{
	struct kernel_file k = { .head = { .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1, .e_phnum = 2 } };
	const uint64_t entry = 0xffffffff81000000ull;
	const uint32_t pvh = 0x1000000, supported = 0x8801;
	size_t n = 0;

	memcpy(k.head.e_ident, ELFMAG "\2\1\1", 7);
	k.head.e_phoff = offsetof(struct kernel_file, load);
	k.head.e_ehsize = sizeof(k.head);
	k.head.e_phentsize = sizeof(k.load);
	memcpy(k.data, banner, banner_len);
	k.load = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = offsetof(struct kernel_file, data), .p_paddr = 0x1000000,
		               .p_filesz = sizeof(k.data), .p_memsz = sizeof(k.data), .p_align = 1 };
	n = add_note(&k, n, XEN_ELFNOTE_ENTRY, &entry, sizeof(entry));
	n = add_note(&k, n, XEN_ELFNOTE_PHYS32_ENTRY, &pvh, sizeof(pvh));
	n = add_note(&k, n, XEN_ELFNOTE_GUEST_OS, "li\033ux", 6);
	/* Linux ends this one without a NUL. */
	n = add_note(&k, n, XEN_ELFNOTE_FEATURES, "!writable_page_tables|pae", 25);
	n = add_note(&k, n, XEN_ELFNOTE_SUPPORTED_FEATURES, &supported, sizeof(supported));
	k.note = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = offsetof(struct kernel_file, notes), .p_filesz = n,
		               .p_memsz = n, .p_align = 4 };
	put(path, &k, sizeof(k));
}

static const char config[] = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.140 Kernel Configuration\n#\n"
			     "CONFIG_XEN_PV=y\nCONFIG_XEN_PVHVM_SMP=y\nCONFIG_VIRTIO_PCI=m\n# CONFIG_XEN_PVH is not set\n";

static void look(const char *path, struct advise_kernel *k, char full[256])
{
	char err[512] = "";

	snprintf(full, 256, "%s%s", root, path);
	assert_int_equal(advise_kernel_facts(full, k, err, sizeof(err)), 0);
}

static void a_kernel(void **state)
{
	struct advise_kernel k;
	char path[256];

	(void)state;
	make_kernel("/vmlinux", BANNER, sizeof(BANNER));
	look("/vmlinux", &k, path);
	assert_string_equal(k.path, path);
	assert_string_equal(k.format, "ELF");
	assert_int_equal(k.bits, 64);
	assert_int_equal(k.modes, IMAGE_MODE_PV | IMAGE_MODE_PVH);
	assert_string_equal(k.version, "6.1.0-43-amd64");
	assert_string_equal(k.guest_os, "li?ux");
	assert_string_equal(k.features, "!writable_page_tables|pae");
	assert_string_equal(k.supported, "writable_page_tables|dom0|linux_rsdp_unrestricted");
	assert_string_equal(k.config, "");
	assert_int_equal(k.options[CONFIG_XEN_PV], OPTION_UNKNOWN);
}

/* The name beside which a configuration is looked for, and the name that it has. */
static void where_a_configuration_lies(void **state)
{
	static const struct {
		const char *kernel, *config;
		bool found;
	} cases[] = {
		{ "/a/vmlinuz", "/a/config", true },
		{ "/b/vmlinuz-1.2-x", "/b/config-1.2-x", true },
		{ "/c/vmlinuz", "/c/config-6.1.0-43-amd64", true },
		{ "/d/vmlinuz-1.2-x", "/d/config-6.1.0-43-amd64", true },
		{ "/e/vmlinuz-1.2-x", "/e/config", false },
		{ "/f/vmlinuz-1.2-x", "/f/config-1.3-x", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct advise_kernel k;
		char path[256], expected[256] = "";

		make_kernel(cases[i].kernel, BANNER, sizeof(BANNER));
		put_text(cases[i].config, config);
		look(cases[i].kernel, &k, path);
		if (cases[i].found)
			snprintf(expected, sizeof(expected), "%s%s", root, cases[i].config);
		assert_string_equal(k.config, expected);
		assert_int_equal(k.options[CONFIG_XEN_PV], cases[i].found ? OPTION_YES : OPTION_UNKNOWN);
		assert_int_equal(k.options[CONFIG_VIRTIO_PCI], cases[i].found ? OPTION_MODULE : OPTION_UNKNOWN);
		assert_int_equal(k.options[CONFIG_XEN_PVH], cases[i].found ? OPTION_NO : OPTION_UNKNOWN);
		/* Neither the option of the longer name nor silence turns one on. */
		assert_int_equal(k.options[CONFIG_XEN_PVHVM], cases[i].found ? OPTION_NO : OPTION_UNKNOWN);
		assert_int_equal(k.options[CONFIG_KVM_GUEST], cases[i].found ? OPTION_NO : OPTION_UNKNOWN);
	}
}

static void what_is_no_configuration(void **state)
{
	struct advise_kernel k;
	char path[256];

	(void)state;
	make_kernel("/a/vmlinux", BANNER, sizeof(BANNER));
	put_text("/a/config", "CONFIG_XEN_PV=y\n");
	look("/a/vmlinux", &k, path);
	assert_string_equal(k.config, "");
	/* A folder of that name, and a kernel that is no Linux. */
	make_kernel("/b/vmlinux", BANNER, sizeof(BANNER));
	put_text("/b/config/x", config);
	look("/b/vmlinux", &k, path);
	assert_string_equal(k.config, "");
	make_kernel("/c/unikernel", "no banner", 9);
	put_text("/c/config", config);
	look("/c/unikernel", &k, path);
	assert_string_equal(k.version, "");
	assert_string_equal(k.config, "");
}

static void a_banner_at_the_very_end(void **state)
{
	struct advise_kernel k;
	char path[256], data[128];

	(void)state;
	memset(data, 'x', sizeof(data));
	memcpy(data + sizeof(data) - 17, "Linux version 6.1", 17);
	make_kernel("/vmlinux", data, sizeof(data));
	look("/vmlinux", &k, path);
	assert_string_equal(k.version, "6.1");
	memcpy(data + sizeof(data) - 14, "Linux version ", 14);
	make_kernel("/vmlinux", data, sizeof(data));
	look("/vmlinux", &k, path);
	assert_string_equal(k.version, "");
}

static void bad_kernels(void **state)
{
	struct advise_kernel k;
	char path[256], err[512] = "";

	(void)state;
	put_text("/text", "This is no kernel.\n");
	snprintf(path, sizeof(path), "%s/text", root);
	assert_int_equal(advise_kernel_facts(path, &k, err, sizeof(err)), -1);
	assert_non_null(strstr(err, "neither an ELF file nor a Linux bzImage"));
	snprintf(path, sizeof(path), "%s/none", root);
	assert_int_equal(advise_kernel_facts(path, &k, err, sizeof(err)), -1);
	assert_non_null(strstr(err, "no such kernel"));
}

/* ---- build ---- */

static const struct advise_build *build_of(const struct advise_facts *facts, const char *mode)
{
	for (size_t i = 0; i < facts->n_builds; i++) {
		if (!strcmp(facts->builds[i].mode, mode))
			return &facts->builds[i];
	}
	return NULL;
}

static void what_a_build_has(void **state)
{
	const char *const dirs[] = { TEST_BUILD_DIR "/tests/abi/fake" };
	struct advise_facts facts = { .n_builds = 0 };
	const struct advise_build *b;
	struct plugin_set plugins;

	(void)state;
	assert_int_equal(plugin_set_init_dirs(&plugins, dirs, 1), 0);
	advise_build_facts(&plugins, &facts);
	assert_int_equal(facts.n_builds, n_presets);
	b = build_of(&facts, "pvh");
	assert_string_equal(b->missing, "");
	assert_string_equal(b->missing_net, "");
	assert_string_equal(b->broken, "");
	assert_true(b->needs.hap);
	assert_false(b->needs.pv_ring3);
	b = build_of(&facts, "hvm");
	assert_non_null(strstr(b->missing, "platform-pc.so"));
	assert_string_equal(b->missing_net, "net-e1000.so");
	plugin_set_finish(&plugins);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_amd_host),
		TEST(an_intel_guest),
		TEST(a_host_that_tells_nothing),
		TEST(a_kernel),
		TEST(where_a_configuration_lies),
		TEST(what_is_no_configuration),
		TEST(a_banner_at_the_very_end),
		TEST(bad_kernels),
		TEST(what_a_build_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
