/* SPDX-License-Identifier: MIT */
/* What disk and network cost. */
#include "io.h"

uint8_t io_buffer[IO_BYTES] PAGE_ALIGNED;

void measure_io(void)
{
	measure_disk();
	measure_net();
}
