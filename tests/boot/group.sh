# What a tool has started ends with it, and in order: at a time limit, by a signal, with the terminal.
# timeout: 60
. "$(dirname "$0")/lib.sh"

# A member of the group that needs a moment to put things away, behind a shell that is gone at once.
slow='(trap "sleep 1; echo away >$0; exit" TERM; echo up >$0; while :; do sleep 0.1; done) & wait'

python() { exec python3 -B -c "import sys; sys.path.insert(0, 'tools'); from lab import group; $1" "${@:2}"; }
limit() ( python 'sys.exit(group.run(["bash", "-c", sys.argv[1], sys.argv[2]], 2) is not None)' "$slow" "$scratch/limit" )
expect "a time limit" 0 "" limit
expect "  it waits for all of the group" 0 "^away" cat "$scratch/limit"
for signal in TERM HUP; do
	# Under nohup, which this may be, SIGHUP ends nothing.
	python 'import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); group.end_by_signal(); group.run(["bash", "-c", sys.argv[1], sys.argv[2]], 50)' "$slow" "$scratch/$signal" &
	for _ in $(seq 100); do
		[ -s "$scratch/$signal" ] && break
		sleep 0.1
	done
	kill -s $signal $! && sleep 0.2
	kill -s $signal $! # once more does not disturb it
	wait $!
	expect "SIG$signal" 0 "^away" cat "$scratch/$signal"
done
finish
