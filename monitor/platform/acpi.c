/*
 * acpi: see acpi.h. Structures in the specification's order, with its names; the sections are cited at each.
 */
#include "monitor/platform/acpi.h"
#include "monitor/lib/bits.h"
#include "monitor/lib/string.h"
#include "monitor/platform/ioapic.h"
#include "monitor/platform/irq.h"
#include "monitor/platform/pm.h"

#define OEM_ID "RINGMU"
#define OEM_TABLE_ID "RINGMUR "
#define CREATOR_ID "RGMR"
#define ALIGNMENT 64u

#define packed __attribute__((packed))

struct packed rsdp { /* 5.2.5.3 */
	char signature[8];
	u8 checksum;
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
};
static_assert(sizeof(struct rsdp) == 36, "ACPI 5.2.5.3");
#define RSDP_V1_LENGTH 20u

struct packed header { /* 5.2.6 */
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
};
static_assert(sizeof(struct header) == 36, "ACPI 5.2.6");

struct packed address { /* 5.2.3.2, generic address structure */
	u8 space, bits, offset, access;
	u64 address;
};
#define SPACE_IO 1u

struct packed fadt { /* 5.2.9, version 5 */
	struct header header;
	u32 firmware_ctrl, dsdt;
	u8 reserved0, preferred_profile;
	u16 sci_int;
	u32 smi_cmd;
	u8 acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
	u32 pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk, pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
	u8 pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
	u16 p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
	u8 duty_offset, duty_width, day_alrm, mon_alrm, century;
	u16 iapc_boot_arch;
	u8 reserved1;
	u32 flags;
	struct address reset_reg;
	u8 reset_value;
	u16 arm_boot_arch;
	u8 minor_version;
	u64 x_firmware_ctrl, x_dsdt;
	struct address x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk, x_pm2_cnt_blk, x_pm_tmr_blk, x_gpe0_blk,
		x_gpe1_blk, sleep_control_reg, sleep_status_reg;
};
static_assert(sizeof(struct fadt) == 268 && offsetof(struct fadt, flags) == 112 && offsetof(struct fadt, x_dsdt) == 140,
	      "ACPI 5.2.9");

#define BOOT_LEGACY_DEVICES 0x0001u /* and not 0002h: no 8042 */
#define BOOT_NO_VGA 0x0004u
#define FADT_WBINVD 0x00000001u
#define FADT_PROC_C1 0x00000004u
#define FADT_SLP_BUTTON 0x00000020u /* set: no fixed one; the bit before, clear: there is a fixed power button */
#define FADT_TMR_VAL_EXT 0x00000100u
#define FADT_RESET_REG_SUP 0x00000400u
#define LATENCY_NO_C2 101u
#define LATENCY_NO_C3 1001u
#define CENTURY_INDEX 0x32u
#define PROFILE_ENTERPRISE_SERVER 4u

struct packed facs { /* 5.2.10 */
	char signature[4];
	u32 length, hardware_signature, waking_vector, global_lock, flags;
	u64 x_waking_vector;
	u8 version, reserved[31];
};
static_assert(sizeof(struct facs) == 64, "ACPI 5.2.10");

struct packed madt { /* 5.2.12 */
	struct header header;
	u32 local_apic, flags;
};
#define MADT_PCAT_COMPAT 1u

struct packed madt_local_apic { /* 5.2.12.2 */
	u8 type, length, uid, id;
	u32 flags;
};
struct packed madt_io_apic { /* 5.2.12.3 */
	u8 type, length, id, reserved;
	u32 address, gsi_base;
};
struct packed madt_override { /* 5.2.12.5 */
	u8 type, length, bus, source;
	u32 gsi;
	u16 flags;
};
struct packed madt_nmi { /* 5.2.12.7 */
	u8 type, length, uid;
	u16 flags;
	u8 lint;
};
enum { MADT_LOCAL_APIC, MADT_IO_APIC, MADT_OVERRIDE, MADT_LOCAL_APIC_NMI = 4 };
#define MADT_ENABLED 1u
#define MADT_ALL_PROCESSORS 0xffu
#define MPS_CONFORMS 0u
#define MPS_LEVEL_HIGH 0xdu
#define VCPUS_MAX 255u /* an xAPIC identifier is a byte, FFh is everyone */
#define IOAPIC_ID 0u

/* A cursor over the firmware's area. */
struct writer {
	const struct guest_memory *memory;
	u64 at;
};

static void *reserve(struct writer *w, u64 size, u64 *address)
{
	u64 at = align_up(w->at, ALIGNMENT);

	if (size > FIRMWARE_END - at)
		return NULL;
	w->at = at + size;
	*address = at;
	return guest_ptr(w->memory, at, size);
}

static u8 checksum(const void *table, u64 length)
{
	const u8 *bytes = table;
	u32 sum = 0;

	for (u64 i = 0; i < length; i++)
		sum += bytes[i];
	return (u8)(0u - sum);
}

static void finish(struct header *h, const char signature[4], u8 revision, u32 length)
{
	memcpy(h->signature, signature, sizeof(h->signature));
	h->length = length;
	h->revision = revision;
	memcpy(h->oem_id, OEM_ID, sizeof(h->oem_id));
	memcpy(h->oem_table_id, OEM_TABLE_ID, sizeof(h->oem_table_id));
	h->oem_revision = 1;
	memcpy(h->creator_id, CREATOR_ID, sizeof(h->creator_id));
	h->creator_revision = 1;
	h->checksum = 0;
	h->checksum = checksum(h, length);
}

static struct address io(u32 port, u8 bytes)
{
	return (struct address){ .space = SPACE_IO, .bits = (u8)(bytes * 8), .access = (u8)(bytes == 4 ? 3 : bytes), .address = port };
}

static u64 write_dsdt(struct writer *w)
{
	u32 size;
	const u8 *from = acpi_dsdt(&size);
	u64 address;
	void *to = reserve(w, size, &address);

	if (to == NULL)
		return 0;
	memcpy(to, from, size);
	return address;
}

static u64 write_facs(struct writer *w)
{
	u64 address;
	struct facs *f = reserve(w, sizeof(*f), &address);

	if (f == NULL)
		return 0;
	*f = (struct facs){ .signature = "FACS", .length = sizeof(*f), .version = 2 };
	return address;
}

static u64 write_fadt(struct writer *w, u64 dsdt, u64 facs)
{
	u64 address;
	struct fadt *f = reserve(w, sizeof(*f), &address);

	if (f == NULL)
		return 0;
	*f = (struct fadt){
		.firmware_ctrl = (u32)facs,
		.dsdt = (u32)dsdt,
		.preferred_profile = PROFILE_ENTERPRISE_SERVER,
		.sci_int = IRQ_SCI,
		.pm1a_evt_blk = PM1A_EVENT,
		.pm1a_cnt_blk = PM1A_CONTROL,
		.pm_tmr_blk = PM_TIMER,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.p_lvl2_lat = LATENCY_NO_C2,
		.p_lvl3_lat = LATENCY_NO_C3,
		.century = CENTURY_INDEX,
		.iapc_boot_arch = BOOT_LEGACY_DEVICES | BOOT_NO_VGA,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP,
		.reset_reg = io(RESET_PORT, 1),
		.reset_value = RESET_VALUE,
		.minor_version = 1,
		.x_dsdt = dsdt,
		.x_pm1a_evt_blk = io(PM1A_EVENT, 4),
		.x_pm1a_cnt_blk = io(PM1A_CONTROL, 2),
		.x_pm_tmr_blk = io(PM_TIMER, 4),
	};
	finish(&f->header, "FACP", 5, sizeof(*f));
	return address;
}

/* IRQ 0 is on pin 2; the SCI is level-triggered, active high. */
static void write_overrides(struct madt_override *o)
{
	o[0] = (struct madt_override){ MADT_OVERRIDE, sizeof(*o), 0, IRQ_TIMER, TIMER_PIN, MPS_CONFORMS };
	o[1] = (struct madt_override){ MADT_OVERRIDE, sizeof(*o), 0, IRQ_SCI, IRQ_SCI, MPS_LEVEL_HIGH };
}
#define OVERRIDES 2u

static u64 write_madt(struct writer *w, u32 vcpus)
{
	u32 size = (u32)(sizeof(struct madt) + vcpus * sizeof(struct madt_local_apic) + sizeof(struct madt_io_apic) +
			 OVERRIDES * sizeof(struct madt_override) + sizeof(struct madt_nmi));
	u64 address;
	struct madt *m = reserve(w, size, &address);
	u8 *at;

	if (m == NULL)
		return 0;
	at = (u8 *)m + sizeof(*m);
	m->local_apic = (u32)MON_LAPIC;
	m->flags = MADT_PCAT_COMPAT;
	for (u32 i = 0; i < vcpus; i++, at += sizeof(struct madt_local_apic))
		*(struct madt_local_apic *)at =
			(struct madt_local_apic){ MADT_LOCAL_APIC, sizeof(struct madt_local_apic), (u8)i, (u8)i, MADT_ENABLED };
	*(struct madt_io_apic *)at =
		(struct madt_io_apic){ MADT_IO_APIC, sizeof(struct madt_io_apic), IOAPIC_ID, 0, (u32)MON_IOAPIC, 0 };
	at += sizeof(struct madt_io_apic);
	write_overrides((struct madt_override *)at);
	at += OVERRIDES * sizeof(struct madt_override);
	*(struct madt_nmi *)at =
		(struct madt_nmi){ MADT_LOCAL_APIC_NMI, sizeof(struct madt_nmi), MADT_ALL_PROCESSORS, MPS_CONFORMS, 1 };
	finish(&m->header, "APIC", 4, size);
	return address;
}

#define LISTED 2u

/* The XSDT, or the same list with 32-bit entries (RSDT) for systems that know ACPI 1.0 only. `width`: of an entry in bytes. */
static u64 write_list(struct writer *w, const char *signature, u32 width, const u64 table[LISTED])
{
	u32 size = (u32)sizeof(struct header) + LISTED * width;
	u64 address;
	struct header *x = reserve(w, size, &address);

	if (x == NULL)
		return 0;
	for (u32 i = 0; i < LISTED; i++)
		memcpy((u8 *)(x + 1) + i * width, &table[i], width);
	finish(x, signature, 1, size);
	return address;
}

static void write_rsdp(struct rsdp *r, u64 rsdt, u64 xsdt)
{
	*r = (struct rsdp){
		.signature = "RSD PTR ", .oem_id = OEM_ID, .revision = 2, .rsdt = (u32)rsdt, .length = sizeof(*r), .xsdt = xsdt,
	};
	r->checksum = checksum(r, RSDP_V1_LENGTH);
	r->extended_checksum = checksum(r, sizeof(*r));
}

bool acpi_install(const struct guest_memory *m, u32 vcpus)
{
	struct writer w = { m, ACPI_RSDP };
	u64 address, dsdt, facs, table[LISTED], rsdt, xsdt;
	struct rsdp *rsdp = reserve(&w, sizeof(*rsdp), &address);

	if (rsdp == NULL || vcpus > VCPUS_MAX)
		return false;
	dsdt = write_dsdt(&w);
	facs = write_facs(&w);
	table[0] = write_fadt(&w, dsdt, facs);
	table[1] = write_madt(&w, vcpus);
	rsdt = write_list(&w, "RSDT", sizeof(u32), table);
	xsdt = write_list(&w, "XSDT", sizeof(u64), table);
	if (dsdt == 0 || facs == 0 || table[0] == 0 || table[1] == 0 || rsdt == 0 || xsdt == 0)
		return false;
	write_rsdp(rsdp, rsdt, xsdt);
	return true;
}
