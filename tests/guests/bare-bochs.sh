#!/bin/bash
# Runs own guests on bare Bochs, the second oracle: what another emulator's machine does without Ringmur.
#   tests/guests/bare-bochs.sh [-v] [-m MODEL] NAME...     the model is ryzen; -v shows every line
# Names are images of build/guests; modules and processors of LIST are not looked at. Status 0 when none failed.
cd "$(dirname "$0")/../.." || exit 1
verbose=0 model=ryzen failed=0 seconds=200
while getopts vm: option; do
	case $option in
	v) verbose=1 ;;
	m) model=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for name; do
	rm -rf "$scratch/out"
	tools/make-iso --multiboot "$scratch/disc" "build/guests/$name.elf" "" || exit 1
	tests/boot/run-bochs "$scratch/disc" "$model" "$scratch/out" 1 $seconds
	status=$?
	[ $verbose = 0 ] || cat "$scratch/out/com1"
	if [ $status = 0 ] && grep -qaE "^[a-z0-9_-]+: [0-9]+ passed, 0 failed" "$scratch/out/com1"; then
		echo "pass    $name"
	else
		echo "FAIL    $name (Bochs' status $status)"
		grep -a '^FAIL' "$scratch/out/com1"
		failed=$((failed + 1))
	fi
done
[ $failed = 0 ]
