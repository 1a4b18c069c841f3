/* SPDX-License-Identifier: MIT */
/*
 * What a PC of ours has that cannot be found by itself: the root of the PCI
 * bus with its windows and interrupt routing, the devices behind the ISA
 * bridge, and how to turn it off. Addresses are those of dm/pc/.
 */
DefinitionBlock ("dsdt-pc.aml", "DSDT", 2, "Gamut ", "GAMUTPC ", 1)
{
	Name (\_S5, Package () { 0, 0, 0, 0 })

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xff, 0, 0x100)
				IO (Decode16, 0xcf8, 0xcf8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0, 0xcf7, 0, 0xcf8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0xd00, 0xffff, 0, 0xf300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
					0, 0xa0000, 0xbffff, 0, 0x20000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
					0, 0xc0000000, 0xfebfffff, 0, 0x3ec00000)
			})

			/* Pin p of device d is input (d - 1 + p) mod 4, as the bus and the ISA bridge have it. */
			Name (_PRT, Package ()
			{
				Package () { 0x0000ffff, 0, LNKD, 0 }, Package () { 0x0000ffff, 1, LNKA, 0 },
				Package () { 0x0000ffff, 2, LNKB, 0 }, Package () { 0x0000ffff, 3, LNKC, 0 },
				Package () { 0x0001ffff, 0, LNKA, 0 }, Package () { 0x0001ffff, 1, LNKB, 0 },
				Package () { 0x0001ffff, 2, LNKC, 0 }, Package () { 0x0001ffff, 3, LNKD, 0 },
				Package () { 0x0002ffff, 0, LNKB, 0 }, Package () { 0x0002ffff, 1, LNKC, 0 },
				Package () { 0x0002ffff, 2, LNKD, 0 }, Package () { 0x0002ffff, 3, LNKA, 0 },
				Package () { 0x0003ffff, 0, LNKC, 0 }, Package () { 0x0003ffff, 1, LNKD, 0 },
				Package () { 0x0003ffff, 2, LNKA, 0 }, Package () { 0x0003ffff, 3, LNKB, 0 },
				Package () { 0x0004ffff, 0, LNKD, 0 }, Package () { 0x0004ffff, 1, LNKA, 0 },
				Package () { 0x0004ffff, 2, LNKB, 0 }, Package () { 0x0004ffff, 3, LNKC, 0 },
				Package () { 0x0005ffff, 0, LNKA, 0 }, Package () { 0x0005ffff, 1, LNKB, 0 },
				Package () { 0x0005ffff, 2, LNKC, 0 }, Package () { 0x0005ffff, 3, LNKD, 0 },
				Package () { 0x0006ffff, 0, LNKB, 0 }, Package () { 0x0006ffff, 1, LNKC, 0 },
				Package () { 0x0006ffff, 2, LNKD, 0 }, Package () { 0x0006ffff, 3, LNKA, 0 },
				Package () { 0x0007ffff, 0, LNKC, 0 }, Package () { 0x0007ffff, 1, LNKD, 0 },
				Package () { 0x0007ffff, 2, LNKA, 0 }, Package () { 0x0007ffff, 3, LNKB, 0 },
				Package () { 0x0008ffff, 0, LNKD, 0 }, Package () { 0x0008ffff, 1, LNKA, 0 },
				Package () { 0x0008ffff, 2, LNKB, 0 }, Package () { 0x0008ffff, 3, LNKC, 0 },
				Package () { 0x0009ffff, 0, LNKA, 0 }, Package () { 0x0009ffff, 1, LNKB, 0 },
				Package () { 0x0009ffff, 2, LNKC, 0 }, Package () { 0x0009ffff, 3, LNKD, 0 },
				Package () { 0x000affff, 0, LNKB, 0 }, Package () { 0x000affff, 1, LNKC, 0 },
				Package () { 0x000affff, 2, LNKD, 0 }, Package () { 0x000affff, 3, LNKA, 0 },
				Package () { 0x000bffff, 0, LNKC, 0 }, Package () { 0x000bffff, 1, LNKD, 0 },
				Package () { 0x000bffff, 2, LNKA, 0 }, Package () { 0x000bffff, 3, LNKB, 0 },
				Package () { 0x000cffff, 0, LNKD, 0 }, Package () { 0x000cffff, 1, LNKA, 0 },
				Package () { 0x000cffff, 2, LNKB, 0 }, Package () { 0x000cffff, 3, LNKC, 0 },
				Package () { 0x000dffff, 0, LNKA, 0 }, Package () { 0x000dffff, 1, LNKB, 0 },
				Package () { 0x000dffff, 2, LNKC, 0 }, Package () { 0x000dffff, 3, LNKD, 0 },
				Package () { 0x000effff, 0, LNKB, 0 }, Package () { 0x000effff, 1, LNKC, 0 },
				Package () { 0x000effff, 2, LNKD, 0 }, Package () { 0x000effff, 3, LNKA, 0 },
				Package () { 0x000fffff, 0, LNKC, 0 }, Package () { 0x000fffff, 1, LNKD, 0 },
				Package () { 0x000fffff, 2, LNKA, 0 }, Package () { 0x000fffff, 3, LNKB, 0 },
				Package () { 0x0010ffff, 0, LNKD, 0 }, Package () { 0x0010ffff, 1, LNKA, 0 },
				Package () { 0x0010ffff, 2, LNKB, 0 }, Package () { 0x0010ffff, 3, LNKC, 0 },
				Package () { 0x0011ffff, 0, LNKA, 0 }, Package () { 0x0011ffff, 1, LNKB, 0 },
				Package () { 0x0011ffff, 2, LNKC, 0 }, Package () { 0x0011ffff, 3, LNKD, 0 },
				Package () { 0x0012ffff, 0, LNKB, 0 }, Package () { 0x0012ffff, 1, LNKC, 0 },
				Package () { 0x0012ffff, 2, LNKD, 0 }, Package () { 0x0012ffff, 3, LNKA, 0 },
				Package () { 0x0013ffff, 0, LNKC, 0 }, Package () { 0x0013ffff, 1, LNKD, 0 },
				Package () { 0x0013ffff, 2, LNKA, 0 }, Package () { 0x0013ffff, 3, LNKB, 0 },
				Package () { 0x0014ffff, 0, LNKD, 0 }, Package () { 0x0014ffff, 1, LNKA, 0 },
				Package () { 0x0014ffff, 2, LNKB, 0 }, Package () { 0x0014ffff, 3, LNKC, 0 },
				Package () { 0x0015ffff, 0, LNKA, 0 }, Package () { 0x0015ffff, 1, LNKB, 0 },
				Package () { 0x0015ffff, 2, LNKC, 0 }, Package () { 0x0015ffff, 3, LNKD, 0 },
				Package () { 0x0016ffff, 0, LNKB, 0 }, Package () { 0x0016ffff, 1, LNKC, 0 },
				Package () { 0x0016ffff, 2, LNKD, 0 }, Package () { 0x0016ffff, 3, LNKA, 0 },
				Package () { 0x0017ffff, 0, LNKC, 0 }, Package () { 0x0017ffff, 1, LNKD, 0 },
				Package () { 0x0017ffff, 2, LNKA, 0 }, Package () { 0x0017ffff, 3, LNKB, 0 },
				Package () { 0x0018ffff, 0, LNKD, 0 }, Package () { 0x0018ffff, 1, LNKA, 0 },
				Package () { 0x0018ffff, 2, LNKB, 0 }, Package () { 0x0018ffff, 3, LNKC, 0 },
				Package () { 0x0019ffff, 0, LNKA, 0 }, Package () { 0x0019ffff, 1, LNKB, 0 },
				Package () { 0x0019ffff, 2, LNKC, 0 }, Package () { 0x0019ffff, 3, LNKD, 0 },
				Package () { 0x001affff, 0, LNKB, 0 }, Package () { 0x001affff, 1, LNKC, 0 },
				Package () { 0x001affff, 2, LNKD, 0 }, Package () { 0x001affff, 3, LNKA, 0 },
				Package () { 0x001bffff, 0, LNKC, 0 }, Package () { 0x001bffff, 1, LNKD, 0 },
				Package () { 0x001bffff, 2, LNKA, 0 }, Package () { 0x001bffff, 3, LNKB, 0 },
				Package () { 0x001cffff, 0, LNKD, 0 }, Package () { 0x001cffff, 1, LNKA, 0 },
				Package () { 0x001cffff, 2, LNKB, 0 }, Package () { 0x001cffff, 3, LNKC, 0 },
				Package () { 0x001dffff, 0, LNKA, 0 }, Package () { 0x001dffff, 1, LNKB, 0 },
				Package () { 0x001dffff, 2, LNKC, 0 }, Package () { 0x001dffff, 3, LNKD, 0 },
				Package () { 0x001effff, 0, LNKB, 0 }, Package () { 0x001effff, 1, LNKC, 0 },
				Package () { 0x001effff, 2, LNKD, 0 }, Package () { 0x001effff, 3, LNKA, 0 },
				Package () { 0x001fffff, 0, LNKC, 0 }, Package () { 0x001fffff, 1, LNKD, 0 },
				Package () { 0x001fffff, 2, LNKA, 0 }, Package () { 0x001fffff, 3, LNKB, 0 }
			})

			Device (ISA)
			{
				Name (_ADR, 0x00010000)
				OperationRegion (PIRQ, PCI_Config, 0x60, 4)
				Field (PIRQ, ByteAcc, NoLock, Preserve)
				{
					PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8
				}

				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x70, 0x70, 1, 2)
						IRQNoFlags () { 8 }
					})
				}
				Device (KBD)
				{
					Name (_HID, EisaId ("PNP0303"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x60, 0x60, 1, 1)
						IO (Decode16, 0x64, 0x64, 1, 1)
						IRQNoFlags () { 1 }
					})
				}
				Device (MOU)
				{
					Name (_HID, EisaId ("PNP0F13"))
					Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
				}
				Device (DMAC)
				{
					Name (_HID, EisaId ("PNP0200"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x00, 0x00, 1, 0x10)
						IO (Decode16, 0x81, 0x81, 1, 0x0f)
						IO (Decode16, 0xc0, 0xc0, 1, 0x20)
						DMA (Compatibility, NotBusMaster, Transfer8_16) { 4 }
					})
				}
				Device (TIMR)
				{
					Name (_HID, EisaId ("PNP0100"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x40, 0x40, 1, 4)
						IRQNoFlags () { 0 }
					})
				}
				Device (SPKR)
				{
					Name (_HID, EisaId ("PNP0800"))
					Name (_CRS, ResourceTemplate () { IO (Decode16, 0x61, 0x61, 1, 1) })
				}
				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x3f8, 0x3f8, 1, 8)
						IRQNoFlags () { 4 }
					})
				}
				Device (COM2)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 2)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x2f8, 0x2f8, 1, 8)
						IRQNoFlags () { 3 }
					})
				}
			}
		}

		/* The four inputs of the ISA bridge; a register has bit 7 set while its input leads nowhere. */
		Name (LPRS, ResourceTemplate ()
		{
			Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
		})
		Method (LCRS, 1, Serialized)
		{
			Name (BUFF, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, , , INTR) { 0 }
			})
			CreateDWordField (BUFF, INTR._INT, LINE)
			If (!(Arg0 & 0x80))
			{
				LINE = Arg0 & 0x0f
			}
			Return (BUFF)
		}
		Method (LSTA, 1)
		{
			If (Arg0 & 0x80)
			{
				Return (0x09)
			}
			Return (0x0b)
		}
		Device (LNKA)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 0)
			Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQA)) }
			Method (_PRS) { Return (LPRS) }
			Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQA)) }
			Method (_DIS) { \_SB.PCI0.ISA.PRQA |= 0x80 }
			Method (_SRS, 1) { CreateDWordField (Arg0, 5, LINE) \_SB.PCI0.ISA.PRQA = LINE }
		}
		Device (LNKB)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 1)
			Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQB)) }
			Method (_PRS) { Return (LPRS) }
			Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQB)) }
			Method (_DIS) { \_SB.PCI0.ISA.PRQB |= 0x80 }
			Method (_SRS, 1) { CreateDWordField (Arg0, 5, LINE) \_SB.PCI0.ISA.PRQB = LINE }
		}
		Device (LNKC)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 2)
			Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQC)) }
			Method (_PRS) { Return (LPRS) }
			Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQC)) }
			Method (_DIS) { \_SB.PCI0.ISA.PRQC |= 0x80 }
			Method (_SRS, 1) { CreateDWordField (Arg0, 5, LINE) \_SB.PCI0.ISA.PRQC = LINE }
		}
		Device (LNKD)
		{
			Name (_HID, EisaId ("PNP0C0F"))
			Name (_UID, 3)
			Method (_STA) { Return (LSTA (\_SB.PCI0.ISA.PRQD)) }
			Method (_PRS) { Return (LPRS) }
			Method (_CRS) { Return (LCRS (\_SB.PCI0.ISA.PRQD)) }
			Method (_DIS) { \_SB.PCI0.ISA.PRQD |= 0x80 }
			Method (_SRS, 1) { CreateDWordField (Arg0, 5, LINE) \_SB.PCI0.ISA.PRQD = LINE }
		}
	}
}
