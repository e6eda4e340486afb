# Ringmur's build: one file, read from top to bottom. `make help` lists what can be asked for.
#
# Sources are found by wildcard, objects lie under build/ in a tree per world:
#   build/ring0/     ring 0: core, x86, hv                 -> build/ringmur.elf, build/ringmur.bin
#   build/monitor/   the device model in ring 3            -> build/monitor.elf, carried inside ringmur.elf
#   build/host-CC/   the same text on the host, sanitized  -> build/host-CC/tests/unit/test_*
#   build/guests/    the guests that tests and people run
#   build/deps/      what was fetched: sources, kernels; `make clean` keeps it, `make distclean` does not

MAKEFLAGS += --no-builtin-rules --no-builtin-variables
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
export SOURCE_DATE_EPOCH := 1700000000
export LC_ALL := C

B       := build
DEPS    := build/deps
CC      := gcc
CLANG   := clang
LD      := ld
OBJCOPY := objcopy
NM      := nm
# One short line for each thing made; `make V=1` shows the commands.
Q       := $(if $(V),,@)
made     = @printf '  %-8s %s\n' '$(1)' '$(patsubst $(B)/%,%,$@)'

# ---- what everything is compiled with ----

WARNINGS := -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wswitch-enum -Werror
COMMON   := -std=gnu17 -g -I. -Iinclude -I$(B)/acpi -MMD -MP $(WARNINGS)
FREE     := -O2 -ffreestanding -mgeneral-regs-only -mno-red-zone -fno-stack-protector -fno-pic -fno-pie \
            -fno-omit-frame-pointer -momit-leaf-frame-pointer -fno-asynchronous-unwind-tables -fcf-protection=none '-ffile-prefix-map=$(CURDIR)/='
RING0    := $(COMMON) $(FREE) -mcmodel=kernel
# Zydis, the emulator's decoder, comes as source from the distribution (tools/fetch-zydis) and needs no libc.
ZYDIS    := $(DEPS)/zydis
ZYDIS_I  := -isystem $(ZYDIS)/include -DZYAN_NO_LIBC -DZYDIS_STATIC_BUILD -DZYCORE_STATIC_BUILD
ZYDIS_C  := Decoder DecoderData SharedData Register
MONITOR  := $(COMMON) $(FREE) -ffunction-sections -fdata-sections $(ZYDIS_I)
HOSTED   := $(COMMON) $(ZYDIS_I) -O1 -fno-omit-frame-pointer -momit-leaf-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all -DHOSTED=1 \
            -include sim/at_point.h

# ---- the sources of each world ----

# $(call sources,FOLDER,SUFFIX): files of that folder and its subfolders
sources = $(sort $(wildcard $(1)/*$(2) $(1)/*/*$(2) $(1)/*/*/*$(2)))

CORE_C    := $(call sources,core,.c)
# Nothing in ring 0 asks for core/reshape.c yet.
RING0_C   := $(filter-out core/reshape.c,$(CORE_C)) $(call sources,x86,.c) $(call sources,hv,.c)
RING0_S   := $(filter-out x86/asm/mon_%,$(wildcard x86/asm/*.S))
RING0_LD  := $(firstword $(wildcard x86/ringmur.ld x86/boot/*.ld x86/boot/*.lds x86/asm/*.ld x86/*.lds))
# monitor/host/ makes the monitor a host process; it has no place in the real one.
MONITOR_C := $(filter-out monitor/host/%,$(call sources,monitor,.c))
MONITOR_S := $(call sources,monitor,.S) $(wildcard x86/asm/mon_*.S)
MONITOR_LD := $(firstword $(wildcard monitor/*.ld monitor/*.lds monitor/*/*.ld monitor/*/*.lds))
ACPI_ASL  := $(call sources,monitor,.asl)

RING0_O   := $(RING0_C:%.c=$(B)/ring0/%.o) $(RING0_S:%.S=$(B)/ring0/%.S.o) $(B)/ring0/font.o
MONITOR_O := $(MONITOR_C:%.c=$(B)/monitor/%.o) $(MONITOR_S:%.S=$(B)/monitor/%.S.o) $(ZYDIS_C:%=$(B)/monitor/zydis/%.o)

.PHONY: all
all: $(B)/ringmur.elf $(B)/ringmur.bin $(B)/monitor.elf

# ---- ring 0 ----

$(B)/ring0/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call made,CC)
	$(Q)$(CC) $(RING0) -c $< -o $@

$(B)/ring0/%.S.o: %.S Makefile
	@mkdir -p $(@D)
	$(call made,AS)
	$(Q)$(CC) $(RING0) -D__ASSEMBLY__ -DMONITOR_ELF='"$(B)/monitor.elf"' -c $< -o $@

$(B)/ring0/x86/asm/monitor_blob.S.o: $(B)/monitor.elf

# The screen's font comes from the distribution (tools/fetch-font).
FONT := $(DEPS)/font/font.psf
$(FONT): tools/fetch-font
	tools/fetch-font $(@D)
	@touch $@

$(B)/ring0/font.o: $(FONT) tools/make-font
	@mkdir -p $(@D)
	$(call made,FONT)
	$(Q)tools/make-font $(FONT) > $(@:.o=.S)
	$(Q)$(CC) -c $(@:.o=.S) -o $@

LINK0 = $(LD) -nostdlib -static -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments --build-id=none -T $(RING0_LD)

# Linked twice: the names that a backtrace prints are a table made from the first link.
define linked # $(1): the image's name, $(2): the folder of its objects, $(3): the objects
$(B)/$(1).elf: $(3) $$(RING0_LD) tools/symbols
	$$(call made,LD)
	$$(Q)$$(LINK0) -o $(B)/$(2)/first.elf $(3)
	$$(Q)$$(NM) -n --defined-only $(B)/$(2)/first.elf | tools/symbols > $(B)/$(2)/symbols.S
	$$(Q)$$(CC) -c $(B)/$(2)/symbols.S -o $(B)/$(2)/symbols.o
	$$(Q)$$(LINK0) -o $$@ $(3) $(B)/$(2)/symbols.o
endef
$(eval $(call linked,ringmur,ring0,$(RING0_O)))

# For tests alone: the same ring 0, in which a guest may stop processors at the marked points (tests/points, docs/testing.md).
POINTS_O := $(RING0_C:%.c=$(B)/ring0-points/%.o) $(B)/ring0-points/core/reshape.o $(B)/ring0-points/tests/points/points.o $(RING0_S:%.S=$(B)/ring0/%.S.o) $(B)/ring0/font.o
$(B)/ring0-points/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call made,CC)
	$(Q)$(CC) $(RING0) -include tests/points/at_point.h -c $< -o $@
$(eval $(call linked,ringmur-points,ring0-points,$(POINTS_O)))
.PHONY: points
points: $(B)/ringmur-points.bin

# The flat image that loaders take by the address fields of its Multiboot header.
$(B)/%.bin: $(B)/%.elf
	$(call made,OBJCOPY)
	$(Q)$(OBJCOPY) -O binary $< $@

# ---- the monitor ----

$(ZYDIS)/.fetched: tools/fetch-zydis
	tools/fetch-zydis $(ZYDIS)
	@touch $@

$(B)/monitor/zydis/%.o: $(ZYDIS)/.fetched Makefile
	@mkdir -p $(@D)
	$(call made,CC)
	$(Q)$(CC) -std=gnu17 -w $(FREE) -ffunction-sections -fdata-sections $(ZYDIS_I) -I$(ZYDIS)/src -c $(ZYDIS)/src/$*.c -o $@

# ACPI's DSDT as a C array; its first lines name the day and are dropped.
$(B)/acpi/dsdt.hex: $(ACPI_ASL) Makefile
	@mkdir -p $(@D)
	$(call made,IASL)
	$(Q)iasl -va -tc -p $(@D)/dsdt $< >$(@D)/dsdt.log 2>&1 || { cat $(@D)/dsdt.log; false; }
	$(Q)sed -i '1,/^ \*\//d' $@
$(patsubst %,$(B)/%/monitor/platform/dsdt.o,monitor host-gcc host-clang host-fuzz): $(B)/acpi/dsdt.hex

$(B)/monitor/%.o: %.c Makefile | $(ZYDIS)/.fetched
	@mkdir -p $(@D)
	$(call made,CC)
	$(Q)$(CC) $(MONITOR) -c $< -o $@

# The ACPI tables that iasl makes lie where `.incbin "NAME.aml"` finds them.
AML_DIR := $(B)/acpi
AML     := $(patsubst %.asl,$(AML_DIR)/%.aml,$(notdir $(ACPI_ASL)))
$(AML_DIR)/%.aml: monitor/platform/%.asl
	@mkdir -p $(@D)
	$(call made,IASL)
	$(Q)iasl -we -p $(@:.aml=) $< > $(@:.aml=.log) 2>&1 || { cat $(@:.aml=.log); exit 1; }

$(B)/monitor/%.S.o: %.S $(AML) Makefile
	@mkdir -p $(@D)
	$(call made,AS)
	$(Q)$(CC) $(MONITOR) -D__ASSEMBLY__ -Wa,-I$(AML_DIR) -c $< -o $@

$(B)/monitor.elf: $(MONITOR_O) $(MONITOR_LD)
	$(call made,LD)
	$(Q)$(LD) -nostdlib -static --gc-sections -z noexecstack -z max-page-size=4096 --build-id=none -T $(MONITOR_LD) -o $@ $(MONITOR_O)

# ---- the same text on the host: unit and property tests under sanitizers, by both compilers ----

# hv's and x86's pure parts: no assembly, no hardware. What only the real monitor has: its system calls, its memcpy.
PURE_C    := $(wildcard hv/lapic.c hv/cpuid.c hv/cpuid_build.c hv/paravirt.c hv/monitor_calls.c hv/monitor_load.c x86/decode.c x86/svm/assist.c x86/svm/run.c x86/svm/state.c x86/boot/acpi.c x86/boot/memory_map.c x86/boot/multiboot.c \
               x86/boot/options.c x86/boot/words.c x86/boot/machines.c x86/boot/framebuffer.c x86/cpu/format.c x86/cpu/screen.c \
               hv/operator/*.c)
HOST_NOT  := monitor/lib/call.c monitor/lib/string.c
HOST_C    := $(CORE_C) $(PURE_C) $(call sources,sim,.c)
HOST_MON  := $(filter-out $(HOST_NOT),$(MONITOR_C)) $(call sources,monitor/host,.c)
HOST_S    := $(filter monitor/platform/%,$(MONITOR_S))
UNIT_C    := $(wildcard tests/unit/test_*.c)

define hosted # $(1): the compiler's name, $(2): its command
$(B)/host-$(1)/zydis/%.o: $$(ZYDIS)/.fetched Makefile
	@mkdir -p $$(@D)
	$$(call made,CC)
	$$(Q)$(2) -std=gnu17 -w -O2 $$(ZYDIS_I) -I$$(ZYDIS)/src -c $$(ZYDIS)/src/$$*.c -o $$@
$(B)/host-$(1)/%.o: %.c Makefile | $$(ZYDIS)/.fetched
	@mkdir -p $$(@D)
	$$(call made,CC)
	$$(Q)$(2) $$(HOSTED) -c $$< -o $$@
$(B)/host-$(1)/%.S.o: %.S $$(AML) Makefile
	@mkdir -p $$(@D)
	$$(call made,AS)
	$$(Q)$(2) -D__ASSEMBLY__ -Wa,-I$$(AML_DIR) -c $$< -o $$@
# The monitor is a program of its own: tests of ring 0's parts do not link with it, nor can its names stand in the C library's way.
$(B)/host-$(1)/lib.a: $$(HOST_C:%.c=$(B)/host-$(1)/%.o) $$(ZYDIS_C:%=$(B)/host-$(1)/zydis/%.o)
$(B)/host-$(1)/monitor.a: $$(HOST_MON:%.c=$(B)/host-$(1)/%.o) $$(HOST_S:%.S=$(B)/host-$(1)/%.S.o)
$(B)/host-$(1)/%.a:
	@rm -f $$@
	$$(call made,AR)
	$$(Q)ar rcs $$@ $$^
$(patsubst tests/unit/%.c,$(B)/host-$(1)/tests/unit/%,$(wildcard tests/unit/test_monitor_*.c tests/unit/test_emulate*.c)): \
		$(B)/host-$(1)/monitor.a
$(B)/host-$(1)/tests/unit/test_%: $(B)/host-$(1)/tests/unit/test_%.o $(B)/host-$(1)/lib.a
	$$(call made,LD)
	$$(Q)$(2) -fsanitize=address,undefined -o $$@ $$(filter %.o,$$^) $$(filter %/monitor.a,$$^) $$(filter %/lib.a,$$^) -lcmocka
$(B)/host-$(1)/monitor/%.o: HOSTED += -Dmain=monitor_main
.PHONY: unit-$(1)
unit-$(1): $$(UNIT_C:%.c=$(B)/host-$(1)/%)
endef
$(eval $(call hosted,gcc,$(CC)))
$(eval $(call hosted,clang,$(CLANG)))

.PHONY: unit test-unit
unit: unit-gcc unit-clang
test-unit: unit
	tools/test-runner --only unit

# ---- fuzzers: libFuzzer. The host's objects once more, with branches that it sees; tools/fuzz runs them ----

FUZZ_C := $(wildcard tests/fuzz/fuzz_*.c)
$(eval $(call hosted,fuzz,$(CLANG)))
# What judges is no branch to look for: without them it runs several times as fast.
$(foreach part,core hv x86 monitor,$(B)/host-fuzz/$(part)/%.o): HOSTED += -fsanitize=fuzzer-no-link
$(patsubst %,$(B)/host-fuzz/tests/fuzz/fuzz_%,emulate load monitor virtio): $(B)/host-fuzz/monitor.a
$(B)/host-fuzz/tests/fuzz/fuzz_%: $(B)/host-fuzz/tests/fuzz/fuzz_%.o $(B)/host-fuzz/lib.a
	$(call made,LD)
	$(Q)$(CLANG) -fsanitize=address,undefined,fuzzer -o $@ $(filter %.o,$^) $(filter %/monitor.a,$^) $(filter %/lib.a,$^)

.PHONY: fuzz
fuzz: $(FUZZ_C:%.c=$(B)/host-fuzz/%)

# ---- guests: userlands for the stock kernel ----

GUESTS   := $(B)/guests
KERNEL   := $(DEPS)/kernel/vmlinuz
KERNEL_MODULES := $(DEPS)/kernel/modules
BUSYBOX  := /bin/busybox
COMMANDS := sh mount cat poweroff reboot echo dmesg grep sleep head cut tr uname setsid cttyhack ls ps free cp rm mv mkdir vi \
            date df du find kill ln lspci more less sed awk sort tail top touch true false test wc stty

$(KERNEL):
	tools/fetch-debian $(@D)

# $(call userland,ARCHIVE,INIT,MORE PROGRAMS): an archive of busybox, an init and these programs; userland-more: a command for the rest
userland-more := :
define userland
	@rm -rf $(1).root && mkdir -p $(1).root/bin $(1).root/proc $(1).root/sys $(1).root/dev $(1).root/tmp
	@install -m 755 $(BUSYBOX) $(3) $(1).root/bin/
	@for name in $(COMMANDS); do ln -s busybox $(1).root/bin/$$name; done
	@install -m 755 $(2) $(1).root/init
	@$(userland-more)
	$(call made,CPIO)
	$(Q)tools/mkcpio $(1).root $(1)
	@rm -rf $(1).root
endef

$(GUESTS)/debian.cpio: tests/guests/debian/init tools/mkcpio Makefile
	@mkdir -p $(@D)
	$(call userland,$@,$<,)

$(GUESTS)/membench: bench/membench.c Makefile
	@mkdir -p $(@D)
	$(call made,CC)
	$(Q)$(CC) -std=gnu17 -O2 -static -Wall -Wextra -Werror -o $@ $<

$(GUESTS)/membench.cpio: bench/init $(GUESTS)/membench tools/mkcpio Makefile
	$(call userland,$@,$<,$(GUESTS)/membench)

# What the machines of a session share: a shell, the drivers that the stock kernel has as modules, and `keys`. A shell of more commands.
USERLAND := tests/guests/debian
USERLAND_COMMANDS := acpid dd hostname insmod seq sync tar
$(GUESTS)/keys: $(USERLAND)/keys.c tests/guests/lib/key.h Makefile
	@mkdir -p $(@D)
	$(call made,CC)
	$(Q)$(CC) -std=gnu17 -O2 -static -s -pthread -Wall -Wextra -Werror -o $@ $<

$(GUESTS)/userland.cpio: COMMANDS += $(USERLAND_COMMANDS)
$(GUESTS)/userland.cpio: userland-more = $(USERLAND)/add-modules $@.root $(USERLAND)/modules $(KERNEL_MODULES) && \
	install -D -m 755 $(USERLAND)/power-button $@.root/etc/acpi/PWRF/00000080
$(GUESTS)/userland.cpio: $(USERLAND)/userland-init $(GUESTS)/keys $(addprefix $(USERLAND)/,add-modules modules power-button) $(KERNEL) \
		tools/mkcpio Makefile
	$(call userland,$@,$<,$(GUESTS)/keys)

.PHONY: guest-debian guest-debian-membench guest-userland
guest-userland: $(KERNEL) $(GUESTS)/userland.cpio
guest-debian: $(KERNEL) $(GUESTS)/debian.cpio
guest-debian-membench: $(KERNEL) $(GUESTS)/membench.cpio

include tests/guests/guests.mk

# ---- other monitors: programs for ring 3 that tests put in Ringmur's own's place ----

# Their data may be executed: one that attacks writes code.
$(B)/monitors/monitor.ld: $(MONITOR_LD) Makefile
	@mkdir -p $(@D)
	$(Q)sed 's/FLAGS(6)/FLAGS(7)/' $< >$@

$(B)/monitors/%.elf: tests/monitors/%.c $(addprefix $(B)/monitor/monitor/lib/,start.S.o call.o string.o string.S.o) $(B)/monitors/monitor.ld Makefile
	@mkdir -p $(@D)
	$(call made,LD)
	$(Q)$(CC) $(MONITOR) -MF $(@:.elf=.d) -c $< -o $(@:.elf=.o)
	$(Q)$(LD) -nostdlib -static --gc-sections -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments --build-id=none -T $(B)/monitors/monitor.ld -o $@ $(@:.elf=.o) $(filter %.o,$^)

.PHONY: monitors
monitors: $(patsubst tests/monitors/%.c,$(B)/monitors/%.elf,$(wildcard tests/monitors/*.c))

# ---- a disc for a PC ----

.PHONY: iso
iso:
	@tools/setup run
	@$(MAKE) --no-print-directory $(B)/ringmur.iso
$(B)/ringmur.iso: tools/make-iso $(B)/ringmur.elf $(KERNEL) $(GUESTS)/debian.cpio
	$(call made,ISO)
	$(Q)tools/make-iso $@ $(B)/ringmur.elf "mem=1G name=debian" "$(KERNEL) console=ttyS0 shell" $(GUESTS)/debian.cpio

# ---- lint ----

LINT_C := $(RING0_C) core/reshape.c $(MONITOR_C)
LINT_H := $(wildcard core/*.h include/*/*.h x86/*.h x86/*/*.h hv/*.h hv/*/*.h monitor/*.h monitor/*/*.h sim/*.h)
# What clang-tidy and cppcheck need to know; both see ring 0 and the monitor as the compilers do.
TIDY   := -std=gnu17 -I. -Iinclude -I$(B)/acpi $(ZYDIS_I) -ffreestanding -mgeneral-regs-only -mno-red-zone

# Objects only: what a second compiler has to say of every file.
.PHONY: objects lint lint-headers lint-clang lint-tidy lint-cppcheck
objects: $(filter-out %monitor_blob.S.o,$(RING0_O)) $(MONITOR_O)
lint-clang: $(ZYDIS)/.fetched
	@$(MAKE) --no-print-directory -s -k B=$(B)/clang CC=$(CLANG) made= objects
lint-headers: $(ZYDIS)/.fetched
	@tools/lint headers $(filter-out -MMD -MP -g,$(MONITOR)) -- $(LINT_H)
lint-tidy: $(ZYDIS)/.fetched
	@tools/lint clang-tidy $(TIDY) -- $(LINT_C)
lint-cppcheck:
	@tools/lint cppcheck -I. -Iinclude -- $(LINT_C) $(call sources,sim,.c)

lint:
	@tools/setup test
	@bad=0; \
	step() { echo "lint: $$1"; shift; "$$@" || { echo "lint: found something"; bad=1; }; }; \
	step "gcc, warnings as errors" $(MAKE) --no-print-directory -s -k -j$$(nproc) made= all objects unit-gcc; \
	step "clang, warnings as errors" $(MAKE) --no-print-directory -s -k -j$$(nproc) made= lint-clang unit-clang; \
	step "headers compile alone" $(MAKE) --no-print-directory -s lint-headers; \
	step "clang-tidy" $(MAKE) --no-print-directory -s lint-tidy; \
	step "cppcheck" $(MAKE) --no-print-directory -s lint-cppcheck; \
	step "pylint" tools/lint python; \
	step "shellcheck" tools/lint shell; \
	step "layers, assembly, length" tools/check-layers; \
	step "rows, tests and mutations of the hostile suite" tools/hostile-table --check; \
	[ $$bad = 0 ] && echo "lint: clean"

# ---- mutations: builds with one protection removed, in which a test must go red ----

.PHONY: mutations
mutations: $(ZYDIS)/.fetched
	@tools/setup test
	@tools/mutations

# ---- every own guest on every processor model ----

.PHONY: matrix
matrix:
	@tools/setup test
	@mkdir -p $(B)
	@$(MAKE) --no-print-directory -s made= all points guests guest-debian >$(B)/matrix-build.log || { tail -n 40 $(B)/matrix-build.log; false; }
	@tools/matrix $(MATRIX)

# ---- machines beside each other, for long ----

SECONDS ?= 600
.PHONY: smoke soak
smoke:
	@tools/setup run
	@tools/machine --smoke
soak:
	@tools/setup run
	@tests/soak --seconds $(SECONDS)

# ---- measuring ----

$(B)/peers/kvm.cpio: bench/kvm-init bench/make-kvm-peer $(KERNEL) $(GUESTS)/membench.cpio
	@mkdir -p $(@D)
	$(call made,CPIO)
	$(Q)bench/make-kvm-peer $(DEPS)/kernel $(GUESTS)/membench.cpio $(BUSYBOX) $@

.PHONY: bench
bench:
	@tools/setup run
	@bench/run

# ---- all that tests need ----

.PHONY: everything
everything: all points unit fuzz guests monitors guest-debian guest-debian-membench guest-userland $(B)/ringmur.iso

# ---- dependency files ----

-include $(shell find $(B) -name '*.d' -not -path '$(B)/deps/*' -not -path '$(B)/mutations/*' 2>/dev/null)

# ---- help ----

.PHONY: help
help:
	@echo "make             Ringmur and its monitor: build/ringmur.elf, build/ringmur.bin, build/monitor.elf"
	@echo "make unit        the unit tests, by gcc and clang; make test-unit runs them too"
	@echo "make fuzz        the fuzzers; tools/fuzz builds and runs them"
	@echo "make points      build/ringmur-points.bin: Ringmur for tests that stop its processors at marked points"
	@echo "make guests      the own guests, build/guests/*.elf, and the hostile ones, build/hostile/*.elf"
	@echo "make iso         build/ringmur.iso: a disc that boots Ringmur and its Debian by GRUB"
	@echo "make lint        everything that can be said of the sources without running them"
	@echo "make mutations   shows that the tests can fail"
	@echo "make matrix      every own guest and a Debian on four processors of two emulators"
	@echo "make smoke       three Linux machines, shown to be apart; make soak [SECONDS=600]: machines come and go beside hostile ones"
	@echo "make bench       instructions and exits beside the bare machine and KVM; build/bench.json"
	@echo "make clean       removes what was built; make distclean also what was fetched"
	@echo "V=1 shows the commands. ./run boots Ringmur, ./test tests it; both install what is missing."

.PHONY: clean distclean
clean:
	rm -rf $(filter-out $(B)/deps,$(wildcard $(B)/*))
distclean:
	rm -rf $(B)
