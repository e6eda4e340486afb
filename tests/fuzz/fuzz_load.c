/*
 * fuzz_load: the loaders on kernels that libFuzzer makes up. The first byte says how many modules come along and how large the guest is.
 *
 * Image, modules and the guest's memory are allocations of exactly their size. A kernel is refused with a sentence, or it starts: then
 * everything that its protocol hands over is looked up in memory as the kernel would, and stands there unharmed.
 */
#include "monitor/host/fake_ring0.h"
#include "monitor/load/load.h"
#include "monitor/platform/acpi.h"
#include "tests/fuzz/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB_LEAST 4u
#define MODULES 3u
#define MODULE_BYTES 1234u
#define CMDLINE "console=ttyS0 quiet"
#define MULTIBOOT_MAGIC 0x1badb002u
#define BOOT_MAGIC 0x2badb002u
#define START_MAGIC 0x336ec578u
#define CR0_FLAT 0x11u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct machine machine;

/* ---- what the kernel finds ---- */

static const u8 *guest(u64 gpa, u64 bytes)
{
	must(gpa <= fake.info.memory && bytes <= fake.info.memory - gpa, "something is handed over that is not in memory");
	return fake.window + gpa;
}

static u32 guest32(u64 gpa) { return load_u32(guest(gpa, 4)); }
static u64 guest64(u64 gpa) { return load_u64(guest(gpa, 8)); }

static void check_module(u64 at, u64 bytes, u32 index)
{
	must(bytes == MODULE_BYTES && memcmp(guest(at, bytes), fake.module[index], bytes) == 0, "a module is not what it was");
}

static void check_text(u64 at, const char *text)
{
	must(strcmp((const char *)guest(at, strlen(text) + 1), text) == 0, "a string is not what it was");
}

/* RAM as the map tells it: no kernel finds more than there is, nor the firmware's. */
static void check_range(u64 base, u64 bytes, u32 type)
{
	must(type != 1 || base + bytes <= fake.info.memory, "the map has more RAM than there is");
	must(type != 1 || base + bytes <= 0xa0000 || base >= 0x100000, "the map has RAM where the firmware is");
}

static void check_linux(u64 params)
{
	u64 initrd = guest32(params + 0x218), bytes = guest32(params + 0x21c), one = (MODULE_BYTES + 3) & ~3u;
	must(guest32(params + 0x202) == 0x53726448 && guest(params + 0x210, 1)[0] == 0xff, "the setup header is not there");
	must(guest64(params + 0x70) == ACPI_RSDP, "ACPI's tables are not told");
	check_text(guest32(params + 0x228), CMDLINE);
	must(bytes == one * (fake.info.module_count - 1), "the initial RAM disk has another size");
	must(!bytes || initrd + bytes <= (u64)guest32(params + 0x22c) + 1, "the initial RAM disk lies too high for the kernel");
	for (u32 i = 1; i < fake.info.module_count; i++)
		check_module(initrd + (i - 1) * one, MODULE_BYTES, i);
	for (u32 i = 0; i < guest(params + 0x1e8, 1)[0]; i++)
		check_range(guest64(params + 0x2d0 + 20 * i), guest64(params + 0x2d0 + 20 * i + 8), guest32(params + 0x2d0 + 20 * i + 16));
}

static void check_multiboot(u64 info)
{
	u64 list = guest32(info + 24), map = guest32(info + 48), end = map + guest32(info + 44);
	must(guest32(info) == 0x24d && guest32(info + 20) == fake.info.module_count - 1, "other flags, or other modules");
	check_text(guest32(info + 16), CMDLINE);
	for (u32 i = 1; i < fake.info.module_count; i++, list += 16) {
		check_module(guest32(list), guest32(list + 4) - guest32(list), i);
		check_text(guest32(list + 8), fake.info.module[i].cmdline);
	}
	for (; map < end; map += guest32(map) + 4)
		check_range(guest64(map + 4), guest64(map + 12), guest32(map + 20));
}

static void check_pvh(u64 info)
{
	u64 list = guest64(info + 16), map = guest64(info + 40);
	must(guest32(info + 12) == fake.info.module_count - 1 && guest64(info + 32) == ACPI_RSDP, "other modules, or no ACPI");
	check_text(guest64(info + 24), CMDLINE);
	for (u32 i = 1; i < fake.info.module_count; i++, list += 32) {
		check_module(guest64(list), guest64(list + 8), i);
		check_text(guest64(list + 16), fake.info.module[i].cmdline);
	}
	for (u32 i = 0; i < guest32(info + 48); i++)
		check_range(guest64(map + 24 * i), guest64(map + 24 * i + 8), guest32(map + 24 * i + 16));
}

/* No image may lie over what the firmware would have left. */
static void check_firmware(void)
{
	const u8 *rsdp = guest(ACPI_RSDP, 36);
	u8 sum = 0;
	for (u32 i = 0; i < 36; i++)
		sum = (u8)(sum + rsdp[i]);
	must(memcmp(rsdp, "RSD PTR ", 8) == 0 && sum == 0, "ACPI's root table is harmed");
	must(guest32(0x40e) << 16 >> 12 == EBDA, "the BIOS data area is harmed");
}

static void check_started(void)
{
	const struct mon_vcpu *c = &fake.vcpu;
	must(fake.vcpu_set && fake.modules_done && c->cr0 == CR0_FLAT && !c->cr3 && !c->cr4 && !c->efer && c->rflags == 2, "no flat start");
	must(c->rip <= ~0u && c->cs.limit == ~0u && c->cs.base == 0, "no flat code");
	check_firmware();
	if (c->gpr[MON_RAX] == BOOT_MAGIC)
		check_multiboot(c->gpr[MON_RBX]);
	else if (c->gpr[MON_RSI])
		check_linux(c->gpr[MON_RSI]);
	else
		must(guest32(c->gpr[MON_RBX]) == START_MAGIC, "no protocol that there is"), check_pvh(c->gpr[MON_RBX]);
}

/* ---- the input ---- */

/* Sums are made right: a fuzzer finds them too seldom. */
static void mend_sums(u8 *image, size_t size)
{
	for (size_t at = 0; at + 12 <= size; at += 4) {
		u32 sum = 0u - MULTIBOOT_MAGIC - load_u32(image + at + 4);
		if (load_u32(image + at) == MULTIBOOT_MAGIC)
			memcpy(image + at + 8, &sum, sizeof(sum));
	}
}

/* Each with bytes of its own, so that one which lies over another is seen. */
static void give_modules(u8 how, u8 *module[])
{
	fake.info.module_count = 1 + how % (MODULES + 1);
	for (u32 i = 1; i < fake.info.module_count; i++) {
		module[i - 1] = malloc(MODULE_BYTES);
		must(module[i - 1] != NULL, "no memory");
		for (u32 k = 0; k < MODULE_BYTES; k++)
			module[i - 1][k] = (u8)(k * 7 + i);
		fake.module[i] = module[i - 1];
		fake.info.module[i].size = MODULE_BYTES;
		snprintf(fake.info.module[i].cmdline, sizeof(fake.info.module[i].cmdline), "module %u", i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	u8 *image = malloc(size), *module[MODULES] = { NULL }; /* one byte more than the image, which lies at its end */
	must(image != NULL, "no memory");
	u8 *kernel = image + 1;
	memcpy(kernel, data + 1, size - 1);
	if (data[0] & 8)
		mend_sums(kernel, size - 1);
	fake_reset((u64)(MIB_LEAST + (data[0] >> 6)) << 20);
	strcpy(fake.info.cmdline, CMDLINE);
	give_modules(data[0], module);
	fake.module[0] = kernel;
	fake.info.module[0].size = size - 1;
	machine_init(&machine, &fake.info);
	fake.comm.entry = (struct mon_entry){ .kind = MON_ENTRY_START };
	fake_enter(&machine);
	must(fake.running != fake.ended, "neither started nor refused");
	if (fake.running)
		check_started();
	else
		must(fake.end == MON_END_FAILED && strstr(fake.log, "error: "), "refused without a reason");
	free(image);
	for (u32 i = 0; i < MODULES; i++)
		free(module[i]);
	return 0;
}
