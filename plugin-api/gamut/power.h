/* SPDX-License-Identifier: MIT */
/*
 * Asking the guest's system to end itself in good order, given by the platform:
 * by the ACPI power button of a PC, by control/shutdown in the xenstore of a
 * Xen guest (Xen's docs/misc/xenstore-paths.pandoc). The core asks it when
 * somebody wants `gamut shutdown`.
 */
#ifndef GAMUT_POWER_H
#define GAMUT_POWER_H

#include "gamut/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define GAMUT_POWER "power"
#define GAMUT_POWER_REVISION 1u

enum gamut_power_request {
	GAMUT_POWER_OFF = 0,
	GAMUT_POWER_REBOOT = 1,
};

struct gamut_power_ops {
	uint32_t size;
	/*
	 * Asks for one of enum gamut_power_request; what comes of it is the
	 * guest's to decide. 0: asked; -EAGAIN: asked, but nobody in the guest
	 * listens as yet; -ENOTSUP: there is no way to ask for that. [control], the
	 * I/O thread parked, vCPUs running.
	 */
	int (*request)(void *self, uint32_t what);
};

#ifdef __cplusplus
}
#endif
#endif
