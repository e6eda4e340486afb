#!/bin/bash
# Runs own and hostile guests on bare QEMU: the oracle that says what the machine does without Ringmur.
#   tests/guests/bare.sh [-v] [NAME...]     all of both LISTs without a name; -v shows every line
# Real time, whatever clock= says: quick, and the counts allow for it.
# For each: `pass`, `FAIL` with the failed checks, or `skipped` where LIST says bare=no. Status 0 when none failed.
cd "$(dirname "$0")/../.." || exit 1
verbose=0
[ "${1:-}" = -v ] && { verbose=1; shift; }
qemu=${QEMU:-qemu-system-x86_64}
failed=0 ran=0 skipped=0

run_one() {
	local out=build/$1 name=$2 want=$3 memory=$4 image=$2 vcpus=1 bare=yes limit=20 modules= off=no option
	local -a devices=()
	shift 4
	for option; do
		case $option in
		image=*) image=${option#image=} ;;
		vcpus=*) vcpus=${option#vcpus=} ;;
		ends=off) off=yes ;;
		bare=*) bare=${option#bare=} ;;
		limit=*) limit=${option#limit=} ;;
		module=*) modules=${modules:+$modules,}$(sed 's/:/ /' <<<"${option#module=}" | tr _ ' ') ;;
		esac
	done
	if [ "$bare" = no ]; then
		echo "skipped $name"
		skipped=$((skipped + 1))
		return
	fi
	if [ "$bare" = virtio ]; then # QEMU's own, a disk of zeros
		truncate -s 1M "$out/virtio.disk"
		devices=(-drive "if=none,id=disk,format=raw,snapshot=on,file=$out/virtio.disk" -device virtio-blk-pci,drive=disk,disable-legacy=on
			-device virtio-serial-pci,disable-legacy=on -chardev null,id=line -device virtconsole,chardev=line)
	fi
	local log=$out/$name.bare.txt began=$EPOCHREALTIME status
	timeout -s KILL "$limit" "$qemu" -kernel "$out/$image.elf" ${modules:+-initrd "$modules"} -cpu max -m "$memory" -smp "$vcpus" \
		-device isa-debug-exit,iobase=0xf4,iosize=4 -serial stdio -display none -nodefaults -no-reboot "${devices[@]}" \
		>"$log" 2>&1 </dev/null
	status=$?
	# The device's status is value * 2 + 1; 0 is a power-off, or with -no-reboot a triple fault: 125 for Ringmur.
	if [ $status = 0 ]; then
		[ "$off" = yes ] || status=125
	elif [ $((status % 2)) = 1 ]; then
		status=$((status / 2))
	fi
	ran=$((ran + 1))
	[ $verbose = 1 ] && cat "$log"
	local took
	took=$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	if [ "$status" = "$want" ] && ! grep -q '^FAIL' "$log"; then
		echo "pass    $name (${took} s, $(grep -c '^ok ' "$log") checks)"
	else
		echo "FAIL    $name: status $status, want $want (${took} s)"
		[ $verbose = 0 ] && grep -A1 '^FAIL' "$log"
		failed=$((failed + 1))
	fi
}

for folder in guests hostile; do
	while read -r name want memory options; do
		case $name in '' | '#'*) continue ;; esac
		if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
		# shellcheck disable=SC2086
		run_one "$folder" "$name" "$want" "$memory" $options </dev/null
	done <"tests/$folder/LIST"
done
echo "bare guests: $ran ran, $failed failed, $skipped skipped"
[ $failed = 0 ]
