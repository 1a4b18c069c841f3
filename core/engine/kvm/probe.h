/* SPDX-License-Identifier: MIT */
/*
 * What is behind /dev/kvm: hardware virtualization, software that emulates
 * ring 0, or nothing.
 */
#ifndef KVM_PROBE_H
#define KVM_PROBE_H

#include <stddef.h>
#include <stdint.h>

enum kvm_kind {
	KVM_NONE,     /* no /dev/kvm, or none that we may use or that works */
	KVM_SOFTWARE, /* ring 0 is emulated; ring 3 may well run natively */
	KVM_HARDWARE,
};

struct kvm_probe {
	enum kvm_kind kind;
	uint32_t insn_ns; /* what an instruction in ring 0 takes; 0: less than one, or not measured */
	char why[160];    /* a phrase: what was found and how */
};

/*
 * Measures, which takes two or three milliseconds, and always comes back, within
 * four seconds even when KVM itself does not. [any]
 */
enum kvm_kind kvm_probe_kind(struct kvm_probe *result);

/* "none", "software", "hardware". */
const char *kvm_kind_name(enum kvm_kind kind);

/*
 * How the probe reaches the host; a test has its own. Negative answers are
 * -errno. Called on a thread of the probe's; when that one never comes back it
 * is left behind, so what opaque points to must stay.
 */
struct kvm_probe_host {
	int (*open)(void *opaque, const char *path);
	void (*close)(void *opaque, int fd);
	int (*ioctl)(void *opaque, int fd, unsigned long request, void *arg);
	void *(*map)(void *opaque, int fd, size_t len); /* NULL: it cannot */
	void (*unmap)(void *opaque, void *at, size_t len);
	uint64_t (*now)(void *opaque); /* ns */
	void *opaque;
	uint32_t patience_ms; /* until a vCPU that does not come back is kicked, and again until it is left behind */
};

enum kvm_kind kvm_probe_kind_on(const struct kvm_probe_host *host, struct kvm_probe *result);

#endif
