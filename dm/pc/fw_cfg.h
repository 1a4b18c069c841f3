/* SPDX-License-Identifier: MIT */
/*
 * The firmware configuration device that SeaBIOS, OVMF and Linux's qemu_fw_cfg
 * know (QEMU, docs/specs/fw_cfg): numbered items and named files that a guest
 * reads through a selector and a data port, or has copied into its memory.
 *
 * Items do not change while the guest runs. Nothing is writable.
 */
#ifndef DM_PC_FW_CFG_H
#define DM_PC_FW_CFG_H

#include <pthread.h>

#include "gamut/pc.h"

#include "gamut/host.h"

#define FW_CFG_PORT 0x510u
#define FW_CFG_PORTS 12u /* selector 2, data 1 (at 1 and 2), DMA address 8 at 4 */
#define FW_CFG_NAME 56u
#define FW_CFG_FILES 128u

enum fw_cfg_key {
	FW_CFG_SIGNATURE = 0x00,
	FW_CFG_ID = 0x01,
	FW_CFG_UUID = 0x02,
	FW_CFG_RAM_SIZE = 0x03,
	FW_CFG_NOGRAPHIC = 0x04,
	FW_CFG_NB_CPUS = 0x05,
	FW_CFG_KERNEL_ADDR = 0x07,
	FW_CFG_KERNEL_SIZE = 0x08,
	FW_CFG_INITRD_ADDR = 0x0a,
	FW_CFG_INITRD_SIZE = 0x0b,
	FW_CFG_NUMA = 0x0d,
	FW_CFG_BOOT_MENU = 0x0e,
	FW_CFG_MAX_CPUS = 0x0f,
	FW_CFG_KERNEL_ENTRY = 0x10,
	FW_CFG_KERNEL_DATA = 0x11,
	FW_CFG_INITRD_DATA = 0x12,
	FW_CFG_CMDLINE_ADDR = 0x13,
	FW_CFG_CMDLINE_SIZE = 0x14,
	FW_CFG_CMDLINE_DATA = 0x15,
	FW_CFG_SETUP_ADDR = 0x16,
	FW_CFG_SETUP_SIZE = 0x17,
	FW_CFG_SETUP_DATA = 0x18,
	FW_CFG_FILE_DIR = 0x19,
	FW_CFG_FILE_FIRST = 0x20,
	FW_CFG_KEYS = FW_CFG_FILE_FIRST + FW_CFG_FILES,
	/* Those of PCs have bit 15 set. */
	FW_CFG_ARCH = 0x8000,
	FW_CFG_IRQ0_OVERRIDE = 0x8002,
	FW_CFG_ARCH_KEYS = 4,
};

struct fw_cfg_item {
	const uint8_t *data;
	uint32_t len;
	uint8_t *owned; /* data, when it is ours to free */
};

struct fw_cfg {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	pthread_mutex_t lock; /* over all below */
	struct fw_cfg_item item[FW_CFG_KEYS + FW_CFG_ARCH_KEYS];
	char name[FW_CFG_FILES][FW_CFG_NAME];
	uint32_t n_files;
	uint32_t selected, offset;
	uint32_t dma_high;
	uint64_t *transfers, *errors; /* counters, of DMA */
	uint64_t *selections;         /* sign: firmware asks */
};

extern const struct gamut_io_ops fw_cfg_ops; /* all of its ports; opaque is the device */
/* What interface() returns for GAMUT_FIRMWARE_CONFIG; self is the struct fw_cfg. */
extern const struct gamut_firmware_config_ops fw_cfg_config_ops;

int fw_cfg_init(struct fw_cfg *f, const struct gamut_host *host, struct gamut_inst *inst);
int fw_cfg_register(struct fw_cfg *f);
/* Nothing is selected; the items stay. */
void fw_cfg_reset(struct fw_cfg *f);
void fw_cfg_finish(struct fw_cfg *f);

/* Replace what the key had. 0; -EINVAL no such key; -ENOMEM. [control] */
int fw_cfg_set(struct fw_cfg *f, uint32_t key, const void *data, uint32_t len); /* copied */
int fw_cfg_set_int(struct fw_cfg *f, uint32_t key, uint64_t value, uint32_t bytes);
int fw_cfg_refer(struct fw_cfg *f, uint32_t key, const void *data, uint32_t len); /* data outlives the device */
/* A file, copied; replace: one of that name may be there. 0; -EEXIST; -EINVAL; -ENOSPC; -ENOMEM. [control] */
int fw_cfg_file(struct fw_cfg *f, const char *name, const void *data, uint32_t len, uint32_t replace);

#endif
