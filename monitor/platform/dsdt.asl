/*
 * dsdt: what ACPI cannot read from the fixed tables: one PCI bus, its windows and interrupts, the ISA devices, soft-off.
 *
 * PCI interrupts: pin (slot + INTx) mod 4 of I/O APIC 16 to 19; under the PIC lines 10, 11, 10, 11 (pci_interrupts in docs/monitor.md).
 */
DefinitionBlock ("", "DSDT", 2, "RINGMU", "RINGMUR ", 1)
{
	Name (PICF, 0)
	Method (_PIC, 1, NotSerialized)
	{
		PICF = Arg0
	}

	Name (_S5, Package (4) { 5, 5, 0, 0 })

	Scope (_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
				IO (Decode16, 0x0cf8, 0x0cf8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0000, 0x0cf7, 0, 0x0cf8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0d00, 0xffff, 0, 0xf300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
					0, 0xc0000000, 0xfdffffff, 0, 0x3e000000)
			})

			Name (APRT, Package ()
			{
				Package () { 0x0002ffff, 0, 0, 18 }, Package () { 0x0002ffff, 1, 0, 19 },
				Package () { 0x0002ffff, 2, 0, 16 }, Package () { 0x0002ffff, 3, 0, 17 },
				Package () { 0x0003ffff, 0, 0, 19 }, Package () { 0x0003ffff, 1, 0, 16 },
				Package () { 0x0003ffff, 2, 0, 17 }, Package () { 0x0003ffff, 3, 0, 18 },
				Package () { 0x0004ffff, 0, 0, 16 }, Package () { 0x0004ffff, 1, 0, 17 },
				Package () { 0x0004ffff, 2, 0, 18 }, Package () { 0x0004ffff, 3, 0, 19 },
				Package () { 0x0005ffff, 0, 0, 17 }, Package () { 0x0005ffff, 1, 0, 18 },
				Package () { 0x0005ffff, 2, 0, 19 }, Package () { 0x0005ffff, 3, 0, 16 },
				Package () { 0x0006ffff, 0, 0, 18 }, Package () { 0x0006ffff, 1, 0, 19 },
				Package () { 0x0006ffff, 2, 0, 16 }, Package () { 0x0006ffff, 3, 0, 17 },
				Package () { 0x0007ffff, 0, 0, 19 }, Package () { 0x0007ffff, 1, 0, 16 },
				Package () { 0x0007ffff, 2, 0, 17 }, Package () { 0x0007ffff, 3, 0, 18 }
			})
			Name (PPRT, Package ()
			{
				Package () { 0x0002ffff, 0, 0, 10 }, Package () { 0x0002ffff, 1, 0, 11 },
				Package () { 0x0002ffff, 2, 0, 10 }, Package () { 0x0002ffff, 3, 0, 11 },
				Package () { 0x0003ffff, 0, 0, 11 }, Package () { 0x0003ffff, 1, 0, 10 },
				Package () { 0x0003ffff, 2, 0, 11 }, Package () { 0x0003ffff, 3, 0, 10 },
				Package () { 0x0004ffff, 0, 0, 10 }, Package () { 0x0004ffff, 1, 0, 11 },
				Package () { 0x0004ffff, 2, 0, 10 }, Package () { 0x0004ffff, 3, 0, 11 },
				Package () { 0x0005ffff, 0, 0, 11 }, Package () { 0x0005ffff, 1, 0, 10 },
				Package () { 0x0005ffff, 2, 0, 11 }, Package () { 0x0005ffff, 3, 0, 10 },
				Package () { 0x0006ffff, 0, 0, 10 }, Package () { 0x0006ffff, 1, 0, 11 },
				Package () { 0x0006ffff, 2, 0, 10 }, Package () { 0x0006ffff, 3, 0, 11 },
				Package () { 0x0007ffff, 0, 0, 11 }, Package () { 0x0007ffff, 1, 0, 10 },
				Package () { 0x0007ffff, 2, 0, 11 }, Package () { 0x0007ffff, 3, 0, 10 }
			})
			Method (_PRT, 0, NotSerialized)
			{
				If (PICF)
				{
					Return (APRT)
				}
				Return (PPRT)
			}

			Device (ISA)
			{
				Name (_ADR, 0x00010000)

				Device (PIC)
				{
					Name (_HID, EisaId ("PNP0000"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0020, 0x0020, 1, 2)
						IO (Decode16, 0x00a0, 0x00a0, 1, 2)
						IO (Decode16, 0x04d0, 0x04d0, 1, 2)
						IRQNoFlags () { 2 }
					})
				}

				Device (TIMR)
				{
					Name (_HID, EisaId ("PNP0100"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0040, 0x0040, 1, 4)
						IRQNoFlags () { 0 }
					})
				}

				Device (RTC)
				{
					Name (_HID, EisaId ("PNP0B00"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0070, 0x0070, 1, 2)
						IRQNoFlags () { 8 }
					})
				}

				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_UID, 1)
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x03f8, 0x03f8, 1, 8)
						IRQNoFlags () { 4 }
					})
				}

				Device (SYSR)
				{
					Name (_HID, EisaId ("PNP0C02"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x0600, 0x0600, 1, 0x0c)
						IO (Decode16, 0x00f4, 0x00f4, 1, 1)
					})
				}
			}
		}
	}
}
