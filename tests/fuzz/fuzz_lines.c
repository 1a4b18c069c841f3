/* SPDX-License-Identifier: MIT */
/* Any bytes as what a guest prints of its measurements, in pieces: what is taken of them is what
 * core/bench/README.md allows. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bench/lines.h"
#include "fuzz.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_sample(const char *key, const json_t *sample)
{
	static const char *const order[] = { "min", "p25", "median", "p75", "max" };
	const char *space = strchr(key, ' ');
	char name[96];
	double last = 0;

	must(space && (size_t)(space - key) < sizeof(name));
	memcpy(name, key, (size_t)(space - key));
	name[space - key] = 0;
	must(lines_name_ok(name) && lines_unit_ok(space + 1));
	must(json_integer_value(json_object_get(sample, "n")) > 0);
	for (int i = 0; i < 5; i++) {
		double value = json_real_value(json_object_get(sample, order[i]));

		must(value >= last);
		last = value;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t step = size ? data[0] + 1u : 1, used;
	struct lines l;
	const char *key;
	json_t *value;

	must(!lines_init(&l));
	for (size_t at = 0; at < size; at += used) {
		size_t n = size - at < step ? size - at : step;

		lines_feed(&l, (const char *)data + at, n, &used);
		must(used > 0 && used <= n && l.len <= LINES_LENGTH);
	}
	must(l.bytes == size && (l.begun || !l.ended));
	must(l.begun || !(json_object_size(l.samples) + json_object_size(l.skipped)));
	json_object_foreach(l.samples, key, value)
		check_sample(key, value);
	json_object_foreach(l.skipped, key, value)
		must(lines_name_ok(key) && json_is_string(value));
	for (const char *p = l.last; *p; p++)
		must(*p >= ' ' && *p <= '~');
	lines_finish(&l);
	return 0;
}
