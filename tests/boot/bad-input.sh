# What a person gets wrong: one sentence that names it, a status that is not 0, and the machine ends.
# timeout: 240
. "$(dirname "$0")/lib.sh"
hello=build/guests/hello.elf

# ./run itself: a table of its words
expect "./run: every word" 0 "^[0-9]+ cases, 0 failed$" python3 tests/boot/bad_words.py
expect "and its status"    2 "there is no file 'nowhere'" $machine guest nowhere

# Ringmur
quick="--timeout 30"
expect "unknown option"          2 "error: .*frobnicate"             $machine guest $hello $quick --hypervisor "frobnicate=1"
expect "option with a bad value" 2 "error: .*console"                $machine guest $hello $quick --hypervisor "console=com9"
expect "no kernel"               2 "error: .*(kernel|module|image)"  $machine guest --no-kernel $quick
head -c 100000 /dev/zero > "$scratch/zeroes"
expect "a kernel that is none"   2 "error: the kernel is neither a bzImage"                       $machine guest "$scratch/zeroes" $quick
head -c 700 $hello > "$scratch/cut"
expect "a kernel cut short"      2 "error: the kernel"                       $machine guest "$scratch/cut" $quick
: > "$scratch/empty"
expect "an empty kernel"         2 "error: the kernel is neither a bzImage.*.0 bytes"                       $machine guest "$scratch/empty" $quick
expect "mem=0"                   2 "error: .*mem"                    $machine guest $hello $quick --mem 0M --host-mem 256M
expect "more memory than there is" 2 "error: mem=8192M is more than this host can give: [0-9]+M are free, [0-9]+M are missing" $machine guest $hello $quick --mem 8G --host-mem 512M
expect "memory that is no size"  2 "error: .*mem"                    $machine guest $hello $quick --mem much --host-mem 256M
expect "a processor without SVM" 2 "error: .*(SVM|AMD-V)"            $machine guest $hello $quick --cpu "max,-svm"
expect "a processor without nested paging" 2 "error: .*nested"       $machine guest $hello $quick --cpu "max,+svm,-npt"
finish
