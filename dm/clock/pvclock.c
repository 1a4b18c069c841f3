/* SPDX-License-Identifier: MIT */
#include "dm/clock/pvclock.h"

#include <string.h>
#include <time.h>

#define NS 1000000000ull

int pvclock_stable(const struct gamut_host *host, struct gamut_inst *inst)
{
	uint64_t tsc0, ns0, tsc, ns;
	uint32_t mul0, mul;
	int8_t shift0, shift;

	host->time_scale(inst, 0, &tsc0, &ns0, &mul0, &shift0);
	for (uint32_t i = 1; i < host->vcpu_count(inst); i++) {
		host->time_scale(inst, i, &tsc, &ns, &mul, &shift);
		if (tsc != tsc0 || ns != ns0 || mul != mul0 || shift != shift0)
			return 0;
	}
	return 1;
}

void pvclock_make(const struct gamut_host *host, struct gamut_inst *inst, uint32_t vcpu, struct pvclock *clock)
{
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;

	host->time_scale(inst, vcpu, &tsc, &ns, &mul, &shift);
	*clock = (struct pvclock){
		.tsc_timestamp = tsc,
		.system_time = ns,
		.tsc_to_system_mul = mul,
		.tsc_shift = shift,
		.flags = pvclock_stable(host, inst) ? PVCLOCK_STABLE : 0,
	};
}

/* Readers retry while the version is odd or has changed. */
void pvclock_publish(struct pvclock *to, const struct pvclock *from, uint32_t version)
{
	const size_t body = offsetof(struct pvclock, tsc_timestamp);

	__atomic_store_n(&to->version, version - 1, __ATOMIC_SEQ_CST);
	memcpy((uint8_t *)to + body, (const uint8_t *)from + body, sizeof(*to) - body);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&to->version, version, __ATOMIC_SEQ_CST);
}

uint64_t pvclock_boot_time(const struct gamut_host *host, struct gamut_inst *inst)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS + (uint64_t)ts.tv_nsec - host->time_now(inst);
}
