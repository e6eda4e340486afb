# In the other emulator, written independently, on a newer AMD processor: the guests that its additions matter to, and a stock Debian.
# timeout: 600
. "$(dirname "$0")/lib.sh"
expect "2 processors" 7 "" $machine guest build/guests/exit7.elf --mem 64M --target bochs-ryzen --cpus 2 --timeout 200
expect "the guests that matter, and Debian" 0 "^matrix: [0-9]+ passed, 0 failed, [0-9]+ known$" tools/matrix --essential --targets bochs-ryzen --jobs 1
finish
