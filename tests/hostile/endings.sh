# What no machine survives, each way in a machine of its own beside a good neighbour: every one is ended with its sentence, after few exits.
# timeout: 240
. "$(dirname "$0")/../boot/lib.sh"

# By the processor, or what comes of it where an emulator takes the value.
refused='(test 0$|killed: its processor was put into a state that cannot be)' unpaged=$refused
# Bochs takes CR0.PG without PE, bare as well, and goes on: the machine ends by itself. One processor of it is enough, and half the time.
[ -z "${RINGMUR_BOCHS:-}" ] || unpaged='test 1$'
processors=${RINGMUR_BOCHS:+1}
# The image, the way, how the log tells its end.
ways="fatal idt-hole killed: event 6 is delivered by way of fd0000[0-9a-f]+, where there is no RAM
fatal idt-soft killed: event 6 is delivered by way of fd0000
fatal idt-move killed: event e is delivered by way of fd0000
fatal gdt-hole killed: event 6 is delivered by way of fd0000
fatal tss-hole killed: event 6 is delivered by way of fd0000
fatal stack-hole killed: event 6 is delivered by way of fd000f
fatal stack-far killed: event 6 is delivered by way of 7000000f
fatal stack-lapic killed: event 6 is delivered by way of fee007
fatal stack-half killed: event 6 is delivered by way of fd000f
fatal irq-hole killed: event 90 is delivered by way of fd000f
fatal tables-cr3 killed: its page tables lie at fd000000, where there is no RAM
fatal tables-pml4e killed: its page tables lie at fd0000
fatal tables-pdpte killed: its page tables lie at fd0000
fatal tables-pde killed: its page tables lie at fd000000
fatal tables-far killed: its page tables lie at 7000000000
fatal tables-lapic killed: its page tables lie at fee00000
fatal tables-ioapic killed: its page tables lie at fec00000
fatal tables-top killed: its page tables lie at f+000, where there is no RAM
fatal tables-ram-end killed: its page tables lie at 2000000, where there is no RAM
fatal tables-emulated killed: its page tables for 200000000 lie where there is no RAM
fatal tables-fetch killed: its page tables lie at fd000000
fatal code-hole killed: it executes at fd000000, where there is no RAM
fatal code-lapic killed: it executes at fee00000
fatal code-top killed: it executes at f+000
fatal code-half killed: it executes at fd000000
fatal code-half-exit killed: it executes at fd000000
fatal init-self killed: it executes at fffffff0
fatal triple-64 killed: triple fault
fatal triple-compat killed: triple fault
fatal triple-user killed: triple fault
fatal triple-stack killed: triple fault
fatal cr0-unpaged $unpaged
fatal cr3-beyond $refused
fatal cr3-last $refused
fatal32 flat-triple killed: triple fault
fatal32 flat-stack killed: event 6 is delivered by way of fd000f
fatal32 flat-code killed: it executes at fd000000
fatal32 flat-idt killed: event 6 is delivered by way of fd0000
fatal32 paged-triple killed: triple fault
fatal32 tables32-cr3 killed: its page tables lie at fd000
fatal32 tables32-pde killed: its page tables lie at fd000
fatal32 pae-pdpte killed: its page tables lie at fd000
fatal32 pae-pde killed: its page tables lie at fd000
fatal32 task-nowhere killed: 
fatal32 task-unsaved killed: 
fatal32 code16-triple killed: triple fault
fatal32 real-triple killed: triple fault
fatal32 vm86-triple killed: triple fault"
machines=15 # in one host: no more than 16 can be defined
most_exits=3000 # a line on the console is about 100

# The ways from standard input, each in its machine.
boot() {
	local image way how lines
	lines=$(cat)
	vms='vm name=neighbour mem=48M kernel=memory reset=end'
	while read -r image way how; do
		vms+=$'\n'"vm name=$way mem=32M kernel=$image reset=end cmdline=\"$way\""
	done <<<"$lines"
	expect "$(wc -l <<<"$lines") machines that end, and their neighbour" 0 "" \
		several 192M ${processors:-2} 50 operator=no "build/hostile/fatal.elf fatal" "build/hostile/fatal32.elf fatal32" "build/guests/memory.elf memory"
	expect_log "  the neighbour ends as it should" "^end: neighbour test 0$"
	while read -r image way how; do
		expect_log "$way" "^end: $way $how"
		[[ $(grep "^end: $way " "$scratch/log") == *killed* ]] && expect_log "  with a record" "^record of $way, vCPU 0"
		exits=$(sed -n "s/^stats: vm=$way exits=\([0-9]*\) .*/\1/p" "$scratch/log")
		if [ "${exits:-$((most_exits + 1))}" -gt $most_exits ]; then
			fails "  after ${exits:-no} exits, at most $most_exits were right"
		fi
	done <<<"$lines"
	expect_log "  nothing of them is left" "^audit: clean; frames: guest 0 private 0 "
}

total=$(wc -l <<<"$ways")
for ((first = 1; first <= total; first += machines)); do
	boot < <(sed -n "$first,$((first + machines - 1))p" <<<"$ways")
done
finish
