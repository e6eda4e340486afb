# Three processors of one machine that only spin, on two of the host: each gets as much. One that waits again must be offered to a processor that would not look.
# timeout: 120
. "$(dirname "$0")/lib.sh"
expect "three on two, evenly" 0 "ok nobody had a quarter more" $machine guest build/guests/even.elf --mem 64M --vcpus 3 --cpus 2 --timeout 60
finish
