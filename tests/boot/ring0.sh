# The shortest of bare.sh: one boot. What mutations of boot and processor code are held against.
# timeout: 90
quick=1
. "$(dirname "$0")/bare.sh"
