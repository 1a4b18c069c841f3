/* SPDX-License-Identifier: MIT */
/* /dev/kvm, what it can do, and one VM of it. */
#include "engine/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define API_VERSION 12
/*
 * Intel's processors without unrestricted guests keep a TSS and a page table of
 * theirs in guest space: four pages, below the 16 MiB that firmware may have.
 */
#define INTEL_IDENTITY 0xfeffc000ull
#define INTEL_TSS 0xfeffd000ul

/* Without these the engine does not work; the kernel that brought each, for the message. */
static const struct {
	uint32_t cap;
	uint32_t bits; /* of its value that must be set; 0: any value but 0 */
	const char *name, *since;
} required[] = {
	{ KVM_CAP_USER_MEMORY, 0, "KVM_CAP_USER_MEMORY", "2.6.25" },
	{ KVM_CAP_SYNC_MMU, 0, "KVM_CAP_SYNC_MMU", "2.6.27" },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 0, "KVM_CAP_DESTROY_MEMORY_REGION_WORKS", "2.6.29" },
	{ KVM_CAP_USER_NMI, 0, "KVM_CAP_USER_NMI", "2.6.29" },
	{ KVM_CAP_EXT_CPUID, 0, "KVM_CAP_EXT_CPUID", "2.6.29" },
	{ KVM_CAP_VCPU_EVENTS, 0, "KVM_CAP_VCPU_EVENTS", "2.6.33" },
	{ KVM_CAP_DEBUGREGS, 0, "KVM_CAP_DEBUGREGS", "2.6.35" },
	{ KVM_CAP_XSAVE, 0, "KVM_CAP_XSAVE", "2.6.36" },
	{ KVM_CAP_XCRS, 0, "KVM_CAP_XCRS", "2.6.36" },
	{ KVM_CAP_READONLY_MEM, 0, "KVM_CAP_READONLY_MEM", "3.7" },
	{ KVM_CAP_IMMEDIATE_EXIT, 0, "KVM_CAP_IMMEDIATE_EXIT", "4.12" },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS, "KVM_CAP_SYNC_REGS", "4.17" },
	{ KVM_CAP_X86_USER_SPACE_MSR, 0, "KVM_CAP_X86_USER_SPACE_MSR", "5.10" },
	{ KVM_CAP_X86_MSR_FILTER, 0, "KVM_CAP_X86_MSR_FILTER", "5.10" },
};

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

static uint32_t extension(int fd, uint32_t cap)
{
	int value = ioctl(fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

	return value < 0 ? 0 : (uint32_t)value;
}

static bool has_required(int fd, char *why, unsigned why_len)
{
	int version = ioctl(fd, KVM_GET_API_VERSION, 0ul);

	if (version != API_VERSION) {
		snprintf(why, why_len, "/dev/kvm speaks version %d of its interface, not %d", version, API_VERSION);
		return false;
	}
	for (unsigned i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		uint32_t value = extension(fd, required[i].cap);

		if (value && (value & required[i].bits) == required[i].bits)
			continue;
		snprintf(why, why_len, "/dev/kvm lacks %s, which Linux has since %s", required[i].name,
		         required[i].since);
		return false;
	}
	return true;
}

/* For tests: GAMUT_KVM_XEN=0 does without what KVM knows of Xen. */
static bool use_xen(int fd)
{
	const char *env = secure_getenv("GAMUT_KVM_XEN");

	return !(env && !strcmp(env, "0")) && (extension(fd, KVM_CAP_XEN_HVM) & KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL);
}

static void read_features(int fd, struct kvm_features *f)
{
	uint32_t slots = extension(fd, KVM_CAP_NR_MEMSLOTS), xsave = extension(fd, KVM_CAP_XSAVE2);

	f->xen_hypercalls = use_xen(fd);
	f->irqchip = extension(fd, KVM_CAP_IRQCHIP) && extension(fd, KVM_CAP_SIGNAL_MSI);
	f->split_irqchip = f->irqchip && extension(fd, KVM_CAP_SPLIT_IRQCHIP);
	f->tsc_offset = extension(fd, KVM_CAP_VCPU_ATTRIBUTES) != 0;
	f->max_vcpus = extension(fd, KVM_CAP_MAX_VCPUS);
	if (!f->max_vcpus)
		f->max_vcpus = 4; /* what the interface promises without the capability */
	f->max_slots = slots ? slots : 32;
	f->xsave_size = xsave > sizeof(struct kvm_xsave) ? xsave : (uint32_t)sizeof(struct kvm_xsave);
}

int kvm_open(struct kvm_features *features, char *why, unsigned why_len)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		int err = errno;

		snprintf(why, why_len, "cannot open /dev/kvm: %s", strerror(err));
		return -err;
	}
	if (!has_required(fd, why, why_len)) {
		close(fd);
		return -ENOTSUP;
	}
	read_features(fd, features);
	return fd;
}

int kvm_vm_enable(struct engine_vm *vm, uint32_t cap, uint64_t arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &enable);
}

/*
 * A guest's vmcall is not to be rewritten into vmmcall in its memory. A
 * refinement: an older kernel goes without.
 */
static void refine(struct engine_vm *vm)
{
	if (extension(vm->fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_FIX_HYPERCALL_INSN)
		kvm_vm_enable(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
}

/*
 * The kernel knows of a Xen guest by the MSR that places its hypercall page:
 * without one it takes the flag and answers hypercalls itself all the same.
 * This MSR is none of the guest's, and a write comes out to us first (msr.c).
 */
static int use_xen_hypercalls(struct engine_vm *vm)
{
	struct kvm_xen_hvm_config config = { .flags = KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL, .msr = KVM_HYPERVISOR_MSR_LAST };

	return vm->features.xen_hypercalls ? kvm_ioctl(vm->fd, KVM_XEN_HVM_CONFIG, &config) : 0;
}

static int place_intel_pages(struct engine_vm *vm)
{
	uint64_t identity = INTEL_IDENTITY;
	int r = 0;

	if (extension(vm->fd, KVM_CAP_SET_IDENTITY_MAP_ADDR))
		r = kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (!r && extension(vm->fd, KVM_CAP_SET_TSS_ADDR))
		r = ioctl(vm->fd, KVM_SET_TSS_ADDR, INTEL_TSS) ? -errno : 0;
	return r;
}

static int make(struct engine_vm *vm)
{
	int r;

	do {
		vm->fd = kvm_ioctl(vm->kvm, KVM_CREATE_VM, NULL);
	} while (vm->fd == -EINTR);
	if (vm->fd < 0)
		return vm->fd;
	refine(vm);
	r = place_intel_pages(vm);
	if (!r)
		r = use_xen_hypercalls(vm);
	return r ? r : kvm_msrs_init(vm);
}

int kvm_vm_remake(struct engine_vm *vm)
{
	int r;

	close(vm->fd);
	kvm_slots_finish(vm);
	r = make(vm);
	return r ? r : kvm_slots_init(vm);
}

int kvm_vm_open(struct engine_vm *vm, struct mem *mem, uint32_t n_vcpus, char *err, unsigned err_len)
{
	int r;

	vm->fd = -1;
	vm->mem = mem;
	vm->n_vcpus = n_vcpus;
	vm->kvm = kvm_open(&vm->features, err, err_len);
	if (vm->kvm < 0)
		return vm->kvm;
	vm->vcpu = calloc(n_vcpus ? n_vcpus : 1, sizeof(struct engine_vcpu *));
	r = vm->vcpu ? make(vm) : -ENOMEM;
	if (!r)
		r = kvm_slots_init(vm);
	if (r)
		snprintf(err, err_len, "/dev/kvm makes no VM: %s", strerror(-r));
	return r;
}

void kvm_vm_close(struct engine_vm *vm)
{
	kvm_slots_finish(vm);
	free(vm->msrs);
	free(vm->vcpu);
	if (vm->fd >= 0)
		close(vm->fd);
	if (vm->kvm >= 0)
		close(vm->kvm);
	*vm = (struct engine_vm){ .kvm = -1, .fd = -1 };
}
