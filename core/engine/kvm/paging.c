/* SPDX-License-Identifier: MIT */
/*
 * KVM has one way of paging for all its guests, which is a parameter of the
 * module for the processor's make: kvm_intel's ept, kvm_amd's npt (Linux,
 * Documentation/admin-guide/kernel-parameters.txt). On, guest physical
 * addresses are translated by the processor and nothing shadows the guest's
 * tables. Off, or on processors without it, KVM shadows them.
 *
 * Where neither module is loaded, what stands behind /dev/kvm does without
 * hardware virtualization (kvm_pvm is one): user mode runs on shadows of the
 * guest's tables, as there is nothing else to run it on. Such a KVM is taken
 * for a guest in ring 0 by name alone and with a warning (engine-select.c), and
 * then it is what it is: both words are let through.
 */
#include "engine/kvm/paging.h"

#include <stdio.h>

/* 'Y' or 'N', as a bool or an int of a module says it; 0: there is no such parameter. */
static char parameter(const char *sys, const char *module, const char *name)
{
	char path[256];
	FILE *f;
	int c;

	snprintf(path, sizeof(path), "%s/module/%s/parameters/%s", sys, module, name);
	f = fopen(path, "re");
	if (!f)
		return 0;
	c = fgetc(f);
	fclose(f);
	return c == 'Y' || c == '1' ? 'Y' : c == 'N' || c == '0' ? 'N' : 0;
}

void kvm_paging(const char *sys, struct engine_caps *caps)
{
	static const struct {
		const char *module, *name, *on, *off;
	} makes[] = {
		{ "kvm_intel", "ept", "this host's KVM uses EPT (kvm_intel.ept=1), and shadows no tables",
		  "this host's KVM shadows the guest's tables (kvm_intel.ept=0)" },
		{ "kvm_amd", "npt", "this host's KVM uses NPT (kvm_amd.npt=1), and shadows no tables",
		  "this host's KVM shadows the guest's tables (kvm_amd.npt=0)" },
	};

	caps->hap = caps->shadow = true;
	caps->paging = NULL;
	for (size_t i = 0; i < sizeof(makes) / sizeof(makes[0]); i++) {
		char value = parameter(sys, makes[i].module, makes[i].name);

		if (!value)
			continue;
		caps->hap = value == 'Y';
		caps->shadow = !caps->hap;
		caps->paging = caps->hap ? makes[i].on : makes[i].off;
		return;
	}
}
