# A monitor built to attack reaches nothing but its own machine, which ends and says why; a neighbour's memory and registers stay, every frame comes home.
# timeout: 400
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
exec python3 tests/hostile/monitor.py "$@"
