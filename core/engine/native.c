/* SPDX-License-Identifier: MIT */
/* What engines share about the processor that they run on. */
#include <cpuid.h>
#include <string.h>

#include "engine/engine.h"

#define HYGON_EBX 0x6f677948u /* "Hygo": AMD's design */

void engine_native_hypercall(uint8_t insn[3])
{
	static const uint8_t vmcall[3] = { 0x0f, 0x01, 0xc1 }, vmmcall[3] = { 0x0f, 0x01, 0xd9 };
	unsigned eax, ebx = 0, ecx, edx;
	bool amd = __get_cpuid(0, &eax, &ebx, &ecx, &edx) && (ebx == signature_AMD_ebx || ebx == HYGON_EBX);

	memcpy(insn, amd ? vmmcall : vmcall, 3);
}
