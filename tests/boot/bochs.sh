# Ringmur's own boot in the other emulator, written independently: a newer and an older AMD processor.
# timeout: 300
. "$(dirname "$0")/lib.sh"
expect "ryzen" 7 "" $machine guest build/guests/exit7.elf --mem 64M --target bochs-ryzen --timeout 120
expect "phenom_8650_toliman, no nRIP" 7 "" $machine guest build/guests/exit7.elf --mem 64M --target bochs-phenom_8650_toliman --timeout 120
expect "ryzen, 2 processors" 7 "" $machine guest build/guests/exit7.elf --mem 64M --target bochs-ryzen --cpus 2 --timeout 120
finish
