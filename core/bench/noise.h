/* SPDX-License-Identifier: MIT */
/* What else the host did while a guest was measured. */
#ifndef BENCH_NOISE_H
#define BENCH_NOISE_H

#include <jansson.h>
#include <stdint.h>

struct noise {
	double load;
	uint64_t spin_ns, steal;
};

/* Before a run, and after it: the object of the results file. */
void noise_begin(struct noise *n);
json_t *noise_end(const struct noise *n);

/* Processor, memory, kernel, ...: `host` of the results file. */
json_t *noise_host(void);

#endif
