# How long an interrupt waits, in instructions: one of the timer's is always due (`probe=`, docs/bench.md), while machines are made, run and taken
# apart, audits and scrubbing included. The limit is what scheduling.md promises.
# timeout: 240
. "$(dirname "$0")/lib.sh"

limit=20000 probe=500 counted=1
cpu="max,+svm,-erms" # with ERMS one `rep stosb` counts 4,096 instructions a page
vms='vm name=a mem=64M vcpus=2 kernel=hello reset=end
vm name=b mem=64M kernel=exceptions reset=end
vm name=c mem=64M kernel=memory reset=end'

expect "three machines come and go" 0 "" several 512M 1 200 "operator=no scrub=0 probe=$probe" \
	build/guests/hello.elf\ hello build/guests/exceptions.elf\ exceptions build/guests/memory.elf\ memory
late=$(sed -nE 's/.*\bstats: interrupts-off-most=([0-9]+).*/\1/p' "$scratch/log" | tail -n 1)
if [ -n "$late" ] && [ $((late + probe)) -le $limit ]; then
	echo "ok   interrupts wait for at most $((late + probe)) instructions"
else
	fails "interrupts wait for ${late:-?} + $probe instructions, wanted at most $limit"
fi
finish
