# The same guest on other hosts: 1, 2 and 4 processors, both chipsets, by Multiboot 1 and by GRUB.
# timeout: 240
. "$(dirname "$0")/lib.sh"

boots() { # TITLE OPTION...
	local title=$1
	shift
	expect "$title" 7 "" $machine guest build/guests/exit7.elf --mem 64M --timeout 60 --log "$scratch/log" "$@"
}

for cpus in 1 2 4; do
	boots "$cpus processors" --cpus $cpus
done
boots "chipset q35" --chipset q35 --cpus 2
boots "by GRUB" --boot grub --cpus 2
boots "by GRUB on q35" --boot grub --chipset q35
boots "an EPYC" --cpu EPYC
boots "without SMAP, SMEP, UMIP" --cpu "max,+svm,-smap,-smep,-umip"
boots "without XSAVE" --cpu "max,+svm,-xsave"
finish
