/* SPDX-License-Identifier: MIT */
/* 82540EM: registers by offset in BAR 0 (chapter 13), their bits, and descriptors (chapter 3). */
#ifndef NET_E1000_REG_H
#define NET_E1000_REG_H

#include <stdint.h>

enum e1000_reg {
	E1000_CTRL = 0x0000,
	E1000_STATUS = 0x0008,
	E1000_EECD = 0x0010,
	E1000_EERD = 0x0014,
	E1000_CTRL_EXT = 0x0018,
	E1000_MDIC = 0x0020,
	E1000_FCAL = 0x0028,
	E1000_FCAH = 0x002c,
	E1000_FCT = 0x0030,
	E1000_VET = 0x0038,
	E1000_ICR = 0x00c0,
	E1000_ITR = 0x00c4,
	E1000_ICS = 0x00c8,
	E1000_IMS = 0x00d0,
	E1000_IMC = 0x00d8,
	E1000_RCTL = 0x0100,
	E1000_FCTTV = 0x0170,
	E1000_TXCW = 0x0178,
	E1000_RXCW = 0x0180,
	E1000_TCTL = 0x0400,
	E1000_TIPG = 0x0410,
	E1000_AIT = 0x0458,
	E1000_LEDCTL = 0x0e00,
	E1000_PBA = 0x1000,
	E1000_FCRTL = 0x2160,
	E1000_FCRTH = 0x2168,
	E1000_RDFH = 0x2410, /* five registers of the packet buffer, 8 bytes apart */
	E1000_RDFPC = 0x2430,
	E1000_RDBAL = 0x2800,
	E1000_RDBAH = 0x2804,
	E1000_RDLEN = 0x2808,
	E1000_RDH = 0x2810,
	E1000_RDT = 0x2818,
	E1000_RDTR = 0x2820,
	E1000_RXDCTL = 0x2828,
	E1000_RADV = 0x282c,
	E1000_RSRPD = 0x2c00,
	E1000_TXDMAC = 0x3000,
	E1000_TDFH = 0x3410,
	E1000_TDFPC = 0x3430,
	E1000_TDBAL = 0x3800,
	E1000_TDBAH = 0x3804,
	E1000_TDLEN = 0x3808,
	E1000_TDH = 0x3810,
	E1000_TDT = 0x3818,
	E1000_TIDV = 0x3820,
	E1000_TXDCTL = 0x3828,
	E1000_TADV = 0x382c,
	E1000_TSPMT = 0x3830,
	/* statistics, 13.7 */
	E1000_STATS = 0x4000,
	E1000_MPC = 0x4010,
	E1000_XONRXC = 0x4048,
	E1000_XOFFRXC = 0x4050,
	E1000_FCRUC = 0x4058,
	E1000_PRC64 = 0x405c, /* six sizes follow each other */
	E1000_GPRC = 0x4074,
	E1000_BPRC = 0x4078,
	E1000_MPRC = 0x407c,
	E1000_GPTC = 0x4080,
	E1000_GORCL = 0x4088,
	E1000_GOTCL = 0x4090,
	E1000_RNBC = 0x40a0,
	E1000_RUC = 0x40a4,
	E1000_ROC = 0x40ac,
	E1000_TORL = 0x40c0,
	E1000_TOTL = 0x40c8,
	E1000_TPR = 0x40d0,
	E1000_TPT = 0x40d4,
	E1000_PTC64 = 0x40d8,
	E1000_MPTC = 0x40f0,
	E1000_BPTC = 0x40f4,
	E1000_TSCTC = 0x40f8,
	E1000_TSCTFC = 0x40fc,
	E1000_STATS_END = 0x4100,
	E1000_RXCSUM = 0x5000,
	E1000_MTA = 0x5200,
	E1000_RAL = 0x5400, /* low and high words alternate */
	E1000_RAH = 0x5404,
	E1000_VFTA = 0x5600,
	E1000_WUC = 0x5800,
	E1000_WUFC = 0x5808,
	E1000_WUS = 0x5810,
	E1000_MANC = 0x5820,
	E1000_IPAV = 0x5838,
	E1000_IP4AT = 0x5840,
	E1000_IP6AT = 0x5880,
	E1000_WUPL = 0x5900,
	E1000_WUPM = 0x5a00,
	E1000_FFLT = 0x5f00,
	E1000_REG_END = 0x6000,
};

#define E1000_RA_COUNT 16u

#define CTRL_FD      0x00000001u
#define CTRL_SLU     0x00000040u
#define CTRL_SPEED   0x00000300u
#define CTRL_SPEED_1000 0x00000200u
#define CTRL_RST     0x04000000u
#define CTRL_RFCE    0x08000000u
#define CTRL_VME     0x40000000u
#define CTRL_PHY_RST 0x80000000u

#define STATUS_FD         0x00000001u
#define STATUS_LU         0x00000002u
#define STATUS_TXOFF      0x00000010u
#define STATUS_SPEED_1000 0x00000080u
#define STATUS_ASDV_1000  0x00000200u

#define EECD_SK   0x00000001u
#define EECD_CS   0x00000002u
#define EECD_DI   0x00000004u
#define EECD_DO   0x00000008u
#define EECD_REQ  0x00000040u
#define EECD_GNT  0x00000080u
#define EECD_PRES 0x00000100u
#define EECD_HELD 0x00000077u /* what software sets */

#define EERD_START 0x00000001u
#define EERD_DONE  0x00000010u

#define CTRL_EXT_EE_RST 0x00002000u

#define MDIC_WRITE 0x04000000u
#define MDIC_READ  0x08000000u
#define MDIC_READY 0x10000000u
#define MDIC_IE    0x20000000u
#define MDIC_ERROR 0x40000000u

#define ICR_TXDW    0x00000001u
#define ICR_TXQE    0x00000002u
#define ICR_LSC     0x00000004u
#define ICR_RXDMT0  0x00000010u
#define ICR_RXO     0x00000040u
#define ICR_RXT0    0x00000080u
#define ICR_MDAC    0x00000200u
#define ICR_TXD_LOW 0x00008000u
#define ICR_SRPD    0x00010000u
#define ICR_ALL     0x0001f7dfu

#define RCTL_EN    0x00000002u
#define RCTL_SBP   0x00000004u
#define RCTL_UPE   0x00000008u
#define RCTL_MPE   0x00000010u
#define RCTL_LPE   0x00000020u
#define RCTL_LBM   0x000000c0u
#define RCTL_RDMTS_SHIFT 8
#define RCTL_MO_SHIFT 12
#define RCTL_BAM   0x00008000u
#define RCTL_BSIZE_SHIFT 16
#define RCTL_VFE   0x00040000u
#define RCTL_CFIEN 0x00080000u
#define RCTL_CFI   0x00100000u
#define RCTL_DPF   0x00400000u
#define RCTL_PMCF  0x00800000u
#define RCTL_BSEX  0x02000000u
#define RCTL_SECRC 0x04000000u

#define TCTL_EN  0x00000002u
#define TCTL_PSP 0x00000008u

#define TXDCTL_LWTHRESH_SHIFT 25

#define RDTR_FPD 0x80000000u

#define RXCSUM_PCSS   0x000000ffu
#define RXCSUM_IPOFL  0x00000100u
#define RXCSUM_TUOFL  0x00000200u

#define RAH_AV 0x80000000u
#define RAH_AS 0x00030000u /* 0: destination, 1: source */

/* Receive descriptor, 3.2.3. */
struct e1000_rx_desc {
	uint64_t address;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t special;
};

#define RXD_DD    0x01u
#define RXD_EOP   0x02u
#define RXD_IXSM  0x04u
#define RXD_VP    0x08u
#define RXD_TCPCS 0x20u
#define RXD_IPCS  0x40u
#define RXD_PIF   0x80u

#define RXD_TCPE 0x20u
#define RXD_IPE  0x40u
#define RXD_RXE  0x80u

/* Transmit descriptor of any kind, 3.3. */
struct e1000_tx_desc {
	uint64_t address;
	uint32_t lower, upper;
};

#define TXD_EOP  0x01000000u
#define TXD_IFCS 0x02000000u
#define TXD_TSE  0x04000000u /* legacy: IC */
#define TXD_IC   0x04000000u
#define TXD_RS   0x08000000u
#define TXD_RPS  0x10000000u
#define TXD_DEXT 0x20000000u
#define TXD_VLE  0x40000000u
#define TXD_IDE  0x80000000u
#define TXD_TYPE 0x00f00000u
#define TXD_DATA 0x00100000u
#define TXD_LENGTH_LEGACY 0x0000ffffu
#define TXD_LENGTH 0x000fffffu
#define TXD_DD   0x01u
#define TXD_IXSM 0x0100u /* in upper */
#define TXD_TXSM 0x0200u
#define TUCMD_TCP  0x01000000u
#define TUCMD_IPV4 0x02000000u
#define TUCMD_TSE  0x04000000u

/* The longest buffer of one descriptor, 3.3.6: beyond it the hardware's behaviour is not defined. */
#define TXD_LENGTH_MAX 16288u

#endif
