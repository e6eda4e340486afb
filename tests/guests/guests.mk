# The own guests: build/guests/NAME.elf for each NAME.c here, build/hostile/NAME.elf for each in tests/hostile. `make guests` builds all.
GUESTS_DIR := tests/guests
GUESTS_OUT := build/guests
GUESTS_32 := paging32 pagingpae realmode exceptions32
HOSTILE_DIR := tests/hostile
HOSTILE_OUT := build/hostile
HOSTILE_32 := fatal32 tasks32
GUESTS_ELF := $(patsubst $(GUESTS_DIR)/%.c,$(GUESTS_OUT)/%.elf,$(wildcard $(GUESTS_DIR)/*.c)) \
	$(patsubst $(HOSTILE_DIR)/%.c,$(HOSTILE_OUT)/%.elf,$(wildcard $(HOSTILE_DIR)/*.c)) \
	$(GUESTS_OUT)/hello-pvh.elf $(GUESTS_OUT)/hello-mb64.elf

GUESTS_LIB := $(wildcard $(GUESTS_DIR)/lib/*.c)
GUESTS_HEADERS := $(wildcard $(GUESTS_DIR)/lib/*.h $(HOSTILE_DIR)/*.h tests/points/channel.h core/point.h hv/point.h)
GUESTS_CC := gcc
GUESTS_WARN := -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wswitch-enum -Werror
GUESTS_CFLAGS := -std=gnu17 -O2 $(GUESTS_WARN) -ffreestanding -fno-builtin -mgeneral-regs-only -mno-red-zone \
	-fno-stack-protector -fno-pic -fno-pie -fcf-protection=none -fno-asynchronous-unwind-tables -fno-strict-aliasing \
	-I$(GUESTS_DIR) -I.
GUESTS_LINK := -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
	-Wl,-T,$(GUESTS_DIR)/lib/guest.ld

GUESTS_LIB64 := $(patsubst $(GUESTS_DIR)/lib/%.c,$(GUESTS_OUT)/lib64/%.o,$(GUESTS_LIB))
GUESTS_LIB32 := $(patsubst $(GUESTS_DIR)/lib/%.c,$(GUESTS_OUT)/lib32/%.o,$(GUESTS_LIB))

.PHONY: guests
guests: $(GUESTS_ELF) $(GUESTS_OUT)/module-b.bin
.SECONDARY:

$(GUESTS_OUT)/lib64/%.o: $(GUESTS_DIR)/lib/%.c $(GUESTS_HEADERS)
	@mkdir -p $(@D)
	$(GUESTS_CC) -m64 $(GUESTS_CFLAGS) -c $< -o $@
$(GUESTS_OUT)/lib32/%.o: $(GUESTS_DIR)/lib/%.c $(GUESTS_HEADERS)
	@mkdir -p $(@D)
	$(GUESTS_CC) -m32 $(GUESTS_CFLAGS) -c $< -o $@
$(GUESTS_OUT)/lib64/start.o: $(GUESTS_DIR)/lib/start.S
	@mkdir -p $(@D)
	$(GUESTS_CC) -m64 -c $< -o $@
$(GUESTS_OUT)/lib32/start.o: $(GUESTS_DIR)/lib/start.S
	@mkdir -p $(@D)
	$(GUESTS_CC) -m32 -c $< -o $@
$(GUESTS_OUT)/lib64/start-pvh.o: $(GUESTS_DIR)/lib/start.S
	@mkdir -p $(@D)
	$(GUESTS_CC) -m64 -DGUEST_PVH -c $< -o $@

# 64-bit code travels in an ELF32: that is what Multiboot 1 loaders take.
define guests_in # $(1): the folder of the sources, $(2): of what is made, $(3): the names of those in 32-bit code
$(2)/%.elf64: $(1)/%.c $(GUESTS_OUT)/lib64/start.o $(GUESTS_LIB64) $(GUESTS_DIR)/lib/guest.ld $(GUESTS_HEADERS)
	@mkdir -p $$(@D)
	$(GUESTS_CC) -m64 $(GUESTS_CFLAGS) $(GUESTS_LINK) $$< $(GUESTS_OUT)/lib64/start.o $(GUESTS_LIB64) -o $$@
$(2)/%.elf: $(2)/%.elf64
	objcopy -O elf32-i386 $$< $$@
$(patsubst %,$(2)/%.elf,$(3)): $(2)/%.elf: $(1)/%.c $(GUESTS_OUT)/lib32/start.o $(GUESTS_LIB32) $(GUESTS_DIR)/lib/guest.ld $(GUESTS_HEADERS)
	@mkdir -p $$(@D)
	$(GUESTS_CC) -m32 $(GUESTS_CFLAGS) $(GUESTS_LINK) $$< $(GUESTS_OUT)/lib32/start.o $(GUESTS_LIB32) -o $$@
endef
$(eval $(call guests_in,$(GUESTS_DIR),$(GUESTS_OUT),$(GUESTS_32)))
$(eval $(call guests_in,$(HOSTILE_DIR),$(HOSTILE_OUT),$(HOSTILE_32)))

# The two other containers: PVH in ELF64, and a Multiboot header in ELF64.
$(GUESTS_OUT)/hello-pvh.elf: $(GUESTS_DIR)/hello.c $(GUESTS_OUT)/lib64/start-pvh.o $(GUESTS_LIB64) $(GUESTS_DIR)/lib/guest.ld
	$(GUESTS_CC) -m64 $(GUESTS_CFLAGS) $(GUESTS_LINK) $< $(GUESTS_OUT)/lib64/start-pvh.o $(GUESTS_LIB64) -o $@
$(GUESTS_OUT)/hello-mb64.elf: $(GUESTS_OUT)/hello.elf64
	cp $< $@

# The second module of the `modules` guest: 64 KiB and 13 bytes of a pattern that the guest recomputes.
$(GUESTS_OUT)/module-b.bin: $(GUESTS_DIR)/modules.awk
	@mkdir -p $(@D)
	LC_ALL=C awk -f $< > $@
