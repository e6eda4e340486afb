# What a person gets wrong: one sentence that names it, a status that is not 0, and the machine ends.
# timeout: 240
. "$(dirname "$0")/lib.sh"
hello=build/guests/hello.elf

# ./run itself
expect "no such image"           2 "there is no file 'nowhere'"      $machine guest nowhere
expect "no such module"          2 "there is no file 'nowhere'"      $machine guest $hello --module nowhere
expect "unknown option of ./run" 2 "unknown option --frob"           $machine guest $hello --frob 1
expect "unknown word"            2 "unknown word 'gest'"             $machine gest $hello
expect "no image"                2 "which image"                     $machine guest --mem 1G
expect "option without value"    2 "--mem needs a value"             $machine guest $hello --mem
expect "vcpus is no number"      2 "--vcpus takes a positive number" $machine guest $hello --vcpus many
expect "target that cannot run"  2 "needs shadow paging"             $machine guest $hello --target qemu-svm-nonpt
expect "target of the other maker" 2 "Intel"                         $machine guest $hello --target bochs-corei7_haswell_4770
expect "unknown target"          2 "unknown target 'vax'"            $machine guest $hello --target vax
expect "unknown Bochs model"     2 "no model 'z80'"                  $machine guest $hello --target bochs-z80

# Ringmur
quick="--timeout 30"
expect "unknown option"          2 "error: .*frobnicate"             $machine guest $hello $quick --hypervisor "frobnicate=1"
expect "option with a bad value" 2 "error: .*console"                $machine guest $hello $quick --hypervisor "console=com9"
expect "no kernel"               2 "error: .*(kernel|module|image)"  $machine guest --no-kernel $quick
head -c 100000 /dev/zero > "$scratch/zeroes"
expect "a kernel that is none"   2 "error: "                         $machine guest "$scratch/zeroes" $quick
head -c 700 $hello > "$scratch/cut"
expect "a kernel cut short"      2 "error: "                         $machine guest "$scratch/cut" $quick
: > "$scratch/empty"
expect "an empty kernel"         2 "error: "                         $machine guest "$scratch/empty" $quick
expect "mem=0"                   2 "error: .*mem"                    $machine guest $hello $quick --mem 0M --host-mem 256M
expect "more memory than there is" 2 "error: "                       $machine guest $hello $quick --mem 8G --host-mem 512M
expect "memory that is no size"  2 "error: .*mem"                    $machine guest $hello $quick --mem much --host-mem 256M
expect "a processor without SVM" 2 "error: .*(SVM|AMD-V)"            $machine guest $hello $quick --cpu "max,-svm"
expect "a processor without nested paging" 2 "error: .*nested"       $machine guest $hello $quick --cpu "max,+svm,-npt"
finish
