/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: decodes arbitrary bytes in all modes and checks what must
 * hold whatever they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/bt/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_decode: %s\n", what);
	abort();
}

static void check(const uint8_t *bytes, unsigned len, enum insn_mode mode)
{
	struct insn in, again;

	if (!insn_decode(&in, bytes, len, mode)) {
		require(len < INSN_MAX, "fifteen bytes are enough");
		return;
	}
	require(in.len >= 1 && in.len <= INSN_MAX && (in.len <= len || in.op == OP_NONE), "length");
	require(in.class_ <= CLASS_UD && in.op < OP_COUNT, "class and op");
	require(!(in.fl_written & in.fl_undef), "a flag is defined or undefined");
	require(in.base >= -1 && in.base < 16 && in.index >= -1 && in.index < 16, "registers");
	require(in.class_ == CLASS_UD || !in.lock || (in.attr & ATTR_LOCK_OK), "lock");
	require(!(in.attr & (ATTR_MEM_READ | ATTR_MEM_WRITE)) == !(in.attr & ATTR_MEM), "memory roles");
	/* Exactly its own bytes give the same instruction. */
	if (in.len <= len) {
		require(insn_decode(&again, bytes, in.len, mode), "its own bytes suffice");
		require(!memcmp(&in, &again, sizeof(in)), "bytes after it do not matter");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned len = size - i < INSN_MAX ? (unsigned)(size - i) : INSN_MAX;

		for (int mode = MODE_16; mode <= MODE_64; mode++)
			check(data + i, len, (enum insn_mode)mode);
	}
	return 0;
}
