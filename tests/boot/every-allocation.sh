# Each allocation on the way to a running guest fails once: an orderly end each time, with a sentence, and no frame lost.
# timeout: 240
. "$(dirname "$0")/lib.sh"
for n in $(seq 1 200); do
	$machine guest build/guests/hello.elf --mem 16M --hypervisor "fail-alloc=$n scrub=1M" --timeout 30 --log "$scratch/log" \
		>"$scratch/out" 2>&1 </dev/null
	status=$?
	[ $status = 0 ] && break
	if grep -q '^panic' "$scratch/log" || { [ $status != 2 ] && [ $status != 125 ]; }; then
		fails "allocation $n: status $status" "$scratch/log"
	elif [ $status = 2 ] && ! grep -q '^error: there is no memory' "$scratch/log"; then
		fails "allocation $n: no sentence says what is missing" "$scratch/log"
	elif [ $status = 125 ] && [ "$(grep -c '^audit: clean' "$scratch/log")" != 2 ]; then
		fails "allocation $n: the audits after the end are missing" "$scratch/log"
	fi
done
echo "$((n - 1)) allocations failed once"
if [ "$n" -lt 20 ] || [ "$n" = 200 ]; then
	fails "that is no plausible number of allocations"
fi
finish
